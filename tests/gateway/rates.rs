//! How often a client may ask, and what is never counted.

use super::harness::{Client, Server, resting_order};
use lockstep::gateway::{Rate, registry};
use serde_json::{Value, json};
use std::time::Duration;

/// Every method that changes something, and how its calls are limited.
#[test]
fn every_write_has_its_rate() {
    let expected = [
        ("accounts.connect", Rate::ControlWrites),
        ("accounts.disconnect", Rate::ControlWrites),
        ("risk.emergencyStop", Rate::Reserved),
        ("risk.resume", Rate::ControlWrites),
        ("trades.cancel", Rate::Reserved),
        ("trades.closePosition", Rate::Reserved),
        ("trades.modify", Rate::Account),
        ("trades.place", Rate::Account),
        ("trades.resolve", Rate::ControlWrites),
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

/// Calls until the rate is exceeded, however slow the host is; returns the time to wait.
async fn exceed(client: &mut Client, method: &str, params: &Value) -> Duration {
    for _ in 0..100 {
        let answer = client.call(method, params.clone()).await;
        if answer["error"]["code"] == "RATE_LIMITED" {
            return check_over(&answer["error"], "REQUEST_RATE");
        }
    }
    panic!("{method} is not counted");
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
    // the handshake was the first of the ten; on a slow host some have come back meanwhile
    assert!((10..=21).contains(&refused.len()), "{}", refused.len());
    let waits: Vec<_> = refused.iter().map(|error| check_over(error, "REQUEST_RATE")).collect();
    assert!(waits.iter().all(|wait| *wait <= Duration::from_millis(500)), "{waits:?}");

    // whatever else is sent counts as well, also what is answered otherwise
    for (method, params) in [("no.such", json!({})), ("accounts.get", json!({"accountId": "nobody"}))] {
        exceed(&mut client, method, &params).await;
    }
    for n in 0.. {
        client.send(format!(r#"{{"type":"req","id":"n{n}","method":"gateway.ping","params":null}}"#)).await;
        let error = client.answer().await["error"].take();
        if error["code"] == "RATE_LIMITED" {
            break;
        }
        assert!(n < 100 && error["details"]["reason"] == "PARAMS_NOT_OBJECT", "{error}");
    }

    // another connection is not concerned; after the wait this one goes on
    server.operator().await.ok("gateway.ping", json!({})).await;
    let wait = exceed(&mut client, "gateway.ping", &json!({})).await;
    server.rt.sleep(wait).await;
    client.ok("gateway.ping", json!({})).await;
}

#[tokio::test]
async fn gw09_what_lowers_risk_is_never_counted() {
    let server = Server::configured("[gateway]\nrequests_per_second = 1\nrequests_burst = 4").await;
    let mut client = server.operator().await;
    let order = client.ok("trades.place", resting_order("paper-1")).await;
    exceed(&mut client, "gateway.ping", &json!({})).await;
    let cancel = json!({"accountId": "paper-1", "orderId": order["orderId"]});
    client.ok("trades.cancel", cancel).await;
    for _ in 0..10 {
        client.ok("trades.cancel", json!({"accountId": "paper-1", "all": true})).await;
        let close = json!({"accountId": "paper-1", "symbol": "BTCUSD"});
        assert_eq!(client.refused("trades.closePosition", close).await.0, "NOT_FOUND", "it got there");
    }
    client.ok("risk.emergencyStop", json!({"scope": "global", "reason": "panic"})).await;
    exceed(&mut client, "gateway.ping", &json!({})).await;

    // whoever may not do it is counted like everybody
    let viewer = server.token(lockstep::node::tokens::Role::Viewer, &[]);
    let mut viewer = server.connect(&viewer).await;
    let all = json!({"accountId": "paper-1", "all": true});
    exceed(&mut viewer, "trades.cancel", &all).await;
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
