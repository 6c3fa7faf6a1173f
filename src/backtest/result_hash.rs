//! The result hash: fills, ledger and equity of a run, as canonical text, never floats (MX04).

use crate::domain::{
    message::{Event, Outputs, TradeExecuted},
    money::Money,
    time::UnixNanos,
};
use rust_decimal::Decimal;
use std::fmt::{Arguments, Write};

/// Hashes lines: `fill …`, `entry …`, and `equity …` whenever it changed.
#[derive(Debug, Clone)]
pub(super) struct ResultHasher {
    hasher: blake3::Hasher,
    line: String,
    equity: Option<Money>,
}

impl ResultHasher {
    pub fn new() -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"lockstep result 1\n");
        Self { hasher, line: String::new(), equity: None }
    }

    /// What a step that was given `at` put out.
    pub fn add(&mut self, at: UnixNanos, out: &Outputs) {
        for event in &out.events {
            if let Event::TradeExecuted(fill) = event {
                self.add_fill(at, fill);
            }
        }
        for entry in &out.ledger {
            let (amount, balance) = (plain(entry.amount.amount()), plain(entry.balance_after.amount()));
            let (ts, id, kind, reference) = (entry.ts, entry.entry_id, entry.kind, &entry.reference);
            self.add_line(format_args!("entry {ts} {id} {kind:?} {amount} {balance} {reference}"));
        }
    }

    /// Equity after a quote.
    pub fn add_equity(&mut self, at: UnixNanos, equity: Money) {
        if self.equity.replace(equity) != Some(equity) {
            self.add_line(format_args!("equity {at} {}", plain(equity.amount())));
        }
    }

    pub fn finish(&self) -> blake3::Hash {
        self.hasher.finalize()
    }

    fn add_fill(&mut self, at: UnixNanos, fill: &TradeExecuted) {
        let TradeExecuted { fill_id, order_id, position_id, symbol, side, reason, .. } = fill;
        let (volume, price) = (plain(fill.volume), plain(fill.price));
        let (commission, profit) = (plain(fill.commission.amount()), plain(fill.realized_pnl.amount()));
        self.add_line(format_args!(
            "fill {at} {fill_id} {order_id} {position_id} {symbol} {side:?} {volume} {price} {commission} \
             {profit} {reason:?}"
        ));
    }

    fn add_line(&mut self, line: Arguments<'_>) {
        self.line.clear();
        writeln!(self.line, "{line}").expect("a string takes all text");
        self.hasher.update(self.line.as_bytes());
    }
}

/// The same text for equal numbers: 1.50 is 1.5.
fn plain(value: Decimal) -> Decimal {
    value.normalize()
}
