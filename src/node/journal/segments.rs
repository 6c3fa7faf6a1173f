//! All segments of a journal: which exist, and a bounded number of them open.

use super::{
    backend::ReadOnly,
    error::JournalError,
    segment::{self, Header, Segment},
};
use crate::node::services::Storage;
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

/// Segments that are open at a time, the newest included.
const OPEN_AT_MOST: usize = 8;

/// The set of segments. Readers and the writer share it; closing it waits for whoever reads.
#[derive(Debug)]
pub(super) struct Segments {
    storage: Arc<dyn Storage>,
    /// The same, for the segments that are complete: nothing writes to them again.
    complete: ReadOnly,
    /// The last segment's first record, if nothing was committed to it.
    begun: Option<u64>,
    state: RwLock<State>,
    /// Held while an older segment is being opened, so that it is opened once.
    opening: Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    closed: bool,
    /// Ascending; empty until the journal is created.
    headers: Vec<Header>,
    newest: Option<Segment>,
    /// Older ones, the least recently opened in front.
    older: VecDeque<Segment>,
}

impl Segments {
    /// Opens the newest segment, which keeps other processes away, and reads where each of the others
    /// begins. A last segment that was begun and never committed does not count.
    pub fn open(storage: Arc<dyn Storage>) -> Result<Self, JournalError> {
        let complete = ReadOnly(Arc::clone(&storage));
        let mut firsts = list(&*storage)?;
        let mut newest = None;
        let mut begun = None;
        if let Some(last) = firsts.pop() {
            match Segment::open(&*storage, &segment::name_of(last))? {
                Some(segment) => newest = Some(segment),
                None => begun = Some(last),
            }
        }
        if newest.is_none() {
            newest = firsts.pop().map(|first| expect(&*storage, first)).transpose()?;
        }
        let mut headers = Vec::with_capacity(firsts.len() + 1);
        let mut follows = None;
        for &first in &firsts {
            check_follows(follows, Some(first), begun)?;
            let segment = expect(&complete, first)?;
            follows = segment.next()?;
            headers.push(segment.header());
        }
        if let Some(segment) = &newest {
            check_follows(follows, Some(segment.header().first), begun)?;
            check_follows(segment.next()?, None, begun)?;
            headers.push(segment.header());
        }
        if let Some(foreign) = headers.iter().find(|h| h.epoch != headers[0].epoch) {
            let (expected, found) = (headers[0].epoch, foreign.epoch);
            return Err(JournalError::Foreign { name: segment::name_of(foreign.first), expected, found });
        }
        let state = State { closed: false, headers, newest, older: VecDeque::new() };
        Ok(Self { storage, complete, begun, state: RwLock::new(state), opening: Mutex::new(()) })
    }

    /// Removes what a crash left of a segment that was begun.
    pub fn discard_begun(&self) -> Result<(), JournalError> {
        let Some(first) = self.begun else { return Ok(()) };
        let name = segment::name_of(first);
        self.storage.remove(&name).map_err(|e| JournalError::io(&name, e))
    }

    /// Where each begins, ascending.
    pub fn headers(&self) -> Result<Vec<Header>, JournalError> {
        Ok(self.reading()?.headers.clone())
    }

    /// Begins a segment with what the closure creates, and makes it the newest.
    pub fn begin(
        &self,
        create: impl FnOnce(&dyn Storage) -> Result<Segment, JournalError>,
    ) -> Result<(), JournalError> {
        let created = create(&*self.storage)?;
        let mut state = self.writing()?;
        if let Some(last) = state.newest.take() {
            last.note_next(created.header().first)?;
            state.older.push_back(last);
        }
        state.headers.push(created.header());
        state.newest = Some(created);
        trim(&mut state);
        Ok(())
    }

    /// Works on the newest segment.
    pub fn newest<T>(
        &self,
        work: impl FnOnce(&Segment) -> Result<T, JournalError>,
    ) -> Result<T, JournalError> {
        let state = self.reading()?;
        work(state.newest.as_ref().ok_or(JournalError::Absent)?)
    }

    /// Works on the segment that begins with `first`.
    pub fn with<T>(
        &self,
        first: u64,
        mut work: impl FnMut(&Segment) -> Result<T, JournalError>,
    ) -> Result<T, JournalError> {
        loop {
            let state = self.reading()?;
            let open = state.newest.iter().chain(&state.older).find(|s| s.header().first == first);
            if let Some(segment) = open {
                return segment::guarded(segment.name(), || work(segment));
            }
            drop(state);
            self.open_older(first)?;
        }
    }

    /// Up to `limit` stored events after the one of that number, in order.
    pub fn events_after(&self, number: u64, limit: usize) -> Result<Vec<(u64, Vec<u8>)>, JournalError> {
        let headers = self.headers()?;
        let mut next = number.saturating_add(1);
        let holding = headers.partition_point(|h| h.first_event <= next).saturating_sub(1);
        let mut found: Vec<(u64, Vec<u8>)> = Vec::new();
        for header in &headers[holding..] {
            if found.len() >= limit {
                break;
            }
            found.extend(self.with(header.first, |s| s.events(next, limit - found.len()))?);
            next = found.last().map_or(next, |(number, _)| number + 1);
        }
        Ok(found)
    }

    /// Closes every file. Whoever still holds this set gets `Closed`.
    pub fn close(&self) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        *state = State { closed: true, ..State::default() };
    }

    fn open_older(&self, first: u64) -> Result<(), JournalError> {
        let _one_at_a_time = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        if self.reading()?.older.iter().any(|s| s.header().first == first) {
            return Ok(());
        }
        let segment = expect(&self.complete, first)?;
        let mut state = self.writing()?;
        state.older.push_back(segment);
        trim(&mut state);
        Ok(())
    }

    fn reading(&self) -> Result<RwLockReadGuard<'_, State>, JournalError> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        if state.closed { Err(JournalError::Closed) } else { Ok(state) }
    }

    fn writing(&self) -> Result<RwLockWriteGuard<'_, State>, JournalError> {
        let state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if state.closed { Err(JournalError::Closed) } else { Ok(state) }
    }
}

/// The first records of the segments that exist, ascending.
pub(super) fn list(storage: &dyn Storage) -> Result<Vec<u64>, JournalError> {
    let names = storage.list().map_err(|e| JournalError::io("the data directory", e))?;
    let mut firsts: Vec<u64> = names.iter().filter_map(|name| segment::first_of(name)).collect();
    firsts.sort_unstable();
    Ok(firsts)
}

/// A segment that the one before says was begun must be there.
fn check_follows(noted: Option<u64>, found: Option<u64>, begun: Option<u64>) -> Result<(), JournalError> {
    match noted {
        Some(next) if found != Some(next) => {
            let state = if begun == Some(next) { "is empty" } else { "is gone" };
            let reason = format!("{}, which began with it, {state}", segment::name_of(next));
            Err(JournalError::Missing { offset: next, reason })
        }
        _ => Ok(()),
    }
}

/// Opens a segment that a later one proves to have been written.
pub(super) fn expect(storage: &dyn Storage, first: u64) -> Result<Segment, JournalError> {
    let name = segment::name_of(first);
    Segment::open(storage, &name)?
        .ok_or_else(|| JournalError::Missing { offset: first, reason: format!("{name} is empty") })
}

fn trim(state: &mut State) {
    while state.older.len() >= OPEN_AT_MOST {
        state.older.pop_front();
    }
}
