//! One redb file: a run of records with their events and candles, and the snapshot it began with.

use super::{
    Epoch, FORMAT_VERSION, Snapshot,
    backend::{self, Direct},
    error::JournalError,
    row::{self, CandleKey},
};
use crate::{
    domain::{
        instrument::InstrumentId,
        market::{Candle, Timeframe},
        time::UnixNanos,
    },
    machine::Hash,
    node::services::Storage,
};
use minicbor::{CborLen, Decode, Encode, bytes::ByteSlice};
use redb::{
    Database, Durability, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, TableError,
    WriteTransaction,
};
use std::{
    cell::Cell,
    io,
    ops::{ControlFlow, RangeInclusive},
    panic::{self, AssertUnwindSafe, catch_unwind},
};

pub(super) const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
pub(super) const RECORDS: TableDefinition<u64, &[u8]> = TableDefinition::new("records");
pub(super) const EVENTS: TableDefinition<u64, &[u8]> = TableDefinition::new("events");
pub(super) const CANDLES: TableDefinition<CandleKey, &[u8]> = TableDefinition::new("candles");
pub(super) const SNAPSHOT: TableDefinition<u64, &[u8]> = TableDefinition::new("snapshot");

const META_ROW: &str = "segment";
const NEXT_ROW: &str = "next";

/// Memory for the pages of one file.
const CACHE_BYTES: usize = 2 << 20;

/// The name of the segment that begins with a record.
pub(super) fn name_of(first: u64) -> String {
    format!("journal-{first:020}.redb")
}

/// The first record of the segment of that name, if it is a segment's.
pub(super) fn first_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("journal-")?.strip_suffix(".redb")?;
    let first = digits.parse().ok()?;
    (name_of(first) == name).then_some(first)
}

/// What a segment says about its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub epoch: Epoch,
    /// The first record it can hold.
    pub first: u64,
    /// The first event it can hold.
    pub first_event: u64,
    /// The chain hash before `first`.
    pub chain: Hash,
    /// The output hash before `first`.
    pub output: Hash,
}

#[derive(Encode, Decode, CborLen)]
#[cbor(array)]
struct HeaderRow<'a> {
    #[n(0)]
    format: u32,
    #[n(1)]
    epoch: u64,
    #[n(2)]
    first: u64,
    #[n(3)]
    first_event: u64,
    #[b(4)]
    chain: &'a ByteSlice,
    #[b(5)]
    output: &'a ByteSlice,
}

/// Rows of one commit, framed and sealed.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub records: Vec<(u64, Vec<u8>)>,
    pub events: Vec<(u64, Vec<u8>)>,
    pub candles: Vec<(CandleKey, Vec<u8>)>,
}

/// An open segment.
#[derive(Debug)]
pub(super) struct Segment {
    name: String,
    header: Header,
    database: Database,
}

impl Segment {
    /// Begins a segment in one transaction, with the snapshot that it carries.
    pub fn create(
        storage: &dyn Storage,
        header: Header,
        snapshot: Option<(&Snapshot, &str)>,
    ) -> Result<Self, JournalError> {
        let name = name_of(header.first);
        let database = open_database(storage, &name)?;
        let segment = Self { name, header, database };
        segment.write(|tx| {
            let content = row::encode(&HeaderRow {
                format: FORMAT_VERSION,
                epoch: header.epoch.0,
                first: header.first,
                first_event: header.first_event,
                chain: header.chain.as_bytes().as_slice().into(),
                output: header.output.as_bytes().as_slice().into(),
            });
            tx.open_table(META)?.insert(META_ROW, row::seal(META_ROW.as_bytes(), &content).as_slice())?;
            tx.open_table(RECORDS)?;
            tx.open_table(EVENTS)?;
            tx.open_table(CANDLES)?;
            let mut snapshots = tx.open_table(SNAPSHOT)?;
            if let Some((snapshot, engine)) = snapshot {
                snapshots.insert(snapshot.offset, row::snapshot(snapshot, engine).as_slice())?;
            }
            Ok(())
        })?;
        Ok(segment)
    }

    /// Opens a segment that exists; `None` if it was begun and nothing was committed.
    pub fn open(storage: &dyn Storage, name: &str) -> Result<Option<Self>, JournalError> {
        guarded(name, || Self::open_unguarded(storage, name))
    }

    fn open_unguarded(storage: &dyn Storage, name: &str) -> Result<Option<Self>, JournalError> {
        let database = open_database(storage, name)?;
        let damaged = |reason: &str| JournalError::row(format!("the header of {name}"), reason);
        let tx = database.begin_read().map_err(|e| JournalError::storage(name, e))?;
        let Some(meta) = table(name, tx.open_table(META))? else { return Ok(None) };
        let guard = meta.get(META_ROW).map_err(|e| JournalError::storage(name, e))?;
        let guard = guard.ok_or_else(|| damaged("it is missing"))?;
        let content = row::unseal(META_ROW.as_bytes(), guard.value())
            .ok_or_else(|| damaged("its checksum does not match"))?;
        let stored: HeaderRow = row::decode(content).map_err(|reason| damaged(&reason))?;
        if stored.format != FORMAT_VERSION {
            let (expected, found) = (FORMAT_VERSION, stored.format);
            return Err(JournalError::Format { name: name.to_owned(), expected, found });
        }
        let hash = |bytes| row::hash(bytes).ok_or_else(|| damaged("a hash is not 32 bytes"));
        let header = Header {
            epoch: Epoch(stored.epoch),
            first: stored.first,
            first_event: stored.first_event,
            chain: hash(stored.chain)?,
            output: hash(stored.output)?,
        };
        if name_of(header.first) != name {
            return Err(damaged("the file bears another segment's name"));
        }
        drop((guard, meta, tx));
        Ok(Some(Self { name: name.to_owned(), header, database }))
    }

    /// Where it begins.
    pub const fn header(&self) -> Header {
        self.header
    }

    /// Its file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Stores the rows of one commit, durably. A table without new rows is not opened: it would be written anew
    /// all the same.
    pub fn append(&self, rows: &Rows) -> Result<(), JournalError> {
        self.write(|tx| {
            insert(tx, RECORDS, &rows.records)?;
            insert(tx, EVENTS, &rows.events)?;
            insert(tx, CANDLES, &rows.candles)
        })
    }

    /// Replaces the snapshot; only while the segment holds no record.
    pub fn replace_snapshot(&self, snapshot: &Snapshot, engine: &str) -> Result<(), JournalError> {
        self.write(|tx| {
            let mut snapshots = tx.open_table(SNAPSHOT)?;
            snapshots.retain(|_, _| false)?;
            snapshots.insert(snapshot.offset, row::snapshot(snapshot, engine).as_slice())?;
            Ok(())
        })
    }

    /// Notes that the segment beginning with `next` is durable, so that its loss is noticed.
    pub fn note_next(&self, next: u64) -> Result<(), JournalError> {
        let bytes = row::seal(NEXT_ROW.as_bytes(), &next.to_be_bytes());
        self.write(|tx| {
            tx.open_table(META)?.insert(NEXT_ROW, bytes.as_slice())?;
            Ok(())
        })
    }

    /// The segment that is known to follow.
    pub fn next(&self) -> Result<Option<u64>, JournalError> {
        self.read(META, |meta| {
            let Some(guard) = meta.get(NEXT_ROW).map_err(|e| self.failed(e))? else { return Ok(None) };
            row::unseal(NEXT_ROW.as_bytes(), guard.value())
                .and_then(|content| content.try_into().ok())
                .map(|bytes| Some(u64::from_be_bytes(bytes)))
                .ok_or_else(|| {
                    JournalError::row(format!("the end of {}", self.name), "its checksum does not match")
                })
        })
    }

    /// The last event's number; the one before the segment if it holds none.
    pub fn last_event(&self) -> Result<u64, JournalError> {
        let last =
            self.read(EVENTS, |t| Ok(t.last().map_err(|e| self.failed(e))?.map(|(k, _)| k.value())))?;
        Ok(last.unwrap_or(self.header.first_event - 1))
    }

    /// Up to `limit` stored records from `from` on.
    pub fn records(&self, from: u64, limit: usize) -> Result<Vec<(u64, Vec<u8>)>, JournalError> {
        self.read(RECORDS, |t| {
            let mut found = Vec::new();
            for row in t.range(from..).map_err(|e| self.unreadable(from, e))?.take(limit) {
                let next = found.last().map_or(from, |(offset, _)| offset + 1);
                let (key, value) = row.map_err(|e| self.unreadable(next, e))?;
                found.push((key.value(), value.value().to_vec()));
            }
            Ok(found)
        })
    }

    /// Visits the stored records from the newest on, until the visitor breaks.
    pub fn records_from_newest(
        &self,
        mut visit: impl FnMut(u64, &[u8]) -> Result<ControlFlow<()>, JournalError>,
    ) -> Result<ControlFlow<()>, JournalError> {
        self.read(RECORDS, |t| {
            for row in t.iter().map_err(|e| self.failed(e))?.rev() {
                let (key, value) = row.map_err(|e| self.failed(e))?;
                if visit(key.value(), value.value())?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            Ok(ControlFlow::Continue(()))
        })
    }

    /// Up to `limit` stored events from number `from` on.
    pub fn events(&self, from: u64, limit: usize) -> Result<Vec<(u64, Vec<u8>)>, JournalError> {
        self.read(EVENTS, |t| {
            t.range(from..)
                .map_err(|e| self.failed(e))?
                .take(limit)
                .map(|row| row.map(|(k, v)| (k.value(), v.value().to_vec())).map_err(|e| self.failed(e)))
                .collect()
        })
    }

    /// The newest `limit` candles that open within the range, newest first.
    pub fn candles(
        &self,
        instrument: InstrumentId,
        timeframe: Timeframe,
        range: RangeInclusive<UnixNanos>,
        limit: usize,
    ) -> Result<Vec<Candle>, JournalError> {
        let from = row::candle_key(instrument, timeframe, *range.start());
        let to = row::candle_key(instrument, timeframe, *range.end());
        self.read(CANDLES, |t| {
            t.range(from..=to)
                .map_err(|e| self.failed(e))?
                .rev()
                .take(limit)
                .map(|row| {
                    let (key, value) = row.map_err(|e| self.failed(e))?;
                    row::read_candle(key.value(), value.value())
                })
                .collect()
        })
    }

    /// Every stored candle, in the keys' order.
    pub fn all_candles(&self) -> Result<Vec<(CandleKey, Vec<u8>)>, JournalError> {
        self.read(CANDLES, |t| {
            t.iter()
                .map_err(|e| self.failed(e))?
                .map(|row| row.map(|(k, v)| (k.value(), v.value().to_vec())).map_err(|e| self.failed(e)))
                .collect()
        })
    }

    /// The record after which the snapshot that it carries was taken.
    pub fn snapshot_offset(&self) -> Result<Option<u64>, JournalError> {
        self.read(SNAPSHOT, |t| Ok(t.last().map_err(|e| self.failed(e))?.map(|(key, _)| key.value())))
    }

    /// The snapshot that it carries, and the engine that wrote it.
    pub fn snapshot(&self) -> Result<Option<(Snapshot, String)>, JournalError> {
        self.read(SNAPSHOT, |t| {
            let Some((key, value)) = t.last().map_err(|e| self.failed(e))? else { return Ok(None) };
            row::read_snapshot(key.value(), value.value()).map(Some)
        })
    }

    fn write(
        &self,
        work: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<(), JournalError> {
        write(&self.name, &self.database, work)
    }

    fn read<K: redb::Key + 'static, T>(
        &self,
        definition: TableDefinition<K, &'static [u8]>,
        work: impl FnOnce(&redb::ReadOnlyTable<K, &'static [u8]>) -> Result<T, JournalError>,
    ) -> Result<T, JournalError> {
        let tx = read(&self.name, &self.database)?;
        match table(&self.name, tx.open_table(definition))? {
            Some(table) => work(&table),
            None => Err(JournalError::row(&self.name, "a table is missing")),
        }
    }

    fn failed(&self, error: redb::StorageError) -> JournalError {
        JournalError::storage(&self.name, error)
    }

    fn unreadable(&self, offset: u64, error: redb::StorageError) -> JournalError {
        match error {
            redb::StorageError::Corrupted(reason) => JournalError::record(offset, reason),
            other => self.failed(other),
        }
    }
}

/// Inserts rows into a table.
fn insert<K: redb::Key + 'static>(
    tx: &WriteTransaction,
    table: TableDefinition<K, &'static [u8]>,
    rows: &[(K, Vec<u8>)],
) -> Result<(), redb::Error>
where
    for<'a> &'a K: std::borrow::Borrow<K::SelfType<'a>>,
{
    if rows.is_empty() {
        return Ok(());
    }
    let mut table = tx.open_table(table)?;
    for (key, bytes) in rows {
        table.insert(key, bytes.as_slice())?;
    }
    Ok(())
}

/// Opens a database; a damaged file is an error, also where redb panics over it.
pub(super) fn open_database(storage: &dyn Storage, name: &str) -> Result<Database, JournalError> {
    let backend = storage.open(name).map_err(|source| match source.kind() {
        io::ErrorKind::WouldBlock => JournalError::InUse { name: name.to_owned() },
        _ => JournalError::io(name, source),
    })?;
    backend::empty_if_unborn(&*backend).map_err(|e| JournalError::io(name, e))?;
    guarded(name, || {
        redb::Builder::new()
            .set_cache_size(CACHE_BYTES)
            .create_with_backend(Direct(backend))
            .map_err(|e| JournalError::opening(name, e))
    })
}

thread_local! {
    /// Whether a panic of this thread will become an error.
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Lets no panic print a backtrace that becomes an error, which says it in words. For the process to
/// call once.
pub fn silence_guarded_panics() {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        if !GUARDED.get() {
            hook(panic);
        }
    }));
}

/// Runs work on a file that may be damaged. redb asserts what a file that it wrote must satisfy; a
/// page that something else altered can violate that, so a panic here says: unreadable.
pub(super) fn guarded<T>(
    name: &str,
    work: impl FnOnce() -> Result<T, JournalError>,
) -> Result<T, JournalError> {
    let outer = GUARDED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(outer);
    result.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let reason =
            text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("its pages are damaged");
        let reason = reason.lines().next().unwrap_or_default().to_owned();
        Err(JournalError::Unreadable { name: name.to_owned(), reason })
    })
}

/// One durable transaction.
///
/// Quick repair costs a second sync per commit and buys two things: opening after a crash does not
/// walk the file, and a page that was altered afterwards is not taken for a torn write, which would
/// silently roll back a commit that was acknowledged.
pub(super) fn write(
    name: &str,
    database: &Database,
    work: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>,
) -> Result<(), JournalError> {
    let mut tx = database.begin_write().map_err(|e| JournalError::storage(name, e))?;
    tx.set_durability(Durability::Immediate).map_err(|e| JournalError::storage(name, e))?;
    tx.set_quick_repair(true);
    work(&tx).map_err(|e| JournalError::storage(name, e))?;
    tx.commit().map_err(|e| JournalError::storage(name, e))
}

/// A view of what is committed.
pub(super) fn read(name: &str, database: &Database) -> Result<ReadTransaction, JournalError> {
    database.begin_read().map_err(|e| JournalError::storage(name, e))
}

/// A table that may not exist yet.
pub(super) fn table<T>(name: &str, opened: Result<T, TableError>) -> Result<Option<T>, JournalError> {
    match opened {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(JournalError::storage(name, error)),
    }
}
