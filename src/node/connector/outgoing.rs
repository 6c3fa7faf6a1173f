//! What waits to be written to a venue. A new order, and terms that add risk, can be taken back as long as
//! none of their bytes is on the wire (RK05); frames that did not arrive can be repeated, those never.

use super::wire::{self, GatewayFrame, LINE_MAX};
use crate::domain::{
    id::{IntentId, OrderId},
    message::NotSent,
};
use std::{
    collections::VecDeque,
    io, mem,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::AsyncWrite;

/// Frames that may wait, and their bytes, before one that adds risk is too much. What lowers risk goes after
/// them: an account has a limited number of orders and positions that could be cancelled or closed.
const WAITING_MAX: usize = 4_096;
const WAITING_BYTES_MAX: usize = 16 << 20;
/// No session goes on with so many.
const WAITING_AT_ALL: usize = 16 * WAITING_MAX;
/// Frames that can be repeated, and their bytes.
const SENT_MAX: usize = 1_024;
const SENT_BYTES_MAX: usize = 8 << 20;

/// What a frame is, as far as the queue cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// An order that opens risk: it can be purged, and is never repeated.
    Opening(OrderId),
    /// An order that reduces a position: it is not purged, and never repeated.
    Reducing(OrderId),
    /// Terms that add risk, by their intent: they can be purged, and are never repeated.
    Widening(IntentId),
    /// The request that begins a session's business.
    Sync,
    /// A request that may be repeated.
    Request,
    /// Means nothing later: heartbeats.
    Passing,
}

impl Kind {
    /// Whether a stop takes it back.
    const fn adds_risk(self) -> bool {
        matches!(self, Self::Opening(_) | Self::Widening(_))
    }

    /// Notes that it never reached the venue, if that is of any interest.
    fn note(self, not_sent: &mut NotSent) {
        match self {
            Self::Opening(order) | Self::Reducing(order) => not_sent.orders.push(order),
            Self::Widening(intent) => not_sent.terms.push(intent),
            Self::Sync | Self::Request | Self::Passing => {}
        }
    }
}

/// Why the session cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Broken {
    #[error("the venue reads too slowly: {WAITING_MAX} frames or {WAITING_BYTES_MAX} bytes wait")]
    Full,
    #[error("a request is longer than {LINE_MAX} bytes")]
    TooLong,
    #[error("the venue asks for frames that are no longer kept")]
    Forgotten,
}

/// Whether requests are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// There is no session: requests are dropped, and asked about when there is one.
    Closed,
    /// There is a session that the engine has not begun: what was released before is not for it.
    BeforeSync,
    Open,
}

/// The queue of one connector.
#[derive(Debug)]
pub(super) struct Outgoing {
    state: State,
    waiting: VecDeque<Frame>,
    waiting_bytes: usize,
    head: Option<Head>,
    /// Something was written since the stream was flushed.
    unflushed: bool,
    /// The greatest number of which a byte is on the wire.
    last: u64,
    sent: VecDeque<Sent>,
    sent_bytes: usize,
    /// Repeat what came after this number as soon as the head is out.
    repeat_after: Option<u64>,
    /// What never will be sent, to be told.
    not_sent: NotSent,
    broken: Option<Broken>,
}

#[derive(Debug)]
struct Frame {
    kind: Kind,
    body: Vec<u8>,
    /// Of a repetition.
    number: Option<u64>,
}

/// The frame that is being written.
#[derive(Debug)]
struct Head {
    frame: Frame,
    number: u64,
    line: Vec<u8>,
    written: usize,
}

/// A frame that is out.
#[derive(Debug)]
struct Sent {
    number: u64,
    /// `None`: it is never repeated.
    body: Option<Vec<u8>>,
    /// What it was, until it is void.
    kind: Kind,
}

impl Outgoing {
    /// Without a session.
    pub const fn new() -> Self {
        Self {
            state: State::Closed,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            head: None,
            unflushed: false,
            last: 0,
            sent: VecDeque::new(),
            sent_bytes: 0,
            repeat_after: None,
            not_sent: NotSent { orders: Vec::new(), terms: Vec::new() },
            broken: None,
        }
    }

    /// Begins a session, whose numbers start at 1. Nothing but a sync is taken first. Of what waited for
    /// an earlier one nothing will ever be sent.
    pub fn begin(&mut self) {
        let head = self.head.take().filter(|h| h.written == 0).map(|h| h.frame.kind);
        let waiting = self.waiting.drain(..).map(|frame| frame.kind);
        head.into_iter().chain(waiting).for_each(|kind| kind.note(&mut self.not_sent));
        let not_sent = mem::take(&mut self.not_sent);
        *self = Self { state: State::BeforeSync, not_sent, ..Self::new() };
    }

    /// Ends the session: what waits is dropped.
    pub fn end(&mut self) {
        self.begin();
        self.state = State::Closed;
    }

    /// Queues a frame for the session that there is.
    pub fn push(&mut self, kind: Kind, frame: &GatewayFrame) {
        match self.state {
            State::Closed => return kind.note(&mut self.not_sent),
            State::BeforeSync if kind != Kind::Sync => return kind.note(&mut self.not_sent),
            State::BeforeSync | State::Open => self.state = State::Open,
        }
        let body = wire::body(frame);
        // its number needs some room, too
        if body.len() + 32 > LINE_MAX {
            self.broken = Some(Broken::TooLong);
            return;
        }
        self.waiting_bytes += body.len();
        self.waiting.push_back(Frame { kind, body, number: None });
        self.check_room(kind.adds_risk());
    }

    /// Takes back everything that adds risk and of which nothing is on the wire.
    pub fn purge(&mut self) {
        let head = self.head.take_if(|h| h.written == 0 && h.frame.kind.adds_risk());
        let purged = self.waiting.iter().map(|frame| frame.kind).filter(|kind| kind.adds_risk());
        head.iter().map(|h| h.frame.kind).chain(purged).for_each(|kind| kind.note(&mut self.not_sent));
        self.waiting.retain(|frame| !frame.kind.adds_risk());
        self.waiting_bytes = self.waiting.iter().map(|frame| frame.body.len()).sum();
    }

    /// The venue has not had what came after this number.
    pub fn repeat(&mut self, after: u64) {
        if after < self.last {
            self.repeat_after = Some(self.repeat_after.map_or(after, |other| other.min(after)));
        }
    }

    /// What was taken back or is void: nothing of it will ever be sent.
    pub fn take_not_sent(&mut self) -> NotSent {
        mem::take(&mut self.not_sent)
    }

    /// Gives back what was taken and could not be told.
    pub fn keep_not_sent(&mut self, untold: NotSent) {
        let later = mem::replace(&mut self.not_sent, untold);
        self.not_sent.orders.extend(later.orders);
        self.not_sent.terms.extend(later.terms);
    }

    /// Why the session must end, if it must.
    pub const fn broken(&self) -> Option<Broken> {
        self.broken
    }

    /// The greatest number that is on the wire; it changes when something is written.
    pub const fn last(&self) -> u64 {
        self.last
    }

    /// Writes as much as the stream takes. Ready when nothing waits any more.
    pub fn poll_write<S: AsyncWrite + Unpin + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
    ) -> Poll<io::Result<()>> {
        loop {
            let Some(head) = &mut self.head else {
                if !self.advance() {
                    if self.unflushed {
                        ready!(Pin::new(stream).poll_flush(cx))?;
                        self.unflushed = false;
                    }
                    return Poll::Ready(Ok(()));
                }
                continue;
            };
            let count = ready!(Pin::new(&mut *stream).poll_write(cx, &head.line[head.written..]))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            head.written += count;
            self.unflushed = true;
            self.last = self.last.max(head.number);
            if head.written == head.line.len()
                && let Some(Head { frame, number, .. }) = self.head.take()
            {
                self.keep(number, frame);
            }
        }
    }

    /// Makes the next frame the head, if there is one. Its number counts once a byte of it is out.
    fn advance(&mut self) -> bool {
        if let Some(after) = self.repeat_after.take() {
            self.queue_again(after);
        }
        let Some(frame) = self.waiting.pop_front() else {
            return false;
        };
        self.waiting_bytes -= frame.body.len();
        let number = frame.number.unwrap_or(self.last + 1);
        let line = wire::numbered(number, &frame.body);
        self.head = Some(Head { frame, number, line, written: 0 });
        true
    }

    /// Keeps what may be asked for again.
    fn keep(&mut self, number: u64, frame: Frame) {
        if frame.number.is_some() {
            return;
        }
        let kind = frame.kind;
        let body = match kind {
            Kind::Sync | Kind::Request => Some(frame.body),
            Kind::Opening(_) | Kind::Reducing(_) | Kind::Widening(_) | Kind::Passing => None,
        };
        self.sent_bytes += body.as_ref().map_or(0, Vec::len);
        self.sent.push_back(Sent { number, body, kind });
        while self.sent.len() > SENT_MAX || self.sent_bytes > SENT_BYTES_MAX {
            let oldest = self.sent.pop_front().expect("it has at least one");
            self.sent_bytes -= oldest.body.map_or(0, |body| body.len());
        }
    }

    /// Puts what came after this number in front of what waits: requests as they were, and in place of
    /// all else a word that it is void.
    fn queue_again(&mut self, after: u64) {
        if self.sent.front().is_none_or(|oldest| oldest.number > after + 1) {
            self.broken = Some(Broken::Forgotten);
            return;
        }
        let mut again: Vec<Frame> = Vec::new();
        let mut void: Option<(u64, u64)> = None;
        let skip = |(from, to): (u64, u64)| Frame {
            kind: Kind::Passing,
            body: wire::body(&GatewayFrame::Skip { to }),
            number: Some(from),
        };
        for sent in self.sent.iter_mut().filter(|sent| sent.number > after) {
            match &sent.body {
                Some(body) => {
                    again.extend(void.take().map(skip));
                    again.push(Frame { kind: Kind::Request, body: body.clone(), number: Some(sent.number) });
                }
                None => {
                    mem::replace(&mut sent.kind, Kind::Passing).note(&mut self.not_sent);
                    void = Some((void.map_or(sent.number, |(from, _)| from), sent.number));
                }
            }
        }
        again.extend(void.map(skip));
        self.waiting_bytes += again.iter().map(|frame| frame.body.len()).sum::<usize>();
        // a repetition under way is begun anew
        self.waiting_bytes -=
            self.waiting.iter().filter(|f| f.number.is_some()).map(|f| f.body.len()).sum::<usize>();
        self.waiting.retain(|frame| frame.number.is_none());
        for frame in again.into_iter().rev() {
            self.waiting.push_front(frame);
        }
        self.check_room(false);
    }

    fn check_room(&mut self, adds_risk: bool) {
        let crowded = self.waiting.len() > WAITING_MAX || self.waiting_bytes > WAITING_BYTES_MAX;
        if (crowded && adds_risk) || self.waiting.len() > WAITING_AT_ALL {
            self.broken = Some(Broken::Full);
        }
    }
}

#[cfg(test)]
mod tests;
