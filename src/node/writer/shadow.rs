//! The second machine: replays what was committed, off the writer, compares every output hash,
//! archives ended orders, and makes the snapshots.

use crate::node::{
    journal::{JournalError, Record, Shadow, Snapshot},
    runtime::{Rt, TaskKind, run_blocking},
    status::Checkpoint,
};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{mpsc, oneshot};

/// Batches that may wait for the shadow; then the writer waits for it.
const BACKLOG_MAX: usize = 64;

enum Work {
    Records(Vec<Record>),
    /// Bring the archive up to where it stands.
    Archive(oneshot::Sender<()>),
    /// Make a snapshot of where it stands.
    Finish(oneshot::Sender<()>),
}

/// What the shadow leaves for the writer.
type Outcome = Arc<Mutex<Result<Option<Snapshot>, JournalError>>>;

/// The writer's end of the shadow.
pub(super) struct ShadowTask {
    /// `None` while there is no journal.
    work: Option<mpsc::Sender<Work>>,
    outcome: Outcome,
}

impl ShadowTask {
    /// Starts the shadow's task. It ends with its sender.
    pub fn start(rt: &Rt, shadow: Shadow) -> Self {
        let (sender, work) = mpsc::channel(BACKLOG_MAX);
        let outcome: Outcome = Arc::new(Mutex::new(Ok(None)));
        let task = run(rt.clone(), shadow, work, Arc::clone(&outcome));
        rt.spawn("shadow", TaskKind::Vital, Box::pin(task));
        Self { work: Some(sender), outcome }
    }

    /// No shadow.
    pub fn none() -> Self {
        Self { work: None, outcome: Arc::new(Mutex::new(Ok(None))) }
    }

    /// Hands over committed records; waits while too many are waiting already.
    pub async fn follow(&self, records: Vec<Record>) {
        if let Some(work) = self.work.as_ref().filter(|_| !records.is_empty()) {
            // a shadow that has failed says so through its outcome
            let _ = work.send(Work::Records(records)).await;
        }
    }

    /// Lets the archive catch up with everything that was handed over; `done` hears of it. Nobody does if
    /// there is no shadow.
    pub async fn archive(&self, done: oneshot::Sender<()>) {
        if let Some(work) = &self.work {
            let _ = work.send(Work::Archive(done)).await;
        }
    }

    /// The newest snapshot since the last call, or what stopped the shadow.
    pub fn take_snapshot(&self) -> Result<Option<Snapshot>, JournalError> {
        std::mem::replace(&mut *lock(&self.outcome), Ok(None))
    }

    /// Lets it catch up with everything that it was handed and make a snapshot there.
    pub async fn finish(&self) -> Result<(), JournalError> {
        let (done, caught_up) = oneshot::channel();
        if let Some(work) = &self.work {
            let _ = work.send(Work::Finish(done)).await;
            let _ = caught_up.await;
        }
        Ok(())
    }
}

/// What a snapshot proves.
pub(super) fn checkpoint(snapshot: &Snapshot) -> Checkpoint {
    Checkpoint { state_hash: snapshot.state_hash, journal_offset: snapshot.offset }
}

async fn run(rt: Rt, mut shadow: Shadow, mut work: mpsc::Receiver<Work>, outcome: Outcome) {
    while let Some(next) = work.recv().await {
        let (back, done, result) = run_blocking(&rt, move || {
            let (done, result) = perform(&mut shadow, next);
            (shadow, done, result)
        })
        .await;
        shadow = back;
        let failed = result.is_err();
        match result {
            Ok(None) => {}
            other => *lock(&outcome) = other,
        }
        if let Some(done) = done {
            let _ = done.send(());
        }
        if failed {
            return;
        }
    }
}

fn perform(
    shadow: &mut Shadow,
    work: Work,
) -> (Option<oneshot::Sender<()>>, Result<Option<Snapshot>, JournalError>) {
    match work {
        Work::Archive(done) => (Some(done), shadow.flush().map(|()| None)),
        Work::Finish(done) => (Some(done), shadow.snapshot().map(Some)),
        Work::Records(records) => {
            let mut newest = None;
            for record in &records {
                match shadow.apply(record) {
                    Ok(snapshot) => newest = snapshot.or(newest),
                    Err(error) => return (None, Err(error)),
                }
            }
            (None, Ok(newest))
        }
    }
}

fn lock(outcome: &Outcome) -> std::sync::MutexGuard<'_, Result<Option<Snapshot>, JournalError>> {
    outcome.lock().unwrap_or_else(PoisonError::into_inner)
}
