//! Decides: strategies as pure state machines of candles and a read-only view of their own positions.
//!
//! May import `domain` only. Never knows accounts' money, other strategies, the venue, or time
//! other than the candle's.

mod sma_cross;

pub use sma_cross::SmaCross;

use crate::domain::{id::PositionId, market::Candle, order::Side};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a strategy sees besides the candle: its own open positions, oldest first.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    pub positions: &'a [(PositionId, Side)],
}

/// What a strategy wants. Volume and protective levels come from its configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    Open(Side),
    Close(PositionId),
}

/// A deterministic strategy.
pub trait Strategy {
    /// A candle of its timeframe is complete (EX08).
    fn on_candle(&mut self, view: View<'_>, candle: &Candle, decisions: &mut Vec<Decision>);

    /// There are no more data. By default: close everything.
    fn on_end(&mut self, view: View<'_>, decisions: &mut Vec<Decision>) {
        decisions.extend(view.positions.iter().map(|(id, _)| Decision::Close(*id)));
    }
}

/// Why a strategy cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StrategyError {
    /// No strategy of that name.
    #[error("unknown strategy `{0}`: known are {known}", known = NAMES.join(", "))]
    Unknown(String),
    /// A parameter that the strategy does not have.
    #[error("strategy `{strategy}` has no parameter `{param}`: it has {known}")]
    UnknownParam { strategy: &'static str, param: String, known: &'static str },
    /// A parameter is not given.
    #[error("strategy `{strategy}` needs the parameter `{param}`: {problem}")]
    MissingParam { strategy: &'static str, param: &'static str, problem: &'static str },
    /// A parameter is malformed or out of range.
    #[error("strategy `{strategy}`, parameter `{param}` = `{value}`: {problem}")]
    Param { strategy: &'static str, param: &'static str, value: String, problem: &'static str },
}

/// The names of the native strategies.
pub const NAMES: &[&str] = &["sma_cross"];

/// A native strategy with its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Native {
    SmaCross(SmaCross),
}

impl Native {
    /// Builds a strategy by name and parameters.
    pub fn build(name: &str, params: &BTreeMap<String, String>) -> Result<Self, StrategyError> {
        match name {
            "sma_cross" => Ok(Self::SmaCross(SmaCross::build(params)?)),
            _ => Err(StrategyError::Unknown(name.to_owned())),
        }
    }
}

impl Strategy for Native {
    fn on_candle(&mut self, view: View<'_>, candle: &Candle, decisions: &mut Vec<Decision>) {
        match self {
            Self::SmaCross(s) => s.on_candle(view, candle, decisions),
        }
    }
}
