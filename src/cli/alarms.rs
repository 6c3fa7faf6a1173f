//! What the live process watches in its own machine.

use crate::{
    domain::{
        message::{Input, Mark, Outputs},
        time::UnixNanos,
    },
    machine::ALARMS,
    node::services::Probe,
};

/// Logs the marks that must never fire.
#[derive(Debug)]
pub(super) struct Alarms;

impl Probe for Alarms {
    fn step(&self, offset: u64, _: UnixNanos, _: &Input, outputs: &Outputs) {
        for mark in outputs.marks.iter().filter(|mark| ALARMS.contains(mark)) {
            tracing::error!(journal_offset = offset, ?mark, "a mark that must never fire: please report it");
        }
    }

    fn mark(&self, _: Mark) {}
    fn commit(&self, _: u64, _: usize) {}
    fn release(&self, _: u64, _: usize, _: usize) {}
}
