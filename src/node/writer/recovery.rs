//! After a failed commit: nothing that rests on it leaves, the machine is thrown away and rebuilt from
//! what the journal holds, and the writer goes on.

use super::{Writer, WriterError, alarm::Alarm, shadow::ShadowTask};
use crate::{
    domain::{
        config::Config,
        message::{GatewayState, Input},
        time::UnixNanos,
    },
    node::{
        handle::journal_unavailable,
        hub::Release,
        journal::{Batch, Journal, JournalError, JournalReader, Opened, StoredEvent},
        lanes::{MarketInput, Request, Row},
        runtime::run_blocking,
        status::NodeState,
    },
};
use std::{mem, time::Duration};

/// Attempts to reopen, and the pauses between them, which double: about a minute in all.
const ATTEMPTS_MAX: u32 = 40;
const PAUSE_FIRST: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// Events that are read at once.
const PAGE: usize = 1_000;

/// A commit that returned an error. Its batch may be durable all the same.
#[derive(Debug)]
pub(super) struct FailedCommit {
    pub error: JournalError,
    pub batch: Batch,
}

impl Writer {
    /// Rebuilds everything from the journal. Fails when what is stored contradicts itself, when
    /// reopening keeps failing, and when a stop was asked for meanwhile.
    pub(super) async fn recover(&mut self, failed: FailedCommit) -> Result<(), WriterError> {
        let FailedCommit { mut error, batch } = failed;
        self.suspend(&error).await;
        let mut pause = PAUSE_FIRST;
        for attempt in 1..=ATTEMPTS_MAX {
            tracing::error!(%error, attempt, "the journal failed; opening it again");
            if error.is_integrity() {
                break;
            }
            match self.reopen().await {
                Ok(opened) => match self.resume(opened, batch.clone()).await {
                    Ok(()) => return Ok(()),
                    Err(next) => error = next,
                },
                Err(next) => error = next,
            }
            self.shared.board.lock().last_error = Some(error.to_string());
            self.refuse_for(pause).await;
            if self.stop.is_some() {
                break;
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
        self.shared.board.lock().state = NodeState::Stopped;
        Err(error.into())
    }

    /// Lets go of everything that may be ahead of the journal.
    async fn suspend(&mut self, error: &JournalError) {
        {
            let mut board = self.shared.board.lock();
            board.state = NodeState::JournalUnavailable;
            board.reader = None;
            board.commit_errors += 1;
            board.last_error = Some(error.to_string());
        }
        self.outbox.refuse();
        self.outlet.reset("the journal failed");
        // the lanes are open, so what is applied after the failed batch is nothing
        self.batch = Batch::default();
        self.held_since_ns = None;
        self.shadow = ShadowTask::none();
        self.close_journal().await;
    }

    /// Closes the journal's files, which may wait for the disk and for readers.
    pub(super) async fn close_journal(&mut self) {
        if let Some(journal) = self.journal.take() {
            run_blocking(&self.shared.rt, move || drop(journal)).await;
        }
    }

    async fn reopen(&mut self) -> Result<Opened, JournalError> {
        let storage = self.services.storage.clone();
        let (epoch, options) = (self.shared.epoch, self.journal_options);
        run_blocking(&self.shared.rt, move || Journal::open(storage, epoch, options)).await
    }

    /// Goes on from what the journal holds; `batch` is the one whose commit failed.
    async fn resume(&mut self, opened: Opened, batch: Batch) -> Result<(), JournalError> {
        let Opened { journal, machine, shadow, .. } = opened;
        let head = journal.head();
        let released = self.shared.board.lock().head.offset;
        let reader = journal.reader();
        let (reader, survivors) = run_blocking(&self.shared.rt, move || {
            let survivors = all_events_after(&reader, released);
            (reader, survivors)
        })
        .await;
        let survivors = survivors?;
        self.again_from(batch, head, machine.now());
        self.shadow = ShadowTask::start(&self.shared.rt, shadow);
        (self.journal, self.machine) = (Some(journal), machine);
        (self.applied, self.woken_for, self.clock_suspect) = (head, None, None);
        for (_, caller) in self.unanswered.split_off(&(head + 1)) {
            let _ = caller.send(Err(journal_unavailable("may_have_executed")));
        }
        {
            let cursor = self.cursor();
            let mut board = self.shared.board.lock();
            board.state = NodeState::Ready;
            board.reader = Some(reader);
            board.head = cursor;
            board.journal_offset = head;
        }
        self.tell(survivors);
        self.begin_links_anew();
        Ok(())
    }

    /// Sessions ended when the journal failed, and a batch that is lost may have held the request to begin
    /// one: whatever is to be linked begins anew.
    fn begin_links_anew(&mut self) {
        let linked = |config: &Config| config.accounts.iter().any(|account| !account.is_paper());
        if self.machine.config().is_some_and(linked) {
            let now = self.read_clock();
            self.step(now, Input::Gateway(GatewayState::Ready));
        }
    }

    /// On a replay: rows that the failed commit lost enter again, at their own stamps. Quotes of a
    /// live feed are gone, newer ones come.
    fn again_from(&mut self, batch: Batch, head: u64, reached: UnixNanos) {
        if !self.shared.clock.is_replay() {
            return;
        }
        let lost = batch.records.into_iter().filter(|record| record.offset > head);
        let rows: Vec<_> = lost
            .filter(|r| matches!(r.input, Input::Quote { .. } | Input::Bar(_) | Input::EndOfData))
            .collect();
        let last_next = self.shared.clock.next_row();
        let nexts = rows.iter().skip(1).map(|r| Some(r.now)).chain([last_next]).collect::<Vec<_>>();
        let first = rows.first().map(|r| r.now).or(last_next);
        let waiting = mem::take(&mut self.again);
        self.again = rows
            .into_iter()
            .zip(nexts)
            .map(|(record, next)| MarketInput {
                input: record.input,
                row: Some(Row { at: record.now, next }),
            })
            .chain(waiting)
            .collect();
        self.shared.clock.rebuilt(reached, first);
    }

    /// Hands out events of a commit that returned an error and was durable all the same.
    fn tell(&self, survivors: Vec<StoredEvent>) {
        if let Some(last) = survivors.last() {
            let journal_offset = last.journal_offset;
            let (feed, partials) = (Vec::new(), Vec::new());
            self.shared.hub.broadcast(Release { journal_offset, events: survivors, feed, partials });
        }
    }

    /// Refuses every request until the pause is over, or until a stop is asked for.
    async fn refuse_for(&mut self, pause: Duration) {
        let mut alarm = Alarm::new(self.shared.rt.clone());
        alarm.set(pause);
        while self.stop.is_none() {
            tokio::select! {
                biased;
                request = self.lanes.next_request() => match request {
                    Request::Stop { reply } => self.stop = Some(reply),
                    other => other.refuse(journal_unavailable("not_started")),
                },
                () = alarm.ring() => return,
            }
        }
    }
}

/// Events after this one; as many as one batch can make.
fn all_events_after(reader: &JournalReader, released: u64) -> Result<Vec<StoredEvent>, JournalError> {
    let mut events = reader.events_after(released, PAGE)?;
    let mut page = events.len();
    while page == PAGE {
        let more = reader.events_after(released + events.len() as u64, PAGE)?;
        page = more.len();
        events.extend(more);
    }
    Ok(events)
}
