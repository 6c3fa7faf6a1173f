//! Clock, tasks and network, behind one object, so that the whole gateway also runs in simulation.

use crate::domain::time::UnixNanos;
use std::{fmt, future::Future, io, pin::Pin, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::oneshot,
};

/// The runtime that everything in `node` and `gateway` is handed.
pub type Rt = Arc<dyn Runtime>;

/// A future without a name.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What a task's panic means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskKind {
    /// It serves one connection: a panic closes that connection.
    Session,
    /// The process depends on it: a panic ends the process.
    Vital,
}

/// A byte stream.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection and its peer's address, without the port.
pub type Connection = (Box<dyn Stream>, String);

/// A listening socket.
pub trait Listener: Send {
    /// The next connection.
    fn accept(&mut self) -> Pin<Box<dyn Future<Output = io::Result<Connection>> + Send + '_>>;

    /// The address it listens on, as `host:port`.
    fn local_addr(&self) -> io::Result<String>;
}

/// A spawned task. Dropping it lets the task run on.
pub struct Task {
    abort: Box<dyn Fn() + Send + Sync>,
}

impl Task {
    /// Wraps the runtime's way of ending the task.
    pub fn new(abort: impl Fn() + Send + Sync + 'static) -> Self {
        Self { abort: Box::new(abort) }
    }

    /// Ends the task at its next suspension point.
    pub fn abort(&self) {
        (self.abort)();
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Task")
    }
}

/// Clock, randomness, tasks and network.
pub trait Runtime: Send + Sync {
    /// Wall-clock time. May jump.
    fn wall(&self) -> UnixNanos;

    /// Nanoseconds since some fixed instant. Never goes back.
    fn mono(&self) -> u64;

    /// Fills the buffer with random bytes, fit for secrets.
    fn random(&self, buffer: &mut [u8]);

    /// Starts a task.
    fn spawn(&self, name: &'static str, kind: TaskKind, future: BoxFuture<()>) -> Task;

    /// Waits. Hosts may round up to a millisecond.
    fn sleep(&self, duration: Duration) -> BoxFuture<()>;

    /// Listens on `host:port`; port 0 lets the host choose.
    fn listen(&self, address: String) -> BoxFuture<io::Result<Box<dyn Listener>>>;

    /// Connects to `host:port`.
    fn connect(&self, address: String) -> BoxFuture<io::Result<Box<dyn Stream>>>;

    /// Runs a closure that may block on a disk. Completes when it has run.
    fn blocking(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<()>;
}

/// Runs a closure that may block, and hands back what it returns.
pub async fn run_blocking<T: Send + 'static>(rt: &Rt, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (send, receive) = oneshot::channel();
    rt.blocking(Box::new(move || {
        let _ = send.send(work());
    }))
    .await;
    receive.await.expect("a blocking closure that completed has sent its result")
}

/// `future`, or `None` once `limit` has passed.
pub async fn timeout<T>(rt: &Rt, limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    let mut future = std::pin::pin!(future);
    let mut sleep = rt.sleep(limit);
    tokio::select! {
        biased;
        value = &mut future => Some(value),
        () = &mut sleep => None,
    }
}
