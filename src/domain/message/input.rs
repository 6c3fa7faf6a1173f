//! The one way in.

use super::{Command, GatewayState, LinkInput};
use crate::domain::{
    config::Config,
    instrument::{InstrumentId, Price},
    market::Bar,
};
use serde::{Deserialize, Serialize};

/// Everything that the machine can be told. Each is journaled with its stamp.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// The configuration; the first input of every journal, and again whenever it changes.
    Config(Box<Config>),
    /// The gateway process came up or is going down.
    Gateway(GatewayState),
    /// Best bid and ask of a tick feed.
    Quote { instrument: InstrumentId, bid: Price, ask: Price },
    /// A bar, stamped with its opening instant.
    Bar(Bar),
    /// A request of a user.
    Command(Box<Command>),
    /// News of a link to a venue.
    Link(Box<LinkInput>),
    /// Nothing happened but time: due deadlines fire.
    Wake,
    /// The wall clock jumped, or is trustworthy again.
    ClockSuspect { suspect: bool },
    /// The data feed has no more quotes: strategies wind up, quotes no longer go stale.
    EndOfData,
}
