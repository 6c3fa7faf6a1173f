//! The strategies that run inside the machine, and what each of them owns.

use super::account::Account;
use crate::domain::{
    config::{Setup, StrategyConfig},
    id::{OrderId, PositionId},
    instrument::InstrumentId,
    market::{Candle, Timeframe},
    message::{PlaceOrder, StopLevel},
    order::{Side, Stop},
};
use crate::strategy::{Decision, Native, Strategy, View};
use serde::{Deserialize, Serialize};

/// A configured strategy with its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Slot {
    pub config: StrategyConfig,
    native: Native,
    /// It has wound up at the end of data.
    ended: bool,
}

impl Slot {
    /// A strategy at its beginning; `None` if its configuration did not pass the check.
    pub(crate) fn new(config: &StrategyConfig) -> Option<Self> {
        let native = Native::build(&config.name, &config.params).ok()?;
        Some(Self { config: config.clone(), native, ended: false })
    }

    /// Whether it looks at this candle.
    pub(crate) fn looks_at(&self, setup: &Setup, instrument: InstrumentId, timeframe: Timeframe) -> bool {
        !self.ended
            && self.config.timeframe == timeframe
            && setup.find(self.config.symbol.as_str()) == Some(instrument)
    }

    /// Its decisions on a complete candle.
    pub(crate) fn on_candle(
        &mut self,
        slot: usize,
        setup: &Setup,
        account: &Account,
        candle: &Candle,
    ) -> Vec<Decision> {
        let mut decisions = Vec::new();
        let positions = self.positions(slot, setup, account);
        self.native.on_candle(View { positions: &positions }, candle, &mut decisions);
        let opening = account.working().any(|r| r.strategy == Some(slot) && r.order.position.is_none());
        decisions.retain(|d| !(opening && matches!(d, Decision::Open(_))));
        decisions
    }

    /// Its last decisions.
    pub(crate) fn on_end(&mut self, slot: usize, setup: &Setup, account: &Account) -> Vec<Decision> {
        let mut decisions = Vec::new();
        if !self.ended {
            self.ended = true;
            let positions = self.positions(slot, setup, account);
            self.native.on_end(View { positions: &positions }, &mut decisions);
        }
        decisions
    }

    /// Data go on after their end.
    pub(crate) fn go_on(&mut self) {
        self.ended = false;
    }

    /// Who gives its orders.
    pub(crate) fn principal(&self) -> String {
        format!("strategy:{}", self.config.name)
    }

    /// An order that opens a position.
    pub(crate) fn order(&self, side: Side) -> PlaceOrder {
        let level = |stop: Stop| match stop {
            Stop::Ticks(ticks) => StopLevel::Ticks(ticks),
            Stop::Percent(percent) => StopLevel::Percent(percent),
            Stop::At(price) => StopLevel::Ticks(price.0), // the configuration check refuses prices
        };
        let (account, symbol) = (self.config.account.clone(), self.config.symbol.to_string());
        PlaceOrder {
            stop_loss: self.config.stop_loss.map(level),
            take_profit: self.config.take_profit.map(level),
            reason: Some("signal".to_owned()),
            ..PlaceOrder::market(account, symbol, side, self.config.volume)
        }
    }

    /// The open positions of its instrument whose opening order the slot gave, oldest first. Another
    /// configuration may have had the slot before, on another instrument.
    fn positions(&self, slot: usize, setup: &Setup, account: &Account) -> Vec<(PositionId, Side)> {
        let instrument = setup.find(self.config.symbol.as_str());
        let ours =
            |id: PositionId| account.orders.get(&OrderId(id.0)).is_some_and(|r| r.strategy == Some(slot));
        account
            .positions
            .values()
            .filter(|p| Some(p.instrument) == instrument && ours(p.id))
            .map(|p| (p.id, p.side))
            .collect()
    }
}
