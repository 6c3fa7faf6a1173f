//! Plans of inputs without a journal: what they must refuse, notice and leave out.

use super::*;
use crate::{
    history::History,
    oracle,
    outcome::Outcome,
    plan_file::{self, AnyPlan, PlanFileError},
    shrink::{Budget, Signature},
};
use lockstep::domain::{
    account::{AccountConfig, AccountMode, PositionMode},
    config::{Config, Limits},
    id::{AccountId, CommandId},
    instrument::{InstrumentId, Price},
    message::{
        ClosePosition, CloseTarget, Command, CommandBody, GatewayState, LinkEvent, LinkInput, Outputs,
        PlaceOrder,
    },
    money::Currency,
    order::{Origin, Side},
    time::SECOND_NS,
};
use rust_decimal::Decimal;
use serde_json::{Value, json};
use std::{path::Path, time::Duration};

const BTCUSD: InstrumentId = InstrumentId(4);
const LIMIT: Duration = Duration::from_secs(60);

fn account(id: &str) -> AccountId {
    AccountId::new(id).expect("an identifier")
}

fn config() -> Config {
    let mut config = Config::built_in();
    config.accounts = ["paper-1", "paper-2"]
        .map(|id| AccountConfig {
            id: account(id),
            label: id.to_owned(),
            mode: AccountMode::Paper,
            connector: "paper".to_owned(),
            currency: Currency::USD,
            leverage: 100,
            position_mode: PositionMode::Hedging,
            deposit: Decimal::from(10_000),
            commission_per_lot: Decimal::from(3),
            allowed_symbols: Vec::new(),
            limits: Limits::default(),
            link: None,
            added: false,
        })
        .into();
    config
}

fn command(offset: u64, principal: &str, body: CommandBody) -> Input {
    Input::Command(Box::new(Command {
        id: CommandId(offset),
        principal: principal.to_owned(),
        origin: Origin::User,
        idempotency: None,
        prior: None,
        overtaken: false,
        body,
    }))
}

/// Two principals, each on an account of its own, who buy and close while the market moves.
fn inputs() -> Vec<Input> {
    let mut inputs = vec![Input::Config(Box::new(config())), Input::Gateway(GatewayState::Ready)];
    for round in 0..12_i64 {
        let bid = 6_000_000 + round * 700;
        inputs.push(Input::Quote { instrument: BTCUSD, bid: Price(bid), ask: Price(bid + 1_000) });
        let (principal, on) =
            if round % 2 == 0 { ("operator-1", "paper-1") } else { ("operator-2", "paper-2") };
        let body = if round % 4 < 2 {
            let volume = Decimal::new(10, 2);
            CommandBody::Place(PlaceOrder::market(account(on), "BTCUSD".to_owned(), Side::Buy, volume))
        } else {
            let target = CloseTarget::Symbol("BTCUSD".to_owned());
            CommandBody::Close(ClosePosition { account: account(on), target, volume: None, reason: None })
        };
        inputs.push(command(inputs.len() as u64 + 1, principal, body));
    }
    inputs
}

/// News of an account that nobody configured: the machine notes an alarm.
fn orphan() -> Input {
    let event = LinkEvent::Down { reason: "nobody's".to_owned() };
    Input::Link(Box::new(LinkInput { account: account("nobody"), event }))
}

/// The plan that a journal of these inputs is imported as, from the state after the first `skipped`.
fn plan(inputs: &[Input], skipped: usize) -> InputsPlan {
    let (mut machine, mut out) = (Machine::new(), Outputs::default());
    let start = UnixNanos::parse("2024-01-08T12:00:00Z").expect("an instant");
    let (mut beginning, mut records) = (Beginning::Genesis, Vec::new());
    for (offset, input) in (1_u64..).zip(inputs) {
        let (now, before) = (start.plus(offset as i64 * SECOND_NS), machine.output_hash());
        machine.step(now, input, &mut out);
        let changed = machine.output_hash() != before;
        records.push(Arc::new(InputRecord {
            offset,
            now_ns: now.0,
            input: input.clone(),
            output_hash: changed.then(|| Digest(machine.output_hash())),
        }));
        if offset == skipped as u64 {
            records.clear();
            beginning = Beginning::Snapshot(State {
                offset,
                version: Machine::STATE_VERSION,
                hash: Digest(machine.state_hash()),
                text: String::from_utf8(machine.encode()).expect("JSON").into(),
            });
        }
    }
    let end =
        End { state_hash: Some(Digest(machine.state_hash())), output_hash: Digest(machine.output_hash()) };
    let (engine, epoch) = (ENGINE_VERSION.to_owned(), "0123456789abcdef".to_owned());
    InputsPlan { engine, epoch, beginning, records, end: Some(end) }
}

fn through_a_file(plan: &InputsPlan, change: impl FnOnce(&mut Value)) -> Result<AnyPlan, PlanFileError> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("plan.json");
    plan_file::write_inputs(plan, &path).expect("written");
    let mut value: Value =
        serde_json::from_str(&std::fs::read_to_string(&path).expect("there")).expect("it is JSON");
    change(&mut value);
    std::fs::write(&path, value.to_string()).expect("written");
    plan_file::read(&path)
}

#[track_caller]
fn assert_ends(plan: &InputsPlan, outcome: Outcome, says: &str) -> Replayed {
    assert_eq!(plan.flaw(), None);
    let replayed = run(plan, LIMIT);
    let Replayed { report, .. } = &replayed;
    assert_eq!(report.outcome, outcome, "{:?} {:?}", report.violations, report.notes);
    let said: Vec<&str> = report.violations.iter().map(|v| v.message.as_str()).collect();
    let said = said.into_iter().chain(report.notes.iter().map(String::as_str)).collect::<Vec<_>>().join("; ");
    assert!(said.contains(says), "`{said}` does not say `{says}`");
    replayed
}

#[test]
fn dt03_a_plan_survives_its_file_and_replays_to_its_hashes_from_the_beginning_and_from_a_snapshot() {
    for skipped in [0, 9] {
        let plan = plan(&inputs(), skipped);
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("plan.json");
        plan_file::write_inputs(&plan, &path).expect("written");
        assert_eq!(plan_file::read(&path).expect("read"), AnyPlan::Inputs(plan.clone()));
        let lines = std::fs::read_to_string(&path).expect("there").lines().count();
        assert_eq!(lines, plan.records.len() + 2, "a record in each line");
        let replayed = assert_ends(&plan, Outcome::Ok, "");
        let end = plan.end.expect("whole");
        let hashes = replayed.hashes.map(|(state, output)| (Some(Digest(state)), Digest(output)));
        assert_eq!(hashes, Some((end.state_hash, end.output_hash)));
        assert_eq!(replayed.records, inputs().len() - skipped);
        assert!(replayed.events > 10 && !replayed.report.trace.is_empty());
        assert_eq!(run(&plan, LIMIT).report.trace_hash(), replayed.report.trace_hash(), "twice the same");
    }
}

/// The oracles read of a trace what they need, and not all of it.
#[test]
fn what_a_machine_says_is_judged_by_what_was_configured() {
    let trace = run(&plan(&inputs(), 0), LIMIT).report.trace;
    let judged = |commission: &str| {
        let mut history = History::from_trace(&trace, 0);
        for (_, fill) in history.gateway.steps.iter_mut().flat_map(|step| &mut step.events) {
            if !fill["commission"].is_null() {
                fill["commission"] = commission.into();
            }
        }
        let found = oracle::judge_machine(&history, true);
        found.into_iter().map(|violation| violation.rule).collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(judged("-0.30"), [].into(), "three a lot, as configured");
    assert_eq!(judged("-0.31"), ["AC01", "AC11"].into());
}

#[test]
fn dt03_a_record_that_was_altered_is_named() {
    let whole = plan(&inputs(), 0);
    let altered = |place: usize, alter: &dyn Fn(&mut InputRecord)| {
        let mut plan = whole.clone();
        alter(Arc::make_mut(&mut plan.records[place]));
        plan
    };
    let price = altered(2, &|record| {
        record.input = Input::Quote { instrument: BTCUSD, bid: Price(6_000_100), ask: Price(6_001_100) };
    });
    assert_ends(&price, Outcome::Nondeterminism, "record 4 gives other outputs");
    let hash = altered(7, &|record| record.output_hash = Some(Digest(blake3::hash(b"other"))));
    let replayed = assert_ends(&hash, Outcome::Nondeterminism, "record 8 gives other outputs");
    assert_eq!(replayed.report.outcome.exit_code(), 13);
    let silent = altered(3, &|record| record.output_hash = None);
    assert_ends(&silent, Outcome::Nondeterminism, "record 4 gives other outputs");
    let mut state = whole.clone();
    state.end.as_mut().expect("whole").state_hash = Some(Digest(blake3::hash(b"other")));
    assert_ends(&state, Outcome::Nondeterminism, "record 26 gives other state");
    let mut shorter = whole;
    shorter.records.pop();
    assert_ends(&shorter, Outcome::Nondeterminism, "record 25 gives other outputs");
}

#[test]
fn what_is_no_plan_of_inputs_is_refused_with_its_field() {
    let (whole, later) = (plan(&inputs(), 0), plan(&inputs(), 9));
    let check = |plan: &InputsPlan, change: &dyn Fn(&mut Value), expected: &str| {
        let error = through_a_file(plan, change).expect_err(expected).to_string();
        assert!(error.contains(expected) && error.lines().count() == 1, "`{error}` is not `{expected}`");
    };
    check(&whole, &|v| v["version"] = 2.into(), "version 2; this program reads version 1");
    check(&whole, &|v| v["kind"] = "outputs".into(), "unknown variant `outputs`");
    check(
        &whole,
        &|v| v["plan"]["records"][3]["input"]["command"]["body"] = json!({}),
        "`plan.records[3].input",
    );
    check(
        &whole,
        &|v| v["plan"]["records"][2]["input"]["quote"]["bid"] = "x".into(),
        "`plan.records[2].input",
    );
    check(&whole, &|v| v["plan"]["records"][2]["nowNs"] = 1.into(), "unknown field `nowNs`");
    let unknown = |v: &mut Value| v["plan"]["records"][3]["input"]["command"]["colour"] = "red".into();
    check(&whole, &unknown, "`plan.records[3].input`: it holds a field that this version does not know");
    check(
        &whole,
        &|v| v["plan"]["records"][5]["offset"] = 9.into(),
        "`plan.records[5].offset`: 9 does not follow 5",
    );
    check(
        &whole,
        &|v| v["plan"]["records"][5]["output_hash"] = "ab".into(),
        "a hash is 64 hexadecimal digits",
    );
    check(
        &whole,
        &|v| v["plan"]["engine"] = "0.0.1".into(),
        "its hashes are of engine 0.0.1, this program has",
    );
    check(
        &whole,
        &|v| v["plan"]["end"] = Value::Null,
        "`plan.records[0].output_hash`: there is no `plan.end`",
    );
    let snapshot =
        |v: &mut Value, field: &str, value: Value| v["plan"]["beginning"]["snapshot"][field] = value;
    check(&later, &|v| snapshot(v, "text", "{".into()), "`plan.beginning.snapshot.text`");
    check(&later, &|v| snapshot(v, "version", 99.into()), "was written as version 99");
    check(&later, &|v| snapshot(v, "hash", "0".repeat(64).into()), "`plan.beginning.snapshot.hash`");
    check(&later, &|v| snapshot(v, "offset", 3.into()), "`plan.records[0].offset`: 10 does not follow 3");
}

fn endless() -> Budget<'static> {
    Budget { jobs: 2, goes_on: &|| true }
}

/// What a search makes of a plan that fails.
fn shrunk(plan: &InputsPlan) -> InputsPlan {
    let report = run(plan, LIMIT).report;
    let wanted = Signature::of(&report).expect("it fails");
    let fails = |plan: &InputsPlan| Signature::of(&run(plan, LIMIT).report).as_ref() == Some(&wanted);
    let small = shrink(plan, &report, &fails, &endless()).plan;
    assert!(fails(&small), "what is left fails in the same way");
    small
}

#[test]
fn an_alarm_fails_and_shrinks_to_what_it_takes() {
    let mut inputs = inputs();
    inputs.insert(14, orphan());
    let plan = plan(&inputs, 0);
    let replayed = assert_ends(&plan, Outcome::Safety, "noted `orphan_report`");
    assert!(replayed.report.violations.iter().all(|v| (v.oracle, v.rule) == ("alarm", "LV03")));
    let small = shrunk(&plan);
    let offsets: Vec<u64> = small.records.iter().map(|record| record.offset).collect();
    assert_eq!(offsets, [1, 15], "the configuration and the news");
    assert!(small.end.is_none() && small.records.iter().all(|record| record.output_hash.is_none()));
    let AnyPlan::Inputs(read) =
        through_a_file(&small, |v| v["plan"]["engine"] = "0.0.1".into()).expect("it holds")
    else {
        panic!("a plan of inputs");
    };
    assert_ends(&read, Outcome::Safety, "orphan_report");
}

#[test]
fn a_panic_is_told_with_its_record_and_shrinks() {
    let mut broken = config();
    broken.instruments[usize::from(BTCUSD.0)].calendar = 99;
    let mut bad = plan(&inputs(), 0);
    bad.end = None;
    bad.records.iter_mut().for_each(|record| Arc::make_mut(record).output_hash = None);
    Arc::make_mut(&mut bad.records[0]).input = Input::Config(Box::new(broken));
    let replayed = assert_ends(&bad, Outcome::Panic, "at record ");
    assert_eq!(replayed.report.outcome.exit_code(), 12);
    assert!(replayed.hashes.is_none(), "a machine that panicked is in no state");
    let small = shrunk(&bad);
    assert!(small.records.len() <= 2, "{:?}", small.records);
}

#[test]
fn a_difference_shrinks_to_the_record_that_makes_it_and_no_further() {
    let mut bad = plan(&inputs(), 0);
    Arc::make_mut(&mut bad.records[9]).output_hash = Some(Digest(blake3::hash(b"other")));
    let small = shrunk(&bad);
    assert_eq!(small.records.len(), 10);
    assert_eq!(small.flaw(), None);
    assert_ends(&small, Outcome::Nondeterminism, "record 10 gives other outputs");
}

#[test]
fn whole_principals_accounts_and_instruments_go_at_once() {
    let mut inputs = inputs();
    inputs.push(orphan());
    let plan = plan(&inputs, 0);
    let report = run(&plan, LIMIT).report;
    // needs what operator-2 does, all of it, and never half of what operator-1 does
    let of = |plan: &InputsPlan, principal: &str| {
        let commands = plan.records.iter().filter_map(|record| match &record.input {
            Input::Command(command) => Some(&command.principal),
            _ => None,
        });
        commands.filter(|asks| *asks == principal).count()
    };
    let (first, second) = (of(&plan, "operator-1"), of(&plan, "operator-2"));
    let fails =
        |plan: &InputsPlan| of(plan, "operator-2") == second && [0, first].contains(&of(plan, "operator-1"));
    let small = shrink(&plan, &report, &fails, &endless()).plan;
    assert_eq!((small.records.len(), of(&small, "operator-1")), (second, 0));
}

#[test]
fn a_plan_file_is_its_owners_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let path: &Path = &folder.path().join("plan.json");
    plan_file::write_inputs(&plan(&inputs(), 0), path).expect("written");
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(path).expect("there").permissions());
    assert_eq!(mode & 0o777, 0o600);
}
