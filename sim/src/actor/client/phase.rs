//! How a client comes to its end: it finishes what it began, waits until all accounts are at rest, asks for
//! everything once more, and reads the whole log.

use super::{Client, Control, MILLI_NS};
use crate::{
    history::Request,
    plan::{Action, PAPER},
    trace::Node,
};
use serde_json::{Value, json};

/// Between looks at accounts that are not at rest.
const LOOK_INTERVAL_NS: u64 = 500 * MILLI_NS;
/// Acknowledged requests that are repeated at the end.
const REPEATED_AT_END: usize = 8;
/// Orders that are looked up at the end.
const LOOKED_UP_AT_END: usize = 12;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Working,
    /// Until everything is answered.
    Finishing,
    /// Until every account is connected to its venue, and no order's fate is open.
    Healing,
    /// Everything was asked once more; until that is answered.
    Auditing,
    /// Connects once more and reads the whole log.
    Reading,
    Done,
}

impl Client {
    pub(super) fn obey(&mut self, order: Control) {
        if order == Control::Finish && self.phase == Phase::Working {
            self.phase = Phase::Finishing;
            self.nap = None;
            self.due.retain(|step| !matches!(step.action, Action::Nap { .. }));
        }
    }

    /// Goes on to the next phase when this one is through. True: this connection has done its part.
    pub(super) fn advance(&mut self) -> bool {
        let idle = self.open.is_empty() && self.nap.is_none();
        match self.phase {
            Phase::Finishing if idle && self.due.is_empty() => {
                self.phase = Phase::Healing;
                self.look();
                if self.looks.is_empty() {
                    self.phase = Phase::Auditing;
                    self.audit();
                }
                false
            }
            Phase::Healing if idle => {
                if self.is_healed() {
                    self.phase = Phase::Auditing;
                    self.audit();
                } else if self.look_again_ns <= self.now_ns() {
                    self.look();
                }
                false
            }
            Phase::Auditing if idle && self.setup.node == Node::Operator => {
                self.phase = Phase::Reading;
                true
            }
            Phase::Auditing if idle => {
                self.phase = Phase::Done;
                true
            }
            Phase::Reading if idle && self.has_read_all() => {
                self.phase = Phase::Done;
                true
            }
            _ => false,
        }
    }

    /// An account whose venue contradicted itself is connected again, which only an operator can do.
    pub(super) fn connect_account(&mut self, account: &Value) {
        if self.setup.node != Node::Operator {
            return;
        }
        self.setup.coverage.mark("account_connected_again");
        let key = format!("{}-connect-{}", self.setup.node.name(), self.journal().requests.len());
        self.ask(read("accounts.connect", json!({ "accountId": account, "idempotencyKey": key })), false);
    }

    /// Asks how the accounts at venues are.
    fn look(&mut self) {
        self.look_again_ns = self.now_ns() + LOOK_INTERVAL_NS;
        self.looks.clear();
        for account in self.setup.accounts.clone().into_iter().filter(|account| account != PAPER) {
            let look = self.journal().requests.len();
            self.looks.push(look);
            self.ask(read("accounts.get", json!({ "accountId": account })), false);
        }
    }

    fn is_healed(&self) -> bool {
        let journal = self.journal();
        self.looks.iter().all(|look| {
            let answer = journal.requests[*look].answers.last().filter(|answer| answer.ok);
            answer.is_some_and(|answer| is_at_rest(&answer.body))
        })
    }

    /// Asks for everything once more: acknowledged requests under their keys, and the state.
    fn audit(&mut self) {
        let (again, orders) = {
            let journal = self.journal();
            let acknowledged = journal.requests.iter().enumerate().skip(self.own_since).rev();
            let again: Vec<usize> = acknowledged
                .filter(|(_, r)| r.key.is_some() && r.successes().next().is_some())
                .map(|(index, _)| index)
                .take(REPEATED_AT_END)
                .collect();
            let orders: Vec<(String, String)> =
                self.known.orders.iter().rev().take(LOOKED_UP_AT_END).cloned().collect();
            (again, orders)
        };
        for request in again {
            self.ask_again(request);
        }
        for (account, order) in orders {
            self.ask(read("trades.get", json!({ "accountId": account, "orderId": order })), false);
        }
        for account in self.setup.accounts.clone() {
            self.ask(read("accounts.get", json!({ "accountId": account })), false);
            self.ask(read("risk.status", json!({ "accountId": account })), false);
        }
        self.ask(read("gateway.status", json!({})), false);
        self.ask(read("gateway.ping", json!({})), false);
    }

    fn has_read_all(&self) -> bool {
        // whoever sees some accounts only is not told where the log of those ends
        const LISTENS_NS: u64 = 3_000 * MILLI_NS;
        if self.setup.sees.is_some() {
            return self.now_ns() >= self.connected_ns + LISTENS_NS;
        }
        let journal = self.journal();
        let Some(session) = journal.sessions.last() else { return false };
        let Some(head) = &session.head else { return true };
        let last = session.told.iter().rev().find_map(|t| t.cursor.as_ref());
        head.offset == 0 || last.is_some_and(|c| c.offset >= head.offset)
    }
}

fn read(method: &str, params: Value) -> Request {
    Request { method: method.into(), params, ..Request::default() }
}

/// Whether the account is connected and every order of it rests.
fn is_at_rest(account: &Value) -> bool {
    let rests = |order: &Value| {
        matches!(order["status"].as_str(), Some("accepted" | "partially_filled" | "triggered"))
    };
    account["status"] == "connected" && account["orders"].as_array().is_some_and(|o| o.iter().all(rests))
}
