//! Draws plans: each part from a stream of its own, so that a change to one leaves the others as they are.

use super::{
    ChaosPlan, Client, Fault, FaultKind, GatewayPlan, NetworkPlan, PAPER, Plan, RelayPlan, Rest,
    VenueAccount, VenuePlan, mishaps,
    workload::{look_first, spread, steps},
};
use crate::{
    draw::Draw,
    guests::Guests,
    scenario::{Faults, Scenario, Span, Topology},
};
use std::collections::BTreeSet;

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
        rest: scenario.rest.map(|rest| Rest {
            at_ms: rest.after_s * 1_000,
            for_ms: rest.for_s * 1_000,
            // a link says every few seconds that it lives: two days of that are long
            machines_off: !venues.is_empty() || stream("rest power").chance(500),
        }),
        gateway,
        chaos: chaos(scenario, &mut stream("chaos")),
        relay: relay(scenario, &mut stream("relay")),
        network: NetworkPlan {
            latency_ms: [Span(1, 2), Span(1, 10), Span(5, 60)][knobs.within(0..=2) as usize],
        },
        quotes_every_ms: *stream("quotes").pick(&[1_000, 2_000, 4_000]).expect("not empty"),
        hears_ticks,
        operator,
        viewer,
        viewer_sees: scenario.topology.viewer_sees.map(|count| sees(count, &venues, &mut stream("rights"))),
        guests,
        faults: {
            let mut faults = faults(scenario, venues.len(), duration_ms, &mut stream("faults"));
            let mishaps = mishaps::draw(&scenario.faults, venues.len(), &mut stream("mishaps"));
            let mut at = stream("mishap times");
            faults.extend(mishaps.into_iter().map(|kind| Fault { at_ms: at.within(1..=duration_ms), kind }));
            if let Some(rest) = &scenario.rest {
                faults.extend(mishaps::after_rest(rest, venues.len(), &mut stream("rest")));
            }
            faults.sort_by_key(|fault| fault.at_ms);
            faults
        },
        venues,
    }
}

/// Some of the accounts, at least one of them.
fn sees(count: Span, venues: &[VenuePlan], draw: &mut Draw) -> Vec<String> {
    let links = venues.iter().flat_map(|venue| &venue.accounts).map(|account| account.id.clone());
    let mut accounts: Vec<String> = std::iter::once(PAPER.to_owned()).chain(links).collect();
    let count = usize::try_from(count.draw(draw).max(1)).unwrap_or(usize::MAX);
    while accounts.len() > count {
        let last = accounts.len() as u64 - 1;
        accounts.remove(draw.within(0..=last) as usize);
    }
    accounts
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
