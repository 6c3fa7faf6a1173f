//! Steps a machine through a plan's inputs, holds it against the hashes of the time, and lets the oracles
//! judge what it says.

use super::{Beginning, Digest, InputsPlan};
use crate::{
    history::History,
    oracle::{self, Severity, Violation},
    outcome::Outcome,
    panics,
    probe::{Coverage, alarm_body, input_body, mark_name, output_body},
    run::Report,
    trace::{Kind, Node, Trace},
};
use lockstep::{
    domain::message::Outputs,
    machine::{ALARMS, Hash, Machine},
};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc,
    time::Duration,
};

/// A judged replay.
#[derive(Debug)]
pub struct Replayed {
    pub report: Report,
    /// Of the last state, and of all outputs; `None` if the machine did not get there.
    pub hashes: Option<(Hash, Hash)>,
    /// Inputs that were applied.
    pub records: usize,
    /// Critical events that they made.
    pub events: u64,
}

/// Replays a plan without a flaw, on a thread of its own. After `limit` of real time it is given up as
/// hanging; its thread cannot be ended and runs on.
pub fn run(plan: &InputsPlan, limit: Duration) -> Replayed {
    let (send, receive) = mpsc::channel();
    let plan = plan.clone();
    let machine = std::thread::Builder::new().name("inputs".to_owned()).spawn(move || {
        panics::enter_world();
        let _ = send.send(Replay::new(&plan).run(&plan)); // nobody waits for what took too long
    });
    drop(machine.expect("the host can start a thread"));
    receive.recv_timeout(limit).unwrap_or_else(|_| Replayed {
        report: Report::hang(format!("no end within {} s of real time", limit.as_secs())),
        hashes: None,
        records: 0,
        events: 0,
    })
}

struct Replay {
    machine: Machine,
    outputs: Outputs,
    trace: Trace,
    coverage: Coverage,
    records: usize,
    /// Of time in the trace.
    begin_ns: i64,
    at_ns: u64,
    /// What the hash of all outputs was at this place when the journal was written.
    expected: Digest,
    difference: Option<Violation>,
}

impl Replay {
    fn new(plan: &InputsPlan) -> Self {
        let machine = plan.beginning.machine().expect("a plan with a flaw is not replayed");
        Self {
            outputs: Outputs::default(),
            trace: Trace::default(),
            coverage: Coverage::default(),
            records: 0,
            begin_ns: plan.records.first().map_or(0, |record| record.now_ns),
            at_ns: 0,
            expected: Digest(machine.output_hash()),
            difference: None,
            machine,
        }
    }

    fn run(mut self, plan: &InputsPlan) -> Replayed {
        let events_before = self.machine.event_count();
        let mut notes = Vec::new();
        for record in &plan.records {
            let since_begin = record.now_ns.saturating_sub(self.begin_ns);
            self.at_ns = self.at_ns.max(u64::try_from(since_begin).unwrap_or(0));
            self.push(Kind::Input, &input_body(record.offset, record.now(), &record.input));
            let step = || self.machine.step(record.now(), &record.input, &mut self.outputs);
            if let Err(payload) = catch_unwind(AssertUnwindSafe(step)) {
                notes.push(format!("at record {}: {}", record.offset, panics::message(&*payload)));
                break;
            }
            self.records += 1;
            self.tell(record.offset);
            self.expected = record.output_hash.unwrap_or(self.expected);
            if plan.end.is_some() {
                self.compare("outputs", record.offset, self.expected, Digest(self.machine.output_hash()));
            }
        }
        let panicked = !notes.is_empty();
        // a machine that panicked is in no state
        let hashes = (!panicked).then(|| (self.machine.state_hash(), self.machine.output_hash()));
        let last = plan.records.last().map_or(plan.beginning.offset(), |record| record.offset);
        if let (Some(end), Some((state, output))) = (&plan.end, hashes) {
            self.compare("outputs", last, end.output_hash, Digest(output));
            if let Some(expected) = end.state_hash {
                self.compare("state", last, expected, Digest(state));
            }
        }
        let events = if panicked { 0 } else { self.machine.event_count() - events_before };
        let records = self.records;
        Replayed { report: self.judge(plan, notes), hashes, records, events }
    }

    /// Writes down what the machine said.
    fn tell(&mut self, offset: u64) {
        if !self.outputs.is_quiet() {
            self.push(Kind::Output, &output_body(offset, &self.outputs, &self.outputs.venue));
        }
        for mark in std::mem::take(&mut self.outputs.marks) {
            self.coverage.mark(&mark_name(mark));
            if ALARMS.contains(&mark) {
                self.push(Kind::Alarm, &alarm_body(mark));
            }
        }
    }

    /// Notes the first thing that is not as it was.
    fn compare(&mut self, what: &str, offset: u64, expected: Digest, found: Digest) {
        if expected == found || self.difference.is_some() {
            return;
        }
        self.difference = Some(Violation {
            oracle: "replay",
            rule: "DT03",
            severity: Severity::Difference,
            seq: self.trace.len().saturating_sub(1),
            message: format!(
                "record {offset} gives other {what} than when it was written: {expected} then, {found} now"
            ),
        });
    }

    fn judge(mut self, plan: &InputsPlan, mut notes: Vec<String>) -> Report {
        let mut history = History::from_trace(&self.trace, 0);
        // inputs that were left out leave no holes
        for (offset, step) in (1..).zip(&mut history.gateway.steps) {
            step.offset = offset;
        }
        for (name, _) in history.gateway.steps.iter().flat_map(|step| &step.events) {
            self.coverage.mark(&name.trim_start_matches("event.").replace('.', "_"));
        }
        let mut violations = oracle::judge_machine(&history, plan.beginning == Beginning::Genesis);
        match self.difference.take() {
            // it may be what led there, but the panic is what counts
            Some(difference) if !notes.is_empty() => notes.push(difference.message),
            difference => violations.extend(difference),
        }
        for violation in &violations {
            self.push(Kind::Verdict, &violation.body());
        }
        let outcome = match violations.iter().map(|v| v.severity).min() {
            Some(Severity::Safety) => Outcome::Safety,
            Some(Severity::Liveness) => Outcome::Liveness,
            _ if !notes.is_empty() => Outcome::Panic,
            Some(Severity::Difference) => Outcome::Nondeterminism,
            None => Outcome::Ok,
        };
        let mut counts = self.coverage.counts();
        counts.inputs = self.records as u64;
        let simulated = Duration::from_nanos(self.at_ns);
        Report { outcome, trace: self.trace, violations, notes, counts, simulated }
    }

    fn push(&mut self, kind: Kind, body: &str) {
        self.trace.push(self.at_ns, Node::Gateway, kind, body);
    }
}
