//! Subscriptions, candles and pages.

use super::harness::Server;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const FEED: &str = "event.feed.event";

#[tokio::test]
async fn feeds_subscribe_delivers_event_feed_event_with_contiguous_sequences() {
    let server = Server::start().await;
    let mut client = server.operator().await;
    let params = json!({"topics": ["market.price.tick", "market.candle.updated"], "symbols": ["BTCUSD"],
        "timeframes": ["1m", "1h"]});
    let subscribed = client.ok("feeds.subscribe", params).await;
    assert!(subscribed["cursor"]["offset"].is_u64());
    let mut sequences: BTreeMap<String, u64> = BTreeMap::new();
    while sequences.len() < 3 || sequences.values().any(|count| *count < 3) {
        let event = client.event(FEED).await;
        let payload = &event["payload"];
        assert!(event.get("cursor").is_none(), "only critical events have one");
        assert_eq!(payload["subscriptionId"], subscribed["subscriptionId"]);
        assert_eq!(payload["symbol"], "BTCUSD");
        assert!(payload["eventId"].is_string() && payload["source"].is_string() && payload["ts"].is_string());
        let price = if payload["topic"] == "market.price.tick" { "bid" } else { "close" };
        assert!(payload["payload"][price].is_string(), "{payload}");
        let partition = payload["partitionKey"].as_str().expect("a key").to_owned();
        let last = sequences.entry(partition).or_default();
        *last += 1;
        assert_eq!(payload["sequence"], *last, "{payload}");
    }
    assert_eq!(
        sequences.keys().map(String::as_str).collect::<Vec<_>>(),
        ["BTCUSD", "BTCUSD:1h", "BTCUSD:1m"]
    );
}

#[tokio::test]
async fn feeds_unsubscribe_ends_it() {
    let server = Server::start().await;
    let mut client = server.operator().await;
    let subscribed = client.ok("feeds.subscribe", json!({"topics": ["market.price.tick"]})).await;
    client.event(FEED).await;
    let id = json!({"subscriptionId": subscribed["subscriptionId"]});
    client.ok("feeds.unsubscribe", id.clone()).await;
    assert_eq!(client.refused("feeds.unsubscribe", id).await.1, "SUBSCRIPTION_UNKNOWN");
    // what was queued before the answer came before it; now only the other subscription speaks
    let other = client.ok("feeds.subscribe", json!({"topics": ["market.candle.updated"]})).await;
    let event = client.event_where(FEED, |p| p["subscriptionId"] != subscribed["subscriptionId"]).await;
    assert_eq!(event["payload"]["subscriptionId"], other["subscriptionId"]);
}

#[tokio::test]
async fn account_topics_copy_what_critical_events_say() {
    let server = Server::start().await;
    let mut client = server.operator().await;
    client.await_quote().await;
    let params = json!({"topics": ["account.*", "trade.executed"], "accountId": "paper-1"});
    client.ok("feeds.subscribe", params).await;
    let mut told: Vec<String> = Vec::new();
    let mut trade_ids = Vec::new();
    let reply = client.buy("paper-1", "0.10").await;
    let order = client.ok("trades.place", super::harness::resting_order("paper-1")).await;
    client.ok("trades.cancel", json!({"accountId": "paper-1", "orderId": order["orderId"]})).await;
    client
        .ok("trades.closePosition", json!({"accountId": "paper-1", "positionId": reply["positionId"]}))
        .await;
    while !told.contains(&"account.position.closed".into()) {
        let event = client.event_where(FEED, |p| p["topic"] != "market.price.tick").await;
        let payload = &event["payload"];
        assert_eq!(payload["accountId"], "paper-1");
        assert_eq!(payload["partitionKey"], "paper-1");
        assert_eq!(payload["sequence"], told.len() + 1);
        if payload["topic"] == "trade.executed" {
            trade_ids.push(payload["payload"]["tradeId"].clone());
        }
        told.push(payload["topic"].as_str().expect("a topic").into());
    }
    for topic in [
        "account.order.filled",
        "account.position.opened",
        "account.order.canceled",
        "trade.executed",
        "account.position.closed",
    ] {
        assert!(told.contains(&topic.to_owned()), "{topic} of {told:?}");
    }
    assert!(trade_ids.iter().all(Value::is_string));
}

#[tokio::test]
async fn unknown_topics_and_symbols_are_refused_by_path() {
    let server = Server::start().await;
    let mut client = server.operator().await;
    for (params, reason, path) in [
        (json!({"topics": ["market.depth"]}), "UNKNOWN_TOPIC", "topics[0]"),
        (json!({"topics": ["market.*", "hook.evaluated"]}), "UNKNOWN_TOPIC", "topics[1]"),
        (json!({"topics": ["*.tick"]}), "UNKNOWN_TOPIC", "topics[0]"),
        (json!({"topics": ["*"], "symbols": ["NOPE"]}), "SYMBOL_UNKNOWN", "symbols[0]"),
        (json!({"topics": ["*"], "timeframes": ["2m"]}), "WRONG_TYPE", "timeframes[0]"),
        (json!({}), "FIELD_MISSING", "topics"),
    ] {
        let (code, got, error) = client.refused("feeds.subscribe", params.clone()).await;
        assert_eq!((code.as_str(), got.as_str()), ("INVALID_PARAMS", reason), "{params}");
        assert_eq!(error["details"]["path"], path, "{params}");
    }
    for _ in 0..64 {
        client.ok("feeds.subscribe", json!({"topics": ["market.session.open"]})).await;
    }
    let (code, reason, _) = client.refused("feeds.subscribe", json!({"topics": ["*"]})).await;
    assert_eq!((code.as_str(), reason.as_str()), ("CONFLICT", "TOO_MANY_SUBSCRIPTIONS"));
}

#[tokio::test]
async fn feeds_list_names_the_synthetic_market_and_all_that_it_quotes() {
    let server = Server::start().await;
    let mut client = server.operator().await;
    client.await_quote().await;
    let list = client.ok("feeds.list", json!({})).await;
    assert!(list["cursor"]["offset"].is_u64() && list.get("nextCursor").is_none(), "{list}");
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1));
    let feed = &list["items"][0];
    assert_eq!(
        (&feed["feedId"], &feed["kind"], &feed["state"]),
        (&json!("synthetic"), &json!("synthetic"), &json!("live"))
    );
    assert!(feed["symbols"].as_array().is_some_and(|symbols| symbols.contains(&json!("BTCUSD"))), "{feed}");
    assert_eq!(feed["timeframes"], json!(["1m", "5m", "15m", "30m", "1h", "4h", "1d", "1w"]));
    let refused = client.refused("feeds.list", json!({"limit": 0})).await;
    assert_eq!(refused.2["details"]["path"], "limit");
}

#[tokio::test]
async fn feeds_list_names_a_replay_and_its_one_symbol() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("GBPUSD_m1.csv");
    let rows =
        "timestamp,open,high,low,close,volume\n2024-01-02T00:00:00Z,1.27000,1.27010,1.26990,1.27005,10\n";
    std::fs::write(&file, rows).expect("a writable folder");
    let server =
        Server::configured(&format!("[feed]\nsource = \"replay:{}\"\nspeed = \"max\"", file.display())).await;
    let mut client = server.operator().await;
    let feed = loop {
        let feed = client.ok("feeds.list", json!({})).await["items"][0].clone();
        if feed["state"] == "ended" {
            break feed;
        }
        assert!(["starting", "replaying"].contains(&feed["state"].as_str().unwrap_or_default()), "{feed}");
        server.rt.sleep(std::time::Duration::from_millis(20)).await;
    };
    assert_eq!((&feed["feedId"], &feed["kind"]), (&json!("replay"), &json!("replay")));
    assert_eq!(feed["symbols"], json!(["GBPUSD"]));
}

#[tokio::test]
async fn feeds_get_candles_ends_with_the_open_one() {
    let server = Server::start().await;
    let mut client = server.operator().await;
    client.await_quote().await;
    let params = json!({"symbol": "BTCUSD", "timeframe": "1d"});
    let answer = client.ok("feeds.getCandles", params).await;
    let candles = answer["candles"].as_array().expect("a list");
    let last = candles.last().expect("the open candle");
    assert_eq!(last["complete"], false);
    assert!(last["ts"].as_str().is_some_and(|ts| ts.ends_with("T00:00:00Z")), "{last}");
    assert!(last["volume"].as_u64() >= Some(1) && last["high"].is_string());
    assert!(answer["cursor"]["offset"].is_u64());
    for (change, path) in [
        (json!({"limit": 0}), "limit"),
        (json!({"limit": 5001}), "limit"),
        (json!({"timeframe": "7m"}), "timeframe"),
        (json!({"from": "yesterday"}), "from"),
        (json!({"from": 2_000, "to": "1970-01-01T00:00:01Z"}), "to"),
    ] {
        let mut params = json!({"symbol": "BTCUSD", "timeframe": "1d"});
        for (key, value) in change.as_object().expect("an object") {
            params[key] = value.clone();
        }
        let (code, _, error) = client.refused("feeds.getCandles", params).await;
        assert_eq!((code.as_str(), &error["details"]["path"]), ("INVALID_PARAMS", &json!(path)));
    }
    let unknown = client.refused("feeds.getCandles", json!({"symbol": "NOPE", "timeframe": "1d"})).await;
    assert_eq!((unknown.0.as_str(), unknown.1.as_str()), ("NOT_FOUND", "SYMBOL_UNKNOWN"));
}

#[tokio::test]
async fn accounts_list_is_a_page() {
    let server = Server::start().await;
    let mut client = server.operator().await;
    let first = client.ok("accounts.list", json!({"limit": 1})).await;
    assert_eq!(first["items"][0]["accountId"], "paper-1");
    assert!(first["cursor"]["offset"].is_u64());
    let second = client.ok("accounts.list", json!({"limit": 1, "cursor": first["nextCursor"]})).await;
    assert_eq!(second["items"][0]["accountId"], "paper-2");
    assert!(second.get("nextCursor").is_none());
    let refused = client.refused("accounts.list", json!({"limit": 501})).await;
    assert_eq!(refused.2["details"]["path"], "limit");
    let account = client.ok("accounts.get", json!({"accountId": "paper-1"})).await;
    for key in [
        "label",
        "connector",
        "mode",
        "status",
        "tradingState",
        "currency",
        "positionMode",
        "balance",
        "credit",
        "equity",
        "margin",
        "freeMargin",
    ] {
        assert!(account[key].is_string(), "{key}: {account}");
    }
    assert!(account["leverage"].is_u64() && account["cursor"]["epoch"].is_string());
    assert!(account["positions"].is_array() && account["orders"].is_array());
    assert!(account["allowedSymbols"].is_array());
}
