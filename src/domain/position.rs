//! Positions and the fills that make them.

use super::{
    id::{AccountId, FillId, IntentId, OrderId, PositionId},
    instrument::{Instrument, InstrumentId, Price, Volume},
    market::Quote,
    money::{self, Exact, Money},
    order::{Origin, Side},
    time::UnixNanos,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why a fill happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FillReason {
    /// An order that somebody gave.
    Order,
    StopLoss,
    TakeProfit,
    /// The venue closed for lack of margin (AC08).
    StopOut,
    /// It happened while the link was down and the venue does not say why.
    Reconciled,
    /// An operator said so.
    Resolved,
}

/// An execution, as the venue reported it (FIX: ExecutionReport; MT5: deal).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fill {
    pub id: FillId,
    pub order: OrderId,
    pub position: PositionId,
    pub account: AccountId,
    pub instrument: InstrumentId,
    pub side: Side,
    pub volume: Volume,
    pub price: Price,
    /// Posted to the account, negative as a cost.
    pub commission: Money,
    /// Posted to the account; zero when the fill opens.
    pub realized_pnl: Money,
    pub reason: FillReason,
    pub ts: UnixNanos,
}

/// An open position of a hedging account: one ticket, one opening price.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    pub id: PositionId,
    pub instrument: InstrumentId,
    pub side: Side,
    pub volume: Volume,
    /// Of its only opening fill, or of the first.
    pub open_price: Price,
    /// What the present volume cost, in ticks x steps, if it was opened by several fills (DM02).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub averaged: Option<i128>,
    pub stop_loss: Option<Price>,
    pub take_profit: Option<Price>,
    /// Margin of the present volume, posted in the account's currency when opened or reduced (AC03).
    pub margin: Money,
    /// Commission posted so far, negative as a cost.
    pub commission: Money,
    pub opened_at: UnixNanos,
    pub version: u32,
    pub origin: Origin,
    /// The intent that opened it.
    pub intent_id: IntentId,
    /// The venue's own name of it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub venue_position: Option<String>,
    /// The intent that asked for other protective levels which the venue has not confirmed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub modified_by: Option<IntentId>,
}

impl Position {
    /// Profit in the quote currency if it were closed at `price`, before conversion: exact.
    pub fn profit_at(&self, price: Price, instrument: &Instrument) -> Exact {
        let value = i128::from(price.0) * i128::from(self.volume.0);
        Exact::product(instrument.tick_step_value(), (value - self.cost()) * i128::from(self.side.sign()))
    }

    /// What the present volume cost, in ticks x steps.
    pub fn cost(&self) -> i128 {
        self.averaged.unwrap_or_else(|| i128::from(self.open_price.0) * i128::from(self.volume.0))
    }

    /// The share of the cost that goes with a part of the volume; all of it with all (AC05).
    pub fn cost_of(&self, part: Volume) -> i128 {
        match self.averaged {
            None => i128::from(self.open_price.0) * i128::from(part.0),
            Some(cost) if part >= self.volume => cost,
            Some(cost) => money::share(cost, part.0, self.volume.0),
        }
    }

    /// The average opening price.
    pub fn average_open(&self, instrument: &Instrument) -> rust_decimal::Decimal {
        match self.averaged {
            Some(cost) if !self.volume.is_zero() => {
                money::average_price(cost, self.volume.0, instrument.tick, instrument.digits)
            }
            _ => instrument.price(self.open_price),
        }
    }

    /// The price that would close it now: longs at bid, shorts at ask (EX01, AC12).
    pub const fn closing_price(&self, quote: Quote) -> Price {
        quote.price_for(self.side.opposite())
    }
}

/// Profit of a volume that opened at one price and closes at another, in the quote currency: exact.
pub fn profit(instrument: &Instrument, side: Side, volume: Volume, open: Price, close: Price) -> Exact {
    let moved = i128::from(close.0) - i128::from(open.0);
    Exact::product(instrument.tick_step_value(), moved * i128::from(volume.0) * i128::from(side.sign()))
}
