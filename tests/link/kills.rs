//! A gateway and its venue, killed at any moment under order flow: after healing both agree.

use super::harness::{At, Place, await_status};
use crate::support::{
    client::{CallError, Client},
    process::{Gateway, lockstep},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

const KILLS_EACH: usize = 10;
const ACCOUNTS: [&str; 2] = ["demo-1", "demo-2"];

fn start_gateway(place: &Place, venue: &Gateway) -> Gateway {
    let (address, token) = (venue.address(), venue.token());
    let at = |id, login| At { id, address, login, token: &token };
    let config = place.configure(&[at(ACCOUNTS[0], "book-1"), at(ACCOUNTS[1], "book-2")]);
    let feed = format!("venue:{address},token-file={}", place.path("venue/operator.token").display());
    place.gateway(&config, &["--feed", &feed])
}

fn start_venue(place: &Place, bind: &str) -> Gateway {
    let config = place.path("venue.toml");
    let books = ["book-1", "book-2"].map(|id| {
        format!("[[accounts]]\nid = \"{id}\"\ndeposit = \"1000000\"\ncommission_per_lot = \"7\"\n")
    });
    std::fs::write(&config, books.join("\n")).expect("a writable folder");
    let config = config.to_str().expect("a UTF-8 path").to_owned();
    Gateway::start_venue(bind, &place.path("venue"), &["--config", &config])
}

/// Where the gateway is at the moment, and with which token.
type Whereabouts = Arc<Mutex<(String, String)>>;

/// What all traders share.
#[derive(Clone)]
struct Desk {
    gateway: Whereabouts,
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    /// Client order ids that were acknowledged, with their orders.
    told: Arc<Mutex<BTreeMap<String, Value>>>,
}

/// Trades until it is told to stop, whoever dies meanwhile.
async fn trade(desk: Desk, account: &'static str, trader: usize) {
    let mut n = 0;
    while !desk.stop.load(Ordering::SeqCst) {
        let (address, token) = desk.gateway.lock().expect("no panic").clone();
        let Ok(mut client) = Client::connect(&address, &token).await else {
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        };
        while !desk.stop.load(Ordering::SeqCst) {
            n += 1;
            let name = format!("{account}-{trader}-{n}");
            match step(&desk, &mut client, account, &name, n).await {
                Err(CallError::Lost(_)) => break,
                Err(CallError::Refused(_)) => tokio::time::sleep(Duration::from_millis(5)).await,
                Ok(()) => drop(desk.answered.fetch_add(1, Ordering::SeqCst)),
            }
        }
    }
}

/// In turn: a market order, a resting one, a change of it, its cancel, a close.
async fn step(
    desk: &Desk,
    client: &mut Client,
    account: &str,
    name: &str,
    n: usize,
) -> Result<(), CallError> {
    let order = |more: Value| {
        let mut params = json!({"accountId": account, "symbol": "BTCUSD", "side": "buy", "volume": "0.02",
            "clientOrderId": name, "idempotencyKey": name});
        params.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        params
    };
    let mine = |view: &Value, list: &str, key: &str| view[list][0][key].clone();
    match n % 5 {
        0 => {
            let view = client.call("accounts.get", json!({"accountId": account})).await?;
            let position = mine(&view, "positions", "positionId");
            if position.is_string() {
                client
                    .call("trades.closePosition", json!({"accountId": account, "positionId": position}))
                    .await?;
            }
        }
        3 => {
            let view = client.call("accounts.get", json!({"accountId": account})).await?;
            let order = mine(&view, "orders", "orderId");
            if order.is_string() {
                let price = format!("{}.00", 100 + n % 50);
                client
                    .call("trades.modify", json!({"accountId": account, "orderId": order, "price": price}))
                    .await?;
            }
        }
        4 => {
            let view = client.call("accounts.get", json!({"accountId": account})).await?;
            let order = mine(&view, "orders", "orderId");
            if order.is_string() {
                client.call("trades.cancel", json!({"accountId": account, "orderId": order})).await?;
            }
        }
        kind => {
            let more = if kind == 1 {
                json!({"type": "market"})
            } else {
                json!({"type": "limit", "price": "90.00"})
            };
            let reply = client.call("trades.place", order(more)).await?;
            desk.told.lock().expect("no panic").insert(name.to_owned(), reply["orderId"].clone());
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lv01_lv03_lv06_lv07_ten_kills_of_either_end_leave_both_in_agreement() {
    let place = Place::new();
    let mut venue = start_venue(&place, "127.0.0.1:0");
    let bind = venue.address().to_owned();
    let mut gateway = start_gateway(&place, &venue);
    let desk = Desk {
        gateway: Arc::new(Mutex::new((gateway.address().to_owned(), gateway.token()))),
        stop: Arc::default(),
        answered: Arc::default(),
        told: Arc::default(),
    };
    let traders: Vec<_> = ACCOUNTS
        .iter()
        .flat_map(|account| (0..2).map(|trader| tokio::spawn(trade(desk.clone(), account, trader))))
        .collect();

    for kill in 0..2 * KILLS_EACH {
        let before = desk.answered.load(Ordering::SeqCst);
        for _ in 0..2_000 {
            if desk.answered.load(Ordering::SeqCst) >= before + 12 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let flowed = desk.answered.load(Ordering::SeqCst) - before;
        assert!(flowed >= 12, "kill {kill}: only {flowed} answers since the last one");
        // at another phase of the traffic each time
        tokio::time::sleep(Duration::from_micros(1_300 * kill as u64)).await;
        if kill % 2 == 0 {
            venue.kill();
            venue = start_venue(&place, &bind);
        } else {
            gateway.kill();
            gateway = start_gateway(&place, &venue);
            *desk.gateway.lock().expect("no panic") = (gateway.address().to_owned(), gateway.token());
        }
    }
    desk.stop.store(true, Ordering::SeqCst);
    for trader in traders {
        trader.await.expect("a trader stops when it is told to");
    }

    let mut client = gateway.operator().await;
    for account in ACCOUNTS {
        for _ in 0..1_000 {
            let status = await_status(&mut client, account, "connected").await;
            let view = client.call("accounts.get", json!({"accountId": account})).await.expect("a view");
            let waits = |o: &Value| !matches!(o["status"].as_str(), Some("accepted" | "partially_filled"));
            let busy = view["orders"].as_array().expect("orders").iter().any(waits);
            if status["unknownOrders"] == json!([]) && !busy {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    let told = desk.told.lock().expect("no panic").clone();
    for (name, order) in &told {
        let account = &name[..6];
        let params = json!({"accountId": account, "clientOrderId": name});
        let found = client.call("trades.get", params).await.unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(found["order"]["orderId"], *order, "LV06: {name} was acknowledged");
    }
    assert!(gateway.terminate().await.success());
    assert!(venue.terminate().await.success());
    let (here, there) = (place.path("gateway"), place.path("venue"));
    for data in [&here, &there] {
        let replayed = lockstep([std::path::Path::new("replay"), data]);
        assert_eq!(replayed.status.code(), Some(0), "{}", String::from_utf8_lossy(&replayed.stderr));
    }
    let compared = lockstep([std::path::Path::new("compare"), &here, &there, std::path::Path::new("--json")]);
    let text = String::from_utf8_lossy(&compared.stdout);
    let found: Value = serde_json::from_str(&text).expect("one JSON object");
    assert_eq!(compared.status.code(), Some(0), "{text}");
    assert_eq!(found["differences"], json!([]), "{text}");
    assert_eq!((&found["accounts"], &found["unknown"]), (&json!(2), &json!(0)), "{text}");
    assert!(found["orders"].as_u64() >= Some(100) && found["fills"].as_u64() >= Some(50), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_comparison_says_where_two_journals_differ() {
    let place = Place::new();
    let venue = start_venue(&place, "127.0.0.1:0");
    let gateway = start_gateway(&place, &venue);
    let mut client = gateway.operator().await;
    await_status(&mut client, "demo-1", "connected").await;
    client.await_quote("BTCUSD").await;
    let order =
        json!({"accountId": "demo-1", "symbol": "BTCUSD", "side": "buy", "type": "market", "volume": "0.02"});
    client.call("trades.place", order).await.expect("filled");
    assert!(gateway.terminate().await.success() && venue.terminate().await.success());
    let (here, there) = (place.path("gateway"), place.path("venue"));
    let run = |gateway: &std::path::Path, venue: &std::path::Path| {
        let output = lockstep([std::path::Path::new("compare"), gateway, venue]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code(), text, String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, text, _) = run(&here, &there);
    assert_eq!((code, text.ends_with("ok: gateway and venue agree\n")), (Some(0), true), "{text}");
    // a venue that has had no order
    let other = Place::new();
    let fresh = start_venue(&other, "127.0.0.1:0");
    assert!(fresh.terminate().await.success());
    let (code, text, _) = run(&here, &other.path("venue"));
    assert_eq!(code, Some(2), "{text}");
    for named in ["order o1", "a fill here is not at the venue", "position p1", "the balance is"] {
        assert!(text.contains(named), "{text}");
    }
    let (code, _, error) = run(&there, &here);
    assert_eq!((code, error.trim().lines().count()), (Some(1), 1), "{error}");
    let (code, _, error) = run(&here, &place.path("nothing"));
    assert!(code == Some(1) && error.contains("no journal here"), "{error}");
}
