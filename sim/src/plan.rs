//! Plans: everything that one world will do and suffer, as data. A plan is a pure function of
//! scenario and seed, and stays valid when the code that drew it changes.

use crate::{
    draw::Draw,
    guests::Guests,
    scenario::{Bursts, Faults, Mix, Scenario, Span, Topology, Workload},
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

mod mishaps;

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
    /// Venues behind a wire, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub venues: Vec<VenuePlan>,
    pub network: NetworkPlan,
    /// An instrument quotes once in so long on its own market; 0: as often as it does.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub quotes_every_ms: u64,
    /// What the byte streams of gateway and venues suffer until all heals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chaos: Option<ChaosPlan>,
    /// What a relay between gateway and venues does until all heals; without it there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay: Option<RelayPlan>,
    /// Whether the operator hears every tick, which makes many small commits, or asks for candles.
    pub hears_ticks: bool,
    pub operator: Vec<Step>,
    pub viewer: Vec<Step>,
    /// Clients beyond these two.
    #[serde(default, skip_serializing_if = "Guests::is_empty")]
    pub guests: Guests,
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
    /// Limits of `[gateway]` in its configuration.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<String, u64>,
    pub snapshot_interval: u64,
    /// Absent: the product's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quote_max_age_ms: Option<u64>,
    pub feed_seed: u64,
    /// How long a sync takes, in milliseconds.
    pub sync_ms: Span,
    /// How far the gateway's clock is off.
    pub clock_skew_ms: i64,
    /// Whether its quotes are those of the first venue.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub venue_feed: bool,
}

/// How a venue is set up. It trades what the gateway trades, at the gateway's commission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VenuePlan {
    pub snapshot_interval: u64,
    pub feed_seed: u64,
    /// How long a sync takes, in milliseconds.
    pub sync_ms: Span,
    /// How far its clock is off.
    pub clock_skew_ms: i64,
    pub accounts: Vec<VenueAccount>,
}

/// An account at a venue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VenueAccount {
    /// Its name at the gateway.
    pub id: String,
    /// Its name at the venue; no two venues have the same.
    pub login: String,
    pub deposit: u64,
}

/// What byte streams suffer. Each kind that is absent never happens.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChaosPlan {
    /// Bytes that a read hands out, or a write takes, at once: least and most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split: Option<Span>,
    /// What arrives waits for more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coalesce: Option<Hold>,
    /// Nothing goes on, in either direction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stall: Option<Hold>,
    /// Nothing comes any more; what is sent arrives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub half_close: Option<Cut>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reset: Option<Cut>,
}

/// What a relay does to the frames that it carries: of how many in a thousand. What is zero or absent
/// never happens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RelayPlan {
    pub lose_report: u64,
    pub repeat_report: u64,
    /// Those behind overtake it.
    pub late_report: Option<Hold>,
    /// An order goes through, nothing comes back, and after that time the connection ends.
    pub lose_ack: Option<Hold>,
    /// The connection ends before the order goes through.
    pub lose_order: u64,
    /// Of all that the gateway sends.
    pub lose_entry: u64,
    /// Of all sessions: they end with the venue's first word.
    #[serde(skip_serializing_if = "is_zero")]
    pub drop_logon: u64,
    /// Of all books that hold a position or an open order: one is missing in them.
    #[serde(skip_serializing_if = "is_zero")]
    pub wrong_snapshot: u64,
}

/// A wait: of how many of a thousand reads or writes, and how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hold {
    pub permille: u64,
    pub for_ms: Span,
}

/// An end: of how many of a thousand streams, and after how many bytes, both ways together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cut {
    pub permille: u64,
    pub after_bytes: Span,
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
    /// The account that it concerns, if it concerns one.
    #[serde(default = "paper", skip_serializing_if = "is_paper")]
    pub account: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The account in the gateway's own machine.
pub const PAPER: &str = "paper-1";

fn paper() -> String {
    PAPER.to_owned()
}

fn is_paper(account: &str) -> bool {
    account == PAPER
}

/// What it does. Where it concerns an order or position, `pick` chooses among those known then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    Place(Place),
    Preview(Place),
    Cancel {
        pick: u64,
    },
    CancelAll,
    /// New terms of a resting order: a price as of a limit order that is placed now, and perhaps another
    /// volume.
    Modify {
        pick: u64,
        limit: i64,
        volume: Option<u64>,
    },
    /// New protective levels of a position, as an order would ask for them now; `None` takes one away.
    Protect {
        pick: u64,
        stop_loss: Option<i64>,
        take_profit: Option<i64>,
    },
    Close {
        pick: u64,
        half: bool,
    },
    CloseSymbol {
        symbol: String,
    },
    Stop {
        global: bool,
        actions: Vec<String>,
    },
    Resume {
        global: bool,
        by_stop: bool,
    },
    Account,
    Order {
        pick: u64,
    },
    RiskStatus,
    Status,
    Candles {
        symbol: String,
    },
    Ping,
    /// Does nothing and reads nothing for a while, or one frame after each so many milliseconds.
    Nap {
        for_ms: u64,
        every_ms: Option<u64>,
    },
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

/// Whose process, disk, clock or market.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Machine {
    Gateway,
    /// They are counted from 0.
    Venue(usize),
}

/// What befalls the market of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MarketEvent {
    /// Nobody quotes.
    Gap,
    /// All prices are so much higher, or lower.
    Jump { permille: i64 },
    /// Spreads are so many times as wide.
    Wide { times: i64 },
    /// Bids and asks are exchanged.
    Crossed,
}

impl MarketEvent {
    /// In receipts and marks.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gap => "market_gap",
            Self::Jump { .. } => "market_jumped",
            Self::Wide { .. } => "spread_widened",
            Self::Crossed => "quotes_crossed",
        }
    }
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
    /// A venue loses power; they are counted from 0.
    VenueCrash { venue: usize, inside_commit: bool },
    /// Nothing gets through to (or from) a venue for a while.
    VenueClog { venue: usize, to_venue: bool, to_gateway: bool, for_ms: u64 },
    /// A venue stands still for a while.
    VenuePause { venue: usize, for_ms: u64 },
    /// The gateway stands still for a while.
    Pause { for_ms: u64 },
    /// A machine loses power and stays off for a while.
    Off { machine: Machine, for_ms: u64 },
    /// A machine loses power so many times, each time so long after it started.
    CrashLoop { machine: Machine, times: u64, every_ms: u64 },
    /// The gateway hears nobody, and nobody hears it.
    Partition { for_ms: u64 },
    /// Everything takes so much longer on its way.
    Lag { by_ms: u64, for_ms: u64 },
    /// A clock jumps, and jumps back after a while.
    ClockJump { machine: Machine, by_ms: i64, for_ms: u64 },
    /// A clock runs too fast, or too slow, by so many millionths.
    ClockDrift { machine: Machine, ppm: i64, for_ms: u64 },
    /// No file of a machine can grow.
    DiskFull { machine: Machine, for_ms: u64 },
    /// So many syncs of a machine fail, and what they should have made durable may be lost.
    SyncFails { machine: Machine, count: u64 },
    /// Syncs take so long.
    DiskSlow { machine: Machine, sync_ms: u64, for_ms: u64 },
    /// A bit flips in a file of a machine that is off: whoever opens a copy of its disk then must notice.
    BitFlip { machine: Machine, pick: u64 },
    /// A file is missing from the disk of a machine that is off: whoever opens a copy of it must notice.
    FileLost { machine: Machine, pick: u64 },
    /// Something befalls the market of a machine.
    Market { machine: Machine, event: MarketEvent, for_ms: u64 },
    /// A client's token is revoked while the gateway runs; after a while it has another one.
    Revoke { client: Client, back_after_ms: u64 },
}

impl FaultKind {
    /// The venue that it strikes, if it strikes one.
    pub const fn venue(self) -> Option<usize> {
        match self {
            Self::VenueCrash { venue, .. }
            | Self::VenueClog { venue, .. }
            | Self::VenuePause { venue, .. } => Some(venue),
            Self::Off { machine, .. }
            | Self::CrashLoop { machine, .. }
            | Self::ClockJump { machine, .. }
            | Self::ClockDrift { machine, .. }
            | Self::DiskFull { machine, .. }
            | Self::SyncFails { machine, .. }
            | Self::DiskSlow { machine, .. }
            | Self::BitFlip { machine, .. }
            | Self::FileLost { machine, .. }
            | Self::Market { machine, .. } => match machine {
                Machine::Gateway => None,
                Machine::Venue(venue) => Some(venue),
            },
            Self::Crash { .. }
            | Self::Drop { .. }
            | Self::Clog { .. }
            | Self::Pause { .. }
            | Self::Partition { .. }
            | Self::Lag { .. }
            | Self::Revoke { .. } => None,
        }
    }

    /// The client that it strikes, if it strikes one.
    pub const fn client(self) -> Option<Client> {
        match self {
            Self::Drop { client } | Self::Clog { client, .. } | Self::Revoke { client, .. } => Some(client),
            _ => None,
        }
    }

    /// How long it lasts, if it lasts.
    pub const fn for_ms(self) -> Option<u64> {
        match self {
            Self::Clog { for_ms, .. }
            | Self::VenueClog { for_ms, .. }
            | Self::VenuePause { for_ms, .. }
            | Self::Pause { for_ms }
            | Self::Off { for_ms, .. }
            | Self::Partition { for_ms }
            | Self::Lag { for_ms, .. }
            | Self::ClockJump { for_ms, .. }
            | Self::ClockDrift { for_ms, .. }
            | Self::DiskFull { for_ms, .. }
            | Self::DiskSlow { for_ms, .. }
            | Self::Market { for_ms, .. } => Some(for_ms),
            Self::Revoke { back_after_ms, .. } => Some(back_after_ms),
            Self::Crash { .. }
            | Self::Drop { .. }
            | Self::VenueCrash { .. }
            | Self::CrashLoop { .. }
            | Self::SyncFails { .. }
            | Self::BitFlip { .. }
            | Self::FileLost { .. } => None,
        }
    }
}

/// Which client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Client {
    Operator,
    Viewer,
    SecondOperator,
    SlowReader,
}

impl Plan {
    /// All accounts of the gateway, by their names there.
    pub fn accounts(&self) -> Vec<String> {
        let links = self.venues.iter().flat_map(|venue| &venue.accounts).map(|account| account.id.clone());
        std::iter::once(paper()).chain(links).collect()
    }

    /// Whether there is such a client.
    pub const fn has(&self, client: Client) -> bool {
        match client {
            Client::Operator | Client::Viewer => true,
            Client::SecondOperator => self.guests.second_operator.is_some(),
            Client::SlowReader => self.guests.slow_reader.is_some(),
        }
    }
}

/// The plan of a scenario's world of this seed.
pub fn plan(seed: u64, scenario: &Scenario) -> Plan {
    let name = &scenario.name;
    let stream = |subsystem: &str| Draw::new(seed, &format!("plan {name} {subsystem}"));
    let duration_ms = scenario.duration_s * 1_000;
    let mut knobs = stream("knobs");
    let hears_ticks = stream("ticks").chance(120);
    let mut operator =
        steps(&scenario.operator, &scenario.topology.symbols, duration_ms, &mut stream("operator"));
    let mut viewer = steps(&scenario.viewer, &scenario.topology.symbols, duration_ms, &mut stream("viewer"));
    let venues = venues(&scenario.topology, &mut stream("venues"));
    if let Some(topology) = &scenario.topology.venues {
        let mut draw = stream("accounts");
        spread(&mut operator, &venues, topology.paper_permille, &mut draw);
        spread(&mut viewer, &venues, topology.paper_permille, &mut draw);
    }
    let guests = Guests::draw(
        &scenario.guests,
        duration_ms,
        &operator,
        |workload, draw| {
            let mut steps = steps(workload, &scenario.topology.symbols, duration_ms, draw);
            if let Some(topology) = &scenario.topology.venues {
                spread(&mut steps, &venues, topology.paper_permille, draw);
            }
            look_first(&mut steps);
            steps
        },
        stream,
    );
    if !hears_ticks {
        look_first(&mut operator);
    }
    let start = knobs.pick(&scenario.starts).expect("a scenario names a start").clone();
    let mut gateway = gateway(&scenario.topology, &mut knobs);
    // otherwise the two markets go their own ways
    gateway.venue_feed = !venues.is_empty() && stream("feed").chance(700);
    gateway.risk.extend(risk(&scenario.topology, &mut stream("risk")));
    Plan {
        scenario: name.clone(),
        seed,
        schedule_seed: stream("schedule").number(),
        start,
        duration_ms,
        gateway,
        chaos: chaos(scenario, &mut stream("chaos")),
        relay: relay(scenario, &mut stream("relay")),
        network: NetworkPlan {
            latency_ms: [Span(1, 2), Span(1, 10), Span(5, 60)][knobs.within(0..=2) as usize],
        },
        quotes_every_ms: *stream("quotes").pick(&[0, 1_000, 2_000, 4_000]).expect("not empty"),
        hears_ticks,
        operator,
        viewer,
        guests,
        faults: {
            let mut faults = faults(scenario, venues.len(), duration_ms, &mut stream("faults"));
            let mishaps = mishaps::draw(&scenario.faults, venues.len(), &mut stream("mishaps"));
            let mut at = stream("mishap times");
            faults.extend(mishaps.into_iter().map(|kind| Fault { at_ms: at.within(1..=duration_ms), kind }));
            faults.sort_by_key(|fault| fault.at_ms);
            faults
        },
        venues,
    }
}

fn gateway(topology: &Topology, knobs: &mut Draw) -> GatewayPlan {
    GatewayPlan {
        symbols: topology.symbols.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect(),
        deposit: topology.deposit,
        commission_per_lot: topology.commission_per_lot.clone(),
        risk: topology.risk.clone(),
        limits: topology.gateway.clone(),
        snapshot_interval: topology.snapshot_interval.draw(knobs).max(1),
        feed_seed: knobs.number() >> 1, // TOML integers are signed
        sync_ms: [Span(1, 1), Span(1, 4), Span(3, 25)][knobs.within(0..=2) as usize],
        clock_skew_ms: knobs.within(0..=4_000) as i64 - 2_000,
        venue_feed: false,
        quote_max_age_ms: topology.quote_max_age_ms.map(|span| span.draw(knobs)),
    }
}

/// Limits that are drawn. Each is off in some seeds.
fn risk(topology: &Topology, draw: &mut Draw) -> Vec<(String, String)> {
    const OFF_PERMILLE: u64 = 250;
    let mut limits = Vec::new();
    for (key, span) in &topology.risk_within {
        let limit = span.draw(draw);
        if !draw.chance(OFF_PERMILLE) {
            limits.push((key.clone(), limit.to_string()));
        }
    }
    limits
}

fn venues(topology: &Topology, draw: &mut Draw) -> Vec<VenuePlan> {
    let Some(venues) = &topology.venues else { return Vec::new() };
    let mut account = 0;
    let mut venue = |draw: &mut Draw| VenuePlan {
        snapshot_interval: topology.snapshot_interval.draw(draw).max(1),
        feed_seed: draw.number() >> 1,
        sync_ms: [Span(1, 1), Span(1, 4), Span(3, 25)][draw.within(0..=2) as usize],
        clock_skew_ms: draw.within(0..=4_000) as i64 - 2_000,
        accounts: (0..venues.accounts.draw(draw).max(1))
            .map(|_| {
                account += 1;
                let (id, login) = (format!("link-{account}"), format!("main-{account}"));
                VenueAccount { id, login, deposit: topology.deposit }
            })
            .collect(),
    };
    (0..venues.count.draw(draw)).map(|_| venue(draw)).collect()
}

/// Spreads steps over the accounts. Who was stopped is resumed.
fn spread(steps: &mut [Step], venues: &[VenuePlan], paper_permille: u64, draw: &mut Draw) {
    let accounts: Vec<&String> = venues.iter().flat_map(|venue| &venue.accounts).map(|a| &a.id).collect();
    let mut stopped = None;
    for step in steps {
        if !draw.chance(paper_permille)
            && let Some(account) = draw.pick(&accounts)
        {
            step.account = (*account).clone();
        }
        match &step.action {
            Action::Stop { .. } => stopped = Some(step.account.clone()),
            Action::Resume { .. } => step.account = stopped.clone().unwrap_or_else(paper),
            _ => {}
        }
    }
}

/// Each kind is off in some seeds.
fn chaos(scenario: &Scenario, draw: &mut Draw) -> Option<ChaosPlan> {
    const OFF_PERMILLE: u64 = 350;
    let mut chaos = scenario.faults.chaos.clone()?;
    let mut off = || draw.chance(OFF_PERMILLE);
    chaos.split = chaos.split.filter(|_| !off());
    chaos.coalesce = chaos.coalesce.filter(|_| !off());
    chaos.stall = chaos.stall.filter(|_| !off());
    chaos.half_close = chaos.half_close.filter(|_| !off());
    chaos.reset = chaos.reset.filter(|_| !off());
    // every size of pieces, in time: few bytes in some worlds, many in others
    chaos.split = chaos.split.map(|Span(least, most)| Span(least, draw.within(least..=most)));
    Some(chaos)
}

/// Each kind is off in some seeds.
fn relay(scenario: &Scenario, draw: &mut Draw) -> Option<RelayPlan> {
    const OFF_PERMILLE: u64 = 250;
    let relay = scenario.faults.relay?;
    let mut off = || draw.chance(OFF_PERMILLE);
    let mut or_none = |permille: u64| if off() { 0 } else { permille };
    let (lose_report, repeat_report) = (or_none(relay.lose_report), or_none(relay.repeat_report));
    let (lose_order, lose_entry) = (or_none(relay.lose_order), or_none(relay.lose_entry));
    let (drop_logon, wrong_snapshot) = (or_none(relay.drop_logon), or_none(relay.wrong_snapshot));
    let late_report = relay.late_report.filter(|_| !off());
    let lose_ack = relay.lose_ack.filter(|_| !off());
    Some(RelayPlan {
        lose_report,
        repeat_report,
        late_report,
        lose_ack,
        lose_order,
        lose_entry,
        drop_logon,
        wrong_snapshot,
    })
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
            steps.push(Step { at_ms: at_ms + draw.within(200..=8_000), action: resume, account: paper() });
        }
        steps.push(Step { at_ms, action, account: paper() });
    }
    if let Some(bursts) = &workload.bursts {
        steps.extend(burst_steps(bursts, symbols, duration_ms, draw));
    }
    steps.sort_by_key(|step| step.at_ms);
    steps
}

/// Many steps at once, several times.
fn burst_steps(bursts: &Bursts, symbols: &[String], duration_ms: u64, draw: &mut Draw) -> Vec<Step> {
    let mut steps = Vec::new();
    for _ in 0..bursts.count.draw(draw) {
        let at_ms = draw.within(2_000..=duration_ms.max(2_000));
        let mix = draw.pick(&bursts.mixes).expect("a scenario names a mix").clone();
        for _ in 0..bursts.steps.draw(draw) {
            let Some(action) = action(&mix, symbols, draw) else { break };
            if let Action::Stop { global, .. } = action {
                let resume = Action::Resume { global, by_stop: draw.chance(500) };
                let later_ms = at_ms + draw.within(200..=2_000);
                steps.push(Step { at_ms: later_ms, action: resume, account: paper() });
            }
            steps.push(Step { at_ms, action, account: paper() });
        }
    }
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
                Some(Step { at_ms, action: Action::Candles { symbol: symbol.clone() }, account: paper() })
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
        mix.modify,
        mix.protect,
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
        13 => Action::Ping,
        14 => Action::Modify {
            pick: draw.number(),
            limit: draw.within(0..=60) as i64 - 10,
            volume: draw.chance(400).then(|| draw.within(1..=30)),
        },
        _ => Action::Protect {
            pick: draw.number(),
            stop_loss: draw.chance(700).then(|| draw.within(5..=60) as i64),
            take_profit: draw.chance(600).then(|| draw.within(2..=40) as i64),
        },
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
fn faults(scenario: &Scenario, venues: usize, duration_ms: u64, draw: &mut Draw) -> Vec<Fault> {
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
    if venues > 0 {
        faults.extend(venue_faults(kinds, venues, draw));
    }
    if let Some(revoke) = &kinds.revoke {
        let guests = &scenario.guests;
        let mut clients = vec![Client::Operator, Client::Operator, Client::Viewer];
        clients.extend(guests.second_operator.is_some().then_some(Client::SecondOperator));
        clients.extend(guests.slow_reader.is_some().then_some(Client::SlowReader));
        for _ in 0..count(revoke.count, draw) {
            let client = *draw.pick(&clients).expect("there are some");
            let back_after_ms = revoke.back_after_ms.draw(draw);
            faults.push(FaultKind::Revoke { client, back_after_ms });
        }
    }
    let mut faults: Vec<Fault> =
        faults.into_iter().map(|kind| Fault { at_ms: draw.within(1..=duration_ms), kind }).collect();
    faults.sort_by_key(|fault| fault.at_ms);
    faults
}

fn venue_faults(kinds: &Faults, venues: usize, draw: &mut Draw) -> Vec<FaultKind> {
    let count = |span: Span, draw: &mut Draw| if draw.chance(150) { 0 } else { span.draw(draw) };
    let venue = |draw: &mut Draw| draw.within(0..=venues as u64 - 1) as usize;
    let mut faults = Vec::new();
    if let Some(crash) = &kinds.venue_crash {
        for _ in 0..count(crash.count, draw) {
            let inside_commit = draw.chance(crash.inside_commit_permille);
            faults.push(FaultKind::VenueCrash { venue: venue(draw), inside_commit });
        }
    }
    if let Some(clog) = &kinds.venue_clog {
        for _ in 0..count(clog.count, draw) {
            let (to_venue, to_gateway) =
                [(true, true), (true, false), (false, true)][draw.within(0..=2) as usize];
            let for_ms = clog.for_ms.draw(draw);
            faults.push(FaultKind::VenueClog { venue: venue(draw), to_venue, to_gateway, for_ms });
        }
    }
    if let Some(pause) = &kinds.venue_pause {
        for _ in 0..count(pause.count, draw) {
            faults.push(FaultKind::VenuePause { venue: venue(draw), for_ms: pause.for_ms.draw(draw) });
        }
    }
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
