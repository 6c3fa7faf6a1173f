//! The list of trades: one per closing fill (MX02).

use crate::domain::{
    id::PositionId,
    ledger::EntryKind,
    message::{Event, Outputs, TradeClosed},
    money::{Currency, Exact, Money, Rounding},
    order::Side,
    position::FillReason,
    time::UnixNanos,
};
use rust_decimal::Decimal;
use serde::{Serialize, Serializer};
use std::{collections::BTreeMap, io::Write};

/// Why a trade ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitReason {
    StopLoss,
    TakeProfit,
    /// The strategy, or anybody else who gave an order.
    Signal,
    StopOut,
    EndOfData,
}

/// A position, or a part of it, from opening to closing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Trade {
    pub entry_time: UnixNanos,
    pub exit_time: UnixNanos,
    pub side: Side,
    /// In lots.
    pub volume: Decimal,
    pub entry_price: Decimal,
    pub exit_price: Decimal,
    #[serde(serialize_with = "decimal_or_empty")]
    pub stop_loss: Option<Decimal>,
    #[serde(serialize_with = "decimal_or_empty")]
    pub take_profit: Option<Decimal>,
    pub exit_reason: ExitReason,
    /// Of the closing fill and its share of the opening one; negative as a cost.
    pub commission: Money,
    pub swap: Money,
    /// Price profit: neither commission nor swap is in it.
    pub profit: Money,
}

impl Trade {
    /// Profit, commission and swap together.
    pub fn net(&self) -> Money {
        self.profit + self.commission + self.swap
    }
}

/// Collects trades from what the machine puts out.
#[derive(Debug, Clone)]
pub struct TradeLog {
    currency: Currency,
    trades: Vec<Trade>,
    /// Commission of open positions that partial closings already took over.
    charged: BTreeMap<PositionId, Money>,
    refused: u64,
}

impl TradeLog {
    /// For an account in `currency`.
    pub const fn new(currency: Currency) -> Self {
        Self { currency, trades: Vec::new(), charged: BTreeMap::new(), refused: 0 }
    }

    /// Takes in one step. `ending`: the data have ended, orders only wind up.
    pub fn add(&mut self, out: &Outputs, ending: bool) {
        for event in &out.events {
            match event {
                Event::TradeClosed(closed) => self.close(closed, out, ending),
                Event::TradeRejected(_) => self.refused += 1,
                _ => {}
            }
        }
    }

    /// In order of closing.
    pub fn trades(&self) -> &[Trade] {
        &self.trades
    }

    /// Orders that came to nothing, denied or rejected.
    pub const fn refused(&self) -> u64 {
        self.refused
    }

    fn close(&mut self, closed: &TradeClosed, out: &Outputs, ending: bool) {
        let position = &closed.position;
        for fill in &closed.fills {
            let charged = self.charged.get(&position.position_id).copied().unwrap_or_default();
            let opening = position.commission - fill.commission - charged;
            let before = position.volume + fill.volume;
            let share = Exact(opening.amount()).times(fill.volume).over(before);
            let commission = fill.commission + share.post(self.currency, Rounding::HalfAway);
            if position.volume.is_zero() {
                self.charged.remove(&position.position_id);
            } else {
                self.charged.insert(position.position_id, charged + commission);
            }
            let reference = fill.fill_id.to_string();
            let swaps = out.ledger.iter().filter(|e| e.kind == EntryKind::Swap && e.reference == reference);
            self.trades.push(Trade {
                entry_time: position.opened_at,
                exit_time: fill.ts,
                side: position.side,
                volume: fill.volume,
                entry_price: position.open_price,
                exit_price: fill.price,
                stop_loss: position.stop_loss,
                take_profit: position.take_profit,
                exit_reason: match fill.reason {
                    FillReason::StopLoss => ExitReason::StopLoss,
                    FillReason::TakeProfit => ExitReason::TakeProfit,
                    FillReason::StopOut => ExitReason::StopOut,
                    FillReason::Order if ending => ExitReason::EndOfData,
                    FillReason::Order | FillReason::Reconciled | FillReason::Resolved => ExitReason::Signal,
                },
                commission,
                swap: swaps.map(|entry| entry.amount).sum(),
                profit: fill.realized_pnl,
            });
        }
    }
}

/// Writes trades as CSV, header included: entryTime, exitTime, side, volume, entryPrice, exitPrice,
/// stopLoss, takeProfit, exitReason, commission, swap, profit.
pub fn write_csv(trades: &[Trade], file: impl Write) -> Result<(), csv::Error> {
    let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(file);
    writer.write_record([
        "entryTime",
        "exitTime",
        "side",
        "volume",
        "entryPrice",
        "exitPrice",
        "stopLoss",
        "takeProfit",
        "exitReason",
        "commission",
        "swap",
        "profit",
    ])?;
    for trade in trades {
        writer.serialize(trade)?;
    }
    writer.flush()?;
    Ok(())
}

#[expect(clippy::ref_option, reason = "serde hands out references")]
fn decimal_or_empty<S: Serializer>(value: &Option<Decimal>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => serializer.collect_str(value),
        None => serializer.serialize_str(""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        id::{AccountId, FillId, IntentId, OrderId, Symbol},
        message::{FillView, PositionView},
        order::Origin,
    };

    fn dec(text: &str) -> Decimal {
        text.parse().expect("a decimal")
    }

    fn usd(text: &str) -> Money {
        Money::of(dec(text), Currency::USD)
    }

    fn at(text: &str) -> UnixNanos {
        UnixNanos::parse(text).expect("an instant")
    }

    /// A closing of `volume` lots of a long position that paid `paid` so far and keeps `rest`.
    fn closing(number: u64, volume: &str, rest: &str, paid: &str, reason: FillReason) -> TradeClosed {
        let account_id = AccountId::new("a").expect("an id");
        let symbol = Symbol::new("GBPUSD").expect("a symbol");
        let position_id = PositionId(1);
        let position = PositionView {
            position_id,
            account_id: account_id.clone(),
            symbol: symbol.clone(),
            side: Side::Buy,
            volume: dec(rest),
            open_price: dec("1.57600"),
            current_price: dec("1.57800"),
            stop_loss: Some(dec("1.57400")),
            take_profit: None,
            floating: Money::ZERO,
            swap: Money::ZERO,
            commission: usd(paid),
            margin: Money::ZERO,
            opened_at: at("2012-02-01T10:00:00Z"),
            version: 2,
            origin: Origin::Agent,
        };
        let fill = FillView {
            fill_id: FillId(number),
            order_id: OrderId(number),
            position_id,
            account_id: account_id.clone(),
            symbol,
            side: Side::Sell,
            volume: dec(volume),
            price: dec("1.57800"),
            commission: usd("-0.30"),
            realized_pnl: usd("12.34"),
            reason,
            ts: at("2012-02-01T10:30:15.5Z"),
        };
        TradeClosed { account_id, intent_id: IntentId(1), position, fills: vec![fill], reason }
    }

    fn log(steps: Vec<(TradeClosed, bool)>) -> TradeLog {
        let mut log = TradeLog::new(Currency::USD);
        for (closed, ending) in steps {
            let out = Outputs { events: vec![closed.into()], ..Outputs::default() };
            log.add(&out, ending);
        }
        log
    }

    #[test]
    fn mx02_each_closing_fill_is_a_trade_with_its_share_of_the_opening_commission() {
        // 1.00 was paid to open 0.3 lots; closings pay 0.30 each
        let log = log(vec![
            (closing(2, "0.1", "0.2", "-1.30", FillReason::Order), false),
            (closing(3, "0.1", "0.1", "-1.60", FillReason::StopLoss), false),
            (closing(4, "0.1", "0.0", "-1.90", FillReason::Order), true),
        ]);
        let commissions: Vec<Money> = log.trades().iter().map(|t| t.commission).collect();
        assert_eq!(commissions, [usd("-0.63"), usd("-0.64"), usd("-0.63")], "they add up to 1.90");
        let reasons: Vec<ExitReason> = log.trades().iter().map(|t| t.exit_reason).collect();
        assert_eq!(reasons, [ExitReason::Signal, ExitReason::StopLoss, ExitReason::EndOfData]);
        assert_eq!(log.trades()[0].net(), usd("11.71"));
    }

    #[test]
    fn the_csv_has_the_columns_that_others_read() {
        let log = log(vec![
            (closing(2, "0.10", "0", "-0.60", FillReason::Order), false),
            (closing(4, "0.10", "0", "-0.60", FillReason::TakeProfit), false),
            (closing(6, "0.10", "0", "-0.60", FillReason::StopOut), true),
        ]);
        let mut csv = Vec::new();
        write_csv(log.trades(), &mut csv).expect("memory takes all bytes");
        let rows = [("signal"), ("take_profit"), ("stop_out")].map(|reason| {
            format!(
                "2012-02-01T10:00:00Z,2012-02-01T10:30:15.5Z,buy,0.10,1.57600,1.57800,1.57400,,{reason},\
                 -0.60,0,12.34\n"
            )
        });
        let header = "entryTime,exitTime,side,volume,entryPrice,exitPrice,stopLoss,takeProfit,exitReason,\
                      commission,swap,profit\n";
        assert_eq!(String::from_utf8(csv).expect("text"), format!("{header}{}", rows.concat()));
    }
}
