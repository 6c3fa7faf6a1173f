//! DT04, the simulated gateway: the same month, the same bodies of events as the backtest's. (The
//! live process's part is a test of the package `lockstep`.)

#[path = "../../tests/support/data.rs"]
mod data;
#[path = "../../tests/support/recorded_month.rs"]
mod recorded_month;

use lockstep::{
    domain::id::Symbol,
    node::{
        clock::Speed,
        config::{FeedSpec, ReplaySpec},
    },
    serve::ServeOptions,
};
use lockstep_sim::recording::run_recording;
use recorded_month::{SYMBOL, Told, by_backtest, file_config, files, strategy};
use std::{
    path::Path,
    sync::{Arc, Mutex},
};

#[test]
fn dt04_backtest_and_simulated_gateway_tell_the_same_over_gbpusd_2012_02() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let Some(folder) = data::data_folder(&repository) else { return };
    let [bids, asks] = files(&folder);
    let expected = by_backtest(&bids, &asks);
    let symbol = Some(Symbol::new(SYMBOL).expect("a symbol"));
    let options = ServeOptions {
        bind: "10.0.0.1:18789".to_owned(),
        insecure: true,
        feed: FeedSpec::Replay(ReplaySpec { files: vec![bids], ask: Some(asks), symbol, zone: None }),
        speed: Speed::Max,
        strategies: vec![strategy()],
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
