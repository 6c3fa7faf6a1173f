//! From a plan to a judged world.

use crate::{
    contest, crossing, fault,
    history::History,
    incident,
    oracle::{self, Severity, Violation},
    outcome::Outcome,
    panics::{self, Panics},
    plan::Plan,
    probe::{Counts, Coverage},
    rest,
    runtime::Clock,
    trace::{Kind, Node, Trace, Tracer},
    world::World,
};
use lockstep::domain::time::UnixNanos;
use madsim::{
    runtime::Runtime,
    time::{sleep, timeout},
};
use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, PoisonError, mpsc},
    time::Duration,
};

/// After the faults, everything is at rest within this much simulated time.
const SETTLING: Duration = Duration::from_secs(60);
/// A link that has died is noticed within three heartbeats, and a journal that has failed is open again.
const NOTICING: Duration = Duration::from_secs(16);
/// A drain takes at most so long.
const DRAINING: Duration = Duration::from_secs(20);
/// No world lasts longer than its plan and so much.
const TIME_LIMIT: Duration = Duration::from_secs(600);

/// A judged world.
#[derive(Debug)]
pub struct Report {
    pub outcome: Outcome,
    pub trace: Trace,
    pub violations: Vec<Violation>,
    /// What panicked, and what else the world could not say through an oracle.
    pub notes: Vec<String>,
    pub counts: Counts,
    /// How long it lasted, in its own time.
    pub simulated: Duration,
}

impl Report {
    /// The trace's hash in hexadecimal.
    pub fn trace_hash(&self) -> String {
        self.trace.hash().to_hex().to_string()
    }

    pub(crate) fn hang(note: String) -> Self {
        Self {
            outcome: Outcome::Hang,
            trace: Trace::default(),
            violations: Vec::new(),
            notes: vec![note],
            counts: Counts::default(),
            simulated: Duration::ZERO,
        }
    }
}

/// Runs a plan on a thread of its own. After `limit` of real time it is given up as hanging; its
/// thread cannot be ended and runs on.
pub fn run(plan: &Plan, limit: Duration) -> Report {
    prime();
    run_on_thread(plan.clone(), limit)
}

fn run_on_thread(plan: Plan, limit: Duration) -> Report {
    let (send, receive) = mpsc::channel();
    let name = format!("{}-{}", plan.scenario, plan.seed);
    let world = std::thread::Builder::new().name(name).spawn(move || {
        // The receiver is gone if the world took too long.
        let _ = send.send(run_here(&plan));
    });
    drop(world.expect("the host can start a thread"));
    receive
        .recv_timeout(limit)
        .unwrap_or_else(|_| Report::hang(format!("no end within {} s of real time", limit.as_secs())))
}

/// Builds all globals of the process in a throw-away world: what is seeded lazily would otherwise draw
/// from whichever world comes first.
pub(crate) fn prime() {
    static PRIMED: std::sync::Once = std::sync::Once::new();
    PRIMED.call_once(|| {
        let scenario = toml::from_str(PRIMING).expect("a valid scenario");
        drop(run_on_thread(crate::plan::plan(0, &scenario), Duration::from_secs(60)));
    });
}

const PRIMING: &str = r#"
    name = "priming"
    why = "builds globals"
    duration_s = 4
    starts = ["2024-03-04T09:00:00Z"]
    topology = { symbols = ["BTCUSD"], deposit = 10000 }
    operator = { steps = [16, 16], mix = { market = 3, limit = 2, preview = 1, stop = 1, candles = 1, status = 1 } }
    viewer = { steps = [2, 2], mix = { account = 1 } }
    faults = { crash = { count = [1, 1], inside_commit_permille = 0 } }
"#;

/// What a world leaves behind, also when it ends in a panic.
#[derive(Default)]
struct Remains {
    tracer: Option<Tracer>,
    clock: Option<Clock>,
    world: Option<Arc<World>>,
    unfinished: Option<String>,
}

fn run_here(plan: &Plan) -> Report {
    panics::enter_world();
    let plan = &rest::with_rest(plan);
    let mut runtime = Runtime::with_seed_and_config(plan.schedule_seed, madsim::Config::default());
    runtime.set_time_limit(Duration::from_millis(plan.duration_ms) + TIME_LIMIT);
    let remains = Arc::new(Mutex::new(Remains::default()));
    let (panics, fatal) = Panics::new();
    let coverage = Coverage::default();
    let future = live(plan, remains.clone(), panics.clone(), coverage.clone(), fatal);
    let ended = std::panic::catch_unwind(AssertUnwindSafe(|| runtime.block_on(future)));
    let mut notes = panics.all();
    let hung = match &ended {
        Ok(()) => false,
        Err(payload) => {
            let text = panics::message(&**payload);
            let hung = text.contains("time limit exceeded");
            notes.push(text);
            hung
        }
    };
    let remains = std::mem::take(&mut *remains.lock().unwrap_or_else(PoisonError::into_inner));
    let trace = remains.tracer.as_ref().map(Tracer::take).unwrap_or_default();
    let simulated = Duration::from_nanos(remains.clock.as_ref().map_or(0, Clock::elapsed_ns));
    let clients = remains.world.as_ref().map(|world| world.take_journals()).unwrap_or_default();
    let abuses = remains.world.as_ref().map(|world| world.take_abuses()).unwrap_or_default();
    let mut history = History {
        clients,
        abuses,
        unfinished: remains.unfinished.clone(),
        ..History::from_trace(&trace, plan.venues.len())
    };
    if let Some(world) = &remains.world {
        history.gateway.refused_starts = world.gateway().process.refused();
        for (venue, machine) in history.venues.iter_mut().zip(world.venues()) {
            venue.refused_starts = machine.process.refused();
        }
    }
    drop(remains);
    for (name, _) in history.gateway.steps.iter().flat_map(|step| &step.events) {
        // Each kind of critical event is a mark of its own, such as `trade_canceled`.
        coverage.mark(&name.trim_start_matches("event.").replace('.', "_"));
    }
    for mark in incident::marks(plan, &history).into_iter().chain(contest::marks(&history)) {
        coverage.mark(mark);
    }
    for code in contest::denials(&history) {
        coverage.mark(&format!("denied_{}", code.to_ascii_lowercase()));
    }
    let counts = Counts { crossings: crossing::count(&trace, &history), ..coverage.counts() };
    judge(plan, trace, &history, Ending { notes, hung, counts, simulated })
}

struct Ending {
    notes: Vec<String>,
    hung: bool,
    counts: Counts,
    simulated: Duration,
}

fn judge(plan: &Plan, mut trace: Trace, history: &History, ending: Ending) -> Report {
    let Ending { notes, hung, counts, simulated } = ending;
    // A world that panicked did not come to its end; that is the panic's fault.
    let mut violations = oracle::judge(plan, history);
    if hung || !notes.is_empty() {
        violations.retain(|v| v.severity == Severity::Safety);
    }
    for violation in &violations {
        let at_ns = u64::try_from(simulated.as_nanos()).expect("worlds are short");
        trace.push(at_ns, Node::World, Kind::Verdict, &violation.body());
    }
    let outcome = match violations.iter().map(|v| v.severity).min() {
        Some(Severity::Safety) => Outcome::Safety,
        Some(Severity::Liveness) => Outcome::Liveness,
        Some(Severity::Difference) => Outcome::Nondeterminism,
        None if hung => Outcome::Hang,
        None if !notes.is_empty() => Outcome::Panic,
        None => Outcome::Ok,
    };
    // nothing is simulated while all rest
    let rested = Duration::from_millis(plan.rest.map_or(0, |rest| rest.for_ms));
    let simulated = simulated.saturating_sub(rested);
    Report { outcome, trace, violations, notes, counts, simulated }
}

/// The life of a world.
async fn live(
    plan: &Plan,
    remains: Arc<Mutex<Remains>>,
    panics: Panics,
    coverage: Coverage,
    mut fatal: tokio::sync::mpsc::UnboundedReceiver<()>,
) {
    let start = UnixNanos::parse(&plan.start).expect("plans hold instants");
    let clock = Clock::new(start, 0);
    let tracer = Tracer::new(clock.clone());
    let world = Arc::new(World::start(plan, tracer.clone(), coverage, panics));
    let keep = |change: &dyn Fn(&mut Remains)| {
        change(&mut remains.lock().unwrap_or_else(PoisonError::into_inner));
    };
    keep(&|r| {
        (r.tracer, r.clock, r.world) = (Some(tracer.clone()), Some(clock.clone()), Some(world.clone()));
    });
    let supervisor = madsim::task::spawn(world.clone().supervise());
    let unfinished = tokio::select! {
        biased;
        _ = fatal.recv() => Some("a vital task panicked".to_owned()),
        unfinished = script(plan, world.clone(), clock.clone()) => unfinished,
    };
    keep(&|r| r.unfinished = unfinished.clone());
    supervisor.abort(); // it holds the world, which would stay in memory
    world.end().await;
}

/// Faults, healing, a last look, a drain. Says what was not reached.
async fn script(plan: &Plan, world: Arc<World>, clock: Clock) -> Option<String> {
    let faults = madsim::task::spawn(fault::carry_out(world.clone(), plan.faults.clone(), clock.clone()));
    let rests = plan.rest.map(|rest| madsim::task::spawn(rest::carry_out(world.clone(), rest, clock)));
    sleep(Duration::from_millis(plan.duration_ms)).await;
    if let Some(rests) = rests {
        let _ = rests.await; // it has ended before
    }
    let _ = faults.await; // it ends by itself
    world.calm();
    if !plan.venues.is_empty() || !plan.faults.is_empty() {
        sleep(NOTICING).await;
    }
    if timeout(SETTLING, world.finish()).await.is_err() {
        return Some(world.open_requests().join("; "));
    }
    if timeout(DRAINING, world.gateway().process.drain()).await.is_err() {
        return Some("the gateway did not drain".to_owned());
    }
    for (venue, number) in world.venues().iter().zip(1..) {
        if timeout(DRAINING, venue.process.drain()).await.is_err() {
            return Some(format!("venue {number} did not drain"));
        }
    }
    None
}
