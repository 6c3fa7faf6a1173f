//! A good history passes every oracle; each doctored one is caught by the oracle it is meant for.

use super::{Violation, judge};
use crate::{
    history::{Answer, ClientHistory, Commit, Cursor, History, MachineHistory, Request, Session, Step, Told},
    plan::{Plan, plan},
    scenario,
};
use serde_json::{Value, json, value::to_raw_value};

fn quiet() -> Plan {
    let scenario = &scenario::select(&scenario::folder(None), "quiet_day").expect("there")[0];
    plan(1, scenario)
}

fn step(seq: usize, offset: u64, input: Value, events: Vec<(&str, Value)>) -> Step {
    let events = events.into_iter().map(|(name, payload)| (name.to_owned(), payload)).collect();
    Step { seq, offset, input, events, ..Step::default() }
}

fn command(key: &str) -> Value {
    json!({ "command": { "principal": "operator-1", "idempotency": { "key": key },
        "body": { "place": { "account": "paper-1" } } } })
}

fn fill(order: u64, position: u64, side: &str, price: &str, profit: &str) -> Value {
    json!({
        "accountId": "paper-1", "intentId": format!("i{order}"), "orderId": format!("o{order}"),
        "positionId": format!("p{position}"), "clientOrderId": format!("operator-{order}"), "symbol": "BTCUSD",
        "side": side, "volume": "0.1", "price": price, "commission": "-0.35", "realizedPnl": profit,
        "reason": "order",
    })
}

fn intent(order: u64) -> Value {
    let intent = format!("i{order}");
    json!({ "accountId": "paper-1", "intentId": intent, "origin": "user", "action": "place" })
}

fn stop(phase: &str) -> Value {
    json!({ "stopId": "s1", "scope": "global", "actions": ["pause", "cancel_all"], "phase": phase })
}

fn answer(seq: usize, body: Value) -> Answer {
    Answer { seq, ok: true, body, ..Answer::default() }
}

fn request(method: &str, key: Option<&str>, answers: Vec<Answer>) -> Request {
    let key = key.map(str::to_owned);
    let params = json!({ "accountId": "paper-1" });
    Request { method: method.into(), params, key, answers, done: true, ..Request::default() }
}

fn account(balance: &str, offset: u64, positions: Value) -> Value {
    json!({
        "accountId": "paper-1", "status": "connected", "balance": balance, "credit": "0", "equity": balance, "margin": "0", "freeMargin": balance,
        "positions": positions, "orders": [], "cursor": { "epoch": "e", "offset": offset },
    })
}

/// Buys, closes with a profit of ten, stops and resumes; told in full to one client.
fn good() -> History {
    let steps = vec![
        step(1, 1, json!({ "config": {} }), vec![]),
        step(
            2,
            2,
            command("k1"),
            vec![
                ("event.trade.intent", intent(1)),
                ("event.trade.executed", fill(1, 1, "buy", "60000", "0")),
            ],
        ),
        step(
            10,
            3,
            command("k2"),
            vec![
                ("event.trade.intent", intent(2)),
                ("event.trade.executed", fill(2, 1, "sell", "60100", "10")),
                ("event.trade.closed", json!({ "reason": "order" })),
            ],
        ),
        step(20, 4, command("k3"), vec![("event.emergency_stop", stop("latched"))]),
        step(30, 5, command("k4"), vec![("event.emergency_stop", stop("resumed"))]),
    ];
    let commits = [(3, 2), (11, 3), (21, 4), (31, 5)].map(|(seq, offset)| Commit { seq, offset });
    let mut told = Vec::new();
    for (index, (name, payload)) in steps.iter().flat_map(|s| s.events.clone()).enumerate() {
        let number = index as u64 + 1;
        let cursor = Some(Cursor { epoch: "e".into(), offset: number });
        let payload = to_raw_value(&payload).expect("JSON");
        told.push(Told { seq: 40 + index, name, frame_seq: number, cursor, payload });
    }
    let head = Some(Cursor { epoch: "e".into(), offset: 0 });
    let placed = |offset: u64, order: u64| json!({ "orderId": format!("o{order}"), "filledVolume": "0.1", "journalOffset": offset });
    let status = json!({ "latches": [], "cursor": { "offset": 7 } });
    let requests = vec![
        request("trades.place", Some("k1"), vec![answer(4, placed(2, 1)), answer(60, placed(2, 1))]),
        request("trades.closePosition", Some("k2"), vec![answer(12, json!({ "journalOffset": 3 }))]),
        request(
            "risk.emergencyStop",
            Some("k3"),
            vec![answer(22, json!({ "stopId": "s1", "latched": true, "journalOffset": 4 }))],
        ),
        request("risk.resume", Some("k4"), vec![answer(32, json!({ "journalOffset": 5 }))]),
        request("accounts.get", None, vec![answer(61, account("10009.3", 7, json!([])))]),
        request("risk.status", None, vec![answer(62, status)]),
        request("gateway.status", None, vec![answer(63, json!({ "state": "ready" }))]),
        request("gateway.ping", None, vec![answer(64, json!({}))]),
    ];
    let session = Session { seq: 1, head, told, ..Session::default() };
    let client =
        ClientHistory { name: "operator", sessions: vec![session], requests, ..ClientHistory::default() };
    let gateway =
        MachineHistory { name: "gateway", steps, commits: commits.to_vec(), ..MachineHistory::default() };
    History { gateway, clients: vec![client], ..History::default() }
}

/// The rules that a doctored copy of the good history breaks.
fn rules(doctor: impl FnOnce(&mut History)) -> Vec<(&'static str, &'static str)> {
    let mut history = good();
    doctor(&mut history);
    let found = judge(&quiet(), &history);
    found.into_iter().map(|Violation { oracle, rule, .. }| (oracle, rule)).collect()
}

#[test]
fn a_good_history_passes() {
    assert_eq!(judge(&quiet(), &good()), []);
}

#[test]
fn journal_sees_a_durable_offset_given_again() {
    let found = rules(|h| h.gateway.steps.push(step(50, 5, json!("wake"), vec![])));
    assert!(found.contains(&("journal", "LV06")), "{found:?}");
}

#[test]
fn journal_sees_a_gap_and_a_commit_of_nothing() {
    assert!(rules(|h| h.gateway.steps[4].offset = 6).contains(&("journal", "LV05")));
    assert!(rules(|h| h.gateway.commits.push(Commit { seq: 99, offset: 9 })).contains(&("journal", "LV05")));
    assert!(rules(|h| h.gateway.refused_starts.push((9, "corrupt".into()))).contains(&("journal", "LV05")));
}

#[test]
fn journal_lets_a_crash_undo_what_was_not_durable() {
    let found = rules(|h| {
        h.gateway.steps.push(step(70, 6, json!("wake"), vec![]));
        h.gateway.steps.push(step(80, 6, json!("end_of_data"), vec![]));
    });
    assert_eq!(found, []);
}

#[test]
fn journal_knows_that_a_commit_may_arrive_without_a_word() {
    let found = rules(|h| {
        h.gateway.commits.pop(); // of offset 5; the process dies before it hears of it
        h.clients[0].sessions[0].told[6].seq = 95;
        h.clients[0].requests[3].answers[0].seq = 96;
        h.gateway.starts = vec![0, 90];
        h.gateway.steps.push(step(91, 6, json!("wake"), vec![]));
    });
    assert_eq!(found, []);
}

#[test]
fn ledger_sees_wrong_money() {
    type Doctor = fn(&mut History);
    let cases: [(&str, &str, Doctor); 5] = [
        ("a profit that prices do not make", "AC12", |h| {
            h.gateway.steps[2].events[1].1["realizedPnl"] = json!("10.01");
        }),
        ("a commission of another size", "AC11", |h| {
            h.gateway.steps[1].events[1].1["commission"] = json!("-0.34");
        }),
        ("a balance that fills do not leave", "AC01", |h| {
            h.clients[0].requests[4].answers[0].body = account("10009.31", 7, json!([]));
        }),
        ("a position that is gone", "AC05", |h| {
            let ghost = json!([{ "positionId": "p1", "symbol": "BTCUSD", "side": "buy", "volume": "0.1", "openPrice": "1",
                "currentPrice": "1", "floating": "0", "swap": "0" }]);
            h.clients[0].requests[4].answers[0].body = account("10009.3", 7, ghost);
        }),
        ("a posting that does not add up", "AC01", |h| {
            h.gateway.steps[1].ledger =
                vec![json!({ "accountId": "paper-1", "amount": "1", "balanceAfter": "2" })];
        }),
    ];
    for (what, rule, doctor) in cases {
        let found = rules(doctor);
        assert!(found.contains(&("ledger", rule)), "{what}: {found:?}");
    }
}

#[test]
fn rk05_stop_sees_risk_added_under_a_latch() {
    let found = rules(|h| {
        let events =
            vec![("event.trade.intent", intent(3)), ("event.trade.executed", fill(3, 3, "buy", "1", "0"))];
        let mut late = step(25, 5, json!("wake"), events);
        late.events.iter_mut().for_each(|(_, payload)| payload["clientOrderId"] = Value::Null);
        h.gateway.steps.insert(4, late);
        h.gateway.steps[5].offset = 6;
    });
    assert!(found.contains(&("stop", "RK05")), "{found:?}");
}

#[test]
fn rk05_stop_sees_a_forgotten_and_an_unlogged_latch() {
    let forgotten = rules(|h| {
        h.clients[0].requests[5].answers[0].body["cursor"]["offset"] = json!(6);
    });
    assert!(forgotten.contains(&("stop", "RK05")), "{forgotten:?}");
    let unlogged = rules(|h| h.clients[0].requests[2].answers[0].body["stopId"] = json!("s2"));
    assert!(unlogged.contains(&("stop", "RK05")), "{unlogged:?}");
}

#[test]
fn rk05_stop_sees_terms_that_widen_under_a_latch() {
    let position = |name: &str, stop_loss: &str| {
        let position =
            json!({ "accountId": "paper-1", "positionId": "p7", "side": "sell", "stopLoss": stop_loss });
        (name.to_owned(), json!({ "position": position }))
    };
    let widens = |stop_loss: &str| {
        let mut history = good();
        history.gateway.steps[1].events.push(position("event.position.updated", "60100"));
        history.gateway.steps[3].events.push(position("event.trade.modified", stop_loss));
        let found = judge(&quiet(), &history);
        found.iter().any(|v| (v.oracle, v.rule) == ("stop", "RK05") && v.message.contains("widens terms"))
    };
    assert!(widens("60200"), "a short loses more further up");
    assert!(!widens("60050"), "closer is less");
}

#[test]
fn rk06_stop_sees_an_order_that_is_open_when_a_stop_is_complete() {
    let order = |status: &str| {
        let order = json!({ "accountId": "paper-1", "orderId": "o9", "status": status });
        ("event.order.updated".to_owned(), json!({ "order": order }))
    };
    let complete = |left: &str| {
        rules(|h| {
            h.gateway.steps[1].events.push(order("submitted"));
            h.gateway.steps[3].events.push(("event.emergency_stop".to_owned(), stop("completed")));
            h.gateway.steps[3].events.push(order(left));
        })
    };
    assert!(complete("pending_cancel").contains(&("stop", "RK06")));
    assert!(!complete("canceled").contains(&("stop", "RK06")), "its end is told in the same step");
}

#[test]
fn client_sees_gaps_lies_and_lost_acknowledgements() {
    type Doctor = fn(&mut History);
    let cases: [(&str, &str, Doctor); 9] = [
        ("a frame number left out", "GW01", |h| h.clients[0].sessions[0].told[3].frame_seq = 9),
        ("an event that was never told", "GW02", |h| drop(h.clients[0].sessions[0].told.remove(2))),
        ("an event told otherwise than logged", "GW02", |h| {
            let told = &mut h.clients[0].sessions[0].told[1];
            let mut payload = told.read();
            payload["price"] = json!("1");
            told.payload = to_raw_value(&payload).expect("JSON");
        }),
        ("an event that is not in the log", "GW02", |h| drop(h.gateway.steps.pop())),
        ("an event told before it was durable", "RK08", |h| h.clients[0].sessions[0].told[0].seq = 2),
        ("another answer to the same key", "GW03", |h| {
            h.clients[0].requests[0].answers[1].body["extra"] = json!(1);
        }),
        ("an effect twice", "GW03", |h| {
            let mut again = h.gateway.steps[3].clone();
            (again.seq, again.offset) = (50, 6);
            h.gateway.steps.push(again);
        }),
        ("an acknowledgement before the commit", "GW08", |h| h.clients[0].requests[0].answers[0].seq = 2),
        ("an acknowledgement that the journal lost", "LV06", |h| {
            h.clients[0].requests[0].answers[0].body["journalOffset"] = json!(77);
        }),
    ];
    for (what, rule, doctor) in cases {
        let found = rules(doctor);
        assert!(found.contains(&("client", rule)), "{what}: {found:?}");
    }
    let allowed = rules(|h| h.clients[0].name = "viewer");
    assert!(allowed.contains(&("client", "GW04")), "{allowed:?}");
}

#[test]
fn liveness_sees_what_was_left_open() {
    type Doctor = fn(&mut History);
    let cases: [(&str, &str, Doctor); 4] = [
        ("a request without an answer", "LV04", |h| h.clients[0].requests[0].done = false),
        ("an order of unknown fate", "OR01", |h| {
            h.clients[0].requests[4].answers[0].body["orders"] = json!([{ "status": "pending_cancel" }]);
        }),
        ("a gateway that is not ready", "LV04", |h| {
            h.clients[0].requests[6].answers[0].body["state"] = json!("starting");
        }),
        ("an end that never came", "LV04", |h| h.unfinished = Some("the drain".into())),
    ];
    for (what, rule, doctor) in cases {
        let found = rules(doctor);
        assert!(found.contains(&("liveness", rule)), "{what}: {found:?}");
    }
}
