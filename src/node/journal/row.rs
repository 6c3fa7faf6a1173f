//! Rows that are not records: a checksum over key and content, then the content in numbered fields.

use super::{Snapshot, StoredEvent, error::JournalError};
use crate::{
    domain::{
        id::AccountId,
        instrument::{InstrumentId, Price},
        market::{Candle, Timeframe},
        time::UnixNanos,
    },
    machine::Hash,
};
use minicbor::{CborLen, Decode, Encode, bytes::ByteSlice};

const CRC: usize = 4;

/// Checksum and content; the key is covered, so that a row under another key is not believed.
pub(super) fn seal(key: &[u8], content: &[u8]) -> Vec<u8> {
    let mut row = Vec::with_capacity(CRC + content.len());
    row.extend_from_slice(&checksum(key, content).to_le_bytes());
    row.extend_from_slice(content);
    row
}

/// The content, if key and content are what was sealed.
pub(super) fn unseal<'r>(key: &[u8], row: &'r [u8]) -> Option<&'r [u8]> {
    let (crc, content) = row.split_first_chunk::<CRC>()?;
    (u32::from_le_bytes(*crc) == checksum(key, content)).then_some(content)
}

fn checksum(key: &[u8], content: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(key), content)
}

/// Canonical bytes of a value.
pub(super) fn encode<T: Encode<()> + CborLen<()>>(value: &T) -> Vec<u8> {
    minicbor::to_vec(value).expect("writing to memory does not fail")
}

/// Reads what `encode` wrote and nothing else: unknown fields, trailing bytes and other spellings of
/// the same value are refused, because the value's own bytes would differ.
pub(super) fn decode<'b, T>(bytes: &'b [u8]) -> Result<T, String>
where
    T: Decode<'b, ()> + Encode<()> + CborLen<()>,
{
    let value: T = minicbor::decode(bytes).map_err(|e| e.to_string())?;
    if encode(&value) == bytes {
        Ok(value)
    } else {
        Err("it holds fields that this version does not know".into())
    }
}

#[derive(Encode, Decode, CborLen)]
#[cbor(array)]
struct EventRow<'a> {
    #[n(0)]
    journal_offset: u64,
    #[n(1)]
    ts: i64,
    #[b(2)]
    name: &'a str,
    #[b(3)]
    account: Option<&'a str>,
    #[b(4)]
    payload: &'a str,
}

/// The stored form of an event.
pub(super) fn event(event: &StoredEvent) -> Vec<u8> {
    let row = EventRow {
        journal_offset: event.journal_offset,
        ts: event.ts.0,
        name: &event.name,
        account: event.account.as_ref().map(AccountId::as_str),
        payload: &event.payload,
    };
    seal(&event.number.to_be_bytes(), &encode(&row))
}

/// The event of a stored row.
pub(super) fn read_event(number: u64, row: &[u8]) -> Result<StoredEvent, JournalError> {
    let damaged = |reason: &str| JournalError::row(format!("event {number}"), reason);
    let content = unseal(&number.to_be_bytes(), row).ok_or_else(|| damaged("its checksum does not match"))?;
    let row: EventRow = decode(content).map_err(|reason| damaged(&reason))?;
    let account = row.account.map(AccountId::new).transpose().map_err(|e| damaged(&e.to_string()))?;
    Ok(StoredEvent {
        number,
        journal_offset: row.journal_offset,
        ts: UnixNanos(row.ts),
        name: row.name.into(),
        account,
        payload: row.payload.into(),
    })
}

#[derive(Encode, Decode, CborLen)]
#[cbor(array)]
struct CandleRow {
    #[n(0)]
    open: i64,
    #[n(1)]
    high: i64,
    #[n(2)]
    low: i64,
    #[n(3)]
    close: i64,
    #[n(4)]
    ticks: u64,
    #[n(5)]
    spread: i64,
}

/// A candle's key: instrument, timeframe's place in `Timeframe::ALL`, opening instant.
pub(super) type CandleKey = (u16, u8, i64);

/// The key of a candle.
pub(super) fn candle_key(instrument: InstrumentId, timeframe: Timeframe, ts: UnixNanos) -> CandleKey {
    let place = u8::try_from(timeframe.index()).expect("there are eight timeframes");
    (instrument.0, place, ts.0)
}

/// A candle in words.
pub(super) fn candle_name(key: CandleKey) -> String {
    let name = Timeframe::ALL.get(usize::from(key.1)).map_or("unknown", |t| t.name());
    format!("the {name} candle of instrument {} at {}", key.0, UnixNanos(key.2))
}

fn candle_key_bytes(key: CandleKey) -> [u8; 11] {
    let mut bytes = [0; 11];
    bytes[..2].copy_from_slice(&key.0.to_be_bytes());
    bytes[2] = key.1;
    bytes[3..].copy_from_slice(&key.2.to_be_bytes());
    bytes
}

/// The stored form of a candle.
pub(super) fn candle(key: CandleKey, candle: &Candle) -> Vec<u8> {
    let row = CandleRow {
        open: candle.open.0,
        high: candle.high.0,
        low: candle.low.0,
        close: candle.close.0,
        ticks: candle.ticks,
        spread: candle.spread,
    };
    seal(&candle_key_bytes(key), &encode(&row))
}

/// The candle of a stored row.
pub(super) fn read_candle(key: CandleKey, row: &[u8]) -> Result<Candle, JournalError> {
    let damaged = |reason: &str| JournalError::row(candle_name(key), reason);
    let content =
        unseal(&candle_key_bytes(key), row).ok_or_else(|| damaged("its checksum does not match"))?;
    let row: CandleRow = decode(content).map_err(|reason| damaged(&reason))?;
    Ok(Candle {
        ts: UnixNanos(key.2),
        open: Price(row.open),
        high: Price(row.high),
        low: Price(row.low),
        close: Price(row.close),
        ticks: row.ticks,
        spread: row.spread,
    })
}

#[derive(Encode, Decode, CborLen)]
#[cbor(array)]
struct SnapshotRow<'a> {
    #[n(0)]
    state_version: u32,
    #[b(1)]
    engine: &'a str,
    #[b(2)]
    state_hash: &'a ByteSlice,
    #[b(3)]
    bytes: &'a ByteSlice,
}

/// The stored form of a snapshot.
pub(super) fn snapshot(snapshot: &Snapshot, engine: &str) -> Vec<u8> {
    let row = SnapshotRow {
        state_version: snapshot.state_version,
        engine,
        state_hash: snapshot.state_hash.as_bytes().as_slice().into(),
        bytes: snapshot.bytes.as_slice().into(),
    };
    seal(&snapshot.offset.to_be_bytes(), &encode(&row))
}

/// The snapshot of a stored row, and the engine that wrote it.
pub(super) fn read_snapshot(offset: u64, row: &[u8]) -> Result<(Snapshot, String), JournalError> {
    let damaged = |reason: &str| JournalError::row("the snapshot", reason).of_record(offset);
    let content = unseal(&offset.to_be_bytes(), row).ok_or_else(|| damaged("its checksum does not match"))?;
    let row: SnapshotRow = decode(content).map_err(|reason| damaged(&reason))?;
    let state_hash = hash(row.state_hash).ok_or_else(|| damaged("its hash is not 32 bytes"))?;
    if blake3::hash(row.bytes) != state_hash {
        return Err(damaged("its hash does not match its bytes"));
    }
    let snapshot =
        Snapshot { offset, state_version: row.state_version, state_hash, bytes: row.bytes.to_vec() };
    Ok((snapshot, row.engine.to_owned()))
}

/// 32 bytes as a hash.
pub(super) fn hash(bytes: &[u8]) -> Option<Hash> {
    <[u8; 32]>::try_from(bytes).ok().map(Hash::from)
}
