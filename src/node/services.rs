//! What else the process needs from its host: storage for the journal, small files, a market, a probe.

use crate::{
    domain::{
        config::Config,
        instrument::InstrumentId,
        market::Quote,
        message::{Input, Mark, Outputs},
        time::UnixNanos,
    },
    quotes::{LiveMarket, SyntheticFeed},
};
use std::{collections::BTreeMap, fmt::Debug, io, sync::Arc};

/// The host's services.
#[derive(Clone)]
pub struct Services {
    pub storage: Arc<dyn Storage>,
    pub files: Arc<dyn Files>,
    pub markets: Arc<dyn Markets>,
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

/// Makes the market of a feed that is neither a recording nor a venue's.
pub trait Markets: Send + Sync {
    /// A market of all instruments of the configuration. `last` holds the last quotes that were used before a
    /// restart: prices go on from there.
    fn open(&self, seed: u64, config: &Config, last: &BTreeMap<InstrumentId, Quote>) -> Box<dyn LiveMarket>;
}

/// The synthetic market.
#[derive(Debug, Default)]
pub struct SyntheticMarkets;

impl Markets for SyntheticMarkets {
    fn open(&self, seed: u64, config: &Config, last: &BTreeMap<InstrumentId, Quote>) -> Box<dyn LiveMarket> {
        Box::new(SyntheticFeed::new(seed, &config.instruments, &config.calendars, last))
    }
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
