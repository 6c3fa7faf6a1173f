//! Tests of the journal on a storage in memory, driven by a real machine.

mod command;
mod damage;
mod driver;
mod format;
mod golden;
pub(in crate::node) mod memory;
mod recovery;
