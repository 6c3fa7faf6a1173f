//! The connector against a venue that the test plays line by line.

#![expect(clippy::disallowed_methods, reason = "a test is a host: it waits by the clock")]

use super::*;
use crate::{
    domain::{
        account::LinkSettings,
        id::OrderId,
        instrument::{InstrumentId, Volume, built_in},
        message::{ErrorCode, LinkEvent, NotSent, VenueOrder},
        order::{Filling, OrderType, Side},
    },
    node::host::{PrivateFiles, TokioRuntime},
};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc, oneshot},
};

const PATIENCE: Duration = Duration::from_secs(10);
const TOKEN: &str = "gw_the-venue's-secret";

/// The engine's side: keeps what enters. News is taken as long as there are permits.
struct Engine {
    news: mpsc::UnboundedSender<LinkInput>,
    room: Arc<Semaphore>,
}

impl Entrance for Engine {
    fn report(&self, input: LinkInput) -> BoxFuture<Result<Entered, Refusal>> {
        let (news, room) = (self.news.clone(), Arc::clone(&self.room));
        Box::pin(async move {
            room.acquire().await.expect("open").forget();
            let (durable, entered) = oneshot::channel();
            durable.send(Ok(1)).expect("held");
            let gone = |_| Refusal::new(ErrorCode::InternalError, "GONE", "gone");
            news.send(input).map_err(gone).map(|()| entered)
        })
    }

    fn is_closed(&self) -> bool {
        self.news.is_closed()
    }
}

struct Stage {
    connectors: Connectors,
    news: mpsc::UnboundedReceiver<LinkInput>,
    room: Arc<Semaphore>,
    listener: TcpListener,
    settings: LinkSettings,
    _directory: tempfile::TempDir,
}

/// A session as the venue sees it.
struct Peer(BufReader<TcpStream>);

fn account() -> AccountId {
    AccountId::new("demo-1").expect("an id")
}

fn link(request: LinkRequest) -> VenueRequest {
    VenueRequest::Link { account: account(), request }
}

fn order(id: u64) -> VenueRequest {
    VenueRequest::Submit(VenueOrder {
        stop_price: None,
        trail: None,
        tif: crate::domain::order::TimeInForce::Gtc,
        expires_at: None,
        post_only: false,
        group: None,
        account: account(),
        order: OrderId(id),
        instrument: InstrumentId(0),
        side: Side::Buy,
        order_type: OrderType::Market,
        volume: Volume(1),
        price: None,
        stop_loss: None,
        take_profit: None,
        filling: Filling::Ioc,
        position: None,
        venue_position: None,
    })
}

fn cancel(id: u64) -> VenueRequest {
    VenueRequest::Cancel { account: account(), order: OrderId(id) }
}

fn sync() -> VenueRequest {
    link(LinkRequest::Sync { log: None, after: 0, fills_after: None, orders: vec![OrderId(4)] })
}

impl Stage {
    async fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let rt: Rt = Arc::new(TokioRuntime::new());
        let files = Arc::new(PrivateFiles::new(directory.path()));
        let vault = Arc::new(Vault::open(Arc::clone(&rt), files).expect("a vault"));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let settings = LinkSettings {
            address: listener.local_addr().expect("an address").to_string(),
            login: "their-name".into(),
            secret: Some(vault.seal(TOKEN).expect("sealed")),
        };
        let connectors = Connectors::new(rt, vault, Epoch(0xaa), built_in().into());
        let (sender, news) = mpsc::unbounded_channel();
        let room = Arc::new(Semaphore::new(1_000));
        connectors.attach(Arc::new(Engine { news: sender, room: Arc::clone(&room) }));
        Self { connectors, news, room, listener, settings, _directory: directory }
    }

    fn open(&self) {
        self.connectors.send(vec![link(LinkRequest::Open(self.settings.clone()))]);
    }

    async fn accept(&self) -> Peer {
        let (stream, _) = within(self.listener.accept()).await.expect("a connection");
        Peer(BufReader::new(stream))
    }

    async fn next(&mut self) -> LinkEvent {
        let input = within(self.news.recv()).await.expect("news");
        assert_eq!(input.account, account());
        input.event
    }

    /// A session that the engine has begun.
    async fn session(&mut self) -> Peer {
        self.open();
        let mut peer = self.accept().await;
        peer.let_in().await;
        assert!(matches!(self.next().await, LinkEvent::Up(_)));
        self.connectors.send(vec![sync()]);
        assert_eq!(peer.next().await["type"], "sync");
        peer
    }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("in time")
}

impl Peer {
    async fn next(&mut self) -> Value {
        let mut line = String::new();
        within(self.0.read_line(&mut line)).await.expect("readable");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"))
    }

    /// The next frame that is no heartbeat: its number, type and order.
    async fn about(&mut self) -> String {
        loop {
            let frame = self.next().await;
            if frame["type"] != "heartbeat" {
                let order = frame["order"].as_str().unwrap_or_default();
                return format!("{} {} {order}", frame["seq"], frame["type"].as_str().expect("a type"));
            }
        }
    }

    async fn say(&mut self, frame: Value) {
        self.write(&format!("{frame}\n")).await;
    }

    async fn write(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).await.expect("writable");
    }

    async fn let_in(&mut self) {
        let logon = self.next().await;
        assert_eq!(logon["type"], "logon");
        assert_eq!((&logon["account"], &logon["token"]), (&json!("their-name"), &json!(TOKEN)));
        self.say(json!({
            "type": "logon", "protocol": 1, "venue": "test", "log": "l1", "heartbeatMs": 100,
            "capabilities": { "fencing": true, "resend": true, "unheardOf": true },
        }))
        .await;
    }

    async fn is_gone(&mut self) {
        let mut rest = String::new();
        while within(self.0.read_line(&mut rest)).await.unwrap_or(0) > 0 {
            rest.clear();
        }
    }
}

#[tokio::test]
async fn a_session_begins_with_the_engines_sync_and_carries_orders() {
    let mut stage = Stage::new().await;
    stage.open();
    let mut peer = stage.accept().await;
    peer.let_in().await;
    let LinkEvent::Up(up) = stage.next().await else { panic!("not up") };
    assert_eq!(up.log, "l1");
    assert!(up.capabilities.fencing && up.capabilities.resend && !up.capabilities.dedupe);
    // released before the engine knew of this session: not for it
    stage.connectors.send(vec![order(1), cancel(2)]);
    stage.connectors.send(vec![sync(), order(3)]);
    let frame = peer.next().await;
    assert_eq!((&frame["seq"], &frame["type"]), (&json!(1), &json!("sync")));
    assert_eq!(frame["orders"], json!(["00000000000000aa.o4"]));
    assert_eq!(peer.about().await, "2 submit 00000000000000aa.o3");
    assert_eq!(stage.next().await, LinkEvent::NotSent(NotSent { orders: vec![OrderId(1)], terms: vec![] }));
    peer.say(json!({ "type": "report", "seq": 5, "prev": 0,
        "report": { "kind": "accepted", "order": "00000000000000aa.o3", "venueOrder": "9" } }))
        .await;
    let LinkEvent::Report(report) = stage.next().await else { panic!("no report") };
    assert_eq!((report.seq, report.prev), (5, 0));
    let accepted =
        crate::domain::message::LinkReport::Accepted { order: "o3".into(), venue_order: Some("9".into()) };
    assert_eq!(report.report, accepted);
    peer.say(json!({ "type": "heartbeat" })).await;
    peer.say(json!({ "type": "heartbeat", "last": 5 })).await;
    assert_eq!(stage.next().await, LinkEvent::Heartbeat { last: 5 }, "one that says nothing is nothing");
    peer.say(json!({ "type": "status", "orders": [{ "order": "stranger", "status": "working" }] })).await;
    let LinkEvent::Status(states) = stage.next().await else { panic!("no status") };
    assert_eq!(states[0].order, "?stranger");
}

#[tokio::test]
async fn lv03_a_lost_session_is_told_before_the_next_one_begins() {
    let mut stage = Stage::new().await;
    let peer = stage.session().await;
    drop(peer);
    assert!(matches!(stage.next().await, LinkEvent::Down { .. }));
    stage.connectors.send(vec![order(1)]);
    let mut peer = stage.accept().await;
    peer.let_in().await;
    assert!(matches!(stage.next().await, LinkEvent::Up(_)));
    stage.connectors.send(vec![order(2), sync()]);
    assert_eq!(peer.about().await, "1 sync ", "neither order is for this session");
}

#[tokio::test]
async fn silence_is_death_and_so_is_a_venue_that_cannot_be_reached() {
    let mut stage = Stage::new().await;
    let _silent = stage.session().await;
    let LinkEvent::Down { reason } = stage.next().await else { panic!("not down") };
    assert!(reason.contains("silent"), "{reason}");
    let Stage { listener, .. } = &stage;
    let address = listener.local_addr().expect("an address");
    stage.listener = TcpListener::bind("127.0.0.1:0").await.expect("another port");
    let LinkEvent::Down { reason } = stage.next().await else { panic!("not down") };
    assert!(reason.contains(&address.to_string()), "{reason}");
}

#[tokio::test]
async fn what_breaks_the_protocol_is_a_fault_and_is_not_tried_again() {
    let garbage: [(&str, &str); 6] = [
        ("not JSON at all\n", "not JSON"),
        ("{\"type\":\"teleport\"}\n", "teleport"),
        (
            "{\"type\":\"quote\",\"symbol\":\"EURUSD\",\"bid\":\"1\",\"ask\":\"2\",\"ts\":\"2026-02-17T02:55:00Z\"}\n",
            "does not belong",
        ),
        ("{\"type\":\"report\",\"seq\":1,\"prev\":0,\"report\":{\"kind\":\"fill\"}}\n", "frame `report`"),
        ("\u{0}\u{1}\u{2}\n", "not JSON"),
        (
            "{\"type\":\"status\",\"orders\":[{\"order\":\"o1\",\"status\":\"working\",\"volume\":0.1}]}\n",
            "`volume`",
        ),
    ];
    for (line, why) in garbage {
        let mut stage = Stage::new().await;
        let mut peer = stage.session().await;
        peer.write(line).await;
        let LinkEvent::Fault { reason } = stage.next().await else { panic!("no fault: {line}") };
        assert!(reason.contains(why), "{reason}");
        peer.is_gone().await;
        let again = tokio::time::timeout(Duration::from_millis(600), stage.listener.accept()).await;
        assert!(again.is_err(), "no session until the engine wants one");
        stage.open();
        stage.accept().await.let_in().await;
        assert!(matches!(stage.next().await, LinkEvent::Up(_)));
    }
}

#[tokio::test]
async fn a_refused_logon_is_a_fault_that_shows_no_secret() {
    let mut stage = Stage::new().await;
    stage.open();
    let mut peer = stage.accept().await;
    peer.next().await;
    peer.say(json!({ "type": "reject", "reason": "TOKEN_UNKNOWN", "message": "who are you?" })).await;
    let LinkEvent::Fault { reason } = stage.next().await else { panic!("no fault") };
    assert!(reason.contains("TOKEN_UNKNOWN") && !reason.contains(TOKEN), "{reason}");
}

#[tokio::test]
async fn rk05_a_purge_takes_back_what_is_not_on_the_wire() {
    let mut stage = Stage::new().await;
    let mut peer = stage.session().await;
    stage.connectors.send(vec![order(1), cancel(7), order(2), link(LinkRequest::Purge)]);
    let LinkEvent::NotSent(taken) = stage.next().await else { panic!("nothing was taken back") };
    assert_eq!(taken.orders, [OrderId(1), OrderId(2)], "of one commit, in one piece");
    assert_eq!(peer.about().await, "2 cancel 00000000000000aa.o7");
}

#[tokio::test]
async fn rk05_an_order_that_did_not_arrive_is_void() {
    let mut stage = Stage::new().await;
    let mut peer = stage.session().await;
    stage.connectors.send(vec![order(1), cancel(1)]);
    assert_eq!(peer.about().await, "2 submit 00000000000000aa.o1");
    assert_eq!(peer.about().await, "3 cancel 00000000000000aa.o1");
    peer.say(json!({ "type": "resend", "after": 1 })).await;
    assert_eq!(stage.next().await, LinkEvent::NotSent(NotSent { orders: vec![OrderId(1)], terms: vec![] }));
    let skip = loop {
        let frame = peer.next().await;
        if frame["type"] == "skip" {
            break frame;
        }
    };
    assert_eq!((&skip["seq"], &skip["to"]), (&json!(2), &json!(2)));
    assert_eq!(peer.about().await, "3 cancel 00000000000000aa.o1");
}

#[tokio::test]
async fn without_room_in_the_engine_a_venue_waits_and_cancels_still_go_out() {
    let mut stage = Stage::new().await;
    let mut peer = stage.session().await;
    stage.room.forget_permits(usize::MAX >> 4);
    for last in 1..=3 {
        peer.say(json!({ "type": "heartbeat", "last": last })).await;
    }
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert!(stage.news.try_recv().is_err(), "and it is not taken for silent meanwhile");
    stage.connectors.send(vec![cancel(1)]);
    assert!(peer.about().await.ends_with("cancel 00000000000000aa.o1"));
    stage.room.add_permits(100);
    for last in 1..=3 {
        assert_eq!(stage.next().await, LinkEvent::Heartbeat { last });
    }
}

#[tokio::test]
async fn a_failed_commit_begins_the_session_anew() {
    let mut stage = Stage::new().await;
    let mut peer = stage.session().await;
    stage.connectors.reset("the journal failed");
    let LinkEvent::Down { reason } = stage.next().await else { panic!("not down") };
    assert_eq!(reason, "the journal failed");
    peer.is_gone().await;
    stage.accept().await.let_in().await;
    assert!(matches!(stage.next().await, LinkEvent::Up(_)));
}

#[tokio::test]
async fn a_session_that_is_not_wanted_ends_and_another_venue_is_gone_to() {
    let mut stage = Stage::new().await;
    let mut peer = stage.session().await;
    stage.connectors.send(vec![link(LinkRequest::Close), order(1)]);
    peer.is_gone().await;
    assert_eq!(stage.next().await, LinkEvent::NotSent(NotSent { orders: vec![OrderId(1)], terms: vec![] }));
    let again = tokio::time::timeout(Duration::from_millis(600), stage.listener.accept()).await;
    assert!(again.is_err(), "none is wanted");
    stage.session().await;
    assert!(stage.news.try_recv().is_err(), "whoever asked for it needs no news of it");
}

#[tokio::test]
async fn a_credential_that_is_not_in_the_vault_is_a_fault() {
    let mut stage = Stage::new().await;
    stage.settings.secret = Some(crate::domain::id::SecretId::new("sec-0000").expect("an id"));
    stage.open();
    let LinkEvent::Fault { reason } = stage.next().await else { panic!("no fault") };
    assert!(reason.contains("vault"), "{reason}");
}
