//! The one function that all drivers call: engine and paper venue, stepped until quiet.

use crate::domain::{
    config::Config,
    id::AccountId,
    message::{Answer, Input, Outputs, Query, Refusal},
    money::Money,
    time::UnixNanos,
};
use std::collections::BTreeMap;

/// A 256-bit hash of outputs or of a state.
pub type Hash = blake3::Hash;

/// Why a stored state cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Another version wrote it.
    #[error(
        "the state was written as version {found}, this build reads version {expected}: start the version that wrote it, drain it, and upgrade then"
    )]
    Version { found: u32, expected: u32 },
    /// The bytes are not a state.
    #[error("the state cannot be read: {0}")]
    Malformed(String),
}

/// Counts of a run that are not events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Quotes that were not used, by reason (EX10).
    pub quarantined: BTreeMap<&'static str, u64>,
    /// Bars in which the order of two exits is a matter of policy (EX05).
    pub ambiguous_bars: u64,
    /// Quotes that were used, expanded ones included.
    pub quotes: u64,
    pub bars: u64,
}

/// Engine, paper venue and the running hash of everything they put out.
#[derive(Debug, Clone, Default)]
pub struct Machine {}

impl Machine {
    /// Version of `encode`'s format.
    pub const STATE_VERSION: u32 = 1;

    /// An empty machine; its first input must be the configuration.
    pub fn new() -> Self {
        Self::default()
    }

    /// Fires all deadlines up to `now`, each at its own instant, then applies the input, until quiet.
    pub fn step(&mut self, _now: UnixNanos, _input: &Input, out: &mut Outputs) {
        out.clear();
    }

    /// The last instant reached.
    pub fn now(&self) -> UnixNanos {
        UnixNanos::ZERO
    }

    /// When something is due without an input.
    pub fn next_deadline(&self) -> Option<UnixNanos> {
        None
    }

    /// Critical events so far.
    pub fn event_count(&self) -> u64 {
        0
    }

    /// Hash of all outputs so far.
    pub fn output_hash(&self) -> Hash {
        blake3::hash(b"")
    }

    /// Hash of the state.
    pub fn state_hash(&self) -> Hash {
        blake3::hash(&self.encode())
    }

    /// The state's canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        Vec::new()
    }

    /// Reads what `encode` wrote.
    pub fn decode(_version: u32, _bytes: &[u8]) -> Result<Self, StateError> {
        Ok(Self::default())
    }

    /// Answers a question; no effect.
    pub fn query(&self, _query: &Query) -> Result<Answer, Refusal> {
        Ok(Answer::Accounts(Vec::new()))
    }

    /// The configuration in force.
    pub fn config(&self) -> Option<&Config> {
        None
    }

    /// Counts that are not events.
    pub fn tally(&self) -> Tally {
        Tally::default()
    }

    /// Balance plus floating profit and loss.
    pub fn equity(&self, _account: &AccountId) -> Option<Money> {
        None
    }
}
