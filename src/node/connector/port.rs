//! What the writer and a connector's task share: the queue, and whether a session is wanted. The writer
//! never waits here; the task is woken.

use super::{
    outgoing::{Broken, Kind, Outgoing},
    wire::GatewayFrame,
};
use crate::domain::{account::LinkSettings, message::NotSent};
use std::{
    future::poll_fn,
    io,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};
use tokio::io::AsyncWrite;

/// One account's port.
#[derive(Debug)]
pub(super) struct Port(Mutex<Shared>);

#[derive(Debug)]
struct Shared {
    outgoing: Outgoing,
    wish: Wish,
    /// Why the session must be begun anew, if it must.
    reset: Option<String>,
    /// The connector's task; there is one.
    waker: Option<Waker>,
}

/// What the engine wants last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wish {
    /// Counts wishes: what is done for one is not done for the next.
    pub version: u64,
    /// `None`: no session.
    pub settings: Option<LinkSettings>,
}

/// One thing that the engine wants of a connector.
#[derive(Debug)]
pub(super) enum Step {
    /// Another session, or none.
    Wish(Option<LinkSettings>),
    /// The session anew, after a pause.
    Reset(String),
    /// Taken back, what adds risk and of which nothing is on the wire (RK05).
    Purge,
    /// Frames for the session that there is.
    Say(Vec<(Kind, GatewayFrame)>),
}

impl Shared {
    /// Nothing more goes out on the session that there is.
    fn wish(&mut self, settings: Option<LinkSettings>) {
        self.outgoing.end();
        self.wish = Wish { version: self.wish.version + 1, settings };
    }

    /// Nothing more goes out on the session that there is.
    fn reset(&mut self, reason: String) {
        self.outgoing.end();
        self.reset = Some(reason);
    }
}

/// What concerns the session that there is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Signal {
    /// Something else is wanted.
    Wish,
    /// The session must end and begin anew.
    Reset(String),
    Broken(Broken),
    /// What will never be sent.
    NotSent(NotSent),
}

impl Port {
    /// No session, and none wanted.
    pub fn new() -> Self {
        Self(Mutex::new(Shared {
            outgoing: Outgoing::new(),
            wish: Wish { version: 0, settings: None },
            reset: None,
            waker: None,
        }))
    }

    // ---- the writer's side --------------------------------------------------------------------

    /// Does what a commit released, in one piece: of an order and the stop that takes it back no byte goes
    /// out in between.
    pub fn release(&self, steps: Vec<Step>) {
        self.change(|shared| {
            for step in steps {
                match step {
                    Step::Wish(settings) => shared.wish(settings),
                    Step::Reset(reason) => shared.reset(reason),
                    Step::Purge => shared.outgoing.purge(),
                    Step::Say(frames) => {
                        frames.iter().for_each(|(kind, frame)| shared.outgoing.push(*kind, frame));
                    }
                }
            }
        });
    }

    /// Has the session begun anew. Nothing more goes out on the one that there is.
    pub fn reset(&self, reason: &str) {
        self.release(vec![Step::Reset(reason.to_owned())]);
    }

    // ---- the task's side ----------------------------------------------------------------------

    /// Waits until a session is wanted, and not merely the one that came to nothing.
    pub async fn wanted(&self, given_up: u64) -> (u64, LinkSettings) {
        poll_fn(|cx| {
            let mut shared = self.lock();
            if let (Some(settings), version) = (&shared.wish.settings, shared.wish.version)
                && version != given_up
            {
                return Poll::Ready((version, settings.clone()));
            }
            shared.waker = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Waits until something else is wanted than this version.
    pub async fn changed(&self, version: u64) {
        poll_fn(|cx| {
            let mut shared = self.lock();
            if shared.wish.version != version {
                return Poll::Ready(());
            }
            shared.waker = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// A session begins, if it is still wanted.
    pub fn begin(&self, version: u64) -> bool {
        let mut shared = self.lock();
        if shared.wish.version != version {
            return false;
        }
        shared.reset = None;
        shared.outgoing.begin();
        true
    }

    /// The session is over: nothing more is taken for it. What was not sent by now never will be.
    pub fn end(&self) -> NotSent {
        let mut shared = self.lock();
        shared.outgoing.end();
        shared.outgoing.take_not_sent()
    }

    /// Gives back what was signalled as not sent and could not be told.
    pub fn keep_not_sent(&self, untold: NotSent) {
        self.lock().outgoing.keep_not_sent(untold);
    }

    /// What the session must hear of.
    pub fn poll_signal(&self, cx: &mut Context<'_>, version: u64) -> Poll<Signal> {
        let mut shared = self.lock();
        if shared.wish.version != version {
            return Poll::Ready(Signal::Wish);
        }
        if let Some(reason) = shared.reset.take() {
            return Poll::Ready(Signal::Reset(reason));
        }
        if let Some(broken) = shared.outgoing.broken() {
            return Poll::Ready(Signal::Broken(broken));
        }
        let not_sent = shared.outgoing.take_not_sent();
        if !not_sent.is_empty() {
            return Poll::Ready(Signal::NotSent(not_sent));
        }
        shared.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Writes what waits, under the lock: an order is either taken back or on the wire, never both.
    pub fn poll_write<S: AsyncWrite + Unpin + ?Sized>(
        &self,
        cx: &mut Context<'_>,
        stream: &mut S,
    ) -> Poll<io::Result<()>> {
        self.lock().outgoing.poll_write(cx, stream)
    }

    /// The venue has not had what came after this number.
    pub fn repeat(&self, after: u64) {
        self.lock().outgoing.repeat(after);
    }

    /// Says that we live, unless something was written since `last`; returns what was written by now.
    pub fn beat(&self, last: u64) -> u64 {
        let mut shared = self.lock();
        if shared.outgoing.last() == last {
            shared.outgoing.push(Kind::Passing, &GatewayFrame::Heartbeat);
        }
        shared.outgoing.last()
    }

    fn change(&self, change: impl FnOnce(&mut Shared)) {
        let waker = {
            let mut shared = self.lock();
            change(&mut shared);
            shared.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
