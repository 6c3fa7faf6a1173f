//! Accounts over a socket: added, connected, disconnected, their links, histories and instruments.

use super::harness::{Server, resting_order};
use lockstep::node::tokens::{Role, Scope};
use serde_json::{Value, json};

fn texts<'a>(page: &'a Value, key: &str) -> Vec<&'a str> {
    page["items"].as_array().expect("a page").iter().map(|item| item[key].as_str().expect(key)).collect()
}

#[tokio::test]
async fn accounts_connect_adds_a_paper_account_that_outlives_a_restart() {
    let server = Server::start().await;
    let mut client = server.operator().await;
    client.await_quote().await;
    let settings = json!({"currency": "EUR", "leverage": 30, "deposit": "2500", "commissionPerLot": "7"});
    let params = json!({"accountId": "desk-7", "connector": "paper", "label": "Desk", "settings": settings,
        "idempotencyKey": "add"});
    let account = client.ok("accounts.connect", params.clone()).await;
    assert_eq!(
        (&account["status"], &account["balance"]),
        (&json!("connected"), &json!("2500.00")),
        "{account}"
    );
    assert_eq!((&account["currency"], &account["leverage"]), (&json!("EUR"), &json!(30)));
    assert_eq!(client.ok("accounts.connect", params).await, account, "one key, one answer");
    let other = json!({"accountId": "desk-7", "connector": "paper", "settings": {"leverage": 500}});
    let other = client.refused("accounts.connect", other).await;
    assert_eq!((other.0.as_str(), other.1.as_str()), ("CONFLICT", "ACCOUNT_EXISTS"));
    assert_eq!(client.buy("desk-7", "0.10").await["status"], "filled");

    let server = server.restart().await;
    let mut client = server.operator().await;
    let again = client.ok("accounts.get", json!({"accountId": "desk-7"})).await;
    assert_eq!(again["positions"].as_array().map(Vec::len), Some(1), "{again}");
}

#[tokio::test]
async fn accounts_connect_names_what_it_cannot_use() {
    let server = Server::start().await;
    let mut client = server.operator().await;
    for (params, code, reason, path) in [
        (json!({}), "INVALID_PARAMS", "FIELD_MISSING", "accountId"),
        (json!({"accountId": "nobody"}), "NOT_FOUND", "ACCOUNT_UNKNOWN", ""),
        (json!({"accountId": "x", "label": "y"}), "INVALID_PARAMS", "FIELD_MISSING", "connector"),
        (json!({"accountId": "x", "connector": "mt5"}), "INVALID_PARAMS", "CONNECTOR_UNKNOWN", "connector"),
        (
            json!({"accountId": "x", "connector": "paper", "mode": "live"}),
            "INVALID_PARAMS",
            "FIELD_CONFLICT",
            "mode",
        ),
        (
            json!({"accountId": "x", "connector": "venue", "mode": "live"}),
            "AUTH_FORBIDDEN",
            "LIVE_DISABLED",
            "",
        ),
        (
            json!({"accountId": "x", "connector": "venue"}),
            "INVALID_PARAMS",
            "FIELD_MISSING",
            "settings.address",
        ),
        (
            json!({"accountId": "x", "connector": "venue", "settings": {"address": "nowhere", "login": "l"}}),
            "INVALID_PARAMS",
            "OUT_OF_RANGE",
            "settings.address",
        ),
        (
            json!({"accountId": "x", "connector": "paper", "settings": {"address": "h:1"}}),
            "INVALID_PARAMS",
            "FIELD_CONFLICT",
            "settings.address",
        ),
        (
            json!({"accountId": "x", "connector": "paper", "settings": {"currency": "euros"}}),
            "INVALID_PARAMS",
            "OUT_OF_RANGE",
            "settings.currency",
        ),
        (
            json!({"accountId": "x", "connector": "paper", "settings": {"leverage": 0}}),
            "INVALID_PARAMS",
            "ACCOUNT_SETTINGS",
            "",
        ),
        (
            json!({"accountId": "x", "connector": "paper", "settings": {"positionMode": "netting"}}),
            "INVALID_PARAMS",
            "ACCOUNT_SETTINGS",
            "",
        ),
    ] {
        let refused = client.refused("accounts.connect", params.clone()).await;
        assert_eq!((refused.0.as_str(), refused.1.as_str()), (code, reason), "{params}");
        assert_eq!(refused.2["details"]["path"].as_str().unwrap_or_default(), path, "{params}");
    }
}

#[tokio::test]
async fn gw11_the_credential_of_a_venue_is_in_no_answer_no_event_and_no_file_in_clear() {
    let server = Server::start().await;
    let mut client = server.operator().await;
    let secret = "gw_a-secret-that-nobody-sees";
    let settings = json!({"address": "127.0.0.1:9", "login": "demo", "token": secret});
    let params = json!({"accountId": "far-1", "connector": "venue", "settings": settings});
    let text = client.text("accounts.connect", params).await;
    assert!(text.contains("far-1") && !text.contains(secret), "{text}");
    let status = client.ok("accounts.status", json!({"accountId": "far-1"})).await;
    assert_eq!(status["status"], "disconnected", "{status}");
    let denied = client
        .refused("trades.place", json!({"accountId": "far-1", "symbol": "BTCUSD", "side": "buy", "type": "market", "volume": "0.10"}))
        .await;
    assert_eq!((denied.0.as_str(), denied.1.as_str()), ("CONNECTOR_UNAVAILABLE", "ACCOUNT_NOT_CONNECTED"));
    for entry in std::fs::read_dir(server.directory()).expect("the data directory") {
        let path = entry.expect("an entry").path();
        if path.is_file() {
            let bytes = std::fs::read(&path).expect("a file");
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{} holds the secret", path.display());
        }
    }
}

#[tokio::test]
async fn accounts_disconnect_ends_trading_until_accounts_connect() {
    let server = Server::start().await;
    let mut client = server.operator().await;
    let placed = {
        client.await_quote().await;
        client.ok("trades.place", resting_order("paper-1")).await
    };
    let off = client.ok("accounts.disconnect", json!({"accountId": "paper-1"})).await;
    assert_eq!((&off["accountId"], &off["status"]), (&json!("paper-1"), &json!("disconnected")));
    let told = client.event_where("event.account.status", |e| e["status"] == "disconnected").await;
    assert_eq!(told["payload"]["accountId"], "paper-1");
    let status = client.ok("accounts.status", json!({"accountId": "paper-1"})).await;
    assert_eq!(status["lastError"], "disconnected by an operator");
    assert!(status["since"].is_string() && status["cursor"]["offset"].is_u64(), "{status}");
    let denied = client.refused("trades.place", resting_order("paper-1")).await;
    assert_eq!(denied.0, "CONNECTOR_UNAVAILABLE");
    let denied =
        client.refused("trades.cancel", json!({"accountId": "paper-1", "orderId": placed["orderId"]})).await;
    assert_eq!((denied.0.as_str(), denied.1.as_str()), ("CONNECTOR_UNAVAILABLE", "ACCOUNT_NOT_CONNECTED"));
    client.ok("trades.place", resting_order("paper-2")).await;
    let on = client.ok("accounts.connect", json!({"accountId": "paper-1"})).await;
    assert_eq!(on["status"], "connected");
    assert_eq!(on["orders"][0]["orderId"], placed["orderId"], "its orders stay where they are");
    client.ok("trades.cancel", json!({"accountId": "paper-1", "orderId": placed["orderId"]})).await;
}

#[tokio::test]
async fn accounts_history_pages_through_fills_orders_and_postings() {
    let server = Server::start().await;
    let mut client = server.operator().await;
    for _ in 0..5 {
        let reply = client.buy("paper-1", "0.10").await;
        let close = json!({"accountId": "paper-1", "positionId": reply["positionId"]});
        client.ok("trades.closePosition", close).await;
    }
    let ask = |kind: &str, more: Value| {
        let mut params = json!({"accountId": "paper-1", "kind": kind});
        params.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        params
    };
    let fills = client.ok("accounts.history", ask("fills", json!({}))).await;
    let ids: Vec<String> = (1..=10).map(|n| format!("f{n}")).collect();
    assert_eq!(texts(&fills, "fillId"), ids, "{fills}");
    assert!(fills["cursor"]["offset"].is_u64() && fills["nextCursor"].is_null());
    let orders = client.ok("accounts.history", ask("orders", json!({}))).await;
    assert_eq!(texts(&orders, "status"), vec!["filled"; 10]);
    let ledger = client.ok("accounts.history", ask("ledger", json!({}))).await;
    assert_eq!(texts(&ledger, "kind")[0], "deposit");
    let balance = client.ok("accounts.get", json!({"accountId": "paper-1"})).await["balance"].clone();
    assert_eq!(
        ledger["items"].as_array().expect("a page").last().expect("a posting")["balanceAfter"],
        balance
    );

    let mut paged = Vec::new();
    let mut params = ask("fills", json!({"limit": 3}));
    loop {
        let page = client.ok("accounts.history", params.clone()).await;
        paged.extend(page["items"].as_array().expect("a page").clone());
        match page["nextCursor"].as_str() {
            Some(next) => params["cursor"] = json!(next),
            None => break,
        }
    }
    assert_eq!(json!(paged), fills["items"], "pages are the whole");
    let from = fills["items"][4]["ts"].clone();
    let since = client.ok("accounts.history", ask("fills", json!({"from": from}))).await;
    assert_eq!(since["items"].as_array().map(Vec::len), Some(6));
    let none = client.ok("accounts.history", ask("fills", json!({"to": "2001-01-01T00:00:00Z"}))).await;
    assert_eq!(none["items"], json!([]));
    let wrong = client.refused("accounts.history", ask("fills", json!({"cursor": "!"}))).await;
    assert_eq!(wrong.2["details"]["path"], "cursor");
    let wrong = client.refused("accounts.history", ask("dreams", json!({}))).await;
    assert_eq!(wrong.2["details"]["path"], "kind");
    let unknown = client.refused("accounts.history", json!({"accountId": "nobody", "kind": "fills"})).await;
    assert_eq!((unknown.0.as_str(), unknown.1.as_str()), ("NOT_FOUND", "ACCOUNT_UNKNOWN"));

    let server = server.restart().await;
    let mut client = server.operator().await;
    let again = client.ok("accounts.history", ask("fills", json!({}))).await;
    assert_eq!(again["items"], fills["items"], "a restart forgets nothing");
}

#[tokio::test]
async fn accounts_instruments_state_their_whole_grid() {
    let server = Server::start().await;
    let mut client = server.operator().await;
    let page = client.ok("accounts.instruments", json!({"accountId": "paper-1"})).await;
    assert_eq!(texts(&page, "symbol"), ["BTCUSD", "ETHUSD", "EURUSD", "GBPUSD", "USDJPY", "XAUUSD"]);
    let euro = &page["items"][2];
    for (key, value) in [
        ("digits", json!(5)),
        ("point", json!("0.00001")),
        ("tick", json!("0.00001")),
        ("pip", json!("0.00010")),
        ("contractSize", json!("100000")),
        ("volumeMin", json!("0.01")),
        ("volumeStep", json!("0.01")),
        ("quoteCurrency", json!("USD")),
        ("marginCurrency", json!("EUR")),
        ("sessionZone", json!("America/New_York")),
        ("sessions", json!([{"open": "Sun 17:00", "close": "Fri 17:00"}])),
        ("orderTypes", json!(["market", "limit", "stop", "stop_limit", "trailing_stop"])),
        ("tifs", json!(["gtc", "day", "gtd"])),
        ("tradeMode", json!("full")),
    ] {
        assert_eq!(euro[key], value, "{key}");
    }
    let first = client.ok("accounts.instruments", json!({"accountId": "paper-1", "limit": 2})).await;
    let rest = json!({"accountId": "paper-1", "cursor": first["nextCursor"]});
    let rest = client.ok("accounts.instruments", rest).await;
    assert_eq!(texts(&rest, "symbol"), ["EURUSD", "GBPUSD", "USDJPY", "XAUUSD"]);
}

#[tokio::test]
async fn accounts_are_connected_and_disconnected_by_administrators_only() {
    let server = Server::start().await;
    let mut trader = server.connect(&server.token(Role::Operator, &[Scope::Read, Scope::Trade])).await;
    for (method, params) in [
        ("accounts.connect", json!({"accountId": "x", "connector": "paper"})),
        ("accounts.disconnect", json!({"accountId": "paper-1"})),
        (
            "trades.resolve",
            json!({"accountId": "paper-1", "orderId": "o1", "outcome": "not_executed", "reason": "r"}),
        ),
    ] {
        assert_eq!(trader.refused(method, params).await.0, "AUTH_FORBIDDEN", "{method}");
    }
    let mut other = server.connect(&server.token_for("paper-2")).await;
    for method in ["accounts.status", "accounts.instruments", "accounts.history"] {
        let params = json!({"accountId": "paper-1", "kind": "fills"});
        assert_eq!(other.refused(method, params).await.0, "NOT_FOUND", "{method}");
    }
}
