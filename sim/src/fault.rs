//! Carries out a plan's fault schedule.

use crate::{
    plan::{Fault, FaultKind},
    runtime::Clock,
    trace::{Kind, Node},
    world::World,
};
use madsim::time::sleep;
use std::{sync::Arc, time::Duration};

const MILLI: Duration = Duration::from_millis(1);
/// How long a crash waits for a commit to strike.
const COMMIT_WAIT_MS: usize = 1_500;

/// Carries out the faults, each at its time. Returns when all have passed.
pub async fn carry_out(world: Arc<World>, faults: Vec<Fault>, clock: Clock) {
    let mut clogs = Vec::new();
    for Fault { at_ms, kind } in faults {
        let at = Duration::from_millis(at_ms);
        let now = Duration::from_nanos(clock.elapsed_ns());
        if let Some(wait) = at.checked_sub(now).filter(|wait| !wait.is_zero()) {
            sleep(wait).await;
        }
        match kind {
            FaultKind::Crash { inside_commit } => {
                if inside_commit {
                    await_commit(&world).await;
                }
                world.crash().await;
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
                clogs.push(madsim::task::spawn(async move {
                    sleep(Duration::from_millis(for_ms)).await;
                    world.unclog(client);
                }));
            }
        }
    }
    for clog in clogs {
        let _ = clog.await; // it cannot fail: it only waits
    }
}

async fn await_commit(world: &World) {
    for _ in 0..COMMIT_WAIT_MS {
        if world.disk.is_committing() {
            return;
        }
        sleep(MILLI).await;
    }
}

fn receipt(world: &World, kind: FaultKind) {
    let body = serde_json::to_string(&kind).expect("plans are data");
    world.tracer.record(Node::World, Kind::Fault, &body);
}
