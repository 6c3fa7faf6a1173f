//! `journal`: what was durable stays, in order. Gives the other oracles the log as it finally is.

use super::{Findings, Severity, Violation};
use crate::history::{MachineHistory, Step};
use serde_json::Value;

/// The inputs that count in the end: a crash may undo what was not durable.
#[derive(Debug, Default)]
pub struct Log<'a> {
    pub steps: Vec<&'a Step>,
    /// All critical events; number n is at place n - 1.
    pub events: Vec<LogEvent<'a>>,
    /// When each offset became durable: place in the trace, by offset; 0 is nothing.
    durable_at: Vec<usize>,
}

/// A critical event.
#[derive(Debug, Clone, Copy)]
pub struct LogEvent<'a> {
    pub number: u64,
    pub step: &'a Step,
    pub name: &'a str,
    pub payload: &'a Value,
}

impl<'a> Log<'a> {
    /// The event of this number.
    pub fn event(&self, number: u64) -> Option<LogEvent<'a>> {
        self.events.get(usize::try_from(number.checked_sub(1)?).ok()?).copied()
    }

    /// The input at this offset.
    pub fn step(&self, offset: u64) -> Option<&'a Step> {
        self.steps.get(usize::try_from(offset.checked_sub(1)?).ok()?).copied()
    }

    /// Where in the trace the offset became durable; `None` if it was never said to be.
    pub fn durable_at(&self, offset: u64) -> Option<usize> {
        self.durable_at.get(usize::try_from(offset).ok()?).copied().filter(|seq| *seq > 0)
    }
}

/// The log, and what is wrong with it.
pub fn check(history: &MachineHistory) -> (Log<'_>, Vec<Violation>) {
    let mut findings = Findings::new("journal", Severity::Safety);
    let mut log = Log { durable_at: vec![0], ..Log::default() };
    let mut durable = 0_u64; // the greatest offset that was ever committed
    let mut commits = history.commits.iter().peekable();
    let mut starts = history.starts.iter().peekable();
    for step in &history.steps {
        while let Some(commit) = commits.next_if(|c| c.seq < step.seq) {
            commit_to(&mut log, commit.offset, commit.seq, &mut durable, &mut findings);
        }
        let next = log.steps.len() as u64 + 1;
        if step.offset <= durable {
            let message = format!("offset {} is given again, but {durable} was durable", step.offset);
            findings.add("LV06", step.seq, message);
        }
        if step.offset == 0 || step.offset > next {
            findings.add("LV05", step.seq, format!("offset {} follows {}", step.offset, next - 1));
            continue;
        }
        log.steps.truncate(step.offset as usize - 1);
        log.durable_at.truncate(step.offset as usize);
        let mut started = None;
        while let Some(start) = starts.next_if(|start| **start < step.seq) {
            started = Some(*start);
        }
        if let Some(start) = started {
            // What was on its way when the process died, and is built upon now, had arrived.
            log.durable_at.resize(step.offset as usize, start);
            durable = durable.max(step.offset - 1);
        }
        log.steps.push(step);
    }
    for commit in commits {
        commit_to(&mut log, commit.offset, commit.seq, &mut durable, &mut findings);
    }
    for (seq, reason) in &history.refused_starts {
        findings.add("LV05", *seq, format!("the {} does not run on its own disk: {reason}", history.name));
    }
    number_events(&mut log);
    (log, findings.found)
}

fn commit_to(log: &mut Log<'_>, offset: u64, seq: usize, durable: &mut u64, findings: &mut Findings) {
    let applied = log.steps.len() as u64;
    if offset > applied {
        findings.add("LV05", seq, format!("offset {offset} is durable, but only {applied} were applied"));
    }
    while log.durable_at.len() as u64 <= offset.min(applied) {
        log.durable_at.push(seq);
    }
    *durable = (*durable).max(offset);
}

fn number_events(log: &mut Log<'_>) {
    for step in &log.steps {
        for (name, payload) in &step.events {
            let number = log.events.len() as u64 + 1;
            log.events.push(LogEvent { number, step, name, payload });
        }
    }
}
