//! What must not leave before the commit that it rests on.

use crate::{
    domain::{
        instrument::InstrumentId,
        message::{Answer, FeedEvent, Refusal, VenueRequest},
    },
    node::{
        handle::{Response, journal_unavailable},
        journal::Cursor,
        lanes::{CaughtUp, Reply},
    },
};
use std::collections::BTreeSet;

/// An answer and where it holds.
type Dated = (Answer, Cursor);

/// Answers and market data that wait for the next commit.
#[derive(Default)]
pub(super) struct Outbox {
    pub replies: Vec<(Reply<Response>, Result<Response, Refusal>)>,
    pub answers: Vec<(Reply<Dated>, Result<Dated, Refusal>)>,
    /// Inputs of the node itself, with their offsets.
    pub entered: Vec<(Reply<u64>, u64)>,
    /// To venues outside of the machine.
    pub requests: Vec<VenueRequest>,
    /// Questions whose answers are in the archive once it has caught up.
    pub archives: Vec<(Reply<CaughtUp>, Cursor)>,
    pub feed: Vec<FeedEvent>,
    /// Instruments whose open candles changed.
    pub ticked: BTreeSet<InstrumentId>,
}

impl Outbox {
    /// Whether somebody waits for it.
    pub fn is_awaited(&self) -> bool {
        !(self.replies.is_empty()
            && self.answers.is_empty()
            && self.entered.is_empty()
            && self.archives.is_empty()
            && self.requests.is_empty())
    }

    /// Answers who asked for something; returns how many there were.
    pub fn answer(&mut self) -> usize {
        let count = self.replies.len() + self.answers.len();
        // a caller that has gone away misses its answer, nothing else
        for (reply, result) in self.replies.drain(..) {
            let _ = reply.send(result);
        }
        for (reply, result) in self.answers.drain(..) {
            let _ = reply.send(result);
        }
        count
    }

    /// Tells the node that its inputs have entered; returns how many there were. It comes after the
    /// events have left, because a drain that is confirmed ends the sessions that are to be told of it.
    pub fn confirm(&mut self) -> usize {
        let count = self.entered.len();
        for (reply, offset) in self.entered.drain(..) {
            let _ = reply.send(Ok(offset));
        }
        count
    }

    /// The commit failed: nothing leaves, and nobody is told more than is known.
    pub fn refuse(&mut self) {
        for (reply, _) in self.replies.drain(..) {
            let _ = reply.send(Err(journal_unavailable("may_have_executed")));
        }
        for (reply, _) in self.answers.drain(..) {
            let _ = reply.send(Err(journal_unavailable("not_started")));
        }
        for (reply, _) in self.entered.drain(..) {
            let _ = reply.send(Err(journal_unavailable("may_have_executed")));
        }
        for (reply, _) in self.archives.drain(..) {
            let _ = reply.send(Err(journal_unavailable("not_started")));
        }
        self.requests.clear();
        self.feed.clear();
        self.ticked.clear();
    }
}
