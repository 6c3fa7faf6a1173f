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

/// One part of several equal ones; all of them together are the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// From 1.
    pub number: usize,
    pub of: usize,
}

impl Shard {
    /// Reads `I/N`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a part such as 1/4: the first of four");
        let (number, of) = text.split_once('/').ok_or_else(wrong)?;
        let shard =
            Self { number: number.parse().map_err(|_| wrong())?, of: of.parse().map_err(|_| wrong())? };
        if (1..=shard.of).contains(&shard.number) { Ok(shard) } else { Err(wrong()) }
    }
}

/// How worlds are run.
pub struct Batch<'a> {
    /// At a time.
    pub jobs: usize,
    /// Of all of them, only these.
    pub shard: Option<Shard>,
    /// Whether another may begin.
    pub goes_on: &'a (dyn Fn() -> bool + Sync),
}

/// Runs every scenario with every seed and hands each report to `each`, in order of completion. A
/// failure stops nothing.
pub fn run_all(
    scenarios: &[Scenario],
    seeds: Range<u64>,
    batch: &Batch<'_>,
    mut each: impl FnMut(&Plan, Report),
) {
    // Seeds first, so that a sweep that is broken off has seen every scenario.
    let worlds: Vec<(u64, &Scenario)> =
        seeds.flat_map(|seed| scenarios.iter().map(move |scenario| (seed, scenario))).collect();
    let Batch { jobs, shard, goes_on } = *batch;
    let ours = |place: usize| shard.is_none_or(|shard| place % shard.of + 1 == shard.number);
    let worlds: Vec<(u64, &Scenario)> =
        worlds.into_iter().enumerate().filter(|(place, _)| ours(*place)).map(|(_, world)| world).collect();
    let next = AtomicUsize::new(0);
    let (send, receive) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            let send = send.clone();
            let (worlds, next) = (&worlds, &next);
            scope.spawn(move || {
                while goes_on()
                    && let Some((seed, scenario)) = worlds.get(next.fetch_add(1, Ordering::Relaxed))
                {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_has_a_number_of_those_that_there_are() {
        assert_eq!(Shard::parse("2/3"), Ok(Shard { number: 2, of: 3 }));
        for wrong in ["0/3", "4/3", "1/0", "1", "/", "a/b", "-1/2", ""] {
            assert!(Shard::parse(wrong).is_err(), "{wrong}");
        }
    }
}
