//! The preview, the emergency stop and the way out of it.

use super::harness::{Server, market_order, resting_order};
use serde_json::json;

#[tokio::test]
async fn rk01_risk_preview_says_what_place_does() {
    let server = Server::start().await;
    let mut client = server.operator().await;
    client.await_quote().await;
    for volume in ["0.10", "0.001", "0.015", "1000"] {
        let preview = client.ok("risk.preview", market_order("paper-1", volume)).await;
        assert!(preview["cursor"]["offset"].is_u64() && preview["stateVersion"].is_u64(), "{preview}");
        assert!(preview["checks"].as_array().is_some_and(|checks| !checks.is_empty()));
        let placed = client.call("trades.place", market_order("paper-1", volume)).await;
        assert_eq!(preview["allowed"], placed["ok"], "{volume}: {preview} {placed}");
        if placed["ok"] == false {
            let codes = |list: &serde_json::Value| {
                let violations = list.as_array().expect("a list");
                violations.iter().map(|v| v["code"].clone()).collect::<Vec<_>>()
            };
            assert_eq!(codes(&preview["violations"]), codes(&placed["error"]["details"]["violations"]));
        }
    }
}

#[tokio::test]
async fn risk_emergency_stop_latches_cancels_and_halts_until_risk_resume() {
    let server = Server::start().await;
    let mut client = server.operator().await;
    client.await_quote().await;
    let resting = client.ok("trades.place", resting_order("paper-1")).await;
    let stop = client.ok("risk.emergencyStop", json!({"scope": "global", "reason": "drill"})).await;
    assert_eq!(stop["latched"], true);
    assert_eq!(stop["outcomes"][0]["id"], resting["orderId"]);
    let latched = client.event("event.emergency_stop").await;
    assert_eq!(latched["payload"]["stopId"], stop["stopId"]);
    assert_eq!(latched["payload"]["phase"], "latched");

    let (code, reason, _) = client.refused("trades.place", market_order("paper-1", "0.10")).await;
    assert_eq!((code.as_str(), reason.as_str()), ("RISK_BLOCKED", "TRADING_HALTED"));
    let preview = client.ok("risk.preview", market_order("paper-1", "0.10")).await;
    assert_eq!(preview["allowed"], false);

    // the latch is durable
    let server = server.restart().await;
    let mut client = server.operator().await;
    let status = client.ok("risk.status", json!({})).await;
    assert_eq!(status["tradingState"], "halted");
    assert_eq!(status["latches"][0]["id"], stop["stopId"]);
    client.await_quote().await;
    client.refused("trades.place", market_order("paper-1", "0.10")).await;

    let resumed = client.ok("risk.resume", json!({"stopId": stop["stopId"], "reason": "drill over"})).await;
    assert_eq!(resumed["cleared"], json!([stop["stopId"]]));
    let event = client.event_where("event.emergency_stop", |p| p["phase"] == "resumed").await;
    assert_eq!(event["payload"]["stopId"], stop["stopId"]);
    assert_eq!(client.ok("risk.status", json!({})).await["tradingState"], "active");
    client.ok("trades.place", market_order("paper-1", "0.10")).await;
    let again = client.refused("risk.resume", json!({"stopId": stop["stopId"], "reason": "again"})).await;
    assert_eq!(again.0, "NOT_FOUND");
}

#[tokio::test]
async fn close_all_flattens_the_account_of_its_scope_only() {
    let server = Server::start().await;
    let mut client = server.operator().await;
    client.buy("paper-1", "0.10").await;
    client.ok("trades.place", market_order("paper-2", "0.10")).await;
    let stop = json!({"scope": "account", "id": "paper-1", "actions": ["pause", "cancel_all", "close_all"],
        "reason": "drill", "idempotencyKey": "stop-1"});
    let first = client.ok("risk.emergencyStop", stop.clone()).await;
    assert_eq!(client.ok("risk.emergencyStop", stop).await, first);
    client.event_where("event.emergency_stop", |p| p["phase"] == "completed").await;
    let positions = |account: &serde_json::Value| account["positions"].as_array().map(Vec::len);
    let stopped = client.ok("accounts.get", json!({"accountId": "paper-1"})).await;
    assert_eq!((positions(&stopped), &stopped["tradingState"]), (Some(0), &json!("halted")));
    let other = client.ok("accounts.get", json!({"accountId": "paper-2"})).await;
    assert_eq!((positions(&other), &other["tradingState"]), (Some(1), &json!("active")));
    let status = client.ok("risk.status", json!({"accountId": "paper-2"})).await;
    assert_eq!(status["tradingState"], "active");
}

#[tokio::test]
async fn scopes_that_have_nothing_to_stop_are_refused() {
    let server = Server::start().await;
    let mut client = server.operator().await;
    for scope in ["agent", "follow"] {
        let params = json!({"scope": scope, "id": "x", "reason": "r"});
        let (code, reason, _) = client.refused("risk.emergencyStop", params).await;
        assert_eq!((code.as_str(), reason.as_str()), ("INVALID_PARAMS", "SCOPE_UNAVAILABLE"));
    }
    let unknown = json!({"scope": "account", "id": "nobody", "reason": "r"});
    assert_eq!(client.refused("risk.emergencyStop", unknown).await.0, "NOT_FOUND");
}
