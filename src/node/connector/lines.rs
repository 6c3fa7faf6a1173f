//! Lines out of a byte stream, each up to a limit.

use super::wire::LINE_MAX;
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, ReadBuf};

const CHUNK: usize = 16 << 10;

/// Why there is no further line.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    #[error("the connection was closed")]
    Closed,
    #[error("a line is longer than {LINE_MAX} bytes")]
    TooLong,
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// What was read and not yet taken.
#[derive(Debug, Default)]
pub struct Lines {
    buffer: Vec<u8>,
    /// Where the next line begins.
    start: usize,
    /// Up to where there is no line's end.
    scanned: usize,
}

impl Lines {
    /// The next line, without its end. Nothing is lost when the wait is given up.
    pub fn poll_next<S: AsyncRead + Unpin + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
    ) -> Poll<Result<Vec<u8>, LineError>> {
        loop {
            if let Some(line) = self.take() {
                return Poll::Ready(Ok(line));
            }
            if self.buffer.len() - self.start > LINE_MAX {
                return Poll::Ready(Err(LineError::TooLong));
            }
            self.buffer.drain(..self.start);
            self.scanned -= self.start;
            self.start = 0;
            let mut chunk = [0; CHUNK];
            let mut read = ReadBuf::new(&mut chunk);
            ready!(Pin::new(&mut *stream).poll_read(cx, &mut read))?;
            if read.filled().is_empty() {
                return Poll::Ready(Err(LineError::Closed));
            }
            self.buffer.extend_from_slice(read.filled());
        }
    }

    fn take(&mut self) -> Option<Vec<u8>> {
        let Some(length) = self.buffer[self.scanned..].iter().position(|byte| *byte == b'\n') else {
            self.scanned = self.buffer.len();
            return None;
        };
        let end = self.scanned + length;
        let line = &self.buffer[self.start..end];
        let line = line.strip_suffix(b"\r").unwrap_or(line).to_vec();
        self.start = end + 1;
        self.scanned = self.start;
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use tokio::io::AsyncWriteExt;

    async fn next(lines: &mut Lines, stream: &mut tokio::io::DuplexStream) -> Result<Vec<u8>, LineError> {
        poll_fn(|cx| lines.poll_next(cx, stream)).await
    }

    #[tokio::test]
    async fn lines_come_out_however_the_bytes_come_in() {
        let text = b"first\n\r\n{\"a\":1}\r\nlast\nrest";
        for size in 1..text.len() {
            let (mut sender, mut receiver) = tokio::io::duplex(64 << 10);
            let mut lines = Lines::default();
            for part in text.chunks(size) {
                sender.write_all(part).await.expect("room");
            }
            drop(sender);
            for expected in ["first", "", "{\"a\":1}", "last"] {
                assert_eq!(next(&mut lines, &mut receiver).await.expect("a line"), expected.as_bytes());
            }
            let end = next(&mut lines, &mut receiver).await;
            assert!(matches!(end, Err(LineError::Closed)), "a part of a line is none");
        }
    }

    #[tokio::test]
    async fn a_line_without_end_is_given_up_at_the_limit() {
        let (mut sender, mut receiver) = tokio::io::duplex(1 << 20);
        let flood = async { while sender.write_all(&[b'x'; CHUNK]).await.is_ok() {} };
        let mut lines = Lines::default();
        let end = tokio::select! {
            biased;
            end = next(&mut lines, &mut receiver) => end,
            () = flood => panic!("nobody stops writing"),
        };
        assert!(matches!(end, Err(LineError::TooLong)));
        assert!(lines.buffer.len() <= LINE_MAX + CHUNK + 1);
    }
}
