//! `session`: currencies trade from Sunday to Friday, 17:00 in New York, and at no other time (OR09); gold rests
//! for an hour more each day. Knows the rule for daylight saving itself: from the second Sunday of March to the
//! first of November, at 2:00.

use super::{Findings, Severity, Violation};
use crate::history::{MachineHistory, Step};

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
/// Hours from New York's midnight to the end of a week's trading, and to its beginning.
const ROLL: i64 = 17 * HOUR;
/// 1970-01-01 was a Thursday; days are counted from Sunday.
const FIRST_WEEKDAY: i64 = 4;

/// Checks the fills that a machine made itself, on accounts that `is_own` tells.
pub fn check(history: &MachineHistory, is_own: impl Fn(&str) -> bool) -> Vec<Violation> {
    let mut findings = Findings::new("session", Severity::Safety);
    for (step, fill) in history.steps.iter().flat_map(fills) {
        let (account, symbol) = (fill["accountId"].as_str(), fill["symbol"].as_str());
        let (Some(account), Some(symbol)) = (account, symbol) else { continue };
        let trades_always = matches!(symbol, "BTCUSD" | "ETHUSD");
        let at = step.now_ns.div_euclid(1_000_000_000);
        let is_open = is_open(at) && !(symbol == "XAUUSD" && is_break(at));
        if is_own(account) && !trades_always && !is_open {
            let message = format!("{} filled {symbol} while its market was closed: {fill}", history.name);
            findings.add("OR09", step.seq, message);
        }
    }
    findings.found
}

fn fills(step: &Step) -> impl Iterator<Item = (&Step, &serde_json::Value)> {
    let fills = step.events.iter().filter(|(name, _)| name == "event.trade.executed");
    fills.map(move |(_, fill)| (step, fill))
}

/// Whether currencies trade, so many seconds after 1970 began.
fn is_open(at: i64) -> bool {
    let local = at - new_york_behind(at);
    let weekday = (local.div_euclid(DAY) + FIRST_WEEKDAY).rem_euclid(7);
    let since_midnight = local.rem_euclid(DAY);
    match weekday {
        0 => since_midnight >= ROLL,
        1..=4 => true,
        5 => since_midnight < ROLL,
        _ => false,
    }
}

/// Whether gold has its break.
fn is_break(at: i64) -> bool {
    let local = at - new_york_behind(at);
    (ROLL..ROLL + HOUR).contains(&local.rem_euclid(DAY))
}

/// How many seconds New York is behind UTC.
fn new_york_behind(at: i64) -> i64 {
    let year = year_of(at);
    // clocks change at 2:00 of the time that ends
    let begins = nth_sunday(year, 3, 2) + (2 + 5) * HOUR;
    let ends = nth_sunday(year, 11, 1) + (2 + 4) * HOUR;
    if (begins..ends).contains(&at) { 4 * HOUR } else { 5 * HOUR }
}

fn year_of(at: i64) -> i64 {
    let mut year = 1970 + at / (366 * DAY);
    while first_of(year + 1, 1) <= at {
        year += 1;
    }
    year
}

/// The first second of a month.
fn first_of(year: i64, month: i64) -> i64 {
    let is_leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_of_years: i64 = (1970..year).map(|year| if is_leap(year) { 366 } else { 365 }).sum();
    let lengths = [31, if is_leap(year) { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let days_of_months: i64 = lengths.iter().take(usize::try_from(month - 1).unwrap_or(0)).sum();
    (days_of_years + days_of_months) * DAY
}

/// The first second, by UTC's days, of a Sunday of a month.
fn nth_sunday(year: i64, month: i64, nth: i64) -> i64 {
    let first = first_of(year, month);
    let weekday = (first / DAY + FIRST_WEEKDAY).rem_euclid(7);
    first + ((7 - weekday) % 7 + 7 * (nth - 1)) * DAY
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep::domain::time::UnixNanos;
    use serde_json::json;

    fn second(text: &str) -> i64 {
        UnixNanos::parse(text).expect("an instant").0 / 1_000_000_000
    }

    #[test]
    fn or09_the_week_of_currencies_follows_new_york() {
        for (closes, opens) in [
            ("2024-01-12T22:00:00Z", "2024-01-14T22:00:00Z"),
            ("2024-03-08T22:00:00Z", "2024-03-10T21:00:00Z"), // daylight saving begins in between
            ("2024-06-07T21:00:00Z", "2024-06-09T21:00:00Z"),
            ("2024-11-01T21:00:00Z", "2024-11-03T22:00:00Z"), // and ends
            ("2023-12-29T22:00:00Z", "2023-12-31T22:00:00Z"),
        ] {
            assert!(is_open(second(closes) - 1) && !is_open(second(closes)), "{closes}");
            assert!(!is_open(second(opens) - 1) && is_open(second(opens)), "{opens}");
        }
        assert!(is_open(second("2024-03-06T03:00:00Z")));
    }

    #[test]
    fn or09_a_fill_while_the_market_is_closed_is_noticed() {
        let fill = |symbol: &str| json!({ "accountId": "a", "symbol": symbol });
        let step = |text: &str, symbol: &str| Step {
            now_ns: second(text) * 1_000_000_000,
            events: vec![("event.trade.executed".into(), fill(symbol))],
            ..Step::default()
        };
        let count = |step: Step| {
            let history = MachineHistory { name: "gateway", steps: vec![step], ..MachineHistory::default() };
            check(&history, |account| account == "a").len()
        };
        assert_eq!(count(step("2024-03-09T12:00:00Z", "EURUSD")), 1);
        assert_eq!(count(step("2024-03-09T12:00:00Z", "BTCUSD")), 0);
        assert_eq!(count(step("2024-03-07T12:00:00Z", "EURUSD")), 0);
        assert_eq!(count(step("2024-03-07T22:30:00Z", "EURUSD")), 0);
        assert_eq!(count(step("2024-03-07T22:30:00Z", "XAUUSD")), 1, "in the break of gold");
        assert_eq!(count(step("2024-03-07T23:00:00Z", "XAUUSD")), 0);
    }
}
