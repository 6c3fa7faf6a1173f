//! The nodes of a world and what can be done to them.

use crate::{
    actor::{Client, Control, Setup},
    disk::Disk,
    draw::Draw,
    gateway::Process,
    history::ClientHistory,
    panics::Panics,
    plan::{self, Plan},
    probe::Coverage,
    runtime::Clock,
    trace::{Kind, Node, Tracer},
};
use lockstep::domain::time::UnixNanos;
use madsim::{
    net::NetSim,
    runtime::{Handle, NodeHandle},
    task::JoinHandle,
    time::sleep,
};
use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::mpsc;

/// Between a crash and the restart, and at the end: the time in which a dead node's tasks are dropped.
pub const DYING: Duration = Duration::from_millis(5);

/// A running world.
pub struct World {
    handle: Handle,
    pub tracer: Tracer,
    pub coverage: Coverage,
    pub disk: Disk,
    gateway: NodeHandle,
    pub process: Arc<Process>,
    operator: Actor,
    viewer: Actor,
}

/// A client and its node.
struct Actor {
    node: NodeHandle,
    control: mpsc::UnboundedSender<Control>,
    journal: Arc<Mutex<ClientHistory>>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl World {
    /// Builds the nodes and starts them.
    pub fn start(plan: &Plan, tracer: Tracer, coverage: Coverage, panics: Panics) -> Self {
        let handle = Handle::current();
        NetSim::current().update_config(|config| {
            let latency = plan.network.latency_ms;
            config.send_latency = Duration::from_millis(latency.0)..Duration::from_millis(latency.1 + 1);
        });
        let start = UnixNanos::parse(&plan.start).expect("plans hold instants");
        let sync_ms = (plan.gateway.sync_ms.0, plan.gateway.sync_ms.1);
        let disk = Disk::new(plan.seed, "gateway", sync_ms);
        let clock = Clock::new(start, plan.gateway.clock_skew_ms * 1_000_000);
        let process = Process::new(plan, clock, disk.clone(), tracer.clone(), coverage.clone(), panics);
        let running = process.clone();
        let gateway = handle
            .create_node()
            .name(Node::Gateway.name())
            .ip(address(Node::Gateway))
            .init(move || running.clone().run())
            .build();
        let client = |node: Node, steps: &[plan::Step], token_file: &'static str| {
            let setup = Setup {
                node,
                address: process.address(),
                token_file,
                gateway_disk: disk.clone(),
                steps: steps.to_vec(),
                hears_ticks: node == Node::Operator && plan.hears_ticks,
                tracer: tracer.clone(),
                coverage: coverage.clone(),
                clock: Clock::new(start, 0),
                draw: Draw::new(plan.seed, node.name()),
            };
            Actor::start(&handle, setup)
        };
        let operator = client(Node::Operator, &plan.operator, crate::gateway::OPERATOR_TOKEN);
        let viewer = client(Node::Viewer, &plan.viewer, crate::gateway::VIEWER_TOKEN);
        Self { handle, tracer, coverage, disk, gateway, process, operator, viewer }
    }

    /// The gateway loses power, and starts again.
    pub async fn crash(&self) {
        self.handle.resume(self.gateway.id()); // a paused node must not be killed
        let report = self.disk.crash();
        self.handle.kill(self.gateway.id());
        self.coverage.mark("gateway_crashed");
        if report.inside_commit {
            self.coverage.mark("crashed_inside_commit");
        }
        // What survived of unsynced sectors is a matter of disk bytes, which stay out of the trace.
        let body = format!(r#"{{"fault":"crash","insideCommit":{}}}"#, report.inside_commit);
        self.tracer.record(Node::World, Kind::Fault, &body);
        sleep(DYING).await;
        self.handle.restart(self.gateway.id());
    }

    /// Ends a client's connection, if it has one.
    pub fn drop_connection(&self, client: plan::Client) {
        // A client that has left has no connection to lose.
        let _ = self.actor(client).control.send(Control::Drop);
    }

    /// Lets nothing through, in the given directions.
    pub fn clog(&self, client: plan::Client, to_client: bool, to_gateway: bool) {
        let (net, far) = (NetSim::current(), self.actor(client).node.id());
        if to_client {
            net.clog_link(self.gateway.id(), far);
        }
        if to_gateway {
            net.clog_link(far, self.gateway.id());
        }
    }

    /// Lets everything through again.
    pub fn unclog(&self, client: plan::Client) {
        let (net, far) = (NetSim::current(), self.actor(client).node.id());
        net.unclog_link(self.gateway.id(), far);
        net.unclog_link(far, self.gateway.id());
    }

    /// Nothing goes wrong any more: clients bring everything to its end. Returns when they are done.
    pub async fn finish(&self) {
        for actor in [&self.operator, &self.viewer] {
            // A client that is done already needs no word.
            let _ = actor.control.send(Control::Finish);
        }
        for actor in [&self.operator, &self.viewer] {
            let task = actor.task.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(task) = task {
                let _ = task.await; // a panic of a client is noted where it happened
            }
        }
    }

    /// The clients' journals as they are now.
    pub fn journals(&self) -> Vec<ClientHistory> {
        let journal = |actor: &Actor| actor.journal.lock().unwrap_or_else(PoisonError::into_inner).clone();
        vec![journal(&self.operator), journal(&self.viewer)]
    }

    /// Kills what still runs, so that its memory is freed: madsim frees nothing by itself.
    pub async fn end(&self) {
        for node in [&self.gateway, &self.operator.node, &self.viewer.node] {
            self.handle.kill(node.id());
        }
        sleep(DYING).await;
    }

    const fn actor(&self, client: plan::Client) -> &Actor {
        match client {
            plan::Client::Operator => &self.operator,
            plan::Client::Viewer => &self.viewer,
        }
    }
}

impl Actor {
    fn start(handle: &Handle, setup: Setup) -> Self {
        let node = handle.create_node().name(setup.node.name()).ip(address(setup.node)).build();
        let (control, orders) = mpsc::unbounded_channel();
        let (client, journal) = Client::new(setup);
        let task = Mutex::new(Some(node.spawn(client.run(orders))));
        Self { node, control, journal, task }
    }
}

/// A node's address.
pub fn address(node: Node) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, node as u8).into()
}
