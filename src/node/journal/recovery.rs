//! From files to a running machine: the newest usable snapshot, then every record after it.

use super::{
    ENGINE_VERSION, Epoch, Journal, JournalOptions, Shadow,
    error::JournalError,
    index::{self, Index},
    record::{self, Framed, Link},
    segment::{self, Header, Segment},
    segments::Segments,
};
use crate::{domain::message::Outputs, machine::Machine, node::services::Storage};
use std::sync::Arc;

/// Records that are read from a file at a time.
const CHUNK: usize = 1_024;

/// A journal that was opened, and where it stands.
#[derive(Debug)]
pub struct Opened {
    pub journal: Journal,
    /// The state after the last record.
    pub machine: Machine,
    /// The second machine, at the same place.
    pub shadow: Shadow,
    pub report: RecoveryReport,
}

/// What recovery did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveryReport {
    /// Whether there was no journal.
    pub created: bool,
    /// The record that the snapshot was taken after; 0: replayed from the beginning.
    pub snapshot_offset: u64,
    /// Damaged snapshots that were passed over.
    pub skipped_snapshots: Vec<String>,
    /// Records that were replayed.
    pub replayed: u64,
    pub head_offset: u64,
}

pub(super) fn open(
    storage: Arc<dyn Storage>,
    fresh_epoch: Epoch,
    options: JournalOptions,
) -> Result<Opened, JournalError> {
    let segments = Arc::new(Segments::open(Arc::clone(&storage))?);
    let created = segments.headers()?.is_empty();
    if created {
        refuse_if_lost(&*storage)?;
    }
    segments.discard_begun()?;
    if created {
        let header = first_header(fresh_epoch);
        segments.begin(|storage| Segment::create(storage, header, None))?;
    }
    let headers = segments.headers()?;
    let epoch = headers[0].epoch;
    let index = Arc::new(Index::open(&*storage, epoch)?);

    let mut skipped_snapshots = Vec::new();
    let start = start(&segments, &headers, index.offset()?, &mut skipped_snapshots)?;
    let snapshot_offset = start.link.offset;
    let mut link = start.link;
    let mut shadow = Shadow::new(start.machine, link.offset, Arc::clone(&index), options);
    for header in &headers {
        walk(&segments, header, &mut link, |framed| {
            shadow.replay(&framed.record, &framed.engine).map(|_| ())
        })?;
    }
    shadow.flush()?;

    let machine = shadow.machine().clone();
    let (event_head, segment_first) = segments.newest(|s| Ok((s.last_event()?, s.header().first)))?;
    if event_head != machine.event_count() {
        let reason = format!("{event_head} events are stored, the records make {}", machine.event_count());
        return Err(JournalError::row("the event log", reason));
    }
    let report = RecoveryReport {
        created,
        snapshot_offset,
        skipped_snapshots,
        replayed: link.offset - snapshot_offset,
        head_offset: link.offset,
    };
    let oldest_event = headers[0].first_event;
    let journal =
        Journal { segments, index, epoch, link, event_head, oldest_event, segment_first, failed: false };
    Ok(Opened { journal, machine, shadow, report })
}

/// An index without any segment says that the segments were lost; a new journal would hide that.
fn refuse_if_lost(storage: &dyn Storage) -> Result<(), JournalError> {
    let names = storage.list().map_err(|e| JournalError::io("the data directory", e))?;
    if names.iter().any(|name| name == index::NAME) {
        let reason = format!("{} is here, and no segment of its journal", index::NAME);
        return Err(JournalError::Missing { offset: 1, reason });
    }
    Ok(())
}

fn first_header(epoch: Epoch) -> Header {
    let genesis = Link::genesis(Machine::new().output_hash());
    Header { epoch, first: 1, first_event: 1, chain: genesis.chain, output: genesis.output }
}

struct Start {
    machine: Machine,
    link: Link,
}

/// The newest sound snapshot that the index has reached, or the beginning.
fn start(
    segments: &Segments,
    headers: &[Header],
    indexed: u64,
    skipped: &mut Vec<String>,
) -> Result<Start, JournalError> {
    for header in headers.iter().rev() {
        let (snapshot, engine) = match segments.with(header.first, Segment::snapshot) {
            Ok(Some(found)) => found,
            Ok(None) => continue,
            Err(error @ JournalError::Row { .. }) => {
                skipped.push(error.to_string());
                continue;
            }
            Err(error) => return Err(error),
        };
        if snapshot.offset > indexed {
            continue;
        }
        let offset = snapshot.offset;
        let machine = Machine::decode(snapshot.state_version, &snapshot.bytes)
            .map_err(|source| JournalError::State { offset, wrote: engine, source })?;
        let output = machine.output_hash();
        return Ok(Start {
            machine,
            link: Link { offset, chain: chain_at(segments, headers, offset)?, output },
        });
    }
    match headers.first() {
        Some(first) if first.first == 1 => Ok(beginning()),
        _ => Err(JournalError::Missing {
            offset: 1,
            reason: "and no sound snapshot stands for what is gone".into(),
        }),
    }
}

/// A machine that has done nothing, before the first record.
fn beginning() -> Start {
    let machine = Machine::new();
    let link = Link::genesis(machine.output_hash());
    Start { machine, link }
}

/// The chain hash after a record.
pub(super) fn chain_at(
    segments: &Segments,
    headers: &[Header],
    offset: u64,
) -> Result<crate::machine::Hash, JournalError> {
    if let Some(next) = headers.iter().find(|h| h.first == offset + 1) {
        return Ok(next.chain);
    }
    let gone = || JournalError::Missing { offset, reason: "a snapshot was taken after it".into() };
    let holding = headers.iter().rev().find(|h| h.first <= offset).ok_or_else(gone)?;
    let rows = segments.with(holding.first, |s| s.records(offset, 1))?;
    let (found, bytes) = rows.first().ok_or_else(gone)?;
    if *found == offset { record::chain_of(offset, bytes) } else { Err(gone()) }
}

/// Visits the records of a segment after `link`, each proved, and moves the link along.
pub(super) fn walk(
    segments: &Segments,
    header: &Header,
    link: &mut Link,
    mut visit: impl FnMut(&Framed) -> Result<(), JournalError>,
) -> Result<(), JournalError> {
    if header.first > link.offset + 1 {
        let reason = format!("the next segment is {}", segment::name_of(header.first));
        return Err(JournalError::Missing { offset: link.offset + 1, reason });
    }
    if header.first == link.offset + 1 && header.chain != link.chain {
        let what = format!("the header of {}", segment::name_of(header.first));
        return Err(JournalError::row(what, "its hash does not continue the chain"));
    }
    loop {
        let from = link.offset + 1;
        let rows = segments.with(header.first, |s| s.records(from, CHUNK)).map_err(|e| at_record(e, from))?;
        if rows.is_empty() {
            return Ok(());
        }
        for (offset, bytes) in rows {
            visit(&record::unframe(offset, &bytes, link)?)?;
        }
    }
}

/// A page that cannot be read hides the record that was to be read next.
fn at_record(error: JournalError, offset: u64) -> JournalError {
    match error {
        JournalError::Unreadable { name, reason } => {
            JournalError::record(offset, format!("the page that holds it cannot be read ({name}: {reason})"))
        }
        other => other,
    }
}

/// Applies a record and compares the outputs with those of the time.
pub(super) fn apply(
    machine: &mut Machine,
    record: &super::Record,
    engine: &str,
    out: &mut Outputs,
) -> Result<(), JournalError> {
    machine.step(record.now, &record.input, out);
    if machine.output_hash() == record.output_hash {
        return Ok(());
    }
    let offset = record.offset;
    if engine == ENGINE_VERSION {
        Err(JournalError::Diverged { offset })
    } else {
        Err(JournalError::Engine { offset, wrote: engine.to_owned(), runs: ENGINE_VERSION })
    }
}
