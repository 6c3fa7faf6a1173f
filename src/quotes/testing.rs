//! Files for the readers' tests, whole and in pieces.

use super::Source;
use std::io::{Cursor, Read, Seek, SeekFrom, Write};
use zip::{ZipWriter, write::SimpleFileOptions};

/// Hands out so many whole lines a read, or so many bytes.
pub(super) struct Chunks {
    pub content: Cursor<Vec<u8>>,
    pub lines: usize,
    pub bytes: usize,
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let rest = &self.content.get_ref()[self.content.position() as usize..];
        let rest = &rest[..rest.len().min(self.bytes).min(buffer.len())];
        let count: usize = rest.split_inclusive(|b| *b == b'\n').take(self.lines).map(<[u8]>::len).sum();
        self.content.read(&mut buffer[..count])
    }
}

impl Seek for Chunks {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.content.seek(to)
    }
}

/// An archive of these files.
pub(super) fn zip(members: &[(&str, &str)]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, text) in members {
        writer.start_file(*name, SimpleFileOptions::default()).expect("memory takes all bytes");
        writer.write_all(text.as_bytes()).expect("memory takes all bytes");
    }
    writer.finish().expect("memory takes all bytes").into_inner()
}

pub(super) fn source(name: &str, content: impl Into<Vec<u8>>) -> Source {
    Source::new(name, Cursor::new(content.into())).expect("memory can be read")
}
