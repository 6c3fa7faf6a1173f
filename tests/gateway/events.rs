//! The log of critical events, read by `events.fetch`.

use super::harness::{Client, Server, market_order, resting_order};
use serde_json::{Value, json};

/// Orders that are placed and canceled, and one that is denied.
async fn make_events(client: &mut Client, account: &str) {
    for _ in 0..3 {
        let order = client.ok("trades.place", resting_order(account)).await;
        client.ok("trades.cancel", json!({"accountId": account, "orderId": order["orderId"]})).await;
    }
    client.refused("trades.place", market_order(account, "0.001")).await;
}

async fn head(client: &mut Client) -> Value {
    client.ok("gateway.status", json!({})).await["head"].clone()
}

/// The whole log, in pages of `limit` events; `filter` is added to the parameters.
async fn pages(client: &mut Client, limit: usize, filter: &Value) -> Vec<Value> {
    let mut after = json!({"epoch": head(client).await["epoch"], "offset": 0});
    let mut all = Vec::new();
    loop {
        let mut params = json!({"after": after, "limit": limit});
        for (key, value) in filter.as_object().expect("an object") {
            params[key] = value.clone();
        }
        let page = client.ok("events.fetch", params).await;
        let events = page["events"].as_array().expect("a list");
        assert!(events.len() <= limit, "{page}");
        assert!(page["oldest"]["offset"].is_u64());
        all.extend(events.iter().cloned());
        if page["next"] == page["head"] {
            return all;
        }
        assert!(page["next"]["offset"].as_u64() > after["offset"].as_u64(), "it goes on: {page}");
        after = page["next"].clone();
    }
}

fn offsets(events: &[Value]) -> Vec<u64> {
    events.iter().map(|event| event["cursor"]["offset"].as_u64().expect("a cursor")).collect()
}

#[tokio::test]
async fn events_fetch_reads_what_was_sent_without_seq() {
    let server = Server::start().await;
    let mut client = server.operator().await;
    client.await_quote().await;
    let start = head(&mut client).await;
    make_events(&mut client, "paper-1").await;
    let end = head(&mut client).await;
    let fetched = client.ok("events.fetch", json!({"after": start})).await;
    assert_eq!((&fetched["next"], &fetched["head"]), (&end, &end));
    let events = fetched["events"].as_array().expect("a list");
    assert!(events.len() >= 10);
    for event in events {
        let mut frame = client.event_where(event["event"].as_str().expect("a name"), |_| true).await;
        let frame = frame.as_object_mut().expect("an object");
        frame.remove("seq").expect("frames have one");
        assert_eq!(frame.remove("type"), Some(json!("event")));
        assert_eq!(&Value::Object(frame.clone()), event);
    }
    let nothing = client.ok("events.fetch", json!({"after": end})).await;
    assert_eq!((&nothing["events"], &nothing["next"]), (&json!([]), &end));
}

#[tokio::test]
async fn events_fetch_goes_on_from_next_until_it_is_head() {
    let server = Server::start().await;
    let mut client = server.operator().await;
    client.await_quote().await;
    make_events(&mut client, "paper-1").await;
    let whole = pages(&mut client, 1_000, &json!({})).await;
    let last = whole.len() as u64;
    assert_eq!(offsets(&whole), (1..=last).collect::<Vec<_>>());
    for limit in [1, 3, whole.len()] {
        assert_eq!(pages(&mut client, limit, &json!({})).await, whole, "limit {limit}");
    }
    let server = server.restart().await;
    let again = pages(&mut server.operator().await, 7, &json!({})).await;
    assert_eq!(again[..whole.len()], whole, "a restart changes nothing that was told");
}

#[tokio::test]
async fn events_fetch_filters_by_type_account_and_rights() {
    let server = Server::start().await;
    let mut client = server.operator().await;
    client.await_quote().await;
    make_events(&mut client, "paper-1").await;
    make_events(&mut client, "paper-2").await;
    let stop = json!({"scope": "global", "reason": "drill"});
    client.ok("risk.emergencyStop", stop).await;
    let whole = pages(&mut client, 1_000, &json!({})).await;

    let of_account = |event: &Value, account: &str| {
        let payload = &event["payload"];
        [payload, &payload["order"], &payload["position"]].iter().any(|about| about["accountId"] == account)
    };
    let check = |filtered: &[Value], wanted: &dyn Fn(&Value) -> bool| {
        let expected: Vec<_> = whole.iter().filter(|event| wanted(event)).cloned().collect();
        assert!(!expected.is_empty());
        assert_eq!(filtered, expected);
    };
    let filter = json!({"accountId": "paper-2"});
    check(&pages(&mut client, 2, &filter).await, &|event| of_account(event, "paper-2"));
    let filter = json!({"types": ["event.risk.alert", "event.emergency_stop"]});
    check(&pages(&mut client, 2, &filter).await, &|event| {
        event["event"] == "event.risk.alert" || event["event"] == "event.emergency_stop"
    });
    // a filter that lets nothing through still comes to the end
    let filter = json!({"types": ["event.emergency_stop"], "accountId": "paper-1"});
    assert_eq!(pages(&mut client, 500, &filter).await, Vec::<Value>::new());

    let mut limited = server.connect(&server.token_for("paper-2")).await;
    let seen = pages(&mut limited, 3, &json!({})).await;
    assert!(seen.iter().all(|event| !of_account(event, "paper-1")), "rights are applied");
    let stop = seen.iter().find(|event| event["event"] == "event.emergency_stop").expect("it concerns all");
    assert!(!stop.to_string().contains("paper-1"), "{stop}");
    check(
        &seen.iter().filter(|event| event["event"] != "event.emergency_stop").cloned().collect::<Vec<_>>(),
        &|event| !of_account(event, "paper-1") && event["event"] != "event.emergency_stop",
    );
}

#[tokio::test]
async fn events_fetch_refuses_cursors_that_the_log_does_not_go_on_from() {
    let server = Server::start().await;
    let mut client = server.operator().await;
    let head = head(&mut client).await;
    for after in [
        json!({"epoch": "0123456789abcdef", "offset": 0}),
        json!({"epoch": head["epoch"], "offset": 1_000_000}),
    ] {
        let (code, reason, error) = client.refused("events.fetch", json!({"after": after})).await;
        assert_eq!((code.as_str(), reason.as_str()), ("CONFLICT", "CURSOR_EXPIRED"), "{after}");
        assert_eq!(error["details"]["head"], head);
        assert_eq!(error["details"]["oldest"], json!({"epoch": head["epoch"], "offset": 0}));
    }
}

#[tokio::test]
async fn events_fetch_names_what_is_wrong() {
    let server = Server::start().await;
    let mut client = server.connect(&server.token_for("paper-2")).await;
    let after = head(&mut client).await;
    for (change, code, reason, path) in [
        (json!({"after": null}), "INVALID_PARAMS", "WRONG_TYPE", json!("after")),
        (json!({"limit": 0}), "INVALID_PARAMS", "OUT_OF_RANGE", json!("limit")),
        (json!({"limit": 1_001}), "INVALID_PARAMS", "OUT_OF_RANGE", json!("limit")),
        (
            json!({"types": ["event.risk.alert", "event.trade"]}),
            "INVALID_PARAMS",
            "UNKNOWN_EVENT",
            json!("types[1]"),
        ),
        // known, and not critical: never in the log
        (json!({"types": ["event.gateway.tick"]}), "INVALID_PARAMS", "UNKNOWN_EVENT", json!("types[0]")),
        (json!({"types": vec!["event.risk.alert"; 65]}), "INVALID_PARAMS", "OUT_OF_RANGE", json!("types")),
        (json!({"accountId": "paper-1"}), "NOT_FOUND", "ACCOUNT_UNKNOWN", Value::Null),
    ] {
        let mut params = json!({"after": after});
        for (key, value) in change.as_object().expect("an object") {
            params[key] = value.clone();
        }
        let (got, why, error) = client.refused("events.fetch", params.clone()).await;
        assert_eq!((got.as_str(), why.as_str()), (code, reason), "{params}");
        assert_eq!(error["details"]["path"], path, "{params}");
    }
}
