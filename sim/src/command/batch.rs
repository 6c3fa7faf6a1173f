//! Many worlds on several threads.

use super::WORLD_LIMIT;
use crate::{
    plan::{Plan, plan},
    run::{Report, run},
    scenario::Scenario,
};
use std::{
    ops::Range,
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
};

/// Runs every scenario with every seed and hands each report to `each`, in order of completion. A
/// failure stops nothing.
pub fn run_all(scenarios: &[Scenario], seeds: Range<u64>, jobs: usize, mut each: impl FnMut(&Plan, Report)) {
    // Seeds first, so that a sweep that is broken off has seen every scenario.
    let worlds: Vec<(u64, &Scenario)> =
        seeds.flat_map(|seed| scenarios.iter().map(move |scenario| (seed, scenario))).collect();
    let next = AtomicUsize::new(0);
    let (send, receive) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            let send = send.clone();
            let (worlds, next) = (&worlds, &next);
            scope.spawn(move || {
                while let Some((seed, scenario)) = worlds.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let plan = plan(*seed, scenario);
                    let report = run(&plan, WORLD_LIMIT);
                    if send.send((plan, report)).is_err() {
                        return; // the receiver panicked
                    }
                }
            });
        }
        drop(send);
        for (plan, report) in receive {
            each(&plan, report);
        }
    });
}
