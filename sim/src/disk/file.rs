//! One database file: what the process sees, what survives a crash, and the operations between.

use super::image::{Image, Piece, pieces};
use crate::draw::Draw;

/// The smallest unit that a disk writes whole.
const SECTOR: usize = 512;

/// An operation that is not durable yet.
#[derive(Debug)]
struct Operation {
    /// The barrier that the process waited for before: until it completes, this has not happened.
    after: Option<u64>,
    kind: OperationKind,
}

#[derive(Debug)]
enum OperationKind {
    Write(Piece),
    SetLen(u64),
    /// Everything before it becomes durable once the barrier of this number completes.
    Barrier(u64),
}

/// A file with its log of operations since the last completed barrier.
#[derive(Debug, Default)]
pub(super) struct DiskFile {
    current: Image,
    durable: Image,
    log: Vec<Operation>,
    /// The barrier before its creation.
    created_after: Option<u64>,
    /// Deleted, after this barrier.
    deleted: Option<Option<u64>>,
}

/// What a crash did to a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Torn {
    /// Sectors written since the last completed barrier that survived.
    pub kept: usize,
    /// And those that did not.
    pub lost: usize,
}

impl DiskFile {
    /// An empty file, created after that barrier.
    pub(super) fn new(created_after: Option<u64>) -> Self {
        Self { created_after, ..Self::default() }
    }

    /// Whether the process still sees it.
    pub(super) const fn exists(&self) -> bool {
        self.deleted.is_none()
    }

    /// The process deletes it, after that barrier.
    pub(super) const fn delete(&mut self, after: Option<u64>) {
        self.deleted = Some(after);
    }

    pub(super) const fn current(&self) -> &Image {
        &self.current
    }

    pub(super) fn write(&mut self, offset: u64, bytes: &[u8], after: Option<u64>) -> bool {
        let fits = self.current.contains(offset, bytes.len());
        if fits {
            for piece in pieces(offset, bytes) {
                let fits = self.current.put(&piece);
                assert!(fits, "a piece of a write that fits, fits");
                self.log.push(Operation { after, kind: OperationKind::Write(piece) });
            }
        }
        fits
    }

    pub(super) fn set_len(&mut self, len: u64, after: Option<u64>) {
        self.current.set_len(len);
        self.log.push(Operation { after, kind: OperationKind::SetLen(len) });
    }

    pub(super) fn barrier(&mut self, number: u64, after: Option<u64>) {
        self.log.push(Operation { after, kind: OperationKind::Barrier(number) });
    }

    /// A sync fails: of what it should have made durable some is lost for ever, although the process still
    /// sees it, and the rest waits for the next sync.
    pub(super) fn fail_sync(&mut self, draw: &mut Draw) {
        let keep = *draw.pick(&[0, 500, 1_000]).expect("not empty");
        self.log.retain(|operation| match operation.kind {
            OperationKind::Write(_) => draw.chance(keep),
            OperationKind::SetLen(_) | OperationKind::Barrier(_) => true,
        });
    }

    /// What a power failure left, as a file of its own.
    pub(super) fn survivor(&self) -> Self {
        Self { current: self.current.clone(), durable: self.current.clone(), ..Self::default() }
    }

    /// Flips one bit of a page that holds something: byte and bit.
    pub(super) fn flip(&mut self, pick: u64) -> Option<(u64, u64)> {
        let (page, offset) = self.current.written_page(pick)?;
        let within = (pick / 7) % page.len() as u64;
        let bit = pick % 8;
        let byte = page[usize::try_from(within).expect("pages are small")] ^ (1 << bit);
        let at = offset + within;
        let flipped = self.current.write(at, &[byte]) && self.durable.write(at, &[byte]);
        flipped.then_some((at, bit))
    }

    /// The barrier completed: what came before it is durable. A barrier that a later one has
    /// overtaken is gone already.
    pub(super) fn complete(&mut self, number: u64) {
        let is_it = |o: &Operation| matches!(o.kind, OperationKind::Barrier(n) if n == number);
        let Some(end) = self.log.iter().position(is_it) else { return };
        for operation in self.log.drain(..=end) {
            match operation.kind {
                OperationKind::Write(piece) => {
                    let fits = self.durable.put(&piece);
                    assert!(fits, "a write that fitted the file fits its durable copy");
                }
                OperationKind::SetLen(len) => self.durable.set_len(len),
                OperationKind::Barrier(_) => {}
            }
        }
    }

    /// Power fails while `is_open` barriers are on their way: of the sectors written since the last
    /// completed barrier, any subset survives; what would have come after an open barrier has not
    /// happened. Lengths are metadata of a journaling file system and survive in order. `None`: the
    /// file is not there any more, or not yet.
    pub(super) fn crash(&mut self, draw: &mut Draw, is_open: impl Fn(u64) -> bool) -> Option<Torn> {
        let has_happened = |after: Option<u64>| !after.is_some_and(&is_open);
        if !has_happened(self.created_after) || self.deleted.is_some_and(has_happened) {
            return None;
        }
        self.deleted = None;
        let keep = *draw.pick(&[0, 100, 500, 900, 1_000]).expect("not empty");
        let mut torn = Torn::default();
        for operation in self.log.drain(..).filter(|o| has_happened(o.after)) {
            match operation.kind {
                OperationKind::SetLen(len) => self.durable.set_len(len),
                OperationKind::Barrier(_) => {}
                OperationKind::Write(piece) => {
                    for (at, sector) in sectors(piece.offset(), piece.bytes()) {
                        if draw.chance(keep) && self.durable.write(at, sector) {
                            torn.kept += 1;
                        } else {
                            torn.lost += 1;
                        }
                    }
                }
            }
        }
        self.current = self.durable.clone();
        Some(torn)
    }
}

/// The pieces of a write that lie in different sectors.
fn sectors(offset: u64, bytes: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    let mut at = offset;
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let room = SECTOR - (at % SECTOR as u64) as usize;
        let (piece, tail) = rest.split_at(room.min(rest.len()));
        let item = (at, piece);
        at += piece.len() as u64;
        rest = tail;
        Some(item)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(file: &DiskFile) -> Vec<u8> {
        let mut out = vec![0; file.current().len() as usize];
        assert!(file.current().read(0, &mut out));
        out
    }

    #[test]
    fn a_completed_barrier_survives_and_what_follows_it_may_not() {
        let (mut kept_some, mut lost_some) = (false, false);
        for seed in 0..64 {
            let mut file = DiskFile::default();
            file.set_len(4 * SECTOR as u64, None);
            assert!(file.write(0, &[1; 4 * SECTOR], None));
            file.barrier(1, None);
            file.complete(1);
            assert!(file.write(100, &[2; 3 * SECTOR], None));
            file.barrier(2, None);
            let torn = file.crash(&mut Draw::new(seed, "disk"), |n| n == 2).expect("it exists");
            let now = content(&file);
            assert_eq!(torn.kept + torn.lost, 4, "a write of three sectors at 100 touches four");
            assert!(now.iter().all(|b| matches!(b, 1 | 2)));
            assert!(now[..100].iter().all(|b| *b == 1), "never written again");
            for sector in now[SECTOR..3 * SECTOR].chunks(SECTOR) {
                assert!(sector.iter().all(|b| b == &sector[0]), "a sector is never torn inside");
            }
            kept_some |= torn.kept > 0;
            lost_some |= torn.lost > 0;
        }
        assert!(kept_some && lost_some);
    }

    #[test]
    fn what_waits_for_an_open_barrier_has_not_happened() {
        for seed in 0..64 {
            let mut draw = Draw::new(seed, "disk");
            let mut file = DiskFile::default();
            file.set_len(2, None);
            file.barrier(1, None);
            file.complete(1);
            assert!(file.write(0, &[1], None));
            file.barrier(2, None);
            assert!(file.write(1, &[2], Some(2)));
            file.delete(Some(2));
            assert!(file.crash(&mut draw, |n| n == 2).is_some(), "not deleted yet");
            assert!(file.exists());
            assert_eq!(content(&file)[1], 0, "not written yet");
            let mut later = DiskFile::new(Some(2));
            assert_eq!(later.crash(&mut draw, |n| n == 2), None, "not created yet");
            file.delete(Some(2));
            assert_eq!(file.crash(&mut draw, |_| false), None, "deleted");
        }
    }

    #[test]
    fn a_later_barrier_covers_an_earlier_one() {
        let mut file = DiskFile::default();
        file.set_len(2, None);
        assert!(file.write(0, &[1], None));
        file.barrier(1, None);
        assert!(file.write(1, &[2], None));
        file.barrier(2, None);
        file.complete(2);
        file.complete(1);
        assert!(file.crash(&mut Draw::new(0, "disk"), |_| false).is_some());
        assert_eq!(content(&file), [1, 2]);
    }
}
