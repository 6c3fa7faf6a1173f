//! Real market hours, and the command that prints calendars.

use crate::support::data_folder;
use lockstep::{
    domain::{
        calendar::{Calendar, Zone},
        config::Config,
        id::Symbol,
        instrument::InstrumentId,
        message::Input,
        time::{DAY_NS, UnixNanos},
    },
    node::config::FileConfig,
    quotes::{DataOptions, OffGrid, Source, open_recording},
};
use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

const MARKET_HOURS: &str = "market_hours_subset.json";
const ENTRIES: [&str; 10] = [
    "Equity-usa-[*]",
    "Forex-fxcm-[*]",
    "Forex-oanda-[*]",
    "Cfd-oanda-[*]",
    "Cfd-oanda-DE30EUR",
    "Cfd-oanda-SPX500USD",
    "Cfd-oanda-XAUUSD",
    "Crypto-coinbase-[*]",
    "CryptoFuture-binance-[*]",
    "Crypto-binance-[*]",
];

fn at(text: &str) -> UnixNanos {
    UnixNanos::parse(text).expect("an instant")
}

fn read(folder: &Path, toml: &str) -> FileConfig {
    let files = |name: &str| std::fs::read_to_string(folder.join(name));
    FileConfig::parse_with("lockstep.toml", toml, &|_| None, &files).expect("a configuration")
}

fn entry(folder: &Path, entry: &str) -> Calendar {
    let toml = format!("[[calendars]]\nname = \"x\"\nfile = \"{MARKET_HOURS}\"\nentry = \"{entry}\"\n");
    read(folder, &toml).calendars.remove(0)
}

#[test]
fn or09_every_entry_of_real_market_hours_is_a_calendar() {
    let Some(folder) = data_folder() else { return };
    for name in ENTRIES {
        let calendar = entry(&folder, name);
        assert_eq!(calendar.fault(), None, "{name}");
        assert_eq!(calendar.is_always(), name.starts_with("Crypto"), "{name}");
    }
    for (name, now, open, until) in [
        ("Equity-usa-[*]", "2014-07-03T15:00:00Z", true, "2014-07-03T17:00:00Z"), // closes at 13:00
        ("Equity-usa-[*]", "2014-07-04T15:00:00Z", false, "2014-07-07T13:30:00Z"),
        ("Forex-fxcm-[*]", "2014-05-02T20:59:11.909Z", true, "2014-05-02T21:00:00Z"),
        ("Forex-fxcm-[*]", "2019-12-24T19:00:00Z", false, "2019-12-26T07:00:00Z"), // early close to late open
        ("Forex-oanda-[*]", "2024-01-10T12:00:00Z", true, "2024-01-10T21:58:00Z"),
        ("Forex-oanda-[*]", "2018-12-31T22:00:00Z", false, "2019-01-01T22:03:00Z"),
        ("Cfd-oanda-XAUUSD", "2024-01-10T22:00:00Z", false, "2024-01-10T23:03:00Z"),
        ("Cfd-oanda-DE30EUR", "2022-10-28T21:00:00Z", false, "2022-11-01T00:15:00Z"), // a holiday on Monday
        ("Cfd-oanda-SPX500USD", "2024-01-10T21:20:00Z", false, "2024-01-10T21:30:00Z"),
    ] {
        let state = entry(&folder, name).state_at(at(now));
        assert_eq!((state.open, state.until.to_string().as_str()), (open, until), "{name} {now}");
    }
    let stocks = entry(&folder, "Equity-usa-[*]");
    assert!(stocks.quoted_at(at("2014-07-02T12:00:00Z")).open, "quoted before the market opens");
}

/// The built-in calendars say of themselves where they come from.
#[test]
fn or09_built_in_calendars_agree_with_their_sources() {
    let Some(folder) = data_folder() else { return };
    let config = Config::built_in();
    let (currencies, gold) = (&config.calendars[0], &config.calendars[2]);
    let fxcm = entry(&folder, "Forex-fxcm-[*]");
    assert_eq!((&currencies.weekly, &currencies.zone), (&fxcm.weekly, &fxcm.zone));
    // the half hours away from the minutes that OANDA keeps around its own roll
    let agree = |own: &Calendar, other: &str, from: &str, days: i64| {
        let other = entry(&folder, other);
        for half_hour in 0..days * 48 {
            let now = at(from).plus(DAY_NS / 96).plus(half_hour * DAY_NS / 48);
            assert_eq!(own.state_at(now).open, other.state_at(now).open, "{now}");
        }
    };
    for winter in ["2018-12-10", "2019-12-10", "2023-12-10", "2024-12-10"] {
        agree(currencies, "Forex-oanda-[*]", &format!("{winter}T00:00:00Z"), 40);
    }
    agree(gold, "Cfd-oanda-XAUUSD", "2024-01-07T00:00:00Z", 340);
}

#[test]
fn or09_the_last_tick_of_a_friday_lies_in_the_session_and_all_before_it() {
    let Some(folder) = data_folder() else { return };
    let config = Config::built_in();
    let options = DataOptions {
        instrument: config.instruments[0].clone(),
        id: InstrumentId(0),
        zone: Zone::load("UTC-05"),
        off_grid: OffGrid::Fail,
        timeframe: None,
    };
    let source = Source::open(&folder.join("EURUSD_ticks_20140502_lean_quote.zip"));
    let data = open_recording(Box::new(std::iter::once(source)), None, options).expect("good data");
    let mut last = None;
    for row in data {
        let (stamp, input) = row.expect("good data");
        assert!(matches!(input, Input::Quote { .. }));
        assert!(config.calendars[0].state_at(stamp).open, "{stamp}");
        last = Some(stamp);
    }
    assert_eq!(last, Some(at("2014-05-02T20:59:11.909Z")));
}

// ---- from a file of configuration to the commands ------------------------------------------------

const TOML: &str = r#"
[[calendars]]
name = "NYSE"
zone = "America/New_York"
sessions = ["Mon-Fri 09:30-16:00"]
quote_sessions = ["Mon-Fri 04:00-20:00"]
holidays = ["12-25", "2024-01-15"]
early_closes = ["2024-01-12 13:00"]

[[calendars]]
name = "broker"
file = "hours.json"
entry = "Forex-broker"

[instruments.EURUSD]
calendar = "NYSE"
[instruments.GBPUSD]
calendar = "broker"
"#;

const HOURS: &str = r#"{ "Forex-broker": { "exchangeTimeZone": "UTC",
    "monday": [{ "start": "08:00:00", "end": "1.00:00:00", "state": "market" }] } }"#;

fn folder_with(toml: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("lockstep.toml");
    std::fs::write(&file, toml).expect("written");
    std::fs::write(folder.path().join("hours.json"), HOURS).expect("written");
    (folder, file)
}

fn lockstep(command: &str, file: &Path, arguments: &[&str]) -> Output {
    let mut lockstep = Command::new(env!("CARGO_BIN_EXE_lockstep"));
    lockstep.arg(command).arg("--config").arg(file).args(arguments).output().expect("it runs")
}

#[test]
fn or09_the_command_prints_the_week_the_special_days_and_the_sessions() {
    let (_folder, file) = folder_with(TOML);
    let ran =
        lockstep("calendar", &file, &["--symbol", "EURUSD", "--from", "2024-01-12", "--to", "2024-01-16"]);
    assert_eq!(String::from_utf8_lossy(&ran.stderr), "");
    let text = String::from_utf8_lossy(&ran.stdout);
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    assert_eq!(lines[0], "EURUSD: calendar NYSE, America/New_York");
    for line in ["trades  Mon 09:30 - Mon 16:00", "quotes  Mon 04:00 - Mon 20:00", "2024-01-12 closes 13:00"]
    {
        assert!(lines.contains(&line), "{line} is not in {text}");
    }
    assert_eq!(
        lines[lines.len() - 2..],
        ["2024-01-12T14:30:00Z - 2024-01-12T18:00:00Z", "2024-01-16T14:30:00Z - 2024-01-16T21:00:00Z"]
    );
    let broker = lockstep("calendar", &file, &["--symbol", "GBPUSD"]);
    assert!(String::from_utf8_lossy(&broker.stdout).contains("trades  Mon 08:00 - Tue 00:00"));
    let unknown = lockstep("calendar", &file, &["--symbol", "X"]);
    assert_eq!((unknown.status.code(), unknown.stdout.len()), (Some(1), 0));
}

#[test]
fn or09_a_backtest_keeps_the_configured_sessions() {
    let (folder, file) = folder_with(TOML);
    let trades = folder.path().join("trades.csv");
    let ran = lockstep(
        "backtest",
        &file,
        &["--symbol", "EURUSD", "--json", "--trades", trades.to_str().expect("UTF-8")],
    );
    assert_eq!((ran.status.code(), String::from_utf8_lossy(&ran.stderr).as_ref()), (Some(0), ""));
    let report: serde_json::Value = serde_json::from_slice(&ran.stdout).expect("one object");
    // 22 days from Monday 2024-01-08 on, without one holiday, one of them three hours short
    assert_eq!(report["bars"], 21 * 390 - 180);
    let calendar = &read(folder.path(), TOML).calendars[0];
    let text = std::fs::read_to_string(trades).expect("trades");
    let mut entries = 0;
    for entry in text.lines().skip(1).filter_map(|line| line.split(',').next()) {
        assert!(calendar.state_at(at(entry)).open, "{entry}");
        entries += 1;
    }
    assert!(entries > 10, "{entries}");
}

#[test]
fn or09_a_named_calendar_takes_the_place_of_a_built_in_one() {
    let folder = Path::new("");
    let toml = "[[calendars]]\nname = \"FX\"\nzone = \"UTC\"\nsessions = [\"Mon-Fri 00:00-24:00\"]\n";
    let config = read(folder, toml).to_config(Vec::new(), false);
    assert_eq!(config.calendars.len(), Config::built_in().calendars.len());
    let euro = config.instruments.iter().find(|i| i.symbol == Symbol::new("EURUSD").expect("a symbol"));
    let calendar = &config.calendars[usize::from(euro.expect("built in").calendar)];
    assert!(calendar.state_at(at("2024-12-25T12:00:00Z")).open);
    assert_eq!(calendar.zone.name, "UTC");
}
