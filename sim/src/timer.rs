//! Sleeping on madsim.

use madsim::time::Sleep;
use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

/// A sleep that sets one timer, however often it is polled; madsim's sets one at each poll.
pub struct OneTimer {
    sleep: Pin<Box<Sleep>>,
    waker: Arc<LatestWaker>,
    set: bool,
}

impl OneTimer {
    /// A timer that is not set yet.
    pub fn new(sleep: Sleep) -> Self {
        Self { sleep: Box::pin(sleep), waker: Arc::default(), set: false }
    }
}

impl Future for OneTimer {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.set && !self.sleep.is_elapsed() {
            self.waker.replace(context.waker());
            return Poll::Pending;
        }
        self.set = true;
        self.waker.replace(context.waker());
        let waker = Waker::from(self.waker.clone());
        self.sleep.as_mut().poll(&mut Context::from_waker(&waker))
    }
}

/// Wakes whoever polled last, and knows whether it did since.
#[derive(Default)]
pub struct LatestWaker {
    latest: Mutex<Option<Waker>>,
    woken: AtomicBool,
}

impl LatestWaker {
    /// From now on wakes this one.
    pub fn replace(&self, waker: &Waker) {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if !latest.as_ref().is_some_and(|w| w.will_wake(waker)) {
            *latest = Some(waker.clone());
        }
    }

    /// Whether it was woken since the last question.
    pub fn take_woken(&self) -> bool {
        self.woken.swap(false, Ordering::Relaxed)
    }
}

impl Wake for LatestWaker {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::Relaxed);
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waker) = latest {
            waker.wake();
        }
    }
}
