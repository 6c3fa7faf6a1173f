//! The only way to the machine: commands and questions go in by a lane and come back once what they
//! rest on is durable.

use super::{
    clock::Clock,
    hub::{Hub, Release, TickInterest},
    journal::{Cursor, Dated, Epoch, History, JournalReader, Span, StoredEvent},
    lanes::{LaneSenders, Request},
    runtime::{Rt, run_blocking, timeout},
    status::{NodeStatus, StatusBoard},
    vault::Vault,
};
use crate::domain::{
    id::{AccountId, ClientOrderId, OrderId, SecretId},
    instrument::{Instrument, InstrumentId},
    market::{Candle, Timeframe},
    message::{
        Answer, CommandBody, ErrorCode, Idempotency, Input, LinkInput, OrderKey, Query, Refusal, ReplyBody,
    },
    order::Origin,
    time::UnixNanos,
};
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};

/// Says at which offset an input was entered, once it is durable; an error if that is not known.
pub(crate) type Entered = oneshot::Receiver<Result<u64, Refusal>>;

/// How long a caller waits for the writer. The engine answers a little earlier for a venue that is silent.
const ANSWER_LIMIT: Duration = Duration::from_millis(5_500);

/// A command before it is numbered and stamped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandRequest {
    /// Who asks; stable across token rotation.
    pub principal: String,
    pub origin: Origin,
    pub idempotency: Option<Idempotency>,
    pub body: CommandBody,
}

/// The answer to a command, durable when it is seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    pub body: ReplyBody,
    /// Where the command stands in the journal.
    pub journal_offset: u64,
}

/// When a command was sent, counted over all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Arrival(u64);

/// The way to the machine. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    pub(super) shared: Arc<Shared>,
    pub(super) lanes: LaneSenders,
}

/// What the writer and all handles have in common.
pub(super) struct Shared {
    pub rt: Rt,
    /// Commands that were sent.
    pub arrivals: AtomicU64,
    pub epoch: Epoch,
    pub clock: Arc<Clock>,
    pub hub: Hub,
    pub board: Arc<StatusBoard>,
    pub vault: Arc<Vault>,
}

impl Handle {
    /// Gives a command and waits for its final answer. Stops, cancels and closes take the control
    /// lane, which is never behind anything else.
    ///
    /// # Errors
    /// What the machine refused; `RATE_LIMITED` when the lane is full (nothing was started);
    /// `TIMEOUT` after 5 s and `INTERNAL_ERROR` `JOURNAL_UNAVAILABLE` after a failed commit, both
    /// with `details.outcome`.
    pub async fn command(&self, request: CommandRequest) -> Result<Response, Refusal> {
        self.command_arrived(self.arrival(), request).await
    }

    /// A place in the order in which commands were sent.
    pub(crate) fn arrival(&self) -> Arrival {
        Arrival(self.shared.arrivals.fetch_add(1, Ordering::Relaxed))
    }

    /// Gives a command that arrived earlier and found no room: a cancel that was sent after it still
    /// concerns it.
    pub(crate) async fn command_arrived(
        &self,
        arrival: Arrival,
        request: CommandRequest,
    ) -> Result<Response, Refusal> {
        let prior = match &request.body {
            CommandBody::Place(place) => match &place.client_order_id {
                Some(id) => self.prior_order(place.account.clone(), id.clone()).await?,
                None => None,
            },
            _ => None,
        };
        let lane = match request.body {
            CommandBody::EmergencyStop(_)
            | CommandBody::Cancel(_)
            | CommandBody::Close(_)
            | CommandBody::Disconnect(_) => &self.lanes.control,
            CommandBody::Place(_)
            | CommandBody::Modify(_)
            | CommandBody::Resolve(_)
            | CommandBody::Resume(_)
            | CommandBody::Connect(_) => &self.lanes.commands,
        };
        let (reply, answer) = oneshot::channel();
        enter(lane, Request::Command { request: Box::new(request), arrival: arrival.0, prior, reply })?;
        self.wait(answer, "may_have_executed").await
    }

    /// Asks a question. The answer rests on committed state only and holds at the cursor.
    ///
    /// # Errors
    /// What the machine refused, or that the node cannot answer now.
    pub async fn query(&self, query: Query) -> Result<(Answer, Cursor), Refusal> {
        let (reply, answer) = oneshot::channel();
        enter(&self.lanes.commands, Request::Query { query, reply })?;
        self.wait(answer, "not_started").await
    }

    /// Critical events after this number, oldest first, at most `limit`.
    ///
    /// # Errors
    /// `INTERNAL_ERROR` `JOURNAL_UNAVAILABLE` if the journal cannot be read.
    pub async fn events_after(&self, number: u64, limit: usize) -> Result<Vec<StoredEvent>, Refusal> {
        self.read(move |journal| journal.events_after(number, limit)).await
    }

    /// The newest `limit` candles of the range, ascending; the one that is still open comes last.
    ///
    /// # Errors
    /// `INTERNAL_ERROR` `JOURNAL_UNAVAILABLE` if the journal cannot be read.
    pub async fn candles(
        &self,
        symbol: InstrumentId,
        timeframe: Timeframe,
        from: Option<UnixNanos>,
        to: Option<UnixNanos>,
        limit: usize,
    ) -> Result<Vec<Candle>, Refusal> {
        let (answer, _) = self.query(Query::OpenCandle(symbol, timeframe)).await?;
        let mut candles =
            self.read(move |journal| journal.candles(symbol, timeframe, from, to, limit)).await?;
        let Answer::OpenCandle(open) = answer else {
            return Ok(candles);
        };
        let wanted = |at: UnixNanos| from.is_none_or(|f| at >= f) && to.is_none_or(|t| at <= t);
        // it may have closed, and been stored, since the question was answered
        let newer = |at: UnixNanos| candles.last().is_none_or(|last| at > last.ts);
        if let Some(open) = open.filter(|c| wanted(c.ts) && newer(c.ts)) {
            candles.push(open);
        }
        let excess = candles.len().saturating_sub(limit);
        candles.drain(..excess);
        Ok(candles)
    }

    /// The order of this key, also when the engine has forgotten it.
    ///
    /// # Errors
    /// `NOT_FOUND`, or that the node cannot answer now.
    pub async fn order(&self, account: AccountId, key: OrderKey) -> Result<(Answer, Cursor), Refusal> {
        match self.query(Query::Order(account.clone(), key.clone())).await {
            Err(refusal) if refusal.code == ErrorCode::NotFound => {
                match self.read(move |journal| journal.archived_order(&account, &key)).await? {
                    Some(detail) => Ok((Answer::Order(Box::new(detail)), self.status().head)),
                    None => Err(refusal),
                }
            }
            other => other,
        }
    }

    /// A part of an account's history, oldest first: up to `limit` rows after a number. Everything up to
    /// the cursor is in it.
    ///
    /// # Errors
    /// `INTERNAL_ERROR` `JOURNAL_UNAVAILABLE` if the journal cannot be read.
    pub async fn history<T: Dated + Send + 'static>(
        &self,
        account: AccountId,
        after: u64,
        span: Span,
        limit: usize,
    ) -> Result<(History<T>, Cursor), Refusal> {
        let (reply, answer) = oneshot::channel();
        enter(&self.lanes.commands, Request::Archive { reply })?;
        let (caught_up, cursor) = self.wait(answer, "not_started").await?;
        // an archive that failed says so when it is read
        let _ = timeout(&self.shared.rt, ANSWER_LIMIT, caught_up).await;
        let history = self.read(move |journal| journal.history(&account, after, span, limit)).await?;
        Ok((history, cursor))
    }

    /// Everything that is released from now on. The channel is closed when the subscriber lets
    /// `capacity` releases pile up; it can catch up with `events_after`.
    pub fn subscribe(&self, capacity: usize) -> mpsc::Receiver<Arc<Release>> {
        self.shared.hub.subscribe(capacity)
    }

    /// While this is held, market data are released within 50 ms instead of within a second.
    pub fn tick_interest(&self) -> TickInterest {
        self.shared.hub.tick_interest()
    }

    /// Puts a credential into the vault; what is journaled knows its id only.
    ///
    /// # Errors
    /// `INTERNAL_ERROR` `VAULT_UNAVAILABLE` if the vault cannot be written.
    pub async fn seal(&self, secret: String) -> Result<SecretId, Refusal> {
        let vault = Arc::clone(&self.shared.vault);
        run_blocking(&self.shared.rt, move || vault.seal(&secret)).await.map_err(|error| {
            tracing::error!(%error, "the vault could not be written");
            Refusal::new(ErrorCode::InternalError, "VAULT_UNAVAILABLE", "the vault cannot be written")
                .with("outcome", "not_started")
        })
    }

    /// How the node is.
    pub fn status(&self) -> NodeStatus {
        self.shared.board.status(self.shared.rt.mono())
    }

    /// The configured instruments, by `InstrumentId`.
    pub fn instruments(&self) -> Arc<[Instrument]> {
        self.shared.board.instruments()
    }

    /// The machine's clock: wall time on a live feed, the feed's own time on a replay.
    pub fn now(&self) -> UnixNanos {
        self.shared.clock.read().now
    }

    /// The journal's epoch; cursors of another one are void.
    pub fn epoch(&self) -> Epoch {
        self.shared.epoch
    }

    /// Enters an input of the node itself and waits until it is durable; returns its offset.
    pub(crate) async fn enter(&self, input: Input) -> Result<u64, Refusal> {
        let (reply, answer) = oneshot::channel();
        enter(&self.lanes.control, Request::Node { input: Box::new(input), reply })?;
        self.wait(answer, "may_have_executed").await
    }

    /// Enters news of a link; waits while too much of it waits. What it returns says when the news is
    /// durable, and at which offset.
    ///
    /// # Errors
    /// `JOURNAL_UNAVAILABLE` when the writer is gone.
    pub(crate) async fn report(&self, news: LinkInput) -> Result<Entered, Refusal> {
        let (reply, entered) = oneshot::channel();
        let input = Box::new(Input::Link(Box::new(news)));
        let sent = self.lanes.reports.send(Request::Node { input, reply }).await;
        sent.map(|()| entered).map_err(|_| journal_unavailable("not_started"))
    }

    /// Whether the writer is gone.
    pub(crate) fn is_closed(&self) -> bool {
        self.lanes.control.is_closed()
    }

    /// Lets the writer commit what it has, store a snapshot and end.
    pub(crate) async fn stop(&self) {
        let (reply, stopped) = oneshot::channel();
        if self.lanes.control.send(Request::Stop { reply }).await.is_ok() {
            // a writer that fails on the way says why by itself
            let _ = stopped.await;
        }
    }

    /// The order that already bears this client order id and that the engine may have forgotten.
    async fn prior_order(&self, account: AccountId, id: ClientOrderId) -> Result<Option<OrderId>, Refusal> {
        self.read(move |journal| journal.order_by_client_id(&account, &id)).await
    }

    /// Reads the journal off the async threads.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(JournalReader) -> Result<T, super::journal::JournalError> + Send + 'static,
    ) -> Result<T, Refusal> {
        let reader = self.shared.board.reader().ok_or_else(|| journal_unavailable("not_started"))?;
        run_blocking(&self.shared.rt, move || read(reader)).await.map_err(|error| {
            tracing::warn!(%error, "the journal could not be read");
            journal_unavailable("not_started")
        })
    }

    async fn wait<T>(
        &self,
        answer: oneshot::Receiver<Result<T, Refusal>>,
        outcome: &'static str,
    ) -> Result<T, Refusal> {
        match timeout(&self.shared.rt, ANSWER_LIMIT, answer).await {
            Some(Ok(result)) => result,
            // the writer is gone: whether it committed is not known here
            Some(Err(_)) => Err(journal_unavailable(outcome)),
            None => Err(Refusal::new(ErrorCode::Timeout, "NO_ANSWER", "no final answer within 5 s")
                .retryable()
                .with("outcome", outcome)),
        }
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handle")
    }
}

/// The journal cannot take what is asked for; `outcome` says what may have happened all the same.
pub(super) fn journal_unavailable(outcome: &str) -> Refusal {
    Refusal::new(ErrorCode::InternalError, "JOURNAL_UNAVAILABLE", "the journal cannot be used at the moment")
        .retryable()
        .with("outcome", outcome)
}

fn enter(lane: &mpsc::Sender<Request>, request: Request) -> Result<(), Refusal> {
    lane.try_send(request).map_err(|error| match error {
        mpsc::error::TrySendError::Full(_) => {
            Refusal::new(ErrorCode::RateLimited, "LANE_FULL", "too many requests wait; try again")
                .retryable()
                .with("outcome", "not_started")
                .with("retryAfterMs", 100)
        }
        mpsc::error::TrySendError::Closed(_) => journal_unavailable("not_started"),
    })
}
