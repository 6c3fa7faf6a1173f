//! Positions and the fills that make them.

use super::{
    id::{AccountId, FillId, IntentId, OrderId, PositionId},
    instrument::{Instrument, InstrumentId, Price, Volume},
    market::Quote,
    money::{Exact, Money},
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
    pub open_price: Price,
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
}

impl Position {
    /// Profit in the quote currency if it were closed at `price`, before conversion: exact.
    pub fn profit_at(&self, price: Price, instrument: &Instrument) -> Exact {
        profit(instrument, self.side, self.volume, self.open_price, price)
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
