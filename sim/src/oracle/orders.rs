//! `orders`: each order's life at the gateway, held against what its venue did.
//!
//! The venue's records are the truth. Both sides are compared as of the last report that the gateway took
//! in; what the venue told in time must have been taken in by the end (liveness).

use super::{
    Findings, Log, LogEvent, Severity, Violation,
    arithmetic::{ONE, parse, show, units},
    is_of_venue,
};
use crate::plan::{VenueAccount, VenuePlan};
use serde_json::Value;
use std::collections::BTreeMap;

/// After so much time, in the end, a report has been taken in.
const REPORTED_WITHIN_NS: u64 = 20_000_000_000;

/// Compares every account of a venue.
pub fn check(plan: &VenuePlan, log: &Log<'_>, truth: &Log<'_>) -> Vec<Violation> {
    let mut found = Vec::new();
    for account in &plan.accounts {
        let mut findings = Findings::new("orders", Severity::Safety);
        let end = log.steps.last().map_or(0, |step| step.seq);
        let taken = taken(account, log);
        let venue = Side::of_venue(account, truth, taken.unwrap_or(0));
        let gateway = Side::of_gateway(account, log);
        let comparison = Comparison { account, gateway, venue, end };
        comparison.orders(&mut findings);
        comparison.positions(&mut findings);
        // without the venue's books it knows of no deposit; that it should have them is for `liveness` to say
        if taken.is_some() {
            comparison.money(&mut findings);
        }
        comparison.never_there(&Side::of_venue(account, truth, u64::MAX), &mut findings);
        found.append(&mut findings.found);
        found.extend(late(account, log, truth, taken.unwrap_or(0)));
    }
    found
}

/// The number of the last report that the gateway took in: by itself, or with the venue's books. `None` before
/// the first books.
fn taken(account: &VenueAccount, log: &Log<'_>) -> Option<u64> {
    let (mut last, mut reachable) = (None, false);
    for step in &log.steps {
        let link = &step.input["link"];
        if link["account"] == account.id && reachable {
            let report = &link["event"]["report"];
            if last.is_some() && report["prev"].as_u64() == last {
                last = report["seq"].as_u64().or(last);
            }
            last = link["event"]["snapshot"]["seq"].as_u64().or(last);
        }
        for (name, payload) in &step.events {
            if name == "event.account.status" && payload["accountId"] == account.id {
                reachable = matches!(payload["status"].as_str(), Some("connected" | "reconciling"));
            }
        }
    }
    last
}

/// An account as one side has it. Orders and positions bear the gateway's numbers.
#[derive(Default)]
struct Side {
    orders: BTreeMap<String, Order>,
    /// Volume, by the number of the order that opened it; short is negative.
    positions: BTreeMap<String, i128>,
    /// Of positions, by the same number.
    levels: BTreeMap<String, Levels>,
    balance: i128,
}

#[derive(Default)]
struct Order {
    status: String,
    filled: i128,
    /// Volume times price, over all fills.
    turnover: i128,
    /// Volume and price that were asked for, as they were changed last.
    terms: Option<(Option<i128>, Option<i128>)>,
}

/// Stop loss and take profit.
type Levels = (Option<i128>, Option<i128>);

impl Side {
    fn of_gateway(account: &VenueAccount, log: &Log<'_>) -> Self {
        let mut side = Self::default();
        for event in &log.events {
            let number =
                |order: &Value| order["orderId"].as_str().map(|id| id.trim_start_matches('o').to_owned());
            let position =
                |fill: &Value| fill["positionId"].as_str().map(|id| id.trim_start_matches('p').to_owned());
            side.apply(&account.id, event, number, position);
        }
        let entries = log.steps.iter().flat_map(|step| &step.ledger);
        let own = entries.filter(|entry| entry["accountId"] == account.id);
        side.balance = own.filter_map(|entry| units(&entry["amount"])).sum();
        side
    }

    /// As of its report of this number.
    fn of_venue(account: &VenueAccount, truth: &Log<'_>, last: u64) -> Self {
        let mut side =
            Self { balance: parse(&account.deposit.to_string()).unwrap_or_default(), ..Self::default() };
        // The venue's names of its positions, and the gateway's numbers.
        let mut names: BTreeMap<String, String> = BTreeMap::new();
        let mut begun = (0, 0); // the step, and the number of its first event
        for event in &truth.events {
            if event.step.offset != begun.0 {
                begun = (event.step.offset, event.number);
            }
            let belongs = begun.1 <= last && !is_report(event);
            if event.number > last && !belongs {
                continue;
            }
            let number = |order: &Value| {
                let name = order["clientOrderId"].as_str()?;
                Some(name.rsplit_once(".o")?.1.to_owned())
            };
            let position = |fill: &Value| {
                let name = fill["positionId"].as_str()?.to_owned();
                let opened = || number(fill).unwrap_or_else(|| format!("unknown position {name}"));
                Some(names.entry(name.clone()).or_insert_with(opened).clone())
            };
            side.apply(&account.login, event, number, position);
            if event.name == "event.trade.executed" && event.payload["accountId"] == account.login {
                let money = |key: &str| units(&event.payload[key]).unwrap_or_default();
                side.balance += money("commission") + money("realizedPnl");
            }
        }
        side
    }

    fn apply(
        &mut self,
        account: &str,
        event: &LogEvent<'_>,
        number: impl Fn(&Value) -> Option<String>,
        position: impl FnOnce(&Value) -> Option<String>,
    ) {
        let payload = event.payload;
        match event.name {
            "event.order.updated"
                if payload["order"]["accountId"] == account && !is_of_venue(&payload["order"]) =>
            {
                if let Some(number) = number(&payload["order"]) {
                    let status = payload["order"]["status"].as_str().unwrap_or_default();
                    let order = self.orders.entry(number).or_default();
                    // the first ones; an event of the name tells of changes
                    order.terms.get_or_insert_with(|| terms(&payload["order"]));
                    order.status = status.to_owned();
                }
            }
            "event.trade.modified" if payload["order"]["accountId"] == account => {
                if let Some(number) = number(&payload["order"]) {
                    self.orders.entry(number).or_default().terms = Some(terms(&payload["order"]));
                }
            }
            "event.trade.modified" | "event.position.updated"
                if payload["position"]["accountId"] == account =>
            {
                if let Some(position) = position(&payload["position"]) {
                    self.levels.insert(position, levels(&payload["position"]));
                }
            }
            "event.trade.executed" if payload["accountId"] == account => {
                let volume = units(&payload["volume"]).unwrap_or_default();
                let price = units(&payload["price"]).unwrap_or_default();
                // a protective level fills no order
                if payload["reason"] == "order"
                    && let Some(number) = number(payload)
                {
                    let order = self.orders.entry(number).or_default();
                    order.filled += volume;
                    order.turnover += volume * price;
                }
                let signed = if payload["side"] == "buy" { volume } else { -volume };
                *self.positions.entry(position(payload).unwrap_or_default()).or_default() += signed;
            }
            _ => {}
        }
    }
}

fn terms(order: &Value) -> (Option<i128>, Option<i128>) {
    (units(&order["volume"]), units(&order["price"]))
}

fn levels(position: &Value) -> Levels {
    (units(&position["stopLoss"]), units(&position["takeProfit"]))
}

/// The two sides of an account.
struct Comparison<'a> {
    account: &'a VenueAccount,
    gateway: Side,
    venue: Side,
    end: usize,
}

/// Whether the venue tells of the event by a report of its own. What is none belongs to those of its step.
fn is_report(event: &LogEvent<'_>) -> bool {
    let status = event.payload["order"]["status"].as_str();
    matches!(event.name, "event.trade.executed" | "event.trade.modified")
        || matches!(status, Some("accepted" | "canceled" | "expired"))
}

/// How far an order got, as far as both sides must agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    /// Not taken by the venue, or not known to be.
    Open,
    Working,
    Filled,
    Canceled,
    Expired,
    Refused,
}

fn life(status: &str) -> Life {
    match status {
        "accepted" | "triggered" | "partially_filled" | "pending_cancel" | "pending_modify" => Life::Working,
        "filled" => Life::Filled,
        "canceled" => Life::Canceled,
        "expired" => Life::Expired,
        "rejected" | "denied" => Life::Refused,
        _ => Life::Open,
    }
}

impl Comparison<'_> {
    fn orders(&self, findings: &mut Findings) {
        let account = &self.account.id;
        for (number, there) in &self.venue.orders {
            let Some(here) = self.gateway.orders.get(number) else {
                findings.add(
                    "LV03",
                    self.end,
                    format!("{account}: the venue has order {number}, which is not ours"),
                );
                continue;
            };
            let (told, truth) = (life(&here.status), life(&there.status));
            if told != truth && truth != Life::Open {
                let message = format!(
                    "{account}: order {number} is {} at the venue and {} here",
                    there.status, here.status
                );
                findings.add("LV03", self.end, message);
            }
            if here.terms != there.terms && truth != Life::Open {
                let message = format!(
                    "{account}: order {number} has the terms {:?} at the venue, {:?} here (volume, price)",
                    there.terms, here.terms
                );
                findings.add("LV03", self.end, message);
            }
            if (here.filled, here.turnover) != (there.filled, there.turnover) {
                let message = format!(
                    "{account}: of order {number} {} lots for {} are filled at the venue, {} for {} here",
                    show(there.filled),
                    show(there.turnover / ONE),
                    show(here.filled),
                    show(here.turnover / ONE)
                );
                findings.add("LV01", self.end, message);
            }
        }
        for (number, here) in &self.gateway.orders {
            let unknown_there = !self.venue.orders.contains_key(number);
            if unknown_there
                && (matches!(life(&here.status), Life::Working | Life::Filled) || here.filled != 0)
            {
                let message =
                    format!("{account}: order {number} is {} here and unknown at the venue", here.status);
                findings.add("LV03", self.end, message);
            }
        }
    }

    fn positions(&self, findings: &mut Findings) {
        let open = |side: &Side| -> BTreeMap<String, i128> {
            side.positions
                .iter()
                .filter(|(_, volume)| **volume != 0)
                .map(|(id, v)| (id.clone(), *v))
                .collect()
        };
        let (here, there) = (open(&self.gateway), open(&self.venue));
        if here != there {
            let account = &self.account.id;
            let message =
                format!("{account}: positions {there:?} at the venue, {here:?} here (in 10^-8 lots)");
            findings.add("LV02", self.end, message);
        }
        for position in here.keys().filter(|position| there.contains_key(*position)) {
            let levels = |side: &Side| side.levels.get(position).copied().unwrap_or_default();
            let (ours, theirs) = (levels(&self.gateway), levels(&self.venue));
            if ours != theirs {
                let account = &self.account.id;
                let message = format!(
                    "{account}: position {position} has the levels {theirs:?} at the venue, {ours:?} here"
                );
                findings.add("LV03", self.end, message);
            }
        }
    }

    fn money(&self, findings: &mut Findings) {
        let (here, there) = (self.gateway.balance, self.venue.balance);
        if here != there {
            let (account, here, there) = (&self.account.id, show(here), show(there));
            findings.add(
                "AC01",
                self.end,
                format!("{account}: balance {there} at the venue and {here} here"),
            );
        }
    }

    /// What ended here without the venue's knowledge never shows there, not even later.
    fn never_there(&self, whole: &Side, findings: &mut Findings) {
        for (number, here) in &self.gateway.orders {
            let ended = matches!(life(&here.status), Life::Canceled | Life::Expired | Life::Refused);
            let later = whole.orders.get(number).filter(|there| life(&there.status) != Life::Refused);
            if ended
                && !self.venue.orders.contains_key(number)
                && let Some(there) = later
            {
                let account = &self.account.id;
                let message = format!(
                    "{account}: order {number} had ended here as {} and is {} at the venue",
                    here.status, there.status
                );
                findings.add("LV03", self.end, message);
            }
        }
    }
}

/// What the venue did in time was taken in.
fn late(account: &VenueAccount, log: &Log<'_>, truth: &Log<'_>, taken: u64) -> Vec<Violation> {
    let mut findings = Findings::new("orders", Severity::Liveness);
    let end = log.steps.last().map_or(0, |step| step.at_ns);
    let missed = truth.events.iter().find(|event| {
        let is_fill = event.name == "event.trade.executed" && event.payload["accountId"] == account.login;
        is_fill && event.number > taken && event.step.at_ns + REPORTED_WITHIN_NS < end
    });
    if let Some(missed) = missed {
        let message =
            format!("{}: the gateway never heard of event {} of the venue", account.id, missed.number);
        findings.add("LV04", missed.step.seq, message);
    }
    findings.found
}
