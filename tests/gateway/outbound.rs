//! What leaves a connection: the classes of events, the tick, and the words with which it ends.

use super::harness::{Client, Server, connect_params, resting_order};
use lockstep::{
    gateway::Shutdown,
    node::tokens::{Role, Scope},
};
use serde_json::{Value, json};
use std::time::Duration;

/// As many subscriptions as there may be.
async fn subscribe_often(client: &mut Client, topic: &str) {
    for _ in 0..64 {
        client.ok("feeds.subscribe", json!({"topics": [topic]})).await;
    }
}

#[tokio::test]
async fn gw01_event_gateway_gap_tells_what_had_no_room_and_nobody_is_closed_for_it() {
    let server = Server::configured(
        "[gateway]\noutbound_feed_frames = 16\noutbound_frames = 16\nrequests_burst = 500",
    )
    .await;
    let mut client = server.operator().await;
    client.await_quote().await;
    subscribe_often(&mut client, "account.order.canceled").await;
    let order = client.ok("trades.place", resting_order("paper-1")).await;
    client.ok("trades.cancel", json!({"accountId": "paper-1", "orderId": order["orderId"]})).await;
    // each subscription is owed a copy, sixteen fit, and the critical event itself is never left out
    client.event("event.trade.canceled").await;
    for _ in 0..16 {
        client.event_where("event.feed.event", |p| p["topic"] == "account.order.canceled").await;
    }
    let gap = client.event("event.gateway.gap").await;
    assert_eq!(gap["payload"], json!({"class": "feed", "dropped": 48}));
    assert!(gap.get("cursor").is_none() && gap["seq"].is_u64() && gap["ts"].is_string(), "{gap}");

    // prices are dropped alike, and a subscription's sequence shows which it was
    let mut client = server.operator().await;
    subscribe_often(&mut client, "market.price.tick").await;
    let gap = client.event("event.gateway.gap").await;
    assert_eq!(gap["payload"]["class"], "ticks");
    assert!(gap["payload"]["dropped"].as_u64().is_some_and(|dropped| dropped > 0));
    let jumped = |p: &Value| {
        let id = p["subscriptionId"].as_str().and_then(|id| id.strip_prefix("sub_")?.parse::<u64>().ok());
        id.is_some() && p["sequence"].as_u64() > Some(1)
    };
    client.event_where("event.feed.event", jumped).await;
    let order = client.ok("trades.place", resting_order("paper-1")).await;
    client.ok("trades.cancel", json!({"accountId": "paper-1", "orderId": order["orderId"]})).await;
    client.event("event.trade.canceled").await;
}

#[tokio::test]
async fn event_gateway_tick_tells_the_time_and_the_head() {
    let server = Server::configured("[gateway]\ntick_interval_ms = 100").await;
    let mut silent = server.open().await;
    let mut client = server.operator().await;
    let (first, second) =
        (client.event("event.gateway.tick").await, client.event("event.gateway.tick").await);
    for tick in [&first, &second] {
        assert_eq!(tick["payload"]["ts"], tick["ts"]);
        assert!(tick["payload"]["head"]["epoch"].is_string() && tick.get("cursor").is_none(), "{tick}");
    }
    assert!(second["ts"].as_str() > first["ts"].as_str());
    client.await_quote().await;
    client.ok("trades.place", resting_order("paper-1")).await;
    let head = client.ok("gateway.status", json!({})).await["head"].clone();
    let later = client.event_where("event.gateway.tick", |p| p["head"] == head).await;
    assert_ne!(later["payload"]["head"], first["payload"]["head"]);
    // whoever has not connected is told nothing: the first that comes is the answer
    silent.send(json!({"type": "req", "id": "p", "method": "gateway.ping", "params": {}}).to_string()).await;
    let super::harness::Got::Frame(frame) = silent.next().await else { panic!("an answer") };
    assert_eq!(frame["id"], "p", "{frame}");
}

#[tokio::test]
async fn the_policy_tells_the_intervals() {
    let server = Server::start().await;
    let policy = server.open().await.connect(&server.operator).await["policy"].clone();
    for (key, value) in [
        ("tickIntervalMs", 15_000),
        ("pingIntervalMs", 20_000),
        ("deadAfterMs", 60_000),
        ("requestsPerSecond", 50),
        ("requestsBurst", 100),
        ("controlWritesPerMinute", 30),
        ("maxNesting", 32),
        ("maxIdChars", 128),
        ("recentIds", 1_024),
    ] {
        assert_eq!(policy[key], value, "{key}");
    }
}

#[tokio::test]
async fn a_restart_is_told_as_draining_and_ends_sessions_with_1012() {
    let mut server = Server::start().await;
    let mut client = server.operator().await;
    server.end(Shutdown::Restart).await;
    let status = client.event("event.gateway.status").await;
    assert_eq!(status["payload"]["state"], "draining");
    assert_eq!(client.closed().await, (1012, "RESTART".into()));
}

#[tokio::test]
async fn gw05_a_revoked_token_ends_its_sessions_with_4403_and_no_others() {
    let server = Server::start().await;
    let token = server.token(Role::Viewer, &[Scope::Read]);
    let mut sessions = [server.connect(&token).await, server.connect(&token).await];
    let mut operator = server.operator().await;
    server.tokens.revoke("viewer-2").expect("it is there");
    for session in &mut sessions {
        assert_eq!(session.closed().await, (4403, "REVOKED".into()));
    }
    let (code, reason, _) = server.open().await.refused("gateway.connect", connect_params(&token)).await;
    assert_eq!((code.as_str(), reason.as_str()), ("AUTH_INVALID", "TOKEN_UNKNOWN"));
    server.rt.sleep(Duration::from_millis(50)).await;
    operator.ok("gateway.ping", json!({})).await;
}
