//! One database file: what the process sees, what survives a crash, and the operations between.

use super::image::Image;
use crate::draw::Draw;

/// The smallest unit that a disk writes whole.
const SECTOR: usize = 512;

/// An operation that is not durable yet.
#[derive(Debug)]
enum Operation {
    Write {
        offset: u64,
        bytes: Box<[u8]>,
    },
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
    pub(super) const fn current(&self) -> &Image {
        &self.current
    }

    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) -> bool {
        let fits = self.current.write(offset, bytes);
        if fits {
            self.log.push(Operation::Write { offset, bytes: bytes.into() });
        }
        fits
    }

    pub(super) fn set_len(&mut self, len: u64) {
        self.current.set_len(len);
        self.log.push(Operation::SetLen(len));
    }

    pub(super) fn barrier(&mut self, number: u64) {
        self.log.push(Operation::Barrier(number));
    }

    /// The barrier completed: what came before it is durable. A barrier that a later one has
    /// overtaken is gone already.
    pub(super) fn complete(&mut self, number: u64) {
        let Some(end) = self.log.iter().position(|o| matches!(o, Operation::Barrier(n) if *n == number))
        else {
            return;
        };
        for operation in self.log.drain(..=end) {
            match operation {
                Operation::Write { offset, bytes } => {
                    let fits = self.durable.write(offset, &bytes);
                    assert!(fits, "a write that fitted the file fits its durable copy");
                }
                Operation::SetLen(len) => self.durable.set_len(len),
                Operation::Barrier(_) => {}
            }
        }
    }

    /// Power fails: of the sectors written since the last completed barrier, any subset survives.
    /// Lengths are metadata of a journaling file system and survive in order.
    pub(super) fn crash(&mut self, draw: &mut Draw) -> Torn {
        let keep = *draw.pick(&[0, 100, 500, 900, 1_000]).expect("not empty");
        let mut torn = Torn::default();
        for operation in self.log.drain(..) {
            match operation {
                Operation::SetLen(len) => self.durable.set_len(len),
                Operation::Barrier(_) => {}
                Operation::Write { offset, bytes } => {
                    for (at, sector) in sectors(offset, &bytes) {
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
        torn
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
            file.set_len(4 * SECTOR as u64);
            assert!(file.write(0, &[1; 4 * SECTOR]));
            file.barrier(1);
            file.complete(1);
            assert!(file.write(100, &[2; 3 * SECTOR]));
            file.barrier(2);
            let torn = file.crash(&mut Draw::new(seed, "disk"));
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
    fn a_later_barrier_covers_an_earlier_one() {
        let mut file = DiskFile::default();
        file.set_len(2);
        assert!(file.write(0, &[1]));
        file.barrier(1);
        assert!(file.write(1, &[2]));
        file.barrier(2);
        file.complete(2);
        file.complete(1);
        file.crash(&mut Draw::new(0, "disk"));
        assert_eq!(content(&file), [1, 2]);
    }
}
