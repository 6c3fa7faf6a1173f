//! `Runtime` on tokio and the operating system.

#![expect(clippy::disallowed_methods, reason = "this is where clocks are read and tasks are started")]

use crate::{
    domain::time::UnixNanos,
    node::runtime::{BoxFuture, Listener, Runtime, Stream, Task, TaskKind},
};
use std::{
    io,
    pin::Pin,
    time::{Duration, Instant, SystemTime},
};
use tokio::net::{TcpListener, TcpStream};

/// Exit code of a process that lost a task on which it depends (`EX_SOFTWARE`).
const VITAL_TASK_PANICKED: i32 = 70;

/// The production runtime. Must be made and used inside a tokio runtime.
#[derive(Debug)]
pub struct TokioRuntime {
    started: Instant,
}

impl TokioRuntime {
    /// Counts monotonic time from now on.
    #[allow(clippy::new_without_default, reason = "it reads the clock")]
    pub fn new() -> Self {
        Self { started: Instant::now() }
    }
}

impl Runtime for TokioRuntime {
    fn wall(&self) -> UnixNanos {
        let since = match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |ns| -ns),
        };
        UnixNanos(since)
    }

    fn mono(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn random(&self, buffer: &mut [u8]) {
        getrandom::fill(buffer).expect("the operating system provides random numbers");
    }

    fn spawn(&self, name: &'static str, kind: TaskKind, future: BoxFuture<()>) -> Task {
        let task = tokio::spawn(future);
        let abort = task.abort_handle();
        tokio::spawn(async move {
            match task.await {
                Err(error) if error.is_panic() => panicked(name, kind),
                _ => {}
            }
        });
        Task::new(move || abort.abort())
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<()> {
        Box::pin(tokio::time::sleep(duration))
    }

    fn listen(&self, address: String) -> BoxFuture<io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let listener = TcpListener::bind(&address).await?;
            Ok(Box::new(TcpListening(listener)) as Box<dyn Listener>)
        })
    }

    fn connect(&self, address: String) -> BoxFuture<io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            let stream = TcpStream::connect(&address).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }

    fn blocking(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<()> {
        let done = tokio::task::spawn_blocking(work);
        Box::pin(async move {
            if let Err(error) = done.await
                && let Ok(panic) = error.try_into_panic()
            {
                std::panic::resume_unwind(panic);
            }
        })
    }
}

/// The panic's message was printed where it happened; this says what it means.
fn panicked(name: &str, kind: TaskKind) {
    match kind {
        TaskKind::Session => tracing::error!(task = name, "a session ended by a defect; the gateway goes on"),
        TaskKind::Vital => {
            tracing::error!(task = name, "the gateway cannot go on without this task");
            eprintln!("lockstep: the task `{name}` ended by a defect: the process stops; start it again");
            std::process::exit(VITAL_TASK_PANICKED);
        }
    }
}

struct TcpListening(TcpListener);

impl Listener for TcpListening {
    fn accept(&mut self) -> Pin<Box<dyn Future<Output = io::Result<(Box<dyn Stream>, String)>> + Send + '_>> {
        Box::pin(async move {
            let (stream, peer) = self.0.accept().await?;
            stream.set_nodelay(true)?;
            Ok((Box::new(stream) as Box<dyn Stream>, peer.ip().to_string()))
        })
    }

    fn local_addr(&self) -> io::Result<String> {
        self.0.local_addr().map(|address| address.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::runtime::{Rt, run_blocking, timeout};
    use std::sync::Arc;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        sync::oneshot,
    };

    #[tokio::test]
    async fn bytes_travel_both_ways_and_the_peer_is_named_without_its_port() {
        let rt: Rt = Arc::new(TokioRuntime::new());
        let mut listener = rt.listen("127.0.0.1:0".into()).await.expect("a port");
        let mut client = rt.connect(listener.local_addr().expect("an address")).await.expect("connected");
        let (mut server, peer) = listener.accept().await.expect("accepted");
        assert_eq!(peer, "127.0.0.1");
        client.write_all(b"ping").await.expect("sent");
        let mut buffer = [0; 4];
        server.read_exact(&mut buffer).await.expect("received");
        server.write_all(&buffer).await.expect("sent");
        client.read_exact(&mut buffer).await.expect("received");
        assert_eq!(&buffer, b"ping");
    }

    #[tokio::test]
    async fn a_session_that_panics_ends_alone_and_an_aborted_task_ends() {
        let rt: Rt = Arc::new(TokioRuntime::new());
        let (send, receive) = oneshot::channel::<()>();
        rt.spawn(
            "session",
            TaskKind::Session,
            Box::pin(async move {
                let _held = send;
                panic!("a defect");
            }),
        );
        assert!(receive.await.is_err(), "its values were dropped");
        let (send, receive) = oneshot::channel::<()>();
        let task = rt.spawn(
            "forever",
            TaskKind::Session,
            Box::pin(async move {
                let _held = send;
                std::future::pending::<()>().await;
            }),
        );
        task.abort();
        assert!(receive.await.is_err());
    }

    #[tokio::test]
    async fn blocking_work_returns_its_value_and_waits_end() {
        let rt: Rt = Arc::new(TokioRuntime::new());
        assert_eq!(run_blocking(&rt, || 7).await, 7);
        assert_eq!(timeout(&rt, Duration::from_millis(5), std::future::pending::<()>()).await, None);
        let before = rt.mono();
        rt.sleep(Duration::from_millis(2)).await;
        assert!(rt.mono() > before);
        assert!(rt.wall() > UnixNanos::parse("2024-01-01T00:00:00Z").expect("an instant"));
    }
}
