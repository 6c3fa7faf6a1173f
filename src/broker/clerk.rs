//! What a session has to tell: reports as they become durable, books on request, and answers to requests
//! that left no event. It does one thing at a time, so that whatever it says includes what it said before.

use super::{
    books,
    entry::{Outcome, Target},
    reports::{DUPLICATE, Reports},
};
use crate::{
    domain::{
        id::AccountId,
        message::{ErrorCode, LinkReport, NumberedReport, Refusal, VenueOrderStatus},
        retcode,
    },
    node::{
        connector::wire::{Sync, VenueFrame},
        handle::Handle,
        hub::Release,
        runtime::Rt,
    },
};
use std::{
    collections::BTreeSet,
    future::pending,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::mpsc;

/// Releases that may wait; beyond them the journal is read.
const RELEASES: usize = 64;
/// How long orders may be on their way into the engine while the books are asked for.
const FLIGHT_PAUSE: Duration = Duration::from_millis(20);
const FLIGHT_ATTEMPTS: u32 = 500;

/// What the clerk is asked to do.
#[derive(Debug)]
pub(super) enum Todo {
    Sync(Sync),
    Status { orders: Vec<String> },
    Outcome(Outcome),
    Beat,
}

/// Why the session ends, as the gateway is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stop(pub String);

impl Stop {
    pub fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self(format!("{}: {}", refusal.reason(), refusal.message))
    }
}

/// Orders whose commands have no answer yet.
#[derive(Debug, Clone, Default)]
pub(super) struct InFlight(Arc<Mutex<BTreeSet<String>>>);

impl InFlight {
    pub fn insert(&self, order: &str) {
        self.lock().insert(order.to_owned());
    }

    pub fn remove(&self, order: &str) {
        self.lock().remove(order);
    }

    fn contains(&self, order: &str) -> bool {
        self.lock().contains(order)
    }

    fn all(&self) -> BTreeSet<String> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A clerk at work.
pub(super) struct Clerk {
    pub rt: Rt,
    pub handle: Handle,
    pub account: AccountId,
    /// The name of the log of reports.
    pub log: String,
    pub in_flight: InFlight,
    pub out: mpsc::Sender<VenueFrame>,
    pub reports: Option<Reports>,
    pub releases: Option<mpsc::Receiver<Arc<Release>>>,
}

impl Clerk {
    /// Works until something ends the session.
    pub async fn run(mut self, mut todo: mpsc::Receiver<Todo>) -> Stop {
        loop {
            let done = tokio::select! {
                biased;
                todo = todo.recv() => match todo {
                    Some(todo) => self.work(todo).await,
                    None => return Stop::new("SHUTDOWN"),
                },
                release = next(&mut self.releases) => self.released(release).await,
            };
            if let Err(stop) = done {
                return stop;
            }
        }
    }

    async fn work(&mut self, todo: Todo) -> Result<(), Stop> {
        match todo {
            Todo::Sync(sync) => self.sync(&sync).await,
            Todo::Status { orders } => self.status(&orders).await,
            Todo::Outcome(outcome) => self.outcome(outcome).await,
            Todo::Beat => {
                let last = self.reports.as_ref().map(Reports::last);
                self.say(VenueFrame::Heartbeat { last }).await
            }
        }
    }

    // ---- reports ------------------------------------------------------------------------------

    async fn released(&mut self, release: Option<Arc<Release>>) -> Result<(), Stop> {
        let Some(reports) = &mut self.reports else { return Ok(()) };
        let Some(release) = release else {
            // we were too slow for the live stream: the journal has it all
            self.releases = Some(self.handle.subscribe(RELEASES));
            return self.catch_up(None).await;
        };
        let last = release.events.last().map_or(0, |event| event.number);
        if last <= reports.position() {
            return Ok(());
        }
        match reports.take_release(&release) {
            Some(news) => self.say_all(news).await,
            None => self.catch_up(None).await,
        }
    }

    /// Tells every report of events up to `to`.
    async fn catch_up(&mut self, to: Option<u64>) -> Result<(), Stop> {
        while let Some(reports) = &mut self.reports
            && let Some(news) = reports.read(&self.handle, to).await?
        {
            self.say_all(news).await?;
        }
        Ok(())
    }

    // ---- books --------------------------------------------------------------------------------

    async fn sync(&mut self, sync: &Sync) -> Result<(), Stop> {
        self.releases = Some(self.handle.subscribe(RELEASES));
        let ours = sync.log.as_ref() == Some(&self.log);
        if ours {
            let head = self.handle.status().head.offset;
            if sync.after > head {
                let reason =
                    format!("LOG_BEHIND: report {} is not in this log, which ends at {head}", sync.after);
                return Err(Stop::new(reason));
            }
            self.reports = Some(Reports::after(self.account.clone(), sync.after));
        } else {
            self.reports = None;
        }
        for _ in 0..FLIGHT_ATTEMPTS {
            self.catch_up(None).await?;
            let flying = self.in_flight.all();
            let (view, cursor) = books::account(&self.handle, &self.account).await?;
            let working: BTreeSet<&str> =
                view.orders.iter().filter_map(|o| o.client_order_id.as_ref()).map(|id| id.as_str()).collect();
            let unsettled = |name: &String| flying.contains(name) && !working.contains(name.as_str());
            if sync.orders.iter().any(unsettled) {
                self.rt.sleep(FLIGHT_PAUSE).await;
                continue;
            }
            let seq = match ours {
                true => {
                    self.catch_up(Some(cursor.offset)).await?;
                    self.reports.as_ref().map_or(0, Reports::last)
                }
                // what was before is in the books: nothing of it is told
                false => self.pass_over(cursor.offset).await?,
            };
            let snapshot = books::snapshot(&self.handle, &view, seq, &sync.orders, !ours).await?;
            return self.say(VenueFrame::Snapshot { snapshot: Box::new(snapshot) }).await;
        }
        Err(Stop::new("BUSY: orders are on their way for too long"))
    }

    /// Reads the log up to there without telling it; returns the number of its last report.
    async fn pass_over(&mut self, to: u64) -> Result<u64, Stop> {
        let mut reports = Reports::after(self.account.clone(), 0);
        while reports.read(&self.handle, Some(to)).await?.is_some() {}
        let last = reports.last();
        self.reports = Some(reports);
        Ok(last)
    }

    async fn status(&mut self, orders: &[String]) -> Result<(), Stop> {
        for _ in 0..FLIGHT_ATTEMPTS {
            let flying = self.in_flight.all();
            let states = books::states(&self.handle, &self.account, orders).await?;
            let unsettled = |s: &crate::domain::message::OrderState| {
                s.status == VenueOrderStatus::Unknown && flying.contains(&s.order)
            };
            if states.iter().any(unsettled) {
                self.rt.sleep(FLIGHT_PAUSE).await;
                continue;
            }
            // whatever made them so is told first
            self.catch_up(None).await?;
            return self.say(VenueFrame::Status { orders: states }).await;
        }
        Err(Stop::new("BUSY: orders are on their way for too long"))
    }

    // ---- outcomes -----------------------------------------------------------------------------

    /// What succeeded has left its event. What did not, and has left none, is answered here.
    async fn outcome(&mut self, outcome: Outcome) -> Result<(), Stop> {
        match outcome {
            Outcome::Submit { result: Ok(()), .. }
            | Outcome::Cancel { result: Ok(()), .. }
            | Outcome::Modify { result: Ok(None), .. } => Ok(()),
            Outcome::Modify { result: Ok(Some(same)), .. } => self.answer(same).await,
            Outcome::Submit { result: Err(refusal), .. }
            | Outcome::Cancel { result: Err(refusal), .. }
            | Outcome::Modify { result: Err(refusal), .. }
                if refusal.code == ErrorCode::InternalError =>
            {
                Err(refusal.into())
            }
            Outcome::Submit { order, result: Err(refusal) } => self.not_placed(order, &refusal).await,
            Outcome::Cancel { order, result: Err(refusal) } => self.not_canceled(order, &refusal).await,
            // it waits in the engine, whose event will come
            Outcome::Modify { result: Err(refusal), .. } if refusal.code == ErrorCode::Timeout => Ok(()),
            Outcome::Modify { result: Err(refusal), .. } if refusal.reason() == "NO_TARGET" => {
                Err(refusal.into())
            }
            Outcome::Modify { target, result: Err(refusal) } => {
                let (order, position) = match target {
                    Target::Order(name) => (Some(name), None),
                    Target::Position(name) => (None, Some(name)),
                };
                let (reason, retcode) = why(refusal.reason());
                self.answer(LinkReport::ModifyRejected { order, position, reason, retcode }).await
            }
        }
    }

    async fn not_placed(&mut self, order: String, refusal: &Refusal) -> Result<(), Stop> {
        let has_event = refusal.details.contains_key("intentId");
        match refusal.reason() {
            // the first one is not ended by the second
            DUPLICATE => self.status(&[order]).await,
            _ if has_event || refusal.code == ErrorCode::Timeout => Ok(()),
            reason => {
                let (reason, retcode) = why(reason);
                self.answer(LinkReport::Rejected { order, reason, retcode }).await
            }
        }
    }

    async fn not_canceled(&mut self, order: String, refusal: &Refusal) -> Result<(), Stop> {
        match (refusal.code, refusal.reason()) {
            // its end has an event
            (ErrorCode::Timeout, _) | (_, "ORDER_TERMINAL") => Ok(()),
            // the cancel overtook it: the engine will not start it, and that has an event
            (ErrorCode::NotFound, _) if self.in_flight.contains(&order) => Ok(()),
            (ErrorCode::NotFound, _) => self.status(&[order]).await,
            (_, reason) => {
                let (reason, retcode) = why(reason);
                self.answer(LinkReport::CancelRejected { order, reason, retcode }).await
            }
        }
    }

    /// A report outside of the log: it bears no number, and is not repeated.
    async fn answer(&mut self, report: LinkReport) -> Result<(), Stop> {
        self.catch_up(None).await?;
        self.say(VenueFrame::Report(NumberedReport { seq: 0, prev: 0, report })).await
    }

    async fn say_all(&self, reports: Vec<NumberedReport>) -> Result<(), Stop> {
        for report in reports {
            self.say(VenueFrame::Report(report)).await?;
        }
        Ok(())
    }

    async fn say(&self, frame: VenueFrame) -> Result<(), Stop> {
        self.out.send(frame).await.map_err(|_| Stop::new("GONE"))
    }
}

/// A reason of ours, and MetaTrader's number where there is one.
fn why(reason: &str) -> (String, Option<i64>) {
    (reason.to_owned(), retcode::of_refusal(reason))
}

async fn next(releases: &mut Option<mpsc::Receiver<Arc<Release>>>) -> Option<Arc<Release>> {
    match releases {
        Some(releases) => releases.recv().await,
        None => pending().await,
    }
}
