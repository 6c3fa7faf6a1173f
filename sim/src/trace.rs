//! What happened in a world, as canonical bytes under a running blake3 hash.
//!
//! Equal seeds must give equal bytes, so nothing enters that may differ between two runs of the
//! same plan: no disk bytes, task ids, addresses, wall time of the host, or secrets.

use crate::runtime::Clock;
use std::{
    io::{self, Write},
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The hash is kept after each so many records, so that two traces can be compared by halving.
const CHECKPOINT_INTERVAL: usize = 1_000;

/// Room for the records of most worlds, so that they are not moved while they grow.
const USUAL_BYTES: usize = 2 << 20;

/// Where something happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Node {
    World = 0,
    Gateway = 1,
    Operator = 2,
    Viewer = 3,
    /// Between gateway and venues, when the plan has something there that is not honest.
    Relay = 4,
    SecondOperator = 5,
    SlowReader = 6,
    Abuser = 7,
    Venue1 = 11,
    Venue2 = 12,
    Venue3 = 13,
}

impl Node {
    /// The venues, in order.
    pub const VENUES: [Self; 3] = [Self::Venue1, Self::Venue2, Self::Venue3];

    /// Its name in listings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::World => "world",
            Self::Gateway => "gateway",
            Self::Operator => "operator",
            Self::Viewer => "viewer",
            Self::Relay => "relay",
            Self::SecondOperator => "second-operator",
            Self::SlowReader => "slow-reader",
            Self::Abuser => "abuser",
            Self::Venue1 => "venue-1",
            Self::Venue2 => "venue-2",
            Self::Venue3 => "venue-3",
        }
    }
}

/// What kind of thing happened; each record's body is JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// The process started, is ready, or ended.
    Process = 0,
    /// The machine took an input.
    Input = 1,
    /// And said something that is hashed or stored.
    Output = 2,
    /// Inputs became durable.
    Commit = 3,
    /// Their outputs left the writer.
    Release = 4,
    /// A client connected, or lost or dropped its connection.
    Link = 5,
    /// A client sent a frame, or the gateway one to a venue.
    Sent = 6,
    /// A client received a frame.
    Received = 7,
    /// A fault took effect.
    Fault = 8,
    /// An oracle found a violation.
    Verdict = 9,
    /// A machine noted what must not be.
    Alarm = 10,
}

impl Kind {
    /// Its name in listings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Input => "input",
            Self::Output => "output",
            Self::Commit => "commit",
            Self::Release => "release",
            Self::Link => "link",
            Self::Sent => "sent",
            Self::Received => "received",
            Self::Fault => "fault",
            Self::Verdict => "verdict",
            Self::Alarm => "alarm",
        }
    }
}

/// One record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its place in the trace, from 0.
    pub seq: usize,
    /// Virtual nanoseconds since the world began.
    pub at_ns: u64,
    pub node: Node,
    pub kind: Kind,
    pub body: &'a str,
}

impl Record<'_> {
    /// One line for people.
    pub fn line(&self) -> String {
        const WIDTH: usize = 400;
        let cut = self.body.char_indices().nth(WIDTH).map_or(self.body.len(), |(at, _)| at);
        let more = if cut < self.body.len() { "…" } else { "" };
        let (ms, ns) = (self.at_ns / 1_000_000, self.at_ns % 1_000_000);
        let (node, kind, body) = (self.node.name(), self.kind.name(), &self.body[..cut]);
        format!("#{} {ms}.{ns:06}ms {node} {kind} {body}{more}", self.seq)
    }
}

/// The trace of the world that is running; clones write to the same one.
#[derive(Clone)]
pub struct Tracer {
    clock: Clock,
    trace: Arc<Mutex<Trace>>,
}

impl Tracer {
    /// An empty trace under the world's clock.
    pub fn new(clock: Clock) -> Self {
        let trace = Trace { bytes: Vec::with_capacity(USUAL_BYTES), ..Trace::default() };
        Self { clock, trace: Arc::new(Mutex::new(trace)) }
    }

    /// Adds a record, stamped now; its place in the trace.
    pub fn record(&self, node: Node, kind: Kind, body: &str) -> usize {
        let at_ns = self.clock.elapsed_ns();
        self.lock().push(at_ns, node, kind, body)
    }

    /// The place of the next record.
    pub fn position(&self) -> usize {
        self.lock().len()
    }

    /// The trace so far; what follows begins an empty one.
    pub fn take(&self) -> Trace {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Trace> {
        self.trace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Of trace files: what a record holds. Another version is not compared with.
pub const VERSION: u64 = 1;

/// A whole trace.
#[derive(Debug, Default)]
pub struct Trace {
    /// The records as they are hashed, one after the other.
    bytes: Vec<u8>,
    index: Vec<Entry>,
    /// How many of the bytes `hasher` has seen.
    hashed: usize,
    /// Has seen the records up to the last checkpoint: many at a time are hashed several times as fast.
    hasher: blake3::Hasher,
    checkpoints: Vec<blake3::Hash>,
}

#[derive(Debug)]
struct Entry {
    at_ns: u64,
    node: Node,
    kind: Kind,
    /// Where in the bytes it is.
    body: Range<usize>,
}

impl Trace {
    /// Adds a record; its place in the trace.
    pub fn push(&mut self, at_ns: u64, node: Node, kind: Kind, body: &str) -> usize {
        let seq = self.index.len();
        self.bytes.extend_from_slice(&at_ns.to_le_bytes());
        self.bytes.extend_from_slice(&[node as u8, kind as u8]);
        self.bytes.extend_from_slice(&(body.len() as u64).to_le_bytes());
        let start = self.bytes.len();
        self.bytes.extend_from_slice(body.as_bytes());
        self.index.push(Entry { at_ns, node, kind, body: start..self.bytes.len() });
        if self.index.len().is_multiple_of(CHECKPOINT_INTERVAL) {
            self.hasher.update(&self.bytes[self.hashed..]);
            self.hashed = self.bytes.len();
            self.checkpoints.push(self.hasher.finalize());
        }
        seq
    }

    /// The hash of everything.
    pub fn hash(&self) -> blake3::Hash {
        self.hasher.clone().update(&self.bytes[self.hashed..]).finalize()
    }

    /// The hash after each thousand records.
    pub fn checkpoints(&self) -> &[blake3::Hash] {
        &self.checkpoints
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether nothing happened.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// The record at this place.
    pub fn get(&self, seq: usize) -> Option<Record<'_>> {
        let entry = self.index.get(seq)?;
        let Entry { at_ns, node, kind, .. } = *entry;
        let body = str::from_utf8(&self.bytes[entry.body.clone()]).expect("it was text when it was added");
        Some(Record { seq, at_ns, node, kind, body })
    }

    /// All records, in order.
    pub fn records(&self) -> impl Iterator<Item = Record<'_>> {
        (0..self.index.len()).filter_map(|seq| self.get(seq))
    }

    /// Writes a line with the version, then one JSON object per record.
    pub fn write_jsonl(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, r#"{{"traceVersion":{VERSION}}}"#)?;
        for Record { seq, at_ns, node, kind, body } in self.records() {
            let (node, kind) = (node.name(), kind.name());
            writeln!(out, r#"{{"seq":{seq},"atNs":{at_ns},"node":"{node}","kind":"{kind}","body":{body}}}"#)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(records: &[(u64, Node, Kind, &str)]) -> blake3::Hash {
        let mut trace = Trace::default();
        for (at_ns, node, kind, body) in records {
            trace.push(*at_ns, *node, *kind, body);
        }
        trace.hash()
    }

    #[test]
    fn dt01_every_part_of_a_record_enters_the_hash() {
        let base = hash(&[(1, Node::Gateway, Kind::Input, "ab"), (1, Node::Gateway, Kind::Input, "c")]);
        for other in [
            [(2, Node::Gateway, Kind::Input, "ab"), (1, Node::Gateway, Kind::Input, "c")],
            [(1, Node::Viewer, Kind::Input, "ab"), (1, Node::Gateway, Kind::Input, "c")],
            [(1, Node::Gateway, Kind::Output, "ab"), (1, Node::Gateway, Kind::Input, "c")],
            [(1, Node::Gateway, Kind::Input, "a"), (1, Node::Gateway, Kind::Input, "bc")],
        ] {
            assert_ne!(hash(&other), base);
        }
    }

    #[test]
    fn records_come_back_as_written_and_export_as_json() {
        let mut trace = Trace::default();
        for seq in 0..2_500 {
            trace.push(seq, Node::Operator, Kind::Sent, &format!("{{\"n\":{seq}}}"));
        }
        assert_eq!(trace.checkpoints().len(), 2);
        assert_eq!(trace.get(7).expect("there").body, r#"{"n":7}"#);
        let mut out = Vec::new();
        trace.write_jsonl(&mut out).expect("memory takes it");
        let text = String::from_utf8(out).expect("UTF-8");
        let line: serde_json::Value =
            serde_json::from_str(text.lines().nth(1 + 7).expect("there")).expect("valid JSON");
        assert_eq!(line["body"]["n"], 7);
        assert_eq!(line["node"], "operator");
    }
}
