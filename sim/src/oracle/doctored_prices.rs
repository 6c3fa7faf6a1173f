//! A good history of quotes and fills passes; each doctored one is caught by `prices`.

use super::judge;
use crate::{
    history::{History, MachineHistory, Step},
    plan::{Plan, plan},
    scenario,
};
use serde_json::{Value, json};

fn quiet() -> Plan {
    plan(1, &scenario::select(&scenario::folder(None), "quiet_day").expect("there")[0])
}

fn quote(bid: i64, ask: i64) -> Value {
    json!({ "quote": { "instrument": 0, "bid": bid, "ask": ask } })
}

fn fill(side: &str, price: &str, reason: &str) -> (String, Value) {
    let fill = json!({
        "accountId": "paper-1", "orderId": "o1", "positionId": "p1", "symbol": "EURUSD", "side": side,
        "volume": "0.1", "price": price, "commission": "0", "realizedPnl": "0", "reason": reason,
    });
    ("event.trade.executed".to_owned(), fill)
}

fn order(limit: &str) -> (String, Value) {
    let order = json!({ "accountId": "paper-1", "orderId": "o1", "type": "limit", "price": limit });
    ("event.order.updated".to_owned(), json!({ "order": order }))
}

fn levels(stop_loss: &str) -> (String, Value) {
    let position = json!({ "accountId": "paper-1", "positionId": "p1", "stopLoss": stop_loss });
    ("event.position.updated".to_owned(), json!({ "position": position }))
}

/// A limit rests and is filled by a better price; a gap goes through the stop loss.
fn good() -> History {
    const MONDAY: i64 = 1_709_542_800_000_000_000;
    let config = json!({ "config": { "instruments": [{ "symbol": "EURUSD", "tick": "0.00001" }] } });
    let steps = [
        (config, vec![]),
        (quote(110_000, 110_010), vec![order("1.1")]),
        (quote(109_980, 109_990), vec![fill("buy", "1.0999", "order"), levels("1.0995")]),
        (quote(109_900, 109_910), vec![fill("sell", "1.099", "stop_loss")]),
    ];
    let step = |(offset, (input, events))| {
        let offset: u64 = offset;
        Step { seq: 10 * offset as usize, now_ns: MONDAY, offset, input, events, ..Step::default() }
    };
    let steps = (1..).zip(steps).map(step).collect();
    let gateway = MachineHistory { name: "gateway", steps, ..MachineHistory::default() };
    History { gateway, ..History::default() }
}

fn found(doctor: impl FnOnce(&mut History)) -> Vec<&'static str> {
    let mut history = good();
    doctor(&mut history);
    let found = judge(&quiet(), &history);
    found.into_iter().filter(|v| v.oracle == "prices").map(|v| v.rule).collect()
}

#[test]
fn fills_at_the_quote_pass() {
    assert_eq!(found(|_| {}), [""; 0]);
}

#[test]
fn prices_sees_fills_that_no_quote_makes() {
    type Doctor = fn(&mut History);
    let cases: [(&str, &[&str], Doctor); 5] = [
        ("the other side of the quote", &["EX01"], |h| {
            h.gateway.steps[2].events[0].1["price"] = json!("1.0998");
        }),
        ("a stop loss at its level, which a gap went through", &["EX03"], |h| {
            h.gateway.steps[3].events[0].1["price"] = json!("1.0995");
        }),
        ("a stop loss that was not reached", &["EX03"], |h| {
            h.gateway.steps[2].events[1] = levels("1.0989");
        }),
        ("a limit order for more than its limit", &["EX04"], |h| {
            h.gateway.steps[1].events[0] = order("1.0998")
        }),
        ("a fill at a quote that cannot be", &["EX01"], |h| {
            h.gateway.steps[2].input = quote(109_990, 109_980)
        }),
    ];
    for (what, rules, doctor) in cases {
        let found = found(doctor);
        assert!(rules.iter().all(|rule| found.contains(rule)), "{what}: {found:?}");
    }
}
