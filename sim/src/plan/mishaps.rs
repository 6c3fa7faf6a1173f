//! Which mishaps of processes, networks, clocks, disks and markets a world has.

use super::{Fault, FaultKind, Machine, MarketEvent};
use crate::{
    draw::Draw,
    scenario::{ClockMishap, Faults, Lasting, MarketMishap, RestMix, Span},
};

/// Each kind is off in some seeds, so that one mishap cannot always mask another.
const OFF_PERMILLE: u64 = 200;
/// How often a mishap is the gateway's where there are venues.
const GATEWAY_PERMILLE: u64 = 600;

/// The mishaps, in no order.
pub(super) fn draw(kinds: &Faults, venues: usize, draw: &mut Draw) -> Vec<FaultKind> {
    let mut found = Vec::new();
    let mut lasting =
        |kind: &Option<Lasting>, draw: &mut Draw, make: &dyn Fn(&mut Draw, u64) -> FaultKind| {
            let Some(Lasting { count, for_ms }) = kind else { return };
            for _ in 0..how_many(*count, draw) {
                let for_ms = for_ms.draw(draw);
                found.push(make(draw, for_ms));
            }
        };
    let machine = |draw: &mut Draw| machine(venues, draw);
    lasting(&kinds.pause, draw, &|_, for_ms| FaultKind::Pause { for_ms });
    lasting(&kinds.off, draw, &|draw, for_ms| FaultKind::Off { machine: machine(draw), for_ms });
    lasting(&kinds.partition, draw, &|_, for_ms| FaultKind::Partition { for_ms });
    lasting(&kinds.disk_full, draw, &|draw, for_ms| FaultKind::DiskFull { machine: machine(draw), for_ms });
    if let Some(lag) = &kinds.lag {
        for _ in 0..how_many(lag.count, draw) {
            found.push(FaultKind::Lag { by_ms: lag.by_ms.draw(draw), for_ms: lag.for_ms.draw(draw) });
        }
    }
    if let Some(mishap) = &kinds.crash_loop {
        for _ in 0..how_many(mishap.count, draw) {
            let (times, every_ms) = (mishap.times.draw(draw), mishap.every_ms.draw(draw));
            found.push(FaultKind::CrashLoop { machine: machine(draw), times, every_ms });
        }
    }
    if let Some(mishap) = &kinds.disk_slow {
        for _ in 0..how_many(mishap.count, draw) {
            let (sync_ms, for_ms) = (mishap.by_ms.draw(draw), mishap.for_ms.draw(draw));
            found.push(FaultKind::DiskSlow { machine: machine(draw), sync_ms, for_ms });
        }
    }
    if let Some(mishap) = &kinds.sync_fails {
        for _ in 0..how_many(mishap.count, draw) {
            found.push(FaultKind::SyncFails { machine: machine(draw), count: mishap.syncs.draw(draw) });
        }
    }
    for (kind, is_flip) in [(&kinds.bit_flip, true), (&kinds.file_lost, false)] {
        let Some(kind) = kind else { continue };
        for _ in 0..how_many(kind.count, draw) {
            let (machine, pick) = (machine(draw), draw.number());
            found.push(if is_flip {
                FaultKind::BitFlip { machine, pick }
            } else {
                FaultKind::FileLost { machine, pick }
            });
        }
    }
    if let Some(mishap) = &kinds.clock {
        found.extend(clock(mishap, venues, draw));
    }
    if let Some(mishap) = &kinds.market {
        found.extend(market(mishap, venues, draw));
    }
    found
}

/// Where each machine's prices are when it comes back from a rest: elsewhere for good.
pub(super) fn after_rest(rest: &RestMix, venues: usize, draw: &mut Draw) -> Vec<Fault> {
    const FOR_MS: u64 = 3_600_000;
    let permille = either_way(rest.gap_permille.draw(draw), draw);
    let event = MarketEvent::Jump { permille };
    let machines = std::iter::once(Machine::Gateway).chain((0..venues).map(Machine::Venue));
    machines
        .map(|machine| Fault {
            at_ms: rest.after_s * 1_000,
            kind: FaultKind::Market { machine, event, for_ms: FOR_MS },
        })
        .collect()
}

fn how_many(count: Span, draw: &mut Draw) -> u64 {
    if draw.chance(OFF_PERMILLE) { 0 } else { count.draw(draw) }
}

fn machine(venues: usize, draw: &mut Draw) -> Machine {
    if venues == 0 || draw.chance(GATEWAY_PERMILLE) {
        return Machine::Gateway;
    }
    Machine::Venue(draw.within(0..=venues as u64 - 1) as usize)
}

fn either_way(amount: u64, draw: &mut Draw) -> i64 {
    let amount = i64::try_from(amount).expect("scenarios are checked");
    if draw.chance(500) { amount } else { -amount }
}

fn clock(mishap: &ClockMishap, venues: usize, draw: &mut Draw) -> Vec<FaultKind> {
    let mut found = Vec::new();
    for _ in 0..how_many(mishap.jumps, draw) {
        let machine = machine(venues, draw);
        let by_ms = either_way(mishap.by_ms.draw(draw), draw);
        found.push(FaultKind::ClockJump { machine, by_ms, for_ms: mishap.for_ms.draw(draw) });
    }
    for _ in 0..how_many(mishap.drifts, draw) {
        let machine = machine(venues, draw);
        let ppm = either_way(mishap.ppm.draw(draw), draw);
        found.push(FaultKind::ClockDrift { machine, ppm, for_ms: mishap.for_ms.draw(draw) });
    }
    found
}

fn market(mishap: &MarketMishap, venues: usize, draw: &mut Draw) -> Vec<FaultKind> {
    let mut found = Vec::new();
    let mut add = |count: Span, draw: &mut Draw, event: &dyn Fn(&mut Draw) -> MarketEvent| {
        for _ in 0..how_many(count, draw) {
            let machine = machine(venues, draw);
            let event = event(draw);
            found.push(FaultKind::Market { machine, event, for_ms: mishap.for_ms.draw(draw) });
        }
    };
    let jump = |draw: &mut Draw| MarketEvent::Jump { permille: either_way(mishap.permille.draw(draw), draw) };
    let wide = |draw: &mut Draw| MarketEvent::Wide { times: draw.within(2..=60) as i64 };
    add(mishap.gaps, draw, &|_| MarketEvent::Gap);
    add(mishap.jumps, draw, &jump);
    add(mishap.wide, draw, &wide);
    add(mishap.crossed, draw, &|_| MarketEvent::Crossed);
    found
}
