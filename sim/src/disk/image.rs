//! The content of a file, in memory; pages that were never written take none.

const PAGE: usize = 4096;

/// A file's content. Unwritten parts read as zero.
#[derive(Debug, Clone, Default)]
pub(super) struct Image {
    len: u64,
    pages: Vec<Option<Box<[u8; PAGE]>>>,
}

impl Image {
    /// In bytes.
    pub(super) const fn len(&self) -> u64 {
        self.len
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
            page[inside..].fill(0);
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
        if !self.contains(offset, bytes.len()) {
            return false;
        }
        for (page, within, range) in spans(offset, bytes.len()) {
            let target = self.pages[page].get_or_insert_with(|| Box::new([0; PAGE]));
            target[within..within + range.len()].copy_from_slice(&bytes[range]);
        }
        true
    }

    fn contains(&self, offset: u64, len: usize) -> bool {
        offset.checked_add(len as u64).is_some_and(|end| end <= self.len)
    }
}

/// The pieces of `len` bytes from `offset` on: page, place in the page, range of the bytes.
fn spans(offset: u64, len: usize) -> impl Iterator<Item = (usize, usize, std::ops::Range<usize>)> {
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
}
