//! What a run earned and risked (MX01 to MX04), as numbers for people.

use super::{
    equity::{EquityCurve, number},
    trades::Trade,
};
use crate::domain::money::Money;
use serde::Serialize;

/// Figures of a run. `None` is where a figure does not exist, and is `null` in JSON.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Metrics {
    /// Final over initial equity, less one.
    pub total_return_pct: f64,
    /// Deepest fall from a peak, floating losses included, in percent of the peak.
    pub max_drawdown_pct: f64,
    /// Share of trades whose net is above zero.
    pub win_rate_pct: Option<f64>,
    /// Sum of winners over sum of losers; does not exist without losers.
    pub profit_factor: Option<f64>,
    /// Closing fills.
    pub trades: usize,
    /// Mean over deviation (n - 1) of daily returns, times the root of `sharpe_periods`; risk-free
    /// rate 0. Does not exist below two days, or if all are alike.
    pub sharpe: Option<f64>,
    /// Days that make a year: 252, or 365 where the market never closes.
    pub sharpe_periods: u32,
    pub trading_days: usize,
    pub initial_equity: f64,
    pub final_equity: f64,
    /// In the account's currency.
    pub max_drawdown: f64,
    pub net_profit: f64,
    pub gross_profit: f64,
    /// Zero or negative.
    pub gross_loss: f64,
    /// Zero or negative.
    pub commission: f64,
    pub swap: f64,
    /// Orders that were denied or rejected.
    pub refused_orders: u64,
}

impl Metrics {
    /// From the trades and the equity of a whole run; `periods` are the days of a year.
    pub fn new(trades: &[Trade], curve: &EquityCurve, periods: u32, refused_orders: u64) -> Self {
        let sum = |part: fn(&Trade) -> Money| trades.iter().map(part).sum::<Money>();
        let gross_profit = sum(|t| t.net().max(Money::ZERO));
        let gross_loss = sum(|t| t.net().min(Money::ZERO));
        let wins = trades.iter().filter(|t| t.net() > Money::ZERO).count();
        let returns = curve.day_returns();
        let (initial, last) = (curve.initial(), curve.last());
        Self {
            total_return_pct: if initial > Money::ZERO {
                number(last - initial) / number(initial) * 100.0
            } else {
                0.0
            },
            max_drawdown_pct: curve.drawdown_pct(),
            win_rate_pct: (!trades.is_empty()).then(|| wins as f64 / trades.len() as f64 * 100.0),
            profit_factor: (gross_loss < Money::ZERO).then(|| number(gross_profit) / -number(gross_loss)),
            trades: trades.len(),
            sharpe: sharpe(&returns, periods),
            sharpe_periods: periods,
            trading_days: returns.len(),
            initial_equity: number(initial),
            final_equity: number(last),
            max_drawdown: number(curve.drawdown()),
            net_profit: number(gross_profit + gross_loss),
            gross_profit: number(gross_profit),
            gross_loss: number(gross_loss),
            commission: number(sum(|t| t.commission)),
            swap: number(sum(|t| t.swap)),
            refused_orders,
        }
    }
}

/// Annualised Sharpe ratio of daily returns (MX01).
fn sharpe(returns: &[f64], periods: u32) -> Option<f64> {
    if returns.len() < 2 {
        return None;
    }
    let mean = returns.iter().sum::<f64>() / returns.len() as f64;
    let squares: f64 = returns.iter().map(|r| (r - mean) * (r - mean)).sum();
    let deviation = (squares / (returns.len() - 1) as f64).sqrt();
    // equal returns leave a deviation of rounding errors only
    let is_flat = returns.iter().all(|r| *r == returns[0]);
    (!is_flat && deviation > 0.0).then(|| mean / deviation * f64::from(periods).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        backtest::{ExitReason, equity::DayRoll},
        domain::{calendar::Zone, money::Currency, order::Side, time::UnixNanos},
    };
    use rust_decimal::Decimal;

    fn check_sharpe(returns: &[f64], periods: u32, expected: Option<f64>) {
        let found = sharpe(returns, periods);
        match (found, expected) {
            (Some(found), Some(expected)) => assert!((found - expected).abs() < 1e-9, "{found} {expected}"),
            _ => assert_eq!(found, expected, "{returns:?}"),
        }
    }

    #[test]
    fn mx01_sharpe_by_hand() {
        // mean 0.01, deviations -0.01 0 0.01, variance 0.0002 / 2, deviation 0.01
        check_sharpe(&[0.0, 0.01, 0.02], 252, Some(252.0_f64.sqrt()));
        check_sharpe(&[0.0, 0.01, 0.02], 365, Some(365.0_f64.sqrt()));
        check_sharpe(&[-0.02, 0.0, -0.01], 252, Some(-(252.0_f64.sqrt())));
        check_sharpe(&[0.1], 252, None);
        check_sharpe(&[], 252, None);
        check_sharpe(&[0.1, 0.1, 0.1], 252, None);
    }

    fn usd(cents: i64) -> Money {
        Money::of(Decimal::new(cents, 2), Currency::USD)
    }

    fn at(day: i64) -> UnixNanos {
        UnixNanos::from_secs(1_704_700_800 + day * 86_400) // 2024-01-08T08:00:00Z
    }

    fn trade(profit: i64, commission: i64, swap: i64) -> Trade {
        Trade {
            entry_time: at(0),
            exit_time: at(0),
            side: Side::Buy,
            volume: Decimal::ONE,
            entry_price: Decimal::ONE,
            exit_price: Decimal::ONE,
            stop_loss: None,
            take_profit: None,
            exit_reason: ExitReason::Signal,
            commission: usd(commission),
            swap: usd(swap),
            profit: usd(profit),
        }
    }

    /// Equity in dollars at the end of each day.
    fn curve(days: &[i64]) -> EquityCurve {
        let mut curve = EquityCurve::new(usd(1_000_000), DayRoll { zone: Zone::utc(), minute: 0 });
        for (day, equity) in (0..).zip(days) {
            curve.add(at(day), usd(equity * 100));
        }
        curve.end();
        curve
    }

    #[test]
    fn mx02_metrics_by_hand() {
        // nets: 95.00, -55.00, 0.00 (no win), 10.00
        let trades =
            [trade(10_000, -400, -100), trade(-5_000, -400, -100), trade(500, -500, 0), trade(1_000, 0, 0)];
        let metrics = Metrics::new(&trades, &curve(&[10_100, 9_999, 10_050]), 252, 3);
        let returns = [10_100.0 / 10_000.0 - 1.0, 9_999.0 / 10_100.0 - 1.0, 10_050.0 / 9_999.0 - 1.0];
        let expected = Metrics {
            total_return_pct: 0.5,
            max_drawdown_pct: 1.0,
            win_rate_pct: Some(50.0),
            profit_factor: Some(105.0 / 55.0),
            trades: 4,
            sharpe: sharpe(&returns, 252),
            sharpe_periods: 252,
            trading_days: 3,
            initial_equity: 10_000.0,
            final_equity: 10_050.0,
            max_drawdown: 101.0,
            net_profit: 50.0,
            gross_profit: 105.0,
            gross_loss: -55.0,
            commission: -13.0,
            swap: -2.0,
            refused_orders: 3,
        };
        assert_eq!(metrics, expected);
    }

    #[test]
    fn mx02_figures_that_do_not_exist_are_null() {
        let none = serde_json::to_value(Metrics::new(&[], &curve(&[10_000]), 365, 0)).expect("numbers");
        for (figure, expected) in [
            ("winRatePct", serde_json::Value::Null),
            ("profitFactor", serde_json::Value::Null),
            ("sharpe", serde_json::Value::Null),
            ("totalReturnPct", 0.0.into()),
            ("trades", 0.into()),
        ] {
            assert_eq!(none[figure], expected, "{figure}");
        }
        let no_loser = Metrics::new(&[trade(100, 0, 0)], &curve(&[10_001]), 365, 0);
        assert_eq!((no_loser.profit_factor, no_loser.win_rate_pct), (None, Some(100.0)));
    }
}
