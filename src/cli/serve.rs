//! `lockstep serve`: the gateway on tokio and the operating system.

use super::{
    DataDirectory, INTEGRITY, USAGE, alarms::Alarms, fail, read_config, strategy::StrategyArguments,
};
use crate::{
    gateway::Shutdown,
    node::{
        clock::Speed,
        config::FeedSpec,
        control,
        host::{FileStorage, PrivateFiles, TokioRuntime},
        runtime::{Rt, TaskKind, timeout},
        services::Services,
        tokens::OPERATOR_TOKEN,
    },
    serve::{Ready, ServeError, ServeOptions, serve},
};
use serde_json::json;
use std::{
    error::Error,
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

/// The arguments. What is given here goes before the configuration file.
#[derive(Debug, clap::Args)]
pub(super) struct ServeCommand {
    /// The configuration, such as lockstep.toml; without it: one paper account of 10000 USD
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    data_directory: DataDirectory,
    /// Address to listen on, 127.0.0.1:18789 unless configured
    #[arg(long, value_name = "HOST:PORT")]
    bind: Option<String>,
    /// Listen beyond this machine although there is no TLS
    #[arg(long)]
    insecure: bool,
    /// synthetic, or replay:FILE[,FILE…][,ask=FILE][,symbol=S][,tz=Z]
    #[arg(long, value_name = "FEED", value_parser = FeedSpec::parse)]
    feed: Option<FeedSpec>,
    /// Speed of a replay: a factor such as 60, or max
    #[arg(long, value_name = "N|max", value_parser = parse_speed)]
    speed: Option<Speed>,
    #[command(flatten)]
    strategy: StrategyArguments,
    /// Seed of the synthetic market
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Print one line of JSON when it is up: url, wsUrl, tokenFile
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: ServeCommand) -> ExitCode {
    let options = match options(&command) {
        Ok(options) => options,
        Err(error) => return fail(error, USAGE),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(format!("the runtime cannot start: {error}"), USAGE),
    };
    match runtime.block_on(process(options, &command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let integrity = error.downcast_ref().is_some_and(ServeError::is_integrity);
            fail(error, if integrity { INTEGRITY } else { USAGE })
        }
    }
}

fn options(command: &ServeCommand) -> Result<ServeOptions, Box<dyn Error>> {
    let file = ServeOptions::from(read_config(command.config.as_deref())?);
    Ok(ServeOptions {
        bind: command.bind.clone().unwrap_or(file.bind),
        insecure: command.insecure || file.insecure,
        feed: command.feed.clone().unwrap_or(file.feed),
        speed: command.speed.unwrap_or(file.speed),
        seed: command.seed,
        strategies: command.strategy.to_config(&file.config.accounts)?,
        ..file
    })
}

/// Serves until a signal or a failure.
async fn process(options: ServeOptions, command: &ServeCommand) -> Result<(), Box<dyn Error>> {
    let directory = &command.data_directory.path;
    let rt: Rt = Arc::new(TokioRuntime::new());
    let services = Services {
        storage: Arc::new(FileStorage::new(directory)),
        files: Arc::new(PrivateFiles::new(directory)),
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
    let announce =
        announce(Arc::clone(&rt), is_ready, directory.clone(), command.json, Arc::clone(&socket_is_ours));
    rt.spawn("control", TaskKind::Session, Box::pin(announce));
    let served = serve(Arc::clone(&rt), services, options, ready, stopping).await;
    // the socket of a gateway that came up; of one that did not, the directory may be another's
    if socket_is_ours.load(Ordering::Relaxed) {
        control::remove(directory);
    }
    Ok(served?)
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

/// Says where the gateway is, once it is up, and then answers on the control socket.
async fn announce(
    rt: Rt,
    ready: oneshot::Receiver<Ready>,
    directory: PathBuf,
    as_json: bool,
    socket_is_ours: Arc<AtomicBool>,
) {
    let Ok(Ready { address, tokens }) = ready.await else {
        return;
    };
    socket_is_ours.store(true, Ordering::Relaxed);
    let text = announcement(&address, &directory.join(OPERATOR_TOKEN), as_json);
    // nobody may be reading
    let _ = writeln!(io::stdout(), "{text}").and_then(|()| io::stdout().flush());
    if let Err(error) = control::serve(&rt, &directory, tokens).await {
        tracing::warn!(%error, "no control socket: `lockstep token new` works only while this gateway is down");
    }
}

fn announcement(address: &str, token_file: &Path, as_json: bool) -> String {
    let (url, ws_url) = (format!("http://{address}"), format!("ws://{address}/ws"));
    if as_json {
        return json!({ "url": url, "wsUrl": ws_url, "tokenFile": token_file }).to_string();
    }
    format!("lockstep is up\n  url    {url}\n  socket {ws_url}\n  token  {}", token_file.display())
}

fn parse_speed(text: &str) -> Result<Speed, String> {
    Speed::parse(text).ok_or_else(|| "write a positive number such as 60 or 0.5, or max".to_owned())
}
