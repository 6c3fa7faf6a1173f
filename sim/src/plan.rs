//! Plans: everything that one world will do and suffer, as data. A plan is a pure function of
//! scenario and seed, and stays valid when the code that drew it changes.

use crate::{
    draw::Draw,
    scenario::{Mix, Scenario, Span, Topology, Workload},
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// One world.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    pub scenario: String,
    pub seed: u64,
    /// Seeds the scheduler's and the network's own draws.
    pub schedule_seed: u64,
    /// The time of day at which it begins, RFC 3339.
    pub start: String,
    /// Workload and faults last so long; then everything heals.
    pub duration_ms: u64,
    pub gateway: GatewayPlan,
    pub network: NetworkPlan,
    /// Whether the operator hears every tick, which makes many small commits, or asks for candles.
    pub hears_ticks: bool,
    pub operator: Vec<Step>,
    pub viewer: Vec<Step>,
    pub faults: Vec<Fault>,
}

/// How the gateway is set up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayPlan {
    /// Each once, ascending.
    pub symbols: Vec<String>,
    pub deposit: u64,
    pub commission_per_lot: String,
    pub risk: BTreeMap<String, String>,
    pub snapshot_interval: u64,
    pub feed_seed: u64,
    /// How long a sync takes, in milliseconds.
    pub sync_ms: Span,
    /// How far the gateway's clock is off.
    pub clock_skew_ms: i64,
}

/// How the network behaves where nothing is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkPlan {
    pub latency_ms: Span,
}

/// Something that a client does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    pub at_ms: u64,
    pub action: Action,
}

/// What it does. Where it concerns an order or position, `pick` chooses among those known then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    Place(Place),
    Preview(Place),
    Cancel { pick: u64 },
    CancelAll,
    Close { pick: u64, half: bool },
    CloseSymbol { symbol: String },
    Stop { global: bool, actions: Vec<String> },
    Resume { global: bool, by_stop: bool },
    Account,
    Order { pick: u64 },
    RiskStatus,
    Status,
    Candles { symbol: String },
    Ping,
}

/// An order to be placed, relative to the market of its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    pub symbol: String,
    pub buy: bool,
    /// A limit order this many spreads (in tenths) better than the opposite side's price; `None` is
    /// a market order.
    pub limit: Option<i64>,
    /// In hundredths of a lot.
    pub volume: u64,
    /// Distance in tenths of a spread.
    pub stop_loss: Option<i64>,
    pub take_profit: Option<i64>,
}

/// Something that goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    pub at_ms: u64,
    pub kind: FaultKind,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// The gateway loses power, at once or as soon as a commit is on its way.
    Crash { inside_commit: bool },
    /// A client's connection ends without a goodbye.
    Drop { client: Client },
    /// Nothing gets through to (or from) a client for a while.
    Clog { client: Client, to_client: bool, to_gateway: bool, for_ms: u64 },
}

/// Which client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Client {
    Operator,
    Viewer,
}

/// The plan of a scenario's world of this seed.
pub fn plan(seed: u64, scenario: &Scenario) -> Plan {
    let name = &scenario.name;
    let stream = |subsystem: &str| Draw::new(seed, &format!("plan {name} {subsystem}"));
    let duration_ms = scenario.duration_s * 1_000;
    let mut knobs = stream("knobs");
    let hears_ticks = stream("ticks").chance(300);
    let mut operator =
        steps(&scenario.operator, &scenario.topology.symbols, duration_ms, &mut stream("operator"));
    if !hears_ticks {
        look_first(&mut operator);
    }
    Plan {
        scenario: name.clone(),
        seed,
        schedule_seed: stream("schedule").number(),
        start: knobs.pick(&scenario.starts).expect("a scenario names a start").clone(),
        duration_ms,
        gateway: gateway(&scenario.topology, &mut knobs),
        network: NetworkPlan {
            latency_ms: [Span(1, 2), Span(1, 10), Span(5, 60)][knobs.within(0..=2) as usize],
        },
        hears_ticks,
        operator,
        viewer: steps(&scenario.viewer, &scenario.topology.symbols, duration_ms, &mut stream("viewer")),
        faults: faults(scenario, duration_ms, &mut stream("faults")),
    }
}

fn gateway(topology: &Topology, knobs: &mut Draw) -> GatewayPlan {
    GatewayPlan {
        symbols: topology.symbols.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect(),
        deposit: topology.deposit,
        commission_per_lot: topology.commission_per_lot.clone(),
        risk: topology.risk.clone(),
        snapshot_interval: topology.snapshot_interval.draw(knobs).max(1),
        feed_seed: knobs.number() >> 1, // TOML integers are signed
        sync_ms: [Span(1, 1), Span(1, 4), Span(3, 25)][knobs.within(0..=2) as usize],
        clock_skew_ms: knobs.within(0..=4_000) as i64 - 2_000,
    }
}

fn steps(workload: &Workload, symbols: &[String], duration_ms: u64, draw: &mut Draw) -> Vec<Step> {
    let count = workload.steps.draw(draw);
    let mut steps = Vec::new();
    for _ in 0..count {
        let at_ms = draw.within(500..=duration_ms.max(500));
        let Some(action) = action(&workload.mix, symbols, draw) else { break };
        if let Action::Stop { global, .. } = action
            && !draw.chance(100)
        {
            let resume = Action::Resume { global, by_stop: draw.chance(500) };
            steps.push(Step { at_ms: at_ms + draw.within(200..=8_000), action: resume });
        }
        steps.push(Step { at_ms, action });
    }
    steps.sort_by_key(|step| step.at_ms);
    steps
}

/// Whoever hears no ticks looks at the market before placing an order.
fn look_first(steps: &mut Vec<Step>) {
    const BEFORE_MS: u64 = 300;
    let looks: Vec<Step> = steps
        .iter()
        .filter_map(|step| match &step.action {
            Action::Place(Place { symbol, .. }) | Action::Preview(Place { symbol, .. }) => {
                let at_ms = step.at_ms.saturating_sub(BEFORE_MS);
                Some(Step { at_ms, action: Action::Candles { symbol: symbol.clone() } })
            }
            _ => None,
        })
        .collect();
    steps.extend(looks);
    steps.sort_by_key(|step| step.at_ms);
}

fn action(mix: &Mix, symbols: &[String], draw: &mut Draw) -> Option<Action> {
    let weights = [
        mix.market,
        mix.limit,
        mix.preview,
        mix.cancel,
        mix.cancel_all,
        mix.close,
        mix.close_symbol,
        mix.stop,
        mix.account,
        mix.order,
        mix.risk_status,
        mix.status,
        mix.candles,
        mix.ping,
    ];
    let symbol = |draw: &mut Draw| draw.pick(symbols).expect("a topology has symbols").clone();
    Some(match draw.weighted(&weights)? {
        0 => Action::Place(place(symbol(draw), false, draw)),
        1 => Action::Place(place(symbol(draw), true, draw)),
        2 => {
            let limit = draw.chance(300);
            Action::Preview(place(symbol(draw), limit, draw))
        }
        3 => Action::Cancel { pick: draw.number() },
        4 => Action::CancelAll,
        5 => Action::Close { pick: draw.number(), half: draw.chance(300) },
        6 => Action::CloseSymbol { symbol: symbol(draw) },
        7 => Action::Stop { global: draw.chance(500), actions: stop_actions(draw) },
        8 => Action::Account,
        9 => Action::Order { pick: draw.number() },
        10 => Action::RiskStatus,
        11 => Action::Status,
        12 => Action::Candles { symbol: symbol(draw) },
        _ => Action::Ping,
    })
}

fn place(symbol: String, limit: bool, draw: &mut Draw) -> Place {
    Place {
        symbol,
        buy: draw.chance(500),
        limit: limit.then(|| draw.within(0..=60) as i64 - 10),
        volume: if draw.chance(30) { draw.within(0..=20_000) } else { draw.within(1..=30) },
        stop_loss: draw.chance(500).then(|| draw.within(5..=60) as i64),
        take_profit: draw.chance(400).then(|| draw.within(2..=40) as i64),
    }
}

fn stop_actions(draw: &mut Draw) -> Vec<String> {
    let names: &[&str] = match draw.within(0..=3) {
        0 => &["pause"],
        1 => &["pause", "cancel_all"],
        2 => &["pause", "close_all"],
        _ => &["pause", "cancel_all", "close_all"],
    };
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// The fault schedule. Each kind is off in some seeds, so that one fault cannot always mask another.
fn faults(scenario: &Scenario, duration_ms: u64, draw: &mut Draw) -> Vec<Fault> {
    let kinds = &scenario.faults;
    let on = |draw: &mut Draw| !draw.chance(150);
    let count = |span: Span, draw: &mut Draw| if on(draw) { span.draw(draw) } else { 0 };
    let client = |draw: &mut Draw| if draw.chance(700) { Client::Operator } else { Client::Viewer };
    let mut faults = Vec::new();
    if let Some(crash) = &kinds.crash {
        for _ in 0..count(crash.count, draw) {
            let inside_commit = draw.chance(crash.inside_commit_permille);
            faults.push(FaultKind::Crash { inside_commit });
        }
    }
    if let Some(drop) = &kinds.drop {
        for _ in 0..count(drop.count, draw) {
            faults.push(FaultKind::Drop { client: client(draw) });
        }
    }
    if let Some(clog) = &kinds.clog {
        for _ in 0..count(clog.count, draw) {
            let (to_client, to_gateway) =
                [(true, true), (true, false), (false, true)][draw.within(0..=2) as usize];
            let for_ms = clog.for_ms.draw(draw);
            faults.push(FaultKind::Clog { client: client(draw), to_client, to_gateway, for_ms });
        }
    }
    let mut faults: Vec<Fault> =
        faults.into_iter().map(|kind| Fault { at_ms: draw.within(1..=duration_ms), kind }).collect();
    faults.sort_by_key(|fault| fault.at_ms);
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario;

    #[test]
    fn a_plan_is_a_function_of_seed_and_scenario_and_survives_json() {
        for scenario in scenario::all(&scenario::folder(None)).expect("they parse") {
            let first = plan(42, &scenario);
            assert_eq!(first, plan(42, &scenario));
            assert_ne!(first, plan(43, &scenario));
            let json = serde_json::to_string(&first).expect("data");
            assert_eq!(serde_json::from_str::<Plan>(&json).expect("the same data"), first);
        }
    }
}
