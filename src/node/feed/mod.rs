//! Where quotes come from: a task that turns a synthetic market, a recording or a venue's market data into
//! market inputs.
//!
//! A live feed never waits for the writer: the newest quote of a symbol replaces one that found no
//! room. A recording waits, loses nothing, and drives the clock.

mod live;
mod replay;
mod synthetic;
mod venue;

pub use replay::ReplayError;
pub use venue::UnknownSymbol;

use self::{
    replay::{Progress, Replay},
    synthetic::Synthetic,
    venue::VenueFeed,
};
use super::{
    clock::{Clock, Speed},
    config::FeedSpec,
    journal::Opened,
    lanes::MarketInput,
    runtime::{Rt, run_blocking},
    services::Markets,
    status::{FeedState, StatusBoard},
    vault::Secret,
};
use crate::{
    domain::{
        config::Config,
        id::Symbol,
        instrument::{Instrument, InstrumentId},
        market::{Quote, Timeframe},
        message::{Answer, Query},
    },
    machine::Machine,
};
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::mpsc;

/// A feed that is ready to run.
pub(crate) enum Feed {
    Synthetic(Synthetic),
    Replay(Box<Replay>),
    Venue(VenueFeed),
}

/// Why a feed cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    #[error(transparent)]
    Replay(#[from] ReplayError),
    #[error(transparent)]
    Venue(#[from] UnknownSymbol),
}

/// What a running feed needs.
pub(crate) struct FeedContext {
    pub rt: Rt,
    pub clock: Arc<Clock>,
    pub board: Arc<StatusBoard>,
    pub market: mpsc::Sender<MarketInput>,
}

/// How the feed is opened.
#[derive(Debug, Clone)]
pub(crate) struct FeedOptions {
    pub spec: FeedSpec,
    pub speed: Speed,
    pub seed: u64,
    /// For a venue.
    pub token: Option<Secret>,
}

impl Feed {
    /// Opens the feed where the journal left off; a recording's rows that entered are skipped.
    pub async fn open(
        rt: &Rt,
        options: FeedOptions,
        config: &Config,
        markets: &dyn Markets,
        opened: &Opened,
    ) -> Result<Self, FeedError> {
        let machine = &opened.machine;
        match options.spec {
            FeedSpec::Synthetic => {
                let last = last_quotes(config, machine);
                Ok(Self::Synthetic(Synthetic::new(markets.open(options.seed, config, &last))))
            }
            FeedSpec::Replay(spec) => {
                let (instruments, speed) = (config.instruments.clone(), options.speed);
                let progress = Progress {
                    reached: machine.now(),
                    ended: machine.data_ended(),
                    journal: opened.journal.reader(),
                };
                let open = move || Replay::open(&spec, speed, &instruments, &progress);
                Ok(Self::Replay(Box::new(run_blocking(rt, open).await?)))
            }
            FeedSpec::Venue(spec) => Ok(Self::Venue(VenueFeed::new(spec, options.token, config)?)),
        }
    }

    /// The clock that goes with it.
    pub fn clock(&self, rt: &Rt, machine: &Machine) -> Clock {
        match self {
            Self::Synthetic(_) | Self::Venue(_) => Clock::live(rt.clone(), machine.now()),
            Self::Replay(replay) => replay.clock(rt, machine.now()),
        }
    }

    /// `synthetic`, `replay` or `venue`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Synthetic(_) => "synthetic",
            Self::Replay(_) => "replay",
            Self::Venue(_) => "venue",
        }
    }

    /// What it quotes.
    pub fn symbols(&self, instruments: &[Instrument]) -> Vec<Symbol> {
        match self {
            Self::Synthetic(_) => instruments.iter().map(|i| i.symbol.clone()).collect(),
            Self::Replay(replay) => vec![replay.symbol().clone()],
            Self::Venue(venue) => venue.symbols(),
        }
    }

    /// Runs until the recording has ended or the writer is gone.
    pub async fn run(self, context: FeedContext) -> Result<(), ReplayError> {
        let state = match &self {
            Self::Synthetic(_) => FeedState::Live,
            Self::Replay(_) => FeedState::Replaying,
            Self::Venue(_) => FeedState::Connecting,
        };
        context.board.lock().feed = state;
        match self {
            Self::Synthetic(synthetic) => {
                synthetic.run(&context).await;
                Ok(())
            }
            Self::Replay(replay) => {
                let result = replay.run(&context).await;
                if result.is_err() {
                    context.board.lock().feed = FeedState::Failed;
                }
                result
            }
            Self::Venue(venue) => {
                venue.run(&context).await;
                Ok(())
            }
        }
    }
}

/// The last quote of each instrument, read off its open week: a candle closes at its last bid and
/// knows the spread that went with it.
fn last_quotes(config: &Config, machine: &Machine) -> BTreeMap<InstrumentId, Quote> {
    (0..config.instruments.len())
        .filter_map(|index| {
            let id = InstrumentId(u16::try_from(index).ok()?);
            let Ok(Answer::OpenCandle(Some(week))) = machine.query(&Query::OpenCandle(id, Timeframe::W1))
            else {
                return None;
            };
            let ask = crate::domain::instrument::Price(week.close.0 + week.spread);
            Some((id, Quote { bid: week.close, ask }))
        })
        .collect()
}
