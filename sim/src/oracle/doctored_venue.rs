//! A good history of an account at a venue passes; each doctored one is caught by the oracle it is meant
//! for.

use super::{Violation, judge};
use crate::{
    history::{Answer, ClientHistory, History, MachineHistory, Request, SentLine, Step},
    plan::{Plan, plan},
    scenario,
};
use serde_json::{Value, json};

fn one_account() -> Plan {
    let scenario = &scenario::select(&scenario::folder(None), "lost_ack").expect("there")[0];
    let mut plan = plan(1, scenario);
    plan.venues.truncate(1);
    plan.venues[0].accounts.truncate(1);
    plan
}

/// A step at the place 10 x `offset` of the trace.
fn step(offset: u64, input: Value, events: Vec<(String, Value)>) -> Step {
    Step { seq: 10 * offset as usize, offset, input, events, ..Step::default() }
}

fn link(event: Value) -> Value {
    json!({ "link": { "account": "link-1", "event": event } })
}

fn report(seq: u64, prev: u64) -> Value {
    link(json!({ "report": { "seq": seq, "prev": prev } }))
}

fn status(status: &str) -> (String, Value) {
    ("event.account.status".to_owned(), json!({ "accountId": "link-1", "status": status }))
}

fn order(account: &str, client_order: &str, id: &str, status: &str) -> (String, Value) {
    let order = json!({ "accountId": account, "clientOrderId": client_order, "orderId": id, "status": status,
            "volume": "0.1", "price": "59000" });
    ("event.order.updated".to_owned(), json!({ "order": order }))
}

fn modified(account: &str, client_order: &str, id: &str, price: &str) -> (String, Value) {
    let mut order = order(account, client_order, id, "accepted").1;
    order["order"]["price"] = json!(price);
    ("event.trade.modified".to_owned(), order)
}

fn protected(account: &str, stop_loss: &str) -> (String, Value) {
    let position = json!({ "accountId": account, "positionId": "p1", "stopLoss": stop_loss });
    ("event.trade.modified".to_owned(), json!({ "position": position }))
}

fn intent() -> (String, Value) {
    let intent = json!({ "accountId": "link-1", "intentId": "i1", "origin": "user", "action": "place" });
    ("event.trade.intent".to_owned(), intent)
}

fn fill(account: &str, client_order: &str) -> (String, Value) {
    let fill = json!({
        "accountId": account, "clientOrderId": client_order, "orderId": "o1", "positionId": "p1", "intentId": "i1", "symbol": "BTCUSD",
        "side": "buy", "volume": "0.1", "price": "60000", "commission": "-0.35", "realizedPnl": "0",
        "reason": "order",
    });
    ("event.trade.executed".to_owned(), fill)
}

fn posting(kind: &str, amount: &str, after: &str) -> Value {
    json!({ "accountId": "link-1", "kind": kind, "amount": amount, "balanceAfter": after })
}

fn submit(began: usize, order: &str) -> SentLine {
    SentLine { stream: 7, began, frame: json!({ "type": "submit", "order": order, "seq": 2 }) }
}

/// One order is filled, one rests; both sides agree.
fn good() -> History {
    let mut gateway = vec![
        step(1, json!("config"), vec![]),
        step(2, link(json!("up")), vec![status("reconciling")]),
        step(3, link(json!({ "snapshot": { "seq": 0 } })), vec![status("connected")]),
        step(
            4,
            json!({ "command": { "body": { "place": { "account": "link-1" } } } }),
            vec![intent(), order("link-1", "operator-1", "o1", "submitted")],
        ),
        step(5, json!("wake"), vec![order("link-1", "operator-2", "o2", "submitted")]),
        step(
            6,
            report(1, 0),
            vec![fill("link-1", "operator-1"), order("link-1", "operator-1", "o1", "filled")],
        ),
        step(7, report(3, 1), vec![order("link-1", "operator-2", "o2", "accepted")]),
    ];
    gateway[2].ledger = vec![posting("deposit", "10000", "10000")];
    gateway[5].ledger = vec![posting("commission", "-0.35", "9999.65")];
    let venue = vec![
        step(1, json!("config"), vec![]),
        step(2, json!("wake"), vec![fill("main-1", "e.o1"), order("main-1", "e.o1", "o1", "filled")]),
        step(3, json!("wake"), vec![order("main-1", "e.o2", "o2", "accepted")]),
    ];
    let logon = json!({ "type": "logon", "account": "main-1", "token": "***" });
    let sent = vec![SentLine { stream: 7, began: 15, frame: logon }, submit(45, "e.o1"), submit(55, "e.o2")];
    let machine = |name, steps| MachineHistory { name, steps, ..MachineHistory::default() };
    let gateway = machine("gateway", gateway);
    History { gateway, venues: vec![machine("venue-1", venue)], sent, ..History::default() }
}

/// What the oracles of venues find in a doctored copy.
fn found(doctor: impl FnOnce(&mut History)) -> Vec<(&'static str, &'static str)> {
    let mut history = good();
    doctor(&mut history);
    let rules = |v: Violation| (v.oracle, v.rule);
    let of_venues =
        |(oracle, _): &(&str, &str)| ["venue", "orders", "alarm", "stop", "journal"].contains(oracle);
    judge(&one_account(), &history).into_iter().map(rules).filter(of_venues).collect()
}

#[test]
fn a_good_history_of_a_venue_passes() {
    assert_eq!(found(|_| {}), []);
}

#[test]
fn lv07_venue_sees_an_order_that_was_sent_twice() {
    let twice = |h: &mut History| {
        h.venues[0].steps.push(step(4, json!("wake"), vec![order("main-1", "e.o2", "o9", "accepted")]));
    };
    assert!(found(twice).contains(&("venue", "LV07")));
    let again = |h: &mut History| h.sent.push(submit(75, "e.o1"));
    assert!(found(again).contains(&("venue", "LV07")), "a venue might take it for another");
    let foreign = |h: &mut History| h.venues[0].steps[2].events[0].1["order"]["clientOrderId"] = Value::Null;
    assert!(found(foreign).contains(&("venue", "LV03")));
    let exit = |h: &mut History| {
        let mut exit = order("main-1", "", "o9", "filled");
        exit.1["order"]["clientOrderId"] = Value::Null;
        exit.1["order"]["reason"] = json!("stop_loss");
        h.venues[0].steps.push(step(4, json!("wake"), vec![exit]));
    };
    assert_eq!(found(exit), [], "the venue's own exits bear no name of ours");
}

#[test]
fn lv01_lv02_lv03_orders_sees_where_the_two_sides_differ() {
    type Doctor = fn(&mut History);
    let cases: [(&str, &str, Doctor); 12] = [
        ("a fill that is not booked", "LV01", |h| drop(h.gateway.steps[5].events.remove(0))),
        ("a fill that is booked at another price", "LV01", |h| {
            h.gateway.steps[5].events[0].1["price"] = json!("60001");
        }),
        ("a position that nobody opened", "LV02", |h| {
            let mut second = fill("link-1", "operator-1");
            second.1["orderId"] = json!("o2");
            second.1["positionId"] = json!("p2");
            h.gateway.steps[6].events.push(second);
        }),
        ("a working order that was dropped", "LV03", |h| {
            h.gateway.steps[6].events[0].1["order"]["status"] = json!("canceled");
        }),
        ("an order that works here alone", "LV03", |h| {
            h.gateway.steps[6].events.push(order("link-1", "operator-3", "o3", "accepted"));
        }),
        ("an order that the gateway does not know", "LV03", |h| {
            h.venues[0].steps[2].events.insert(0, order("main-1", "e.o5", "o5", "accepted"));
        }),
        ("an executed order that ended here as rejected", "LV03", |h| {
            h.gateway.steps[6].events.push(order("link-1", "operator-3", "o3", "rejected"));
            h.venues[0].steps.push(step(4, json!("wake"), vec![order("main-1", "e.o3", "o3", "filled")]));
        }),
        ("terms that were never taken over", "LV03", |h| {
            h.venues[0].steps.push(step(4, json!("wake"), vec![modified("main-1", "e.o2", "o2", "58000")]));
            h.gateway.steps.push(step(8, report(4, 3), vec![]));
        }),
        ("other terms than the venue's", "LV03", |h| {
            h.gateway.steps[6].events.push(modified("link-1", "operator-2", "o2", "58000"));
        }),
        ("a protective level that the venue does not have", "LV03", |h| {
            h.gateway.steps[6].events.push(protected("link-1", "50000"));
        }),
        ("money that the venue does not have", "AC01", |h| {
            h.gateway.steps[2].ledger = vec![posting("deposit", "10001", "10001")];
        }),
        ("a fill that is never told", "LV04", |h| {
            h.venues[0].steps.push(step(4, json!("wake"), vec![fill("main-1", "e.o2")]));
            h.gateway.steps[6].at_ns = 60_000_000_000;
        }),
    ];
    for (what, rule, doctor) in cases {
        let found = found(doctor);
        assert!(found.contains(&("orders", rule)), "{what}: {found:?}");
    }
}

#[test]
fn orders_compares_as_of_the_last_report_that_was_taken_in() {
    // the venue went on; the gateway has not heard of it, and cannot
    let ahead = found(|h| {
        h.venues[0].steps.push(step(4, json!("wake"), vec![order("main-1", "e.o2", "o2", "canceled")]));
    });
    assert_eq!(ahead, []);
    let filled = found(|h| {
        let events = vec![fill("main-1", "e.o2"), order("main-1", "e.o2", "o2", "filled")];
        h.venues[0].steps.push(step(4, json!("wake"), events));
    });
    assert_eq!(filled, []);
    let changed = found(|h| {
        let terms = modified("main-1", "e.o2", "o2", "58000");
        h.venues[0].steps.push(step(4, json!("wake"), vec![terms, protected("main-1", "50000")]));
    });
    assert_eq!(changed, []);
    let taken = found(|h| {
        let at_venue = vec![modified("main-1", "e.o2", "o2", "58000"), protected("main-1", "50000")];
        h.venues[0].steps.push(step(4, json!("wake"), at_venue));
        let here = |account| modified(account, "operator-2", "o2", "58000");
        h.gateway.steps.push(step(8, report(4, 3), vec![here("link-1")]));
        h.gateway.steps.push(step(9, report(5, 4), vec![protected("link-1", "50000")]));
    });
    assert_eq!(taken, []);
    // a report behind a gap is not taken in, nor is one without a session
    for doctor in [(|h| h.gateway.steps[6].input = report(3, 2)) as fn(&mut History), |h| {
        h.gateway.steps[5].events.push(status("disconnected"))
    }] {
        assert!(found(doctor).contains(&("orders", "LV03")), "order 2 rests here, and by no report");
    }
}

#[test]
fn an_account_that_never_connects_is_for_liveness_alone() {
    let mut history = good();
    // the link comes up, and no books come; nothing was ever sent
    history.gateway.steps.truncate(2);
    history.venues[0].steps.truncate(1);
    history.sent.truncate(1);
    let looked = |method: &str, body: Value| Request {
        method: method.into(),
        params: json!({ "accountId": "link-1" }),
        sent: vec![90],
        answers: vec![Answer { seq: 91, sent: 90, ok: true, body }],
        done: true,
        ..Request::default()
    };
    let requests = vec![
        looked("accounts.get", json!({ "accountId": "link-1", "status": "disconnected", "orders": [] })),
        looked("risk.status", json!({ "cursor": { "epoch": "e", "offset": 0 } })),
        looked("gateway.status", json!({ "state": "ready" })),
        looked("gateway.ping", json!({})),
    ];
    let sees = Some(["link-1".to_owned()].into());
    history.clients.push(ClientHistory { name: "operator", sees, requests, ..ClientHistory::default() });
    let found: Vec<_> =
        judge(&one_account(), &history).into_iter().map(|v| (v.oracle, v.rule, v.message)).collect();
    let complaint = r#""link-1" is "disconnected" in the end"#.to_owned();
    assert_eq!(found, [("liveness", "LV04", complaint)]);
}

#[test]
fn rk05_stop_sees_an_opening_order_leave_under_a_stop() {
    let stopped = |account: Option<&'static str>, line: SentLine, resumed: Option<usize>| {
        found(move |h| {
            let stop =
                |phase: &str| json!({ "stopId": "s1", "id": account, "actions": ["pause"], "phase": phase });
            h.gateway.steps[3].events.push(("event.emergency_stop".into(), stop("latched")));
            h.gateway.commits.push(crate::history::Commit { seq: 41, offset: 4 });
            if let Some(at) = resumed {
                h.gateway.steps[at].events.push(("event.emergency_stop".into(), stop("resumed")));
            }
            let answer = Answer {
                seq: 56,
                ok: true,
                body: json!({ "stopId": "s1", "latched": true }),
                ..Answer::default()
            };
            let asked =
                Request { method: "risk.emergencyStop".into(), answers: vec![answer], ..Request::default() };
            h.clients =
                vec![ClientHistory { name: "operator", requests: vec![asked], ..ClientHistory::default() }];
            h.sent.push(line);
        })
    };
    let reduces = SentLine {
        frame: json!({ "type": "submit", "order": "e.o3", "position": "p1", "seq": 3 }),
        ..submit(58, "e.o3")
    };
    assert!(stopped(None, submit(58, "e.o3"), None).contains(&("stop", "RK05")));
    assert!(stopped(Some("link-1"), submit(58, "e.o3"), None).contains(&("stop", "RK05")));
    assert!(stopped(None, submit(58, "e.o3"), Some(6)).contains(&("stop", "RK05")), "resumed too late");
    assert_eq!(stopped(Some("link-2"), submit(58, "e.o3"), None), [], "another account");
    assert_eq!(stopped(None, submit(56, "e.o3"), None), [], "before the answer");
    assert_eq!(stopped(None, submit(58, "e.o3"), Some(4)), [], "resumed before");
    assert_eq!(stopped(None, reduces, None), [], "reductions go on");
}

#[test]
fn rk05_stop_sees_terms_that_add_risk_leave_under_a_stop() {
    let stop = |h: &mut History| {
        let stop = json!({ "stopId": "s1", "actions": ["pause"], "phase": "latched" });
        h.gateway.steps[3].events.push(("event.emergency_stop".into(), stop));
        h.gateway.commits.push(crate::history::Commit { seq: 41, offset: 4 });
        let answer = Answer {
            seq: 56,
            ok: true,
            body: json!({ "stopId": "s1", "latched": true }),
            ..Answer::default()
        };
        let asked =
            Request { method: "risk.emergencyStop".into(), answers: vec![answer], ..Request::default() };
        h.clients =
            vec![ClientHistory { name: "operator", requests: vec![asked], ..ClientHistory::default() }];
    };
    let changed = |began: usize, order: &str, volume: &str, price: &str, stop_loss: Option<&str>| {
        found(move |h| {
            stop(h);
            let frame = |kind: &str, seq, volume: &str, price: &str, stop_loss: Option<&str>| {
                json!({ "type": kind, "order": "e.o3", "seq": seq, "side": "buy", "volume": volume, "price": price,
                    "stopLoss": stop_loss.map(|price| json!({ "price": price })) })
            };
            let placed = frame("submit", 3, "0.10", "59000.00", Some("58000.00"));
            h.sent.push(SentLine { frame: placed, ..submit(50, "e.o3") });
            let mut terms = frame("modify", 4, volume, price, stop_loss);
            terms["order"] = json!(order);
            h.sent.push(SentLine { frame: terms, ..submit(began, "e.o3") });
        })
    };
    let as_was = Some("58000.00");
    for (volume, price, stop_loss) in [
        ("0.20", "59000.00", as_was),
        ("0.10", "59500.00", as_was),
        ("0.10", "59000.00", None),
        ("0.10", "59000.00", Some("57000.00")),
    ] {
        let case = format!("{volume} at {price}, {stop_loss:?}");
        assert!(changed(58, "e.o3", volume, price, stop_loss).contains(&("stop", "RK05")), "{case}");
        assert_eq!(changed(55, "e.o3", volume, price, stop_loss), [], "before the answer: {case}");
    }
    assert_eq!(changed(58, "e.o3", "0.05", "59000.00", Some("58500.00")), [], "it lowers risk");
    assert_eq!(changed(58, "e.o9", "0.20", "59500.00", None), [], "a reduction's terms");

    let protected = |side: &'static str, stop_loss: Option<&'static str>| {
        found(move |h| {
            stop(h);
            let fills = h.venues[0].steps.iter_mut().flat_map(|step| &mut step.events);
            fills.filter(|(name, _)| name == "event.trade.executed").for_each(|(_, fill)| {
                fill["side"] = json!(side);
            });
            for (began, stop_loss) in [(50, Some("50000.00")), (58, stop_loss)] {
                let stop_loss = stop_loss.map(|price| json!({ "price": price }));
                let frame = json!({ "type": "modify", "position": "p1", "seq": 3, "stopLoss": stop_loss });
                h.sent.push(SentLine { frame, ..submit(began, "e.o3") });
            }
        })
    };
    let strikes = |side, stop_loss| protected(side, stop_loss).contains(&("stop", "RK05"));
    assert!(strikes("buy", None) && strikes("buy", Some("49000.00")) && strikes("sell", Some("51000.00")));
    assert!(!strikes("buy", Some("51000.00")) && !strikes("sell", Some("49000.00")), "they are tighter");

    // levels that the venue refused protect nothing: what comes after them is not looser
    let after = |kind: &'static str| {
        found(move |h| {
            stop(h);
            let answer = json!({ "kind": kind, "position": "p1", "reason": "STOPS_INVALID" });
            let report = json!({ "seq": 0, "prev": 0, "report": answer });
            let link = json!({ "link": { "account": "link-1", "event": { "report": report } } });
            h.gateway.steps.push(step(8, link, vec![]));
            for (began, stop_loss) in [(70, "50000.00"), (90, "49000.00")] {
                let stop_loss = json!({ "price": stop_loss });
                let frame = json!({ "type": "modify", "position": "p1", "seq": 3, "stopLoss": stop_loss });
                h.sent.push(SentLine { frame, ..submit(began, "e.o3") });
            }
        })
    };
    assert!(after("modified").contains(&("stop", "RK05")));
    assert!(!after("modify_rejected").contains(&("stop", "RK05")));
}

#[test]
fn alarm_sees_what_a_machine_noted() {
    let noted = |mark: &str| {
        let mark = mark.to_owned();
        found(|h| h.alarms.push((5, "gateway", mark)))
    };
    assert_eq!(noted("illegal_transition"), [("alarm", "OR01")]);
    assert_eq!(noted("link_fault"), [("alarm", "LV03")]);
}

#[test]
fn lv06_journal_judges_venues_too() {
    let again = found(|h| {
        h.venues[0].commits.push(crate::history::Commit { seq: 31, offset: 3 });
        h.venues[0].steps.push(Step { seq: 40, ..step(3, json!("wake"), vec![]) });
    });
    assert!(again.contains(&("journal", "LV06")), "{again:?}");
}
