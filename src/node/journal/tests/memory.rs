//! A storage in memory, with what a disk can do to it.

use crate::node::services::Storage;
use redb::StorageBackend;
use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard},
};

/// Databases in memory. A clone is the same storage.
#[derive(Debug, Clone, Default)]
pub struct Memory(Arc<Mutex<Files>>);

#[derive(Debug, Default)]
struct Files {
    files: BTreeMap<String, File>,
    /// Every write and sync fails.
    broken: bool,
    /// Writes so far.
    writes: u64,
}

#[derive(Debug, Default)]
struct File {
    bytes: Vec<u8>,
    open: bool,
}

impl Memory {
    fn files(&self) -> MutexGuard<'_, Files> {
        self.0.lock().expect("nothing panics while it holds the files")
    }

    /// What a restart finds after the process was killed now: the bytes, no lock, nothing closed.
    pub fn after_kill(&self) -> Self {
        let copy =
            |(name, file): (&String, &File)| (name.clone(), File { bytes: file.bytes.clone(), open: false });
        let files = self.files().files.iter().map(copy).collect();
        Self(Arc::new(Mutex::new(Files { files, ..Files::default() })))
    }

    /// From now on nothing can be written.
    pub fn break_disk(&self) {
        self.files().broken = true;
    }

    /// It can be written again.
    pub fn mend_disk(&self) {
        self.files().broken = false;
    }

    /// Writes so far.
    pub fn writes(&self) -> u64 {
        self.files().writes
    }

    /// The bytes of a database.
    pub fn bytes(&self, name: &str) -> Vec<u8> {
        self.files().files[name].bytes.clone()
    }

    /// Replaces or creates a database.
    pub fn put(&self, name: &str, bytes: Vec<u8>) {
        self.files().files.insert(name.to_owned(), File { bytes, open: false });
    }
}

impl Storage for Memory {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.files().files.keys().cloned().collect())
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn StorageBackend>> {
        let mut files = self.files();
        let file = files.files.entry(name.to_owned()).or_default();
        if file.open {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        file.open = true;
        Ok(Box::new(Handle { storage: self.clone(), name: name.to_owned() }))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.files().files.remove(name).map(|_| ()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

#[derive(Debug)]
struct Handle {
    storage: Memory,
    name: String,
}

impl Handle {
    fn with<T>(&self, work: impl FnOnce(&mut Vec<u8>) -> io::Result<T>) -> io::Result<T> {
        let mut files = self.storage.files();
        let file = files.files.get_mut(&self.name).ok_or(io::ErrorKind::NotFound)?;
        work(&mut file.bytes)
    }

    fn changing(&self) -> io::Result<()> {
        let mut files = self.storage.files();
        files.writes += 1;
        if files.broken { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Some(file) = self.storage.files().files.get_mut(&self.name) {
            file.open = false;
        }
    }
}

impl StorageBackend for Handle {
    fn len(&self) -> io::Result<u64> {
        self.with(|bytes| Ok(bytes.len() as u64))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.with(|bytes| {
            let from = offset as usize;
            let part = bytes.get(from..from + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
            out.copy_from_slice(part);
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.changing()?;
        self.with(|bytes| {
            bytes.resize(len as usize, 0);
            Ok(())
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.changing()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.changing()?;
        self.with(|bytes| {
            let from = offset as usize;
            bytes.get_mut(from..from + data.len()).ok_or(io::ErrorKind::UnexpectedEof)?.copy_from_slice(data);
            Ok(())
        })
    }
}
