//! What a person and what a script read about a run.

use super::{run::Outcome, stats::Metrics};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    fmt::{self, Write},
};

/// The outcome of a run with what was run.
#[derive(Debug, Clone)]
pub struct Report {
    pub outcome: Outcome,
    /// Such as `GBPUSD 1m, sma_cross fast=10 slow=20, 0.1 lots`.
    pub title: String,
    /// Where bids and asks came from (EX02).
    pub spread: String,
    /// The account's currency.
    pub currency: String,
    pub elapsed_ms: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Json<'a> {
    result_hash: String,
    data_hash: String,
    bars: u64,
    quotes: u64,
    metrics: &'a Metrics,
    quarantined: &'a BTreeMap<&'static str, u64>,
    ambiguous_bars: u64,
    spread: &'a str,
    elapsed_ms: u64,
}

impl Report {
    /// One line of JSON.
    pub fn to_json(&self) -> String {
        let outcome = &self.outcome;
        let json = Json {
            result_hash: outcome.result_hash.to_string(),
            data_hash: outcome.data_hash.to_string(),
            bars: outcome.bars,
            quotes: outcome.quotes,
            metrics: &outcome.metrics,
            quarantined: &outcome.quarantined,
            ambiguous_bars: outcome.ambiguous_bars,
            spread: &self.spread,
            elapsed_ms: self.elapsed_ms,
        };
        serde_json::to_string(&json).expect("numbers and text")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { outcome, currency, .. } = self;
        let metrics = &outcome.metrics;
        writeln!(f, "{}", self.title)?;
        if let Some((first, last)) = outcome.period {
            writeln!(
                f,
                "{first} to {last}, {} bars, {} quotes, {}",
                outcome.bars, outcome.quotes, self.spread
            )?;
        }
        let set_aside = list(&outcome.quarantined);
        writeln!(f, "set aside or repaired: {set_aside}; ambiguous bars: {}\n", outcome.ambiguous_bars)?;

        let money = |amount: f64| format!("{amount:.2} {currency}");
        let percent = |value: f64| format!("{value:.2} %");
        let ratio = |value: Option<f64>| value.map_or("none".to_owned(), |v| format!("{v:.2}"));
        let sharpe = format!("{} (of {} days a year)", ratio(metrics.sharpe), metrics.sharpe_periods);
        let drawdown = format!("{} ({})", percent(metrics.max_drawdown_pct), money(metrics.max_drawdown));
        for (name, value) in [
            ("Final equity", money(metrics.final_equity)),
            ("Total return", percent(metrics.total_return_pct)),
            ("Max drawdown", drawdown),
            ("Sharpe", sharpe),
            ("Trades", metrics.trades.to_string()),
            ("Win rate", metrics.win_rate_pct.map_or("none".to_owned(), percent)),
            ("Profit factor", ratio(metrics.profit_factor)),
            ("Commission", money(metrics.commission)),
            ("Swap", money(metrics.swap)),
            ("Refused orders", metrics.refused_orders.to_string()),
        ] {
            writeln!(f, "  {name:<16}{value}")?;
        }
        writeln!(f, "\nresult {}\ndata   {}", outcome.result_hash, outcome.data_hash)?;
        write!(f, "{} ms", self.elapsed_ms)
    }
}

fn list(counts: &BTreeMap<&'static str, u64>) -> String {
    if counts.is_empty() {
        return "nothing".to_owned();
    }
    let mut text = String::new();
    for (reason, count) in counts {
        let comma = if text.is_empty() { "" } else { ", " };
        write!(text, "{comma}{reason} {count}").expect("a string takes all text");
    }
    text
}
