//! `lockstep backtest` as a process: what scripts rely on.

use std::{path::Path, process::Command};

struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

fn lockstep(arguments: &[&str]) -> Ran {
    let output = Command::new(env!("CARGO_BIN_EXE_lockstep"))
        .arg("backtest")
        .args(arguments)
        .output()
        .expect("it runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

#[test]
fn without_data_it_trades_thirty_synthetic_days_and_prints_one_object() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("trades.csv");
    let file = file.to_str().expect("text");
    let ran = lockstep(&["--json", "--trades", file]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    let report: serde_json::Value = serde_json::from_str(&ran.out).expect("one object");
    let keys: Vec<&str> = report.as_object().expect("an object").keys().map(String::as_str).collect();
    let expected = [
        "resultHash",
        "dataHash",
        "bars",
        "quotes",
        "metrics",
        "quarantined",
        "ambiguousBars",
        "spread",
        "elapsedMs",
    ];
    let sorted =
        |keys: &[&str]| keys.iter().map(|key| key.to_string()).collect::<std::collections::BTreeSet<_>>();
    assert_eq!(sorted(&keys), sorted(&expected));
    assert_eq!(report["bars"], 31_680);
    assert_eq!(report["resultHash"].as_str().map(str::len), Some(64));
    for (name, value) in report["metrics"].as_object().expect("metrics") {
        assert!(value.is_number() || value.is_null(), "{name}: {value}");
    }

    let trades = std::fs::read_to_string(file).expect("trades");
    let header = "entryTime,exitTime,side,volume,entryPrice,exitPrice,stopLoss,takeProfit,exitReason,\
                  commission,swap,profit";
    assert_eq!(trades.lines().next(), Some(header));
    assert_eq!(trades.lines().count() - 1, report["metrics"]["trades"].as_u64().expect("a count") as usize);

    let again: serde_json::Value = serde_json::from_str(&lockstep(&["--json"]).out).expect("one object");
    let other: serde_json::Value =
        serde_json::from_str(&lockstep(&["--json", "--seed", "1"]).out).expect("one");
    assert_eq!(again["resultHash"], report["resultHash"]);
    assert_ne!(other["resultHash"], report["resultHash"]);
}

fn check_refused(arguments: &[&str], expected: &str) {
    let ran = lockstep(arguments);
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{arguments:?}: {}", ran.err);
    assert!(ran.err.contains(expected), "{arguments:?}: {}", ran.err);
}

#[test]
fn what_is_wrong_is_said_in_one_line_with_exit_code_1() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.to_str().expect("text").to_owned()
    };
    let bad = write("bad.csv", "timestamp,open,high,low,close\n2012-02-01T00:00:00Z,1,1,1,x\n");
    let local = write("local.csv", "timestamp,open,high,low,close\n2012-02-01 00:00:00,1,1,1,1\n");
    let on = |file| ["--symbol", "GBPUSD", "--data", file];

    check_refused(&on(&bad), "bad.csv: line 2, column `close`: `x` is not a price");
    check_refused(&on(&local), "has no time zone: name the zone of the file's clock with --tz");
    check_refused(&[&on(&local)[..], &["--tz", "Mars"]].concat(), "`Mars` is not a time zone");
    check_refused(&on("no/such/file.csv"), "no/such/file.csv: No such file");
    check_refused(&["--data", &bad], "--symbol");
    check_refused(&["--symbol", "DOGE"], "unknown symbol `DOGE`: known are EURUSD, GBPUSD");
    check_refused(&["--strategy", "luck"], "unknown strategy `luck`: known are sma_cross");
    check_refused(
        &["--strategy", "sma_cross", "--param", "fast"],
        "write a name and a value, such as fast=10",
    );
    let fast = "fast=1";
    check_refused(
        &["--strategy", "sma_cross", "--param", fast, "--param", fast],
        "--param fast is given twice",
    );
    check_refused(&["--stop-loss", "20"], "`20` has no unit: write 20pips, 200points or 0.5%");
    check_refused(&["--volume", "0.015"], "volume 0.015 is not between 0.01 and 100.00 in steps of 0.01");
    check_refused(&["--trades", "/no/such/folder/trades.csv"], "/no/such/folder/trades.csv: ");
}

#[test]
fn bad_rows_are_counted_by_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    let rows = "timestamp,open,high,low,close\n\
                2012-02-01T00:00:00Z,1.5,1.5,1.5,1.5\n\
                2012-02-01T00:01:00Z,nan,1.5,1.5,1.5\n\
                2012-02-01T00:02:00Z,0,1.5,1.5,1.5\n\
                2012-02-01T00:03:00Z,-1,1.5,1.5,1.5\n\
                2012-02-01T00:04:00Z,1.5,1.5,1.5,1.5\n";
    let bids = folder.path().join("bid.csv");
    let asks = folder.path().join("ask.csv");
    std::fs::write(&bids, rows).expect("written");
    std::fs::write(
        &asks,
        rows.replace("00:04:00Z,1.5,", "00:04:00Z,1.49999,").replace(",1.5,1.5\n", ",1.49,1.5\n"),
    )
    .expect("written");
    let text = |path: &Path| path.to_str().expect("text").to_owned();
    let ran = lockstep(&["--json", "--symbol", "GBPUSD", "--data", &text(&bids), "--ask", &text(&asks)]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    let report: serde_json::Value = serde_json::from_str(&ran.out).expect("one object");
    let expected = serde_json::json!({ "nan": 1, "zero": 1, "negative": 1, "crossed": 2 });
    assert_eq!((&report["quarantined"], &report["bars"]), (&expected, &2.into()));
}
