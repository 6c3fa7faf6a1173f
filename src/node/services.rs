//! What else the process needs from its host: storage for the journal, small files, a probe.

use crate::domain::{
    message::{Input, Mark, Outputs},
    time::UnixNanos,
};
use std::{fmt::Debug, io, sync::Arc};

/// The host's services.
#[derive(Clone)]
pub struct Services {
    pub storage: Arc<dyn Storage>,
    pub files: Arc<dyn Files>,
    pub probe: Arc<dyn Probe>,
}

/// Databases of the data directory, by name.
pub trait Storage: Send + Sync + Debug {
    /// The names that exist, ascending. A missing directory has none.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Opens a database for reading and writing; creates it if it is missing. Fails if another
    /// process has it open.
    fn open(&self, name: &str) -> io::Result<Box<dyn redb::StorageBackend>>;

    /// Deletes a database.
    fn remove(&self, name: &str) -> io::Result<()>;
}

/// Small files of the data directory, read and replaced whole.
pub trait Files: Send + Sync + Debug {
    /// The content; `None` if there is no such file.
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>>;

    /// Replaces the content so that a crash leaves the old or the new; readable by the owner only.
    fn write_private(&self, name: &str, content: &[u8]) -> io::Result<()>;
}

/// Sees what the machine does, for traces and coverage. The live probe counts marks.
pub trait Probe: Send + Sync {
    /// An input was applied in memory; `offset` is its place in the journal.
    fn step(&self, offset: u64, now: UnixNanos, input: &Input, outputs: &Outputs);

    /// A mark was reached.
    fn mark(&self, mark: Mark);

    /// Everything up to and including `offset` is durable.
    fn commit(&self, offset: u64, records: usize);

    /// The outputs of everything up to and including `offset` left the writer.
    fn release(&self, offset: u64, events: usize, replies: usize);
}

/// Sees nothing.
#[derive(Debug, Default)]
pub struct NoProbe;

impl Probe for NoProbe {
    fn step(&self, _: u64, _: UnixNanos, _: &Input, _: &Outputs) {}
    fn mark(&self, _: Mark) {}
    fn commit(&self, _: u64, _: usize) {}
    fn release(&self, _: u64, _: usize, _: usize) {}
}
