//! `lockstep replay`: proves that everything stored is what was written, and that the machine does
//! the same again. Changes nothing, not even a file's mark of having been closed.

use super::{
    Epoch, Snapshot, StoredEvent,
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
    domain::{
        market::Candle,
        message::{FeedEvent, Outputs},
    },
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

/// Replays a journal from its beginning, or from its oldest usable snapshot where the beginning is gone.
pub fn verify(storage: Arc<dyn Storage>) -> Result<ReplayReport, JournalError> {
    // closing a damaged file may panic too
    guarded("the journal", || verify_unguarded(storage))
}

fn verify_unguarded(storage: Arc<dyn Storage>) -> Result<ReplayReport, JournalError> {
    let storage: Arc<dyn Storage> = Arc::new(ReadOnly(storage));
    let segments = Arc::new(Segments::open(Arc::clone(&storage))?);
    let headers = segments.headers()?;
    let first = *headers.first().ok_or(JournalError::Absent)?;
    let mut link = Link { offset: first.first - 1, chain: first.chain, output: first.output };
    let mut replay = Replay::new(&segments, &headers, open_index(&*storage, first.epoch)?)?;
    replay.reach(link.offset)?;
    for header in &headers {
        replay.candles = segments.with(header.first, Segment::all_candles)?.into_iter().collect();
        replay.report.candles += replay.candles.len() as u64;
        walk(&segments, header, &mut link, |framed| replay.record(framed))?;
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

/// The replay under way.
struct Replay {
    /// `None` until the first snapshot, where the beginning is gone.
    machine: Option<Machine>,
    /// The snapshot that stands for what is gone.
    start: Option<(Snapshot, String)>,
    /// What the snapshots say: state hash by offset.
    snapshots: BTreeMap<u64, Hash>,
    outputs: Outputs,
    events: EventLog,
    /// Of the segment under way, those that no record has closed yet.
    candles: BTreeMap<CandleKey, Candle>,
    /// The index and the record that it is caught up to.
    index: Option<(Index, u64)>,
    report: ReplayReport,
}

impl Replay {
    fn new(segments: &Arc<Segments>, headers: &[Header], index: Option<Index>) -> Result<Self, JournalError> {
        let first = headers[0];
        let genesis = (first.first == 1).then(Machine::new);
        let mut snapshots = BTreeMap::new();
        let mut start = None;
        for header in headers {
            let Some((snapshot, engine)) = segments.with(header.first, Segment::snapshot)? else { continue };
            snapshots.insert(snapshot.offset, snapshot.state_hash);
            if genesis.is_none() && start.is_none() && snapshot.offset + 1 >= first.first {
                start = Some((snapshot, engine));
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
            machine: genesis,
            start,
            snapshots,
            outputs: Outputs::default(),
            events: EventLog::new(Arc::clone(segments), first.first_event - 1),
            candles: BTreeMap::new(),
            index: index.map(|index| index.offset().map(|offset| (index, offset))).transpose()?,
            report,
        })
    }

    /// The state after record `offset` must be the one that a snapshot there says.
    fn reach(&mut self, offset: u64) -> Result<(), JournalError> {
        if let Some((snapshot, engine)) = self.start.take_if(|(snapshot, _)| snapshot.offset == offset) {
            let machine = Machine::decode(snapshot.state_version, &snapshot.bytes)
                .map_err(|source| JournalError::State { offset, wrote: engine, source })?;
            self.machine = Some(machine);
        }
        let (Some(machine), Some(stated)) = (&self.machine, self.snapshots.get(&offset)) else {
            return Ok(());
        };
        if machine.state_hash() == *stated {
            return Ok(());
        }
        let what = format!("the snapshot at journal record {offset}");
        Err(JournalError::row(what, "the records before it make another state"))
    }

    fn record(&mut self, framed: &Framed) -> Result<(), JournalError> {
        let offset = framed.record.offset;
        self.report.records += 1;
        self.report.engines.insert(framed.engine.clone());
        let stored = self.events.take(offset)?;
        if let Some(machine) = &mut self.machine {
            apply(machine, &framed.record, &framed.engine, &mut self.outputs)?;
            self.compare_events(offset, &stored)?;
            self.compare_orders(offset)?;
        }
        self.compare_candles()?;
        self.reach(offset)
    }

    fn compare_events(&self, offset: u64, stored: &[StoredEvent]) -> Result<(), JournalError> {
        let made = &self.outputs.events;
        let other = stored.iter().zip(made).find(|(stored, made)| {
            *stored.name != *made.name()
                || stored.account.as_ref() != made.account()
                || stored.payload.as_bytes() != made.payload()
        });
        if let Some((stored, _)) = other {
            let what = format!("event {} of journal record {offset}", stored.number);
            return Err(JournalError::row(what, "the record makes another event"));
        }
        if stored.len() == made.len() {
            return Ok(());
        }
        let reason = format!("{} are stored, the record makes {}", stored.len(), made.len());
        Err(JournalError::row(format!("the events of journal record {offset}"), reason))
    }

    fn compare_candles(&mut self) -> Result<(), JournalError> {
        if self.machine.is_none() {
            self.candles.clear();
        }
        for event in &self.outputs.feed {
            let FeedEvent::CandleClosed { instrument, timeframe, candle } = event else { continue };
            let key = row::candle_key(*instrument, *timeframe, candle.ts);
            if self.candles.remove(&key).as_ref() != Some(candle) {
                return Err(JournalError::row(row::candle_name(key), "the records make another candle"));
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
        if let Some(stray) = self.events.next()? {
            return Err(JournalError::row(format!("event {}", stray.number), "no stored record made it"));
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
        self.report.events = self.events.taken;
        self.report.event_head += self.events.taken;
        self.report.state_hash = machine.state_hash();
        self.report.output_hash = machine.output_hash();
        Ok(self.report)
    }
}

/// The stored events in order, read ahead.
struct EventLog {
    segments: Arc<Segments>,
    ahead: VecDeque<StoredEvent>,
    /// The last one that was read.
    number: u64,
    taken: u64,
}

impl EventLog {
    fn new(segments: Arc<Segments>, number: u64) -> Self {
        Self { segments, ahead: VecDeque::new(), number, taken: 0 }
    }

    /// The events of a record.
    fn take(&mut self, offset: u64) -> Result<Vec<StoredEvent>, JournalError> {
        let mut found = Vec::new();
        while self.next()?.is_some_and(|event| event.journal_offset <= offset) {
            found.extend(self.ahead.pop_front());
            self.taken += 1;
        }
        match found.iter().find(|event| event.journal_offset != offset) {
            Some(stray) => {
                Err(JournalError::row(format!("event {}", stray.number), "its record did not make it"))
            }
            None => Ok(found),
        }
    }

    fn next(&mut self) -> Result<Option<&StoredEvent>, JournalError> {
        if self.ahead.is_empty() {
            for event in self.segments.events_after(self.number, EVENTS_AHEAD)? {
                self.number += 1;
                if event.number != self.number {
                    let reason = format!("the next one that is stored is {}", event.number);
                    return Err(JournalError::row(format!("event {}", self.number), reason));
                }
                self.ahead.push_back(event);
            }
        }
        Ok(self.ahead.front())
    }
}
