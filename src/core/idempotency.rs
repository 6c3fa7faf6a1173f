//! Same key, same request: one effect and one final answer (GW03), across restarts.

use super::answers::Awaiting;
use crate::domain::{
    id::CommandId,
    message::{Command, ErrorCode, Refusal, ReplyBody},
    time::UnixNanos,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a key is bound to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Binding {
    fingerprint: String,
    bound_at: UnixNanos,
    /// `None` while the first request is in flight.
    answer: Option<Result<ReplyBody, Refusal>>,
    /// What that answer left open: it is `TIMEOUT`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    left_open: Option<Awaiting>,
    /// Commands that repeat the one in flight.
    joined: Vec<CommandId>,
}

/// What to do with a command.
pub(crate) enum Admission {
    /// It is new.
    Execute,
    /// It repeats one in flight, and is answered with it.
    Joined,
    /// Its answer is known.
    Answered(Box<Result<ReplyBody, Refusal>>),
    /// It was answered `TIMEOUT`: what it waited for may have come about meanwhile.
    TimedOut(Box<Awaiting>),
}

/// All keys of the last day.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Idempotency {
    /// By principal, method, account and key, joined by a character that none of them has.
    bindings: BTreeMap<String, Binding>,
    /// Which key a command in flight has bound.
    in_flight: BTreeMap<CommandId, String>,
}

impl Idempotency {
    /// Looks a command up and binds its key if it is new.
    pub(crate) fn admit(&mut self, command: &Command, now: UnixNanos) -> Admission {
        let Some(promise) = &command.idempotency else { return Admission::Execute };
        let scope = scope(command, &promise.key);
        match self.bindings.get_mut(&scope) {
            None => {
                self.in_flight.insert(command.id, scope.clone());
                let fingerprint = promise.fingerprint.clone();
                let (answer, left_open, joined) = (None, None, Vec::new());
                let binding = Binding { fingerprint, bound_at: now, answer, left_open, joined };
                self.bindings.insert(scope, binding);
                Admission::Execute
            }
            Some(bound) if bound.fingerprint != promise.fingerprint => {
                Admission::Answered(Box::new(Err(mismatch())))
            }
            Some(bound) => match (&bound.answer, &bound.left_open) {
                (Some(_), Some(waiting)) => Admission::TimedOut(Box::new(waiting.clone())),
                (Some(answer), None) => Admission::Answered(Box::new(answer.clone())),
                (None, _) => {
                    bound.joined.push(command.id);
                    Admission::Joined
                }
            },
        }
    }

    /// Binds the final answer; returns the commands that share it. A request that named something
    /// that is not there, or that was not started, binds nothing.
    pub(crate) fn bind(&mut self, command: CommandId, answer: &Result<ReplyBody, Refusal>) -> Vec<CommandId> {
        let Some(scope) = self.in_flight.remove(&command) else { return Vec::new() };
        if answer.as_ref().is_err_and(had_no_effect) {
            return self.bindings.remove(&scope).map(|b| b.joined).unwrap_or_default();
        }
        self.bindings.get_mut(&scope).map_or_else(Vec::new, |bound| {
            bound.answer = Some(answer.clone());
            std::mem::take(&mut bound.joined)
        })
    }

    /// Notes what a command was waiting for that is about to be answered `TIMEOUT`.
    pub(crate) fn leave_open(&mut self, waiting: &Awaiting) {
        let scope = self.in_flight.get(&waiting.command);
        if let Some(bound) = scope.and_then(|scope| self.bindings.get_mut(scope)) {
            bound.left_open = Some(waiting.clone());
        }
    }

    /// What a repeated command had left open has come to its end: this is its answer from now on.
    pub(crate) fn close(&mut self, repeated: &Command, answer: &Result<ReplyBody, Refusal>) {
        let Some(promise) = &repeated.idempotency else { return };
        let scope = scope(repeated, &promise.key);
        if answer.as_ref().is_err_and(had_no_effect) {
            self.bindings.remove(&scope);
        } else if let Some(bound) = self.bindings.get_mut(&scope) {
            (bound.answer, bound.left_open) = (Some(answer.clone()), None);
        }
    }

    /// Forgets answers bound before `until`.
    pub(crate) fn prune(&mut self, until: UnixNanos) {
        self.bindings.retain(|_, b| b.answer.is_none() || b.bound_at >= until);
    }
}

fn had_no_effect(refusal: &Refusal) -> bool {
    let outcome = refusal.details.get("outcome").and_then(|outcome| outcome.as_str());
    matches!(refusal.code, ErrorCode::NotFound | ErrorCode::InvalidParams) || outcome == Some("not_started")
}

fn scope(command: &Command, key: &str) -> String {
    let account = command.body.account().map_or("*", |a| a.as_str());
    format!("{}\u{1f}{}\u{1f}{account}\u{1f}{key}", command.principal, command.body.method())
}

fn mismatch() -> Refusal {
    Refusal::new(
        ErrorCode::Conflict,
        "IDEMPOTENCY_MISMATCH",
        "this idempotencyKey was used with other parameters: use a new key for a new request",
    )
}
