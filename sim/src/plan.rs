//! Plans: everything that one world will do and suffer, as data. A plan is a pure function of
//! scenario and seed, and stays valid when the code that drew it changes.
//!
//! Here is what a plan holds. `drawing` draws one, with the steps of `workload` and the accidents of `mishaps`.

use crate::{guests::Guests, scenario::Span};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

mod drawing;
mod mishaps;
mod workload;

pub use drawing::plan;

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
    /// When nobody works; no other time of the plan counts it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rest: Option<Rest>,
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
    /// The accounts that the viewer's token reaches; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub viewer_sees: Option<Vec<String>>,
    /// Clients beyond these two.
    #[serde(default, skip_serializing_if = "Guests::is_empty")]
    pub guests: Guests,
    pub faults: Vec<Fault>,
}

/// A time in which all clients are away, such as a weekend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rest {
    pub at_ms: u64,
    pub for_ms: u64,
    /// Whether the machines have no power meanwhile.
    pub machines_off: bool,
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
    /// It waits for its price in another way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<Pending>,
    /// It ends after so many milliseconds; 0: with the day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lives_ms: Option<u64>,
    /// What becomes of it where it would trade at once, or would not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manner: Option<Manner>,
    /// Distance in tenths of a spread.
    pub stop_loss: Option<i64>,
    pub take_profit: Option<i64>,
}

/// How an order waits for a price that is worse than now, in tenths of a spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pending {
    /// Its trigger lies so far beyond the market; its limit, if it has one, so far beyond its trigger.
    Stop { beyond: i64, limit: Option<i64> },
    /// It trails the market by so much.
    Trail { by: i64 },
    /// It trails the market by so many thousandths of a percent.
    TrailPercent { by: i64 },
}

/// How a limit order may fill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Manner {
    PostOnly,
    Fok,
    Ioc,
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
