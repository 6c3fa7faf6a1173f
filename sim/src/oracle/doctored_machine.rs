//! The history of a machine alone: a good one passes, each doctored one is caught.

use super::{Violation, judge_machine};
use crate::history::{History, MachineHistory, Step};
use serde_json::{Value, json};

fn config(commission: &str) -> Value {
    let paper = |id: &str, currency: &str| {
        json!({ "id": id, "connector": "paper", "currency": currency, "deposit": "10000",
            "commission_per_lot": commission })
    };
    let venue = json!({ "id": "demo-1", "connector": "venue", "currency": "USD", "deposit": "0",
        "commission_per_lot": "0" });
    json!({ "config": {
        "instruments": [
            { "symbol": "XAUUSD", "contract_size": "100", "quote_currency": "USD" },
            { "symbol": "USDJPY", "contract_size": "100000", "quote_currency": "JPY" },
        ],
        "accounts": [paper("paper-1", "USD"), venue],
    } })
}

fn fill(number: u64, position: u64, side: &str, price: &str, profit: &str) -> (String, Value) {
    let payload = json!({
        "accountId": "paper-1", "intentId": format!("i{number}"), "positionId": format!("p{position}"),
        "symbol": "XAUUSD", "side": side, "volume": "0.1", "price": price, "commission": "-0.35",
        "realizedPnl": profit,
    });
    ("event.trade.executed".to_owned(), payload)
}

fn intent(number: u64) -> (String, Value) {
    let payload = json!({
        "accountId": "paper-1", "intentId": format!("i{number}"), "origin": "user", "action": "place",
    });
    ("event.trade.intent".to_owned(), payload)
}

fn order() -> Value {
    json!({ "command": { "origin": "user", "body": { "place": { "account": "paper-1" } } } })
}

fn stop(phase: &str) -> (String, Value) {
    let payload = json!({ "stopId": "s1", "actions": ["cancel_all"], "phase": phase });
    ("event.emergency_stop".to_owned(), payload)
}

fn posting(account: &str, kind: &str, amount: &str, after: &str) -> Value {
    json!({ "accountId": account, "kind": kind, "amount": amount, "balanceAfter": after })
}

/// A deposit, a purchase, a sale with a profit of ten, and a stop.
fn good() -> History {
    let step = |seq: usize, input: Value, events: Vec<(String, Value)>, ledger: Vec<Value>| Step {
        seq,
        offset: seq as u64,
        events,
        ledger,
        input,
        ..Step::default()
    };
    let own = |kind, amount, after| posting("paper-1", kind, amount, after);
    let steps = vec![
        step(1, config("3.50"), vec![], vec![own("deposit", "10000", "10000")]),
        step(
            2,
            order(),
            vec![intent(1), fill(1, 1, "buy", "2000", "0")],
            vec![own("commission", "-0.35", "9999.65")],
        ),
        step(
            3,
            order(),
            vec![intent(2), fill(2, 1, "sell", "2001", "10")],
            vec![own("pnl", "10", "10009.65"), own("commission", "-0.35", "10009.3")],
        ),
        step(4, json!({}), vec![stop("latched")], vec![]),
        step(5, json!({}), vec![stop("resumed")], vec![posting("demo-1", "deposit", "77", "77")]),
    ];
    History {
        gateway: MachineHistory { name: "gateway", steps, ..MachineHistory::default() },
        ..History::default()
    }
}

fn rules(from_genesis: bool, doctor: impl FnOnce(&mut Vec<Step>)) -> Vec<(&'static str, &'static str)> {
    let mut history = good();
    doctor(&mut history.gateway.steps);
    let found = judge_machine(&history, from_genesis);
    found.into_iter().map(|Violation { oracle, rule, .. }| (oracle, rule)).collect()
}

#[test]
fn a_good_history_passes_whole_and_from_the_middle() {
    assert_eq!(rules(true, |_| {}), []);
    for skipped in 1..5 {
        let later = |steps: &mut Vec<Step>| {
            steps.drain(..skipped);
            (1..).zip(steps).for_each(|(offset, step)| step.offset = offset);
        };
        assert_eq!(rules(false, later), [], "from step {skipped} on");
    }
}

#[test]
fn ledger_sees_money_that_no_fill_made() {
    let wrong = |found: Vec<(&'static str, &'static str)>, rule: &'static str| {
        assert!(found.contains(&("ledger", rule)), "{rule} is not in {found:?}");
    };
    wrong(rules(true, |steps| steps[1].ledger[0]["balanceAfter"] = "9999.66".into()), "AC01");
    wrong(rules(false, |steps| steps[2].ledger[1]["balanceAfter"] = "10009.4".into()), "AC01");
    wrong(rules(true, |steps| steps[2].events[1].1["realizedPnl"] = "11".into()), "AC12");
    wrong(rules(true, |steps| steps[1].events[1].1["commission"] = "-0.36".into()), "AC11");
    wrong(rules(true, |steps| steps[0].input = config("7")), "AC11");
    wrong(rules(true, |steps| steps[0].ledger[0]["amount"] = "9999".into()), "AC01");
    wrong(rules(true, |steps| steps[2].events[1].1["volume"] = "0.2".into()), "OR03");
    // the posting fits the fill before it, but there is no such fill
    let unearned = |steps: &mut Vec<Step>| steps[3].ledger.push(posting("paper-1", "pnl", "5", "10014.3"));
    wrong(rules(true, unearned), "AC01");
}

#[test]
fn what_a_refused_connect_said_of_an_account_does_not_count() {
    let refused = |result: Value| {
        rules(true, move |steps| {
            let settings = &config("9")["config"]["accounts"][0];
            steps.insert(1, Step { offset: 2, seq: 2, ..Step::default() });
            steps[1].input = json!({ "command": { "body": { "connect": { "settings": settings } } } });
            steps[1].replies = vec![json!({ "result": result })];
            (1..).zip(steps).for_each(|(offset, step)| step.offset = offset);
        })
    };
    assert_eq!(refused(json!({ "Err": { "code": "CONFLICT" } })), []);
    assert!(refused(json!({ "Ok": {} })).contains(&("ledger", "AC11")));
}

#[test]
fn money_that_was_converted_is_left_to_the_postings() {
    let converted = |steps: &mut Vec<Step>| {
        for step in &mut steps[1..3] {
            step.events[1].1["symbol"] = "USDJPY".into();
        }
    };
    assert_eq!(rules(true, converted), []);
}

#[test]
fn session_sees_a_fill_of_a_closed_market() {
    // 2024-01-06 was a Saturday
    assert_eq!(rules(true, |steps| steps[2].now_ns = 1_704_542_400_000_000_000), [("session", "OR09")]);
}

#[test]
fn cause_sees_what_nobody_asked_for_where_people_trade() {
    let restart = |steps: &mut Vec<Step>| steps[1].input = json!({ "gateway": "ready" });
    assert_eq!(rules(true, restart), [("cause", "LV07")]);
    assert_eq!(rules(false, restart), [], "what came before may be the cause");
    let by_a_strategy = |steps: &mut Vec<Step>| {
        restart(steps);
        steps[0].input["config"]["strategies"] = json!([{ "name": "sma_cross" }]);
    };
    assert_eq!(rules(true, by_a_strategy), []);
}

#[test]
fn stop_sees_risk_that_is_added_after_the_latch() {
    let bought = |steps: &mut Vec<Step>| {
        let (events, ledger) =
            (steps[1].events.clone(), posting("paper-1", "commission", "-0.35", "10008.95"));
        steps[3].input = order();
        steps[3].events.extend(events);
        steps[3].events[2].1["positionId"] = "p2".into();
        steps[3].ledger.push(ledger);
    };
    assert_eq!(rules(true, bought), [("stop", "RK05")]);
    let at_a_venue = |steps: &mut Vec<Step>| {
        bought(steps);
        steps[3].events.remove(1); // it was wanted before
        steps[3].ledger.clear();
        steps[3].events[1].1["accountId"] = "demo-1".into();
        steps[1].events[0].1["accountId"] = "demo-1".into();
        steps[1].input["command"]["body"]["place"]["account"] = "demo-1".into();
    };
    assert_eq!(rules(true, at_a_venue), [], "the word to a venue takes its time");
}
