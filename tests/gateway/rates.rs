//! How often a client may ask, and what is never counted.

use super::harness::{Client, Server, resting_order};
use lockstep::gateway::{Rate, registry};
use serde_json::{Value, json};
use std::time::Duration;

/// Every method that changes something, and how its calls are limited.
#[test]
fn every_write_has_its_rate() {
    let expected = [
        ("risk.emergencyStop", Rate::Reserved),
        ("risk.resume", Rate::ControlWrites),
        ("trades.cancel", Rate::Reserved),
        ("trades.closePosition", Rate::Reserved),
        ("trades.place", Rate::Account),
    ];
    let writes: Vec<_> = registry()
        .methods()
        .filter(|method| method.keyed)
        .map(|method| (method.name, method.rate()))
        .collect();
    assert_eq!(writes, expected, "say here how a new write is limited");
    for method in registry().methods().filter(|method| !method.keyed) {
        assert_eq!(method.rate(), Rate::Requests, "{}: reads count as requests", method.name);
    }
}

/// Sends requests without waiting; returns the errors of those that were refused.
async fn flood(client: &mut Client, method: &str, params: &Value, count: usize) -> Vec<Value> {
    for n in 0..count {
        let id = format!("{method}-{n}");
        client.send(json!({"type": "req", "id": id, "method": method, "params": params}).to_string()).await;
    }
    let mut refused = Vec::new();
    for _ in 0..count {
        let mut answer = client.answer().await;
        if answer["ok"] == false {
            refused.push(answer["error"].take());
        }
    }
    refused
}

fn check_over(error: &Value, reason: &str) -> Duration {
    assert_eq!((&error["code"], &error["retryable"]), (&json!("RATE_LIMITED"), &json!(true)), "{error}");
    let details = &error["details"];
    assert_eq!((&details["reason"], &details["outcome"]), (&json!(reason), &json!("not_started")), "{error}");
    Duration::from_millis(details["retryAfterMs"].as_u64().expect("a time to wait"))
}

#[tokio::test]
async fn a_connection_may_send_so_many_requests_a_second() {
    let server = Server::configured("[gateway]\nrequests_per_second = 2\nrequests_burst = 10").await;
    let mut client = server.open().await;
    let policy = client.connect(&server.operator).await["policy"].clone();
    assert_eq!((&policy["requestsPerSecond"], &policy["requestsBurst"]), (&json!(2), &json!(10)));
    let refused = flood(&mut client, "gateway.ping", &json!({}), 30).await;
    // the handshake was the first of the ten; a slow host may have refilled one or two
    assert!((18..=21).contains(&refused.len()), "{}", refused.len());
    let waits: Vec<_> = refused.iter().map(|error| check_over(error, "REQUEST_RATE")).collect();
    assert!(waits.iter().all(|wait| *wait <= Duration::from_millis(500)), "{waits:?}");

    // whatever else is sent counts as well, also what is answered otherwise
    for (method, params) in [("no.such", json!({})), ("accounts.get", json!({"accountId": "nobody"}))] {
        let answer = client.call(method, params).await;
        check_over(&answer["error"], "REQUEST_RATE");
    }
    client.send(r#"{"type":"req","id":"n","method":"gateway.ping","params":null}"#).await;
    check_over(&client.answer().await["error"], "REQUEST_RATE");

    // another connection is not concerned; after the wait this one goes on
    server.operator().await.ok("gateway.ping", json!({})).await;
    let answer = client.call("gateway.ping", json!({})).await;
    let wait = check_over(&answer["error"], "REQUEST_RATE");
    server.rt.sleep(wait).await;
    client.ok("gateway.ping", json!({})).await;
}

#[tokio::test]
async fn gw09_what_lowers_risk_is_never_counted() {
    let server = Server::configured("[gateway]\nrequests_per_second = 1\nrequests_burst = 4").await;
    let mut client = server.operator().await;
    let order = client.ok("trades.place", resting_order("paper-1")).await;
    for error in flood(&mut client, "gateway.ping", &json!({}), 20).await.split_off(4) {
        check_over(&error, "REQUEST_RATE");
    }
    let cancel = json!({"accountId": "paper-1", "orderId": order["orderId"]});
    client.ok("trades.cancel", cancel).await;
    for _ in 0..10 {
        client.ok("trades.cancel", json!({"accountId": "paper-1", "all": true})).await;
        let close = json!({"accountId": "paper-1", "symbol": "BTCUSD"});
        assert_eq!(client.refused("trades.closePosition", close).await.0, "NOT_FOUND", "it got there");
    }
    client.ok("risk.emergencyStop", json!({"scope": "global", "reason": "panic"})).await;
    let answer = client.call("gateway.ping", json!({})).await;
    check_over(&answer["error"], "REQUEST_RATE");

    // whoever may not do it is counted like everybody
    let viewer = server.token(lockstep::node::tokens::Role::Viewer, &[]);
    let mut viewer = server.connect(&viewer).await;
    let all = json!({"accountId": "paper-1", "all": true});
    let refused = flood(&mut viewer, "trades.cancel", &all, 10).await;
    check_over(refused.last().expect("all were refused"), "REQUEST_RATE");
}

#[tokio::test]
async fn control_writes_are_counted_by_method_and_principal() {
    let server = Server::configured("[gateway]\ncontrol_writes_per_minute = 2").await;
    let mut client = server.operator().await;
    let resume = json!({"scope": "global", "reason": "r"});
    let stop = json!({"scope": "global", "reason": "r"});
    for _ in 0..2 {
        client.ok("risk.emergencyStop", stop.clone()).await;
        client.ok("risk.resume", resume.clone()).await;
    }
    client.ok("risk.emergencyStop", stop).await;
    let answer = client.call("risk.resume", resume.clone()).await;
    let wait = check_over(&answer["error"], "CONTROL_WRITE_RATE");
    assert!((Duration::from_secs(20)..=Duration::from_secs(30)).contains(&wait), "{wait:?}");
    // a new connection does not help, another principal does
    let answer = server.operator().await.call("risk.resume", resume.clone()).await;
    check_over(&answer["error"], "CONTROL_WRITE_RATE");
    let other = server.token(lockstep::node::tokens::Role::Operator, &[]);
    server.connect(&other).await.ok("risk.resume", resume).await;
}
