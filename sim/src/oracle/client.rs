//! `client`: what each client was told, held against the log.

use super::{Findings, Log, LogEvent, Severity, Violation, arithmetic::units, is_of_venue, token};
use crate::{
    history::{Answer, ClientHistory, History, Request, Session, Step, Told},
    plan::PAPER,
};
use serde_json::Value;
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

/// By the number of an event, a payload that was told and says what the log says. Whoever else is told the same
/// bytes is told the same.
type Texts<'a> = BTreeMap<u64, &'a str>;

/// Checks every session and every answer.
pub fn check(history: &History, log: &Log<'_>) -> Vec<Violation> {
    let mut findings = Findings::new("client", Severity::Safety);
    let principals = token::principals(history);
    let mut right = Texts::new();
    for client in &history.clients {
        for session in &client.sessions {
            contiguous(session, &mut findings);
            events(session, client.sees.as_ref(), log, &mut right, &mut findings);
        }
        read_to_the_end(client, log, &mut findings);
        for request in &client.requests {
            answers(client, &principals, request, log, &mut findings);
        }
    }
    effects(log, &mut findings);
    findings.found
}

/// GW01: frames are numbered without gaps.
fn contiguous(session: &Session, findings: &mut Findings) {
    for (told, expected) in session.told.iter().zip(1..) {
        if told.frame_seq != expected {
            return findings.add("GW01", told.seq, format!("seq {} where {expected} is due", told.frame_seq));
        }
    }
}

/// GW02: resume and live together are the log, nothing missing, in order, durable before told.
fn events<'a>(
    session: &'a Session,
    sees: Option<&BTreeSet<String>>,
    log: &Log<'_>,
    right: &mut Texts<'a>,
    findings: &mut Findings,
) {
    if session.recovered == Some(false) {
        findings.add("GW02", session.seq, "the gateway could not resume from a cursor that it gave itself");
    }
    let resumed = session.resumed_from.as_ref().filter(|_| session.recovered == Some(true));
    let Some(start) = resumed.or(session.head.as_ref()) else {
        return findings.add("GW02", session.seq, "gateway.connect answered without a cursor");
    };
    let mut expected = start.offset + 1;
    for told in &session.told {
        let Some(cursor) = &told.cursor else { continue };
        if cursor.epoch != start.epoch {
            findings.add("GW02", told.seq, "the epoch changed, though nothing was restored");
        }
        let missed =
            (expected..cursor.offset).find(|number| log.event(*number).is_none_or(|e| shown(&e, sees)));
        if let Some(missed) = missed {
            let message = format!("event {} was told where {missed} is due", cursor.offset);
            findings.add("GW02", told.seq, message);
        }
        expected = expected.max(cursor.offset + 1);
        told_as_logged(told, cursor.offset, sees, log, right, findings);
    }
}

/// GW02: whoever sees some accounts only has been told all of them, too.
fn read_to_the_end(client: &ClientHistory, log: &Log<'_>, findings: &mut Findings) {
    let reading = client
        .sessions
        .last()
        .filter(|session| session.resumed_from.as_ref().is_some_and(|from| from.offset == 0));
    let (Some(sees), Some(session)) = (&client.sees, reading) else { return };
    let Some(head) = &session.head else { return };
    let told = session.told.iter().rev().find_map(|told| told.cursor.as_ref()).map_or(0, |last| last.offset);
    let mut missed = (told + 1..=head.offset).filter_map(|number| log.event(number));
    if let Some(missed) = missed.find(|event| shown(event, Some(sees))) {
        findings.add(
            "GW02",
            session.seq,
            format!("event {} was not told when it read the log", missed.number),
        );
    }
}

/// Whether an event concerns everybody, or an account that is among those.
fn shown(event: &LogEvent<'_>, sees: Option<&BTreeSet<String>>) -> bool {
    let account = account_of(event.name, event.payload);
    sees.is_none_or(|sees| account.is_none_or(|account| sees.contains(account)))
}

/// The account that an event concerns, if one alone.
fn account_of<'a>(name: &str, payload: &'a Value) -> Option<&'a str> {
    let of = match name {
        "event.order.updated" => &payload["order"]["accountId"],
        "event.position.updated" => &payload["position"]["accountId"],
        "event.emergency_stop" if payload["scope"] == "account" => &payload["id"],
        _ => &payload["accountId"],
    };
    of.as_str()
}

/// What is told of an event: of a stop of everything, what became of the accounts that one may see.
fn as_shown<'a>(logged: &LogEvent<'a>, sees: Option<&BTreeSet<String>>) -> Cow<'a, Value> {
    let of_all = logged.name == "event.emergency_stop" && logged.payload["scope"] == "global";
    let Some(sees) = sees.filter(|_| of_all) else { return Cow::Borrowed(logged.payload) };
    let mut payload = logged.payload.clone();
    if let Some(outcomes) = payload.get_mut("outcomes").and_then(Value::as_array_mut) {
        outcomes
            .retain(|outcome| outcome["accountId"].as_str().is_some_and(|account| sees.contains(account)));
    }
    Cow::Owned(payload)
}

fn told_as_logged<'a>(
    told: &'a Told,
    number: u64,
    sees: Option<&BTreeSet<String>>,
    log: &Log<'_>,
    right: &mut Texts<'a>,
    findings: &mut Findings,
) {
    let Some(logged) = log.event(number) else {
        return findings.add("GW02", told.seq, format!("event {number} was told, but is not in the log"));
    };
    if !shown(&logged, sees) {
        let message = format!("event {number} was told, and concerns an account that it may not see");
        findings.add("GW04", told.seq, message);
    }
    // those who see some accounts only are told less, and nothing that others could be measured by
    let text = told.payload.get();
    let known = sees.is_none() && right.get(&number) == Some(&text);
    let is_right = known || *as_shown(&logged, sees) == told.read();
    if is_right && sees.is_none() {
        right.insert(number, text);
    }
    if logged.name != told.name || !is_right {
        let message = format!("event {number} was told as {} {text}", told.name);
        findings.add("GW02", told.seq, message);
    }
    if log.durable_at(logged.step.offset).is_none_or(|at| at > told.seq) {
        findings.add("RK08", told.seq, format!("event {number} was told before it was durable"));
    }
}

/// GW03, GW04, GW08 for one request.
fn answers(
    client: &ClientHistory,
    principals: &BTreeMap<&str, &str>,
    request: &Request,
    log: &Log<'_>,
    findings: &mut Findings,
) {
    let mut first: Option<&Answer> = None;
    for answer in request.successes() {
        if request.key.is_some() && matches!(client.name, "viewer" | "slow-reader") {
            findings.add("GW04", answer.seq, format!("a viewer was allowed {}", request.method));
        }
        let account = request.params["accountId"].as_str();
        if client.sees.as_ref().zip(account).is_some_and(|(sees, account)| !sees.contains(account)) {
            let message = format!("{} was answered of an account that it may not see", request.method);
            findings.add("GW04", answer.seq, message);
        }
        if let Some(first) = first
            && request.key.is_some()
            && first.body != answer.body
        {
            let message = format!("{} was answered {} and then {}", request.method, first.body, answer.body);
            findings.add("GW03", answer.seq, message);
        }
        first.get_or_insert(answer);
        if request.key.is_some() {
            let session = client.sessions.iter().rfind(|session| session.seq < answer.seq);
            let principal = session.and_then(|session| principals.get(session.token.as_str())).copied();
            acknowledged(request, principal, answer, log, findings);
        }
    }
}

/// GW08, LV06: a success has an earlier, durable record of the very request.
fn acknowledged(
    request: &Request,
    principal: Option<&str>,
    answer: &Answer,
    log: &Log<'_>,
    findings: &mut Findings,
) {
    let Some(offset) = answer.body["journalOffset"].as_u64() else {
        return findings.add("GW08", answer.seq, format!("{} without a journal offset", request.method));
    };
    let Some(step) = log.step(offset) else {
        let message =
            format!("{} was acknowledged at offset {offset}, which the journal lost", request.method);
        return findings.add("LV06", answer.seq, message);
    };
    // a key is its principal's: another one may have the same
    let is_theirs = principal.is_none_or(|principal| step.input["command"]["principal"] == principal);
    if key_of(step) != request.key.as_deref() || !is_theirs {
        let message =
            format!("{} was acknowledged at offset {offset}, which is something else", request.method);
        return findings.add("LV06", answer.seq, message);
    }
    if log.durable_at(offset).is_none_or(|at| at > answer.seq) {
        findings.add("GW08", answer.seq, format!("offset {offset} was acknowledged before it was durable"));
    }
    if request.method == "trades.place" && !told_fills(step, answer, log).contains(&told(answer)) {
        findings.add("GW08", answer.seq, format!("the log has other fills than {}", answer.body));
    }
}

/// What the answer says is filled.
fn told(answer: &Answer) -> Option<i128> {
    units(&answer.body["filledVolume"])
}

/// How much of the order was filled at any time until the answer. In the gateway's own machine
/// everything happens in the step of the request; a venue takes its time.
fn told_fills(step: &Step, answer: &Answer, log: &Log<'_>) -> Vec<Option<i128>> {
    let account = &step.input["command"]["body"]["place"]["account"];
    let of_order = |name: &str, fill: &Value| {
        let same = fill["orderId"] == answer.body["orderId"] && fill["accountId"] == *account;
        name == "event.trade.executed" && same
    };
    if *account == PAPER {
        let fills = step.events.iter().filter(|(name, fill)| of_order(name, fill));
        return vec![fills.map(|(_, fill)| units(&fill["volume"])).sum()];
    }
    let mut sums = vec![Some(0)];
    for event in log.events.iter().filter(|event| of_order(event.name, event.payload)) {
        if log.durable_at(event.step.offset).is_some_and(|at| at <= answer.seq) {
            let sum = sums.last().copied().flatten();
            sums.push(sum.zip(units(&event.payload["volume"])).map(|(sum, volume)| sum + volume));
        }
    }
    sums
}

/// GW03, LV03: one key takes effect once, one client order id makes one order.
fn effects(log: &Log<'_>, findings: &mut Findings) {
    let mut by_key: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for step in &log.steps {
        let (Some(key), true) = (key_of(step), acts(step)) else { continue };
        let principal = step.input["command"]["principal"].as_str().unwrap_or_default();
        if let Some(earlier) = by_key.insert((principal, key), step.offset) {
            let message = format!("key {key} took effect at offset {earlier} and again at {}", step.offset);
            findings.add("GW03", step.seq, message);
        }
    }
    let mut orders: BTreeMap<&str, BTreeSet<(&str, &str)>> = BTreeMap::new();
    for event in log.events.iter().filter(|e| e.name == "event.trade.executed") {
        let text = |key: &str| event.payload[key].as_str();
        if let (Some(client_order), Some(account), Some(order)) =
            (text("clientOrderId"), text("accountId"), text("orderId"))
        {
            let made = orders.entry(client_order).or_default();
            made.insert((account, order));
            if made.len() > 1 {
                let message = format!("client order {client_order} became {made:?}");
                findings.add("LV03", event.step.seq, message);
            }
        }
    }
}

/// The idempotency key of a command.
fn key_of(step: &Step) -> Option<&str> {
    step.input["command"]["idempotency"]["key"].as_str()
}

/// Whether the step changed an order, a position or a latch.
fn acts(step: &Step) -> bool {
    let changes = |name: &str| {
        matches!(
            name,
            "event.trade.executed"
                | "event.trade.modified"
                | "event.trade.canceled"
                | "event.trade.closed"
                | "event.emergency_stop"
        )
    };
    step.events.iter().any(|(name, payload)| changes(name) && !is_of_venue(payload))
}
