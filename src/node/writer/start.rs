//! From an opened journal to a running writer.

use super::{
    Outlet, Writer, WriterError, alarm::Alarm, outbox::Outbox, overtaking::Overtaking, shadow::ShadowTask,
};
use crate::{
    domain::{instrument::Instrument, message::Outputs},
    node::{
        clock::Clock,
        handle::{Handle, Shared},
        hub::Hub,
        journal::{Batch, Cursor, JournalOptions, Opened},
        lanes::{MarketInput, lanes},
        runtime::{Rt, TaskKind},
        services::Services,
        status::{Board, Checkpoint, FeedState, NodeState, StatusBoard},
        vault::Vault,
    },
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, atomic::AtomicU64},
};
use tokio::sync::{mpsc, oneshot};

/// A running writer and the ways to it.
pub(crate) struct Node {
    pub handle: Handle,
    /// For the feed alone.
    pub market: mpsc::Sender<MarketInput>,
    pub clock: Arc<Clock>,
    pub board: Arc<StatusBoard>,
    pub ended: Ended<Result<(), WriterError>>,
}

/// How a task ended, told once.
pub(crate) struct Ended<T>(Option<oneshot::Receiver<T>>);

impl<T> Ended<T> {
    /// The task's end and the watcher's.
    pub fn channel() -> (oneshot::Sender<T>, Self) {
        let (sender, receiver) = oneshot::channel();
        (sender, Self(Some(receiver)))
    }

    /// Waits for it. `None` if it was told before, or if the task is gone without saying.
    pub async fn take(&mut self) -> Option<T> {
        let result = self.0.as_mut()?.await.ok();
        self.0 = None;
        result
    }
}

/// What a writer is started with.
pub(crate) struct Start {
    pub services: Services,
    pub opened: Opened,
    pub journal_options: JournalOptions,
    pub clock: Clock,
    pub feed_kind: &'static str,
    pub instruments: Arc<[Instrument]>,
    pub outlet: Arc<dyn Outlet>,
    pub vault: Arc<Vault>,
}

/// Starts the writer on what was recovered.
pub(crate) fn start(rt: &Rt, start: Start) -> Node {
    let Start { services, opened, journal_options, clock, feed_kind, instruments, outlet, vault } = start;
    let Opened { journal, machine, shadow, .. } = opened;
    let epoch = journal.epoch();
    let (senders, market, lanes) = lanes();
    let board = Arc::new(StatusBoard::new(Board {
        state: NodeState::Starting,
        started_at: clock.read().now,
        started_mono: rt.mono(),
        head: Cursor { epoch, offset: machine.event_count() },
        oldest: journal.oldest_event(),
        journal_offset: journal.head(),
        // recovery has replayed up to here and compared every output hash
        checkpoint: Some(Checkpoint { state_hash: machine.state_hash(), journal_offset: journal.head() }),
        feed_kind,
        feed_symbols: Arc::default(),
        feed: FeedState::Starting,
        conflated: 0,
        clock_suspect: false,
        commits: 0,
        commit_errors: 0,
        last_error: None,
        reader: Some(journal.reader()),
        instruments,
    }));
    let shared = Arc::new(Shared {
        rt: rt.clone(),
        arrivals: AtomicU64::new(0),
        epoch,
        clock: Arc::new(clock),
        hub: Hub::default(),
        board: Arc::clone(&board),
        vault,
    });
    let head = journal.head();
    let writer = Writer {
        shared: Arc::clone(&shared),
        services,
        journal_options,
        lanes,
        alarm: Alarm::new(rt.clone()),
        journal: Some(journal),
        shadow: ShadowTask::start(rt, shadow),
        outlet,
        machine,
        out: Outputs::default(),
        applied: head,
        batch: Batch::default(),
        held_since_ns: None,
        outbox: Outbox::default(),
        unanswered: BTreeMap::new(),
        overtaking: Overtaking::default(),
        again: VecDeque::new(),
        // a journal's first record is the configuration; of an older one, what it says is not known
        clock_suspect: (head == 0).then_some(false),
        woken_for: None,
        stop: None,
    };
    let (sender, ended) = Ended::channel();
    let run = async move {
        // whoever waited for the end may be gone
        let _ = sender.send(writer.run().await);
    };
    rt.spawn("writer", TaskKind::Vital, Box::pin(run));
    let clock = Arc::clone(&shared.clock);
    Node { handle: Handle { shared, lanes: senders }, market, clock, board, ended }
}
