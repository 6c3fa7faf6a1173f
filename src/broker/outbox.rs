//! Lines that wait for a client of the link, up to a limit.

use crate::node::connector::wire::{self, VenueFrame};
use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::AsyncWrite;

/// Above this nothing further is made ready: whoever reads slowly gets it later.
const CROWDED_BYTES: usize = 256 << 10;

#[derive(Debug, Default)]
pub(super) struct Outbox {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    /// Bytes of the first line that are out.
    written: usize,
    /// Bytes that went out in all.
    sent: u64,
    /// Something was written since the stream was flushed.
    unflushed: bool,
}

impl Outbox {
    /// Appends a frame's line.
    pub fn push(&mut self, frame: &VenueFrame) {
        let line = wire::line(frame);
        self.bytes += line.len();
        self.lines.push_back(line);
    }

    /// Whether so much waits that no more should be added.
    pub const fn is_crowded(&self) -> bool {
        self.bytes > CROWDED_BYTES
    }

    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Grows with every byte that the peer takes.
    pub const fn sent(&self) -> u64 {
        self.sent
    }

    /// Writes as much as the stream takes. Ready when nothing waits any more.
    pub fn poll_write<S: AsyncWrite + Unpin + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
    ) -> Poll<io::Result<()>> {
        while let Some(line) = self.lines.front() {
            let count = ready!(Pin::new(&mut *stream).poll_write(cx, &line[self.written..]))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += count;
            self.unflushed = true;
            self.sent += count as u64;
            if self.written == line.len() {
                self.bytes -= line.len();
                self.written = 0;
                self.lines.pop_front();
            }
        }
        if self.unflushed {
            ready!(Pin::new(stream).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }
}
