//! `abuse`: what a client does that breaks the protocol gets the answer or the close code that
//! docs/PROTOCOL.md promises, and has no effect (GW04, GW10).

use super::{Findings, Severity, Violation};
use crate::{
    guests::{Abuse, AbuseStep, BadText, Guise, WrongFrame, WrongRequest},
    history::{AbuseHistory, History},
    plan::Plan,
};
use serde_json::Value;

/// Above what the protocol allows, so that the network has its share.
const SLACK_MS: u64 = 1_500;
/// A request's head has arrived, and a WebSocket has connected, within so much time.
const HEAD_MS: u64 = 10_000;
const CONNECT_MS: u64 = 15_000;
/// The gateway waits so long for the end of a connection that it has closed.
const LEAVE_MS: u64 = 2_000;
/// Sockets of one address that have not connected.
const SOCKETS: u64 = 16;
/// Requests of a connection at once, and a second.
const BURST: u64 = 100;
const PER_SECOND: u64 = 50;
/// Requests in flight.
const IN_FLIGHT: u64 = 64;
/// Bad frames that end a connection.
const BAD_FRAMES: u64 = 5;

/// Checks what came of each abuse, and what the abuser's principals did.
pub fn check(plan: &Plan, history: &History) -> Vec<Violation> {
    let mut findings = Findings::new("abuse", Severity::Safety);
    let steps = plan.guests.abuser.as_deref().unwrap_or_default();
    for came in history.abuses.iter().filter(|came| is_telling(plan, history, came)) {
        let Some(step) = steps.get(came.step) else { continue };
        if let Err(message) = judge(*step, came) {
            let AbuseStep { guise, abuse, .. } = step;
            findings.add("GW10", came.ended, format!("{abuse:?} as {guise:?}: {message}"));
        }
    }
    effects(history, &mut findings);
    findings.found
}

/// Whether nothing but the gateway decided what came of it.
fn is_telling(plan: &Plan, history: &History, came: &AbuseHistory) -> bool {
    // a gateway that starts has died just before, and serves nobody for a while
    const DYING_NS: u64 = 50_000_000;
    const DOWN_NS: u64 = 3_000_000_000;
    let at_ns = |seq: usize| history.times.get(seq).copied().unwrap_or_default();
    let (began, ended) = (at_ns(came.began), at_ns(came.ended));
    let restarted = history.gateway.starts.iter().skip(1).any(|start| {
        let start = at_ns(*start);
        start < ended + DYING_NS && start + DOWN_NS > began
    });
    came.done && plan.chaos.is_none() && !restarted
}

type Judgement = Result<(), String>;

fn judge(AbuseStep { guise, abuse, .. }: AbuseStep, came: &AbuseHistory) -> Judgement {
    match abuse {
        Abuse::Garbage { .. } => {
            over(came)?;
            status(came, &[400, 431])
        }
        Abuse::HalfUpgrade | Abuse::Silence => {
            over(came)?;
            within(came, HEAD_MS)
        }
        Abuse::WrongRequest { request } => {
            over(came)?;
            status(came, statuses(request))
        }
        Abuse::NeverConnects => {
            closed(came, 4408)?;
            within(came, CONNECT_MS + LEAVE_MS)
        }
        Abuse::WrongToken => {
            closed(came, 4401)?;
            // after ten of them unknown tokens wait
            refused(came, &[("AUTH_INVALID", "TOKEN_UNKNOWN"), ("RATE_LIMITED", "AUTH_FAILURES")], 1)
        }
        Abuse::WrongProtocol => {
            closed(came, 4409)?;
            refused(came, &[("CONFLICT", "PROTOCOL_MISMATCH")], 1)
        }
        Abuse::TooEarly => {
            refused(came, &[("AUTH_REQUIRED", "CONNECT_FIRST")], 1)?;
            alive(guise, came)
        }
        Abuse::ConnectTwice => {
            refused(came, &[("CONFLICT", "ALREADY_CONNECTED")], 1)?;
            alive(guise, came)
        }
        Abuse::BadText { text, times } => {
            let reason = match text {
                BadText::NotJson | BadText::Truncated => "BAD_JSON",
                _ => "BAD_FRAME",
            };
            refused(came, &[("INVALID_PARAMS", reason)], times.min(BAD_FRAMES))?;
            let has_id = text == BadText::NoMethod;
            if came.answers.iter().any(|answer| answer["id"].is_null() == has_id) {
                return Err(format!("answers under other ids: {:?}", came.answers.first()));
            }
            if times >= BAD_FRAMES { closed(came, 1008) } else { alive(guise, came) }
        }
        Abuse::Binary => {
            refused(came, &[("INVALID_PARAMS", "BAD_FRAME")], 1)?;
            alive(guise, came)
        }
        Abuse::ParamsNotObject => {
            refused(came, &[("INVALID_PARAMS", "PARAMS_NOT_OBJECT")], 1)?;
            alive(guise, came)
        }
        Abuse::UnknownMethod => {
            refused(came, &[("NOT_FOUND", "UNKNOWN_METHOD")], 1)?;
            alive(guise, came)
        }
        Abuse::WrongTypes | Abuse::LongText => {
            let refusal = came.answers.first().map(|answer| &answer["error"]);
            let path = refusal.and_then(|error| error["details"]["path"].as_str());
            let expected: &[&str] =
                if abuse == Abuse::LongText { &["reason"] } else { &["symbol", "timeframe", "limit"] };
            if refusal.is_none_or(|error| error["code"] != "INVALID_PARAMS")
                || path.is_none_or(|path| !expected.contains(&path))
            {
                return Err(format!("answered {refusal:?}, not INVALID_PARAMS with the path"));
            }
            alive(guise, came)
        }
        // beyond 64 KiB before it connected, beyond 1 MiB after
        Abuse::Oversized { bytes } if guise == Guise::Nobody || bytes > 1 << 20 => closed(came, 1009),
        Abuse::Oversized { .. } => {
            refused(came, &[("INVALID_PARAMS", "BAD_JSON")], 1)?;
            alive(guise, came)
        }
        Abuse::WrongFrame { frame: WrongFrame::NotUtf8 } => closed(came, 1007),
        Abuse::WrongFrame { .. } => closed(came, 1002),
        Abuse::Fragmented { .. } => {
            let answer = came.answers.first().ok_or("a whole request in fragments was not answered")?;
            as_served(guise, answer)?;
            alive(guise, came)
        }
        Abuse::IdReused => {
            let [first, second] = came.answers.as_slice() else {
                return Err(format!("{} answers to two requests", came.answers.len()));
            };
            // answers may overtake one another
            let conflicts =
                [first, second].map(|answer| answer["error"]["details"]["reason"] == "DUPLICATE_REQUEST_ID");
            if conflicts[0] == conflicts[1] || !(first["ok"] == true || second["ok"] == true) {
                return Err(format!("answered {first} and {second}"));
            }
            alive(guise, came)
        }
        Abuse::Flood { requests } => flood(guise, requests, came),
        Abuse::ManySockets { count } => {
            let due = count.saturating_sub(SOCKETS);
            if came.refused < due {
                return Err(format!(
                    "{} of {count} sockets were refused, where {due} are too many",
                    came.refused
                ));
            }
            Ok(())
        }
        Abuse::Replayed => replayed(came),
        Abuse::Forbidden { .. } => {
            refused(came, &[("AUTH_FORBIDDEN", "SCOPE_MISSING")], 1)?;
            alive(guise, came)
        }
    }
}

const fn statuses(request: WrongRequest) -> &'static [u16] {
    match request {
        WrongRequest::ForeignOrigin | WrongRequest::ForeignHost => &[403],
        WrongRequest::NoKey => &[400],
        WrongRequest::OldVersion | WrongRequest::NoUpgrade => &[426],
        WrongRequest::UnknownPath => &[404],
        WrongRequest::SchemaWithoutToken => &[401],
        WrongRequest::HugeHead => &[431],
    }
}

fn over(came: &AbuseHistory) -> Judgement {
    if came.over { Ok(()) } else { Err("the connection was not ended".to_owned()) }
}

fn within(came: &AbuseHistory, limit_ms: u64) -> Judgement {
    let took_ms = came.took_ms;
    if took_ms <= limit_ms + SLACK_MS { Ok(()) } else { Err(format!("it took {took_ms} ms")) }
}

fn status(came: &AbuseHistory, expected: &[u16]) -> Judgement {
    if came.status.is_some_and(|status| expected.contains(&status)) {
        return Ok(());
    }
    Err(format!("answered with status {:?}, not {expected:?}", came.status))
}

fn closed(came: &AbuseHistory, code: u16) -> Judgement {
    if came.close == Some(code) { Ok(()) } else { Err(format!("closed with {:?}, not {code}", came.close)) }
}

/// So many answers, each with one of these codes and reasons.
fn refused(came: &AbuseHistory, expected: &[(&str, &str)], times: u64) -> Judgement {
    let fits = |answer: &Value| {
        let error = &answer["error"];
        let is =
            |(code, reason): &(&str, &str)| error["code"] == *code && error["details"]["reason"] == *reason;
        answer["ok"] == false && expected.iter().any(is)
    };
    if came.answers.len() as u64 != times {
        return Err(format!("{} answers where {times} are due", came.answers.len()));
    }
    match came.answers.iter().find(|answer| !fits(answer)) {
        Some(answer) => Err(format!("answered {answer}, not {expected:?}")),
        None => Ok(()),
    }
}

/// The connection goes on.
fn alive(guise: Guise, came: &AbuseHistory) -> Judgement {
    match &came.alive {
        Some(answer) => as_served(guise, answer),
        None => Err(format!("the connection did not go on: closed with {:?}", came.close)),
    }
}

/// What a good request of the guise is answered.
fn as_served(guise: Guise, answer: &Value) -> Judgement {
    let served = match guise {
        Guise::Nobody => answer["error"]["code"] == "AUTH_REQUIRED",
        Guise::Viewer | Guise::Operator => answer["ok"] == true,
    };
    if served { Ok(()) } else { Err(format!("a good request was answered {answer}")) }
}

/// All are answered; those within the rate as ever, the others with the time to wait.
fn flood(guise: Guise, requests: u64, came: &AbuseHistory) -> Judgement {
    if came.answers.len() as u64 != requests {
        return Err(format!("{} answers to {requests} requests", came.answers.len()));
    }
    let mut served = 0;
    for answer in &came.answers {
        let error = &answer["error"];
        if error["code"] != "RATE_LIMITED" {
            as_served(guise, answer)?;
            served += 1;
            continue;
        }
        if error["retryable"] != true || error["details"]["retryAfterMs"].as_u64().is_none_or(|ms| ms == 0) {
            return Err(format!("refused without a time to come again: {answer}"));
        }
    }
    let most = BURST + PER_SECOND * came.took_ms.div_ceil(1_000);
    let least = (BURST - 1).min(IN_FLIGHT);
    if served > most || served < least.min(requests) {
        return Err(format!("{served} were served, where {least} to {most} may be"));
    }
    Ok(())
}

/// The second copy on the connection is a conflict, one elsewhere brings the same answer.
fn replayed(came: &AbuseHistory) -> Judgement {
    let [first, second, third] = came.answers.as_slice() else {
        return Err(format!("{} answers to three requests", came.answers.len()));
    };
    if second["error"]["details"]["reason"] != "DUPLICATE_REQUEST_ID" {
        return Err(format!("the same bytes again were answered {second}"));
    }
    if first["ok"] == true && first != third {
        return Err(format!("the same key was answered {first} and then {third}"));
    }
    Ok(())
}

/// Nothing of the abuser enters the journal but the orders that it replays.
fn effects(history: &History, findings: &mut Findings) {
    let principals: Vec<&str> = history
        .tokens
        .iter()
        .filter(|token| token.holder == "abuser")
        .map(|token| token.principal.as_str())
        .collect();
    for step in &history.gateway.steps {
        let command = &step.input["command"];
        let Some(principal) = command["principal"].as_str() else { continue };
        let key = command["idempotency"]["key"].as_str().unwrap_or_default();
        let is_replayed = command["body"]["place"].is_object() && key.starts_with("abuser-key-");
        if principals.contains(&principal) && !is_replayed {
            findings.add("GW04", step.seq, format!("a command of an abuser entered the journal: {command}"));
        }
        let known =
            history.tokens.is_empty() || history.tokens.iter().any(|token| token.principal == principal);
        if !known {
            findings.add("GW04", step.seq, format!("a command of nobody entered the journal: {command}"));
        }
    }
}
