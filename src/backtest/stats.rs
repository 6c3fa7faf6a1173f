//! What a run earned and risked (MX01 to MX04), as numbers for people.

use super::{
    equity::{EquityCurve, number},
    trades::{Trade, TradeLog},
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
    /// From the trades and the equity of a whole run.
    pub fn new(log: &TradeLog, curve: &EquityCurve, periods: u32) -> Self {
        let trades = log.trades();
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
            refused_orders: log.refused(),
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

    fn check(returns: &[f64], periods: u32, expected: Option<f64>) {
        let found = sharpe(returns, periods);
        match (found, expected) {
            (Some(found), Some(expected)) => assert!((found - expected).abs() < 1e-9, "{found} {expected}"),
            _ => assert_eq!(found, expected, "{returns:?}"),
        }
    }

    #[test]
    fn mx01_sharpe_by_hand() {
        // mean 0.01, deviations -0.01 0 0.01, variance 0.0002 / 2, deviation 0.01
        check(&[0.0, 0.01, 0.02], 252, Some(252.0_f64.sqrt()));
        check(&[0.0, 0.01, 0.02], 365, Some(365.0_f64.sqrt()));
        check(&[-0.02, 0.0, -0.01], 252, Some(-(252.0_f64.sqrt())));
        check(&[0.1], 252, None);
        check(&[], 252, None);
        check(&[0.1, 0.1, 0.1], 252, None);
    }
}
