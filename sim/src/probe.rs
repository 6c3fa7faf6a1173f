//! The probe of a process: feeds the trace and counts coverage.

use crate::{
    crossing::Crossings,
    trace::{Kind, Node, Tracer},
};
use lockstep::{
    domain::{
        ledger::LedgerEntry,
        message::{Event, Input, Mark, Outputs, Reply, VenueRequest},
        time::UnixNanos,
    },
    node::services::Probe,
};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

/// Counts of rare things: the machine's marks and the simulator's own, by name.
#[derive(Debug, Clone, Default)]
pub struct Coverage(Arc<Mutex<Counts>>);

/// What was counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    pub marks: BTreeMap<String, u64>,
    /// Inputs that the machine took.
    pub inputs: u64,
    pub crossings: Crossings,
}

impl Coverage {
    /// It happened.
    pub fn mark(&self, name: &str) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match counts.marks.get_mut(name) {
            Some(count) => *count += 1,
            None => {
                counts.marks.insert(name.to_owned(), 1);
            }
        }
    }

    /// The counts so far.
    pub fn counts(&self) -> Counts {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Marks that no world reaches whose venues are honest: they say that two sides contradict each other.
const ALARMS: [Mark; 5] = [
    Mark::IllegalTransition,
    Mark::OrphanReport,
    Mark::LinkFault,
    Mark::BalanceAdjusted,
    Mark::ResolvedContradicted,
];

/// The probe of a simulated process.
pub struct SimProbe {
    node: Node,
    tracer: Tracer,
    coverage: Coverage,
}

impl SimProbe {
    /// Writes into the world's trace and counts.
    pub const fn new(node: Node, tracer: Tracer, coverage: Coverage) -> Self {
        Self { node, tracer, coverage }
    }
}

impl Probe for SimProbe {
    fn step(&self, offset: u64, now: UnixNanos, input: &Input, outputs: &Outputs) {
        self.coverage.0.lock().unwrap_or_else(PoisonError::into_inner).inputs += 1;
        self.tracer.record(self.node, Kind::Input, &input_body(offset, now, input));
        if outputs.is_quiet() {
            return;
        }
        // what goes to venues is traced where it is written to them
        self.tracer.record(self.node, Kind::Output, &output_body(offset, outputs, &[]));
    }

    fn mark(&self, mark: Mark) {
        let name = mark_name(mark);
        if ALARMS.contains(&mark) {
            self.tracer.record(self.node, Kind::Alarm, &alarm_body(mark));
        }
        match self.node {
            Node::Gateway => self.coverage.mark(&name),
            _ => self.coverage.mark(&format!("venue_{name}")),
        }
    }

    fn commit(&self, offset: u64, records: usize) {
        let body = format!(r#"{{"offset":{offset},"records":{records}}}"#);
        self.tracer.record(self.node, Kind::Commit, &body);
    }

    fn release(&self, offset: u64, events: usize, replies: usize) {
        let body = format!(r#"{{"offset":{offset},"events":{events},"replies":{replies}}}"#);
        self.tracer.record(self.node, Kind::Release, &body);
    }
}

/// The body of a record of kind input.
pub fn input_body(offset: u64, now: UnixNanos, input: &Input) -> String {
    format!(r#"{{"offset":{offset},"nowNs":{},"input":{}}}"#, now.0, text(input))
}

/// The body of a record of kind output.
pub fn output_body(offset: u64, outputs: &Outputs, venue: &[VenueRequest]) -> String {
    let Outputs { events, ledger, replies, .. } = outputs;
    let events = events.iter().map(|event| (event.name(), event)).collect();
    text(&OutputBody { offset, events, ledger, replies, venue })
}

/// The body of a record of kind alarm.
pub fn alarm_body(mark: Mark) -> String {
    format!(r#"{{"mark":"{}"}}"#, mark_name(mark))
}

/// A mark's name in coverage.
pub fn mark_name(mark: Mark) -> String {
    text(&mark).trim_matches('"').to_owned()
}

/// What the machine said in one step.
#[derive(Serialize)]
struct OutputBody<'a> {
    offset: u64,
    events: Vec<(&'static str, &'a Event)>,
    ledger: &'a [LedgerEntry],
    replies: &'a [Reply],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    venue: &'a [VenueRequest],
}

fn text<T: Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).expect("messages are maps with text keys")
}
