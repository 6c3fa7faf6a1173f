//! DT04, the simulated gateway: the same recordings, the same bodies of events as the backtest's. (The
//! live process's part is a test of the package `lockstep`.)

#[path = "../../tests/support/data.rs"]
mod data;
#[path = "../../tests/support/recordings.rs"]
mod recordings;

use lockstep::{
    node::{
        clock::Speed,
        config::{FeedSpec, ReplaySpec},
    },
    serve::ServeOptions,
};
use lockstep_sim::recording::run_recording;
use recordings::{Told, bars_of_gbpusd, by_backtest, file_config, strategy, ticks_of_eurusd};
use std::{
    path::Path,
    sync::{Arc, Mutex},
};

fn check(recording: fn(&Path) -> ReplaySpec) {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let Some(folder) = data::data_folder(&repository) else { return };
    let recording = recording(&folder);
    let expected = by_backtest(&recording);
    let options = ServeOptions {
        bind: "10.0.0.1:18789".to_owned(),
        insecure: true,
        strategies: vec![strategy(&recording)],
        feed: FeedSpec::Replay(recording),
        speed: Speed::Max,
        ..ServeOptions::from(file_config())
    };
    let told = Arc::new(Mutex::new(Told::default()));
    let hearing = told.clone();
    run_recording(1, options, Box::new(move |out| hearing.lock().expect("no panic").hear(out)))
        .expect("the gateway runs to the end of the data");
    let told = told.lock().expect("no panic");
    expected.assert_same(&told.events);
    for (expected, told) in expected.ledger.iter().zip(&told.ledger) {
        assert_eq!(expected, told);
    }
    assert_eq!(expected.ledger.len(), told.ledger.len());
}

#[test]
fn dt04_backtest_and_simulated_gateway_tell_the_same_over_bars_of_gbpusd() {
    check(bars_of_gbpusd);
}

#[test]
fn dt04_backtest_and_simulated_gateway_tell_the_same_over_ticks_of_eurusd() {
    check(ticks_of_eurusd);
}
