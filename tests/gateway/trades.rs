//! Orders from a socket to the machine and back.

use super::harness::{Client, Server, market_order, resting_order};
use serde_json::{Value, json};

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("a string, not {value}"))
}

#[tokio::test]
async fn trades_place_fills_at_market_and_tells_intent_and_execution() {
    let server = Server::start().await;
    let mut client = server.operator().await;
    let reply = client.buy("paper-1", "0.10").await;
    assert_eq!(reply["status"], "filled", "{reply}");
    assert_eq!(reply["filledVolume"], "0.10", "decimals are strings, in lots");
    for key in ["intentId", "orderId", "positionId", "riskDecision", "avgPrice"] {
        assert!(reply[key].is_string(), "{key}: {reply}");
    }
    let offset = reply["journalOffset"].as_u64().expect("GW08: the reply names its journal offset");
    assert!(offset > 0);

    let intent = client.event("event.trade.intent").await;
    assert_eq!(intent["payload"]["intentId"], reply["intentId"]);
    assert_eq!(intent["payload"]["action"], "place");
    let executed = client.event("event.trade.executed").await;
    assert_eq!(executed["payload"]["orderId"], reply["orderId"]);
    assert_eq!(executed["payload"]["leavesVolume"].as_str().map(|v| v.parse::<f64>().unwrap()), Some(0.0));
    let cursor = |event: &Value| event["cursor"]["offset"].as_u64().expect("a cursor");
    assert_eq!(cursor(&executed), cursor(&intent) + 1);

    let found = client.ok("trades.get", json!({"accountId": "paper-1", "orderId": reply["orderId"]})).await;
    assert_eq!(found["order"]["status"], "filled");
    assert_eq!(found["fills"][0]["fillId"], executed["payload"]["fillId"]);
    assert!(found["cursor"]["offset"].as_u64() >= Some(cursor(&executed)));
    let by_intent =
        client.ok("trades.get", json!({"accountId": "paper-1", "intentId": reply["intentId"]})).await;
    assert_eq!(by_intent["order"], found["order"]);
    let account = client.ok("accounts.get", json!({"accountId": "paper-1"})).await;
    assert_eq!(account["positions"][0]["positionId"], reply["positionId"]);
}

#[tokio::test]
async fn trades_close_position_closes_and_tells() {
    let server = Server::start().await;
    let mut client = server.operator().await;
    let reply = client.buy("paper-1", "0.10").await;
    let part = client
        .ok(
            "trades.closePosition",
            json!({"accountId": "paper-1", "positionId": reply["positionId"], "volume": 0.04}),
        )
        .await;
    assert_eq!(part["fills"][0]["volume"], "0.04");
    assert_eq!(part["position"]["volume"], "0.06");
    let closed = client.event("event.trade.closed").await;
    assert_eq!(closed["payload"]["position"]["volume"], "0.06");
    let rest = client.ok("trades.closePosition", json!({"accountId": "paper-1", "symbol": "BTCUSD"})).await;
    assert_eq!(rest["fills"][0]["volume"], "0.06");
    let closed = client.event("event.trade.closed").await;
    assert_eq!(text(&closed["payload"]["position"]["volume"]).parse::<f64>().expect("a number"), 0.0);
    let account = client.ok("accounts.get", json!({"accountId": "paper-1"})).await;
    assert_eq!(account["positions"], json!([]));
    let gone = client
        .refused("trades.closePosition", json!({"accountId": "paper-1", "positionId": reply["positionId"]}))
        .await;
    assert_eq!(gone.0, "NOT_FOUND");
}

#[tokio::test]
async fn trades_cancel_takes_one_order_by_either_id_or_all() {
    let server = Server::start().await;
    let mut client = server.operator().await;
    client.await_quote().await;
    let mut order = resting_order("paper-1");
    order["clientOrderId"] = json!("mine-1");
    let placed = client.ok("trades.place", order).await;
    assert_eq!(placed["status"], "accepted");
    assert_eq!(placed["clientOrderId"], "mine-1");
    let canceled =
        client.ok("trades.cancel", json!({"accountId": "paper-1", "clientOrderId": "mine-1"})).await;
    assert_eq!(canceled["outcomes"][0]["id"], placed["orderId"]);
    assert_eq!(canceled["outcomes"][0]["state"], "done");
    let event = client.event("event.trade.canceled").await;
    assert_eq!(event["payload"]["order"]["orderId"], placed["orderId"]);
    let again =
        client.refused("trades.cancel", json!({"accountId": "paper-1", "orderId": placed["orderId"]})).await;
    assert_eq!(again.0, "CONFLICT", "a terminal order: {again:?}");

    for _ in 0..3 {
        client.ok("trades.place", resting_order("paper-1")).await;
    }
    let all = client.ok("trades.cancel", json!({"accountId": "paper-1", "all": true})).await;
    assert_eq!(all["outcomes"].as_array().map(Vec::len), Some(3));
    let unknown = client.refused("trades.cancel", json!({"accountId": "paper-1", "orderId": "o999"})).await;
    assert_eq!((unknown.0.as_str(), unknown.1.as_str()), ("NOT_FOUND", "ORDER_UNKNOWN"));
}

#[tokio::test]
async fn decimals_are_exact_from_the_lexeme() {
    let server = Server::start().await;
    let mut client = server.operator().await;
    client.await_quote().await;
    let place = |volume: &str, price: &str| {
        format!(
            r#"{{"accountId":"paper-1","symbol":"BTCUSD","side":"buy","type":"limit","volume":{volume},"price":{price}}}"#
        )
    };
    for (n, (volume, price, reason)) in [
        ("0.01", "1000.00", None),
        ("\"0.01\"", "\"1000.00\"", None),
        ("1e-2", "1E3", None),
        ("0.0100000000000000000000", "1000.000", None),
        // a binary float would round these onto the grid
        ("0.01000000000000000000001", "1000", Some("VOLUME_STEP")),
        ("0.01", "1000.00000000000000001", Some("PRICE_TICK")),
        ("0.015", "1000", Some("VOLUME_STEP")),
    ]
    .into_iter()
    .enumerate()
    {
        let params = place(volume, price);
        let frame = format!(r#"{{"type":"req","id":"d{n}","method":"trades.place","params":{params}}}"#);
        client.send(frame).await;
        let answer = client.answer().await;
        assert_eq!(answer["error"]["details"]["reason"].as_str(), reason, "{params}: {answer}");
        if reason.is_some() {
            assert_eq!(answer["error"]["code"], "RISK_BLOCKED");
        }
    }
}

#[tokio::test]
async fn wrong_params_are_named_by_path() {
    let server = Server::start().await;
    let mut client = server.operator().await;
    for (key, value, reason) in [
        ("volume", json!(true), "WRONG_TYPE"),
        ("volume", json!("a lot"), "WRONG_TYPE"),
        ("side", json!("long"), "WRONG_TYPE"),
        ("price", json!("1"), "FIELD_CONFLICT"),
        ("stopLoss", json!({"price": 1}), "WRONG_TYPE"),
        ("clientOrderId", json!("with space"), "WRONG_TYPE"),
        ("idempotencyKey", json!(""), "FIELD_LENGTH"),
        ("idempotencyKey", json!("k".repeat(65)), "FIELD_LENGTH"),
        ("idempotencyKey", json!(7), "WRONG_TYPE"),
    ] {
        let mut params = market_order("paper-1", "0.01");
        params[key] = value;
        let (code, got, error) = client.refused("trades.place", params.clone()).await;
        assert_eq!((code.as_str(), got.as_str()), ("INVALID_PARAMS", reason), "{params}");
        assert_eq!(error["details"]["path"], key, "{params}");
    }
    let missing = client.refused("trades.place", json!({"accountId": "paper-1"})).await;
    assert_eq!(missing.2["details"]["path"], "symbol");
}

#[tokio::test]
async fn gw03_the_same_key_has_one_effect_and_one_answer_also_after_a_restart() {
    let server = Server::start().await;
    let mut client = server.operator().await;
    client.await_quote().await;
    let mut params = market_order("paper-1", "0.10");
    params["idempotencyKey"] = json!("key-1");
    let first = client.ok("trades.place", params.clone()).await;
    let again = client.ok("trades.place", params.clone()).await;
    assert_eq!(again, first);
    params["volume"] = json!(0.1);
    assert_eq!(client.ok("trades.place", params.clone()).await, first, "spelled otherwise, the same request");
    params["volume"] = json!("0.11");
    let (code, reason, _) = client.refused("trades.place", params.clone()).await;
    assert_eq!((code.as_str(), reason.as_str()), ("CONFLICT", "IDEMPOTENCY_MISMATCH"));

    let server = server.restart().await;
    let mut client = server.operator().await;
    params["volume"] = json!("0.10");
    assert_eq!(client.ok("trades.place", params).await, first);
    let account = client.ok("accounts.get", json!({"accountId": "paper-1"})).await;
    assert_eq!(account["positions"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_client_order_id_is_used_once() {
    let server = Server::start().await;
    let mut client = server.operator().await;
    client.await_quote().await;
    let mut order = resting_order("paper-1");
    order["clientOrderId"] = json!("once");
    client.ok("trades.place", order.clone()).await;
    let (code, reason, error) = client.refused("trades.place", order).await;
    assert_eq!((code.as_str(), reason.as_str()), ("RISK_BLOCKED", "DUPLICATE_ORDER"), "{error}");
    let found = client.ok("trades.get", json!({"accountId": "paper-1", "clientOrderId": "once"})).await;
    assert_eq!(found["order"]["clientOrderId"], "once");
}

#[tokio::test]
async fn a_denied_order_tells_rejection_and_alert() {
    let server = Server::start().await;
    let mut client = server.operator().await;
    client.await_quote().await;
    let (code, reason, error) = client.refused("trades.place", market_order("paper-1", "0.001")).await;
    assert_eq!(code, "RISK_BLOCKED");
    assert_eq!(error["details"]["violations"][0]["code"], reason.as_str());
    let rejected = client.event("event.trade.rejected").await;
    assert_eq!(rejected["payload"]["by"], "gateway");
    assert!(rejected["cursor"]["offset"].is_u64());
    let mut client = server.operator().await;
    client.refused("trades.place", market_order("paper-1", "0.001")).await;
    let alert = client.event("event.risk.alert").await;
    assert_eq!(alert["payload"]["code"], reason.as_str());
    assert_eq!(alert["payload"]["accountId"], "paper-1");
}

/// Sends requests without waiting, and collects their answers by id.
async fn pipeline(client: &mut Client, requests: &[(String, &str, Value)]) -> Vec<Value> {
    for (id, method, params) in requests {
        client.send(json!({"type": "req", "id": id, "method": method, "params": params}).to_string()).await;
    }
    let mut answers = Vec::new();
    for _ in requests {
        answers.push(client.answer().await);
    }
    answers
}

#[tokio::test]
async fn requests_in_flight_are_limited_and_risk_lowering_ones_have_a_reserve() {
    let server = Server::configured("[gateway]\nrequests_in_flight = 2").await;
    let mut client = server.operator().await;
    client.await_quote().await;
    let mut requests: Vec<_> =
        (0..40).map(|n| (format!("g{n}"), "accounts.get", json!({"accountId": "paper-1"}))).collect();
    requests.push(("stop".into(), "risk.emergencyStop", json!({"scope": "global", "reason": "panic"})));
    let answers = pipeline(&mut client, &requests).await;
    let stop = answers.iter().find(|answer| answer["id"] == "stop").expect("every request has one answer");
    assert_eq!(stop["ok"], true, "{stop}");
    let refused: Vec<_> = answers.iter().filter(|answer| answer["ok"] == false).collect();
    assert!(!refused.is_empty(), "40 at once are too many");
    for answer in refused {
        assert_eq!(answer["error"]["code"], "RATE_LIMITED");
        assert_eq!(answer["error"]["retryable"], true);
    }
}

#[tokio::test]
async fn trades_modify_gives_orders_and_positions_new_terms_and_tells() {
    let server = Server::start().await;
    let mut client = server.operator().await;
    let subscription = json!({"topics": ["account.order.*"]});
    client.ok("feeds.subscribe", subscription).await;
    client.await_quote().await;
    let placed = client.ok("trades.place", resting_order("paper-1")).await;
    let updated = client.event("event.order.updated").await;
    assert_eq!(updated["payload"]["order"]["status"], "accepted");
    let topic = client.event_where("event.feed.event", |e| e["topic"] == "account.order.placed").await;
    assert_eq!(topic["payload"]["payload"]["order"]["orderId"], placed["orderId"]);
    let version = updated["payload"]["order"]["version"].as_u64().expect("a version");
    let terms = json!({"accountId": "paper-1", "orderId": placed["orderId"], "price": "1500", "volume": 0.02,
        "stopLoss": "1000", "expectedVersion": version, "idempotencyKey": "m"});
    let reply = client.ok("trades.modify", terms.clone()).await;
    assert_eq!((&reply["order"]["volume"], &reply["order"]["stopLoss"]), (&json!("0.02"), &json!("1000.00")));
    assert_eq!(client.ok("trades.modify", terms.clone()).await, reply, "one key, one answer");
    let told = client.event("event.trade.modified").await;
    assert_eq!(told["payload"]["order"]["price"], reply["order"]["price"]);
    let mut stale = terms;
    stale["idempotencyKey"] = json!("n");
    stale["price"] = json!("1600");
    let stale = client.refused("trades.modify", stale).await;
    assert_eq!((stale.0.as_str(), stale.1.as_str()), ("CONFLICT", "VERSION_STALE"));

    let opened = client.buy("paper-1", "0.10").await;
    let position = client.event("event.position.updated").await;
    assert_eq!(position["payload"]["position"]["positionId"], opened["positionId"]);
    let target = |more: Value| {
        let mut params = json!({"accountId": "paper-1", "positionId": opened["positionId"]});
        params.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        params
    };
    let set = client.ok("trades.modify", target(json!({"stopLoss": "1000", "takeProfit": "9000000"}))).await;
    assert_eq!(set["position"]["takeProfit"], "9000000.00");
    let removed = client.ok("trades.modify", target(json!({"takeProfit": null}))).await;
    assert_eq!(
        (&removed["position"]["takeProfit"], &removed["position"]["stopLoss"]),
        (&Value::Null, &json!("1000.00"))
    );
    for (params, reason, path) in [
        (target(json!({})), "FIELD_MISSING", "stopLoss"),
        (target(json!({"price": "1"})), "FIELD_CONFLICT", "price"),
        (target(json!({"tif": "day"})), "FIELD_CONFLICT", "tif"),
        (target(json!({"orderId": "o1", "price": "1"})), "FIELD_CONFLICT", "positionId"),
        (target(json!({"stopLoss": "1,5"})), "WRONG_TYPE", "stopLoss"),
    ] {
        let refused = client.refused("trades.modify", params.clone()).await;
        assert_eq!(
            (refused.1.as_str(), refused.2["details"]["path"].as_str()),
            (reason, Some(path)),
            "{params}"
        );
    }
    client
        .ok("trades.closePosition", json!({"accountId": "paper-1", "positionId": opened["positionId"]}))
        .await;
    let closed = client.event_where("event.position.updated", |e| e["closed"] == true).await;
    assert_eq!(
        closed["payload"]["position"]["volume"].as_str().map(|v| v.trim_end_matches(['0', '.'])),
        Some("")
    );
}

#[tokio::test]
async fn or05_or06_trades_place_puts_orders_into_groups() {
    let server = Server::start().await;
    let mut client = server.operator().await;
    client.await_quote().await;
    let order = |group: Value, more: Value| {
        let mut params = resting_order("paper-1");
        params["group"] = group;
        params.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        params
    };
    let bracket = || json!({"kind": "bracket", "id": "b-1"});
    let entry = client.ok("trades.place", order(bracket(), json!({}))).await;
    let target = json!({"side": "sell", "price": "9500000"});
    let seen = client.ok("risk.preview", order(bracket(), target.clone())).await;
    assert_eq!((&seen["allowed"], &seen["computed"]["marginRequired"]), (&json!(true), &Value::Null));
    let target = client.ok("trades.place", order(bracket(), target)).await;
    let protection = json!({"side": "sell", "type": "stop", "price": null, "stopPrice": "500"});
    let protection = client.ok("trades.place", order(bracket(), protection)).await;
    assert_eq!((&target["status"], &protection["status"]), (&json!("accepted"), &json!("accepted")));
    let get = async |client: &mut Client, id: &Value| {
        client.ok("trades.get", json!({"accountId": "paper-1", "orderId": id})).await["order"].clone()
    };
    let view = get(&mut client, &target["orderId"]).await;
    assert_eq!(view["group"], json!({"kind": "bracket", "id": "b-1", "parent": entry["orderId"]}));
    assert_eq!(view["reduceOnly"], true);

    // the entry meets the market, then its exit does: the other one is cancelled
    let at = |id: &Value| json!({"accountId": "paper-1", "orderId": id, "price": "9000000"});
    client.ok("trades.modify", at(&entry["orderId"])).await;
    assert_eq!(get(&mut client, &entry["orderId"]).await["status"], "filled");
    let mut exit = at(&target["orderId"]);
    exit["price"] = json!("600");
    client.ok("trades.modify", exit).await;
    assert_eq!(get(&mut client, &target["orderId"]).await["status"], "filled");
    let ended = get(&mut client, &protection["orderId"]).await;
    assert_eq!((&ended["status"], &ended["reason"]), (&json!("canceled"), &json!("OCO_FILLED")));
    let canceled = client.event("event.trade.canceled").await;
    assert_eq!(canceled["payload"]["order"]["orderId"], protection["orderId"]);

    for (group, more, reason) in [
        (bracket(), json!({}), "GROUP_ENDED"),
        (json!({"kind": "oco", "id": "o"}), json!({"type": "market", "price": null}), "GROUP_MISMATCH"),
        (json!({"kind": "oco", "id": "no such id"}), json!({}), "WRONG_TYPE"),
        (json!({"kind": "ota", "id": "o"}), json!({}), "WRONG_TYPE"),
        (json!({"kind": "oco"}), json!({}), "FIELD_MISSING"),
    ] {
        let refused = client.refused("trades.place", order(group.clone(), more)).await;
        assert_eq!(refused.1, reason, "{group}");
    }
}

#[tokio::test]
async fn trades_resolve_is_for_orders_of_unknown_fate_only() {
    let server = Server::start().await;
    let mut client = server.operator().await;
    client.await_quote().await;
    let placed = client.ok("trades.place", resting_order("paper-1")).await;
    let resolve = |more: Value| {
        let mut params = json!({"accountId": "paper-1", "orderId": placed["orderId"], "reason": "phoned"});
        params.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        params
    };
    let known = client.refused("trades.resolve", resolve(json!({"outcome": "not_executed"}))).await;
    assert_eq!((known.0.as_str(), known.1.as_str()), ("CONFLICT", "ORDER_NOT_UNKNOWN"));
    let fill = json!({"volume": "0.01", "price": "1000"});
    for (params, reason, path) in [
        (resolve(json!({"outcome": "filled"})), "FIELD_MISSING", "fill"),
        (resolve(json!({"outcome": "not_executed", "fill": fill})), "FIELD_CONFLICT", "fill"),
        (resolve(json!({"outcome": "perhaps"})), "WRONG_TYPE", "outcome"),
        (resolve(json!({"outcome": "filled", "fill": {"price": "1"}})), "FIELD_MISSING", "fill.volume"),
    ] {
        let refused = client.refused("trades.resolve", params.clone()).await;
        assert_eq!(
            (refused.1.as_str(), refused.2["details"]["path"].as_str()),
            (reason, Some(path)),
            "{params}"
        );
    }
}
