//! The gateway's process: the shipped assembly on the simulated runtime, started anew after each crash.

use crate::{
    disk::Disk,
    draw::Draw,
    panics::Panics,
    plan::{GatewayPlan, Plan},
    probe::{Coverage, SimProbe},
    runtime::{Clock, SimRuntime},
    trace::{Kind, Node, Tracer},
    world::address,
};
use lockstep::{
    gateway::Shutdown,
    node::{
        config::FileConfig,
        journal::JournalOptions,
        runtime::{Rt, TaskKind},
        services::{Files, Services},
        tokens::{Accounts, Role, TokenStore},
    },
    serve::{ServeOptions, serve},
};
use serde_json::json;
use std::{
    fmt::Write,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::oneshot;

pub use lockstep::node::tokens::OPERATOR_TOKEN;
/// Where the viewer finds its token.
pub const VIEWER_TOKEN: &str = "viewer.token";
const PORT: u16 = 18_789;

/// Starts the gateway, each time the node starts.
pub struct Process {
    plan: GatewayPlan,
    seed: u64,
    clock: Clock,
    disk: Disk,
    tracer: Tracer,
    coverage: Coverage,
    panics: Panics,
    life: Mutex<Life>,
}

#[derive(Default)]
struct Life {
    starts: u64,
    shutdown: Option<oneshot::Sender<Shutdown>>,
    ended: Option<oneshot::Receiver<()>>,
    /// Why it ended although nobody asked it to, and where in the trace.
    refused: Vec<(usize, String)>,
}

impl Process {
    /// A process that has not started.
    pub fn new(
        plan: &Plan,
        clock: Clock,
        disk: Disk,
        tracer: Tracer,
        coverage: Coverage,
        panics: Panics,
    ) -> Arc<Self> {
        let life = Mutex::default();
        Arc::new(Self {
            plan: plan.gateway.clone(),
            seed: plan.seed,
            clock,
            disk,
            tracer,
            coverage,
            panics,
            life,
        })
    }

    /// Where clients find it.
    pub fn address(&self) -> String {
        format!("{}:{PORT}", address(Node::Gateway))
    }

    /// Runs until it is drained or fails; a crash ends it anywhere.
    pub async fn run(self: Arc<Self>) {
        let (shutdown, asked) = oneshot::channel();
        let (left, ended) = oneshot::channel();
        let start = {
            let mut life = self.lock();
            life.starts += 1;
            (life.shutdown, life.ended) = (Some(shutdown), Some(ended));
            life.starts
        };
        self.record(&json!({ "process": "started", "start": start }));
        let process = self.clone();
        let serving = async move {
            let result = process.serve(start, asked).await;
            process.has_ended(result);
            let _ = left.send(()); // nobody waits, unless for a drain
        };
        self.panics.clone().watch("gateway", TaskKind::Vital, serving).await;
    }

    async fn serve(&self, start: u64, asked: oneshot::Receiver<Shutdown>) -> Result<(), String> {
        let random = Draw::new(self.seed, &format!("gateway random {start}"));
        let mount = Arc::new(self.disk.mount());
        let runtime = SimRuntime::new(self.clock.clone(), random, self.disk.clone(), self.panics.clone());
        let rt: Rt = Arc::new(runtime);
        let probe = SimProbe::new(self.tracer.clone(), self.coverage.clone());
        let services = Services { storage: mount.clone(), files: mount.clone(), probe: Arc::new(probe) };
        issue_viewer_token(rt.clone(), mount).map_err(|error| error.to_string())?;
        let (ready, became_ready) = oneshot::channel();
        let tracer = self.tracer.clone();
        drop(madsim::task::spawn(async move {
            if became_ready.await.is_ok() {
                tracer.record(Node::Gateway, Kind::Process, r#"{"process":"ready"}"#);
            }
        }));
        serve(rt, services, self.options(), ready, asked).await.map_err(|error| error.to_string())
    }

    fn options(&self) -> ServeOptions {
        let config = FileConfig::parse("plan.toml", &config_text(&self.plan), &|_| None)
            .expect("a plan makes a valid configuration");
        ServeOptions {
            bind: self.address(),
            seed: self.plan.feed_seed,
            journal: JournalOptions { snapshot_interval: self.plan.snapshot_interval },
            ..ServeOptions::from(config)
        }
    }

    fn has_ended(&self, result: Result<(), String>) {
        let was_asked = self.lock().shutdown.is_none();
        let (body, refusal) = match result {
            Ok(()) if was_asked => (json!({ "process": "drained" }), None),
            Ok(()) => (json!({ "process": "ended" }), Some("it ended by itself".to_owned())),
            Err(error) => (json!({ "process": "failed", "error": error }), Some(error)),
        };
        let seq = self.record(&body);
        if let Some(refusal) = refusal {
            self.lock().refused.push((seq, refusal));
        }
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
        self.tracer.record(Node::Gateway, Kind::Process, &body.to_string())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Life> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As an operator would with `lockstep token new --role viewer`, before the first start.
fn issue_viewer_token(rt: Rt, files: Arc<dyn Files>) -> Result<(), lockstep::node::tokens::TokenError> {
    let missing = matches!(files.read(VIEWER_TOKEN), Ok(None));
    if missing {
        let token = TokenStore::open(rt, files.clone())?.issue(Role::Viewer, [].into(), Accounts::All)?;
        let io = |source| lockstep::node::tokens::TokenError::Io { file: VIEWER_TOKEN, source };
        files.write_private(VIEWER_TOKEN, token.as_bytes()).map_err(io)?;
    }
    Ok(())
}

/// The configuration file of a plan.
fn config_text(plan: &GatewayPlan) -> String {
    let mut text = String::from("[gateway]\ninsecure = true\n\n[risk]\n");
    for (key, value) in &plan.risk {
        writeln!(text, "{key} = {value:?}").expect("a string takes everything");
    }
    let (deposit, commission) = (plan.deposit, &plan.commission_per_lot);
    write!(
        text,
        "\n[[accounts]]\nid = \"paper-1\"\ndeposit = \"{deposit}\"\ncommission_per_lot = \"{commission}\"\n"
    )
    .expect("a string takes everything");
    text
}
