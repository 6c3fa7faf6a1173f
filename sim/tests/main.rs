//! Whole worlds, a few seeds of each scenario: they end well, and equal seeds give equal bytes.
//! `cargo sim sweep` and `cargo sim check` do the same with many.
#![allow(clippy::disallowed_methods, reason = "tests are hosts: they have clocks, threads and tasks")]

mod dt04;
mod import;

use lockstep_sim::{
    outcome::Outcome,
    plan::{Plan, plan},
    run::{Report, run},
    scenario,
};
use std::{path::Path, process::Command, time::Duration};

const LIMIT: Duration = Duration::from_secs(120);
const SEEDS: std::ops::Range<u64> = 0..3;

fn plans(name: &str) -> Vec<Plan> {
    let scenario = &scenario::select(&scenario::folder(None), name).expect("it is in the repository")[0];
    SEEDS.map(|seed| plan(seed, scenario)).collect()
}

fn ends_well(plan: &Plan) -> Report {
    let report = run(plan, LIMIT);
    let Report { outcome, notes, violations, .. } = &report;
    assert_eq!(*outcome, Outcome::Ok, "{} seed {}: {notes:?} {violations:?}", plan.scenario, plan.seed);
    report
}

/// Alone, and again among all others at once.
fn dt01(name: &str) {
    let plans = plans(name);
    let alone: Vec<String> = plans.iter().map(|plan| ends_well(plan).trace_hash()).collect();
    let together: Vec<String> = std::thread::scope(|scope| {
        let running: Vec<_> =
            plans.iter().map(|plan| scope.spawn(|| run(plan, LIMIT).trace_hash())).collect();
        running.into_iter().map(|world| world.join().expect("a world reports its panics")).collect()
    });
    assert_eq!(alone, together, "{name}");
    let mut distinct = alone.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), alone.len(), "{name}: two seeds made the same world");
}

#[test]
fn dt01_quiet_day() {
    dt01("quiet_day");
}

#[test]
fn dt01_client_disconnect() {
    dt01("client_disconnect");
}

#[test]
fn dt01_market_closed() {
    dt01("market_closed");
}

#[test]
fn dt01_emergency_stop() {
    dt01("emergency_stop");
}

#[test]
fn dt01_gateway_crash() {
    dt01("gateway_crash");
}

#[test]
fn dt01_venue_disconnect() {
    dt01("venue_disconnect");
}

#[test]
fn dt01_venue_crash() {
    dt01("venue_crash");
}

#[test]
fn dt01_lost_ack() {
    dt01("lost_ack");
}

#[test]
fn dt01_duplicate_and_reordered() {
    dt01("duplicate_and_reordered");
}

#[test]
fn dt01_working_orders_at_reconnect() {
    dt01("working_orders_at_reconnect");
}

#[test]
fn dt01_fills_while_away() {
    dt01("fills_while_away");
}

#[test]
fn dt01_timeout_was_executed() {
    dt01("timeout_was_executed");
}

#[test]
fn dt01_two_operators() {
    dt01("two_operators");
}

#[test]
fn dt01_token_revoked() {
    dt01("token_revoked");
}

#[test]
fn dt01_rate_limit() {
    dt01("rate_limit");
}

#[test]
fn dt01_slow_consumer() {
    dt01("slow_consumer");
}

#[test]
fn dt01_hostile_client() {
    dt01("hostile_client");
}

#[test]
fn dt01_risk_limits() {
    dt01("risk_limits");
}

#[test]
fn crashes_strike_inside_commits_and_lose_nothing() {
    let marks: Vec<String> =
        plans("gateway_crash").iter().flat_map(|plan| ends_well(plan).counts.marks.into_keys()).collect();
    for mark in ["gateway_crashed", "crashed_inside_commit", "client_reconnected", "request_repeated"] {
        assert!(marks.iter().any(|m| m == mark), "{mark} is missing among {marks:?}");
    }
}

/// Each incident that real systems had comes about, and comes out well.
#[test]
fn incidents_of_real_systems_come_about() {
    for (scenario, mark) in [
        ("working_orders_at_reconnect", "order_rested_across_reconnect"),
        ("fills_while_away", "fill_while_away_booked"),
        ("timeout_was_executed", "timeout_was_executed"),
    ] {
        let scenario =
            &scenario::select(&scenario::folder(None), scenario).expect("it is in the repository")[0];
        let reached = (0..40).any(|seed| ends_well(&plan(seed, scenario)).counts.marks.contains_key(mark));
        assert!(reached, "{}: {mark} never came about", scenario.name);
    }
}

fn simulator(arguments: &[&str]) -> (i32, String) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let output = Command::new(env!("CARGO_BIN_EXE_lockstep-sim"))
        .current_dir(root)
        .args(arguments)
        .output()
        .expect("it was built for this test");
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code().expect("no signal ended it"), text)
}

#[test]
fn the_command_line_lists_runs_and_traces() {
    let (code, text) = simulator(&["list"]);
    assert!(code == 0 && text.contains("gateway_crash"), "{text}");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let trace = folder.path().join("out.jsonl");
    let path = trace.to_str().expect("plain text");
    let (code, text) = simulator(&["run", "--scenario", "quiet_day", "--seed", "7", "--trace", path]);
    assert!(code == 0 && text.starts_with("quiet_day seed 7: ok, "), "{text}");
    let lines = std::fs::read_to_string(&trace).expect("it wrote the trace");
    assert_eq!(lines.lines().next(), Some(r#"{"traceVersion":1}"#));
    for line in lines.lines().skip(1) {
        let record: serde_json::Value = serde_json::from_str(line).expect("one object per line");
        assert!(record["seq"].is_u64() && record["body"].is_object(), "{line}");
        assert!(!line.contains("gw_"), "a secret is in the trace: {line}");
    }
}

#[test]
fn dt01_a_plan_file_replays_without_its_seed_and_traces_are_compared() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let place = |name: &str| folder.path().join(name).to_str().expect("plain text").to_owned();
    let (plan, first, second) = (place("plan.json"), place("first.jsonl"), place("second.jsonl"));
    let run = ["run", "--scenario", "gateway_crash", "--seed", "4", "--plan", &plan, "--trace", &first];
    assert_eq!(simulator(&run).0, 0);
    let (code, text) = simulator(&["replay", &plan, "--trace", &second]);
    assert!(code == 0 && text.starts_with("gateway_crash seed 4: ok, "), "{text}");
    let (code, text) = simulator(&["diff", &first, &second]);
    assert!(code == 0 && text.starts_with("equal: "), "{text}");

    simulator(&["replay", "gateway_crash:5", "--trace", &second]);
    let (code, text) = simulator(&["diff", &first, &second]);
    assert!(code == 13 && text.contains("field "), "{text}");

    let (code, text) = simulator(&["explain", &plan]);
    assert!(code == 0 && text.starts_with("gateway_crash seed 4: ok") && text.contains("process"), "{text}");
    assert!(text.lines().count() <= 70, "one screen: {text}");
}

#[test]
fn the_parts_of_a_sweep_are_the_whole() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let lines = |shard: &[&str]| {
        let path = folder.path().join("lines.jsonl");
        let path = path.to_str().expect("plain text");
        let sweep = ["sweep", "--scenario", "client_disconnect", "--seeds", "0..5", "--json", path];
        let (code, text) = simulator(&[&sweep, shard].concat());
        assert_eq!(code, 0, "{text}");
        assert!(text.contains("fault met orders that were"), "{text}");
        let written = std::fs::read_to_string(path).expect("it wrote the lines");
        written.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let mut parts: Vec<String> =
        ["1/3", "2/3", "3/3"].iter().flat_map(|part| lines(&["--shard", part])).collect();
    parts.sort();
    let mut whole = lines(&[]);
    whole.sort();
    assert_eq!((parts.len(), parts), (5, whole));
}

#[test]
fn plans_that_once_failed_end_well() {
    let (code, text) = simulator(&["corpus"]);
    assert!(code == 0 && text.contains("plans that once failed: ok"), "{text}");
}

#[test]
fn usage_errors_are_one_line_and_exit_code_1() {
    for arguments in [
        &["run", "--scenario", "nothing", "--seed", "1"][..],
        &["sweep", "--seeds", "5..5"],
        &["sweep", "--seeds", "0..5", "--shard", "3/2"],
        &["replay", "nothing:1"],
        &["replay", "quiet_day"],
        &["replay", "all:1"],
        &["replay", "/nowhere/plan.json"],
        &["explain", "scenarios/quiet_day.toml"],
        &["diff", "/nowhere/a.jsonl", "/nowhere/b.jsonl"],
        &["diff", "Cargo.toml", "Cargo.toml"],
        &["shrink", "quiet_day:1", "-o", "/nowhere/min.json"],
        &["corpus", "--folder", "/nowhere"],
        &["--scenarios", "/nowhere", "list"],
        &["check", "--scenario", "quiet_day", "--seeds", "0..1", "--against", "/nowhere/lockstep-sim"],
    ] {
        let (code, text) = simulator(arguments);
        assert_eq!(code, 1, "{arguments:?}: {text}");
        assert!(!text.contains("panicked"), "{text}");
        assert!(text.lines().filter(|line| !line.is_empty()).count() <= 6, "{arguments:?}: {text}");
    }
}

#[test]
fn a_trace_of_another_version_is_refused_in_one_line() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let place = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("room");
        path.to_str().expect("plain text").to_owned()
    };
    let other = place("other.jsonl", "{\"traceVersion\":2}\n");
    for (file, expected) in [(&other, "a trace of version 2"), (&place("none.jsonl", "{}\n"), "no trace")] {
        let (code, text) = simulator(&["diff", file, file]);
        assert!(code == 1 && text.lines().count() == 1 && text.contains(expected), "{text}");
    }
}

#[test]
fn a_sweep_writes_a_line_per_world_and_misses_marks() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let scenario = folder.path().join("tiny.toml");
    let text = r#"
        name = "tiny"
        why = "expects what cannot happen"
        duration_s = 2
        starts = ["2024-03-04T09:00:00Z"]
        expect = ["a_mark_that_nobody_sets"]
        topology = { symbols = ["BTCUSD"], deposit = 10000 }
        operator = { steps = [2, 4], mix = { market = 1 } }
        viewer = { steps = [0, 1], mix = { account = 1 } }
    "#;
    std::fs::write(&scenario, text).expect("room");
    let lines = folder.path().join("lines.jsonl");
    let (scenario, lines) = (scenario.to_str().expect("plain"), lines.to_str().expect("plain"));
    let (code, text) = simulator(&["sweep", "--scenario", scenario, "--seeds", "3..6", "--json", lines]);
    assert_eq!(code, 15, "{text}");
    assert!(text.contains("tiny: expected mark `a_mark_that_nobody_sets` never fired"), "{text}");
    let written = std::fs::read_to_string(lines).expect("it wrote the lines");
    let seeds: Vec<u64> = written
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"))
        .inspect(|line| {
            assert!(line["outcome"] == "ok" && line["traceHash"].as_str().is_some_and(|h| h.len() == 64))
        })
        .filter_map(|line| line["seed"].as_u64())
        .collect();
    assert_eq!(seeds, [3, 4, 5]);
}
