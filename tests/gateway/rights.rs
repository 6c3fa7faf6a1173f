//! Roles, scopes and the accounts that a principal may reach (GW04).

use super::harness::{Got, Server, market_order, resting_order};
use lockstep::node::tokens::{Role, Scope};
use serde_json::{Value, json};

#[tokio::test]
async fn gw04_a_viewer_reads_and_changes_nothing() {
    let server = Server::start().await;
    let mut viewer = server.connect(&server.token(Role::Viewer, &[])).await;
    for (method, params) in [
        ("gateway.ping", json!({})),
        ("gateway.status", json!({})),
        ("accounts.list", json!({})),
        ("accounts.get", json!({"accountId": "paper-1"})),
        ("risk.status", json!({})),
        ("risk.preview", market_order("paper-1", "0.10")),
        ("feeds.subscribe", json!({"topics": ["*"]})),
        ("feeds.getCandles", json!({"symbol": "BTCUSD", "timeframe": "1m"})),
    ] {
        viewer.ok(method, params).await;
    }
    let mut operator = server.operator().await;
    let before = operator.ok("gateway.status", json!({})).await["head"].clone();
    for (method, params) in [
        ("trades.place", market_order("paper-1", "0.10")),
        ("trades.cancel", json!({"accountId": "paper-1", "all": true})),
        ("trades.closePosition", json!({"accountId": "paper-1", "symbol": "BTCUSD"})),
        ("risk.emergencyStop", json!({"scope": "global", "reason": "r"})),
        ("risk.resume", json!({"scope": "global", "reason": "r"})),
    ] {
        let (code, reason, _) = viewer.refused(method, params).await;
        assert_eq!((code.as_str(), reason.as_str()), ("AUTH_FORBIDDEN", "SCOPE_MISSING"), "{method}");
    }
    assert_eq!(operator.ok("gateway.status", json!({})).await["head"], before, "no event, so no effect");
}

#[tokio::test]
async fn the_stop_scope_alone_is_a_panic_button() {
    let server = Server::start().await;
    let mut phone = server.connect(&server.token(Role::Operator, &[Scope::Stop])).await;
    assert_eq!(phone.refused("gateway.status", json!({})).await.0, "AUTH_FORBIDDEN");
    assert_eq!(phone.refused("trades.place", market_order("paper-1", "0.10")).await.0, "AUTH_FORBIDDEN");
    phone.ok("trades.cancel", json!({"accountId": "paper-1", "all": true})).await;
    let stop = phone.ok("risk.emergencyStop", json!({"scope": "global", "reason": "panic"})).await;
    assert_eq!(stop["latched"], true);
    let resume = phone.refused("risk.resume", json!({"stopId": stop["stopId"], "reason": "r"})).await;
    assert_eq!(resume.0, "AUTH_FORBIDDEN", "who may stop may not resume");
}

#[tokio::test]
async fn accounts_that_may_not_be_seen_do_not_exist() {
    let server = Server::start().await;
    let mut client = server.open().await;
    let connected = client.connect(&server.token_for("paper-2")).await;
    assert_eq!(connected["session"]["accounts"], json!(["paper-2"]));
    let list = client.ok("accounts.list", json!({})).await;
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(list["items"][0]["accountId"], "paper-2");

    let mut operator = server.operator().await;
    for (method, params) in [
        ("accounts.get", json!({"accountId": "ACCOUNT"})),
        ("trades.place", market_order("ACCOUNT", "0.10")),
        ("trades.get", json!({"accountId": "ACCOUNT", "orderId": "o1"})),
        ("trades.cancel", json!({"accountId": "ACCOUNT", "all": true})),
        ("trades.closePosition", json!({"accountId": "ACCOUNT", "symbol": "BTCUSD"})),
        ("risk.preview", market_order("ACCOUNT", "0.10")),
        ("risk.status", json!({"accountId": "ACCOUNT"})),
        ("risk.emergencyStop", json!({"scope": "account", "id": "ACCOUNT", "reason": "r"})),
    ] {
        let named = |account: &str| -> Value {
            serde_json::from_str(&params.to_string().replace("ACCOUNT", account)).expect("JSON")
        };
        let hidden = client.refused(method, named("paper-1")).await;
        assert_eq!((hidden.0.as_str(), hidden.1.as_str()), ("NOT_FOUND", "ACCOUNT_UNKNOWN"), "{method}");
        // an account that does not exist is refused in the same words
        let mut unknown = operator.refused(method, named("paper-9")).await.2;
        unknown["message"] =
            json!(unknown["message"].as_str().unwrap_or_default().replace("paper-9", "paper-1"));
        assert_eq!(hidden.2, unknown, "{method}");
    }
    let subscribe = json!({"topics": ["account.*"], "accountId": "paper-1"});
    assert_eq!(client.refused("feeds.subscribe", subscribe).await.0, "NOT_FOUND");
    let global = client.refused("risk.emergencyStop", json!({"scope": "global", "reason": "r"})).await;
    assert_eq!((global.0.as_str(), global.1.as_str()), ("AUTH_FORBIDDEN", "ACCOUNTS_LIMITED"));
}

#[tokio::test]
async fn events_of_other_accounts_are_withheld_and_seq_has_no_gap() {
    let server = Server::start().await;
    let mut client = server.connect(&server.token_for("paper-2")).await;
    client.ok("feeds.subscribe", json!({"topics": ["account.*", "trade.executed"]})).await;
    let mut operator = server.operator().await;
    operator.buy("paper-1", "0.10").await;
    operator.ok("trades.place", resting_order("paper-1")).await;
    operator.ok("risk.emergencyStop", json!({"scope": "global", "reason": "r"})).await;
    // everything before it was withheld; the harness checks that seq counts what was sent
    let first = loop {
        match client.next().await {
            Got::Frame(frame) if frame["type"] == "event" => break frame,
            Got::Frame(_) => {}
            end => panic!("{end:?}"),
        }
    };
    assert_eq!(first["event"], "event.emergency_stop");
    assert_eq!(first["seq"], 1);
    let outcomes = first["payload"]["outcomes"].as_array().cloned().unwrap_or_default();
    assert!(outcomes.iter().all(|outcome| outcome["accountId"] == "paper-2"), "{first}");
}
