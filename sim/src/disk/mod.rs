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
    /// What is wrong with it.
    trouble: Trouble,
    draw: Draw,
}

/// What is wrong with a disk.
#[derive(Debug, Default)]
struct Trouble {
    /// Nothing can grow.
    is_full: bool,
    /// So many syncs fail from now on.
    failing_syncs: u64,
    /// A sync takes so long.
    slow_ms: Option<u64>,
    /// What took effect and was not told yet.
    told: Vec<&'static str>,
    /// Whether the process that has the disk now was refused something.
    has_failed: bool,
}

impl Trouble {
    fn tell(&mut self, effect: &'static str) {
        if !self.told.contains(&effect) {
            self.told.push(effect);
        }
    }
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

    /// What is on the disk now that the machine is off, on a disk of its own.
    fn survivors(&self) -> Self {
        let databases = self.databases.iter().filter(|(_, file)| file.exists());
        Self {
            generation: 0,
            databases: databases.map(|(name, file)| (name.clone(), file.survivor())).collect(),
            small: self.small.clone(),
            open: BTreeSet::new(),
            blocking: false,
            issued: Vec::new(),
            in_flight: BTreeSet::new(),
            next_barrier: 0,
            sync_ms: (0, 0),
            trouble: Trouble::default(),
            draw: self.draw.clone(),
        }
    }

    /// Whether there is room to grow.
    fn room(&mut self) -> io::Result<()> {
        if !self.trouble.is_full {
            return Ok(());
        }
        self.trouble.has_failed = true;
        self.trouble.tell("disk_full");
        Err(io::Error::new(io::ErrorKind::StorageFull, "no space left on the device"))
    }

    /// A sync of the file fails.
    fn fail_sync(&mut self, name: &str) -> io::Error {
        self.trouble.failing_syncs -= 1;
        self.trouble.has_failed = true;
        self.trouble.tell("sync_failed");
        let Self { databases, draw, .. } = self;
        if let Some(file) = databases.get_mut(name) {
            file.fail_sync(draw);
        }
        io::Error::other("input/output error")
    }

    /// How long a sync takes that usually takes so long.
    fn sync_ms(&mut self, usual: u64) -> u64 {
        let Some(slow) = self.trouble.slow_ms else { return usual };
        self.trouble.tell("disk_slow");
        slow
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
            trouble: Trouble::default(),
            draw: Draw::new(seed, &format!("disk {node}")),
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// A view for the process that starts now.
    pub fn mount(&self) -> Mount {
        let mut state = self.lock();
        state.trouble.has_failed = false;
        Mount::new(self.clone(), state.generation)
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

    /// Nothing can grow any more, or again.
    pub fn set_full(&self, is_full: bool) {
        self.lock().trouble.is_full = is_full;
    }

    /// So many syncs fail from now on.
    pub fn fail_syncs(&self, count: u64) {
        self.lock().trouble.failing_syncs += count;
    }

    /// Syncs take so long; `None`: as usual.
    pub fn slow_down(&self, sync_ms: Option<u64>) {
        self.lock().trouble.slow_ms = sync_ms;
    }

    /// Nothing is wrong with it any more.
    pub fn heal(&self) {
        let trouble = &mut self.lock().trouble;
        let (told, has_failed) = (std::mem::take(&mut trouble.told), trouble.has_failed);
        *trouble = Trouble { told, has_failed, ..Trouble::default() };
    }

    /// What went wrong since the last question.
    pub fn take_effects(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.lock().trouble.told)
    }

    /// Whether the process that has it now was refused something.
    pub fn has_failed(&self) -> bool {
        self.lock().trouble.has_failed
    }

    /// A disk with what survived on this one, in which some bit has flipped: one of a page that holds
    /// something. The place, in words; `None` if there is nothing.
    pub fn with_flipped_bit(&self, pick: u64) -> Option<(Self, String)> {
        let mut copy = self.lock().survivors();
        let names: Vec<String> = copy.databases.keys().cloned().collect();
        let name = names.get(usize::try_from(pick % names.len().max(1) as u64).ok()?)?;
        let place = copy.databases.get_mut(name)?.flip(pick / names.len() as u64)?;
        Some((
            Self { state: Arc::new(Mutex::new(copy)) },
            format!("bit {} of byte {} of {name}", place.1, place.0),
        ))
    }

    /// A disk with what survived on this one, without one of its databases. Its name; `None` if there is none.
    pub fn without_file(&self, pick: u64) -> Option<(Self, String)> {
        let mut copy = self.lock().survivors();
        let names: Vec<String> = copy.databases.keys().cloned().collect();
        let name = names.get(usize::try_from(pick % names.len().max(1) as u64).ok()?)?;
        copy.databases.remove(name);
        Some((Self { state: Arc::new(Mutex::new(copy)) }, name.clone()))
    }

    /// A disk with what survived on this one.
    pub fn copy(&self) -> Self {
        Self { state: Arc::new(Mutex::new(self.lock().survivors())) }
    }

    /// Whether a commit is on its way to the disk.
    pub fn is_committing(&self) -> bool {
        !self.lock().in_flight.is_empty()
    }

    /// The process ends, in no order; what it wrote stays. From here on the mounts of before fail.
    pub fn fence(&self) {
        let mut state = self.lock();
        state.generation += 1;
        state.blocking = false;
        state.open.clear();
        let done = std::mem::take(&mut state.issued);
        let in_flight = std::mem::take(&mut state.in_flight);
        for number in done.iter().map(|barrier| barrier.number).chain(in_flight) {
            state.databases.values_mut().for_each(|file| file.complete(number));
        }
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
    fn a_full_disk_refuses_growth_and_says_so_once_it_met_somebody() {
        let disk = Disk::new(1, "gateway", (1, 1));
        let db = open(&disk);
        insert(&db, 0);
        disk.set_full(true);
        assert!(disk.take_effects().is_empty() && !disk.has_failed(), "nobody has asked for room");
        assert!(disk.mount().open("b.redb").is_err());
        assert_eq!(disk.take_effects(), ["disk_full"]);
        assert!(disk.has_failed());
        disk.heal();
        assert!(disk.mount().open("b.redb").is_ok());
    }

    #[test]
    fn a_sync_that_fails_may_lose_what_the_process_still_sees() {
        let mut lost = 0;
        for seed in 0..50 {
            let disk = Disk::new(seed, "gateway", (1, 1));
            let backend = disk.mount().open("a").expect("free");
            backend.set_len(SECTOR_BYTES).expect("room");
            backend.sync_data().expect("synced");
            backend.write(0, &[7; SECTOR_BYTES as usize]).expect("in range");
            disk.fail_syncs(1);
            assert!(backend.sync_data().is_err());
            assert_eq!(disk.take_effects(), ["sync_failed"]);
            let seen = |backend: &dyn redb::StorageBackend| {
                let mut out = [0; SECTOR_BYTES as usize];
                backend.read(0, &mut out).expect("in range");
                out[0]
            };
            assert_eq!(seen(&*backend), 7, "the process sees what it wrote");
            backend.sync_data().expect("the next sync works");
            disk.crash();
            lost += u32::from(seen(&*disk.mount().open("a").expect("there")) != 7);
        }
        assert!((1..50).contains(&lost), "some of it is lost for ever: {lost} of 50");
    }

    #[test]
    fn a_copy_with_a_flipped_bit_differs_in_that_bit_alone() {
        let disk = Disk::new(1, "gateway", (1, 1));
        let db = open(&disk);
        insert(&db, 0);
        drop(db);
        disk.crash();
        for pick in (0..10_000_000_000).step_by(99_999_989) {
            let (flipped, place) = disk.with_flipped_bit(pick).expect("there is something to flip");
            let bytes = |disk: &Disk| {
                let backend = disk.mount().open("journal.redb").expect("free");
                let mut out = vec![0; usize::try_from(backend.len().expect("a length")).expect("small")];
                backend.read(0, &mut out).expect("in range");
                out
            };
            let (sound, damaged) = (bytes(&disk), bytes(&flipped));
            let differing = sound.iter().zip(&damaged).map(|(a, b)| (a ^ b).count_ones()).sum::<u32>();
            assert_eq!(differing, 1, "{place}");
        }
        let (without, name) = disk.without_file(3).expect("there is a file");
        assert_eq!(name, "journal.redb");
        assert!(without.mount().list().expect("readable").is_empty());
    }

    const SECTOR_BYTES: u64 = 512;

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
