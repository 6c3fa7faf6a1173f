//! The second machine: it replays what is committed, off the writer, and so checks every output hash,
//! makes the snapshots and archives ended orders, fills and postings.

use super::{
    ENGINE_VERSION, JournalOptions, Record, Snapshot, error::JournalError, index::Archive, index::Index,
    recovery,
};
use crate::{
    domain::{
        message::Outputs,
        time::{HOUR_NS, UnixNanos},
    },
    machine::Machine,
};
use std::sync::Arc;

/// Ended orders, fills and postings that wait for the index at most.
const ARCHIVE_AT_MOST: usize = 1_024;

/// How long they wait at most, in the journal's time: the engine forgets them after a day, and they
/// must be in the index by then.
const ARCHIVE_WITHIN_NS: i64 = HOUR_NS;

/// A machine that follows the journal. Blocks on the disk when it archives.
#[derive(Debug)]
pub struct Shadow {
    machine: Machine,
    outputs: Outputs,
    /// The last record that was applied.
    offset: u64,
    index: Arc<Index>,
    archive: Archive,
    archived_at: UnixNanos,
    interval: u64,
    last_snapshot: u64,
}

impl Shadow {
    pub(super) fn new(machine: Machine, offset: u64, index: Arc<Index>, options: JournalOptions) -> Self {
        Self {
            archived_at: machine.now(),
            machine,
            outputs: Outputs::default(),
            offset,
            index,
            archive: Archive::default(),
            interval: options.snapshot_interval.max(1),
            last_snapshot: offset,
        }
    }

    /// Applies the next committed record. Returns a snapshot when one is due; hand it to
    /// `Journal::put_snapshot`. An error means that the two machines disagree: stop.
    pub fn apply(&mut self, record: &Record) -> Result<Option<Snapshot>, JournalError> {
        self.replay(record, ENGINE_VERSION)?;
        if self.offset - self.last_snapshot < self.interval {
            return Ok(None);
        }
        self.snapshot().map(Some)
    }

    /// A snapshot after the last record that was applied, with the index caught up to it.
    pub fn snapshot(&mut self) -> Result<Snapshot, JournalError> {
        self.flush()?;
        let bytes = self.machine.encode();
        let state_hash = blake3::hash(&bytes);
        let offset = self.offset;
        let state = |source| JournalError::State { offset, wrote: ENGINE_VERSION.to_owned(), source };
        let read_back = Machine::decode(Machine::STATE_VERSION, &bytes).map_err(state)?;
        if read_back.encode() != bytes {
            return Err(JournalError::Diverged { offset });
        }
        self.last_snapshot = offset;
        Ok(Snapshot { offset, state_version: Machine::STATE_VERSION, state_hash, bytes })
    }

    /// The last record that was applied.
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// The state after it.
    pub const fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Writes what waits into the index.
    pub fn flush(&mut self) -> Result<(), JournalError> {
        if self.archive.len() > 0 || self.index.offset()? < self.offset {
            self.index.append(self.offset, &self.archive)?;
            self.archive = Archive::default();
        }
        self.archived_at = self.machine.now();
        Ok(())
    }

    /// Applies a record that an engine of that version wrote.
    pub(super) fn replay(&mut self, record: &Record, engine: &str) -> Result<(), JournalError> {
        if record.offset != self.offset + 1 {
            let (expected, found) = (self.offset + 1, record.offset);
            return Err(JournalError::Sequence { what: "the second machine at record", expected, found });
        }
        recovery::apply(&mut self.machine, record, engine, &mut self.outputs)?;
        self.offset = record.offset;
        self.archive.orders.append(&mut self.outputs.archived);
        self.archive.fills.append(&mut self.outputs.fills);
        self.archive.ledger.append(&mut self.outputs.ledger);
        let waiting = self.archive.len();
        let due = waiting > 0 && record.now.since(self.archived_at) >= ARCHIVE_WITHIN_NS;
        if due || waiting >= ARCHIVE_AT_MOST {
            self.flush()?;
        }
        Ok(())
    }
}
