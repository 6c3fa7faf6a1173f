//! A gateway and `lockstep venue` as two processes.

use super::harness::{At, Place, account, await_order, await_status, place};
use crate::support::process::Gateway;
use serde_json::json;
use std::time::Duration;

/// A venue with one account, and a gateway with an account there that takes its quotes.
fn start(place: &Place) -> (Gateway, Gateway) {
    let venue = Gateway::start_venue("127.0.0.1:0", &place.path("venue"), &[]);
    let gateway = start_gateway(place, &venue);
    (venue, gateway)
}

fn start_gateway(place: &Place, venue: &Gateway) -> Gateway {
    let (address, token) = (venue.address(), venue.token());
    let config = place.configure(&[At { id: "demo-1", address, login: "paper-1", token: &token }]);
    let token_file = place.path("venue/operator.token");
    let feed = format!("venue:{address},token-file={}", token_file.display());
    place.gateway(&config, &["--feed", &feed])
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_live_their_lives_at_a_venue() {
    let folder = Place::new();
    let (_venue, gateway) = start(&folder);
    let mut client = gateway.operator().await;
    await_status(&mut client, "demo-1", "connected").await;
    client.await_quote("BTCUSD").await;
    assert_eq!(account(&mut client, "demo-1").await["balance"], "10000.00");

    let market = place(&mut client, "demo-1", "market", None).await;
    assert_eq!(market["status"], "filled", "{market}");
    let position = market["positionId"].as_str().expect("a position").to_owned();

    let resting = place(&mut client, "demo-1", "resting", Some("100.00")).await;
    assert_eq!(resting["status"], "accepted", "{resting}");
    let order = resting["orderId"].as_str().expect("an id").to_owned();
    let modified = client
        .call(
            "trades.modify",
            json!({ "accountId": "demo-1", "orderId": order, "price": "101.00", "volume": "0.03" }),
        )
        .await
        .expect("modified");
    assert_eq!(
        (&modified["order"]["price"], &modified["order"]["volume"]),
        (&json!("101.00"), &json!("0.03"))
    );
    let refused = client
        .call("trades.modify", json!({ "accountId": "demo-1", "orderId": order, "stopLoss": "102.00" }))
        .await
        .expect_err("a stop loss above the price");
    assert_eq!(refused.code().1, "STOPS_INVALID", "{refused}");
    let protected = client
        .call("trades.modify", json!({ "accountId": "demo-1", "positionId": position, "stopLoss": "100.00" }))
        .await
        .expect("modified");
    assert_eq!(protected["position"]["stopLoss"], "100.00");

    client.call("trades.cancel", json!({ "accountId": "demo-1", "orderId": order })).await.expect("canceled");
    await_order(&mut client, "demo-1", &order, "canceled").await;

    let part = client
        .call(
            "trades.closePosition",
            json!({ "accountId": "demo-1", "positionId": position, "volume": "0.01" }),
        )
        .await
        .expect("closed in part");
    assert_eq!(part["position"]["volume"], "0.01", "{part}");
    let rest = client
        .call("trades.closePosition", json!({ "accountId": "demo-1", "positionId": position }))
        .await
        .expect("closed");
    assert_eq!(rest["outcomes"][0]["state"], "done", "{rest}");
    let after = account(&mut client, "demo-1").await;
    assert_eq!((&after["positions"], &after["orders"]), (&json!([]), &json!([])));
    let status = await_status(&mut client, "demo-1", "connected").await;
    assert_eq!(status["unknownOrders"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn lv07_both_ends_go_on_where_they_were() {
    let folder = Place::new();
    let (venue, gateway) = start(&folder);
    let mut client = gateway.operator().await;
    await_status(&mut client, "demo-1", "connected").await;
    client.await_quote("BTCUSD").await;
    let held = place(&mut client, "demo-1", "held", None).await;
    let resting = place(&mut client, "demo-1", "resting", Some("100.00")).await;
    let before = account(&mut client, "demo-1").await;
    let books = |account: &serde_json::Value| {
        let orders: Vec<_> =
            account["orders"].as_array().expect("orders").iter().map(|o| o["orderId"].clone()).collect();
        let positions: Vec<_> = account["positions"]
            .as_array()
            .expect("positions")
            .iter()
            .map(|p| (p["positionId"].clone(), p["volume"].clone()))
            .collect();
        (account["balance"].clone(), orders, positions)
    };

    let bind = venue.address().to_owned();
    venue.kill();
    await_status(&mut client, "demo-1", "disconnected").await;
    let venue = Gateway::start_venue(&bind, &folder.path("venue"), &[]);
    await_status(&mut client, "demo-1", "connected").await;
    assert_eq!(books(&account(&mut client, "demo-1").await), books(&before));

    gateway.kill();
    let gateway = start_gateway(&folder, &venue);
    let mut client = gateway.operator().await;
    await_status(&mut client, "demo-1", "connected").await;
    assert_eq!(books(&account(&mut client, "demo-1").await), books(&before));
    client.await_quote("BTCUSD").await;

    // and business goes on
    let order = resting["orderId"].as_str().expect("an id").to_owned();
    client.call("trades.cancel", json!({ "accountId": "demo-1", "orderId": order })).await.expect("canceled");
    let position = &held["positionId"];
    // the venue's first quotes after its start may not be here yet
    let mut closed = Err(String::new());
    for _ in 0..100 {
        let params = json!({ "accountId": "demo-1", "positionId": position });
        closed = client.call("trades.closePosition", params).await.map_err(|error| error.to_string());
        if closed.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    closed.expect("closed");
    let after = account(&mut client, "demo-1").await;
    assert_eq!((&after["positions"], &after["orders"]), (&json!([]), &json!([])));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_is_an_error_that_says_so() {
    let folder = Place::new();
    let venue = Gateway::start_venue("127.0.0.1:0", &folder.path("venue"), &[]);
    let config = folder.configure(&[At {
        id: "demo-1",
        address: venue.address(),
        login: "paper-1",
        token: "gw_not-the-one",
    }]);
    let gateway = folder.gateway(&config, &[]);
    let mut client = gateway.operator().await;
    let status = await_status(&mut client, "demo-1", "error").await;
    let reason = status["lastError"].as_str().expect("a reason");
    assert!(reason.contains("TOKEN_UNKNOWN") && !reason.contains("gw_not-the-one"), "{reason}");
}
