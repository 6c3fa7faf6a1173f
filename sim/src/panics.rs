//! Panics inside a world: caught where they happen, told in one line, never lost.

use lockstep::node::runtime::TaskKind;
use std::{
    any::Any,
    cell::{Cell, RefCell},
    future::Future,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, Once, PoisonError},
};
use tokio::sync::mpsc;

thread_local! {
    /// Whether this thread runs a world: its panics are collected, not printed.
    static IN_WORLD: Cell<bool> = const { Cell::new(false) };
    /// What the last panic of this thread said, and where.
    static LAST: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Declares the calling thread a world's thread.
pub fn enter_world() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if IN_WORLD.with(Cell::get) {
                let place = info.location().map(|l| format!("{}:{}", l.file(), l.line())).unwrap_or_default();
                LAST.with(|last| *last.borrow_mut() = Some(format!("{} at {place}", said(info.payload()))));
            } else {
                usual(info);
            }
        }));
    });
    IN_WORLD.with(|flag| flag.set(true));
}

/// The text of a caught panic.
pub fn message(payload: &(dyn Any + Send)) -> String {
    LAST.with(|last| last.borrow_mut().take()).unwrap_or_else(|| said(payload))
}

fn said(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        return (*text).to_owned();
    }
    payload.downcast_ref::<String>().cloned().unwrap_or_else(|| "a panic without a message".to_owned())
}

/// The panics of one world.
#[derive(Debug, Clone)]
pub struct Panics {
    told: Arc<Mutex<Vec<String>>>,
    /// Wakes the run when the process could not go on.
    fatal: mpsc::UnboundedSender<()>,
}

impl Panics {
    /// None so far; the receiver hears of those that end a process.
    pub fn new() -> (Self, mpsc::UnboundedReceiver<()>) {
        let (fatal, ended) = mpsc::unbounded_channel();
        (Self { told: Arc::default(), fatal }, ended)
    }

    /// Runs a task; a panic ends the task, is noted, and ends the world if the task was vital.
    pub async fn watch(self, name: &'static str, kind: TaskKind, task: impl Future<Output = ()>) {
        let caught = futures_util::FutureExt::catch_unwind(AssertUnwindSafe(task)).await;
        if let Err(payload) = caught {
            let text = format!("task `{name}` panicked: {}", message(&*payload));
            self.told.lock().unwrap_or_else(PoisonError::into_inner).push(text);
            if kind == TaskKind::Vital {
                // The receiver is gone only when the world is ending already.
                let _ = self.fatal.send(());
            }
        }
    }

    /// All of them, in order.
    pub fn all(&self) -> Vec<String> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
