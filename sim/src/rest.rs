//! A rest: over a weekend clients are away and machines idle or off, so that a world lasts for days and costs
//! no more than the minutes on either side. What a plan says is due is due without counting the rest.

use crate::{
    plan::{Plan, Rest},
    runtime::Clock,
    world::{DYING, World},
};
use madsim::time::sleep;
use std::{sync::Arc, time::Duration};

impl Rest {
    /// When something happens that is due at this instant of the time in which nobody rests.
    pub const fn after(self, at_ms: u64) -> u64 {
        if at_ms < self.at_ms { at_ms } else { at_ms.saturating_add(self.for_ms) }
    }

    /// From when to when, in nanoseconds since the world began.
    pub const fn window_ns(self) -> (u64, u64) {
        const MILLI_NS: u64 = 1_000_000;
        let from_ms = self.at_ms;
        (from_ms.saturating_mul(MILLI_NS), from_ms.saturating_add(self.for_ms).saturating_mul(MILLI_NS))
    }
}

/// The plan with the times at which things happen.
pub fn with_rest(plan: &Plan) -> Plan {
    let mut plan = plan.clone();
    let Some(rest) = plan.rest else { return plan };
    let steps = plan.operator.iter_mut().chain(&mut plan.viewer).map(|step| &mut step.at_ms);
    let faults = plan.faults.iter_mut().map(|fault| &mut fault.at_ms);
    steps.chain(plan.guests.times()).chain(faults).for_each(|at_ms| *at_ms = rest.after(*at_ms));
    plan.duration_ms = rest.after(plan.duration_ms);
    plan
}

/// Takes the power from all machines for as long as the rest lasts, if it is to be taken.
pub async fn carry_out(world: Arc<World>, rest: Rest, clock: Clock) {
    let (from_ns, to_ns) = rest.window_ns();
    let until = |at_ns: u64| Duration::from_nanos(at_ns.saturating_sub(clock.elapsed_ns()));
    sleep(until(from_ns)).await;
    world.coverage.mark("rested");
    if !rest.machines_off {
        return;
    }
    switch_off(&world).await;
    sleep(until(to_ns)).await;
    // one that lost power just before may have started again meanwhile
    switch_off(&world).await;
    for machine in world.machines() {
        world.power_on(machine);
    }
}

async fn switch_off(world: &World) {
    for machine in world.machines() {
        world.power_off(machine);
    }
    world.coverage.mark("rested_without_power");
    sleep(DYING).await;
}
