//! `ChaosStream`: a byte stream that splits, holds back, stalls and breaks, as real ones do and madsim's
//! do not.
//!
//! What arrives is handed out in pieces of any size, so that readers see parts of frames; what is written
//! is taken in pieces, so that writers see a peer that is slow. A stream may be cut after any byte.

use crate::{
    draw::Draw,
    plan::{ChaosPlan, Cut, Hold},
    probe::Coverage,
    timer::{LatestWaker, OneTimer},
    trace::{Kind, Node, Tracer},
};
use madsim::time::TimeHandle;
use std::{
    collections::{BTreeSet, VecDeque},
    future::Future,
    io,
    mem::MaybeUninit,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker, ready},
    time::Duration,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What is read from the network at once.
const PIECE: usize = 4 << 10;
/// What is held back at most, besides one piece.
const HELD_MAX: usize = 1 << 20;
/// How often, in a thousand, a piece of a split stream travels alone.
const ALONE_PERMILLE: u64 = 125;

/// What the streams of one node suffer. Clones are the same.
#[derive(Clone)]
pub struct Chaos(Arc<Shared>);

struct Shared {
    /// `None`: nothing.
    plan: Option<ChaosPlan>,
    seed: u64,
    node: Node,
    time: TimeHandle,
    tracer: Tracer,
    coverage: Coverage,
    /// Streams so far; each has draws of its own.
    streams: AtomicU64,
    calm: AtomicBool,
}

impl Chaos {
    /// For the node's streams in the world that is running.
    pub fn new(plan: Option<ChaosPlan>, seed: u64, node: Node, tracer: Tracer, coverage: Coverage) -> Self {
        let (time, streams, calm) = (TimeHandle::current(), AtomicU64::new(0), AtomicBool::new(false));
        Self(Arc::new(Shared { plan, seed, node, time, tracer, coverage, streams, calm }))
    }

    /// From now on nothing goes wrong any more.
    pub fn calm(&self) {
        self.0.calm.store(true, Ordering::Relaxed);
    }

    /// A stream of the node.
    pub fn stream<S>(&self, inner: S) -> ChaosStream<S> {
        let number = self.0.streams.fetch_add(1, Ordering::Relaxed);
        let name = format!("chaos {} {number}", self.0.node.name());
        let mut draw = Draw::new(self.0.seed, &name);
        let plan = self.0.plan.clone().unwrap_or_default();
        let after = |cut: &Option<Cut>, draw: &mut Draw| {
            let cut = cut.as_ref().filter(|cut| draw.chance(cut.permille))?;
            Some(cut.after_bytes.draw(draw))
        };
        ChaosStream {
            inner,
            shared: Arc::clone(&self.0),
            number,
            reset_after: after(&plan.reset, &mut draw),
            half_close_after: after(&plan.half_close, &mut draw),
            plan,
            draw,
            arrived: VecDeque::new(),
            ended: false,
            arrival: Arc::default(),
            asleep: false,
            unflushed: false,
            read_hold: None,
            write_hold: None,
            read: 0,
            written: 0,
            broken: None,
            told: BTreeSet::new(),
        }
    }
}

/// How a stream is over for this end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Broken {
    /// Nothing comes any more; what is sent arrives.
    HalfClosed,
    Reset,
}

/// A stream of a node.
pub struct ChaosStream<S> {
    inner: S,
    shared: Arc<Shared>,
    number: u64,
    plan: ChaosPlan,
    draw: Draw,
    /// Arrived, and not handed out yet.
    arrived: VecDeque<u8>,
    /// The peer has closed.
    ended: bool,
    arrival: Arc<LatestWaker>,
    /// Nothing had arrived when the network was asked, and it has not called since.
    asleep: bool,
    /// Bytes wait for a flush.
    unflushed: bool,
    read_hold: Option<Pin<Box<OneTimer>>>,
    write_hold: Option<Pin<Box<OneTimer>>>,
    /// Bytes that were handed out, and that were taken.
    read: u64,
    written: u64,
    /// The bytes, both ways, after which it breaks.
    reset_after: Option<u64>,
    half_close_after: Option<u64>,
    broken: Option<Broken>,
    /// What was told in the trace and is told once.
    told: BTreeSet<&'static str>,
}

impl<S> ChaosStream<S> {
    /// Tells the node's streams apart.
    pub const fn number(&self) -> u64 {
        self.number
    }

    fn is_calm(&self) -> bool {
        self.shared.plan.is_none() || self.shared.calm.load(Ordering::Relaxed)
    }

    fn receipt(&self, fault: &str) {
        self.shared.coverage.mark(fault);
        let body = format!(r#"{{"fault":"{fault}","stream":{}}}"#, self.number);
        self.shared.tracer.record(self.shared.node, Kind::Fault, &body);
    }

    fn receipt_once(&mut self, fault: &'static str) {
        if self.told.insert(fault) {
            self.receipt(fault);
        }
    }

    fn hold(&self, time: Duration) -> Pin<Box<OneTimer>> {
        Box::pin(OneTimer::new(self.shared.time.sleep(time)))
    }

    fn draw_hold(&mut self, hold: Option<Hold>) -> Option<Duration> {
        let hold = hold.filter(|hold| self.draw.chance(hold.permille))?;
        Some(Duration::from_millis(hold.for_ms.draw(&mut self.draw)))
    }

    /// How many of `count` bytes pass before something happens, and whether it happens behind them.
    fn piece(&mut self, count: usize) -> usize {
        if self.is_calm() || count == 0 {
            return count;
        }
        let mut piece = count as u64;
        if let Some(split) = self.plan.split {
            piece = piece.min(split.draw(&mut self.draw).max(1));
        }
        let passed = self.read + self.written;
        for end in [self.reset_after, self.half_close_after].into_iter().flatten() {
            piece = piece.min(end.saturating_sub(passed));
        }
        if piece < count as u64 && self.plan.split.is_some() {
            self.receipt_once("stream_split");
        }
        usize::try_from(piece).expect("not more than `count`")
    }

    /// Breaks the stream if so many bytes have passed.
    fn break_if_due(&mut self) -> Option<Broken> {
        let passed = self.read + self.written;
        let is_due = |after: Option<u64>| after.is_some_and(|after| passed >= after);
        if self.is_calm() || self.broken == Some(Broken::Reset) {
            return self.broken;
        }
        if is_due(self.reset_after) {
            self.broken = Some(Broken::Reset);
            self.receipt("stream_reset");
        } else if is_due(self.half_close_after) && self.broken.is_none() {
            self.broken = Some(Broken::HalfClosed);
            // it has happened, and does not cut writes again
            self.half_close_after = None;
            self.receipt("stream_half_closed");
        }
        self.broken
    }
}

impl<S: AsyncRead + Unpin> ChaosStream<S> {
    /// Asks the network, unless it has said that it has nothing: madsim sets a timer at each question.
    fn poll_network(&mut self, context: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.arrival.replace(context.waker());
        if self.asleep && !self.arrival.take_woken() {
            return Poll::Pending;
        }
        let waker = Waker::from(Arc::clone(&self.arrival));
        let arrived = Pin::new(&mut self.inner).poll_read(&mut Context::from_waker(&waker), out);
        self.asleep = arrived.is_pending();
        arrived
    }

    /// Takes in what the network has, once. Pending: nothing new.
    fn poll_arrive(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut bytes = [MaybeUninit::uninit(); PIECE];
        let mut piece = ReadBuf::uninit(&mut bytes);
        ready!(self.poll_network(context, &mut piece))?;
        self.ended |= piece.filled().is_empty();
        self.arrived.extend(piece.filled());
        Poll::Ready(Ok(()))
    }

    /// Takes in everything that the network has by now.
    fn gather(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        let before = self.arrived.len();
        while !self.ended && self.arrived.len() < HELD_MAX {
            match self.poll_arrive(context) {
                Poll::Ready(arrived) => arrived?,
                Poll::Pending => break,
            }
        }
        if self.arrived.len() > before && before > 0 {
            self.receipt_once("stream_coalesced");
        }
        Ok(())
    }

    fn hand_out(&mut self, out: &mut ReadBuf<'_>) {
        let count = self.piece(self.arrived.len().min(out.remaining()));
        let (front, back) = self.arrived.as_slices();
        let first = count.min(front.len());
        out.put_slice(&front[..first]);
        out.put_slice(&back[..count - first]);
        self.arrived.drain(..count);
        self.read += count as u64;
        let rests = !self.arrived.is_empty();
        if rests && !self.is_calm() && self.plan.split.is_some() && self.draw.chance(ALONE_PERMILLE) {
            self.read_hold = Some(self.hold(Duration::from_millis(1)));
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ChaosStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            match this.break_if_due() {
                Some(Broken::Reset) => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
                Some(Broken::HalfClosed) => return Poll::Ready(Ok(())),
                None => {}
            }
            if let Some(hold) = &mut this.read_hold {
                ready!(hold.as_mut().poll(context));
                this.read_hold = None;
                this.gather(context)?;
            }
            if !this.arrived.is_empty() {
                this.hand_out(out);
                return Poll::Ready(Ok(()));
            }
            if this.ended {
                return Poll::Ready(Ok(()));
            }
            if this.is_calm() {
                return this.poll_network(context, out);
            }
            ready!(this.poll_arrive(context))?;
            if this.arrived.is_empty() {
                continue; // an empty piece, which is the end
            }
            if let Some(time) = this.draw_hold(this.plan.stall) {
                this.receipt("stream_stalled");
                this.read_hold = Some(this.hold(time));
            } else if let Some(time) = this.draw_hold(this.plan.coalesce) {
                this.read_hold = Some(this.hold(time));
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ChaosStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.break_if_due() == Some(Broken::Reset) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if this.is_calm() {
            this.unflushed = true;
            return Pin::new(&mut this.inner).poll_write(context, bytes);
        }
        match &mut this.write_hold {
            Some(hold) => {
                ready!(hold.as_mut().poll(context));
                this.write_hold = None;
            }
            None => {
                if let Some(time) = this.draw_hold(this.plan.stall) {
                    this.receipt("stream_stalled");
                    let mut hold = this.hold(time);
                    let waiting = hold.as_mut().poll(context);
                    this.write_hold = Some(hold);
                    ready!(waiting);
                    this.write_hold = None;
                }
            }
        }
        let piece = this.piece(bytes.len()).max(1).min(bytes.len());
        let count = ready!(Pin::new(&mut this.inner).poll_write(context, &bytes[..piece]))?;
        this.written += count as u64;
        this.unflushed = true;
        let cut = this.reset_after.is_some_and(|after| this.read + this.written >= after);
        if count < bytes.len() && (cut || this.draw.chance(ALONE_PERMILLE)) {
            // the piece travels alone; should it be the last, it still arrives
            let _ = Pin::new(&mut this.inner).poll_flush(context)?;
        }
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.broken == Some(Broken::Reset) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if !self.unflushed {
            return Poll::Ready(Ok(())); // madsim's would send an empty piece, which wakes the peer
        }
        ready!(Pin::new(&mut self.inner).poll_flush(context))?;
        self.unflushed = false;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests;
