//! Incidents that real systems had: whether a world came into one of them. The oracles judge how it came
//! out; these marks say that there was something to judge.

use crate::{
    history::{ClientHistory, History, MachineHistory, Step},
    plan::Plan,
};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// An order that rested at its venue was still there after a reconnect: where a naive reconnect drops it.
const RESTED: &str = "order_rested_across_reconnect";
/// A position that was open when the gateway lost power was open afterwards, and somebody closed it later: where a
/// warm restart flattens what it finds.
const KEPT: &str = "position_kept_across_restart";
/// A venue filled an order while the gateway had no session with it, and the gateway booked the fill.
const FILLED_AWAY: &str = "fill_while_away_booked";
/// An order was filled although its cancellation had been asked for: the two crossed.
const CROSSED: &str = "fill_after_cancel";
/// A client was told `TIMEOUT` of an order that was executed all the same.
const TIMED_OUT: &str = "timeout_was_executed";

/// An event was not told to somebody who sees some of the accounts only, and a later one was: where a sequence that
/// advances before filtering has a hole.
const NOT_SHOWN: &str = "event_not_shown";
/// A stop of everything was told to somebody who sees some of the accounts only.
const STOP_IN_PART: &str = "stop_shown_in_part";

/// The incidents of a world, once for each time.
pub fn marks(plan: &Plan, history: &History) -> Vec<&'static str> {
    let mut marks = Vec::new();
    let mut accounts: BTreeMap<&str, Account<'_>> = BTreeMap::new();
    // the account of each order request, by the command's name
    let mut placed: BTreeMap<&str, &str> = BTreeMap::new();
    let mut timed_out: BTreeSet<(&str, &str)> = BTreeSet::new();
    for step in &history.gateway.steps {
        let command = &step.input["command"];
        placed.extend(command["id"].as_str().zip(command["body"]["place"]["account"].as_str()));
        for reply in step.replies.iter().filter(|reply| reply["result"]["Err"]["code"] == "TIMEOUT") {
            let account = reply["command"].as_str().and_then(|command| placed.get(command).copied());
            timed_out.extend(account.zip(reply["result"]["Err"]["details"]["orderId"].as_str()));
        }
        for (name, payload) in &step.events {
            let order = if name == "event.order.updated" { &payload["order"] } else { payload };
            let Some(id) = order["accountId"].as_str() else { continue };
            let account = accounts.entry(id).or_default();
            match name.as_str() {
                "event.account.status" => marks.extend(account.link_changed(step, payload)),
                "event.order.updated" => account.order_changed(order),
                "event.trade.executed" => {
                    let order_id = order["orderId"].as_str().unwrap_or_default();
                    if timed_out.contains(&(id, order_id)) {
                        marks.push(TIMED_OUT);
                    }
                    if account.canceling.contains(order_id) {
                        marks.push(CROSSED);
                    }
                    if account.is_kept(order, step.seq, &history.gateway.starts) {
                        marks.push(KEPT);
                    }
                    account.fills.insert(money(order));
                }
                _ => {}
            }
        }
    }
    for (venue, plan) in history.venues.iter().zip(&plan.venues) {
        for names in &plan.accounts {
            if let Some(account) = accounts.get(names.id.as_str()) {
                marks.extend(filled_away(venue, &names.login, account));
            }
        }
    }
    marks.extend(history.clients.iter().filter(|client| client.sees.is_some()).flat_map(filtered));
    marks
}

/// What was kept from a client that sees some of the accounts only.
fn filtered(client: &ClientHistory) -> Vec<&'static str> {
    let mut marks = Vec::new();
    for session in &client.sessions {
        let numbers = session.told.iter().filter_map(|told| told.cursor.as_ref()).map(|cursor| cursor.offset);
        let numbers: Vec<u64> = numbers.collect();
        marks.extend(numbers.windows(2).filter(|pair| pair[0] + 1 < pair[1]).map(|_| NOT_SHOWN));
        let stops = session.told.iter().filter(|told| told.name == "event.emergency_stop");
        marks.extend(stops.filter(|told| told.read()["scope"] == "global").map(|_| STOP_IN_PART));
    }
    marks
}

/// What the gateway knows of an account, along its log.
#[derive(Default)]
struct Account<'a> {
    resting: BTreeSet<&'a str>,
    /// By position: the side that opened it, and where in the trace.
    opened: BTreeMap<&'a str, (&'a str, usize)>,
    /// Those whose cancellation was asked for.
    canceling: BTreeSet<&'a str>,
    /// Those that rested when the link was lost.
    rested: BTreeSet<&'a str>,
    connected: bool,
    /// Times in which there was no session, in virtual nanoseconds.
    away: Vec<(u64, u64)>,
    /// Order, volume and price of each fill.
    fills: BTreeSet<(String, String, String)>,
}

impl<'a> Account<'a> {
    fn link_changed(&mut self, step: &Step, status: &Value) -> Vec<&'static str> {
        let connected = status["status"] == "connected";
        let was_connected = std::mem::replace(&mut self.connected, connected);
        match (was_connected, connected) {
            (true, false) => {
                self.rested = self.resting.clone();
                self.away.push((step.at_ns, u64::MAX));
                Vec::new()
            }
            (false, true) => {
                if let Some((_, end)) = self.away.last_mut() {
                    *end = step.at_ns;
                }
                let rested = std::mem::take(&mut self.rested);
                rested.intersection(&self.resting).map(|_| RESTED).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Whether a fill closes a position that was opened before a start of the process.
    fn is_kept(&mut self, fill: &'a Value, seq: usize, starts: &[usize]) -> bool {
        let (Some(position), Some(side)) = (fill["positionId"].as_str(), fill["side"].as_str()) else {
            return false;
        };
        let (opening, opened) = *self.opened.entry(position).or_insert((side, seq));
        opening != side && starts.iter().any(|start| (opened..seq).contains(start))
    }

    fn order_changed(&mut self, order: &'a Value) {
        let Some(id) = order["orderId"].as_str() else { return };
        if order["status"] == "pending_cancel" {
            self.canceling.insert(id);
        }
        if order["status"] == "accepted" {
            self.resting.insert(id);
        } else {
            self.resting.remove(id);
        }
    }
}

/// Order, volume and price: what both sides call a fill.
fn money(fill: &Value) -> (String, String, String) {
    let text = |key: &str| fill[key].as_str().unwrap_or_default().to_owned();
    (text("orderId"), text("volume"), text("price"))
}

/// Fills of the venue that happened while the gateway was away from that account, and that it has booked.
fn filled_away(venue: &MachineHistory, login: &str, account: &Account<'_>) -> Vec<&'static str> {
    let mut marks = Vec::new();
    for step in &venue.steps {
        let away = account.away.iter().any(|(from, to)| (*from..*to).contains(&step.at_ns));
        let fills = step.events.iter().filter(|(name, _)| away && name == "event.trade.executed");
        for (_, fill) in fills.filter(|(_, fill)| fill["accountId"] == login) {
            let order = fill["clientOrderId"].as_str().and_then(|name| name.rsplit_once('.'));
            let (_, volume, price) = money(fill);
            let booked =
                |(_, order): (&str, &str)| account.fills.contains(&(order.to_owned(), volume, price));
            marks.extend(order.filter(|order| booked(*order)).map(|_| FILLED_AWAY));
        }
    }
    marks
}
