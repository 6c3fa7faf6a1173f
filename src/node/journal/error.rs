//! What can go wrong with a journal, and what to do about it.

use super::Epoch;
use crate::machine::StateError;
use std::io;

/// Why the journal does not open, read, store or replay.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Two processes must never write one journal.
    #[error(
        "another gateway uses this directory ({name} is locked): stop it, or give this one its own directory"
    )]
    InUse { name: String },
    /// The host refuses.
    #[error("{name}: {source}: check the disk, its free space and the permissions, then start again")]
    Io { name: String, source: io::Error },
    /// It is no database, or one that is damaged beyond reading.
    #[error("{name} cannot be read as a journal: {reason}: restore it from a backup")]
    Unreadable { name: String, reason: String },
    /// The storage refused a transaction; what was in it may or may not be durable.
    #[error(
        "{name}: the storage failed ({reason}): close the journal and open it again to learn what is durable"
    )]
    Storage { name: String, reason: String },
    /// There is nothing to replay.
    #[error("there is no journal here: no file of this directory holds anything that was committed")]
    Absent,
    /// A stored record is not what was written.
    #[error("journal record {offset} is damaged: {reason}: restore the journal from a backup")]
    Record { offset: u64, reason: String },
    /// Something else that is stored is not what was written.
    #[error("{what} is damaged: {reason}: restore the journal from a backup")]
    Row {
        what: String,
        reason: String,
        /// The record that it belongs to, where that is known.
        offset: Option<u64>,
    },
    /// The derived index is not what was written.
    #[error(
        "index.redb is damaged: {reason}: delete it, it is built again from the journal at the next start"
    )]
    Index { reason: String },
    /// Records or a whole segment are gone.
    #[error("journal record {offset} is missing: {reason}: restore the journal from a backup")]
    Missing { offset: u64, reason: String },
    /// Two journals were mixed.
    #[error("{name} belongs to epoch {found}, the journal to {expected}: remove the foreign file")]
    Foreign { name: String, expected: Epoch, found: Epoch },
    /// A newer build wrote the files.
    #[error("{name} has format {found}, this build reads {expected}: start the version that wrote it")]
    Format { name: String, expected: u32, found: u32 },
    /// The machine that runs now decides otherwise than the one that wrote the record.
    #[error(
        "journal record {offset} was written by engine {wrote} and gives other outputs under {runs}: start {wrote}, stop it with SIGTERM so that it drains into a snapshot, then upgrade"
    )]
    Engine { offset: u64, wrote: String, runs: &'static str },
    /// The same engine gave other outputs for the same inputs.
    #[error(
        "journal record {offset} gives other outputs than it gave when it was written: the record is damaged or the engine is not deterministic; keep the directory and report it"
    )]
    Diverged { offset: u64 },
    /// The newest snapshot cannot be used by this build.
    #[error("the snapshot at journal record {offset} was written by engine {wrote}: {source}")]
    State { offset: u64, wrote: String, source: StateError },
    /// The caller left out or repeated something; nothing was stored.
    #[error("a commit must go on at {what} {expected}, not at {found}: this is a defect, please report it")]
    Sequence { what: &'static str, expected: u64, found: u64 },
    /// The journal was closed; a reader outlived it.
    #[error("the journal is closed: it is being reopened after a failure, or the gateway stops; try again")]
    Closed,
}

impl JournalError {
    /// Whether what is stored contradicts itself or what the machine makes of it, as opposed to not
    /// being readable or not being ours.
    pub const fn is_integrity(&self) -> bool {
        matches!(
            self,
            Self::Record { .. }
                | Self::Row { .. }
                | Self::Index { .. }
                | Self::Missing { .. }
                | Self::Foreign { .. }
                | Self::Engine { .. }
                | Self::Diverged { .. }
        )
    }

    /// The record that the error is about.
    pub const fn offset(&self) -> Option<u64> {
        match self {
            Self::Record { offset, .. }
            | Self::Missing { offset, .. }
            | Self::Engine { offset, .. }
            | Self::Diverged { offset }
            | Self::State { offset, .. } => Some(*offset),
            Self::Row { offset, .. } => *offset,
            _ => None,
        }
    }

    /// The same, about a row that belongs to a record.
    #[must_use]
    pub(super) fn of_record(self, record: u64) -> Self {
        match self {
            Self::Row { what, reason, offset: None } => Self::Row {
                what: format!("{what} (of journal record {record})"),
                reason,
                offset: Some(record),
            },
            other => other,
        }
    }

    pub(super) fn record(offset: u64, reason: impl Into<String>) -> Self {
        Self::Record { offset, reason: reason.into() }
    }

    pub(super) fn row(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Row { what: what.into(), reason: reason.into(), offset: None }
    }

    pub(super) fn io(name: &str, source: io::Error) -> Self {
        Self::Io { name: name.to_owned(), source }
    }

    /// A database that does not open.
    pub(super) fn opening(name: &str, error: redb::DatabaseError) -> Self {
        match error {
            redb::DatabaseError::DatabaseAlreadyOpen => Self::InUse { name: name.to_owned() },
            redb::DatabaseError::Storage(redb::StorageError::Io(source))
                if source.kind() != io::ErrorKind::InvalidData
                    && source.kind() != io::ErrorKind::UnexpectedEof =>
            {
                Self::io(name, source)
            }
            other => Self::Unreadable { name: name.to_owned(), reason: other.to_string() },
        }
    }

    /// A transaction that failed.
    pub(super) fn storage(name: &str, error: impl Into<redb::Error>) -> Self {
        Self::Storage { name: name.to_owned(), reason: error.into().to_string() }
    }
}
