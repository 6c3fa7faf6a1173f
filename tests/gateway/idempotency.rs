//! The scope of an idempotency key: principal, method and account; and what binds one (GW03).

use super::harness::{Client, Server, connect_params, market_order, resting_order};
use lockstep::node::tokens::{Role, Scope};
use serde_json::{Value, json};

fn keyed(mut params: Value, key: &str) -> Value {
    params["idempotencyKey"] = json!(key);
    params
}

async fn orders(client: &mut Client, account: &str) -> usize {
    let account = client.ok("accounts.get", json!({"accountId": account})).await;
    account["orders"].as_array().expect("a list").len()
}

#[tokio::test]
async fn gw03_a_key_belongs_to_principal_method_and_account() {
    let server = Server::start().await;
    let mut client = server.operator().await;
    client.await_quote().await;
    let order = |account| keyed(resting_order(account), "key");
    let first = client.ok("trades.place", order("paper-1")).await;
    assert_eq!(
        server.operator().await.ok("trades.place", order("paper-1")).await,
        first,
        "another connection"
    );
    // another account, another principal, another method: each has a key "key" of its own
    let other_account = client.ok("trades.place", order("paper-2")).await;
    assert_ne!(other_account["journalOffset"], first["journalOffset"]);
    let mut other = server.connect(&server.token(Role::Operator, &[Scope::Read, Scope::Trade])).await;
    let other_principal = other.ok("trades.place", order("paper-1")).await;
    assert_ne!(other_principal["orderId"], first["orderId"]);
    assert_eq!((orders(&mut client, "paper-1").await, orders(&mut client, "paper-2").await), (2, 1));
    let cancel = keyed(json!({"accountId": "paper-1", "orderId": first["orderId"]}), "key");
    let canceled = client.ok("trades.cancel", cancel.clone()).await;
    assert_eq!(
        client.ok("trades.cancel", cancel).await,
        canceled,
        "the order is terminal, the answer stands"
    );
}

#[tokio::test]
async fn gw03_gw05_a_rotated_token_has_the_keys_of_the_one_before_whose_sessions_end() {
    let server = Server::start().await;
    let old = server.token(Role::Operator, &[Scope::Read, Scope::Trade]);
    let mut client = server.connect(&old).await;
    client.await_quote().await;
    let order = keyed(resting_order("paper-1"), "key");
    let first = client.ok("trades.place", order.clone()).await;
    let new = server.tokens.rotate("operator-2").expect("it is there");
    assert_eq!(client.closed().await, (4403, "REVOKED".into()));
    let (code, reason, _) = server.open().await.refused("gateway.connect", connect_params(&old)).await;
    assert_eq!((code.as_str(), reason.as_str()), ("AUTH_INVALID", "TOKEN_UNKNOWN"));
    let mut client = server.connect(&new).await;
    assert_eq!(client.ok("trades.place", order).await, first, "asked again, not done again");
    assert_eq!(orders(&mut client, "paper-1").await, 1);
}

#[tokio::test]
async fn gw03_a_duplicate_in_flight_joins_the_first() {
    let server = Server::start().await;
    let mut client = server.operator().await;
    client.await_quote().await;
    let params = keyed(market_order("paper-1", "0.10"), "twice");
    for id in ["a", "b", "c"] {
        let request = json!({"type": "req", "id": id, "method": "trades.place", "params": params});
        client.send(request.to_string()).await;
    }
    let mut payloads = Vec::new();
    for _ in 0..3 {
        let mut answer = client.answer().await;
        assert_eq!(answer["ok"], true, "{answer}");
        payloads.push(answer["payload"].take());
    }
    assert!(payloads.iter().all(|payload| *payload == payloads[0]), "{payloads:?}");
    let account = client.ok("accounts.get", json!({"accountId": "paper-1"})).await;
    assert_eq!(account["positions"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn gw03_what_failed_before_the_engine_binds_nothing() {
    let server = Server::configured("[gateway]\nrequests_per_second = 1\nrequests_burst = 4").await;
    let mut client = server.operator().await;
    let refused = |answer: Value| {
        let error = &answer["error"];
        (error["code"].as_str().unwrap_or_default().to_owned(), error["details"]["retryAfterMs"].as_u64())
    };
    // wrong parameters, and then too many requests
    let wrong = keyed(json!({"accountId": "paper-1", "symbol": "BTCUSD"}), "key");
    for _ in 0..3 {
        assert_eq!(refused(client.call("trades.place", wrong.clone()).await).0, "INVALID_PARAMS");
    }
    let good = keyed(resting_order("paper-1"), "key");
    let wait_ms = loop {
        let (code, wait_ms) = refused(client.call("trades.place", wrong.clone()).await);
        if code == "RATE_LIMITED" {
            break wait_ms.expect("a time to wait");
        }
    };
    server.rt.sleep(std::time::Duration::from_millis(wait_ms)).await;
    client.ok("trades.place", good).await;
}
