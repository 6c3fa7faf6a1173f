//! DT04: one recording, the same bodies of events from the backtest and from the live gateway's
//! process. (The simulated gateway's part of the comparison is a test of the package `sim`.)

use crate::support::{
    client::Client,
    data_folder,
    process::Gateway,
    recordings::{
        Body, CONFIG, PARAMS, STOP_LOSS_PIPS, TAKE_PROFIT_PIPS, bars_of_gbpusd, by_backtest, is_compared,
        ticks_of_eurusd,
    },
};
use lockstep::node::config::ReplaySpec;
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use std::{fs, time::Duration};

#[derive(Deserialize)]
struct EventFrame<'a> {
    event: String,
    cursor: Option<Value>,
    #[serde(borrow)]
    payload: &'a RawValue,
}

/// The same from the live process, as a client reads them off the wire.
async fn by_gateway(recording: &ReplaySpec) -> (Vec<Body>, String) {
    let place = tempfile::tempdir().expect("a temporary folder");
    let file = place.path().join("lockstep.toml");
    fs::write(&file, CONFIG).expect("a writable folder");
    let feed = feed_argument(recording);
    let symbol = recording.symbol.as_ref().expect("recordings here name theirs");
    let params = PARAMS.map(|(key, value)| format!("{key}={value}"));
    let (loss, profit) = (format!("{STOP_LOSS_PIPS}pips"), format!("{TAKE_PROFIT_PIPS}pips"));
    let gateway = Gateway::start(
        &place.path().join("data"),
        &[
            "--config",
            file.to_str().expect("a UTF-8 path"),
            "--feed",
            &feed,
            "--speed",
            "max",
            "--strategy",
            "sma_cross",
            "--symbol",
            symbol.as_str(),
            "--volume",
            "0.1",
            "--param",
            &params[0],
            "--param",
            &params[1],
            "--stop-loss",
            &loss,
            "--take-profit",
            &profit,
        ],
    );
    let mut operator = gateway.operator().await;
    let status = feed_has_ended(&mut operator).await;
    let account = operator.call("accounts.get", json!({ "accountId": "dt04" })).await.expect("the account");
    let balance = account["balance"].as_str().expect("a decimal").to_owned();

    let mut cursor = status["head"].clone();
    let head = cursor["offset"].as_u64().expect("a cursor");
    cursor["offset"] = 0.into();
    let mut client =
        Client::resume(gateway.address(), &gateway.token(), Some(&cursor)).await.expect("a good cursor");
    assert!(client.events.is_empty(), "the response comes before what is resumed");
    let (mut bodies, mut last) = (Vec::new(), 0);
    while last < head {
        let text = client.next_text().await.expect("the log up to its head");
        let frame: EventFrame<'_> = serde_json::from_str(&text).expect("an event");
        let Some(cursor) = frame.cursor else { continue };
        last = cursor["offset"].as_u64().expect("a cursor");
        if is_compared(&frame.event) {
            bodies.push((frame.event, frame.payload.get().to_owned()));
        }
    }
    assert!(gateway.terminate().await.success());
    (bodies, balance)
}

fn feed_argument(recording: &ReplaySpec) -> String {
    let files: Vec<_> = recording.files.iter().map(|file| file.display().to_string()).collect();
    let mut text = format!("replay:{}", files.join(","));
    for (key, value) in [
        ("ask", recording.ask.as_ref().map(|file| file.display().to_string())),
        ("symbol", recording.symbol.as_ref().map(ToString::to_string)),
        ("tz", recording.zone.clone()),
    ] {
        if let Some(value) = value {
            text.push_str(&format!(",{key}={value}"));
        }
    }
    text
}

async fn feed_has_ended(client: &mut Client) -> Value {
    for _ in 0..1_200 {
        let status = client.call("gateway.status", json!({})).await.expect("a status");
        match status["subsystems"]["feed"]["state"].as_str() {
            Some("ended") => return status,
            Some("replaying") => tokio::time::sleep(Duration::from_millis(50)).await,
            other => panic!("the feed is {other:?}: {status}"),
        }
    }
    panic!("the replay did not end within a minute");
}

async fn check(recording: &ReplaySpec) {
    let expected = by_backtest(recording);
    let (live, balance) = by_gateway(recording).await;
    expected.assert_same(&live);
    let last: Value = serde_json::from_str(expected.ledger.last().expect("postings")).expect("JSON");
    assert_eq!(last["balanceAfter"], balance);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dt04_backtest_and_live_gateway_tell_the_same_over_bars_of_gbpusd() {
    let Some(folder) = data_folder() else { return };
    check(&bars_of_gbpusd(&folder)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dt04_backtest_and_live_gateway_tell_the_same_over_ticks_of_eurusd() {
    let Some(folder) = data_folder() else { return };
    check(&ticks_of_eurusd(&folder)).await;
}
