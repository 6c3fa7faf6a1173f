//! Carries out a plan's fault schedule.

mod rot;

use crate::{
    plan::{Fault, FaultKind},
    runtime::Clock,
    trace::{Kind, Node},
    world::{DYING, Machine, World},
};
use madsim::{task::JoinHandle, time::sleep};
use std::{sync::Arc, time::Duration};

const MILLI: Duration = Duration::from_millis(1);
const MILLI_NS: i64 = 1_000_000;
/// How long a crash waits for a commit to strike.
const COMMIT_WAIT_MS: usize = 1_500;

/// Carries out the faults, each at its time. Returns when all have passed.
pub async fn carry_out(world: Arc<World>, faults: Vec<Fault>, clock: Clock) {
    let mut passing = Vec::new();
    for Fault { at_ms, kind } in faults {
        let at = Duration::from_millis(at_ms);
        let now = Duration::from_nanos(clock.elapsed_ns());
        if let Some(wait) = at.checked_sub(now).filter(|wait| !wait.is_zero()) {
            sleep(wait).await;
        }
        strike(&world, kind, &mut passing).await;
    }
    for fault in passing {
        let _ = fault.await; // it cannot fail: it only waits
    }
}

/// Faults that are not over yet.
type Passing = Vec<JoinHandle<()>>;

async fn strike(world: &Arc<World>, kind: FaultKind, passing: &mut Passing) {
    let mut until = |for_ms: u64, over: Box<dyn FnOnce(&World) + Send>| {
        let world = world.clone();
        passing.push(madsim::task::spawn(async move {
            sleep(Duration::from_millis(for_ms)).await;
            over(&world);
        }));
    };
    match kind {
        FaultKind::Crash { inside_commit } => crash(world, world.gateway(), inside_commit).await,
        FaultKind::VenueCrash { venue, inside_commit } => {
            crash(world, &world.venues()[venue], inside_commit).await;
        }
        FaultKind::Off { machine, for_ms } => {
            let machine = world.machine(machine);
            world.power_off(machine);
            sleep(DYING).await;
            world.coverage.mark("slow_start");
            sleep(Duration::from_millis(for_ms)).await;
            world.power_on(machine);
        }
        FaultKind::CrashLoop { machine, times, every_ms } => {
            world.coverage.mark("crash_loop");
            for _ in 0..times {
                world.crash(world.machine(machine)).await;
                sleep(Duration::from_millis(every_ms)).await;
            }
        }
        FaultKind::BitFlip { machine, .. } | FaultKind::FileLost { machine, .. } => {
            let machine = world.machine(machine);
            world.power_off(machine);
            sleep(DYING).await;
            rot::strike(world, machine, kind);
            world.power_on(machine);
        }
        FaultKind::Drop { client } => {
            world.drop_connection(client);
            receipt(world, kind);
        }
        FaultKind::Clog { client, to_client, to_gateway, for_ms } => {
            world.clog(client, to_client, to_gateway);
            took_effect(world, kind, "link_clogged");
            until(for_ms, Box::new(move |world| world.unclog(client)));
        }
        FaultKind::VenueClog { venue, to_venue, to_gateway, for_ms } => {
            world.clog_venue(&world.venues()[venue], to_venue, to_gateway);
            took_effect(world, kind, "venue_clogged");
            until(for_ms, Box::new(move |world| world.unclog_venue(&world.venues()[venue])));
        }
        FaultKind::Revoke { client, back_after_ms } => {
            let world = world.clone();
            passing.push(madsim::task::spawn(async move {
                if world.revoke(client).await {
                    sleep(Duration::from_millis(back_after_ms)).await;
                    world.renew(client).await;
                }
            }));
        }
        FaultKind::Partition { for_ms } => {
            world.partition(true);
            took_effect(world, kind, "partitioned");
            until(for_ms, Box::new(|world| world.partition(false)));
        }
        FaultKind::Lag { by_ms, for_ms } => {
            world.lag(by_ms);
            took_effect(world, kind, "network_lagged");
            until(for_ms, Box::new(|world| world.lag(0)));
        }
        FaultKind::VenuePause { venue, for_ms } => {
            world.pause(&world.venues()[venue]);
            took_effect(world, kind, "venue_paused");
            until(for_ms, Box::new(move |world| world.resume(&world.venues()[venue])));
        }
        FaultKind::Pause { for_ms } => {
            world.pause(world.gateway());
            took_effect(world, kind, "gateway_paused");
            until(for_ms, Box::new(|world| world.resume(world.gateway())));
        }
        FaultKind::ClockJump { machine, by_ms, for_ms } => {
            world.machine(machine).clock.jump(by_ms * MILLI_NS);
            took_effect(world, kind, "clock_jumped");
            until(for_ms, Box::new(move |world| world.machine(machine).clock.jump(-by_ms * MILLI_NS)));
        }
        FaultKind::ClockDrift { machine, ppm, for_ms } => {
            world.machine(machine).clock.drift(ppm);
            took_effect(world, kind, "clock_drifted");
            until(for_ms, Box::new(move |world| world.machine(machine).clock.drift(0)));
        }
        // what a disk or a market suffers tells of itself when it meets somebody
        FaultKind::DiskFull { machine, for_ms } => {
            world.machine(machine).disk.set_full(true);
            until(for_ms, Box::new(move |world| world.machine(machine).disk.set_full(false)));
        }
        FaultKind::SyncFails { machine, count } => world.machine(machine).disk.fail_syncs(count),
        FaultKind::DiskSlow { machine, sync_ms, for_ms } => {
            world.machine(machine).disk.slow_down(Some(sync_ms));
            until(for_ms, Box::new(move |world| world.machine(machine).disk.slow_down(None)));
        }
        FaultKind::Market { machine, event, for_ms } => world.machine(machine).market.befall(event, for_ms),
    }
}

async fn crash(world: &World, machine: &Machine, inside_commit: bool) {
    if inside_commit {
        await_commit(machine).await;
    }
    world.crash(machine).await;
}

async fn await_commit(machine: &Machine) {
    for _ in 0..COMMIT_WAIT_MS {
        if machine.disk.is_committing() {
            return;
        }
        sleep(MILLI).await;
    }
}

fn took_effect(world: &World, kind: FaultKind, mark: &str) {
    world.coverage.mark(mark);
    receipt(world, kind);
}

fn receipt(world: &World, kind: FaultKind) {
    let body = serde_json::to_string(&kind).expect("plans are data");
    world.tracer.record(Node::World, Kind::Fault, &body);
}
