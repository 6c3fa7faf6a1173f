//! DT04: one file of quotes, the same bodies of events from the backtest and from the live gateway's
//! process. (The simulated gateway's part of the comparison is a test of the package `sim`.)

use crate::support::{client::Client, data_folder, process::Gateway};
use lockstep::{
    backtest::run_watched,
    domain::{
        config::{Config, StrategyConfig},
        id::Symbol,
        instrument::InstrumentId,
        market::Timeframe,
        order::Stop,
    },
    node::config::FileConfig,
    quotes::{BarOptions, CsvBars, OffGrid, Source},
};
use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use std::{fs, path::Path, time::Duration};

/// For both drivers.
const CONFIG: &str = r#"
[risk]
max_daily_loss = "60"

[[accounts]]
id = "dt04"
commission_per_lot = "7"
"#;
const PARAMS: [(&str, &str); 2] = [("fast", "10"), ("slow", "20")];
const STOP_LOSS_PIPS: i64 = 20;
const TAKE_PROFIT_PIPS: i64 = 40;
const TICKS_PER_PIP: i64 = 10;

/// Name and payload, the payload to the byte.
type Body = (String, String);

/// What the comparison leaves out: the gateway's own life, and the link of its accounts.
fn is_compared(name: &str) -> bool {
    !matches!(name, "event.gateway.status" | "event.account.status")
}

fn config() -> Config {
    let file = FileConfig::parse("lockstep.toml", CONFIG, &|_| None).expect("a configuration");
    let strategy = StrategyConfig {
        name: "sma_cross".to_owned(),
        params: PARAMS.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        account: file.accounts[0].id.clone(),
        symbol: Symbol::new("GBPUSD").expect("a symbol"),
        timeframe: Timeframe::M1,
        volume: Decimal::new(1, 1),
        stop_loss: Some(Stop::Ticks(STOP_LOSS_PIPS * TICKS_PER_PIP)),
        take_profit: Some(Stop::Ticks(TAKE_PROFIT_PIPS * TICKS_PER_PIP)),
    };
    file.to_config(vec![strategy], false)
}

/// The events of the backtest, and the balance in the end.
fn by_backtest(bids: &Path, asks: &Path) -> (Vec<Body>, String) {
    let config = config();
    let id = config.instruments.iter().position(|i| i.symbol.as_str() == "GBPUSD").expect("built in");
    let options = BarOptions {
        instrument: config.instruments[id].clone(),
        id: InstrumentId(id as u16),
        zone: None,
        off_grid: OffGrid::default(),
        timeframe: None,
    };
    let open = |path| Source::open(path).expect("a readable file");
    let mut bars = CsvBars::new(open(bids), Some(open(asks)), options).expect("good data");
    let (mut bodies, mut balance) = (Vec::new(), String::new());
    run_watched(config, &mut bars, &mut |out| {
        for event in out.events.iter().filter(|event| is_compared(event.name())) {
            let payload = String::from_utf8(event.payload()).expect("payloads are JSON");
            bodies.push((event.name().to_owned(), payload));
        }
        if let Some(entry) = out.ledger.last() {
            balance = entry.balance_after.to_string();
        }
    })
    .expect("good data");
    (bodies, balance)
}

#[derive(Deserialize)]
struct EventFrame<'a> {
    event: String,
    cursor: Option<Value>,
    #[serde(borrow)]
    payload: &'a RawValue,
}

/// The same from the live process, as a client reads them off the wire.
async fn by_gateway(bids: &Path, asks: &Path) -> (Vec<Body>, String) {
    let place = tempfile::tempdir().expect("a temporary folder");
    let file = place.path().join("lockstep.toml");
    fs::write(&file, CONFIG).expect("a writable folder");
    let feed = format!("replay:{},ask={},symbol=GBPUSD", bids.display(), asks.display());
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
            "GBPUSD",
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dt04_backtest_and_live_gateway_tell_the_same_over_gbpusd_2012_02() {
    let Some(folder) = data_folder() else { return };
    let [bids, asks] = ["bid", "ask"].map(|side| folder.join(format!("GBPUSD_M1_2012-02_{side}.csv.gz")));
    let (expected, balance) = by_backtest(&bids, &asks);
    let (live, live_balance) = by_gateway(&bids, &asks).await;
    for name in ["event.trade.intent", "event.trade.executed", "event.trade.closed", "event.risk.alert"] {
        assert!(expected.iter().any(|(found, _)| found == name), "the month has no {name}");
    }
    for (number, (expected, live)) in expected.iter().zip(&live).enumerate() {
        assert_eq!(expected, live, "event {number}");
    }
    assert_eq!(live.len(), expected.len());
    assert_eq!(live_balance, balance);
}
