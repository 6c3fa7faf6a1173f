//! Emergency stops: latches that deny new risk until somebody resumes (RK05, RK06).

use crate::domain::{
    id::{AccountId, StopId},
    message::{EmergencyStop, EmergencyStopChanged, LatchView, Outcome, StopAction, StopPhase, StopScope},
    time::UnixNanos,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// One latched stop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stop {
    pub id: StopId,
    pub scope: StopScope,
    pub actions: BTreeSet<StopAction>,
    pub actor: String,
    pub reason: String,
    pub since: UnixNanos,
    /// Whether all its actions are done.
    pub complete: bool,
}

impl Stop {
    /// Whether it concerns the account.
    pub(crate) fn covers(&self, account: &AccountId) -> bool {
        match &self.scope {
            StopScope::Global => true,
            StopScope::Account(id) => id == account,
        }
    }

    pub(crate) fn closes(&self) -> bool {
        self.actions.contains(&StopAction::CloseAll)
    }

    /// A stop that closes also cancels: it cannot end flat otherwise.
    pub(crate) fn cancels(&self) -> bool {
        self.closes() || self.actions.contains(&StopAction::CancelAll)
    }

    /// The event of a phase.
    pub(crate) fn event(
        &self,
        phase: StopPhase,
        actor: &str,
        reason: &str,
        outcomes: Vec<Outcome>,
    ) -> EmergencyStopChanged {
        let (scope, id) = scope_names(&self.scope);
        EmergencyStopChanged {
            stop_id: self.id,
            scope,
            id,
            actions: self.actions.iter().copied().collect(),
            actor: actor.to_owned(),
            reason: reason.to_owned(),
            phase,
            outcomes,
        }
    }

    pub(crate) fn view(&self) -> LatchView {
        let (scope, account_id) = scope_names(&self.scope);
        LatchView {
            id: self.id.to_string(),
            scope,
            account_id,
            cause: "emergency_stop".to_owned(),
            reason: self.reason.clone(),
            actor: self.actor.clone(),
            since: self.since,
            complete: self.complete,
        }
    }
}

fn scope_names(scope: &StopScope) -> (String, Option<AccountId>) {
    match scope {
        StopScope::Global => ("global".to_owned(), None),
        StopScope::Account(id) => ("account".to_owned(), Some(id.clone())),
    }
}

/// All latched stops; one per scope at most.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stops {
    latched: Vec<Stop>,
    last_id: u64,
}

impl Stops {
    /// Latches, or joins the latch of the same scope and adds its actions. True if it is new.
    pub(crate) fn latch(&mut self, stop: &EmergencyStop, actor: &str, now: UnixNanos) -> (StopId, bool) {
        if let Some(known) = self.latched.iter_mut().find(|s| s.scope == stop.scope) {
            let before = known.actions.len();
            known.actions.extend(&stop.actions);
            known.complete &= known.actions.len() == before;
            return (known.id, false);
        }
        self.last_id += 1;
        let id = StopId(self.last_id);
        self.latched.push(Stop {
            id,
            scope: stop.scope.clone(),
            actions: stop.actions.iter().copied().collect(),
            actor: actor.to_owned(),
            reason: stop.reason.clone(),
            since: now,
            complete: false,
        });
        (id, true)
    }

    /// Why trading on the account is halted, if it is.
    pub(crate) fn halted(&self, account: &AccountId) -> Option<&str> {
        self.latched.iter().find(|s| s.covers(account)).map(|s| s.reason.as_str())
    }

    /// Whether positions of the account are to be closed and are not all closed yet.
    pub(crate) fn closing(&self, account: &AccountId) -> bool {
        self.latched.iter().any(|s| !s.complete && s.closes() && s.covers(account))
    }

    /// Whether any stop has something left to do.
    pub(crate) fn busy(&self) -> bool {
        self.latched.iter().any(|s| !s.complete)
    }

    pub(crate) fn all(&self) -> &[Stop] {
        &self.latched
    }

    pub(crate) fn get(&self, id: StopId) -> Option<&Stop> {
        self.latched.iter().find(|s| s.id == id)
    }

    /// Complete stops that close on this account have something to do again; whether there are any.
    pub(crate) fn rearm(&mut self, account: &AccountId) -> bool {
        let mut any = false;
        for stop in self.latched.iter_mut().filter(|s| s.complete && s.closes() && s.covers(account)) {
            stop.complete = false;
            any = true;
        }
        any
    }

    pub(crate) fn complete(&mut self, id: StopId) {
        if let Some(stop) = self.latched.iter_mut().find(|s| s.id == id) {
            stop.complete = true;
        }
    }

    /// Lifts a stop.
    pub(crate) fn lift(&mut self, id: StopId) -> Option<Stop> {
        let index = self.latched.iter().position(|s| s.id == id)?;
        Some(self.latched.remove(index))
    }
}
