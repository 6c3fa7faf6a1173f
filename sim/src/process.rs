//! A process of the product on a simulated node, started anew after each crash: the gateway, or a venue.

use crate::{
    actor::print,
    disk::Disk,
    draw::Draw,
    market::Market,
    network::{Chaos, Windows},
    panics::Panics,
    plan::{GatewayPlan, PAPER, Plan, VenuePlan},
    probe::{Coverage, SimProbe},
    runtime::{Clock, Network, SimRuntime},
    trace::{Kind, Node, Tracer},
    world::address,
};
use lockstep::{
    domain::id::AccountId,
    gateway::Shutdown,
    node::{
        config::FileConfig,
        journal::JournalOptions,
        runtime::{Rt, TaskKind},
        services::{Files, Services},
        tokens::{Accounts, Role, TokenError, TokenStore},
    },
    serve::{Ready, ServeOptions, serve, serve_venue},
};
use madsim::time::sleep;
use serde_json::json;
use std::{
    collections::BTreeMap,
    fmt::Write,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};

pub use lockstep::node::tokens::OPERATOR_TOKEN;
/// Where the viewer finds its token.
pub const VIEWER_TOKEN: &str = "viewer.token";
/// Where the gateway finds its token for a venue.
pub const LINK_TOKEN: &str = "link.token";
const GATEWAY_PORT: u16 = 18_789;
/// How often, and after which pause, whoever wants to change tokens looks whether the process is ready.
const READY_LOOKS: usize = 2_000;
const READY_PAUSE: Duration = Duration::from_millis(10);
/// Where venues listen.
pub const VENUE_PORT: u16 = 18_790;

/// What runs.
#[derive(Debug, Clone)]
pub enum Program {
    Gateway { plan: GatewayPlan, links: Vec<Link>, holders: Vec<Holder>, viewer_sees: Option<Vec<String>> },
    Venue { plan: VenuePlan, commission_per_lot: String },
}

/// A client that finds a token on the gateway's disk.
#[derive(Debug, Clone, Copy)]
pub struct Holder {
    pub name: &'static str,
    pub role: Role,
    pub file: &'static str,
}

/// How the gateway reaches a venue.
#[derive(Clone)]
pub struct Link {
    pub plan: VenuePlan,
    /// `host:port`.
    pub address: String,
    pub token: String,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("address", &self.address).finish_non_exhaustive()
    }
}

/// What a process is made of.
pub struct Setup {
    pub node: Node,
    pub program: Program,
    /// Of the plan.
    pub seed: u64,
    pub clock: Clock,
    pub disk: Disk,
    pub market: Market,
    pub chaos: Chaos,
    pub windows: Windows,
    pub tracer: Tracer,
    pub coverage: Coverage,
    pub panics: Panics,
    /// Hears of a process that its disk has failed, and which of its starts that was.
    pub gave_up: mpsc::UnboundedSender<(Node, u64)>,
}

/// Starts the program, each time the node starts.
pub struct Process {
    setup: Setup,
    life: Mutex<Life>,
}

#[derive(Default)]
struct Life {
    starts: u64,
    shutdown: Option<oneshot::Sender<Shutdown>>,
    /// Of the process that is ready; of the gateway only.
    tokens: Option<Arc<TokenStore>>,
    /// The first tokens are in the trace.
    told_tokens: bool,
    ended: Option<oneshot::Receiver<()>>,
    /// Why it ended although nobody asked it to, and where in the trace.
    refused: Vec<(usize, String)>,
}

impl Process {
    /// A process that has not started.
    pub fn new(setup: Setup) -> Arc<Self> {
        Arc::new(Self { setup, life: Mutex::default() })
    }

    /// Where others find it.
    pub fn address(&self) -> String {
        let port = match self.setup.program {
            Program::Gateway { .. } => GATEWAY_PORT,
            Program::Venue { .. } => VENUE_PORT,
        };
        format!("{}:{port}", address(self.setup.node))
    }

    /// As whoever sets a venue up would with `lockstep token new`, before its first start: a token for the
    /// gateway.
    pub fn issue_link_token(&self) -> String {
        let files = Arc::new(self.setup.disk.mount());
        issue(self.runtime("tokens"), files.clone(), (Role::Operator, Accounts::All), LINK_TOKEN)
            .expect("an empty disk has room");
        let token = files.read(LINK_TOKEN).ok().flatten().expect("it was written");
        String::from_utf8(token).expect("tokens are plain text")
    }

    /// Runs until it is drained or fails; a crash ends it anywhere.
    pub async fn run(self: Arc<Self>) {
        let (shutdown, asked) = oneshot::channel();
        let (left, ended) = oneshot::channel();
        let start = {
            let mut life = self.lock();
            life.starts += 1;
            (life.shutdown, life.ended, life.tokens) = (Some(shutdown), Some(ended), None);
            life.starts
        };
        self.record(&json!({ "process": "started", "start": start }));
        let process = self.clone();
        let serving = async move {
            let result = process.serve(start, asked).await;
            if process.has_ended(result) {
                let _ = process.setup.gave_up.send((process.setup.node, start)); // the world may end
            }
            let _ = left.send(()); // nobody waits, unless for a drain
        };
        self.setup.panics.clone().watch(self.setup.node.name(), TaskKind::Vital, serving).await;
    }

    /// Whether it has been started so many times and no more.
    pub fn is_at_start(&self, start: u64) -> bool {
        self.lock().starts == start
    }

    async fn serve(self: &Arc<Self>, start: u64, asked: oneshot::Receiver<Shutdown>) -> Result<(), String> {
        let Setup { node, tracer, coverage, disk, market, .. } = &self.setup;
        let mount = Arc::new(disk.mount());
        let rt = self.runtime(&start.to_string());
        let probe = SimProbe::new(*node, tracer.clone(), coverage.clone());
        let services = Services {
            storage: mount.clone(),
            files: mount.clone(),
            markets: Arc::new(market.clone()),
            probe: Arc::new(probe),
        };
        let (ready, became_ready) = oneshot::channel();
        let process = Arc::clone(self);
        drop(madsim::task::spawn(async move {
            if let Ok(Ready { tokens, .. }) = became_ready.await {
                process.record(&json!({ "process": "ready" }));
                process.lock().tokens = Some(tokens);
                process.tell_tokens();
            }
        }));
        let served = match &self.setup.program {
            Program::Gateway { plan, links, holders, .. } => {
                let viewer = Holder { name: "viewer", role: Role::Viewer, file: VIEWER_TOKEN };
                for Holder { role, file, .. } in std::iter::once(&viewer).chain(holders) {
                    issue(rt.clone(), mount.clone(), (*role, self.accounts_of(file)), file)
                        .map_err(|error| error.to_string())?;
                }
                serve(rt, services, self.gateway_options(plan, links), ready, asked).await
            }
            Program::Venue { plan, commission_per_lot } => {
                let options = self.venue_options(plan, commission_per_lot);
                serve_venue(rt, services, options, ready, asked).await
            }
        };
        served.map_err(|error| error.to_string())
    }

    /// A runtime whose randomness is a stream of its own.
    fn runtime(&self, stream: &str) -> Rt {
        let Setup { node, seed, clock, disk, chaos, windows, tracer, coverage, panics, .. } = &self.setup;
        let random = Draw::new(*seed, &format!("{} random {stream}", node.name()));
        let runtime = SimRuntime::new(clock.clone(), random, disk.clone(), panics.clone());
        let network = Network {
            chaos: chaos.clone(),
            node: *node,
            tracer: tracer.clone(),
            coverage: coverage.clone(),
            windows: windows.clone(),
        };
        Arc::new(runtime.with_network(network))
    }

    fn gateway_options(&self, plan: &GatewayPlan, links: &[Link]) -> ServeOptions {
        self.options(&gateway_config(plan, links), plan.feed_seed, plan.snapshot_interval)
    }

    fn venue_options(&self, plan: &VenuePlan, commission_per_lot: &str) -> ServeOptions {
        self.options(&venue_config(plan, commission_per_lot), plan.feed_seed, plan.snapshot_interval)
    }

    fn options(&self, config: &str, seed: u64, snapshot_interval: u64) -> ServeOptions {
        let config =
            FileConfig::parse("plan.toml", config, &|_| None).expect("a plan makes a valid configuration");
        ServeOptions {
            bind: self.address(),
            insecure: true,
            seed,
            journal: JournalOptions { snapshot_interval },
            ..ServeOptions::from(config)
        }
    }

    /// Notes how it ended. True: a supervisor starts it again, since nothing but its disk is to blame.
    fn has_ended(&self, result: Result<(), String>) -> bool {
        let was_asked = self.lock().shutdown.is_none();
        let by_disk = !was_asked && self.setup.disk.has_failed();
        let (body, refusal) = match result {
            Err(error) if by_disk => (json!({ "process": "ended", "error": error }), None),
            Ok(()) if was_asked => (json!({ "process": "drained" }), None),
            Ok(()) => (json!({ "process": "ended" }), Some("it ended by itself".to_owned())),
            Err(error) => (json!({ "process": "failed", "error": error }), Some(error)),
        };
        let seq = self.record(&body);
        if let Some(refusal) = refusal {
            self.lock().refused.push((seq, refusal));
        }
        by_disk
    }

    /// Revokes the token in the file, as the control socket of the running process does: once it is ready.
    /// The principal that had it; `None` if nobody has it any more, or if the process does not get ready.
    pub async fn revoke(&self, file: &str) -> Option<String> {
        for _ in 0..READY_LOOKS {
            let tokens = self.lock().tokens.clone();
            if let Some(tokens) = tokens {
                let name = tokens.find(self.small_text(file)?.trim())?.name;
                // the process may have died since
                if tokens.revoke(&name).is_ok() {
                    return Some(name);
                }
            }
            sleep(READY_PAUSE).await;
        }
        None
    }

    /// Makes a token as the control socket does, and leaves it in the file.
    pub async fn renew(&self, holder: Holder) {
        for _ in 0..READY_LOOKS {
            let tokens = self.lock().tokens.clone();
            if let Some(token) =
                tokens.and_then(|t| t.issue(holder.role, [].into(), self.accounts_of(holder.file)).ok())
                && self.setup.disk.mount().write_private(holder.file, token.as_bytes()).is_ok()
            {
                return self.tell_token(holder);
            }
            sleep(READY_PAUSE).await;
        }
    }

    /// The accounts that a token reaches.
    fn accounts_of(&self, file: &str) -> Accounts {
        match &self.setup.program {
            Program::Gateway { viewer_sees: Some(accounts), .. } if file == VIEWER_TOKEN => {
                let id = |name: &String| AccountId::new(name).expect("plans are checked");
                Accounts::Only(accounts.iter().map(id).collect())
            }
            _ => Accounts::All,
        }
    }

    /// Who has which token, where that matters.
    fn tell_tokens(&self) {
        let Program::Gateway { holders, .. } = &self.setup.program else { return };
        if !std::mem::replace(&mut self.lock().told_tokens, true) {
            holders.iter().for_each(|holder| self.tell_token(*holder));
        }
    }

    fn tell_token(&self, Holder { name, file, .. }: Holder) {
        let tokens = self.lock().tokens.clone();
        let Some((tokens, token)) = tokens.zip(self.small_text(file)) else { return };
        let Some(principal) = tokens.find(token.trim()).map(|principal| principal.name) else { return };
        let print = print(token.trim());
        self.record(&json!({ "process": "token", "holder": name, "principal": principal, "print": print }));
    }

    fn small_text(&self, file: &str) -> Option<String> {
        String::from_utf8(self.setup.disk.small_file(file)?).ok()
    }

    /// Asks it to drain; returns when it has ended.
    pub async fn drain(&self) {
        let (shutdown, ended) = {
            let mut life = self.lock();
            (life.shutdown.take(), life.ended.take())
        };
        if let Some(shutdown) = shutdown {
            let _ = shutdown.send(Shutdown::Stop); // it may have failed before
        }
        if let Some(ended) = ended {
            let _ = ended.await; // nor does it answer then
        }
    }

    /// Why it ended against the plan, and where in the trace.
    pub fn refused(&self) -> Vec<(usize, String)> {
        self.lock().refused.clone()
    }

    fn record(&self, body: &serde_json::Value) -> usize {
        self.setup.tracer.record(self.setup.node, Kind::Process, &body.to_string())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Life> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Leaves a token in a file, as an operator would with `lockstep token new`, unless it is there.
fn issue(
    rt: Rt,
    files: Arc<dyn Files>,
    (role, accounts): (Role, Accounts),
    file: &'static str,
) -> Result<(), TokenError> {
    let missing = matches!(files.read(file), Ok(None));
    if missing {
        let token = TokenStore::open(rt, files.clone())?.issue(role, [].into(), accounts)?;
        files.write_private(file, token.as_bytes()).map_err(|source| TokenError::Io { file, source })?;
    }
    Ok(())
}

/// The gateway's configuration file.
fn gateway_config(plan: &GatewayPlan, links: &[Link]) -> String {
    let mut text = limits(&plan.limits, &plan.risk);
    let mut line = |content: String| writeln!(text, "{content}").expect("a string takes everything");
    line("\n[feed]".to_owned());
    if let Some(age_ms) = plan.quote_max_age_ms {
        line(format!("quote_max_age_ms = {age_ms}"));
    }
    if let Some(Link { address, token, .. }) = links.first().filter(|_| plan.venue_feed) {
        line(format!("source = \"venue:{address}\"\ntoken = {token:?}"));
    }
    line(paper_account(PAPER, plan.deposit, &plan.commission_per_lot));
    for Link { plan, address, token } in links {
        for account in &plan.accounts {
            let (id, login) = (&account.id, &account.login);
            line(format!("\n[[accounts]]\nid = {id:?}\nconnector = \"venue\"\naddress = {address:?}"));
            line(format!("login = {login:?}\ntoken = {token:?}"));
        }
    }
    text
}

/// The gateway's limits and those of risk.
fn limits(gateway: &BTreeMap<String, u64>, risk: &BTreeMap<String, String>) -> String {
    let mut text = String::from("[gateway]\ninsecure = true\n");
    for (key, value) in gateway {
        writeln!(text, "{key} = {value}").expect("a string takes everything");
    }
    text += "\n[risk]\n";
    for (key, value) in risk {
        writeln!(text, "{key} = {value:?}").expect("a string takes everything");
    }
    text
}

/// Whether the gateway takes these limits; otherwise the key, and why not.
pub fn check_limits(gateway: &BTreeMap<String, u64>, risk: &BTreeMap<String, String>) -> Result<(), String> {
    parse(&limits(gateway, risk))
}

/// Whether gateway and venues of a plan take the configurations that it makes; otherwise the part of the plan,
/// and why not.
pub fn check(plan: &Plan) -> Result<(), (String, String)> {
    let link = |venue: &VenuePlan| Link { plan: venue.clone(), address: "h:1".into(), token: "t".into() };
    let links: Vec<Link> = plan.venues.iter().map(link).collect();
    let commission = &plan.gateway.commission_per_lot;
    let gateway = ("plan.gateway".to_owned(), gateway_config(&plan.gateway, &links));
    let venues = plan.venues.iter().enumerate();
    let venues = venues.map(|(place, v)| (format!("plan.venues[{place}]"), venue_config(v, commission)));
    for (field, text) in std::iter::once(gateway).chain(venues) {
        parse(&text).map_err(|why| (field, why))?;
    }
    Ok(())
}

/// Whether it is a configuration. The text that an error complains of is ours: its file and line mean nothing.
fn parse(text: &str) -> Result<(), String> {
    let plain = |error: String| error.splitn(3, ':').nth(2).unwrap_or(&error).trim().to_owned();
    FileConfig::parse("plan", text, &|_| None).map(drop).map_err(|error| plain(error.to_string()))
}

/// A venue's configuration file.
fn venue_config(plan: &VenuePlan, commission_per_lot: &str) -> String {
    plan.accounts.iter().map(|a| paper_account(&a.login, a.deposit, commission_per_lot)).collect()
}

fn paper_account(id: &str, deposit: u64, commission_per_lot: &str) -> String {
    format!(
        "\n[[accounts]]\nid = {id:?}\ndeposit = \"{deposit}\"\ncommission_per_lot = {commission_per_lot:?}\n"
    )
}
