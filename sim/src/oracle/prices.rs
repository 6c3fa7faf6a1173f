//! `prices`: every fill of a simulated venue held against the quotes that its machine was given, and against
//! the week of its market. Of a venue that is not in the machine the gateway sees no quotes that count.

use super::{
    Findings, Log, Severity, Violation,
    arithmetic::{parse, show, units},
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
        market.take(&step.input);
        for (name, payload) in &step.events {
            terms.take(name, payload);
            let account = payload["accountId"].as_str().unwrap_or_default();
            if name == "event.trade.executed" && is_own(account) {
                let symbol = payload["symbol"].as_str().unwrap_or_default();
                if !is_open(symbol, step.now_ns) {
                    findings.add("OR09", step.seq, format!("a fill outside of the session: {payload}"));
                }
                if let Some(quote) = market.quotes.get(symbol) {
                    judge(*quote, account, payload, &terms, step.seq, &mut findings);
                }
            }
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
    fn take(&mut self, input: &Value) {
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
        }
    }
}

/// An account, and the name of an order or position of it.
type Name = (String, String);

/// What was asked for, as the events so far tell it.
#[derive(Default)]
struct Terms {
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
        if let Some(limit) = units(&order["price"]).filter(|_| order["type"] == "limit") {
            self.limits.insert(name(order, "orderId"), limit);
        }
        if position.is_object() {
            let levels = (units(&position["stopLoss"]), units(&position["takeProfit"]));
            self.levels.insert(name(position, "positionId"), levels);
        }
    }
}

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
    if !is_reached {
        let rule = if rule == "EX01" { "EX04" } else { rule };
        let message = format!("a level or limit that {} / {} did not reach: {fill}", show(bid), show(ask));
        findings.add(rule, seq, message);
    }
}

const SECOND_NS: i64 = 1_000_000_000;
const DAY_S: i64 = 86_400;

/// Coins trade always; currencies and gold from Sunday to Friday, 17:00 in New York.
fn is_open(symbol: &str, now_ns: i64) -> bool {
    if matches!(symbol, "BTCUSD" | "ETHUSD") {
        return true;
    }
    let seconds = now_ns.div_euclid(SECOND_NS);
    let local = seconds + if is_summer(seconds) { -4 } else { -5 } * 3_600;
    let of_week = (local + 4 * DAY_S).rem_euclid(7 * DAY_S); // 1970-01-01 was a Thursday
    (17 * 3_600..5 * DAY_S + 17 * 3_600).contains(&of_week)
}

/// Whether New York's clocks are forward: from the second Sunday of March to the first one of November, at
/// two by the clock that is left (since 2007).
fn is_summer(seconds: i64) -> bool {
    let mut year = 1970 + seconds / (366 * DAY_S); // at most the year that it is
    while first_of(year + 1, 0) <= seconds {
        year += 1;
    }
    let leap = i64::from(is_leap(year));
    let sunday_from = |day: i64| day + (3 - day.div_euclid(DAY_S)).rem_euclid(7) * DAY_S;
    let begins = sunday_from(first_of(year, 59 + leap)) + 7 * DAY_S + 7 * 3_600;
    let ends = sunday_from(first_of(year, 304 + leap)) + 6 * 3_600;
    (begins..ends).contains(&seconds)
}

/// Midnight (UTC) after so many days of a year.
fn first_of(year: i64, days: i64) -> i64 {
    let years = (1970..year).map(|year| 365 + i64::from(is_leap(year))).sum::<i64>();
    (years + days) * DAY_S
}

const fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_week_of_currencies_is_new_yorks() {
        let check = |text: &str, open: bool| {
            let at = text.parse::<i64>().expect("seconds");
            assert_eq!(is_open("EURUSD", at * SECOND_NS), open, "{text}");
            assert!(is_open("BTCUSD", at * SECOND_NS));
        };
        check("1709330399", true); // Friday 2024-03-01 21:59:59 UTC, winter
        check("1709330400", false);
        check("1710104399", false); // Sunday 2024-03-10 20:59:59 UTC, the day on which summer begins
        check("1710104400", true);
        check("1730494799", true); // Friday 2024-11-01 20:59:59 UTC, still summer
        check("1730494800", false);
        check("1730671199", false); // Sunday 2024-11-03 21:59:59 UTC, winter again
        check("1730671200", true);
        assert!(is_summer(1_710_054_000) && !is_summer(1_710_053_999), "2024-03-10 07:00 UTC");
        assert!(!is_summer(1_730_613_600) && is_summer(1_730_613_599), "2024-11-03 06:00 UTC");
    }
}
