//! The single writer: it stamps and applies a batch of inputs in memory, commits them in one
//! transaction, and only then lets their outputs leave.
//!
//! While a commit runs, inputs queue in the lanes and become the next batch: group commit needs no
//! further code. Market data that nobody waits for stay in memory for up to a second.

mod alarm;
mod outbox;
mod outlet;
mod overtaking;
mod recovery;
mod shadow;
mod start;

#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) use outlet::NoVenues;
pub(crate) use outlet::Outlet;
pub(crate) use start::{Ended, Node, Start, start};

use self::{
    alarm::Alarm, outbox::Outbox, overtaking::Overtaking, recovery::FailedCommit, shadow::ShadowTask,
};
use super::{
    handle::{CommandRequest, Response, Shared, journal_unavailable},
    hub::{OpenCandles, Release},
    journal::{Batch, Cursor, Journal, JournalError, JournalOptions, Record, StoredEvent},
    lanes::{BATCH_MAX, Entry, Lanes, MarketInput, Reply, Request},
    runtime::run_blocking,
    services::Services,
    status::{FeedState, NodeState},
};
use crate::{
    domain::{
        id::{CommandId, OrderId},
        instrument::InstrumentId,
        market::Timeframe,
        message::{Answer, Command, CommandBody, Event, FeedEvent, Input, Outputs, Query},
        time::UnixNanos,
    },
    machine::Machine,
};
use std::{
    collections::{BTreeMap, VecDeque},
    mem,
    sync::Arc,
    time::Duration,
};
use tokio::sync::oneshot;

/// Market data kept in memory at most.
const HELD_MAX: usize = 4_096;
/// How long they are kept when nobody reads ticks, and when somebody does.
const HELD_FOR: Duration = Duration::from_secs(1);
const HELD_FOR_TICKS: Duration = Duration::from_millis(50);
/// How often a suspect clock is looked at.
const SUSPECT_CHECK: Duration = Duration::from_secs(1);
/// Commands without a final answer; callers give up after seconds, so there are few.
const UNANSWERED_MAX: usize = 4_096;

/// Owns the machine and the journal; everybody else has a `Handle`.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    services: Services,
    journal_options: JournalOptions,
    lanes: Lanes,
    alarm: Alarm,
    /// `None` while a commit has it or it is being reopened.
    journal: Option<Journal>,
    shadow: ShadowTask,
    outlet: Arc<dyn Outlet>,
    machine: Machine,
    out: Outputs,
    /// Offset of the last input that was applied.
    applied: u64,
    /// Applied and not committed.
    batch: Batch,
    /// Monotonic time of the oldest of them.
    held_since_ns: Option<u64>,
    outbox: Outbox,
    /// Commands without a final answer, by offset.
    unanswered: BTreeMap<u64, Reply<Response>>,
    overtaking: Overtaking,
    /// Rows of a replay that a failed commit lost; they enter again, before all others.
    again: VecDeque<MarketInput>,
    /// What the journal says about the clock; `None`: not known.
    clock_suspect: Option<bool>,
    /// The last deadline that a `Wake` was for.
    woken_for: Option<UnixNanos>,
    stop: Option<Reply<()>>,
}

/// Why the writer ended.
#[derive(Debug, thiserror::Error)]
pub enum WriterError {
    /// The journal cannot be used, and reopening it did not help.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl Writer {
    /// Runs until it is stopped or the journal is lost.
    pub async fn run(mut self) -> Result<(), WriterError> {
        let mut inputs = Vec::with_capacity(BATCH_MAX);
        loop {
            self.gather(&mut inputs).await;
            self.wake_if_due(&inputs);
            for entry in inputs.drain(..) {
                self.apply(entry);
            }
            if self.must_commit()
                && let Err(failed) = self.commit().await
            {
                self.recover(failed).await?;
            }
            if let Some(stopped) = self.stop.take() {
                self.finish().await?;
                let _ = stopped.send(Ok(()));
                return Ok(());
            }
        }
    }

    /// Waits until there is something to do, and takes a batch of it.
    async fn gather(&mut self, inputs: &mut Vec<Entry>) {
        if self.again.is_empty() {
            self.set_alarm();
            tokio::select! {
                biased;
                entry = self.lanes.next() => inputs.push(entry),
                () = self.alarm.ring() => {}
            }
        }
        let again = self.again.len().min(BATCH_MAX / 2);
        inputs.extend(self.again.drain(..again).map(Entry::Market));
        self.lanes.fill(inputs);
    }

    /// Lets the writer wake for a deadline, for what it holds back, and for a clock to heal.
    fn set_alarm(&mut self) {
        let due = self.machine.next_deadline().filter(|due| self.woken_for != Some(*due));
        if let Some(delay) = due.and_then(|at| self.shared.clock.until(at)) {
            self.alarm.set(delay);
        }
        if let Some(since) = self.held_since_ns {
            let held = Duration::from_nanos(self.shared.rt.mono().saturating_sub(since));
            self.alarm.set(self.held_for().saturating_sub(held));
        }
        if self.clock_suspect == Some(true) {
            self.alarm.set(SUSPECT_CHECK);
        }
    }

    /// Tells the machine the time if a deadline has come and no input will.
    fn wake_if_due(&mut self, inputs: &[Entry]) {
        if !inputs.iter().all(|entry| matches!(entry, Entry::Request(Request::Query { .. }))) {
            return;
        }
        let now = self.read_clock();
        let due = self.machine.next_deadline().filter(|due| *due <= now);
        if due.is_some() && due != self.woken_for {
            self.woken_for = due;
            self.step(now, Input::Wake);
        }
    }

    /// The instant at which the next input stands. A change of the clock's trust enters first.
    fn read_clock(&mut self) -> UnixNanos {
        let reading = self.shared.clock.read();
        if self.clock_suspect != Some(reading.suspect) {
            self.clock_suspect = Some(reading.suspect);
            self.shared.board.lock().clock_suspect = reading.suspect;
            self.step(reading.now, Input::ClockSuspect { suspect: reading.suspect });
        }
        reading.now
    }

    fn apply(&mut self, entry: Entry) {
        match entry {
            Entry::Market(market) => self.apply_market(market),
            Entry::Request(Request::Command { request, arrival, prior, reply }) => {
                self.apply_command(*request, arrival, prior, reply);
            }
            Entry::Request(Request::Query { query, reply }) => {
                let (now, cursor) = (self.shared.clock.read().now, self.cursor());
                let answer = self.machine.query_at(now, &query).map(|answer| (answer, cursor));
                self.outbox.answers.push((reply, answer));
            }
            Entry::Request(Request::Node { input, reply }) => {
                let now = self.read_clock();
                let offset = self.step(now, *input);
                self.outbox.entered.push((reply, offset));
            }
            Entry::Request(Request::Archive { reply }) => self.outbox.archives.push((reply, self.cursor())),
            Entry::Request(Request::Stop { reply }) => self.stop = Some(reply),
        }
    }

    fn apply_market(&mut self, market: MarketInput) {
        let ends = matches!(market.input, Input::EndOfData);
        let now = match market.row {
            Some(row) => row.at,
            None => self.read_clock(),
        };
        self.step(now, market.input);
        if let Some(row) = market.row {
            self.shared.clock.row_entered(row.next);
        }
        if ends {
            self.shared.clock.ended();
        }
    }

    fn apply_command(
        &mut self,
        request: CommandRequest,
        arrival: u64,
        prior: Option<OrderId>,
        reply: Reply<Response>,
    ) {
        let now = self.read_clock();
        let id = CommandId(self.applied + 1);
        let CommandRequest { principal, origin, idempotency, body } = request;
        self.unanswered.insert(id.0, reply);
        let overtaken = match &body {
            CommandBody::Place(order) => self.overtaking.overtook(arrival, order),
            CommandBody::Cancel(cancel) => {
                self.overtaking.canceled(arrival, self.shared.rt.mono(), cancel);
                false
            }
            _ => false,
        };
        let command = Command { id, principal, origin, idempotency, prior, overtaken, body };
        self.step(now, Input::Command(Box::new(command)));
        if self.unanswered.len() > UNANSWERED_MAX {
            self.unanswered.retain(|_, reply| !reply.is_closed());
        }
    }

    /// Applies one input in memory and keeps what it puts out for the commit; returns its offset.
    fn step(&mut self, at: UnixNanos, input: Input) -> u64 {
        let offset = self.applied + 1;
        let now = at.max(self.machine.now());
        let first_event = self.machine.event_count() + 1;
        self.machine.step(now, &input, &mut self.out);
        self.applied = offset;
        let reached = self.machine.now();
        self.shared.clock.reached(reached);
        self.services.probe.step(offset, now, &input, &self.out);
        for mark in &self.out.marks {
            self.services.probe.mark(*mark);
        }
        for (number, event) in (first_event..).zip(&self.out.events) {
            self.batch.events.push(stored_event(number, offset, reached, event));
        }
        for reply in self.out.replies.drain(..) {
            let journal_offset = reply.command.0;
            let response = reply.result.map(|body| Response { body, journal_offset });
            if let Some(caller) = self.unanswered.remove(&journal_offset) {
                self.outbox.replies.push((caller, response));
            }
        }
        self.outbox.requests.append(&mut self.out.venue);
        for event in self.out.feed.drain(..) {
            match event {
                FeedEvent::Tick { instrument, .. } => drop(self.outbox.ticked.insert(instrument)),
                FeedEvent::CandleClosed { instrument, timeframe, candle } => {
                    self.batch.candles.push((instrument, timeframe, candle));
                }
                FeedEvent::Session { .. } => {}
            }
            self.outbox.feed.push(event);
        }
        let output_hash = self.machine.output_hash();
        self.batch.records.push(Record { offset, now, input, output_hash });
        offset
    }

    /// Whether what was applied must become durable now.
    fn must_commit(&mut self) -> bool {
        if self.batch.records.is_empty() {
            return self.outbox.is_awaited();
        }
        let mono = self.shared.rt.mono();
        let since = *self.held_since_ns.get_or_insert(mono);
        self.outbox.is_awaited()
            || !self.batch.events.is_empty()
            || self.batch.records.len() >= HELD_MAX
            || Duration::from_nanos(mono.saturating_sub(since)) >= self.held_for()
    }

    fn held_for(&self) -> Duration {
        let waited_for = self.shared.hub.wants_ticks() && !self.outbox.feed.is_empty();
        if waited_for { HELD_FOR_TICKS } else { HELD_FOR }
    }

    /// Makes the batch durable in one transaction and releases what rests on it.
    async fn commit(&mut self) -> Result<(), FailedCommit> {
        let batch = mem::take(&mut self.batch);
        self.held_since_ns = None;
        if batch.records.is_empty() {
            self.release(batch).await;
            return Ok(());
        }
        let mut journal = self.journal.take().expect("a writer that commits has its journal");
        let (journal, batch, result) = run_blocking(&self.shared.rt, move || {
            let result = journal.commit(&batch);
            (journal, batch, result)
        })
        .await;
        self.journal = Some(journal);
        if let Err(error) = result {
            return Err(FailedCommit { error, batch });
        }
        self.services.probe.commit(self.applied, batch.records.len());
        self.release(batch).await;
        self.store_snapshot().await
    }

    /// Lets everything leave that rests on the batch, which is durable.
    async fn release(&mut self, batch: Batch) {
        let Batch { records, events, .. } = batch;
        let count = events.len();
        {
            let mut board = self.shared.board.lock();
            board.head = self.cursor();
            board.journal_offset = self.applied;
            board.commits += u64::from(!records.is_empty());
            if records.iter().any(|record| matches!(record.input, Input::EndOfData)) {
                board.feed = FeedState::Ended;
            }
            if let Some(journal) = &self.journal {
                board.oldest = journal.oldest_event();
            }
        }
        let feed = mem::take(&mut self.outbox.feed);
        let ticked = mem::take(&mut self.outbox.ticked);
        let partials = ticked.into_iter().map(|id| (id, self.open_candles(id))).collect();
        // before any answer: a stop that is told to have latched holds back what is not on a wire (RK05)
        if !self.outbox.requests.is_empty() {
            self.outlet.send(mem::take(&mut self.outbox.requests));
        }
        let answered = self.outbox.answer();
        if !(events.is_empty() && feed.is_empty()) {
            self.shared.hub.broadcast(Release { journal_offset: self.applied, events, feed, partials });
        }
        let confirmed = self.outbox.confirm();
        self.services.probe.release(self.applied, count, answered + confirmed);
        self.shadow.follow(records).await;
        for (reply, cursor) in mem::take(&mut self.outbox.archives) {
            let (done, caught_up) = oneshot::channel();
            self.shadow.archive(done).await;
            let _ = reply.send(Ok((caught_up, cursor))); // whoever asked may be gone
        }
    }

    /// Stores the snapshot that the shadow has ready, if it has one.
    async fn store_snapshot(&mut self) -> Result<(), FailedCommit> {
        let failed = |error| FailedCommit { error, batch: Batch::default() };
        let Some(snapshot) = self.shadow.take_snapshot().map_err(failed)? else {
            return Ok(());
        };
        let mut journal = self.journal.take().expect("a writer that stores a snapshot has its journal");
        let checkpoint = shadow::checkpoint(&snapshot);
        let (journal, result) = run_blocking(&self.shared.rt, move || {
            let result = journal.put_snapshot(snapshot);
            (journal, result)
        })
        .await;
        self.journal = Some(journal);
        result.map_err(failed)?;
        self.shared.board.lock().checkpoint = Some(checkpoint);
        Ok(())
    }

    /// Commits the rest, stores a snapshot at the head and answers whoever still waits.
    async fn finish(&mut self) -> Result<(), WriterError> {
        self.commit().await.map_err(|failed| failed.error)?;
        self.shadow.finish().await?;
        self.store_snapshot().await.map_err(|failed| failed.error)?;
        for request in self.lanes.drain_requests() {
            request.refuse(journal_unavailable("not_started"));
        }
        {
            let mut board = self.shared.board.lock();
            board.state = NodeState::Stopped;
            board.reader = None;
        }
        self.close_journal().await;
        Ok(())
    }

    fn open_candles(&self, instrument: InstrumentId) -> OpenCandles {
        Timeframe::ALL.map(|timeframe| match self.machine.query(&Query::OpenCandle(instrument, timeframe)) {
            Ok(Answer::OpenCandle(candle)) => candle,
            _ => None,
        })
    }

    fn cursor(&self) -> Cursor {
        Cursor { epoch: self.shared.epoch, offset: self.machine.event_count() }
    }
}

fn stored_event(number: u64, journal_offset: u64, ts: UnixNanos, event: &Event) -> StoredEvent {
    let payload = String::from_utf8(event.payload()).expect("JSON is UTF-8");
    StoredEvent {
        number,
        journal_offset,
        ts,
        name: event.name().into(),
        account: event.account().cloned(),
        payload: payload.into(),
    }
}
