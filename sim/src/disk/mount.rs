//! The disk as one process sees it: databases for redb, and small files.

use super::{Barrier, Disk, DiskFile, State};
use lockstep::node::services::{Files, Storage};
use redb::StorageBackend;
use std::{
    io,
    sync::{
        MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// A process's view of a disk; it ends with the process.
#[derive(Debug, Clone)]
pub struct Mount {
    disk: Disk,
    generation: u64,
}

impl Mount {
    pub(super) const fn new(disk: Disk, generation: u64) -> Self {
        Self { disk, generation }
    }

    /// The disk, unless a crash came between.
    fn state(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.lock();
        if state.generation == self.generation {
            Ok(state)
        } else {
            Err(io::Error::other("the machine of this process has lost power"))
        }
    }
}

impl Storage for Mount {
    fn list(&self) -> io::Result<Vec<String>> {
        let state = self.state()?;
        Ok(state.databases.iter().filter(|(_, file)| file.exists()).map(|(name, _)| name.clone()).collect())
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn StorageBackend>> {
        let mut state = self.state()?;
        if !state.open.insert(name.to_owned()) {
            let message = format!("{name} is open already");
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, message));
        }
        if state.file(name).is_err() {
            if let Err(full) = state.room() {
                state.open.remove(name);
                return Err(full);
            }
            let file = DiskFile::new(state.after());
            state.databases.insert(name.to_owned(), file);
        }
        let handle = Handle { mount: self.clone(), name: name.to_owned(), closed: AtomicBool::new(false) };
        Ok(Box::new(handle))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state()?;
        let after = state.after();
        state.file(name)?.delete(after);
        Ok(())
    }
}

impl Files for Mount {
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(self.state()?.small.get(name).cloned())
    }

    fn write_private(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let mut state = self.state()?;
        state.room()?;
        state.small.insert(name.to_owned(), content.to_vec());
        Ok(())
    }
}

/// An open database.
#[derive(Debug)]
struct Handle {
    mount: Mount,
    name: String,
    closed: AtomicBool,
}

impl Handle {
    fn with<T>(&self, work: impl FnOnce(&mut DiskFile, Option<u64>) -> T) -> io::Result<T> {
        let mut state = self.mount.state()?;
        let after = state.after();
        Ok(work(state.file(&self.name)?, after))
    }

    fn release(&self) {
        if !self.closed.swap(true, Ordering::Relaxed)
            && let Ok(mut state) = self.mount.state()
        {
            state.open.remove(&self.name);
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.release();
    }
}

impl StorageBackend for Handle {
    fn len(&self) -> io::Result<u64> {
        self.with(|file, _| file.current().len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        ended_unless(self.with(|file, _| file.current().read(offset, out))?)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.mount.state()?;
        let after = state.after();
        if len > state.file(&self.name)?.current().len() {
            state.room()?;
        }
        state.file(&self.name)?.set_len(len, after);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.mount.state()?;
        if state.trouble.failing_syncs > 0 {
            return Err(state.fail_sync(&self.name));
        }
        let number = state.next_barrier;
        state.next_barrier += 1;
        let blocking = state.blocking;
        let after = state.after();
        state.file(&self.name)?.barrier(number, after);
        if blocking {
            let (least, most) = state.sync_ms;
            let usual = state.draw.within(least..=most);
            let cost = Duration::from_millis(state.sync_ms(usual));
            let (database, generation) = (self.name.clone(), self.mount.generation);
            state.issued.push(Barrier { database, number, generation, cost });
        } else {
            state.file(&self.name)?.complete(number);
        }
        Ok(())
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        ended_unless(self.with(|file, after| file.write(offset, bytes, after))?)
    }

    fn close(&self) -> io::Result<()> {
        self.release();
        Ok(())
    }
}

fn ended_unless(fits: bool) -> io::Result<()> {
    if fits { Ok(()) } else { Err(io::Error::new(io::ErrorKind::UnexpectedEof, "beyond the file's end")) }
}
