//! A node's disk: it survives the node, and a crash loses what no completed barrier covers.
//!
//! A process reaches it through a `Mount`. A crash fences the mounts of before: what a dying
//! process still does (redb's destructors try to mark the file as cleanly closed) no longer arrives.

mod file;
mod image;
mod mount;

pub use file::Torn;
pub use mount::Mount;

use crate::draw::Draw;
use file::DiskFile;
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// A disk; clones are the same disk.
#[derive(Debug, Clone)]
pub struct Disk {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    /// Counts crashes; a mount of another generation is fenced.
    generation: u64,
    databases: BTreeMap<String, DiskFile>,
    /// Small files; replacing one is atomic and durable on return.
    small: BTreeMap<String, Vec<u8>>,
    /// Databases that the present process has open.
    open: BTreeSet<String>,
    /// Whether a blocking closure is running, whose barriers take time.
    blocking: bool,
    /// The barriers that the running closure issued. What it does after one happens after it.
    issued: Vec<Barrier>,
    /// Barriers that are issued and not complete.
    in_flight: BTreeSet<u64>,
    next_barrier: u64,
    sync_ms: (u64, u64),
    draw: Draw,
}

/// A sync that takes its time.
#[derive(Debug)]
pub struct Barrier {
    database: String,
    number: u64,
    generation: u64,
    /// How long the disk takes.
    pub cost: Duration,
}

/// What a crash did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrashReport {
    /// Whether it struck while a commit was on its way to the disk.
    pub inside_commit: bool,
    /// Per database that was open.
    pub files: Vec<(String, Torn)>,
}

impl State {
    /// The barrier that what happens now happens after.
    fn after(&self) -> Option<u64> {
        self.issued.last().map(|barrier| barrier.number)
    }

    /// The file, if the process sees it.
    fn file(&mut self, name: &str) -> io::Result<&mut DiskFile> {
        let missing = || io::Error::new(io::ErrorKind::NotFound, format!("{name} does not exist"));
        self.databases.get_mut(name).filter(|file| file.exists()).ok_or_else(missing)
    }
}

impl Disk {
    /// An empty disk. Syncs take `sync_ms` (least, most) milliseconds.
    pub fn new(seed: u64, node: &str, sync_ms: (u64, u64)) -> Self {
        let state = State {
            generation: 0,
            databases: BTreeMap::new(),
            small: BTreeMap::new(),
            open: BTreeSet::new(),
            blocking: false,
            issued: Vec::new(),
            in_flight: BTreeSet::new(),
            next_barrier: 0,
            sync_ms,
            draw: Draw::new(seed, &format!("disk {node}")),
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// A view for the process that starts now.
    pub fn mount(&self) -> Mount {
        Mount::new(self.clone(), self.lock().generation)
    }

    /// Runs a closure of the node's process. The barriers it issued complete when the caller says so.
    pub fn run(&self, work: impl FnOnce()) -> Vec<Barrier> {
        self.lock().blocking = true;
        let leave = Leave(self);
        work();
        drop(leave);
        let mut state = self.lock();
        let issued = std::mem::take(&mut state.issued);
        state.in_flight.extend(issued.iter().map(|barrier| barrier.number));
        issued
    }

    /// The barrier's time has passed.
    pub fn complete(&self, barrier: &Barrier) {
        let mut state = self.lock();
        if state.generation != barrier.generation {
            return; // the process that waited for it is gone
        }
        state.in_flight.remove(&barrier.number);
        if let Some(file) = state.databases.get_mut(&barrier.database) {
            file.complete(barrier.number);
        }
    }

    /// Whether a commit is on its way to the disk.
    pub fn is_committing(&self) -> bool {
        !self.lock().in_flight.is_empty()
    }

    /// Power fails. From here on the mounts of before fail.
    pub fn crash(&self) -> CrashReport {
        let mut state = self.lock();
        state.generation += 1;
        state.blocking = false;
        state.issued.clear();
        let State { databases, open, draw, in_flight, .. } = &mut *state;
        let open = std::mem::take(open);
        let in_flight = std::mem::take(in_flight);
        let mut files = Vec::new();
        databases.retain(|name, file| {
            let torn = file.crash(draw, |number| in_flight.contains(&number));
            if let Some(torn) = torn
                && open.contains(name)
            {
                files.push((name.clone(), torn));
            }
            torn.is_some()
        });
        CrashReport { inside_commit: !in_flight.is_empty(), files }
    }

    /// Whether the database says that it was closed in order: what no crash may leave behind.
    /// `None` if there is no such database. (redb 4: bit 1 of byte 9 asks for recovery.)
    #[cfg(test)]
    pub fn is_marked_clean(&self, name: &str) -> Option<bool> {
        let state = self.lock();
        let mut flags = [0];
        let read = state.databases.get(name)?.current().read(9, &mut flags);
        read.then(|| flags[0] & 2 == 0)
    }

    /// A small file's content.
    pub fn small_file(&self, name: &str) -> Option<Vec<u8>> {
        self.lock().small.get(name).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic of the simulated process may have poisoned it; the content is whole all the same.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends the blocking section, also when the closure panics.
struct Leave<'a>(&'a Disk);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.lock().blocking = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep::node::services::Storage;
    use redb::{Database, ReadableDatabase, ReadableTableMetadata, TableDefinition};

    const TABLE: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("journal");

    fn open(disk: &Disk) -> Database {
        let backend = disk.mount().open("journal.redb").expect("a mount of now");
        Database::builder().create_with_backend(Handle(backend)).expect("redb recovers")
    }

    /// `StorageBackend` is not implemented for its own boxes.
    #[derive(Debug)]
    struct Handle(Box<dyn redb::StorageBackend>);

    impl redb::StorageBackend for Handle {
        fn len(&self) -> std::io::Result<u64> {
            self.0.len()
        }
        fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
            self.0.read(offset, out)
        }
        fn set_len(&self, len: u64) -> std::io::Result<()> {
            self.0.set_len(len)
        }
        fn sync_data(&self) -> std::io::Result<()> {
            self.0.sync_data()
        }
        fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
            self.0.write(offset, data)
        }
        fn close(&self) -> std::io::Result<()> {
            self.0.close()
        }
    }

    fn insert(db: &Database, key: u64) {
        let write = db.begin_write().expect("open");
        write.open_table(TABLE).expect("table").insert(key, &[7_u8; 700][..]).expect("room");
        write.commit().expect("committed");
    }

    fn count(db: &Database) -> u64 {
        let read = db.begin_read().expect("open");
        read.open_table(TABLE).expect("table").len().expect("readable")
    }

    #[test]
    fn a_crash_leaves_no_clean_flag_and_loses_no_completed_commit() {
        for seed in 0..50 {
            let disk = Disk::new(seed, "gateway", (1, 1));
            let db = open(&disk);
            for key in 0..5 {
                insert(&db, key);
            }
            let barriers = disk.run(|| insert(&db, 5)); // on its way
            assert!(disk.is_committing());
            let report = disk.crash();
            drop(db); // a dying process closes its files, in vain
            assert!(report.inside_commit);
            assert_eq!(report.files.len(), 1);
            assert_eq!(disk.is_marked_clean("journal.redb"), Some(false), "seed {seed}");
            for barrier in &barriers {
                disk.complete(barrier); // too late
            }
            let db = open(&disk);
            assert!((5..=6).contains(&count(&db)), "seed {seed}: {} entries", count(&db));
            drop(db);
            assert_eq!(disk.is_marked_clean("journal.redb"), Some(true), "closed in order");
        }
    }

    #[test]
    fn a_fenced_mount_fails_and_a_database_opens_once() {
        let disk = Disk::new(1, "gateway", (1, 1));
        let mount = disk.mount();
        let first = mount.open("a.redb").expect("free");
        assert!(mount.open("a.redb").is_err(), "open already");
        first.close().expect("closes");
        let second = mount.open("a.redb").expect("free again");
        disk.crash();
        assert!(second.set_len(10).is_err());
        assert!(second.len().is_err());
        assert!(mount.list().is_err());
        assert!(disk.mount().open("a.redb").is_ok());
    }
}
