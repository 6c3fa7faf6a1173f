//! A named stream of text: a plain, gzip or zip file, or anything else that can be read.

use super::{DataError, layout::Layout, zip_member};
use flate2::read::MultiGzDecoder;
use std::{
    fs::File,
    io::{self, Cursor, Read, Seek},
    path::Path,
    sync::Arc,
};

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const UTF8_BOM: [u8; 3] = [0xef, 0xbb, 0xbf];
/// No line of a sane file is longer; a file without line ends must not fill the memory.
const MAX_LINE_BYTES: usize = 64 * 1024;

/// Text to read, what its rows are, and the name that errors give it.
pub struct Source {
    pub(super) name: Arc<str>,
    pub(super) layout: Layout,
    pub(super) text: Box<dyn Read + Send>,
}

impl Source {
    /// Opens a file. Compression and layout are recognised by content, not by name.
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let name = path.display().to_string();
        match File::open(path) {
            Ok(file) => Self::new(&name, file),
            Err(source) => Err(DataError::Io { file: name.into(), source }),
        }
    }

    /// Takes any stream, plain, gzip or a zip archive of one CSV file; `name` is for errors, and may hold
    /// the day of LEAN's ticks. Only an archive is sought in, so the others may come through a pipe.
    pub fn new(name: &str, stream: impl Read + Seek + Send + 'static) -> Result<Self, DataError> {
        let title = Path::new(name).file_name().unwrap_or_default().to_string_lossy().into_owned();
        let name: Arc<str> = name.into();
        let failed = |source| DataError::Io { file: name.clone(), source };
        let (head, mut stream) = sniff(stream, zip_member::MAGIC_LEN).map_err(failed)?;
        let (member, plain): (_, Box<dyn Read + Send>) = if zip_member::is_archive(&head) {
            let piped = |_| io::Error::other("a zip archive must be a file: it cannot come through a pipe");
            stream.rewind().map_err(piped).map_err(failed)?;
            zip_member::open(stream).map_err(failed)?
        } else if head.starts_with(&GZIP_MAGIC) {
            (String::new(), Box::new(MultiGzDecoder::new(Cursor::new(head).chain(stream))))
        } else {
            (String::new(), Box::new(Cursor::new(head).chain(stream)))
        };
        let (mut head, rest) = sniff(plain, UTF8_BOM.len()).map_err(failed)?;
        if head == UTF8_BOM {
            head.clear();
        }
        let mut text = LineLimit { inner: Cursor::new(head).chain(rest), line_bytes: 0 };
        let head = through_first_line(&mut text).map_err(failed)?;
        let first_line = head.split(|byte| *byte == b'\n').find(|line| !line.trim_ascii().is_empty());
        let layout = Layout::recognise(&name, first_line.unwrap_or_default(), &[&member, &title])?;
        Ok(Self { text: Box::new(Cursor::new(head).chain(text)), layout, name })
    }
}

/// Reads the first `len` bytes, fewer at the end of the stream, however small its reads are.
fn sniff<R: Read>(mut stream: R, len: usize) -> io::Result<(Vec<u8>, R)> {
    let mut head = Vec::with_capacity(len);
    stream.by_ref().take(len as u64).read_to_end(&mut head)?;
    Ok((head, stream))
}

/// Reads until there is a line that is not blank, but no further than a line may be long.
fn through_first_line(text: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    let mut chunk = [0; 512];
    while head.len() < MAX_LINE_BYTES {
        let count = match text.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        head.extend_from_slice(&chunk[..count]);
        let has_line = |line: &[u8]| line.ends_with(b"\n") && !line.trim_ascii().is_empty();
        if head.split_inclusive(|byte| *byte == b'\n').any(has_line) {
            break;
        }
    }
    Ok(head)
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
