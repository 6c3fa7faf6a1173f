//! Back-pressure, which madsim's TCP lacks: towards certain peers a stream takes only so many bytes that
//! the peer has not read yet. A write beyond that waits, as it does at a socket whose peer does not read.

use crate::{
    probe::Coverage,
    trace::{Kind, Node, Tracer},
};
use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that may be unread.
const WINDOW_BYTES: usize = 16 << 10;

/// The windows of all streams to certain peers. Clones are the same.
#[derive(Clone)]
pub struct Windows(Arc<Shared>);

struct Shared {
    peers: Vec<IpAddr>,
    open: Mutex<BTreeMap<SocketAddr, Arc<Mutex<Window>>>>,
    tracer: Tracer,
    coverage: Coverage,
}

/// What both ends of a stream share.
#[derive(Default)]
struct Window {
    unread: usize,
    /// The reading end is gone: nothing holds writes back any more.
    abandoned: bool,
    writer: Option<Waker>,
}

/// One end of a stream, with its window if it has one.
pub struct Windowed<S> {
    inner: S,
    end: End,
}

enum End {
    Plain,
    /// Fills the window.
    Writing(Writing),
    /// Empties it.
    Reading(Arc<Mutex<Window>>),
}

struct Writing {
    window: Arc<Mutex<Window>>,
    /// A write waits.
    choked: bool,
    windows: Windows,
}

impl Windows {
    /// Windows towards these peers; streams to others are as they were.
    pub fn new(peers: Vec<IpAddr>, tracer: Tracer, coverage: Coverage) -> Self {
        Self(Arc::new(Shared { peers, open: Mutex::default(), tracer, coverage }))
    }

    /// The accepting end of a connection of `peer`.
    pub fn accepted<S>(&self, inner: S, peer: SocketAddr) -> Windowed<S> {
        let end = match self.window(peer) {
            Some(window) => End::Writing(Writing { window, choked: false, windows: self.clone() }),
            None => End::Plain,
        };
        Windowed { inner, end }
    }

    /// The end of whoever opened a connection from `own`.
    pub fn opened<S>(&self, inner: S, own: SocketAddr) -> Windowed<S> {
        let end = self.window(own).map_or(End::Plain, End::Reading);
        Windowed { inner, end }
    }

    /// Both ends meet at the opening end's address.
    fn window(&self, address: SocketAddr) -> Option<Arc<Mutex<Window>>> {
        if !self.0.peers.contains(&address.ip()) {
            return None;
        }
        let mut open = self.0.open.lock().unwrap_or_else(PoisonError::into_inner);
        // a port may be used again: the ends of before are gone then
        open.retain(|_, window| Arc::strong_count(window) > 1);
        Some(Arc::clone(open.entry(address).or_default()))
    }

    fn receipt(&self, fault: &str) {
        self.0.coverage.mark(fault);
        self.0.tracer.record(Node::Gateway, Kind::Fault, &format!(r#"{{"fault":"{fault}"}}"#));
    }
}

impl Writing {
    /// How many of `count` bytes have room; none: the writer is woken when there is room.
    fn room(&mut self, count: usize, context: &Context<'_>) -> usize {
        let mut window = lock(&self.window);
        let room = if window.abandoned { count } else { WINDOW_BYTES - window.unread };
        if room == 0 && count > 0 {
            window.writer = Some(context.waker().clone());
            drop(window);
            if !self.choked {
                self.choked = true;
                self.windows.receipt("stream_choked");
            }
            return 0;
        }
        self.choked = false;
        room.min(count)
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        if self.choked {
            self.windows.receipt("choked_stream_ended");
        }
    }
}

impl<S> Drop for Windowed<S> {
    fn drop(&mut self) {
        if let End::Reading(window) = &self.end {
            let mut window = lock(window);
            window.abandoned = true;
            wake(&mut window);
        }
    }
}

fn lock(window: &Mutex<Window>) -> MutexGuard<'_, Window> {
    window.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wake(window: &mut Window) {
    if let Some(writer) = window.writer.take() {
        writer.wake();
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Windowed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = out.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(context, out);
        let count = out.filled().len() - before;
        if count > 0
            && let End::Reading(window) = &self.end
        {
            let mut window = lock(window);
            window.unread = window.unread.saturating_sub(count);
            wake(&mut window);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Windowed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let End::Writing(writing) = &mut this.end else {
            return Pin::new(&mut this.inner).poll_write(context, bytes);
        };
        let room = writing.room(bytes.len(), context);
        if room == 0 && !bytes.is_empty() {
            return Poll::Pending;
        }
        let written = Pin::new(&mut this.inner).poll_write(context, &bytes[..room]);
        let Poll::Ready(Ok(count)) = written else { return written };
        {
            let mut window = lock(&writing.window);
            if !window.abandoned {
                window.unread += count;
            }
        }
        if count < bytes.len() {
            // what is written travels, as over TCP; madsim's would wait for a flush that waits for us
            let _ = Pin::new(&mut this.inner).poll_flush(context)?;
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{runtime::Clock, trace::Trace};
    use lockstep::domain::time::UnixNanos;
    use madsim::{
        runtime::Runtime,
        time::{sleep, timeout},
    };
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn in_world<T>(future: impl Future<Output = T>) -> T {
        Runtime::with_seed_and_config(1, madsim::Config::default()).block_on(future)
    }

    fn peer(last: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, last], 4_000))
    }

    /// The two ends of a stream of the peer, and the trace.
    fn ends(
        address: SocketAddr,
    ) -> (Windowed<tokio::io::DuplexStream>, Windowed<tokio::io::DuplexStream>, Tracer) {
        let tracer = Tracer::new(Clock::new(UnixNanos::ZERO, 0));
        let windows = Windows::new(vec![peer(7).ip()], tracer.clone(), Coverage::default());
        let (near, far) = tokio::io::duplex(1 << 20);
        (windows.opened(near, address), windows.accepted(far, address), tracer)
    }

    fn faults(trace: &Trace) -> Vec<String> {
        trace.records().map(|record| record.body.to_owned()).collect()
    }

    #[test]
    fn a_write_waits_until_the_peer_reads() {
        in_world(async {
            let (mut near, mut far, tracer) = ends(peer(7));
            let bytes = vec![1; WINDOW_BYTES + 100];
            let limit = Duration::from_millis(50);
            assert!(timeout(limit, far.write_all(&bytes)).await.is_err(), "nobody reads");
            let mut read = vec![0; WINDOW_BYTES];
            near.read_exact(&mut read).await.expect("the window's content");
            timeout(limit, far.write_all(&bytes[..WINDOW_BYTES])).await.expect("room").expect("written");
            drop(near);
            sleep(Duration::from_millis(1)).await;
            let after = timeout(limit, far.write_all(&bytes)).await;
            assert!(after.is_ok(), "whoever is gone holds nothing back");
            drop(far);
            assert_eq!(faults(&tracer.take()), [r#"{"fault":"stream_choked"}"#]);
        });
    }

    #[test]
    fn a_choked_stream_that_ends_leaves_a_receipt_and_others_have_no_window() {
        in_world(async {
            let (near, mut far, tracer) = ends(peer(7));
            let limit = Duration::from_millis(50);
            assert!(timeout(limit, far.write_all(&vec![1; 1 << 15])).await.is_err());
            drop(far);
            drop(near);
            let expected = ["stream_choked", "choked_stream_ended"].map(|f| format!(r#"{{"fault":"{f}"}}"#));
            assert_eq!(faults(&tracer.take()), expected);
            let (_near, mut far, _) = ends(peer(8));
            timeout(limit, far.write_all(&vec![1; 1 << 15])).await.expect("no window").expect("written");
        });
    }
}
