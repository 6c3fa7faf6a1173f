//! The nodes of a world and what can be done to them.

use crate::{
    actor::{
        Client, Control, Setup,
        abuser::{self, Abuser},
    },
    disk::Disk,
    draw::Draw,
    guests::SecondOperator,
    history::{AbuseHistory, ClientHistory},
    market::Market,
    network::{Chaos, Relay, Windows},
    panics::Panics,
    plan::{self, FaultKind, Plan, Rest, VenuePlan},
    probe::Coverage,
    process::{self, Holder, Link, Process, Program},
    runtime::Clock,
    scenario::Span,
    trace::{Kind, Node, Tracer},
};
use lockstep::{domain::time::UnixNanos, node::tokens::Role};
use madsim::{
    net::NetSim,
    runtime::{Handle, NodeHandle},
    task::JoinHandle,
    time::sleep,
};
use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::mpsc;

/// Between a crash and the restart, and at the end: the time in which a dead node's tasks are dropped.
pub const DYING: Duration = Duration::from_millis(5);

/// How long a supervisor waits before it starts a process again.
const RESTARTED_AFTER: Duration = Duration::from_secs(1);

/// A running world.
pub struct World {
    handle: Handle,
    pub tracer: Tracer,
    pub coverage: Coverage,
    gateway: Machine,
    venues: Vec<Machine>,
    relay: Option<Middle>,
    /// Processes that their disks have failed.
    given_up: Mutex<Option<mpsc::UnboundedReceiver<(Node, u64)>>>,
    /// Of messages on their way, in milliseconds.
    latency: Span,
    operator: Actor,
    viewer: Actor,
    second_operator: Option<Actor>,
    slow_reader: Option<Actor>,
    abuser: Option<Stranger>,
}

/// An abuser and its node.
struct Stranger {
    node: NodeHandle,
    enough: mpsc::UnboundedSender<()>,
    journal: Arc<Mutex<Vec<AbuseHistory>>>,
    task: Mutex<Option<JoinHandle<()>>>,
}

/// A node that runs the product.
pub struct Machine {
    pub name: Node,
    node: NodeHandle,
    pub disk: Disk,
    pub clock: Clock,
    pub market: Market,
    pub process: Arc<Process>,
    chaos: Chaos,
}

/// The relay and its node.
struct Middle {
    node: NodeHandle,
    relay: Relay,
}

/// A client and its node.
struct Actor {
    node: NodeHandle,
    control: mpsc::UnboundedSender<Control>,
    journal: Arc<Mutex<ClientHistory>>,
    task: Mutex<Option<JoinHandle<()>>>,
}

/// What all machines of a world are made of.
struct Foundry<'a> {
    handle: &'a Handle,
    plan: &'a Plan,
    start: UnixNanos,
    tracer: &'a Tracer,
    coverage: &'a Coverage,
    panics: &'a Panics,
    gave_up: mpsc::UnboundedSender<(Node, u64)>,
    windows: &'a Windows,
}

const OPERATOR: Holder =
    Holder { name: Node::Operator.name(), role: Role::Operator, file: process::OPERATOR_TOKEN };
const VIEWER: Holder = Holder { name: Node::Viewer.name(), role: Role::Viewer, file: process::VIEWER_TOKEN };
const SECOND_OPERATOR: Holder =
    Holder { name: Node::SecondOperator.name(), role: Role::Operator, file: "second-operator.token" };
const SLOW_READER: Holder =
    Holder { name: Node::SlowReader.name(), role: Role::Viewer, file: "slow-reader.token" };
const ABUSER: [Holder; 2] = [
    Holder { name: Node::Abuser.name(), role: Role::Operator, file: abuser::OPERATOR_FILE },
    Holder { name: Node::Abuser.name(), role: Role::Viewer, file: abuser::VIEWER_FILE },
];

/// Everybody whose token matters beyond opening the door; empty if that is nobody.
fn holders(plan: &Plan) -> Vec<Holder> {
    let guests = &plan.guests;
    let revokes = plan.faults.iter().any(|fault| matches!(fault.kind, FaultKind::Revoke { .. }));
    if guests.is_empty() && !revokes {
        return Vec::new();
    }
    let second = guests.second_operator.is_some().then_some(SECOND_OPERATOR);
    let slow = guests.slow_reader.is_some().then_some(SLOW_READER);
    let abuser = guests.abuser.iter().flat_map(|_| ABUSER);
    [OPERATOR, VIEWER].into_iter().chain(second).chain(slow).chain(abuser).collect()
}

impl World {
    /// Builds the nodes and starts them.
    pub fn start(plan: &Plan, tracer: Tracer, coverage: Coverage, panics: Panics) -> Self {
        let handle = Handle::current();
        set_latency(plan.network.latency_ms, 0);
        let start = UnixNanos::parse(&plan.start).expect("plans hold instants");
        let (gave_up, given_up) = mpsc::unbounded_channel();
        let windows = Windows::new(vec![address(Node::SlowReader)], tracer.clone(), coverage.clone());
        let foundry = Foundry {
            handle: &handle,
            plan,
            start,
            tracer: &tracer,
            coverage: &coverage,
            panics: &panics,
            gave_up,
            windows: &windows,
        };
        let venues: Vec<Machine> =
            plan.venues.iter().zip(Node::VENUES).map(|(venue, node)| foundry.venue(node, venue)).collect();
        let relay = foundry.relay(&venues);
        let gateway = foundry.gateway(&venues, relay.is_some());
        let second = plan.guests.second_operator.as_ref();
        let client = |node: Node, steps: &[plan::Step], token_file: &'static str| {
            let same_keys = second.is_some_and(|second| second.same_keys) && node == Node::SecondOperator;
            let topics: &[&str] = match node {
                Node::Operator if plan.hears_ticks => &["market.price.tick"],
                Node::SlowReader => &["*"],
                _ => &[],
            };
            let sees = plan.viewer_sees.clone().filter(|_| node == Node::Viewer);
            let setup = Setup {
                node,
                address: gateway.process.address(),
                token_file,
                topics,
                key_name: if same_keys { Node::Operator.name() } else { node.name() },
                knows_others: second.is_some() && matches!(node, Node::Operator | Node::SecondOperator),
                windows: windows.clone(),
                gateway_disk: gateway.disk.clone(),
                accounts: sees.clone().unwrap_or_else(|| plan.accounts()),
                sees,
                steps: steps.to_vec(),
                rest_ns: plan.rest.map(Rest::window_ns),
                tracer: tracer.clone(),
                coverage: coverage.clone(),
                clock: Clock::new(start, 0),
                draw: Draw::new(plan.seed, node.name()),
            };
            Actor::start(&handle, setup)
        };
        let operator = client(Node::Operator, &plan.operator, process::OPERATOR_TOKEN);
        let viewer = client(Node::Viewer, &plan.viewer, process::VIEWER_TOKEN);
        let second_operator = second
            .map(|SecondOperator { steps, .. }| client(Node::SecondOperator, steps, SECOND_OPERATOR.file));
        let slow_reader = plan.guests.slow_reader.as_ref();
        let slow_reader = slow_reader.map(|naps| client(Node::SlowReader, naps, SLOW_READER.file));
        let abuser = foundry.abuser(&gateway);
        let latency = plan.network.latency_ms;
        let given_up = Mutex::new(Some(given_up));
        Self {
            handle,
            tracer,
            coverage,
            gateway,
            venues,
            relay,
            given_up,
            latency,
            operator,
            viewer,
            second_operator,
            slow_reader,
            abuser,
        }
    }

    /// The machine of the gateway.
    pub const fn gateway(&self) -> &Machine {
        &self.gateway
    }

    /// The machines of the venues.
    pub fn venues(&self) -> &[Machine] {
        &self.venues
    }

    /// The machine of that name.
    pub fn machine(&self, name: plan::Machine) -> &Machine {
        match name {
            plan::Machine::Gateway => &self.gateway,
            plan::Machine::Venue(number) => &self.venues[number],
        }
    }

    /// A machine loses power, and starts again.
    pub async fn crash(&self, machine: &Machine) {
        self.power_off(machine);
        sleep(DYING).await;
        self.power_on(machine);
    }

    /// A machine starts again; its old tasks must have had `DYING` to be dropped.
    pub fn power_on(&self, machine: &Machine) {
        self.handle.restart(machine.node.id());
    }

    /// A machine loses power.
    pub fn power_off(&self, machine: &Machine) {
        self.handle.resume(machine.node.id()); // a paused node must not be killed
        let report = machine.disk.crash();
        self.handle.kill(machine.node.id());
        let (mark, place) = match machine.name {
            Node::Gateway => ("gateway_crashed", Node::World),
            venue => ("venue_crashed", venue),
        };
        self.coverage.mark(mark);
        if report.inside_commit {
            self.coverage.mark("crashed_inside_commit");
        }
        // What survived of unsynced sectors is a matter of disk bytes, which stay out of the trace.
        let body = format!(r#"{{"fault":"crash","insideCommit":{}}}"#, report.inside_commit);
        self.tracer.record(place, Kind::Fault, &body);
    }

    /// Starts processes again that their disks have failed, as a supervisor does.
    pub async fn supervise(self: Arc<Self>) {
        let given_up = self.given_up.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut given_up = given_up.expect("a world has one supervisor");
        while let Some((name, start)) = given_up.recv().await {
            sleep(RESTARTED_AFTER).await;
            let machine = self.machines().find(|machine| machine.name == name);
            let Some(machine) = machine.filter(|machine| machine.process.is_at_start(start)) else {
                continue;
            };
            self.coverage.mark("process_restarted");
            machine.disk.fence();
            self.handle.kill(machine.node.id());
            sleep(DYING).await;
            self.power_on(machine);
        }
    }

    /// A machine stands still.
    pub fn pause(&self, machine: &Machine) {
        self.handle.pause(machine.node.id());
    }

    /// It goes on.
    pub fn resume(&self, machine: &Machine) {
        self.handle.resume(machine.node.id());
    }

    /// The gateway hears nobody and nobody hears it, or they do again.
    pub fn partition(&self, is_cut: bool) {
        let net = NetSim::current();
        let id = self.gateway.node.id();
        if is_cut { net.clog_node(id) } else { net.unclog_node(id) }
    }

    /// Everything takes so much longer on its way than the plan says; 0: as it says.
    pub fn lag(&self, by_ms: u64) {
        set_latency(self.latency, by_ms);
    }

    /// Lets nothing through between gateway and venue, in the given directions.
    pub fn clog_venue(&self, venue: &Machine, to_venue: bool, to_gateway: bool) {
        clog(&self.gateway.node, self.far_end(venue), to_venue, to_gateway);
    }

    /// Lets everything through again.
    pub fn unclog_venue(&self, venue: &Machine) {
        unclog(&self.gateway.node, self.far_end(venue));
    }

    /// The node to which the gateway's connections for a venue lead.
    fn far_end<'a>(&'a self, venue: &'a Machine) -> &'a NodeHandle {
        self.relay.as_ref().map_or(&venue.node, |relay| &relay.node)
    }

    /// Ends a client's connection, if it has one.
    pub fn drop_connection(&self, client: plan::Client) {
        // A client that has left has no connection to lose.
        let _ = self.actor(client).control.send(Control::Drop);
    }

    /// Lets nothing through, in the given directions.
    pub fn clog(&self, client: plan::Client, to_client: bool, to_gateway: bool) {
        clog(&self.gateway.node, &self.actor(client).node, to_client, to_gateway);
    }

    /// Lets everything through again.
    pub fn unclog(&self, client: plan::Client) {
        unclog(&self.gateway.node, &self.actor(client).node);
    }

    /// Takes a client's token away, once the gateway is ready. Whether it had one.
    pub async fn revoke(&self, client: plan::Client) -> bool {
        let Holder { name, file, .. } = holder(client);
        let Some(principal) = self.gateway.process.revoke(file).await else { return false };
        self.coverage.mark("token_revoked");
        let body = format!(r#"{{"fault":"token_revoked","holder":"{name}","principal":"{principal}"}}"#);
        self.tracer.record(Node::World, Kind::Fault, &body);
        true
    }

    /// Gives it another one.
    pub async fn renew(&self, client: plan::Client) {
        self.gateway.process.renew(holder(client)).await;
        self.coverage.mark("token_renewed");
    }

    /// Nothing goes wrong any more with any stream or disk.
    pub fn calm(&self) {
        for machine in self.machines() {
            machine.chaos.calm();
            machine.disk.heal();
        }
        if let Some(middle) = &self.relay {
            middle.relay.calm();
        }
    }

    /// Nothing goes wrong any more: clients bring everything to its end. Returns when they are done.
    pub async fn finish(&self) {
        if let Some(Stranger { enough, task, .. }) = &self.abuser {
            // It may have nothing left to do.
            let _ = enough.send(());
            let task = task.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(task) = task {
                let _ = task.await; // a panic of it is noted where it happened
            }
        }
        for actor in self.actors() {
            // A client that is done already needs no word.
            let _ = actor.control.send(Control::Finish);
        }
        for actor in self.actors() {
            let task = actor.task.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(task) = task {
                let _ = task.await; // a panic of a client is noted where it happened
            }
        }
    }

    /// The clients' journals so far; what follows begins empty ones.
    pub fn take_journals(&self) -> Vec<ClientHistory> {
        self.actors().map(|actor| std::mem::take(&mut *actor.journal())).collect()
    }

    /// What the abuser wrote down so far.
    pub fn take_abuses(&self) -> Vec<AbuseHistory> {
        let journal = self.abuser.as_ref().map(|abuser| &abuser.journal);
        let take = |journal: &Arc<Mutex<Vec<AbuseHistory>>>| {
            std::mem::take(&mut *journal.lock().unwrap_or_else(PoisonError::into_inner))
        };
        journal.map(take).unwrap_or_default()
    }

    /// What each client still waits for, in words.
    pub fn open_requests(&self) -> Vec<String> {
        let open = |actor: &Actor| {
            let ClientHistory { name, sessions, requests, .. } = &*actor.journal();
            let open = requests.iter().filter(|r| !r.done).count();
            format!("{name}: {open} requests open, {} connections", sessions.len())
        };
        self.actors().map(open).collect()
    }

    /// Kills what still runs, so that its memory is freed: madsim frees nothing by itself.
    pub async fn end(&self) {
        let machines = self.machines().map(|machine| &machine.node);
        let middle = self.relay.as_ref().map(|middle| &middle.node);
        let abuser = self.abuser.as_ref().map(|abuser| &abuser.node);
        let actors = self.actors().map(|actor| &actor.node);
        for node in machines.chain(middle).chain(actors).chain(abuser) {
            self.handle.resume(node.id()); // a paused node must not be killed
            self.handle.kill(node.id());
        }
        sleep(DYING).await;
    }

    pub fn machines(&self) -> impl Iterator<Item = &Machine> {
        std::iter::once(&self.gateway).chain(&self.venues)
    }

    fn actors(&self) -> impl Iterator<Item = &Actor> {
        [&self.operator, &self.viewer].into_iter().chain(&self.second_operator).chain(&self.slow_reader)
    }

    fn actor(&self, client: plan::Client) -> &Actor {
        let actor = match client {
            plan::Client::Operator => Some(&self.operator),
            plan::Client::Viewer => Some(&self.viewer),
            plan::Client::SecondOperator => self.second_operator.as_ref(),
            plan::Client::SlowReader => self.slow_reader.as_ref(),
        };
        actor.expect("plans name clients that there are")
    }
}

const fn holder(client: plan::Client) -> Holder {
    match client {
        plan::Client::Operator => OPERATOR,
        plan::Client::Viewer => VIEWER,
        plan::Client::SecondOperator => SECOND_OPERATOR,
        plan::Client::SlowReader => SLOW_READER,
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

    fn journal(&self) -> MutexGuard<'_, ClientHistory> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Foundry<'_> {
    fn gateway(&self, venues: &[Machine], by_relay: bool) -> Machine {
        let links = venues.iter().zip(&self.plan.venues).map(|(venue, plan)| Link {
            plan: plan.clone(),
            address: if by_relay { relay_address(venue) } else { venue.process.address() },
            token: venue.process.issue_link_token(),
        });
        let plan = &self.plan.gateway;
        let holders = holders(self.plan);
        let viewer_sees = self.plan.viewer_sees.clone();
        let program = Program::Gateway { plan: plan.clone(), links: links.collect(), holders, viewer_sees };
        self.machine(Node::Gateway, program, plan.sync_ms, plan.clock_skew_ms)
    }

    fn abuser(&self, gateway: &Machine) -> Option<Stranger> {
        let setup = abuser::Setup {
            address: gateway.process.address(),
            gateway_disk: gateway.disk.clone(),
            steps: self.plan.guests.abuser.clone()?,
            symbol: self.plan.gateway.symbols[0].clone(),
            tracer: self.tracer.clone(),
            coverage: self.coverage.clone(),
            clock: Clock::new(self.start, 0),
            draw: Draw::new(self.plan.seed, Node::Abuser.name()),
        };
        let (name, ip) = (Node::Abuser.name(), address(Node::Abuser));
        let node = self.handle.create_node().name(name).ip(ip).build();
        let (enough, told) = mpsc::unbounded_channel();
        let (abuser, journal) = Abuser::new(setup);
        let task = Mutex::new(Some(node.spawn(abuser.run(told))));
        Some(Stranger { node, enough, journal, task })
    }

    fn relay(&self, venues: &[Machine]) -> Option<Middle> {
        let plan = self.plan.relay?;
        let clock = Clock::new(self.start, 0);
        let (tracer, coverage) = (self.tracer.clone(), self.coverage.clone());
        let relay = Relay::new(plan, self.plan.seed, clock, tracer, coverage);
        let node = self.handle.create_node().name(Node::Relay.name()).ip(address(Node::Relay)).build();
        for venue in venues {
            drop(node.spawn(relay.clone().run(relay_address(venue), venue.process.address())));
        }
        Some(Middle { node, relay })
    }

    fn venue(&self, node: Node, plan: &VenuePlan) -> Machine {
        let commission_per_lot = self.plan.gateway.commission_per_lot.clone();
        let program = Program::Venue { plan: plan.clone(), commission_per_lot };
        self.machine(node, program, plan.sync_ms, plan.clock_skew_ms)
    }

    fn machine(&self, name: Node, program: Program, sync_ms: Span, skew_ms: i64) -> Machine {
        let disk = Disk::new(self.plan.seed, name.name(), (sync_ms.0, sync_ms.1));
        let (tracer, coverage) = (self.tracer.clone(), self.coverage.clone());
        let chaos =
            Chaos::new(self.plan.chaos.clone(), self.plan.seed, name, tracer.clone(), coverage.clone());
        let clock = Clock::new(self.start, skew_ms * 1_000_000);
        let market = self.market(name, &clock);
        let process = Process::new(process::Setup {
            node: name,
            program,
            seed: self.plan.seed,
            clock: clock.clone(),
            disk: disk.clone(),
            market: market.clone(),
            chaos: chaos.clone(),
            windows: self.windows.clone(),
            tracer,
            coverage,
            panics: self.panics.clone(),
            gave_up: self.gave_up.clone(),
        });
        let running = process.clone();
        let node = self.handle.create_node().name(name.name()).ip(address(name));
        let node = node.init(move || running.clone().run()).build();
        Machine { name, node, disk, clock, market, process, chaos }
    }

    fn market(&self, name: Node, clock: &Clock) -> Market {
        let (symbols, every_ms) = (&self.plan.gateway.symbols, self.plan.quotes_every_ms);
        let (tracer, coverage) = (self.tracer.clone(), self.coverage.clone());
        Market::new(symbols, every_ms, name, clock.clone(), tracer, coverage)
    }
}

fn set_latency(Span(least, most): Span, more_ms: u64) {
    NetSim::current().update_config(|config| {
        config.send_latency =
            Duration::from_millis(least + more_ms)..Duration::from_millis(most + 1 + more_ms);
    });
}

fn clog(near: &NodeHandle, far: &NodeHandle, to_far: bool, to_near: bool) {
    let net = NetSim::current();
    if to_far {
        net.clog_link(near.id(), far.id());
    }
    if to_near {
        net.clog_link(far.id(), near.id());
    }
}

fn unclog(near: &NodeHandle, far: &NodeHandle) {
    let net = NetSim::current();
    net.unclog_link(near.id(), far.id());
    net.unclog_link(far.id(), near.id());
}

/// Where the relay takes connections for a venue.
fn relay_address(venue: &Machine) -> String {
    format!("{}:{}", address(Node::Relay), process::VENUE_PORT + venue.name as u16)
}

/// A node's address.
pub fn address(node: Node) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, node as u8).into()
}
