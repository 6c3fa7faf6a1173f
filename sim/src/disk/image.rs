//! The content of a file, in memory; pages that were never written take none, and images share those
//! in which they do not differ.

use std::{ops::Range, sync::Arc};

const PAGE: usize = 4096;

/// A file's content. Unwritten parts read as zero.
#[derive(Debug, Clone, Default)]
pub(super) struct Image {
    len: u64,
    pages: Vec<Option<Arc<[u8; PAGE]>>>,
}

/// Bytes that lie in one page.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    page: usize,
    within: usize,
    bytes: Bytes,
}

/// What is written is kept three times: in the image that the process sees, in the log, and in what survives.
/// Whole pages are shared between them.
#[derive(Debug, Clone)]
enum Bytes {
    Whole(Arc<[u8; PAGE]>),
    Part(Box<[u8]>),
}

impl Piece {
    /// Where it begins in the file.
    pub(super) const fn offset(&self) -> u64 {
        (self.page * PAGE + self.within) as u64
    }

    /// What it holds.
    pub(super) fn bytes(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Whole(page) => &page[..],
            Bytes::Part(bytes) => bytes,
        }
    }
}

/// A write, piece by piece.
pub(super) fn pieces(offset: u64, bytes: &[u8]) -> impl Iterator<Item = Piece> {
    spans(offset, bytes.len()).map(move |(page, within, range)| {
        let bytes = &bytes[range];
        let bytes = match <&[u8; PAGE]>::try_from(bytes) {
            Ok(whole) => Bytes::Whole(Arc::new(*whole)),
            Err(_) => Bytes::Part(bytes.into()),
        };
        Piece { page, within, bytes }
    })
}

impl Image {
    /// In bytes.
    pub(super) const fn len(&self) -> u64 {
        self.len
    }

    /// One of the pages that hold something, and where it begins. `None` if there is none.
    pub(super) fn written_page(&self, pick: u64) -> Option<(&[u8; PAGE], u64)> {
        let written: Vec<usize> = (0..self.pages.len()).filter(|page| self.pages[*page].is_some()).collect();
        let page = *written.get(usize::try_from(pick % written.len().max(1) as u64).ok()?)?;
        let bytes = self.pages[page].as_ref()?;
        let offset = (page * PAGE) as u64;
        // the last page may end beyond the file
        (offset + PAGE as u64 <= self.len).then_some((bytes, offset))
    }

    /// Grows with zeros or cuts.
    pub(super) fn set_len(&mut self, len: u64) {
        let kept = usize::try_from(len.div_ceil(PAGE as u64)).expect("simulated files fit in memory");
        self.pages.resize_with(kept, || None);
        let inside = (len % PAGE as u64) as usize;
        if len < self.len
            && inside > 0
            && let Some(Some(page)) = self.pages.last_mut()
        {
            Arc::make_mut(page)[inside..].fill(0);
        }
        self.len = len;
    }

    /// Fills `out` from `offset` on. False if the file ends before.
    #[must_use]
    pub(super) fn read(&self, offset: u64, out: &mut [u8]) -> bool {
        if !self.contains(offset, out.len()) {
            return false;
        }
        for (page, within, range) in spans(offset, out.len()) {
            match &self.pages[page] {
                Some(bytes) => out[range.clone()].copy_from_slice(&bytes[within..within + range.len()]),
                None => out[range].fill(0),
            }
        }
        true
    }

    /// Replaces the bytes from `offset` on. False if the file ends before.
    #[must_use]
    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) -> bool {
        let fits = self.contains(offset, bytes.len());
        if fits {
            for (page, within, range) in spans(offset, bytes.len()) {
                self.overwrite(page, within, &bytes[range]);
            }
        }
        fits
    }

    /// The same for a piece, whose page it shares if it can.
    #[must_use]
    pub(super) fn put(&mut self, piece: &Piece) -> bool {
        let fits = self.contains(piece.offset(), piece.bytes().len());
        if fits {
            match &piece.bytes {
                Bytes::Whole(page) => self.pages[piece.page] = Some(Arc::clone(page)),
                Bytes::Part(bytes) => self.overwrite(piece.page, piece.within, bytes),
            }
        }
        fits
    }

    fn overwrite(&mut self, page: usize, within: usize, bytes: &[u8]) {
        let page = self.pages[page].get_or_insert_with(|| Arc::new([0; PAGE]));
        Arc::make_mut(page)[within..within + bytes.len()].copy_from_slice(bytes);
    }

    /// Whether so many bytes from `offset` on lie in the file.
    pub(super) fn contains(&self, offset: u64, len: usize) -> bool {
        offset.checked_add(len as u64).is_some_and(|end| end <= self.len)
    }
}

/// The pieces of `len` bytes from `offset` on: page, place in the page, range of the bytes.
fn spans(offset: u64, len: usize) -> impl Iterator<Item = (usize, usize, Range<usize>)> {
    let start = offset as usize;
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == len {
            return None;
        }
        let at = start + done;
        let within = at % PAGE;
        let from = done;
        done += (PAGE - within).min(len - done);
        Some((at / PAGE, within, from..done))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_behaves_as_a_plain_byte_vector() {
        let mut draw = crate::draw::Draw::new(3, "image");
        let mut image = Image::default();
        let mut model: Vec<u8> = Vec::new();
        for step in 0..2_000_u64 {
            let offset = draw.within(0..=20_000);
            if draw.chance(100) {
                image.set_len(offset);
                model.resize(offset as usize, 0);
            } else if draw.chance(500) {
                let bytes = vec![step as u8; draw.within(0..=9_000) as usize];
                let fits = offset as usize + bytes.len() <= model.len();
                assert_eq!(image.write(offset, &bytes), fits);
                if fits {
                    model[offset as usize..offset as usize + bytes.len()].copy_from_slice(&bytes);
                }
            } else {
                let mut out = vec![9; draw.within(0..=9_000) as usize];
                let end = offset as usize + out.len();
                assert_eq!(image.read(offset, &mut out), end <= model.len());
                if end <= model.len() {
                    assert_eq!(out, model[offset as usize..end]);
                }
            }
            assert_eq!(image.len(), model.len() as u64);
        }
    }

    #[test]
    fn images_that_share_pages_change_apart() {
        const LEN: u64 = 5 * PAGE as u64;
        let mut draw = crate::draw::Draw::new(4, "image");
        let mut images = [Image::default(), Image::default()];
        images.iter_mut().for_each(|image| image.set_len(LEN));
        let mut models = [vec![0; LEN as usize], vec![0; LEN as usize]];
        let (mut whole, mut parts) = (0, 0);
        for step in 0..500_u64 {
            let halves = draw.within(0..=9);
            let offset = halves * (PAGE / 2) as u64;
            let bytes = vec![step as u8; draw.within(1..=10 - halves) as usize * (PAGE / 2)];
            let both = draw.chance(300);
            for piece in pieces(offset, &bytes) {
                match piece.bytes {
                    Bytes::Whole(_) => whole += 1,
                    Bytes::Part(_) => parts += 1,
                }
                assert!(images[0].put(&piece));
                assert!(!both || images[1].put(&piece));
            }
            for model in &mut models[..=usize::from(both)] {
                model[offset as usize..][..bytes.len()].copy_from_slice(&bytes);
            }
            images.reverse();
            models.reverse();
            for (image, model) in images.iter().zip(&models) {
                let mut out = vec![0; LEN as usize];
                assert!(image.read(0, &mut out));
                assert_eq!(out, *model);
            }
        }
        assert!(whole > 50 && parts > 50);
    }
}
