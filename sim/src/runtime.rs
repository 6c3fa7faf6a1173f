//! `Runtime` on madsim: one per process of a simulated node.

use crate::{
    disk::Disk,
    draw::Draw,
    network::{Chaos, Tap, Windows},
    panics::Panics,
    probe::Coverage,
    timer::OneTimer,
    trace::{Kind, Node, Tracer},
};
use lockstep::{
    domain::time::UnixNanos,
    node::runtime::{BoxFuture, Listener, Runtime, Stream, Task, TaskKind},
};
use madsim::{
    net::{TcpListener, TcpStream},
    time::TimeHandle,
};
use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::oneshot;

/// A node's clock: the world's time, from a start of the plan's choosing, and how far it is off. Clones
/// are the same clock; it outlives the processes of the node.
#[derive(Clone)]
pub struct Clock {
    time: TimeHandle,
    start: UnixNanos,
    error: Arc<Mutex<ClockError>>,
}

/// How far a clock is off.
#[derive(Debug, Clone, Copy, Default)]
struct ClockError {
    ns: i64,
    /// How much too fast it runs, in millionths, and since when.
    ppm: i64,
    since_ns: i64,
}

impl ClockError {
    const fn at(self, elapsed_ns: i64) -> i64 {
        self.ns + (elapsed_ns - self.since_ns) * self.ppm / 1_000_000
    }
}

impl Clock {
    /// A clock of the world that is running.
    pub fn new(start: UnixNanos, skew_ns: i64) -> Self {
        let error = ClockError { ns: skew_ns, ..ClockError::default() };
        Self { time: TimeHandle::current(), start, error: Arc::new(Mutex::new(error)) }
    }

    /// Nanoseconds since the world began.
    pub fn elapsed_ns(&self) -> u64 {
        u64::try_from(self.time.elapsed().as_nanos()).expect("no world lasts five centuries")
    }

    /// What the node takes for the time of day.
    pub fn wall(&self) -> UnixNanos {
        let elapsed = self.elapsed();
        self.start.plus(elapsed).plus(self.error().at(elapsed))
    }

    /// It jumps forward, or back.
    pub fn jump(&self, by_ns: i64) {
        self.error().ns += by_ns;
    }

    /// From now on it runs too fast by so many millionths, or too slow.
    pub fn drift(&self, ppm: i64) {
        let elapsed = self.elapsed();
        let mut error = self.error();
        *error = ClockError { ns: error.at(elapsed), ppm, since_ns: elapsed };
    }

    fn elapsed(&self) -> i64 {
        i64::try_from(self.elapsed_ns()).expect("no world lasts two centuries")
    }

    fn error(&self) -> MutexGuard<'_, ClockError> {
        self.error.lock().unwrap_or_else(PoisonError::into_inner)
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
    network: Option<Network>,
}

/// What the process's connections go through, if they are not plain.
#[derive(Clone)]
pub struct Network {
    pub chaos: Chaos,
    pub node: Node,
    pub tracer: Tracer,
    pub coverage: Coverage,
    pub windows: Windows,
}

impl Network {
    /// Something took effect.
    fn receipt(&self, fault: &str) {
        self.coverage.mark(fault);
        self.tracer.record(self.node, Kind::Fault, &format!(r#"{{"fault":"{fault}"}}"#));
    }
}

impl SimRuntime {
    /// The runtime of a process that starts now; `random` is its own stream.
    pub fn new(clock: Clock, random: Draw, disk: Disk, panics: Panics) -> Self {
        Self { clock, random: Mutex::new(random), disk, turn: Arc::default(), panics, network: None }
    }

    /// The same, whose streams suffer, and whose lines to others and troubles with the disk are in the trace.
    #[must_use]
    pub fn with_network(mut self, network: Network) -> Self {
        self.network = Some(network);
        self
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
        let network = self.network.clone();
        Box::pin(async move {
            let listener = TcpListener::bind(address).await?;
            Ok(Box::new(SimListener { listener, network }) as Box<dyn Listener>)
        })
    }

    fn connect(&self, address: String) -> BoxFuture<io::Result<Box<dyn Stream>>> {
        let network = self.network.clone();
        Box::pin(async move {
            let stream = TcpStream::connect(address).await?;
            Ok(match network {
                None => Box::new(stream) as Box<dyn Stream>,
                Some(Network { chaos, node, tracer, .. }) => {
                    let stream = chaos.stream(stream);
                    let number = stream.number();
                    Box::new(Tap::new(stream, number, node, tracer))
                }
            })
        })
    }

    /// The closure runs at once; then the disk takes its time, and what was synced becomes durable
    /// as it passes, so that a crash can strike inside a commit. Until then no other closure runs: redb
    /// shows a commit to its readers when it is durable, and here it would before. As a thread would,
    /// it goes on when nobody waits for it any more.
    fn blocking(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<()> {
        let disk = self.disk.clone();
        let time = self.clock.time.clone();
        let turn = self.turn.clone();
        let network = self.network.clone();
        let (done, finished) = oneshot::channel();
        let task = async move {
            let _turn = turn.lock().await;
            let barriers = disk.run(work);
            if let Some(network) = &network {
                disk.take_effects().into_iter().for_each(|effect| network.receipt(effect));
            }
            for barrier in barriers {
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

struct SimListener {
    listener: TcpListener,
    network: Option<Network>,
}

impl Listener for SimListener {
    fn accept(&mut self) -> Pin<Box<dyn Future<Output = io::Result<(Box<dyn Stream>, String)>> + Send + '_>> {
        Box::pin(async {
            let (stream, peer) = self.listener.accept().await?;
            let stream = match &self.network {
                None => Box::new(stream) as Box<dyn Stream>,
                Some(Network { chaos, windows, .. }) => {
                    Box::new(chaos.stream(windows.accepted(stream, peer)))
                }
            };
            Ok((stream, peer.ip().to_string()))
        })
    }

    fn local_addr(&self) -> io::Result<String> {
        Ok(self.listener.local_addr()?.to_string())
    }
}
