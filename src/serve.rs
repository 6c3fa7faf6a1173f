//! The gateway process and the venue process, put together on any runtime: journal, writer, connectors,
//! feed, and what faces the clients, from start to drain.

use crate::{
    broker,
    core::{self, check_change},
    domain::{
        config::{Config, StrategyConfig},
        message::{GatewayState, Input, Refusal},
    },
    gateway::{self, GatewayError, GatewaySettings, Limits, Shutdown},
    node::{
        clock::Speed,
        config::{FeedSpec, FileConfig, GatewaySection},
        connector::Connectors,
        feed::{Feed, FeedContext, FeedError, FeedOptions, ReplayError},
        handle::Handle,
        journal::{Epoch, Journal, JournalError, JournalOptions, Opened},
        runtime::{BoxFuture, Listener, Rt, Task, TaskKind, run_blocking},
        services::Services,
        status::NodeState,
        tokens::{TokenError, TokenStore},
        vault::{Vault, VaultError},
        writer::{self, Ended, Node, Outlet, Start, WriterError},
    },
};
use std::{fmt, io, sync::Arc, time::Duration};
use tokio::sync::oneshot;

/// Attempts to enter an input of the node itself while the journal recovers, and the pause between.
const ENTER_ATTEMPTS: u32 = 40;
const ENTER_PAUSE: Duration = Duration::from_millis(250);

/// What to serve.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// `host:port`; port 0 lets the host choose.
    pub bind: String,
    /// Allows a bind beyond the loopback interface, without TLS.
    pub insecure: bool,
    pub config: FileConfig,
    pub feed: FeedSpec,
    /// Of a replay.
    pub speed: Speed,
    /// Of the synthetic market.
    pub seed: u64,
    pub strategies: Vec<StrategyConfig>,
    pub journal: JournalOptions,
}

impl From<FileConfig> for ServeOptions {
    /// What the file says, and defaults for the rest.
    fn from(config: FileConfig) -> Self {
        Self {
            bind: config.gateway.bind.clone(),
            insecure: config.gateway.insecure,
            feed: config.feed.source.clone().unwrap_or_default(),
            speed: config.feed.speed.unwrap_or(Speed::REAL),
            seed: 0,
            strategies: Vec::new(),
            journal: JournalOptions::default(),
            config,
        }
    }
}

/// The process accepts connections.
#[derive(Clone)]
pub struct Ready {
    /// Where, as `host:port`.
    pub address: String,
    /// Who may call; for the control socket.
    pub tokens: Arc<TokenStore>,
}

impl fmt::Debug for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ready({})", self.address)
    }
}

/// Why the process ends with an error.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("`{0}` is not an address: write host:port, such as 127.0.0.1:18789")]
    Address(String),
    #[error(
        "{0} can be reached from other machines and there is no TLS: bind 127.0.0.1 behind a proxy that has \
         it, or allow this with --insecure"
    )]
    NotLoopback(String),
    #[error("cannot listen on {address}: {source}")]
    Listen { address: String, source: io::Error },
    #[error(transparent)]
    Tokens(#[from] TokenError),
    #[error(transparent)]
    Vault(#[from] VaultError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The configuration does not fit what is stored.
    #[error(transparent)]
    Config(#[from] core::ConfigError),
    #[error(transparent)]
    Feed(FeedError),
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    /// The machine did not take what it needs to start.
    #[error("cannot start: {message}", message = .0.message)]
    Refused(Refusal),
    /// A task is gone without a word.
    #[error("the writer ended unexpectedly: see the log")]
    WriterLost,
    #[error("the gateway ended unexpectedly: see the log")]
    GatewayLost,
}

impl From<ReplayError> for ServeError {
    fn from(error: ReplayError) -> Self {
        match error {
            ReplayError::Journal(error) => Self::Journal(error),
            other => Self::Feed(other.into()),
        }
    }
}

impl From<FeedError> for ServeError {
    fn from(error: FeedError) -> Self {
        match error {
            FeedError::Replay(error) => error.into(),
            other => Self::Feed(other),
        }
    }
}

impl From<WriterError> for ServeError {
    fn from(error: WriterError) -> Self {
        match error {
            WriterError::Journal(error) => Self::Journal(error),
        }
    }
}

impl ServeError {
    /// Whether what is stored contradicts itself.
    pub const fn is_integrity(&self) -> bool {
        matches!(self, Self::Journal(error) if error.is_integrity())
    }
}

/// What faces the clients: it serves connections of the listener until it is told to end.
type Front = Box<dyn FnOnce(Entrances) -> BoxFuture<Result<(), GatewayError>> + Send>;

/// How the process meets its clients.
struct Face {
    front: Front,
    /// Whether an account's trade requests have a rate.
    is_rated: bool,
}

/// What a front is given.
struct Entrances {
    rt: Rt,
    handle: Handle,
    tokens: Arc<TokenStore>,
    listener: Box<dyn Listener>,
    closed: oneshot::Receiver<Shutdown>,
}

/// Serves the gateway until `shutdown` is sent or dropped, then drains: whoever was answered finds what
/// it was told in the journal, and the journal ends in a snapshot.
///
/// # Errors
/// Whatever keeps it from starting, and whatever ends it without being asked to.
pub async fn serve(
    rt: Rt,
    services: Services,
    options: ServeOptions,
    ready: oneshot::Sender<Ready>,
    shutdown: oneshot::Receiver<Shutdown>,
) -> Result<(), ServeError> {
    let settings = settings(&options.config.gateway);
    let front = move |to: Entrances| {
        let run = gateway::run(to.rt, to.handle, to.tokens, settings, to.listener, to.closed);
        Box::pin(run) as BoxFuture<_>
    };
    let face = Face { front: Box::new(front), is_rated: true };
    run(rt, services, options, face, ready, shutdown).await
}

/// Serves paper accounts over the venue link (docs/VENUE_LINK.md), otherwise as `serve` does.
///
/// # Errors
/// Whatever keeps it from starting, and whatever ends it without being asked to.
pub async fn serve_venue(
    rt: Rt,
    services: Services,
    options: ServeOptions,
    ready: oneshot::Sender<Ready>,
    shutdown: oneshot::Receiver<Shutdown>,
) -> Result<(), ServeError> {
    let front = |to: Entrances| {
        let run = async {
            broker::run(to.rt, to.handle, to.tokens, to.listener, to.closed).await;
            Ok(())
        };
        Box::pin(run) as BoxFuture<_>
    };
    // the gateways rate their clients; what they let through is not refused here
    let face = Face { front: Box::new(front), is_rated: false };
    run(rt, services, options, face, ready, shutdown).await
}

async fn run(
    rt: Rt,
    services: Services,
    options: ServeOptions,
    face: Face,
    ready: oneshot::Sender<Ready>,
    shutdown: oneshot::Receiver<Shutdown>,
) -> Result<(), ServeError> {
    let listener = listen(&rt, &options).await?;
    let address = listener
        .local_addr()
        .map_err(|source| ServeError::Listen { address: options.bind.clone(), source })?;
    let tokens = Arc::new(TokenStore::open(Arc::clone(&rt), Arc::clone(&services.files))?);
    let vault = open_vault(&rt, &services).await?;
    let mut config = options.config.to_config(options.strategies, options.feed.is_live());
    config.trade_rate = config.trade_rate.filter(|_| face.is_rated);
    seal_credentials(&rt, &vault, &options.config, &mut config).await?;

    let opened = open_journal(&rt, &services, options.journal).await?;
    if let Some(known) = opened.machine.config() {
        keep_added_accounts(known, &mut config);
        check_change(known, &config)?;
    }
    let configured = opened.machine.config() == Some(&config);
    let token = options.config.feed.token.clone();
    let feed_options = FeedOptions { spec: options.feed, speed: options.speed, seed: options.seed, token };
    let feed = Feed::open(&rt, feed_options, &config, &*services.markets, &opened).await?;
    let clock = feed.clock(&rt, &opened.machine);
    let symbols = feed.symbols(&config.instruments);
    let instruments: Arc<[_]> = config.instruments.clone().into();
    let epoch = opened.journal.epoch();
    let connectors =
        Arc::new(Connectors::new(Arc::clone(&rt), Arc::clone(&vault), epoch, Arc::clone(&instruments)));
    let start = Start {
        services,
        opened,
        journal_options: options.journal,
        clock,
        feed_kind: feed.kind(),
        instruments,
        outlet: Arc::clone(&connectors) as Arc<dyn Outlet>,
        vault,
    };
    let mut node = writer::start(&rt, start);
    connectors.attach(Arc::new(node.handle.clone()));
    node.board.lock().feed_symbols = symbols.into();
    configure(&rt, &mut node, (!configured).then_some(config)).await?;

    let mut running = Running::start(&rt, &node, feed, face.front, listener, &tokens);
    // nobody may be waiting for it
    let _ = ready.send(Ready { address, tokens });
    let outcome = running.watch(&mut node, shutdown).await;
    let drained = running.drain(&rt, node, *outcome.as_ref().unwrap_or(&Shutdown::Stop)).await;
    outcome.and(drained)
}

async fn open_vault(rt: &Rt, services: &Services) -> Result<Arc<Vault>, VaultError> {
    let (own, files) = (Arc::clone(rt), Arc::clone(&services.files));
    run_blocking(rt, move || Vault::open(own, files)).await.map(Arc::new)
}

/// Puts the file's credentials into the vault; the configuration knows their ids.
async fn seal_credentials(
    rt: &Rt,
    vault: &Arc<Vault>,
    file: &FileConfig,
    config: &mut Config,
) -> Result<(), VaultError> {
    for account in &mut config.accounts {
        if let (Some(link), Some(token)) = (&mut account.link, file.credentials.get(&account.id).cloned()) {
            let vault = Arc::clone(vault);
            link.secret = Some(run_blocking(rt, move || vault.seal(token.expose())).await?);
        }
    }
    Ok(())
}

/// Accounts that came by `accounts.connect` are not in the configuration file, and stay.
fn keep_added_accounts(known: &Config, config: &mut Config) {
    for account in known.accounts.iter().filter(|account| account.added) {
        if config.accounts.iter().all(|listed| listed.id != account.id) {
            config.accounts.push(account.clone());
        }
    }
}

/// Checks and binds the address.
async fn listen(rt: &Rt, options: &ServeOptions) -> Result<Box<dyn Listener>, ServeError> {
    let section = GatewaySection { bind: options.bind.clone(), ..GatewaySection::default() };
    if !section.has_valid_bind() {
        return Err(ServeError::Address(options.bind.clone()));
    }
    if !section.is_loopback() && !options.insecure {
        return Err(ServeError::NotLoopback(options.bind.clone()));
    }
    rt.listen(options.bind.clone())
        .await
        .map_err(|source| ServeError::Listen { address: options.bind.clone(), source })
}

async fn open_journal(rt: &Rt, services: &Services, options: JournalOptions) -> Result<Opened, JournalError> {
    let mut epoch = [0; 8];
    rt.random(&mut epoch);
    let storage = Arc::clone(&services.storage);
    let opened =
        run_blocking(rt, move || Journal::open(storage, Epoch(u64::from_be_bytes(epoch)), options)).await?;
    let report = &opened.report;
    tracing::info!(
        created = report.created,
        snapshot = report.snapshot_offset,
        replayed = report.replayed,
        head = report.head_offset,
        "the journal is open"
    );
    Ok(opened)
}

/// Tells the machine its configuration, if that is new to it, and that the gateway is up.
async fn configure(rt: &Rt, node: &mut Node, config: Option<Config>) -> Result<(), ServeError> {
    if let Some(config) = config {
        enter(rt, node, Input::Config(Box::new(config))).await?;
    }
    enter(rt, node, Input::Gateway(GatewayState::Ready)).await?;
    node.board.lock().state = NodeState::Ready;
    Ok(())
}

/// Enters an input that may be entered twice, also while the journal recovers from a failed commit.
async fn enter(rt: &Rt, node: &mut Node, input: Input) -> Result<(), ServeError> {
    let mut attempt = 1;
    loop {
        let refusal = match node.handle.enter(input.clone()).await {
            Ok(_) => return Ok(()),
            Err(refusal) => refusal,
        };
        if node.handle.is_closed() {
            return Err(node
                .ended
                .take()
                .await
                .and_then(Result::err)
                .map_or(ServeError::WriterLost, Into::into));
        }
        if !refusal.retryable || attempt == ENTER_ATTEMPTS {
            return Err(ServeError::Refused(refusal));
        }
        attempt += 1;
        rt.sleep(ENTER_PAUSE).await;
    }
}

fn settings(section: &GatewaySection) -> GatewaySettings {
    let default = Limits::default();
    let limits = Limits {
        unauthenticated_sockets: section.unauthenticated_sockets.unwrap_or(default.unauthenticated_sockets),
        unauthenticated_sockets_per_address: section
            .unauthenticated_sockets_per_address
            .unwrap_or(default.unauthenticated_sockets_per_address),
        connect_timeout: section.connect_timeout.unwrap_or(default.connect_timeout),
        requests_in_flight: section.requests_in_flight.unwrap_or(default.requests_in_flight),
        outbound_frames: section.outbound_frames.unwrap_or(default.outbound_frames),
        outbound_feed_frames: section.outbound_feed_frames.unwrap_or(default.outbound_feed_frames),
        requests_per_second: section.requests_per_second.unwrap_or(default.requests_per_second),
        requests_burst: section.requests_burst.unwrap_or(default.requests_burst),
        control_writes_per_minute: section
            .control_writes_per_minute
            .unwrap_or(default.control_writes_per_minute),
        tick_interval: section.tick_interval.unwrap_or(default.tick_interval),
        ping_interval: section.ping_interval.unwrap_or(default.ping_interval),
        dead_after: section.dead_after.unwrap_or(default.dead_after),
        ..default
    };
    GatewaySettings {
        allowed_origins: section.allowed_origins.clone(),
        allowed_hosts: section.allowed_hosts.clone(),
        limits,
    }
}

/// The tasks around the writer.
struct Running {
    feed: Task,
    feed_failed: Ended<ReplayError>,
    close_gateway: oneshot::Sender<Shutdown>,
    gateway: Ended<Result<(), GatewayError>>,
}

impl Running {
    fn start(
        rt: &Rt,
        node: &Node,
        feed: Feed,
        front: Front,
        listener: Box<dyn Listener>,
        tokens: &Arc<TokenStore>,
    ) -> Self {
        let context = FeedContext {
            rt: Arc::clone(rt),
            clock: Arc::clone(&node.clock),
            board: Arc::clone(&node.board),
            market: node.market.clone(),
        };
        let (failed, feed_failed) = Ended::channel();
        let pump = async move {
            if let Err(error) = feed.run(context).await {
                let _ = failed.send(error);
            }
        };
        let feed = rt.spawn("feed", TaskKind::Vital, Box::pin(pump));

        let (close_gateway, closed) = oneshot::channel();
        let (ended, gateway) = Ended::channel();
        let (handle, tokens) = (node.handle.clone(), Arc::clone(tokens));
        let run = front(Entrances { rt: Arc::clone(rt), handle, tokens, listener, closed });
        let run = async move {
            let _ = ended.send(run.await);
        };
        rt.spawn("front", TaskKind::Vital, Box::pin(run));
        Self { feed, feed_failed, close_gateway, gateway }
    }

    /// Waits for the shutdown, or for something to fail.
    async fn watch(
        &mut self,
        node: &mut Node,
        shutdown: oneshot::Receiver<Shutdown>,
    ) -> Result<Shutdown, ServeError> {
        tokio::select! {
            biased;
            // a feed that ended well says nothing: that branch is out then
            Some(error) = self.feed_failed.take() => Err(error.into()),
            ended = self.gateway.take() => Err(ended.and_then(Result::err).map_or(ServeError::GatewayLost, Into::into)),
            ended = node.ended.take() => Err(ended.and_then(Result::err).map_or(ServeError::WriterLost, Into::into)),
            shutdown = shutdown => Ok(shutdown.unwrap_or(Shutdown::Stop)),
        }
    }

    /// Takes nothing new, answers what is under way, closes every session, and stores a snapshot.
    async fn drain(mut self, rt: &Rt, mut node: Node, shutdown: Shutdown) -> Result<(), ServeError> {
        tracing::info!("draining");
        node.board.lock().state = NodeState::Draining;
        if !node.handle.is_closed()
            && let Err(error) = enter(rt, &mut node, Input::Gateway(GatewayState::Draining)).await
        {
            tracing::warn!(%error, "the journal does not know of this drain");
        }
        self.feed.abort();
        let _ = self.close_gateway.send(shutdown);
        self.gateway.take().await;
        node.handle.stop().await;
        Ok(node.ended.take().await.unwrap_or(Ok(()))?)
    }
}
