//! Backends that redb is handed: the host's as it is, and one that never writes to it.

use crate::node::services::Storage;
use redb::{BackendError, StorageBackend};
use std::{
    collections::BTreeMap,
    io,
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard},
};

macro_rules! locks_of {
    ($field:tt) => {
        fn close(&self) -> io::Result<()> {
            self.$field.close()
        }

        fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
            self.$field.try_lock_range(start, end)
        }

        fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
            self.$field.try_lock_shared_range(start, end)
        }

        fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
            self.$field.lock_range(start, end)
        }

        fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
            self.$field.lock_shared_range(start, end)
        }

        fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
            self.$field.unlock_range(start, end)
        }

        fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
            self.$field.query_lock_range(start, end)
        }
    };
}

/// The host's backend, unboxed for redb.
#[derive(Debug)]
pub(super) struct Direct(pub Box<dyn StorageBackend>);

impl StorageBackend for Direct {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }

    locks_of!(0);
}

/// Empties a file whose creation was cut short. redb writes its magic number when everything else is on
/// the disk, and refuses a file without it for ever. Such a file has nothing behind its header; one that
/// has lost its magic number has, and stays as it is.
pub(super) fn empty_if_unborn(backend: &dyn StorageBackend) -> io::Result<()> {
    const MAGIC_BYTES: u64 = 9;
    const HEADER_BYTES: u64 = 512;
    let len = backend.len()?;
    let mut piece = vec![0; 1 << 16];
    let mut is_zero = |from: u64, to: u64| {
        let mut at = from;
        while at < to {
            let count = (to - at).min(piece.len() as u64);
            let piece = &mut piece[..count as usize];
            backend.read(at, piece)?;
            if piece.iter().any(|byte| *byte != 0) {
                return Ok::<_, io::Error>(false);
            }
            at += count;
        }
        Ok(true)
    };
    if len > 0 && is_zero(0, len.min(MAGIC_BYTES))? && is_zero(HEADER_BYTES, len)? {
        backend.set_len(0)?;
    }
    Ok(())
}

/// A storage whose databases open as usual, take the usual locks, and keep every change in memory:
/// whoever verifies a journal does not touch it, not even to mark it as cleanly closed.
#[derive(Debug)]
pub(super) struct ReadOnly(pub Arc<dyn Storage>);

impl Storage for ReadOnly {
    fn list(&self) -> io::Result<Vec<String>> {
        self.0.list()
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn StorageBackend>> {
        if !self.0.list()?.iter().any(|n| n == name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let inner = self.0.open(name)?;
        let len = inner.len()?;
        Ok(Box::new(Overlay {
            inner,
            changes: Mutex::new(Changes { len, inner_len: len, blocks: BTreeMap::new() }),
        }))
    }

    fn remove(&self, _: &str) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
}

const BLOCK: u64 = 4_096;

#[derive(Debug)]
struct Overlay {
    inner: Box<dyn StorageBackend>,
    changes: Mutex<Changes>,
}

#[derive(Debug)]
struct Changes {
    len: u64,
    /// How much of the file below still shows: what was cut off does not come back.
    inner_len: u64,
    /// Changed blocks by number.
    blocks: BTreeMap<u64, Vec<u8>>,
}

impl Overlay {
    fn changes(&self) -> MutexGuard<'_, Changes> {
        self.changes.lock().expect("nothing panics while it holds the changes")
    }

    fn block(&self, changes: &Changes, number: u64) -> io::Result<Vec<u8>> {
        if let Some(block) = changes.blocks.get(&number) {
            return Ok(block.clone());
        }
        let mut block = vec![0; BLOCK as usize];
        let shown = changes.inner_len.saturating_sub(number * BLOCK).min(BLOCK) as usize;
        if shown > 0 {
            self.inner.read(number * BLOCK, &mut block[..shown])?;
        }
        Ok(block)
    }
}

/// The pieces of `len` bytes from `offset` on: block number, place in the block, place in the buffer, length.
fn pieces(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, usize, usize)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset + done as u64;
        let within = (at % BLOCK) as usize;
        let count = (BLOCK as usize - within).min(len - done);
        let piece = (at / BLOCK, within, done, count);
        done += count;
        (count > 0).then_some(piece)
    })
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.changes().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let changes = self.changes();
        if offset.checked_add(out.len() as u64).is_none_or(|end| end > changes.len) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for (number, within, at, count) in pieces(offset, out.len()) {
            let block = self.block(&changes, number)?;
            out[at..at + count].copy_from_slice(&block[within..within + count]);
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut changes = self.changes();
        if len < changes.len {
            changes.blocks.retain(|number, _| number * BLOCK < len);
            if let Some(last) = changes.blocks.get_mut(&(len / BLOCK)) {
                last[(len % BLOCK) as usize..].fill(0);
            }
            changes.inner_len = changes.inner_len.min(len);
        }
        changes.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut changes = self.changes();
        for (number, within, at, count) in pieces(offset, data.len()) {
            let mut block = self.block(&changes, number)?;
            block[within..within + count].copy_from_slice(&data[at..at + count]);
            changes.blocks.insert(number, block);
        }
        Ok(())
    }

    locks_of!(inner);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};
    use redb::backends::InMemoryBackend;

    #[derive(Debug, Clone)]
    enum Op {
        Write(u64, Vec<u8>),
        SetLen(u64),
        Read(u64, usize),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            (0..20_000_u64, vec(1_u8.., 1..9_000)).prop_map(|(at, bytes)| Op::Write(at, bytes)),
            (0..20_000_u64).prop_map(Op::SetLen),
            (0..20_000_u64, 0..9_000_usize).prop_map(|(at, len)| Op::Read(at, len)),
        ]
    }

    proptest! {
        #[test]
        fn an_overlay_reads_like_the_file_and_leaves_it_alone(
            below in vec(any::<u8>(), 0..15_000), ops in vec(op(), 1..20),
        ) {
            let inner = InMemoryBackend::new();
            inner.set_len(below.len() as u64).expect("memory");
            inner.write(0, &below).expect("memory");
            let len = below.len() as u64;
            let changes = Mutex::new(Changes { len, inner_len: len, blocks: BTreeMap::new() });
            let overlay = Overlay { inner: Box::new(inner), changes };
            let mut model = below.clone();
            for op in ops {
                match op {
                    Op::Write(at, bytes) => {
                        // redb writes within the length that it has set
                        let room = model.len().saturating_sub(at as usize).min(bytes.len());
                        if room > 0 {
                            overlay.write(at, &bytes[..room]).expect("in range");
                            model[at as usize..at as usize + room].copy_from_slice(&bytes[..room]);
                        }
                    }
                    Op::SetLen(len) => {
                        overlay.set_len(len).expect("memory");
                        model.resize(len as usize, 0);
                    }
                    Op::Read(at, len) => {
                        let mut out = vec![0; len];
                        let read = overlay.read(at, &mut out);
                        match model.get(at as usize..at as usize + len) {
                            Some(expected) => prop_assert_eq!(read.map(|()| out).expect("in range"), expected),
                            None => prop_assert!(read.is_err()),
                        }
                    }
                }
                prop_assert_eq!(overlay.len().expect("memory"), model.len() as u64);
            }
            let mut untouched = vec![0; below.len()];
            overlay.inner.read(0, &mut untouched).expect("in range");
            prop_assert_eq!(untouched, below);
        }
    }
}
