//! The one CSV file in a zip archive, inflated piece by piece and checked against what the archive says
//! about it: a member that is larger than stated, cut short or altered is an error.

use flate2::{Crc, read::DeflateDecoder};
use std::{
    borrow::Cow,
    io::{self, Read, Seek, SeekFrom},
};
use zip::{CompressionMethod, ZipArchive, result::ZipError};

/// How a zip archive begins: with a member, or empty, with its end.
const MAGIC: [[u8; MAGIC_LEN]; 2] = [*b"PK\x03\x04", *b"PK\x05\x06"];
pub(super) const MAGIC_LEN: usize = 4;

/// Whether a file that begins so is a zip archive.
pub(super) fn is_archive(head: &[u8]) -> bool {
    MAGIC.iter().any(|magic| head.starts_with(magic))
}

/// Opens the archive's only member; returns its name and its text.
pub(super) fn open<R: Read + Seek + Send + 'static>(
    archive: R,
) -> Result<(String, Box<dyn Read + Send>), io::Error> {
    let mut archive = ZipArchive::new(archive).map_err(unusable)?;
    let names: Result<Vec<String>, ZipError> = archive.file_names().map(|n| n.map(Cow::into_owned)).collect();
    let mut files = names.map_err(unusable)?;
    files.retain(|name| !name.ends_with('/'));
    let Ok([name]) = <[String; 1]>::try_from(files) else {
        return Err(refused("the archive must hold one CSV file, and nothing else".to_owned()));
    };
    if !name.to_ascii_lowercase().ends_with(".csv") {
        return Err(refused(format!("the archive's file `{name}` is not a CSV file")));
    }
    let index = archive.index_for_name(&name).ok_or_else(|| unusable(ZipError::FileNotFound))?;
    let member = archive.by_index_raw(index).map_err(unusable)?;
    if member.encrypted() {
        return Err(refused(format!("the archive's file `{name}` is encrypted")));
    }
    let (method, packed_bytes) = (member.compression(), member.compressed_size());
    let (left_bytes, crc) = (member.size(), member.crc32());
    let start = member.data_start().ok_or_else(|| refused("the archive is damaged".to_owned()))?;
    drop(member);
    let mut packed = archive.into_inner();
    packed.seek(SeekFrom::Start(start))?;
    let packed = packed.take(packed_bytes);
    let text: Box<dyn Read + Send> = match method {
        CompressionMethod::Stored => Box::new(packed),
        CompressionMethod::Deflated => Box::new(DeflateDecoder::new(packed)),
        other => {
            return Err(refused(format!("`{name}` is packed by {other}: only deflate can be read")));
        }
    };
    Ok((name, Box::new(Checked { text, left_bytes, crc, seen: Crc::new() })))
}

/// Text that must have the length and the checksum that the archive states.
struct Checked<R> {
    text: R,
    left_bytes: u64,
    crc: u32,
    seen: Crc,
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.text.read(buffer)?;
        self.seen.update(&buffer[..count]);
        let damaged = || io::Error::new(io::ErrorKind::InvalidData, "the archive is damaged");
        self.left_bytes = self.left_bytes.checked_sub(count as u64).ok_or_else(damaged)?;
        let ends = count == 0 && !buffer.is_empty();
        if ends && (self.left_bytes > 0 || self.seen.sum() != self.crc) {
            return Err(damaged());
        }
        Ok(count)
    }
}

fn refused(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

fn unusable(error: ZipError) -> io::Error {
    match error {
        ZipError::Io(error) => error,
        other => refused(format!("the archive cannot be read: {other}")),
    }
}
