//! Equity over time: the worst drawdown (MX03) and the value at each day's roll (MX01).

use crate::domain::{calendar::Zone, money::Money, time::UnixNanos};
use rust_decimal::prelude::ToPrimitive;

/// When a day ends.
#[derive(Debug, Clone)]
pub struct DayRoll {
    pub zone: Zone,
    /// Minute of the local day.
    pub minute: u16,
}

/// What became of an account's equity; it has no cash flows but its first deposit.
#[derive(Debug, Clone)]
pub struct EquityCurve {
    roll: DayRoll,
    next_roll: Option<UnixNanos>,
    initial: Money,
    last: Money,
    peak: Money,
    drawdown: Money,
    drawdown_share: f64,
    /// Equity at the end of each trading day.
    days: Vec<Money>,
}

impl EquityCurve {
    /// Begins with the first deposit.
    pub fn new(initial: Money, roll: DayRoll) -> Self {
        Self {
            roll,
            next_roll: None,
            initial,
            last: initial,
            peak: initial,
            drawdown: Money::ZERO,
            drawdown_share: 0.0,
            days: Vec::new(),
        }
    }

    /// Equity after a quote. A day without one is no trading day.
    pub fn add(&mut self, at: UnixNanos, equity: Money) {
        let roll = self.next_roll.get_or_insert_with(|| self.roll.after(at));
        if at >= *roll {
            self.days.push(self.last);
            *roll = self.roll.after(at);
        }
        if equity == self.last {
            return;
        }
        self.last = equity;
        self.peak = self.peak.max(equity);
        self.drawdown = self.drawdown.max(self.peak - equity);
        if self.peak > Money::ZERO {
            self.drawdown_share = self.drawdown_share.max(number(self.peak - equity) / number(self.peak));
        }
    }

    /// There are no more quotes: the last day ends.
    pub fn end(&mut self) {
        if self.next_roll.take().is_some() {
            self.days.push(self.last);
        }
    }

    /// Equity at the first deposit.
    pub const fn initial(&self) -> Money {
        self.initial
    }

    /// Equity now.
    pub const fn last(&self) -> Money {
        self.last
    }

    /// The largest fall from a peak, in money.
    pub const fn drawdown(&self) -> Money {
        self.drawdown
    }

    /// The largest fall from a peak, in percent of that peak.
    pub const fn drawdown_pct(&self) -> f64 {
        self.drawdown_share * 100.0
    }

    /// Each trading day's return: equity at its roll over equity at the roll before, less one. Ends
    /// where equity is used up.
    pub fn day_returns(&self) -> Vec<f64> {
        let before = std::iter::once(&self.initial).chain(&self.days);
        let pairs = before.zip(&self.days).take_while(|(before, _)| **before > Money::ZERO);
        pairs.map(|(before, after)| number(*after) / number(*before) - 1.0).collect()
    }
}

impl DayRoll {
    fn after(&self, at: UnixNanos) -> UnixNanos {
        self.zone.next_time_of_day(at, i64::from(self.minute))
    }
}

/// The amount as a float, for statistics.
pub(super) fn number(money: Money) -> f64 {
    money.amount().to_f64().expect("every decimal has a nearest float")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::money::Currency;
    use rust_decimal::Decimal;

    fn usd(amount: i64) -> Money {
        Money::of(Decimal::from(amount), Currency::USD)
    }

    fn curve(points: &[(&str, i64)], roll: DayRoll) -> EquityCurve {
        let mut curve = EquityCurve::new(usd(10_000), roll);
        for (at, equity) in points {
            curve.add(UnixNanos::parse(at).expect("an instant"), usd(*equity));
        }
        curve.end();
        curve
    }

    fn midnight() -> DayRoll {
        DayRoll { zone: Zone::utc(), minute: 0 }
    }

    #[test]
    fn mx03_drawdown_is_the_deepest_fall_from_a_peak() {
        let points = [
            ("2024-01-08T10:00:00Z", 9_900),
            ("2024-01-08T11:00:00Z", 12_000),
            ("2024-01-08T12:00:00Z", 9_000),
            ("2024-01-08T13:00:00Z", 20_000),
            ("2024-01-08T14:00:00Z", 16_500),
        ];
        let curve = curve(&points, midnight());
        assert_eq!(curve.drawdown(), usd(3_500), "from 20000");
        assert_eq!(curve.drawdown_pct(), 25.0, "from 12000");
        assert_eq!((curve.initial(), curve.last()), (usd(10_000), usd(16_500)));
    }

    #[test]
    fn mx01_days_end_at_the_roll_and_days_without_quotes_do_not_count() {
        let points = [
            ("2024-01-12T20:00:00Z", 10_500), // Friday
            ("2024-01-14T22:30:00Z", 10_500), // Sunday evening: Monday's trading day
            ("2024-01-15T21:59:59Z", 21_000),
            ("2024-01-15T22:00:00Z", 42_000), // Tuesday's
            ("2024-01-16T10:00:00Z", 10_500),
        ];
        let new_york = Zone::load("America/New_York").expect("bundled");
        let curve = curve(&points, DayRoll { zone: new_york, minute: 17 * 60 });
        let rounded: Vec<i64> = curve.day_returns().iter().map(|r| (r * 1e6).round() as i64).collect();
        assert_eq!(rounded, [50_000, 1_000_000, -500_000]);
    }

    #[test]
    fn mx01_returns_end_with_the_equity() {
        let points = [
            ("2024-01-08T10:00:00Z", 5_000),
            ("2024-01-09T10:00:00Z", -100),
            ("2024-01-10T10:00:00Z", -100),
            ("2024-01-11T10:00:00Z", -100),
        ];
        assert_eq!(curve(&points, midnight()).day_returns(), [-0.5, -1.02]);
    }
}
