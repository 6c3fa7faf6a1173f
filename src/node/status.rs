//! How the node is, as the writer last told it.

use super::journal::{Cursor, JournalReader};
use crate::{
    domain::{id::Symbol, instrument::Instrument, time::UnixNanos},
    machine::Hash,
};
use serde_json::{Map, Value};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The node's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeState {
    Starting,
    Ready,
    /// A commit failed; the journal is being reopened. Nothing is accepted.
    JournalUnavailable,
    Draining,
    /// It does not come back without a restart.
    Stopped,
}

impl NodeState {
    /// The wire name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::JournalUnavailable => "journal_unavailable",
            Self::Draining => "draining",
            Self::Stopped => "stopped",
        }
    }
}

/// The state of the market data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeedState {
    Starting,
    /// A venue cannot be reached, or has not answered yet.
    Connecting,
    Live,
    Replaying,
    /// A replay that has no more quotes.
    Ended,
    Failed,
}

impl FeedState {
    /// The wire name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Connecting => "connecting",
            Self::Live => "live",
            Self::Replaying => "replaying",
            Self::Ended => "ended",
            Self::Failed => "failed",
        }
    }
}

/// A state that a second machine has computed and compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    pub state_hash: Hash,
    pub journal_offset: u64,
}

/// One part of the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subsystem {
    pub state: &'static str,
    pub details: Map<String, Value>,
}

/// How the node is.
#[derive(Debug, Clone)]
pub struct NodeStatus {
    pub state: NodeState,
    /// By the machine's clock.
    pub started_at: UnixNanos,
    pub uptime_ms: u64,
    /// The newest critical event.
    pub head: Cursor,
    /// The oldest critical event that is still kept; 0 without any.
    pub oldest: u64,
    pub checkpoint: Option<Checkpoint>,
    /// `synthetic`, `replay` or `venue`.
    pub feed_kind: &'static str,
    /// What it quotes.
    pub feed_symbols: Arc<[Symbol]>,
    pub feed: FeedState,
    /// `writer`, `journal`, `clock` and `feed`.
    pub subsystems: BTreeMap<&'static str, Subsystem>,
}

impl NodeStatus {
    /// The oldest cursor that the log still goes on from.
    pub const fn oldest_cursor(&self) -> Cursor {
        Cursor { epoch: self.head.epoch, offset: self.oldest.saturating_sub(1) }
    }

    /// Whether the log goes on from this cursor.
    pub fn can_resume(&self, cursor: Cursor) -> bool {
        cursor.epoch == self.head.epoch
            && (self.oldest_cursor().offset..=self.head.offset).contains(&cursor.offset)
    }
}

/// Where the writer and the feed leave how they are. Held only for the length of a copy.
pub(crate) struct StatusBoard {
    board: Mutex<Board>,
}

/// The board's content.
pub(crate) struct Board {
    pub state: NodeState,
    pub started_at: UnixNanos,
    pub started_mono: u64,
    pub head: Cursor,
    pub oldest: u64,
    pub journal_offset: u64,
    pub checkpoint: Option<Checkpoint>,
    pub feed_kind: &'static str,
    pub feed_symbols: Arc<[Symbol]>,
    pub feed: FeedState,
    /// Quotes that a newer one of the same symbol replaced before the writer had room (live feeds).
    pub conflated: u64,
    pub clock_suspect: bool,
    pub commits: u64,
    pub commit_errors: u64,
    /// What went wrong last.
    pub last_error: Option<String>,
    pub reader: Option<JournalReader>,
    pub instruments: Arc<[Instrument]>,
}

impl StatusBoard {
    /// A board of this content.
    pub fn new(board: Board) -> Self {
        Self { board: Mutex::new(board) }
    }

    /// The content, to be read or changed; never across an await.
    pub fn lock(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The journal's reader, unless the journal is not available.
    pub fn reader(&self) -> Option<JournalReader> {
        self.lock().reader.clone()
    }

    /// The configured instruments.
    pub fn instruments(&self) -> Arc<[Instrument]> {
        Arc::clone(&self.lock().instruments)
    }

    /// A copy for the outside; `mono` is the runtime's monotonic time.
    pub fn status(&self, mono: u64) -> NodeStatus {
        let board = self.lock();
        NodeStatus {
            state: board.state,
            started_at: board.started_at,
            uptime_ms: mono.saturating_sub(board.started_mono) / 1_000_000,
            head: board.head,
            oldest: board.oldest,
            checkpoint: board.checkpoint,
            feed_kind: board.feed_kind,
            feed_symbols: Arc::clone(&board.feed_symbols),
            feed: board.feed,
            subsystems: board.subsystems(),
        }
    }
}

impl Board {
    fn subsystems(&self) -> BTreeMap<&'static str, Subsystem> {
        let row = |state, details: &[(&str, Value)]| Subsystem {
            state,
            details: details.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect(),
        };
        let mut journal = vec![
            ("journalOffset", self.journal_offset.into()),
            ("commits", self.commits.into()),
            ("commitErrors", self.commit_errors.into()),
        ];
        if let Some(error) = &self.last_error {
            journal.push(("lastError", error.as_str().into()));
        }
        let clock: &[(&str, Value)] = if self.clock_suspect {
            &[("advice", "wall clock and monotonic clock disagree: set the time, then restart".into())]
        } else {
            &[]
        };
        let journal_state = if self.reader.is_some() { "ok" } else { "journal_unavailable" };
        BTreeMap::from([
            ("writer", row(self.state.name(), &[])),
            ("journal", row(journal_state, &journal)),
            ("clock", row(if self.clock_suspect { "suspect" } else { "ok" }, clock)),
            (
                "feed",
                row(
                    self.feed.name(),
                    &[("kind", self.feed_kind.into()), ("conflated", self.conflated.into())],
                ),
            ),
        ])
    }
}
