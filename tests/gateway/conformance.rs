//! Every example of the protocol's contract, as a client would send it.

use super::harness::Server;
use serde_json::{Value, json};

#[tokio::test]
async fn the_example_of_connect_is_understood() {
    let server = Server::start().await;
    let example = |token: &str| {
        json!({
          "type": "req",
          "id": "req_connect",
          "method": "gateway.connect",
          "params": {
            "client": {
              "name": "web",
              "kind": "web",
              "platform": "browser",
              "version": "0.1.0",
              "deviceId": "optional-stable-device-id"
            },
            "protocol": { "min": 1, "max": 1 },
            "auth": { "mode": "token", "token": token }
          }
        })
    };
    let mut client = server.open().await;
    client.send(example("gw_...").to_string()).await;
    let answer = client.answer().await;
    assert_eq!(answer["id"], "req_connect");
    assert_eq!(answer["error"]["code"], "AUTH_INVALID", "understood, but the token is a placeholder");
    let mut client = server.open().await;
    client.send(example(&server.operator).to_string()).await;
    let payload = client.answer().await["payload"].take();
    assert_eq!(payload["protocol"]["selected"], 1);
    assert_eq!(payload["session"]["role"], "operator");
}

#[tokio::test]
async fn the_example_of_subscribe_is_understood() {
    let server = Server::start().await;
    let mut client = server.operator().await;
    client
        .send(
            r#"{
  "type": "req",
  "id": "req_sub_1",
  "method": "feeds.subscribe",
  "params": {
    "topics": ["market.candle.closed", "trade.executed"],
    "symbols": ["BTCUSD", "ETHUSD"],
    "timeframes": ["5m", "1h"]
  }
}"#,
        )
        .await;
    let answer = client.answer().await;
    assert_eq!(answer["id"], "req_sub_1");
    assert!(answer["payload"]["subscriptionId"].is_string(), "{answer}");
}

#[tokio::test]
async fn the_examples_of_frames_have_their_shapes() {
    let server = Server::start().await;
    let mut client = server.operator().await;
    client.send(r#"{ "type": "req", "id": "req_123", "method": "agent.run", "params": { } }"#).await;
    let answer = client.answer().await;
    let keys = |value: &Value| value.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&answer), ["error", "id", "ok", "type"]);
    assert_eq!(keys(&answer["error"]), ["code", "details", "message", "retryable"]);
    assert_eq!(answer["error"]["code"], "NOT_FOUND", "methods that do not exist yet are not advertised");
    let answer = client.call("gateway.ping", json!({})).await;
    assert_eq!(keys(&answer), ["id", "ok", "payload", "type"]);
    client.ok("feeds.subscribe", json!({"topics": ["market.price.tick"]})).await;
    let event = client.event("event.feed.event").await;
    assert_eq!(keys(&event), ["event", "payload", "seq", "ts", "type"]);
}
