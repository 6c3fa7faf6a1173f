//! A named stream of text: a plain or gzip file, or anything else that can be read.

use super::DataError;
use flate2::read::MultiGzDecoder;
use std::{
    fs::File,
    io::{self, Cursor, Read},
    path::Path,
    sync::Arc,
};

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const UTF8_BOM: [u8; 3] = [0xef, 0xbb, 0xbf];
/// No line of a sane file is longer; a file without line ends must not fill the memory.
const MAX_LINE_BYTES: usize = 64 * 1024;

/// Text to read, and the name that errors give it.
pub struct Source {
    pub(super) name: Arc<str>,
    pub(super) text: Box<dyn Read + Send>,
}

impl Source {
    /// Opens a file. Compression is recognised by content, not by name.
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let name = path.display().to_string();
        match File::open(path) {
            Ok(file) => Self::new(&name, file),
            Err(source) => Err(DataError::Io { file: name.into(), source }),
        }
    }

    /// Takes any stream, plain or gzip; `name` is for errors.
    pub fn new(name: &str, stream: impl Read + Send + 'static) -> Result<Self, DataError> {
        let name: Arc<str> = name.into();
        let failed = |source| DataError::Io { file: name.clone(), source };
        let (head, stream) = sniff(stream, GZIP_MAGIC.len()).map_err(failed)?;
        let plain: Box<dyn Read + Send> = if head == GZIP_MAGIC {
            Box::new(MultiGzDecoder::new(Cursor::new(head).chain(stream)))
        } else {
            Box::new(Cursor::new(head).chain(stream))
        };
        let (mut head, rest) = sniff(plain, UTF8_BOM.len()).map_err(failed)?;
        if head == UTF8_BOM {
            head.clear();
        }
        let text = LineLimit { inner: Cursor::new(head).chain(rest), line_bytes: 0 };
        Ok(Self { text: Box::new(text), name })
    }
}

/// Reads the first `len` bytes, fewer at the end of the stream, however small its reads are.
fn sniff<R: Read>(mut stream: R, len: usize) -> io::Result<(Vec<u8>, R)> {
    let mut head = Vec::with_capacity(len);
    stream.by_ref().take(len as u64).read_to_end(&mut head)?;
    Ok((head, stream))
}

/// Fails on a line longer than `MAX_LINE_BYTES`.
struct LineLimit<R> {
    inner: R,
    line_bytes: usize,
}

impl<R: Read> Read for LineLimit<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        for line in buffer[..count].split_inclusive(|byte| *byte == b'\n') {
            self.line_bytes += line.len();
            if self.line_bytes > MAX_LINE_BYTES {
                return Err(io::Error::other(format!("a line is longer than {MAX_LINE_BYTES} bytes")));
            }
            if line.ends_with(b"\n") {
                self.line_bytes = 0;
            }
        }
        Ok(count)
    }
}
