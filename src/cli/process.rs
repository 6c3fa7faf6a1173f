//! A process that serves on tokio and the operating system until a signal: what `serve` and `venue` have in
//! common.

use super::{INTEGRITY, USAGE, alarms::Alarms, fail};
use crate::{
    gateway::Shutdown,
    node::{
        control,
        host::{FileStorage, PrivateFiles, TokioRuntime},
        runtime::{Rt, TaskKind, timeout},
        services::{Services, SyntheticMarkets},
        tokens::{OPERATOR_TOKEN, TOKENS_LOCK},
    },
    serve::{Ready, ServeError, ServeOptions, serve, serve_venue},
};
use std::{
    error::Error,
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
};

/// Signals that come so close together are one wish.
const SAME_SIGNAL: Duration = Duration::from_secs(1);

/// How often the lock of the tokens is tried, and the pause between: `lockstep token` has it for a moment,
/// and a process that is ending until it is gone.
const TOKENS_ATTEMPTS: u32 = 20;
const TOKENS_PAUSE: Duration = Duration::from_millis(100);

/// What is served.
#[derive(Debug, Clone, Copy)]
pub(super) enum Role {
    Gateway,
    Venue,
}

/// What is said when it is up, of the address and the file with the operator's token.
pub(super) type Announce = fn(&str, &Path) -> String;

/// A process to be.
#[derive(Debug, Clone)]
pub(super) struct Process {
    pub role: Role,
    /// Of journal and tokens.
    pub directory: PathBuf,
    pub announce: Announce,
}

impl Process {
    /// Serves to the end; returns the exit code.
    pub fn run(self, options: ServeOptions) -> ExitCode {
        let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return fail(format!("the runtime cannot start: {error}"), USAGE),
        };
        match runtime.block_on(self.serve(options)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                let integrity = error.downcast_ref().is_some_and(ServeError::is_integrity);
                fail(error, if integrity { INTEGRITY } else { USAGE })
            }
        }
    }

    /// Serves until a signal or a failure.
    async fn serve(self, options: ServeOptions) -> Result<(), Box<dyn Error>> {
        let directory = self.directory.clone();
        let rt: Rt = Arc::new(TokioRuntime::new());
        let _tokens = hold_tokens(&rt, &directory).await?;
        let services = Services {
            storage: Arc::new(FileStorage::new(&directory)),
            files: Arc::new(PrivateFiles::new(&directory)),
            markets: Arc::new(SyntheticMarkets),
            probe: Arc::new(Alarms),
        };
        let (shutdown, stopping) = oneshot::channel();
        let signals = Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            restart: signal(SignalKind::user_defined2())?,
        };
        rt.spawn("signals", TaskKind::Session, Box::pin(watch(Arc::clone(&rt), signals, shutdown)));
        let (ready, is_ready) = oneshot::channel();
        let socket_is_ours = Arc::new(AtomicBool::new(false));
        let role = self.role;
        let announce = self.announce_when(Arc::clone(&rt), is_ready, Arc::clone(&socket_is_ours));
        rt.spawn("control", TaskKind::Session, Box::pin(announce));
        let served = match role {
            Role::Gateway => serve(Arc::clone(&rt), services, options, ready, stopping).await,
            Role::Venue => serve_venue(Arc::clone(&rt), services, options, ready, stopping).await,
        };
        // the socket of a process that came up; of one that did not, the directory may be another's
        if socket_is_ours.load(Ordering::Relaxed) {
            control::remove(&directory);
        }
        Ok(served?)
    }

    /// Says where it is, once it is up and heard on the control socket, and then answers there.
    async fn announce_when(self, rt: Rt, ready: oneshot::Receiver<Ready>, socket_is_ours: Arc<AtomicBool>) {
        let Ok(Ready { address, tokens }) = ready.await else {
            return;
        };
        socket_is_ours.store(true, Ordering::Relaxed);
        // before the announcement: without the socket `lockstep token` takes the process for one that is down,
        // and makes tokens that this process does not know
        let control = control::listen(&self.directory);
        let text = (self.announce)(&address, &self.directory.join(OPERATOR_TOKEN));
        // nobody may be reading
        let _ = writeln!(io::stdout(), "{text}").and_then(|()| io::stdout().flush());
        match control {
            Ok(listener) => control::serve(&rt, listener, tokens).await,
            Err(error) => {
                tracing::warn!(%error, "no control socket: use `lockstep token` only while this process is down");
            }
        }
    }
}

/// Keeps `lockstep token` from writing beside this process, from before it reads the tokens.
async fn hold_tokens(rt: &Rt, directory: &Path) -> Result<File, Box<dyn Error>> {
    let files = PrivateFiles::new(directory);
    for _ in 0..TOKENS_ATTEMPTS {
        match files.lock(TOKENS_LOCK) {
            Ok(Some(held)) => return Ok(held),
            Ok(None) => rt.sleep(TOKENS_PAUSE).await,
            Err(error) => return Err(format!("{TOKENS_LOCK} in the data directory: {error}").into()),
        }
    }
    Err("another gateway uses this directory: stop it, or give another with --data-dir".into())
}

/// The first signal drains. A later one ends the process at once: somebody has lost patience. Supervisors
/// and shells signal the process and its group, so what comes with the first means the same.
async fn watch(rt: Rt, mut signals: Signals, shutdown: oneshot::Sender<Shutdown>) {
    let first = signals.next().await;
    // a process that is on its way out anyway has dropped its end
    let _ = shutdown.send(first);
    rt.sleep(SAME_SIGNAL).await;
    while timeout(&rt, Duration::ZERO, signals.next()).await.is_some() {}
    signals.next().await;
    tracing::warn!("a second signal: ending at once");
    std::process::exit(USAGE.into());
}

/// The signals that end the process.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// SIGUSR2: a supervisor is about to start it anew.
    restart: Signal,
}

impl Signals {
    async fn next(&mut self) -> Shutdown {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => Shutdown::Stop,
            _ = self.interrupt.recv() => Shutdown::Stop,
            _ = self.restart.recv() => Shutdown::Restart,
        }
    }
}
