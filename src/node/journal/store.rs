//! The journal as its one writer sees it.

use super::{
    Batch, ENGINE_VERSION, Epoch, JournalOptions, JournalReader, Snapshot,
    error::JournalError,
    index::Index,
    record::{self, Link},
    recovery::{self, Opened},
    row,
    segment::{Header, Rows, Segment, guarded},
    segments::Segments,
};
use crate::node::services::Storage;
use std::sync::Arc;

/// The journal, open for writing. Blocks on the disk: call it where blocking is allowed.
///
/// After an error from `commit` nobody knows whether the batch is durable: drop the journal, open it
/// again and go on from what is found. Dropping it closes every file; readers then get `Closed`.
#[derive(Debug)]
pub struct Journal {
    pub(super) segments: Arc<Segments>,
    pub(super) index: Arc<Index>,
    pub(super) epoch: Epoch,
    pub(super) link: Link,
    pub(super) event_head: u64,
    pub(super) oldest_event: u64,
    /// The first record of the segment that is written.
    pub(super) segment_first: u64,
    /// Whether a commit failed.
    pub(super) failed: bool,
}

impl Journal {
    /// Opens or creates a journal and replays what is newer than its newest usable snapshot, comparing
    /// checksum, chain and output hash of every record. `fresh_epoch` names a journal that is created.
    pub fn open(
        storage: Arc<dyn Storage>,
        fresh_epoch: Epoch,
        options: JournalOptions,
    ) -> Result<Opened, JournalError> {
        guarded("the journal", || recovery::open(storage, fresh_epoch, options))
    }

    /// This life of the journal.
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The last record's offset, 0 before the first.
    pub const fn head(&self) -> u64 {
        self.link.offset
    }

    /// The last event's number, 0 before the first.
    pub const fn event_head(&self) -> u64 {
        self.event_head
    }

    /// The first event that can still be read.
    pub const fn oldest_event(&self) -> u64 {
        self.oldest_event
    }

    /// Stores a batch in one transaction; it is durable when this returns. A batch without records
    /// stores nothing.
    pub fn commit(&mut self, batch: &Batch) -> Result<(), JournalError> {
        self.check_sequence(batch)?;
        if batch.records.is_empty() {
            return Ok(());
        }
        let mut link = self.link;
        let rows = Rows {
            records: batch
                .records
                .iter()
                .map(|r| (r.offset, record::frame(r, ENGINE_VERSION, &mut link)))
                .collect(),
            events: batch.events.iter().map(|e| (e.number, row::event(e))).collect(),
            candles: batch
                .candles
                .iter()
                .map(|(instrument, timeframe, candle)| {
                    let key = row::candle_key(*instrument, *timeframe, candle.ts);
                    (key, row::candle(key, candle))
                })
                .collect(),
        };
        self.failed = true;
        self.segments.newest(|s| s.append(&rows))?;
        self.failed = false;
        self.link = link;
        self.event_head += batch.events.len() as u64;
        Ok(())
    }

    /// Reads beside the writer.
    pub fn reader(&self) -> JournalReader {
        JournalReader { segments: Arc::clone(&self.segments), index: Arc::clone(&self.index) }
    }

    /// Begins a new segment that carries the snapshot; recovery starts from it. The index must have
    /// caught up with it, which `Shadow` sees to.
    pub fn put_snapshot(&mut self, snapshot: Snapshot) -> Result<(), JournalError> {
        self.check_open()?;
        if snapshot.offset > self.head() {
            return Err(sequence("a snapshot of record", self.head(), snapshot.offset));
        }
        let indexed = self.index.offset()?;
        if indexed < snapshot.offset {
            return Err(sequence("an index up to record", snapshot.offset, indexed));
        }
        self.failed = true;
        if self.head() < self.segment_first {
            self.segments.newest(|s| match s.snapshot()? {
                Some((present, _)) if present.offset >= snapshot.offset => Ok(()),
                _ => s.replace_snapshot(&snapshot, ENGINE_VERSION),
            })?;
        } else {
            let header = Header {
                epoch: self.epoch,
                first: self.head() + 1,
                first_event: self.event_head + 1,
                chain: self.link.chain,
                output: self.link.output,
            };
            self.segments
                .begin(|storage| Segment::create(storage, header, Some((&snapshot, ENGINE_VERSION))))?;
            self.segment_first = header.first;
        }
        self.failed = false;
        Ok(())
    }

    fn check_open(&self) -> Result<(), JournalError> {
        if self.failed { Err(JournalError::Closed) } else { Ok(()) }
    }

    fn check_sequence(&self, batch: &Batch) -> Result<(), JournalError> {
        self.check_open()?;
        for (record, expected) in batch.records.iter().zip(self.head() + 1..) {
            if record.offset != expected {
                return Err(sequence("record", expected, record.offset));
            }
        }
        for (event, expected) in batch.events.iter().zip(self.event_head + 1..) {
            if event.number != expected {
                return Err(sequence("event", expected, event.number));
            }
        }
        let records = self.head() + 1..=self.head() + batch.records.len() as u64;
        match batch.events.iter().find(|e| !records.contains(&e.journal_offset)) {
            Some(stray) => Err(sequence("an event of record", *records.start(), stray.journal_offset)),
            None => Ok(()),
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.segments.close();
        self.index.close();
    }
}

const fn sequence(what: &'static str, expected: u64, found: u64) -> JournalError {
    JournalError::Sequence { what, expected, found }
}
