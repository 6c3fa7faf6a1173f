//! The journal: every input with its stamp and the machine's output hash, every critical event, every
//! closed candle and the snapshots, in redb files of which a commit writes exactly one.
//!
//! Integrity is ours, not redb's: each row carries a checksum, each record a hash chained to the one
//! before. A record that cannot be proved to be what was written is refused and named by its offset.
//!
//! Imports `domain`, `machine` and `services`; blocks on the disk and knows no clock, no randomness,
//! no task: the writer calls it where blocking is allowed.

mod backend;
mod command;
mod error;
mod index;
mod reader;
mod record;
mod recovery;
mod row;
mod segment;
mod segments;
mod shadow;
mod store;
mod v1;
mod verify;

#[cfg(test)]
pub(super) mod tests;

pub use command::{ReplayCommand, run as run_replay};
pub use error::JournalError;
pub use index::{Dated, History, Span};
pub use reader::JournalReader;
pub use recovery::{Opened, RecoveryReport};
pub use segment::silence_guarded_panics;
pub use shadow::Shadow;
pub use store::Journal;
pub use verify::{Passed, ReplayReport, verify, verify_watched};

use crate::{
    domain::{
        id::AccountId,
        instrument::InstrumentId,
        market::{Candle, Timeframe},
        message::Input,
        time::UnixNanos,
    },
    machine::Hash,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::{fmt, sync::Arc};

/// Version of the files' layout: tables, keys, rows.
pub const FORMAT_VERSION: u32 = 1;

/// The version of the engine that writes records.
pub const ENGINE_VERSION: &str = env!("CARGO_PKG_VERSION");

/// Names one life of a journal: drawn when it is created and again when a backup is restored, so
/// that cursors of another life are recognised. On the wire: 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

impl Epoch {
    /// Reads the wire form.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
        digits.then(|| u64::from_str_radix(text, 16).ok().map(Self)).flatten()
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Epoch {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Epoch {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom("an epoch is 16 hexadecimal digits"))
    }
}

impl schemars::JsonSchema for Epoch {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Epoch".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^[0-9a-f]{16}$" })
    }
}

/// A place in the log of critical events: `offset` of them came before and at it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Cursor {
    pub epoch: Epoch,
    pub offset: u64,
}

/// One input as it was applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// 1, 2, 3 … without gaps.
    pub offset: u64,
    pub now: UnixNanos,
    pub input: Input,
    /// The machine's running output hash after it.
    pub output_hash: Hash,
}

/// One critical event as clients see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// The cursor's offset: 1, 2, 3 … without gaps.
    pub number: u64,
    /// The record that caused it.
    pub journal_offset: u64,
    pub ts: UnixNanos,
    pub name: Arc<str>,
    /// Whose readers may see it; `None` is for everybody.
    pub account: Option<AccountId>,
    /// JSON.
    pub payload: Arc<str>,
}

/// What one commit stores: records with all their events and all candles that they closed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    pub records: Vec<Record>,
    pub events: Vec<StoredEvent>,
    pub candles: Vec<(InstrumentId, Timeframe, Candle)>,
}

/// The machine's state after the record at `offset`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    pub offset: u64,
    pub state_version: u32,
    pub state_hash: Hash,
    pub bytes: Vec<u8>,
}

/// How a journal is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalOptions {
    /// Records between two snapshots.
    pub snapshot_interval: u64,
}

impl Default for JournalOptions {
    fn default() -> Self {
        Self { snapshot_interval: 100_000 }
    }
}
