//! Coming back: what was missed is sent, in order, each once (GW02); who cannot keep up is told.

use super::harness::{Client, Got, Server, connect_params, resting_order};
use serde_json::{Value, json};

async fn resume(server: &Server, cursor: &Value) -> (Client, Value) {
    let mut params = connect_params(&server.operator);
    params["resume"] = json!({"cursor": cursor});
    let mut client = server.open().await;
    let connected = client.ok("gateway.connect", params).await;
    (client, connected)
}

/// Places and cancels `count` orders: three critical events each.
async fn make_events(client: &mut Client, count: usize) {
    for _ in 0..count {
        let order = client.ok("trades.place", resting_order("paper-1")).await;
        client.ok("trades.cancel", json!({"accountId": "paper-1", "orderId": order["orderId"]})).await;
    }
}

async fn offsets(client: &mut Client, until: u64) -> Vec<u64> {
    let mut seen = Vec::new();
    while seen.last() != Some(&until) {
        match client.next().await {
            Got::Frame(frame) => seen.extend(frame["cursor"]["offset"].as_u64()),
            end => panic!("{end:?}"),
        }
    }
    seen
}

#[tokio::test]
async fn gw02_resume_and_live_together_are_the_log() {
    let server = Server::configured("[gateway]\nrequests_burst = 2000").await;
    let mut client = server.operator().await;
    client.await_quote().await;
    let start = client.ok("gateway.status", json!({})).await["head"].clone();
    let from = start["offset"].as_u64().expect("an offset");
    make_events(&mut client, 250).await;
    let (mut back, connected) = resume(&server, &start).await;
    assert_eq!(connected["recovered"], true);
    assert_eq!(connected["cursor"], start);
    // more happens while the log is replayed
    make_events(&mut client, 20).await;
    let head = client.ok("gateway.status", json!({})).await["head"]["offset"].as_u64().expect("an offset");
    assert!(head > connected["head"]["offset"].as_u64().expect("an offset"));
    let seen = offsets(&mut back, head).await;
    assert_eq!(seen, (from + 1..=head).collect::<Vec<_>>());
}

#[tokio::test]
async fn gw02_a_log_longer_than_the_queue_is_resumed_at_the_pace_of_the_socket() {
    let server = Server::configured("[gateway]\noutbound_frames = 16").await;
    let mut client = server.operator().await;
    client.await_quote().await;
    make_events(&mut client, 20).await;
    let head = client.ok("gateway.status", json!({})).await["head"].clone();
    let last = head["offset"].as_u64().expect("an offset");
    assert!(last > 3 * 16);
    let (mut back, _) = resume(&server, &json!({"epoch": head["epoch"], "offset": 0})).await;
    assert_eq!(offsets(&mut back, last).await, (1..=last).collect::<Vec<_>>());
}

#[tokio::test]
async fn gw02_a_cursor_outlives_a_restart() {
    let server = Server::start().await;
    let mut client = server.operator().await;
    client.await_quote().await;
    let start = client.ok("gateway.status", json!({})).await["head"].clone();
    make_events(&mut client, 2).await;
    let server = server.restart().await;
    let (mut back, connected) = resume(&server, &start).await;
    assert_eq!(connected["recovered"], true);
    let head = connected["head"]["offset"].as_u64().expect("an offset");
    let from = start["offset"].as_u64().expect("an offset");
    let seen = offsets(&mut back, head).await;
    assert_eq!(seen, (from + 1..=head).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_log_can_be_had_from_its_beginning() {
    let server = Server::start().await;
    let head = server.operator().await.ok("gateway.status", json!({})).await["head"].clone();
    let (mut back, connected) = resume(&server, &json!({"epoch": head["epoch"], "offset": 0})).await;
    assert_eq!(connected["recovered"], true);
    assert_eq!(connected["oldest"]["offset"], 0);
    let Got::Frame(first) = back.next().await else { panic!("the log has events") };
    assert_eq!(first["cursor"]["offset"], 1);
    assert_eq!(
        (&first["event"], &first["payload"]["state"]),
        (&json!("event.gateway.status"), &json!("ready"))
    );
    let status = back.event_where("event.account.status", |p| p["accountId"] == "paper-2").await;
    assert_eq!(status["payload"]["status"], "connected");
}

#[tokio::test]
async fn a_cursor_of_another_log_is_not_recovered() {
    let server = Server::start().await;
    let mut client = server.operator().await;
    let head = client.ok("gateway.status", json!({})).await["head"].clone();
    for cursor in [
        json!({"epoch": "0123456789abcdef", "offset": head["offset"]}),
        json!({"epoch": head["epoch"], "offset": 1_000_000}),
    ] {
        let (mut back, connected) = resume(&server, &cursor).await;
        assert_eq!(connected["recovered"], false);
        assert_eq!(connected["cursor"], connected["head"]);
        back.ok("gateway.ping", json!({})).await;
    }
    let mut params = connect_params(&server.operator);
    params["resume"] = json!({"cursor": {"epoch": "short", "offset": 1}});
    let (code, _, error) = server.open().await.refused("gateway.connect", params).await;
    assert_eq!((code.as_str(), &error["details"]["path"]), ("INVALID_PARAMS", &json!("resume.cursor.epoch")));
}

#[tokio::test]
async fn gw07_a_client_that_does_not_read_is_closed_and_nobody_else_notices() {
    let server = Server::configured("[gateway]\noutbound_frames = 64\nrequests_burst = 2000").await;
    let mut client = server.operator().await;
    client.await_quote().await;
    for _ in 0..200 {
        client.ok("trades.place", resting_order("paper-1")).await;
    }
    // some megabytes of answers fill the sockets' own buffers
    let mut slow = server.operator().await;
    for n in 0..400 {
        let request = json!({"type": "req", "id": format!("g{n}"), "method": "accounts.get",
            "params": {"accountId": "paper-1"}});
        slow.send(request.to_string()).await;
    }
    server.rt.sleep(std::time::Duration::from_millis(500)).await;
    let (_, connected) = resume(&server, &json!({"epoch": "0123456789abcdef", "offset": 0})).await;
    make_events(&mut client, 60).await;
    client.ok("gateway.ping", json!({})).await;
    assert_eq!(slow.closed().await, (1008, "SLOW_CONSUMER".into()));
    // it lost nothing that it cannot have back
    let (_, back) = resume(&server, &connected["cursor"]).await;
    assert_eq!(back["recovered"], true);
}
