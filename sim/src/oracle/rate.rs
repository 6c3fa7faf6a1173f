//! `rate`: no more is let through than the rates of docs/PROTOCOL.md allow, what is refused says when to
//! come again, and what lowers risk is refused by no rate (GW09). An account's trade rate is computed anew
//! from the journal, to the nanosecond.

use super::{Findings, Log, Severity, Violation};
use crate::history::{Answer, ClientHistory, History, Session, Step};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Requests of a connection: at once, and a second.
const REQUESTS: Allowed = Allowed { burst: 100, tokens: 50, period_ns: 1_000_000_000 };
/// Calls of a method by a principal: at once, and a minute.
const CONTROL_WRITES: Allowed = Allowed { burst: 30, tokens: 30, period_ns: 60_000_000_000 };

/// A rate.
#[derive(Clone, Copy)]
struct Allowed {
    burst: u64,
    tokens: u64,
    period_ns: u64,
}

/// Checks every answer, and every command of the journal.
pub fn check(history: &History, log: &Log<'_>) -> Vec<Violation> {
    let mut findings = Findings::new("rate", Severity::Safety);
    for client in &history.clients {
        refusals(client, &mut findings);
        if !history.times.is_empty() {
            requests(client, history, &mut findings);
            control_writes(client, history, &mut findings);
        }
    }
    trades(log, &mut findings);
    findings.found
}

/// Whether the method lowers risk.
fn lowers_risk(method: &str) -> bool {
    matches!(method, "risk.emergencyStop" | "trades.cancel" | "trades.closePosition")
}

/// Which rate refused it.
fn refused_by(answer: &Answer) -> Option<&str> {
    let limited = !answer.ok && answer.body["code"] == "RATE_LIMITED";
    limited.then(|| answer.body["details"]["reason"].as_str().unwrap_or_default())
}

fn refusals(client: &ClientHistory, findings: &mut Findings) {
    for request in &client.requests {
        for answer in &request.answers {
            let Some(reason) = refused_by(answer) else { continue };
            let details = &answer.body["details"];
            let says_when = details["retryAfterMs"].as_u64().is_some_and(|ms| ms > 0);
            if !says_when || answer.body["retryable"] != true || details["outcome"] != "not_started" {
                let message = format!("refused by a rate without saying when to come again: {}", answer.body);
                findings.add("GW09", answer.seq, message);
            }
            // how many may be under way at once is no rate
            if lowers_risk(&request.method) && reason != "TOO_MANY_IN_FLIGHT" {
                let message = format!("{} was refused by the rate {reason}", request.method);
                findings.add("GW09", answer.seq, message);
            }
        }
    }
}

/// When a request that was let through was sent and answered.
type Passed = (u64, u64);

/// Each connection keeps its rate.
fn requests(client: &ClientHistory, history: &History, findings: &mut Findings) {
    let mut by_session: BTreeMap<usize, Vec<Passed>> = BTreeMap::new();
    for request in client.requests.iter().filter(|request| !lowers_risk(&request.method)) {
        for answer in request.answers.iter().filter(|answer| refused_by(answer).is_none()) {
            let session = client.sessions.iter().rposition(|session: &Session| session.seq < answer.sent);
            if let Some(session) = session {
                by_session.entry(session).or_default().push(passed(answer, history));
            }
        }
    }
    for (session, passed) in by_session {
        if let Some(count) = beyond(REQUESTS, passed) {
            let message =
                format!("{count} requests of one connection of the {} were let through", client.name);
            findings.add("GW09", client.sessions[session].seq, message);
        }
    }
}

/// Each principal keeps the rate of each method that changes more than a trade.
fn control_writes(client: &ClientHistory, history: &History, findings: &mut Findings) {
    // another start, and another principal, begin with a full bucket
    let begins = |at: usize| {
        let starts = history.gateway.starts.iter().filter(|start| **start < at).count();
        let session = client.sessions.iter().rfind(|session| session.seq < at);
        (starts, session.map(|session| session.token.clone()))
    };
    let mut by_bucket: BTreeMap<_, Vec<Passed>> = BTreeMap::new();
    for request in client.requests.iter().filter(|request| request.method == "risk.resume") {
        for answer in request.answers.iter().filter(|answer| refused_by(answer).is_none()) {
            by_bucket.entry(begins(answer.sent)).or_default().push(passed(answer, history));
        }
    }
    for passed in by_bucket.into_values() {
        if let Some(count) = beyond(CONTROL_WRITES, passed) {
            let message = format!("{count} risk.resume of the {} were let through", client.name);
            let seq = client.sessions.first().map_or(0, |session| session.seq);
            findings.add("GW09", seq, message);
        }
    }
}

fn passed(answer: &Answer, history: &History) -> Passed {
    let at_ns = |seq: usize| history.times.get(seq).copied().unwrap_or_default();
    (at_ns(answer.sent), at_ns(answer.seq))
}

/// How many were let through between two instants, if that is beyond the rate. What was sent after the
/// first and answered before the second was taken in between.
fn beyond(allowed: Allowed, mut passed: Vec<Passed>) -> Option<u64> {
    passed.sort_unstable_by_key(|(_, answered)| *answered);
    for (from, _) in &passed {
        let mut count = 0;
        for (sent, answered) in &passed {
            if sent < from {
                continue;
            }
            count += 1;
            let refilled = (answered - from) * allowed.tokens / allowed.period_ns;
            if count > allowed.burst + refilled {
                return Some(count);
            }
        }
    }
    None
}

/// An account's trades that add risk: the bucket is full at this instant.
#[derive(Default)]
struct Bucket {
    full_at_ns: i128,
}

/// The machine refuses exactly those that are beyond the account's rate.
fn trades(log: &Log<'_>, findings: &mut Findings) {
    let mut rate = None;
    let mut buckets: BTreeMap<&str, Bucket> = BTreeMap::new();
    let mut accounts: Vec<&str> = Vec::new();
    let mut keys = Keys::default();
    for step in &log.steps {
        let config = &step.input["config"];
        if config.is_object() {
            let part = |key: &str| config["trade_rate"][key].as_i64().map(i128::from);
            rate = part("per_second").zip(part("burst"));
            let listed = config["accounts"].as_array().into_iter().flatten();
            accounts = listed.filter_map(|account| account["id"].as_str()).collect();
        }
        let command = &step.input["command"];
        let is_new = keys.is_new(command);
        keys.answered(step);
        let Some(account) = adds_risk(command).filter(|account| accounts.contains(account)) else { continue };
        let Some((per_second, burst)) = rate.filter(|_| is_new) else { continue };
        let bucket = buckets.entry(account).or_default();
        let interval = 1_000_000_000 / per_second;
        let now = i128::from(step.now_ns);
        let wait = bucket.full_at_ns.max(now) - now - interval * (burst - 1);
        let is_refused = answer_of(step, command).is_some_and(|error| {
            error["code"] == "RATE_LIMITED" && error["details"]["reason"] == "TRADE_RATE"
        });
        if wait <= 0 {
            bucket.full_at_ns = bucket.full_at_ns.max(now) + interval;
        }
        if is_refused != (wait > 0) {
            let said = if is_refused { "refused" } else { "let through" };
            let message = format!("{account}: a trade was {said}, {wait} ns before its turn: {command}");
            findings.add("GW09", step.seq, message);
        }
    }
}

/// The account of a command that the rate concerns.
fn adds_risk(command: &Value) -> Option<&str> {
    let (place, modify) = (&command["body"]["place"], &command["body"]["modify"]);
    if modify.is_object() {
        return modify["account"].as_str();
    }
    let reduces = place["reduce_only"] == true || !place["position"].is_null();
    if reduces { None } else { place["account"].as_str() }
}

/// The idempotency keys that are bound: a repeated request is answered and not executed.
#[derive(Default)]
struct Keys {
    /// By principal, method, account and key.
    bound: BTreeSet<Scope>,
    scopes: BTreeMap<String, Scope>,
}

type Scope = [String; 4];

impl Keys {
    /// Binds the command's key. Whether it was free.
    fn is_new(&mut self, command: &Value) -> bool {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let Some((method, body)) = command["body"].as_object().and_then(|body| body.iter().next()) else {
            return false;
        };
        let key = &command["idempotency"]["key"];
        if key.is_null() {
            return true;
        }
        let scope = [text(&command["principal"]), method.clone(), text(&body["account"]), text(key)];
        self.scopes.insert(text(&command["id"]), scope.clone());
        self.bound.insert(scope)
    }

    /// What had no effect binds nothing.
    fn answered(&mut self, step: &Step) {
        for reply in &step.replies {
            let error = &reply["result"]["Err"];
            let had_no_effect = matches!(error["code"].as_str(), Some("NOT_FOUND" | "INVALID_PARAMS"))
                || error["details"]["outcome"] == "not_started";
            let scope = reply["command"].as_str().and_then(|command| self.scopes.get(command));
            if let Some(scope) = scope.filter(|_| had_no_effect) {
                self.bound.remove(scope);
            }
        }
    }
}

/// The refusal that the step answers its own command with.
fn answer_of<'a>(step: &'a Step, command: &Value) -> Option<&'a Value> {
    let reply = step.replies.iter().find(|reply| reply["command"] == command["id"])?;
    Some(&reply["result"]["Err"]).filter(|error| error.is_object())
}
