//! Whole worlds, a few seeds of each scenario: they end well, and equal seeds give equal bytes.
//! `cargo sim sweep` and `cargo sim check` do the same with many.

mod dt04;

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
    for line in lines.lines() {
        let record: serde_json::Value = serde_json::from_str(line).expect("one object per line");
        assert!(record["seq"].is_u64() && record["body"].is_object(), "{line}");
        assert!(!line.contains("gw_"), "a secret is in the trace: {line}");
    }
}

#[test]
fn usage_errors_are_one_line_and_exit_code_1() {
    for arguments in [
        &["run", "--scenario", "nothing", "--seed", "1"][..],
        &["sweep", "--seeds", "5..5"],
        &["--scenarios", "/nowhere", "list"],
        &["check", "--scenario", "quiet_day", "--seeds", "0..1", "--against", "/nowhere/lockstep-sim"],
    ] {
        let (code, text) = simulator(arguments);
        assert_eq!(code, 1, "{arguments:?}: {text}");
        assert!(!text.contains("panicked"), "{text}");
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
