//! The frame of a record: a checksum, a hash chained to the record before, and the body.

use super::{Record, error::JournalError, row, v1};
use crate::{
    domain::{message::Input, time::UnixNanos},
    machine::Hash,
};
use minicbor::{CborLen, Decode, Encode, bytes::ByteSlice};

const CRC: usize = 4;
const CHAIN: usize = 32;

/// Where a chain of records stands: after `offset`, with that record's chain hash and the output hash
/// that was true after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Link {
    pub offset: u64,
    pub chain: Hash,
    pub output: Hash,
}

impl Link {
    /// Before the first record: nothing, and what a machine that has done nothing says.
    pub fn genesis(output: Hash) -> Self {
        Self { offset: 0, chain: blake3::hash(b"lockstep journal"), output }
    }
}

#[derive(Encode, Decode, CborLen)]
#[cbor(array)]
struct Body<'a> {
    #[n(0)]
    kind: u8,
    /// Of the payload's layout.
    #[n(1)]
    version: u8,
    #[b(2)]
    engine: &'a str,
    #[n(3)]
    now: i64,
    /// The output hash; absent if the record changed nothing about it.
    #[b(4)]
    output: Option<&'a ByteSlice>,
    #[b(5)]
    payload: &'a ByteSlice,
}

/// A record read back, with the engine that wrote it.
#[derive(Debug)]
pub(super) struct Framed {
    pub record: Record,
    pub engine: String,
}

/// Frames the next record, and moves the link onto it.
pub(super) fn frame(record: &Record, engine: &str, link: &mut Link) -> Vec<u8> {
    let (kind, payload) = v1::encode(&record.input);
    let changed = record.output_hash != link.output;
    let body = row::encode(&Body {
        kind,
        version: v1::VERSION,
        engine,
        now: record.now.0,
        output: changed.then(|| record.output_hash.as_bytes().as_slice().into()),
        payload: payload.as_slice().into(),
    });
    *link = Link { offset: record.offset, chain: chained(link.chain, &body), output: record.output_hash };
    let mut bytes = Vec::with_capacity(CRC + CHAIN + body.len());
    bytes.extend_from_slice(&checksum(record.offset, link.chain.as_bytes(), &body).to_le_bytes());
    bytes.extend_from_slice(link.chain.as_bytes());
    bytes.extend_from_slice(&body);
    bytes
}

/// Reads the record after `link`, proves that it is the one that was framed, and moves the link.
pub(super) fn unframe(offset: u64, bytes: &[u8], link: &mut Link) -> Result<Framed, JournalError> {
    if offset != link.offset + 1 {
        let reason = format!("the next one that is stored is {offset}");
        return Err(JournalError::Missing { offset: link.offset + 1, reason });
    }
    let damaged = |reason: &str| JournalError::record(offset, reason);
    let (chain, content) = split(offset, bytes)?;
    if chained(link.chain, content) != chain {
        return Err(damaged("its hash does not continue the chain"));
    }
    let (body, input) = decode(offset, content)?;
    let output = match body.output {
        None => link.output,
        Some(bytes) => row::hash(bytes).ok_or_else(|| damaged("its output hash is not 32 bytes"))?,
    };
    *link = Link { offset, chain, output };
    let record = Record { offset, now: UnixNanos(body.now), input, output_hash: output };
    Ok(Framed { record, engine: body.engine.to_owned() })
}

/// When a stored record whose checksum holds was applied, and what.
pub(super) fn input_of(offset: u64, bytes: &[u8]) -> Result<(UnixNanos, Input), JournalError> {
    let (_, content) = split(offset, bytes)?;
    decode(offset, content).map(|(body, input)| (UnixNanos(body.now), input))
}

fn decode(offset: u64, content: &[u8]) -> Result<(Body<'_>, Input), JournalError> {
    let damaged = |reason: &str| JournalError::record(offset, reason);
    let body: Body = row::decode(content).map_err(|reason| damaged(&reason))?;
    if body.version != v1::VERSION {
        return Err(damaged(&format!("this build does not know version {} of its payload", body.version)));
    }
    let input = v1::decode(body.kind, body.payload).map_err(|e| damaged(&e.to_string()))?;
    Ok((body, input))
}

/// The chain hash of a stored record whose checksum holds.
pub(super) fn chain_of(offset: u64, bytes: &[u8]) -> Result<Hash, JournalError> {
    split(offset, bytes).map(|(chain, _)| chain)
}

fn split(offset: u64, bytes: &[u8]) -> Result<(Hash, &[u8]), JournalError> {
    let short = || JournalError::record(offset, "it is shorter than its frame");
    let (crc, rest) = bytes.split_first_chunk::<CRC>().ok_or_else(short)?;
    let (chain, body) = rest.split_first_chunk::<CHAIN>().ok_or_else(short)?;
    if u32::from_le_bytes(*crc) != checksum(offset, chain, body) {
        return Err(JournalError::record(offset, "its checksum does not match"));
    }
    Ok((Hash::from(*chain), body))
}

fn checksum(offset: u64, chain: &[u8; CHAIN], body: &[u8]) -> u32 {
    let crc = crc32c::crc32c(&offset.to_be_bytes());
    crc32c::crc32c_append(crc32c::crc32c_append(crc, chain), body)
}

fn chained(previous: Hash, body: &[u8]) -> Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(previous.as_bytes()).update(body);
    hasher.finalize()
}
