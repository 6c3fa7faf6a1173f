//! `lockstep replay`: proves that everything stored is what was written, and that the machine does
//! the same again. Changes nothing, not even a file's mark of having been closed.

use super::{
    Epoch, Record, StoredEvent,
    backend::ReadOnly,
    error::JournalError,
    index::{self, Index},
    record::{Framed, Link},
    recovery::{apply, walk},
    row::{self, CandleKey},
    segment::{Header, Segment, guarded},
    segments::Segments,
};
use crate::{
    domain::message::{FeedEvent, Outputs},
    machine::{Hash, Machine},
    node::services::Storage,
};
use serde::{Serialize, Serializer};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

/// Events that are read at a time.
const EVENTS_AHEAD: usize = 1_024;

/// What a replay proved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplayReport {
    pub epoch: Epoch,
    pub segments: u64,
    /// The first record that is still stored.
    pub first_offset: u64,
    pub head_offset: u64,
    pub records: u64,
    /// The last event's number.
    pub event_head: u64,
    pub events: u64,
    pub candles: u64,
    pub snapshots: u64,
    /// Ended orders found in the index as the replay made them.
    pub archived_orders: u64,
    /// The engine versions that wrote the records.
    pub engines: BTreeSet<String>,
    /// Of the state after the last record.
    #[serde(serialize_with = "hex")]
    pub state_hash: Hash,
    /// Of all outputs.
    #[serde(serialize_with = "hex")]
    pub output_hash: Hash,
}

fn hex<S: Serializer>(hash: &Hash, s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(hash)
}

/// What a replay comes past, in order; each is proved by then.
#[derive(Debug, Clone, Copy)]
pub enum Passed<'a> {
    /// A replay can begin here, after the record at `offset`: at the beginning of all (0), or at a snapshot.
    State { offset: u64, machine: &'a Machine },
    /// The next record. Those before the first state do not show.
    Record(&'a Record),
}

/// Replays a journal from its beginning, or from its oldest usable snapshot where the beginning is gone.
pub fn verify(storage: Arc<dyn Storage>) -> Result<ReplayReport, JournalError> {
    verify_watched(storage, |_| {})
}

/// `verify`, and `watch` sees what it comes past.
pub fn verify_watched(
    storage: Arc<dyn Storage>,
    mut watch: impl FnMut(Passed<'_>),
) -> Result<ReplayReport, JournalError> {
    // closing a damaged file may panic too
    guarded("the journal", || verify_unguarded(storage, &mut watch))
}

fn verify_unguarded(
    storage: Arc<dyn Storage>,
    watch: &mut dyn FnMut(Passed<'_>),
) -> Result<ReplayReport, JournalError> {
    let storage: Arc<dyn Storage> = Arc::new(ReadOnly(storage));
    let segments = Arc::new(Segments::open(Arc::clone(&storage))?);
    let headers = segments.headers()?;
    let first = *headers.first().ok_or(JournalError::Absent)?;
    let mut link = Link { offset: first.first - 1, chain: first.chain, output: first.output };
    let mut replay = Replay::new(&segments, &headers, open_index(&*storage, first.epoch)?)?;
    if let Some(machine) = &replay.machine {
        watch(Passed::State { offset: link.offset, machine });
    }
    replay.reach(link.offset, watch)?;
    for header in &headers {
        replay.candles = segments.with(header.first, Segment::all_candles)?.into_iter().collect();
        replay.report.candles += replay.candles.len() as u64;
        walk(&segments, header, &mut link, |framed| replay.record(framed, watch))?;
        if let Some(key) = replay.candles.keys().next() {
            return Err(JournalError::row(row::candle_name(*key), "no record closed it"));
        }
    }
    replay.finish(link)
}

fn open_index(storage: &dyn Storage, epoch: Epoch) -> Result<Option<Index>, JournalError> {
    let names = storage.list().map_err(|e| JournalError::io("the data directory", e))?;
    let present = names.iter().any(|name| name == index::NAME);
    present.then(|| Index::open(storage, epoch)).transpose()
}

/// The replay under way. What belongs to a record is read after the record itself has been proved, so
/// that the first thing that is wrong is named, by its record.
struct Replay {
    segments: Arc<Segments>,
    /// `None` until the first snapshot, where the beginning is gone.
    machine: Option<Machine>,
    /// By the record that they were taken after: the segments that carry snapshots.
    snapshots: BTreeMap<u64, u64>,
    outputs: Outputs,
    events: EventLog,
    /// Of the segment under way, those that no record has closed yet.
    candles: BTreeMap<CandleKey, Vec<u8>>,
    /// The index and the record that it is caught up to.
    index: Option<(Index, u64)>,
    report: ReplayReport,
}

impl Replay {
    fn new(segments: &Arc<Segments>, headers: &[Header], index: Option<Index>) -> Result<Self, JournalError> {
        let first = headers[0];
        let mut snapshots = BTreeMap::new();
        for header in headers {
            if let Some(offset) = segments.with(header.first, Segment::snapshot_offset)? {
                snapshots.insert(offset, header.first);
            }
        }
        let fresh = Machine::new();
        let report = ReplayReport {
            epoch: first.epoch,
            segments: headers.len() as u64,
            first_offset: first.first,
            head_offset: first.first - 1,
            records: 0,
            event_head: first.first_event - 1,
            events: 0,
            candles: 0,
            snapshots: snapshots.len() as u64,
            archived_orders: 0,
            engines: BTreeSet::new(),
            state_hash: fresh.state_hash(),
            output_hash: fresh.output_hash(),
        };
        Ok(Self {
            segments: Arc::clone(segments),
            machine: (first.first == 1).then_some(fresh),
            snapshots,
            outputs: Outputs::default(),
            events: EventLog::new(Arc::clone(segments), first.first_event - 1),
            candles: BTreeMap::new(),
            index: index.map(|index| index.offset().map(|offset| (index, offset))).transpose()?,
            report,
        })
    }

    /// The state after record `offset` must be the one of a snapshot taken there; where the beginning
    /// is gone, the first such snapshot is the state.
    fn reach(&mut self, offset: u64, watch: &mut dyn FnMut(Passed<'_>)) -> Result<(), JournalError> {
        let Some(&carrier) = self.snapshots.get(&offset) else { return Ok(()) };
        let found = self.segments.with(carrier, Segment::snapshot).map_err(|e| e.of_record(offset))?;
        let Some((snapshot, wrote)) = found else { return Ok(()) };
        match &self.machine {
            Some(machine) if machine.state_hash() == snapshot.state_hash => {
                watch(Passed::State { offset, machine });
                Ok(())
            }
            Some(_) => {
                let error = JournalError::row("the snapshot", "the records before it make another state");
                Err(error.of_record(offset))
            }
            None => {
                let machine = Machine::decode(snapshot.state_version, &snapshot.bytes)
                    .map_err(|source| JournalError::State { offset, wrote, source })?;
                while self.events.number < machine.event_count() {
                    self.events.next()?;
                }
                watch(Passed::State { offset, machine: &machine });
                self.machine = Some(machine);
                Ok(())
            }
        }
    }

    fn record(&mut self, framed: &Framed, watch: &mut dyn FnMut(Passed<'_>)) -> Result<(), JournalError> {
        let offset = framed.record.offset;
        self.report.records += 1;
        self.report.engines.insert(framed.engine.clone());
        match &mut self.machine {
            Some(machine) => {
                apply(machine, &framed.record, &framed.engine, &mut self.outputs)?;
                self.compare_events(offset).map_err(|e| e.of_record(offset))?;
                self.compare_candles().map_err(|e| e.of_record(offset))?;
                self.compare_orders(offset)?;
                watch(Passed::Record(&framed.record));
            }
            // nothing tells which of the candles these records closed
            None => self.candles.clear(),
        }
        self.reach(offset, watch)
    }

    fn compare_events(&mut self, offset: u64) -> Result<(), JournalError> {
        for made in &self.outputs.events {
            let stored = self.events.next()?;
            let same = *stored.name == *made.name()
                && stored.journal_offset == offset
                && stored.account.as_ref() == made.account()
                && stored.payload.as_bytes() == made.payload();
            if !same {
                let what = format!("event {}", stored.number);
                return Err(JournalError::row(what, "the record makes another event"));
            }
        }
        Ok(())
    }

    fn compare_candles(&mut self) -> Result<(), JournalError> {
        for event in &self.outputs.feed {
            let FeedEvent::CandleClosed { instrument, timeframe, candle } = event else { continue };
            let key = row::candle_key(*instrument, *timeframe, candle.ts);
            let stored = self.candles.remove(&key).map(|row| row::read_candle(key, &row)).transpose()?;
            if stored != Some(*candle) {
                let reason =
                    if stored.is_some() { "the record makes another candle" } else { "it is missing" };
                return Err(JournalError::row(row::candle_name(key), reason));
            }
        }
        Ok(())
    }

    fn compare_orders(&mut self, offset: u64) -> Result<(), JournalError> {
        let Some((index, caught_up)) = &self.index else { return Ok(()) };
        if offset > *caught_up {
            return Ok(());
        }
        for order in &self.outputs.archived {
            if !index.holds(order)? {
                let reason = format!("it does not hold order {} of {}", order.order_id, order.account);
                return Err(JournalError::Index { reason });
            }
            self.report.archived_orders += 1;
        }
        Ok(())
    }

    fn finish(mut self, link: Link) -> Result<ReplayReport, JournalError> {
        if self.events.ahead()?.is_some() {
            let what = format!("event {}", self.events.number + 1);
            return Err(JournalError::row(what, "no stored record made it"));
        }
        if let Some((index, caught_up)) = &self.index {
            let (stated, found) = index.counts()?;
            if stated != found || *caught_up > link.offset {
                let reason = format!("it holds {found} orders up to record {caught_up}, and says {stated}");
                return Err(JournalError::Index { reason });
            }
        }
        let gone =
            || JournalError::Missing { offset: 1, reason: "and no snapshot stands for what is gone".into() };
        let machine = self.machine.ok_or_else(gone)?;
        self.report.head_offset = link.offset;
        self.report.events = self.events.number - self.report.event_head;
        self.report.event_head = self.events.number;
        self.report.state_hash = machine.state_hash();
        self.report.output_hash = machine.output_hash();
        Ok(self.report)
    }
}

/// The stored events in order, read ahead and proved one by one.
struct EventLog {
    segments: Arc<Segments>,
    ahead: VecDeque<(u64, Vec<u8>)>,
    /// The last one that was taken.
    number: u64,
}

impl EventLog {
    fn new(segments: Arc<Segments>, number: u64) -> Self {
        Self { segments, ahead: VecDeque::new(), number }
    }

    fn next(&mut self) -> Result<StoredEvent, JournalError> {
        let number = self.number + 1;
        let missing = |reason: &str| JournalError::row(format!("event {number}"), reason);
        let (found, row) = self.ahead()?.ok_or_else(|| missing("it is missing"))?;
        if *found != number {
            return Err(missing(&format!("the next one that is stored is {found}")));
        }
        let event = row::read_event(number, row)?;
        self.ahead.pop_front();
        self.number = number;
        Ok(event)
    }

    fn ahead(&mut self) -> Result<Option<&(u64, Vec<u8>)>, JournalError> {
        if self.ahead.is_empty() {
            self.ahead.extend(self.segments.events_after(self.number, EVENTS_AHEAD)?);
        }
        Ok(self.ahead.front())
    }
}
