//! The four bounded ways in. What reduces risk goes first, then what venues report, then requests, then
//! quotes.

use super::{
    handle::{CommandRequest, Response},
    journal::Cursor,
};
use crate::domain::{
    id::OrderId,
    message::{Answer, Input, Query, Refusal},
    time::UnixNanos,
};
use tokio::sync::{mpsc, oneshot};

const CONTROL_CAPACITY: usize = 256;
const REPORT_CAPACITY: usize = 1_024;
const COMMAND_CAPACITY: usize = 1_024;
const MARKET_CAPACITY: usize = 1_024;
/// Inputs of one batch; one commit.
pub(super) const BATCH_MAX: usize = 256;
/// What quotes get of a batch however many requests wait, so that a flood does not stop the clock.
const MARKET_SHARE: usize = 64;

/// What a caller hears.
pub(super) type Reply<T> = oneshot::Sender<Result<T, Refusal>>;

/// When the archive has caught up, and the place in the log that it has reached then at the least.
pub(super) type CaughtUp = (oneshot::Receiver<()>, Cursor);

/// A request with the way back.
pub(super) enum Request {
    Command {
        request: Box<CommandRequest>,
        /// When it was sent, counted in commands.
        arrival: u64,
        prior: Option<OrderId>,
        reply: Reply<Response>,
    },
    Query {
        query: Query,
        reply: Reply<(Answer, Cursor)>,
    },
    /// Bring the archive of ended orders, fills and postings up to now; answered with the place in the log
    /// that it has reached then at the least.
    Archive {
        reply: Reply<CaughtUp>,
    },
    /// An input of the node itself; answered with its offset.
    Node {
        input: Box<Input>,
        reply: Reply<u64>,
    },
    /// Commit, store a snapshot, end.
    Stop {
        reply: Reply<()>,
    },
}

impl Request {
    /// Answers with a refusal.
    pub fn refuse(self, refusal: Refusal) {
        // a caller that has gone away needs no answer
        match self {
            Self::Command { reply, .. } => drop(reply.send(Err(refusal))),
            Self::Query { reply, .. } => drop(reply.send(Err(refusal))),
            Self::Archive { reply } => drop(reply.send(Err(refusal))),
            Self::Node { reply, .. } => drop(reply.send(Err(refusal))),
            Self::Stop { reply } => drop(reply.send(Err(refusal))),
        }
    }
}

/// Market data on its way to the writer.
#[derive(Debug, Clone)]
pub(crate) struct MarketInput {
    pub input: Input,
    /// Set by a replay.
    pub row: Option<Row>,
}

/// Where a replay's row stands in time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    pub at: UnixNanos,
    /// The stamp of the row after it.
    pub next: Option<UnixNanos>,
}

/// What the writer takes next.
pub(super) enum Entry {
    Request(Request),
    Market(MarketInput),
}

/// The callers' ends.
#[derive(Clone)]
pub(super) struct LaneSenders {
    pub control: mpsc::Sender<Request>,
    pub reports: mpsc::Sender<Request>,
    pub commands: mpsc::Sender<Request>,
}

/// The writer's ends.
pub(super) struct Lanes {
    control: mpsc::Receiver<Request>,
    reports: mpsc::Receiver<Request>,
    commands: mpsc::Receiver<Request>,
    market: mpsc::Receiver<MarketInput>,
}

/// Makes the lanes; the market's end is for the feed alone.
pub(super) fn lanes() -> (LaneSenders, mpsc::Sender<MarketInput>, Lanes) {
    let (control_sender, control) = mpsc::channel(CONTROL_CAPACITY);
    let (report_sender, reports) = mpsc::channel(REPORT_CAPACITY);
    let (command_sender, commands) = mpsc::channel(COMMAND_CAPACITY);
    let (market_sender, market) = mpsc::channel(MARKET_CAPACITY);
    let senders = LaneSenders { control: control_sender, reports: report_sender, commands: command_sender };
    (senders, market_sender, Lanes { control, reports, commands, market })
}

impl Lanes {
    /// Waits until something is there, and takes it.
    pub async fn next(&mut self) -> Entry {
        tokio::select! {
            biased;
            Some(request) = self.control.recv() => Entry::Request(request),
            Some(request) = self.reports.recv() => Entry::Request(request),
            Some(request) = self.commands.recv() => Entry::Request(request),
            Some(market) = self.market.recv() => Entry::Market(market),
            else => std::future::pending().await,
        }
    }

    /// Waits for a request only.
    pub async fn next_request(&mut self) -> Request {
        tokio::select! {
            biased;
            Some(request) = self.control.recv() => request,
            Some(request) = self.reports.recv() => request,
            Some(request) = self.commands.recv() => request,
            else => std::future::pending().await,
        }
    }

    /// Takes what waits, up to a whole batch together with what is there already.
    pub fn fill(&mut self, batch: &mut Vec<Entry>) {
        let requests_max = BATCH_MAX - MARKET_SHARE.min(self.market.len());
        take(&mut self.control, batch, requests_max, Entry::Request);
        take(&mut self.reports, batch, requests_max, Entry::Request);
        take(&mut self.commands, batch, requests_max, Entry::Request);
        take(&mut self.market, batch, BATCH_MAX, Entry::Market);
    }

    /// Takes every request that waits.
    pub fn drain_requests(&mut self) -> Vec<Request> {
        let mut requests = Vec::new();
        take(&mut self.control, &mut requests, usize::MAX, |r| r);
        take(&mut self.reports, &mut requests, usize::MAX, |r| r);
        take(&mut self.commands, &mut requests, usize::MAX, |r| r);
        requests
    }
}

fn take<T, U>(lane: &mut mpsc::Receiver<T>, into: &mut Vec<U>, max: usize, wrap: impl Fn(T) -> U) {
    while into.len() < max
        && let Ok(item) = lane.try_recv()
    {
        into.push(wrap(item));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question() -> Request {
        Request::Query { query: Query::Accounts, reply: oneshot::channel().0 }
    }

    fn stop() -> Request {
        Request::Stop { reply: oneshot::channel().0 }
    }

    fn quote() -> MarketInput {
        MarketInput { input: Input::Wake, row: None }
    }

    /// The lanes' content as letters: control, requests, market.
    fn letters(batch: &[Entry]) -> String {
        let letter = |entry: &Entry| match entry {
            Entry::Request(Request::Stop { .. }) => 'c',
            Entry::Request(_) => 'r',
            Entry::Market(_) => 'm',
        };
        batch.iter().map(letter).collect()
    }

    #[test]
    fn a_batch_takes_control_first_and_quotes_last() {
        let (senders, market, mut lanes) = lanes();
        for _ in 0..2 {
            assert!(market.try_send(quote()).is_ok());
            assert!(senders.commands.try_send(question()).is_ok());
            assert!(senders.control.try_send(stop()).is_ok());
        }
        let mut batch = Vec::new();
        lanes.fill(&mut batch);
        assert_eq!(letters(&batch), "ccrrmm");
    }

    #[test]
    fn gw09_a_flood_of_requests_fills_no_more_than_a_batch_and_leaves_room_for_quotes() {
        let (senders, market, mut lanes) = lanes();
        while senders.commands.try_send(question()).is_ok() {}
        while market.try_send(quote()).is_ok() {}
        assert!(senders.control.try_send(stop()).is_ok(), "the control lane has its own room");
        let mut batch = Vec::new();
        lanes.fill(&mut batch);
        let letters = letters(&batch);
        assert_eq!(letters.len(), BATCH_MAX);
        assert!(letters.starts_with('c'));
        assert_eq!(letters.matches('m').count(), MARKET_SHARE);
    }
}
