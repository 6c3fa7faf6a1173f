//! Carries out a plan's fault schedule.

use crate::{
    plan::{Fault, FaultKind},
    runtime::Clock,
    trace::{Kind, Node},
    world::{Machine, World},
};
use madsim::time::sleep;
use std::{sync::Arc, time::Duration};

const MILLI: Duration = Duration::from_millis(1);
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
        match kind {
            FaultKind::Crash { inside_commit } => {
                crash(&world, world.gateway(), inside_commit).await;
            }
            FaultKind::VenueCrash { venue, inside_commit } => {
                crash(&world, &world.venues()[venue], inside_commit).await;
            }
            FaultKind::Drop { client } => {
                world.drop_connection(client);
                receipt(&world, kind);
            }
            FaultKind::Clog { client, to_client, to_gateway, for_ms } => {
                world.clog(client, to_client, to_gateway);
                world.coverage.mark("link_clogged");
                receipt(&world, kind);
                let world = world.clone();
                passing.push(madsim::task::spawn(async move {
                    sleep(Duration::from_millis(for_ms)).await;
                    world.unclog(client);
                }));
            }
            FaultKind::VenueClog { venue, to_venue, to_gateway, for_ms } => {
                world.clog_venue(&world.venues()[venue], to_venue, to_gateway);
                world.coverage.mark("venue_clogged");
                receipt(&world, kind);
                let world = world.clone();
                passing.push(madsim::task::spawn(async move {
                    sleep(Duration::from_millis(for_ms)).await;
                    world.unclog_venue(&world.venues()[venue]);
                }));
            }
            FaultKind::VenuePause { venue, for_ms } => {
                world.pause(&world.venues()[venue]);
                world.coverage.mark("venue_paused");
                receipt(&world, kind);
                let world = world.clone();
                passing.push(madsim::task::spawn(async move {
                    sleep(Duration::from_millis(for_ms)).await;
                    world.resume(&world.venues()[venue]);
                }));
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
        }
    }
    for fault in passing {
        let _ = fault.await; // it cannot fail: it only waits
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

fn receipt(world: &World, kind: FaultKind) {
    let body = serde_json::to_string(&kind).expect("plans are data");
    world.tracer.record(Node::World, Kind::Fault, &body);
}
