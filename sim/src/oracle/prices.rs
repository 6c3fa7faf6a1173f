//! `prices`: every fill of a simulated venue held against the quotes that its machine was given. Of a venue
//! that is not in the machine the gateway sees no quotes that count.

use super::{
    Findings, Log, Severity, Violation,
    arithmetic::{ONE, parse, show, units},
};
use crate::plan::PAPER;
use serde_json::Value;
use std::collections::BTreeMap;

/// Checks the fills of the gateway's own account.
pub fn check_gateway(log: &Log<'_>) -> Vec<Violation> {
    check(log, |account| account == PAPER)
}

/// Checks the fills of a venue.
pub fn check_venue(truth: &Log<'_>) -> Vec<Violation> {
    check(truth, |_| true)
}

fn check(log: &Log<'_>, is_own: impl Fn(&str) -> bool) -> Vec<Violation> {
    let mut findings = Findings::new("prices", Severity::Safety);
    let (mut market, mut terms) = (Market::default(), Terms::default());
    for step in &log.steps {
        let quoted = market.take(&step.input);
        for (name, payload) in &step.events {
            terms.take(name, payload);
            let account = payload["accountId"].as_str().unwrap_or_default();
            if name == "event.trade.executed" && is_own(account) {
                let symbol = payload["symbol"].as_str().unwrap_or_default();
                if let Some(quote) = market.quotes.get(symbol) {
                    judge(*quote, account, payload, &terms, step.seq, &mut findings);
                }
            }
        }
        if let Some((symbol, tick)) = quoted {
            let quote = market.quotes[&symbol];
            terms.stops.values_mut().filter(|stop| stop.symbol == symbol).for_each(|s| s.follow(quote, tick));
        }
    }
    findings.found
}

/// Bid and ask, in units.
type Quote = (i128, i128);

/// What the machine knows of prices.
#[derive(Default)]
struct Market {
    /// Symbol and tick, by the instrument's number.
    instruments: Vec<(String, i128)>,
    /// The last usable one, by symbol.
    quotes: BTreeMap<String, Quote>,
}

impl Market {
    /// What of it was quoted, and its tick.
    fn take(&mut self, input: &Value) -> Option<(String, i128)> {
        if let Some(list) = input["config"]["instruments"].as_array() {
            let instrument = |spec: &Value| {
                let tick = spec["tick"].as_str().and_then(parse).unwrap_or_default();
                (spec["symbol"].as_str().unwrap_or_default().to_owned(), tick)
            };
            self.instruments = list.iter().map(instrument).collect();
        }
        let quote = &input["quote"];
        let number = quote["instrument"].as_u64().and_then(|number| usize::try_from(number).ok());
        let instrument = number.and_then(|number| self.instruments.get(number));
        if let (Some((symbol, tick)), Some(bid), Some(ask)) =
            (instrument, quote["bid"].as_i64(), quote["ask"].as_i64())
            && 0 < bid
            && bid <= ask
        {
            let quote = (i128::from(bid) * tick, i128::from(ask) * tick);
            self.quotes.insert(symbol.clone(), quote);
            return Some((symbol.clone(), *tick));
        }
        None
    }
}

/// An account, and the name of an order or position of it.
type Name = (String, String);

/// A stop that waits for its trigger, and how it trails the market if it does.
struct Stop {
    symbol: String,
    buys: bool,
    trigger: i128,
    trail: Option<Trail>,
}

enum Trail {
    Distance(i128),
    /// In millionths.
    Share(i128),
}

impl Stop {
    fn new(order: &Value) -> Option<Self> {
        let share = |percent: i128| Trail::Share(percent * 10_000 / ONE);
        let by_distance = units(&order["trailDistance"]).map(Trail::Distance);
        Some(Self {
            symbol: order["symbol"].as_str()?.to_owned(),
            buys: order["side"] == "buy",
            trigger: units(&order["stopPrice"])?,
            trail: by_distance.or_else(|| units(&order["trailPercent"]).map(share)),
        })
    }

    /// Whether the quote is at the trigger or beyond.
    fn is_met(&self, (bid, ask): Quote) -> bool {
        if self.buys { ask >= self.trigger } else { bid <= self.trigger }
    }

    /// Follows the market, and never back (EX09). A share of a price ends at the next tick away from the market.
    fn follow(&mut self, (bid, ask): Quote, tick: i128) {
        let market = if self.buys { ask } else { bid };
        let distance = match &self.trail {
            None => return,
            Some(Trail::Distance(distance)) => *distance,
            Some(Trail::Share(millionths)) => {
                let exact = market * millionths; // in millionths of a unit
                let of_tick = tick * 1_000_000;
                ((exact + of_tick - 1) / of_tick).max(1) * tick
            }
        };
        self.trigger =
            if self.buys { self.trigger.min(market + distance) } else { self.trigger.max(market - distance) };
    }
}

/// What was asked for, as the events so far tell it.
#[derive(Default)]
struct Terms {
    /// Stops that wait.
    stops: BTreeMap<Name, Stop>,
    /// Limits of orders.
    limits: BTreeMap<Name, i128>,
    /// Stop losses and take profits of positions.
    levels: BTreeMap<Name, (Option<i128>, Option<i128>)>,
}

impl Terms {
    fn take(&mut self, event: &str, payload: &Value) {
        if !matches!(event, "event.order.updated" | "event.position.updated" | "event.trade.modified") {
            return;
        }
        let (order, position) = (&payload["order"], &payload["position"]);
        if let Some(limit) = units(&order["price"]) {
            self.limits.insert(name(order, "orderId"), limit);
        }
        let is_stop = matches!(order["type"].as_str(), Some("stop" | "stop_limit" | "trailing_stop"));
        match Stop::new(order).filter(|_| is_stop) {
            Some(stop) if WAITING.contains(&order["status"].as_str().unwrap_or_default()) => {
                self.stops.insert(name(order, "orderId"), stop);
            }
            _ => drop(self.stops.remove(&name(order, "orderId"))),
        }
        if position.is_object() {
            let levels = (units(&position["stopLoss"]), units(&position["takeProfit"]));
            self.levels.insert(name(position, "positionId"), levels);
        }
    }
}

/// A stop in such a state was not triggered.
const WAITING: [&str; 5] = ["accepted", "submitted", "pending_modify", "pending_cancel", "unknown"];

fn name(of: &Value, key: &str) -> Name {
    let text = |key: &str| of[key].as_str().unwrap_or_default().to_owned();
    (text("accountId"), text(key))
}

/// A fill happens at the quote: what buys at the ask, what sells at the bid (EX01), a level no better than the
/// first price behind it (EX03), and at no price that was not asked for (EX04).
fn judge((bid, ask): Quote, account: &str, fill: &Value, terms: &Terms, seq: usize, findings: &mut Findings) {
    let buys = fill["side"] == "buy";
    let due = if buys { ask } else { bid };
    let reason = fill["reason"].as_str().unwrap_or_default();
    let rule = match reason {
        "stop_loss" => "EX03",
        "take_profit" => "EX04",
        _ => "EX01",
    };
    if units(&fill["price"]) != Some(due) {
        let message = format!("filled where the quote has {} / {}: {fill}", show(bid), show(ask));
        findings.add(rule, seq, message);
    }
    let of = |key: &str| (account.to_owned(), fill[key].as_str().unwrap_or_default().to_owned());
    let (stop_loss, take_profit) = terms.levels.get(&of("positionId")).copied().unwrap_or_default();
    // a buy closes a short: its loss lies above
    let is_reached = match reason {
        "stop_loss" => stop_loss.is_none_or(|level| if buys { ask >= level } else { bid <= level }),
        "take_profit" => take_profit.is_none_or(|level| if buys { ask <= level } else { bid >= level }),
        _ => terms
            .limits
            .get(&of("orderId"))
            .is_none_or(|limit| if buys { due <= *limit } else { due >= *limit }),
    };
    // of a stop that is triggered and filled at once there is no word before the fill
    if terms.stops.get(&of("orderId")).is_some_and(|stop| !stop.is_met((bid, ask))) {
        findings.add(
            "EX03",
            seq,
            format!("a trigger that {} / {} did not meet: {fill}", show(bid), show(ask)),
        );
    }
    if !is_reached {
        let rule = if rule == "EX01" { "EX04" } else { rule };
        let message = format!("a level or limit that {} / {} did not reach: {fill}", show(bid), show(ask));
        findings.add(rule, seq, message);
    }
}
