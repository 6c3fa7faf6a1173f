//! The session of one account's orders: frames come in by number, commands are under way, and what the
//! clerk has to say goes out as fast as the peer reads.

use super::{
    Broker,
    clerk::{Clerk, InFlight, Stop, Todo},
    ended,
    entry::{Entry, Outcome},
    fence::Pass,
    outbox::Outbox,
    peer::{Peer, Watch},
};
use crate::{
    domain::id::AccountId,
    node::{
        connector::wire::{self, GatewayFrame, VenueFrame},
        runtime::BoxFuture,
    },
};
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::{future::poll_fn, sync::Arc, task::Poll};
use tokio::sync::mpsc;

/// Commands under way at most; beyond them nothing is read.
const IN_FLIGHT_MAX: usize = 256;
const TODO_MAX: usize = 1_024;
/// Frames between the clerk and the outbox.
const FRAMES: usize = 64;

/// A session at work. Dropped from top to bottom: what could still enter goes before the pass.
pub(super) struct Session {
    in_flight: FuturesUnordered<BoxFuture<Outcome>>,
    clerk: BoxFuture<Stop>,
    entry: Entry,
    flying: InFlight,
    todo: mpsc::Sender<Todo>,
    frames: mpsc::Receiver<VenueFrame>,
    outbox: Outbox,
    incoming: Incoming,
    synced: bool,
    pass: Pass,
}

/// The numbers of the peer's frames.
#[derive(Debug, Default)]
struct Incoming {
    last: u64,
    /// A gap was noticed, and what is missing was asked for.
    asked: bool,
}

/// What to do with a frame.
#[derive(Debug, PartialEq, Eq)]
enum Arrival {
    Take,
    Ignore,
    /// Something before it is missing.
    Ask {
        after: u64,
    },
}

/// What one turn of the loop brought.
enum Turn {
    Replaced,
    Ended(Option<()>),
    Timer,
    Stopped(Stop),
    Done(Outcome),
    Frame(VenueFrame),
    Line(Result<Vec<u8>, String>),
}

impl Session {
    pub fn new(broker: &Arc<Broker>, account: AccountId, principal: String, pass: Pass) -> Self {
        let (todo, to_do) = mpsc::channel(TODO_MAX);
        let (out, frames) = mpsc::channel(FRAMES);
        let flying = InFlight::default();
        let clerk = Clerk {
            rt: Arc::clone(&broker.rt),
            handle: broker.handle.clone(),
            account: account.clone(),
            log: broker.log(),
            in_flight: flying.clone(),
            out,
            reports: None,
            releases: None,
        };
        let entry = Entry { rt: Arc::clone(&broker.rt), handle: broker.handle.clone(), account, principal };
        Self {
            in_flight: FuturesUnordered::new(),
            clerk: Box::pin(clerk.run(to_do)),
            entry,
            flying,
            todo,
            frames,
            outbox: Outbox::default(),
            incoming: Incoming::default(),
            synced: false,
            pass,
        }
    }

    /// Talks until something ends the session; returns the reason.
    pub async fn talk(&mut self, peer: &mut Peer, ending: &mut mpsc::Receiver<()>) -> Stop {
        let mut watch = Watch::new(peer);
        loop {
            let may_read = self.in_flight.len() < IN_FLIGHT_MAX && self.todo.capacity() > IN_FLIGHT_MAX + 2;
            let has_room = !self.outbox.is_crowded();
            let turn = tokio::select! {
                biased;
                () = self.pass.replaced() => Turn::Replaced,
                word = ending.recv() => Turn::Ended(word),
                () = watch.ring() => Turn::Timer,
                // first polled in the order in which they came: the engine counts them so
                Some(done) = self.in_flight.next(), if !self.in_flight.is_empty() => Turn::Done(done),
                stop = &mut self.clerk => Turn::Stopped(stop),
                Some(frame) = self.frames.recv(), if has_room => Turn::Frame(frame),
                line = poll_fn(|cx| {
                    if let Poll::Ready(Err(error)) = self.outbox.poll_write(cx, &mut *peer.stream) {
                        return Poll::Ready(Err(error.to_string()));
                    }
                    if !may_read {
                        return Poll::Pending;
                    }
                    peer.lines.poll_next(cx, &mut *peer.stream).map_err(|error| error.to_string())
                }) => Turn::Line(line),
            };
            let taken = match turn {
                Turn::Replaced => Err(Stop::new("REPLACED: another session of this account began")),
                Turn::Ended(word) => Err(ended(word)),
                Turn::Stopped(stop) => Err(stop),
                Turn::Timer => self.tick(&mut watch, !may_read),
                Turn::Done(outcome) => {
                    if let Outcome::Submit { order, .. } = &outcome {
                        self.flying.remove(order);
                    }
                    self.give(Todo::Outcome(outcome))
                }
                Turn::Frame(frame) => {
                    self.outbox.push(&frame);
                    Ok(())
                }
                Turn::Line(Err(error)) => Err(Stop::new(error)),
                Turn::Line(Ok(line)) => {
                    watch.heard();
                    self.line(&line)
                }
            };
            if let Err(stop) = taken {
                return stop;
            }
        }
    }

    /// What still waits for the peer.
    pub fn into_outbox(self) -> Outbox {
        self.outbox
    }

    fn tick(&mut self, watch: &mut Watch, busy: bool) -> Result<(), Stop> {
        self.incoming.ask_again();
        if watch.tick(&self.outbox, busy)? {
            // the clerk may have its hands full, and the peer must not take that for death
            if self.todo.capacity() == TODO_MAX {
                return self.give(Todo::Beat);
            }
            self.outbox.push(&VenueFrame::Heartbeat { last: None });
        }
        Ok(())
    }

    fn line(&mut self, line: &[u8]) -> Result<(), Stop> {
        let (seq, frame) =
            wire::read_gateway(line).map_err(|error| Stop::new(format!("BAD_FRAME: {error}")))?;
        match self.incoming.arrival(seq, &frame) {
            Arrival::Take => self.take(frame),
            Arrival::Ignore => Ok(()),
            Arrival::Ask { after } => {
                self.outbox.push(&VenueFrame::Resend { after });
                Ok(())
            }
        }
    }

    fn take(&mut self, frame: GatewayFrame) -> Result<(), Stop> {
        let trades =
            matches!(frame, GatewayFrame::Submit(_) | GatewayFrame::Cancel { .. } | GatewayFrame::Modify(_));
        if trades && !self.synced {
            return Err(Stop::new("SYNC_FIRST: a session begins with a sync"));
        }
        match frame {
            GatewayFrame::Submit(submit) => {
                self.flying.insert(&submit.order);
                self.in_flight.push(Box::pin(self.entry.clone().submit(submit)));
                Ok(())
            }
            GatewayFrame::Cancel { order } => {
                self.in_flight.push(Box::pin(self.entry.clone().cancel(order)));
                Ok(())
            }
            GatewayFrame::Modify(modify) => {
                self.in_flight.push(Box::pin(self.entry.clone().modify(modify)));
                Ok(())
            }
            GatewayFrame::Sync(sync) => {
                self.synced = true;
                self.give(Todo::Sync(sync))
            }
            GatewayFrame::Status { orders } => self.give(Todo::Status { orders }),
            GatewayFrame::Heartbeat | GatewayFrame::Skip { .. } => Ok(()),
            GatewayFrame::Logoff => Err(Stop::new("LOGOFF")),
        }
    }

    fn give(&self, todo: Todo) -> Result<(), Stop> {
        self.todo.try_send(todo).map_err(|_| Stop::new("BUSY: too many requests wait"))
    }
}

impl Incoming {
    /// What was asked for should have come by now.
    const fn ask_again(&mut self) {
        self.asked = false;
    }

    /// Judges a number. A frame is taken once, and only after all before it.
    fn arrival(&mut self, seq: u64, frame: &GatewayFrame) -> Arrival {
        if seq <= self.last {
            return Arrival::Ignore;
        }
        if seq > self.last + 1 {
            if std::mem::replace(&mut self.asked, true) {
                return Arrival::Ignore;
            }
            return Arrival::Ask { after: self.last };
        }
        self.asked = false;
        self.last = match frame {
            GatewayFrame::Skip { to } => (*to).max(seq),
            _ => seq,
        };
        Arrival::Take
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_taken_once_and_in_order() {
        let beat = GatewayFrame::Heartbeat;
        let mut incoming = Incoming::default();
        let mut check = |seq, frame: &GatewayFrame, expected| {
            assert_eq!(incoming.arrival(seq, frame), expected, "{seq}");
        };
        check(1, &beat, Arrival::Take);
        check(1, &beat, Arrival::Ignore);
        check(4, &beat, Arrival::Ask { after: 1 });
        check(5, &beat, Arrival::Ignore);
        check(2, &GatewayFrame::Skip { to: 3 }, Arrival::Take);
        check(3, &beat, Arrival::Ignore);
        check(4, &beat, Arrival::Take);
        check(6, &beat, Arrival::Ask { after: 4 });
    }

    #[test]
    fn what_was_asked_for_and_got_lost_is_asked_for_again() {
        let beat = GatewayFrame::Heartbeat;
        let mut incoming = Incoming::default();
        assert_eq!(incoming.arrival(3, &beat), Arrival::Ask { after: 0 });
        assert_eq!(incoming.arrival(4, &beat), Arrival::Ignore);
        incoming.ask_again();
        assert_eq!(incoming.arrival(5, &beat), Arrival::Ask { after: 0 });
        assert_eq!(incoming.arrival(6, &beat), Arrival::Ignore);
    }
}
