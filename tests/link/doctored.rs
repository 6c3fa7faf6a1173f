//! A venue that lies: its account goes to `error` with a reason, and the account beside it trades on.

use super::harness::{At, Place, await_status, place};
use crate::support::{client::Client, process::Gateway};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

const PATIENCE: Duration = Duration::from_secs(20);

/// A session with the gateway, at the venue's end.
struct Peer(BufReader<TcpStream>);

impl Peer {
    async fn accept(listener: &TcpListener) -> Self {
        let accepted = tokio::time::timeout(PATIENCE, listener.accept()).await.expect("in time");
        Self(BufReader::new(accepted.expect("a connection").0))
    }

    /// Lets the gateway in and shows it empty books.
    async fn begin(listener: &TcpListener) -> Self {
        let mut peer = Self::accept(listener).await;
        assert_eq!(peer.next().await["type"], "logon");
        peer.say(json!({
            "type": "logon", "protocol": 1, "venue": "doctored 1", "log": "d1", "heartbeatMs": 500,
            "capabilities": { "fencing": true, "dedupe": true, "resend": true,
                "orderTypes": ["market", "limit"], "fillings": ["ioc", "fok", "return"],
                "modify": ["price", "volume", "stops"] },
        }))
        .await;
        assert_eq!(peer.next_of("sync").await["after"], 0);
        peer.say(json!({ "type": "snapshot",
            "snapshot": { "seq": 0, "balance": "10000.00", "currency": "USD", "orders": [], "positions": [] } }))
            .await;
        peer
    }

    async fn next(&mut self) -> Value {
        let mut line = String::new();
        let read = tokio::time::timeout(PATIENCE, self.0.read_line(&mut line)).await;
        read.expect("in time").expect("readable");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"))
    }

    async fn next_of(&mut self, kind: &str) -> Value {
        loop {
            let frame = self.next().await;
            if frame["type"] == kind {
                return frame;
            }
        }
    }

    async fn say(&mut self, frame: Value) {
        self.write(format!("{frame}\n").as_bytes()).await;
    }

    async fn write(&mut self, bytes: &[u8]) {
        // a gateway that has had enough does not read on
        let _ = self.0.get_mut().write_all(bytes).await;
    }
}

fn report(seq: u64, prev: u64, report: Value) -> Value {
    json!({ "type": "report", "seq": seq, "prev": prev, "report": report })
}

fn fill(order: Option<&str>) -> Value {
    let mut fill = json!({
        "kind": "fill", "fill": "x1", "position": "t1", "symbol": "BTCUSD", "side": "buy", "volume": "0.02",
        "price": "60000.00", "commission": "0", "realizedPnl": "0", "closes": false, "positionVolume": "0.02",
        "reason": "order", "ts": "2026-02-17T02:55:00Z",
    });
    if let Some(order) = order {
        fill["order"] = json!(order);
    }
    fill
}

fn with(mut value: Value, field: &str, other: Value) -> Value {
    value[field] = other;
    value
}

/// Two accounts: `bad` at a venue of the test, `good` at a true one.
struct World {
    gateway: Gateway,
    client: Client,
    listener: TcpListener,
    _venue: Gateway,
    _place: Place,
}

impl World {
    async fn new() -> Self {
        let folder = Place::new();
        let venue = Gateway::start_venue("127.0.0.1:0", &folder.path("venue"), &[]);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let token = venue.token();
        let config = folder.configure(&[
            At { id: "bad", address: &address, login: "x", token: "anything" },
            At { id: "good", address: venue.address(), login: "paper-1", token: &token },
        ]);
        let feed =
            format!("venue:{},token-file={}", venue.address(), folder.path("venue/operator.token").display());
        let gateway = folder.gateway(&config, &["--feed", &feed]);
        let client = gateway.operator().await;
        Self { gateway, client, listener, _venue: venue, _place: folder }
    }

    /// A lie ends the account in `error`.
    async fn lie(&mut self, what: &str, lie: &[u8], why: &str) {
        let mut peer = self.session().await;
        peer.write(lie).await;
        self.is_in_error(what, why).await;
    }

    /// A session of the bad account, connected again by an operator if it is in `error`.
    async fn session(&mut self) -> Peer {
        let Self { client, listener, .. } = self;
        let wanted = client.call("accounts.status", json!({ "accountId": "bad" })).await.expect("a status");
        let connect = async {
            if wanted["status"] == "error" {
                client
                    .call("accounts.connect", json!({ "accountId": "bad" }))
                    .await
                    .expect("connected again");
            }
        };
        let ((), peer) = tokio::join!(connect, Peer::begin(listener));
        await_status(client, "bad", "connected").await;
        peer
    }

    async fn is_in_error(&mut self, what: &str, why: &str) {
        let status = await_status(&mut self.client, "bad", "error").await;
        let reason = status["lastError"].as_str().expect("a reason");
        assert!(reason.contains(why), "{what}: {reason}");
    }
}

fn line(frame: &Value) -> Vec<u8> {
    format!("{frame}\n").into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn gw10_a_venue_that_lies_harms_its_own_account_only() {
    let mut world = World::new().await;
    await_status(&mut world.client, "good", "connected").await;
    world.client.await_quote("BTCUSD").await;

    let mut long = vec![b'x'; (4 << 20) + 2];
    long.push(b'\n');
    let deep = [vec![b'['; 100_000], b"\n".to_vec()].concat();
    let accepted = |order: &str| json!({ "kind": "accepted", "order": order });
    let stranger = "0123456789abcdef.o1";
    let lies: Vec<(&str, Vec<u8>, &str)> = vec![
        ("garbage", b"\x00\xff\xfe garbage\n".to_vec(), "not JSON"),
        ("half of HTTP", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), "not JSON"),
        ("depth", deep, "not JSON"),
        ("a line without end", long, "longer than"),
        ("an unknown frame", line(&json!({ "type": "teleport" })), "teleport"),
        ("a decimal as a number", line(&report(1, 0, with(fill(None), "price", json!(60000.0)))), "`price`"),
        ("too many digits", line(&report(1, 0, with(fill(None), "price", json!("1".repeat(40))))), "`price`"),
        (
            "a quote",
            line(
                &json!({ "type": "quote", "symbol": "BTCUSD", "bid": "1", "ask": "2", "ts": "2026-02-17T02:55:00Z" }),
            ),
            "does not belong",
        ),
        ("an unknown order", line(&report(1, 0, accepted(stranger))), "not ours"),
        ("an order that never was", line(&report(1, 0, accepted("o99"))), "not ours"),
        ("a fill of nobody's", line(&report(1, 0, fill(None))), "impossible"),
        ("a fill of a stranger's", line(&report(1, 0, fill(Some(stranger)))), "not ours"),
        ("another symbol", line(&report(1, 0, with(fill(None), "symbol", json!("XXXYYY")))), "XXXYYY"),
        ("off the grid", line(&report(1, 0, with(fill(None), "price", json!("60000.001")))), "grid"),
        ("an event without a number", line(&report(0, 0, fill(None))), "bears no number"),
        (
            "books of a stranger",
            line(&json!({ "type": "snapshot", "snapshot": {
            "seq": 0, "balance": "10000.00", "currency": "USD", "orders": [{ "order": stranger, "status": "working" }],
            "positions": [] } })),
            "no such open order",
        ),
        (
            "positions of a stranger",
            line(&json!({ "type": "snapshot", "snapshot": {
            "seq": 0, "balance": "10000.00", "currency": "USD", "orders": [], "positions": [{
                "position": "t9", "symbol": "BTCUSD", "side": "buy", "volume": "1.00", "openPrice": "60000.00" }] } })),
            "not ours",
        ),
        (
            "another currency",
            line(&json!({ "type": "snapshot", "snapshot": {
            "seq": 0, "balance": "10000", "currency": "EUR", "orders": [], "positions": [] } })),
            "EUR",
        ),
    ];
    for (index, (what, lie, why)) in lies.iter().enumerate() {
        world.lie(what, lie, why).await;
        let order = place(&mut world.client, "good", &format!("good-{index}"), Some("100.00")).await;
        assert_eq!(order["status"], "accepted", "{what}: the other account trades on");
    }
    drop(world.gateway);
}

#[tokio::test(flavor = "multi_thread")]
async fn gw10_fills_that_cannot_be_are_not_booked() {
    let mut world = World::new().await;
    world.client.await_quote("BTCUSD").await;
    let mut answers = Vec::new();
    for (what, field, value, why) in [
        ("more than was ordered", "volume", json!("0.03"), "more is filled"),
        ("the other side", "side", json!("sell"), "another symbol or side"),
        ("a wrong rest", "positionVolume", json!("0.05"), "it leaves"),
        ("an opening that closes", "closes", json!(true), "a reduction opens, or an opening order closes"),
    ] {
        let mut peer = world.session().await;
        let params = json!({
            "accountId": "bad", "symbol": "BTCUSD", "side": "buy", "type": "market", "volume": "0.02",
        });
        let mut client = world.gateway.operator().await;
        let placed = tokio::spawn(async move { client.call("trades.place", params).await });
        let submit = peer.next_of("submit").await;
        let order = submit["order"].as_str().expect("a name").to_owned();
        peer.say(report(1, 0, with(fill(Some(&order)), field, value))).await;
        world.is_in_error(what, why).await;
        let account = super::harness::account(&mut world.client, "bad").await;
        assert_eq!((&account["positions"], &account["balance"]), (&json!([]), &json!("10000.00")), "{what}");
        answers.push((what, placed));
        drop(peer);
        // the truth, when it is asked for again: the order never was
        let World { client, listener, .. } = &mut world;
        let connect = client.call("accounts.connect", json!({ "accountId": "bad" }));
        let truth = async {
            let mut peer = Peer::accept(listener).await;
            peer.next().await;
            peer.say(json!({ "type": "logon", "protocol": 1, "venue": "doctored 1", "log": what,
                "heartbeatMs": 500, "capabilities": { "fencing": true, "resend": true } }))
                .await;
            let sync = peer.next_of("sync").await;
            assert_eq!(sync["orders"], json!([order]), "{what}");
            peer.say(
                json!({ "type": "snapshot", "snapshot": { "seq": 0, "balance": "10000.00", "currency": "USD",
                "orders": [{ "order": order, "status": "unknown" }], "positions": [] } }),
            )
            .await;
            peer
        };
        let (connected, peer) = tokio::join!(connect, truth);
        connected.expect("connected again");
        let status = await_status(&mut world.client, "bad", "connected").await;
        assert_eq!(status["unknownOrders"], json!([]), "{what}");
        drop(peer);
        await_status(&mut world.client, "bad", "disconnected").await;
    }
    for (what, answer) in answers {
        assert!(answer.await.expect("answered").is_err(), "{what}: nobody says that it was done");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_report_is_asked_for_again() {
    let mut world = World::new().await;
    world.client.await_quote("BTCUSD").await;
    let mut peer = world.session().await;
    let mut client = world.gateway.operator().await;
    let params = json!({
        "accountId": "bad", "symbol": "BTCUSD", "side": "buy", "type": "limit", "price": "100.00", "volume": "0.02",
    });
    let placed = tokio::spawn(async move { client.call("trades.place", params).await });
    let order = peer.next_of("submit").await["order"].clone();
    // report 1 says that it was accepted, and is lost on the way
    peer.say(report(2, 1, json!({ "kind": "canceled", "order": order, "reason": "no mood" }))).await;
    let sync = peer.next_of("sync").await;
    assert_eq!((&sync["after"], &sync["orders"]), (&json!(0), &json!([order])));
    peer.say(report(1, 0, json!({ "kind": "accepted", "order": order }))).await;
    peer.say(report(2, 1, json!({ "kind": "canceled", "order": order, "reason": "no mood" }))).await;
    peer.say(json!({ "type": "snapshot", "snapshot": { "seq": 2, "balance": "10000.00", "currency": "USD",
        "orders": [{ "order": order, "status": "canceled", "volume": "0.02", "filled": "0" }], "positions": [] } }))
        .await;
    let reply = placed.await.expect("answered").expect("accepted, and then canceled");
    let id = reply["orderId"].as_str().expect("an id");
    super::harness::await_order(&mut world.client, "bad", id, "canceled").await;
    await_status(&mut world.client, "bad", "connected").await;
}
