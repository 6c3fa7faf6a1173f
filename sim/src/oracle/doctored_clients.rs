//! Good histories of several clients pass; each doctored one is caught by the oracle it is meant for.

use super::{Violation, judge};
use crate::{
    guests::{Abuse, AbuseStep, BadText, Guests, Guise},
    history::{
        AbuseHistory, Answer, ClientHistory, Commit, Cursor, History, MachineHistory, NapHistory, Request,
        Revocation, Session, Step, Token,
    },
    plan::{Plan, plan},
    scenario,
};
use serde_json::{Value, json};

const SECOND_NS: u64 = 1_000_000_000;
/// 2024-03-04T09:00:00Z.
const START_NS: i64 = 1_709_542_800_000_000_000;

fn some_plan() -> Plan {
    let scenario = &scenario::select(&scenario::folder(None), "quiet_day").expect("there")[0];
    let mut plan = plan(1, scenario);
    plan.gateway.deposit = 1_000;
    plan.gateway.risk = [("max_positions", "2"), ("max_open_orders", "3"), ("max_daily_loss", "50")]
        .map(|(key, limit)| (key.to_owned(), limit.to_owned()))
        .into();
    plan
}

/// A record of the trace is written each tenth of a second.
fn times() -> Vec<u64> {
    (0..2_000).map(|seq| seq * SECOND_NS / 10).collect()
}

fn step(seq: usize, offset: u64, input: Value, events: Vec<(&str, Value)>, replies: Vec<Value>) -> Step {
    let at_ns = seq as u64 * SECOND_NS / 10;
    let events = named(events);
    let now_ns = START_NS + i64::try_from(at_ns).expect("short");
    Step { seq, at_ns, now_ns, offset, input, events, replies, ..Step::default() }
}

fn named(events: Vec<(&str, Value)>) -> Vec<(String, Value)> {
    events.into_iter().map(|(name, payload)| (name.to_owned(), payload)).collect()
}

fn config() -> Value {
    let bitcoin = json!({ "symbol": "BTCUSD", "tick": "0.01", "volume_step": "0.01", "volume_min": 1,
        "volume_max": 10_000, "contract_size": "1", "margin_mode": "cfd_leverage", "quote_currency": "USD" });
    json!({ "config": { "instruments": [bitcoin], "accounts": [{ "id": "paper-1", "leverage": 100 }],
        "quote_max_age_ms": 60_000, "trade_rate": { "per_second": 10, "burst": 2 } } })
}

fn quote(bid: i64) -> Value {
    json!({ "quote": { "instrument": 0, "bid": bid, "ask": bid + 1_000 } })
}

fn place(number: u64, volume: &str) -> Value {
    json!({ "command": { "id": format!("c{number}"), "principal": "operator-1", "idempotency": { "key": format!("k{number}") },
        "body": { "place": { "account": "paper-1", "symbol": "BTCUSD", "side": "buy", "order_type": "market",
            "volume": volume, "price": null, "stop_loss": null, "take_profit": null, "reduce_only": false,
            "position": null } } } })
}

/// A market order that is filled.
fn bought(number: u64, volume: &str) -> Vec<(&'static str, Value)> {
    let fill = json!({
        "accountId": "paper-1", "intentId": format!("i{number}"), "orderId": format!("o{number}"),
        "positionId": format!("p{number}"), "symbol": "BTCUSD", "side": "buy", "volume": volume, "price": "60010",
        "commission": "0", "realizedPnl": "0", "reason": "order",
    });
    let order = json!({ "accountId": "paper-1", "orderId": format!("o{number}"), "symbol": "BTCUSD",
        "status": "filled", "leavesVolume": "0" });
    vec![
        ("event.trade.intent", json!({ "accountId": "paper-1", "intentId": format!("i{number}") })),
        ("event.trade.executed", fill),
        ("event.order.updated", json!({ "order": order, "placed": true })),
    ]
}

fn refused(code: &str) -> Vec<(&'static str, Value)> {
    let payload = json!({ "accountId": "paper-1", "by": "gateway", "violations": [{ "code": code }] });
    vec![("event.trade.rejected", payload)]
}

/// Two orders within all limits, a third that is refused.
fn trading() -> History {
    let steps = vec![
        step(1, 1, config(), vec![], vec![]),
        step(2, 2, quote(6_000_000), vec![], vec![]),
        step(10, 3, place(1, "0.1"), bought(1, "0.1"), vec![]),
        step(20, 4, place(2, "0.1"), bought(2, "0.1"), vec![]),
        step(30, 5, place(3, "0.1"), refused("MAX_POSITIONS"), vec![]),
        step(40, 6, quote(5_999_000), vec![], vec![]),
    ];
    let commits = steps.iter().map(|step| Commit { seq: step.seq + 1, offset: step.offset }).collect();
    let gateway = MachineHistory { name: "gateway", steps, commits, ..MachineHistory::default() };
    History { gateway, times: times(), ..History::default() }
}

fn rules(plan: &Plan, history: &History, oracle: &str) -> Vec<&'static str> {
    let found = judge(plan, history).into_iter().filter(|violation| violation.oracle == oracle);
    found.map(|Violation { rule, .. }| rule).collect()
}

#[test]
fn risk_sees_orders_beyond_limits_and_refusals_within_them() {
    type Doctor = fn(&mut Plan, &mut History);
    let check = |what: &str, expected: &[&str], doctor: Doctor| {
        let (mut plan, mut history) = (some_plan(), trading());
        plan.gateway.commission_per_lot = "0".into();
        doctor(&mut plan, &mut history);
        assert_eq!(rules(&plan, &history, "risk"), expected, "{what}");
    };
    check("as it was", &[], |_, _| {});
    check("one position too many", &["RK02"], |_, h| h.gateway.steps[4].events = named(bought(3, "0.1")));
    check("a refusal below the limit", &["RK02"], |p, _| {
        p.gateway.risk.insert("max_positions".into(), "3".into());
    });
    check("a limit of orders and positions", &["RK02"], |p, _| {
        p.gateway.risk.insert("max_open_orders".into(), "1".into());
    });
    check("a volume off the grid", &["RK02"], |_, h| h.gateway.steps[3].input = place(2, "0.105"));
    check("a volume beyond the greatest", &["RK02", "RK02"], |_, h| {
        h.gateway.steps[3].input = place(2, "200"); // nor is there margin for it
    });
    check("more margin than is free", &["RK02"], |_, h| h.gateway.steps[3].input = place(2, "1.6"));
    check("a quote that is stale", &["RK02"], |_, h| h.gateway.steps[3].now_ns += 120 * SECOND_NS as i64);
    check("no quote", &["RK02", "RK02"], |_, h| h.gateway.steps[1].input = json!("wake"));
    check("a stop loss on the wrong side", &["RK02"], |_, h| {
        h.gateway.steps[3].input["command"]["body"]["place"]["stop_loss"] = json!({ "price": "60001" });
    });
    check("an order after the loss limit was reached", &["RK04"], |_, h| {
        let fall = step(15, 4, quote(5_940_000), vec![], vec![]);
        h.gateway.steps.insert(3, fall);
        renumber(h);
    });
    check("an order after it had tripped, at better prices", &["RK04"], |_, h| {
        h.gateway.steps.insert(3, step(15, 4, quote(5_940_000), vec![], vec![]));
        h.gateway.steps.insert(4, step(16, 5, quote(6_000_000), vec![], vec![]));
        renumber(h);
    });
    check("an order after a resume, at better prices", &[], |_, h| {
        let resume =
            json!({ "command": { "id": "c9", "principal": "operator-1", "body": { "resume": {} } } });
        let reply = json!({ "command": "c9", "result": { "Ok": {} } });
        h.gateway.steps.insert(3, step(15, 4, quote(5_940_000), vec![], vec![]));
        h.gateway.steps.insert(4, step(16, 5, quote(6_000_000), vec![], vec![]));
        h.gateway.steps.insert(5, step(17, 6, resume, vec![], vec![reply]));
        renumber(h);
    });
}

fn renumber(history: &mut History) {
    for (step, offset) in history.gateway.steps.iter_mut().zip(1..) {
        step.offset = offset;
    }
    history.gateway.commits.clear();
}

fn limited(reason: &str) -> Value {
    json!({ "code": "RATE_LIMITED", "retryable": true,
        "details": { "reason": reason, "retryAfterMs": 20, "outcome": "not_started" } })
}

fn answered(sent: usize, seq: usize, ok: bool, body: Value) -> Answer {
    Answer { seq, sent, ok, body }
}

fn asked(method: &str, answers: Vec<Answer>) -> Request {
    Request { method: method.into(), answers, done: true, ..Request::default() }
}

fn client(name: &'static str, requests: Vec<Request>) -> ClientHistory {
    let head = Some(Cursor { epoch: "e".into(), offset: 0 });
    let session = Session { seq: 1, head, token: "print".into(), ..Session::default() };
    ClientHistory { name, sessions: vec![session], requests, ..ClientHistory::default() }
}

#[test]
fn gw09_rate_sees_too_much_let_through_and_refusals_that_must_not_be() {
    let check = |what: &str, expected: usize, requests: Vec<Request>| {
        let clients = vec![client("operator", requests)];
        let history = History { clients, times: times(), ..History::default() };
        assert_eq!(rules(&some_plan(), &history, "rate").len(), expected, "{what}");
    };
    let pings = |count: usize, answered_at: usize| {
        (0..count).map(|_| asked("gateway.ping", vec![answered(10, answered_at, true, json!({}))])).collect()
    };
    check("a burst", 0, pings(100, 10));
    check("a burst and what came meanwhile", 0, pings(150, 20));
    check("more than a burst", 1, pings(101, 10));
    check("more than came meanwhile", 1, pings(151, 20));
    let resumes = |count: usize, answered_at: usize| {
        (0..count).map(|_| asked("risk.resume", vec![answered(10, answered_at, true, json!({}))])).collect()
    };
    check("thirty control writes", 0, resumes(30, 20));
    check("one more", 1, resumes(31, 20));
    let refusal = |method: &str, body: Value| vec![asked(method, vec![answered(10, 11, false, body)])];
    check("a refusal that says when", 0, refusal("trades.place", limited("TRADE_RATE")));
    check("a stop that a rate refuses", 1, refusal("risk.emergencyStop", limited("REQUEST_RATE")));
    check("a close that a rate refuses", 1, refusal("trades.closePosition", limited("TRADE_RATE")));
    let mut silent = limited("REQUEST_RATE");
    silent["details"]["retryAfterMs"] = Value::Null;
    check("a refusal that does not say when", 1, refusal("gateway.ping", silent));
}

#[test]
fn gw09_rate_recomputes_the_trade_rate_of_an_account() {
    let check = |what: &str, expected: usize, doctor: fn(&mut History)| {
        let mut history = trading();
        // at once: the third is beyond the burst of two
        let refusal = json!({ "command": "c3", "result": { "Err": limited("TRADE_RATE") } });
        for step in &mut history.gateway.steps[2..5] {
            step.now_ns = START_NS + SECOND_NS as i64;
        }
        (history.gateway.steps[4].events, history.gateway.steps[4].replies) = (vec![], vec![refusal]);
        doctor(&mut history);
        assert_eq!(rules(&some_plan(), &history, "rate").len(), expected, "{what}");
    };
    check("as it was", 0, |_| {});
    check("one that is beyond it is let through", 1, |h| h.gateway.steps[4].replies.clear());
    check("one that has its turn is refused", 1, |h| h.gateway.steps[4].now_ns += SECOND_NS as i64 / 10);
    check("one that is repeated takes no turn", 0, |h| {
        h.gateway.steps[3].input = place(1, "0.1");
        h.gateway.steps[4].replies.clear();
    });
    check("a reduction takes none", 0, |h| {
        h.gateway.steps[3].input["command"]["body"]["place"]["reduce_only"] = json!(true);
        h.gateway.steps[4].replies.clear();
    });
}

#[test]
fn gw07_slow_sees_what_is_not_bounded_and_others_that_wait() {
    let naps = vec![NapHistory { seq: 100, at_ns: 10 * SECOND_NS, for_ms: 60_000, every_ms: None }];
    let long = json!({ "text": "x".repeat(20_000) });
    // 40 of them fill buffers and then the room of 16
    let steps: Vec<Step> = (0..40)
        .map(|n| {
            step(110 + 2 * n, n as u64 + 1, json!("wake"), vec![("event.risk.alert", long.clone())], vec![])
        })
        .collect();
    let commits = steps.iter().map(|step| Commit { seq: step.seq + 1, offset: step.offset }).collect();
    let gateway = MachineHistory { name: "gateway", steps, commits, ..MachineHistory::default() };
    let ping = asked("gateway.ping", vec![answered(120, 121, true, json!({}))]);
    let clients = vec![client("slow-reader", vec![]), client("operator", vec![ping])];
    let choked_ends = vec![180];
    let good = History { gateway, naps, clients, choked_ends, times: times(), ..History::default() };
    let check = |what: &str, expected: usize, doctor: fn(&mut History)| {
        let (mut plan, mut history) = (some_plan(), good.clone());
        plan.gateway.limits.insert("outbound_frames".into(), 16);
        doctor(&mut history);
        assert_eq!(rules(&plan, &history, "slow"), vec!["GW07"; expected], "{what}");
    };
    check("as it was", 0, |_| {});
    check("a client that is never closed", 1, |h| h.choked_ends.clear());
    check("one that is closed far too late", 1, |h| h.choked_ends = vec![400]);
    check("one that reads at times need not be closed", 0, |h| {
        h.choked_ends.clear();
        h.naps[0].every_ms = Some(1_000);
    });
    check("another one that waits", 1, |h| h.clients[1].requests[0].answers[0].seq = 160);
    check("a close code of another kind", 1, |h| {
        (h.clients[0].sessions[0].ended, h.clients[0].sessions[0].closed) = (Some(900), Some(1002));
    });
}

#[test]
fn gw05_token_sees_whoever_stays_after_a_revocation() {
    let mut plan = some_plan();
    plan.faults.clear();
    let command = |seq| step(seq, 1, place(1, "0.1"), vec![], vec![]);
    let mut operator =
        client("operator", vec![asked("gateway.ping", vec![answered(90, 95, true, json!({}))])]);
    (operator.sessions[0].ended, operator.sessions[0].closed) = (Some(101), Some(4403));
    let token = |principal: &str, print: &str| Token {
        holder: "operator".into(),
        principal: principal.into(),
        print: print.into(),
    };
    let good = History {
        gateway: MachineHistory { name: "gateway", steps: vec![command(98)], ..MachineHistory::default() },
        clients: vec![operator],
        tokens: vec![token("operator-1", "print"), token("operator-3", "new")],
        revocations: vec![Revocation { seq: 100, at_ns: 10 * SECOND_NS, principal: "operator-1".into() }],
        times: times(),
        ..History::default()
    };
    let check = |what: &str, expected: usize, doctor: fn(&mut History)| {
        let mut history = good.clone();
        doctor(&mut history);
        assert_eq!(rules(&plan, &history, "token"), vec!["GW05"; expected], "{what}");
    };
    check("as it was", 0, |_| {});
    check("a command long after", 1, |h| {
        (h.gateway.steps[0].seq, h.gateway.steps[0].at_ns) = (120, 12 * SECOND_NS);
    });
    check("an answer long after", 1, |h| h.clients[0].requests[0].answers[0].seq = 130);
    check("a session that begins with the old token", 1, |h| {
        let again = Session { seq: 150, ..h.clients[0].sessions[0].clone() };
        h.clients[0].sessions.push(Session { ended: None, closed: None, ..again });
    });
    check("a session that begins with the new one", 0, |h| {
        let again = Session { seq: 150, token: "new".into(), ..h.clients[0].sessions[0].clone() };
        h.clients[0].sessions.push(Session { ended: None, closed: None, ..again });
    });
    check("another close code", 1, |h| h.clients[0].sessions[0].closed = Some(1008));
    check("no close code", 1, |h| h.clients[0].sessions[0].closed = None);
    check("somebody else who is closed", 1, |h| {
        let mut viewer = client("viewer", vec![]);
        viewer.sessions[0].token = "other".into();
        (viewer.sessions[0].ended, viewer.sessions[0].closed) = (Some(102), Some(4403));
        h.clients.push(viewer);
    });
}

fn answer(id: Value, code: &str, reason: &str) -> Value {
    json!({ "type": "res", "id": id, "ok": false, "error": { "code": code, "details": { "reason": reason } } })
}

#[test]
fn gw10_abuse_sees_answers_and_codes_that_are_not_promised() {
    let of = |guise, abuse, came: AbuseHistory| {
        let abuser = Some(vec![AbuseStep { at_ms: 1, guise, abuse }]);
        let guests = Guests { abuser, ..Guests::default() };
        let plan = Plan { guests, chaos: None, ..some_plan() };
        let came = AbuseHistory { began: 10, ended: 20, done: true, ..came };
        let history = History { abuses: vec![came], times: times(), ..History::default() };
        rules(&plan, &history, "abuse").len()
    };
    let ok = || Some(json!({ "ok": true }));
    let bad_text = |times| Abuse::BadText { text: BadText::NotJson, times };
    let bad = || answer(Value::Null, "INVALID_PARAMS", "BAD_JSON");
    let good = AbuseHistory { answers: vec![bad()], alive: ok(), ..AbuseHistory::default() };
    assert_eq!(of(Guise::Viewer, bad_text(1), good.clone()), 0);
    for (what, wrong) in [
        ("no answer", AbuseHistory { answers: vec![], ..good.clone() }),
        (
            "another code",
            AbuseHistory { answers: vec![answer(Value::Null, "NOT_FOUND", "BAD_JSON")], ..good.clone() },
        ),
        (
            "an id",
            AbuseHistory { answers: vec![answer(json!("1"), "INVALID_PARAMS", "BAD_JSON")], ..good.clone() },
        ),
        ("an end", AbuseHistory { alive: None, close: Some(1008), ..good.clone() }),
        ("an answer that is none", AbuseHistory { alive: Some(json!({ "ok": false })), ..good.clone() }),
    ] {
        assert_eq!(of(Guise::Viewer, bad_text(1), wrong), 1, "{what}");
    }
    let five =
        AbuseHistory { answers: vec![bad(); 5], close: Some(1008), over: true, ..AbuseHistory::default() };
    assert_eq!(of(Guise::Nobody, bad_text(6), five.clone()), 0);
    assert_eq!(of(Guise::Nobody, bad_text(6), AbuseHistory { close: None, alive: ok(), ..five }), 1);

    let closed = |code| AbuseHistory { close: Some(code), over: true, ..AbuseHistory::default() };
    let oversized = Abuse::Oversized { bytes: 1 << 40 };
    assert_eq!([1009, 1002].map(|code| of(Guise::Operator, oversized, closed(code))), [0, 1]);
    let slow = |took_ms| AbuseHistory { took_ms, ..closed(4408) };
    assert_eq!([16_000, 30_000].map(|ms| of(Guise::Nobody, Abuse::NeverConnects, slow(ms))), [0, 1]);
    let sockets = |refused| AbuseHistory { refused, ..AbuseHistory::default() };
    let many = Abuse::ManySockets { count: 20 };
    assert_eq!([4, 3].map(|refused| of(Guise::Nobody, many, sockets(refused))), [0, 1]);
    let flood = |served: usize| {
        let limited = json!({ "ok": false, "error": limited("REQUEST_RATE") });
        let answers = vec![json!({ "ok": true }); served].into_iter().chain(vec![limited; 150 - served]);
        AbuseHistory { answers: answers.collect(), took_ms: 500, ..AbuseHistory::default() }
    };
    let requests = Abuse::Flood { requests: 150 };
    assert_eq!([100, 151 - 1, 20].map(|served| of(Guise::Viewer, requests, flood(served))), [0, 0, 1]);
    let copies = |third: Value| {
        let answers = vec![
            json!({ "ok": true, "payload": 1 }),
            answer(json!("order"), "CONFLICT", "DUPLICATE_REQUEST_ID"),
            third,
        ];
        AbuseHistory { answers, ..AbuseHistory::default() }
    };
    let thirds = [json!({ "ok": true, "payload": 1 }), json!({ "ok": true, "payload": 2 })];
    assert_eq!(thirds.map(|third| of(Guise::Operator, Abuse::Replayed, copies(third))), [0, 1]);
}

#[test]
fn gw04_abuse_sees_an_effect_of_an_abuser() {
    let token = Token { holder: "abuser".into(), principal: "operator-1".into(), print: "p".into() };
    let check = |expected: &[&str], doctor: fn(&mut History)| {
        let mut history = History { tokens: vec![token.clone()], ..trading() };
        history.gateway.steps.truncate(3);
        history.gateway.steps[2].input["command"]["idempotency"]["key"] = json!("abuser-key-7");
        doctor(&mut history);
        assert_eq!(rules(&some_plan(), &history, "abuse"), expected);
    };
    check(&[], |_| {});
    check(&["GW04"], |h| h.gateway.steps[2].input["command"]["idempotency"]["key"] = json!("k1"));
    check(&["GW04"], |h| {
        h.gateway.steps[2].input["command"]["body"] = json!({ "cancel": { "account": "paper-1" } });
    });
    check(&["GW04"], |h| h.gateway.steps[2].input["command"]["principal"] = json!("operator-9"));
}
