//! Simulated worlds per second on one core, over the mix of all scenarios, a new seed each time.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lockstep_sim::{outcome::Outcome, plan::plan, run::run, scenario};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

fn worlds(c: &mut Criterion) {
    let scenarios = scenario::all(&scenario::folder(None)).expect("the repository's scenarios");
    let mut seed = 0;
    let mut group = c.benchmark_group("sim");
    group.throughput(Throughput::Elements(scenarios.len() as u64)).sample_size(10);
    group.bench_function("one world of each scenario", |b| {
        b.iter(|| {
            for scenario in &scenarios {
                let report = run(&plan(seed, scenario), LIMIT);
                assert_eq!(report.outcome, Outcome::Ok, "{} seed {seed}", scenario.name);
            }
            seed += 1;
        });
    });
    group.finish();
}

criterion_group!(benches, worlds);
criterion_main!(benches);
