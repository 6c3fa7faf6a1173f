//! `Runtime` on madsim: one per process of a simulated node.

use crate::{disk::Disk, draw::Draw, panics::Panics};
use lockstep::{
    domain::time::UnixNanos,
    node::runtime::{BoxFuture, Listener, Runtime, Stream, Task, TaskKind},
};
use madsim::{
    net::{TcpListener, TcpStream},
    time::{Sleep, TimeHandle},
};
use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};
use tokio::sync::oneshot;

/// A node's clock: the world's time, from a start of the plan's choosing, and how far it is off.
#[derive(Clone)]
pub struct Clock {
    time: TimeHandle,
    start: UnixNanos,
    skew_ns: i64,
}

impl Clock {
    /// A clock of the world that is running.
    pub fn new(start: UnixNanos, skew_ns: i64) -> Self {
        Self { time: TimeHandle::current(), start, skew_ns }
    }

    /// Nanoseconds since the world began.
    pub fn elapsed_ns(&self) -> u64 {
        u64::try_from(self.time.elapsed().as_nanos()).expect("no world lasts five centuries")
    }

    /// What the node takes for the time of day.
    pub fn wall(&self) -> UnixNanos {
        let elapsed = i64::try_from(self.elapsed_ns()).expect("no world lasts two centuries");
        self.start.plus(elapsed).plus(self.skew_ns)
    }
}

/// The runtime of one process.
pub struct SimRuntime {
    clock: Clock,
    random: Mutex<Draw>,
    disk: Disk,
    /// Whose turn it is to use the disk.
    turn: Arc<tokio::sync::Mutex<()>>,
    panics: Panics,
}

impl SimRuntime {
    /// The runtime of a process that starts now; `random` is its own stream.
    pub fn new(clock: Clock, random: Draw, disk: Disk, panics: Panics) -> Self {
        Self { clock, random: Mutex::new(random), disk, turn: Arc::default(), panics }
    }
}

impl Runtime for SimRuntime {
    fn wall(&self) -> UnixNanos {
        self.clock.wall()
    }

    fn mono(&self) -> u64 {
        self.clock.elapsed_ns()
    }

    fn random(&self, buffer: &mut [u8]) {
        self.random.lock().unwrap_or_else(PoisonError::into_inner).fill(buffer);
    }

    fn spawn(&self, name: &'static str, kind: TaskKind, future: BoxFuture<()>) -> Task {
        let handle = madsim::task::spawn(self.panics.clone().watch(name, kind, future));
        let abort = handle.abort_handle();
        Task::new(move || abort.abort())
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<()> {
        Box::pin(OneTimer::new(self.clock.time.sleep(duration)))
    }

    fn listen(&self, address: String) -> BoxFuture<io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let listener = TcpListener::bind(address).await?;
            Ok(Box::new(SimListener(listener)) as Box<dyn Listener>)
        })
    }

    fn connect(&self, address: String) -> BoxFuture<io::Result<Box<dyn Stream>>> {
        Box::pin(async move { Ok(Box::new(TcpStream::connect(address).await?) as Box<dyn Stream>) })
    }

    /// The closure runs at once; then the disk takes its time, and what was synced becomes durable
    /// as it passes, so that a crash can strike inside a commit. Until then no other closure runs: redb
    /// shows a commit to its readers when it is durable, and here it would before. As a thread would,
    /// it goes on when nobody waits for it any more.
    fn blocking(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<()> {
        let disk = self.disk.clone();
        let time = self.clock.time.clone();
        let turn = self.turn.clone();
        let (done, finished) = oneshot::channel();
        let task = async move {
            let _turn = turn.lock().await;
            for barrier in disk.run(work) {
                time.sleep(barrier.cost).await;
                disk.complete(&barrier);
            }
            let _ = done.send(()); // the waiting side may be gone
        };
        drop(self.spawn("blocking", TaskKind::Vital, Box::pin(task)));
        Box::pin(async move {
            let _ = finished.await; // without an answer the closure has panicked, which is noted
        })
    }
}

struct SimListener(TcpListener);

impl Listener for SimListener {
    fn accept(&mut self) -> Pin<Box<dyn Future<Output = io::Result<(Box<dyn Stream>, String)>> + Send + '_>> {
        Box::pin(async {
            let (stream, peer) = self.0.accept().await?;
            Ok((Box::new(stream) as Box<dyn Stream>, peer.ip().to_string()))
        })
    }

    fn local_addr(&self) -> io::Result<String> {
        Ok(self.0.local_addr()?.to_string())
    }
}

/// A sleep that sets one timer, however often it is polled; madsim's sets one at each poll.
struct OneTimer {
    sleep: Pin<Box<Sleep>>,
    waker: Arc<LatestWaker>,
    set: bool,
}

impl OneTimer {
    fn new(sleep: Sleep) -> Self {
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

/// Wakes whoever polled last.
#[derive(Default)]
struct LatestWaker(Mutex<Option<Waker>>);

impl LatestWaker {
    fn replace(&self, waker: &Waker) {
        let mut latest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !latest.as_ref().is_some_and(|w| w.will_wake(waker)) {
            *latest = Some(waker.clone());
        }
    }
}

impl Wake for LatestWaker {
    fn wake(self: Arc<Self>) {
        let latest = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waker) = latest {
            waker.wake();
        }
    }
}
