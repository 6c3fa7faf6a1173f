//! GW02 at every byte: a client whose connection ends anywhere in what the gateway sends, and that resumes
//! from the last event it has seen whole, ends with exactly the log.

use super::harness::{Client, Server, connect_params, resting_order};
use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::Mutex,
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{Message, protocol::WebSocketConfig},
};

/// Events of the log that is sent and cut.
const EVENTS: u64 = 40;
/// Clients at a time.
const CLIENTS: usize = 16;
/// For every so many-th byte something happens while the client comes back.
const LIVE_EVERY: usize = 1_024;
/// Nothing takes longer, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// A socket that ends, without a goodbye, after so many bytes from the gateway.
struct Cut {
    stream: TcpStream,
    left: usize,
    received: Arc<AtomicUsize>,
}

impl AsyncRead for Cut {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.left == 0 {
            return Poll::Ready(Ok(()));
        }
        let wanted = self.left.min(buffer.remaining());
        let read = {
            let mut part = ReadBuf::new(buffer.initialize_unfilled_to(wanted));
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut part))?;
            part.filled().len()
        };
        buffer.advance(read);
        self.left -= read;
        self.received.fetch_add(read, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Cut {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// What a client knows: every event that it has applied, in order.
#[derive(Debug, Default)]
struct Known {
    offset: u64,
    applied: Vec<String>,
}

impl Known {
    /// Applies a frame, if it is a critical event and new.
    fn apply(&mut self, text: &str) {
        let Some(rest) = text.strip_prefix(r#"{"type":"event","#) else { return };
        let Some((name, rest)) = rest.split_once(r#""seq":"#) else { panic!("no seq: {text}") };
        let (_, rest) = rest.split_once(',').expect("something follows the seq");
        let Some(offset) = offset(rest) else { return };
        if offset > self.offset {
            self.offset = offset;
            self.applied.push(format!("{{{name}{rest}"));
        }
    }
}

/// The offset of the first cursor in a frame. (Thousands of frames are read: a search is enough.)
fn offset(text: &str) -> Option<u64> {
    let (_, offset) = text.split_once(r#""offset":"#)?;
    offset.split_once('}')?.0.parse().ok()
}

/// Where everything happens.
struct Stage {
    address: String,
    token: String,
    epoch: String,
    /// Who makes things happen; taken while something does.
    operator: Mutex<Client>,
    /// As `events.fetch` tells it; grows.
    log: Mutex<Vec<String>>,
}

impl Stage {
    /// Connects, resumes behind what is known, and applies events: until the head that `gateway.connect`
    /// told is reached and `until`, too; or until the stream ends. Returns the head.
    async fn follow(&self, known: &mut Known, stream: Cut, until: impl Future<Output = u64>) -> Option<u64> {
        let url = format!("ws://{}/ws", self.address);
        let small = WebSocketConfig::default().read_buffer_size(4 << 10);
        let (mut socket, _) = client_async_with_config(url, stream, Some(small)).await.ok()?;
        let mut params = connect_params(&self.token);
        params["resume"] = json!({"cursor": {"epoch": self.epoch, "offset": known.offset}});
        let request = json!({"type": "req", "id": "c", "method": "gateway.connect", "params": params});
        socket.send(Message::text(request.to_string())).await.ok()?;
        let answer = next_text(&mut socket).await?;
        assert!(answer.contains(r#""recovered":true"#), "{answer}");
        let (_, head) = answer.split_once(r#""head":"#).expect("the answer tells the head");
        let head = offset(head).expect("the head is a cursor").max(until.await);
        while known.offset < head {
            known.apply(&next_text(&mut socket).await?);
        }
        Some(head)
    }

    /// A socket to the gateway that ends after so many bytes.
    async fn socket(&self, bytes: usize) -> Cut {
        let stream = TcpStream::connect(&self.address).await.expect("the gateway listens");
        // it ends as a lost connection does, and leaves no port behind
        stream.set_zero_linger().expect("a TCP option");
        Cut { stream, left: bytes, received: Arc::default() }
    }

    /// An order comes and goes, and trading is stopped and resumed, twice; returns the head after it.
    async fn happen(&self) -> u64 {
        let mut operator = self.operator.lock().await;
        let order = operator.ok("trades.place", resting_order("paper-1")).await;
        let cancel = json!({"accountId": "paper-1", "orderId": order["orderId"]});
        operator.ok("trades.cancel", cancel).await;
        for _ in 0..2 {
            let scope = json!({"scope": "account", "id": "paper-1", "actions": ["pause"], "reason": "r"});
            operator.ok("risk.emergencyStop", scope).await;
            operator.ok("risk.resume", json!({"scope": "account", "id": "paper-1", "reason": "r"})).await;
        }
        operator.ok("gateway.status", json!({})).await["head"]["offset"].as_u64().expect("an offset")
    }

    /// The client that was cut after `bytes`.
    async fn check(&self, bytes: usize) {
        let mut known = Known::default();
        let cut = self.socket(bytes).await;
        // it may have read the last event with the last byte
        self.follow(&mut known, cut, async { u64::MAX }).await;
        let seen = known.applied.len();
        let whole = self.socket(usize::MAX).await;
        let live = async { if bytes.is_multiple_of(LIVE_EVERY) { self.happen().await } else { 0 } };
        let head = self.follow(&mut known, whole, live).await.expect("the whole stream");
        assert!(known.applied.len() as u64 >= head, "cut after {bytes} bytes and {seen} events");
        let mut log = self.log.lock().await;
        if log.len() < known.applied.len() {
            *log = self.fetch().await;
        }
        assert_eq!(known.applied, log[..known.applied.len()], "cut after {bytes} bytes and {seen} events");
    }

    /// The log from its beginning.
    async fn fetch(&self) -> Vec<String> {
        #[derive(Deserialize)]
        struct Answer {
            payload: Payload,
        }
        #[derive(Deserialize)]
        struct Payload {
            events: Vec<Box<RawValue>>,
            next: Value,
            head: Value,
        }
        let mut operator = self.operator.lock().await;
        let after = json!({"epoch": self.epoch, "offset": 0});
        let params = json!({"after": after, "limit": 1_000});
        let text = operator.text("events.fetch", params).await;
        let Answer { payload } = serde_json::from_str(&text).expect("an answer");
        assert_eq!(payload.next, payload.head, "all of it in one page");
        payload.events.iter().map(|event| event.get().to_owned()).collect()
    }
}

async fn next_text(socket: &mut WebSocketStream<Cut>) -> Option<String> {
    loop {
        match socket.next().await?.ok()? {
            Message::Text(text) => return Some(text.as_str().to_owned()),
            Message::Close(close) => panic!("the gateway closed: {close:?}"),
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gw02_a_client_cut_at_every_byte_ends_with_exactly_the_log() {
    let limits = "[gateway]\nunauthenticated_sockets_per_address = 256\nrequests_burst = 1000\n\
        control_writes_per_minute = 1000";
    let server = Server::configured(limits).await;
    let mut operator = server.operator().await;
    operator.await_quote().await;
    let head = operator.ok("gateway.status", json!({})).await["head"].clone();
    let stage = Arc::new(Stage {
        address: server.address.clone(),
        token: server.operator.clone(),
        epoch: head["epoch"].as_str().expect("an epoch").to_owned(),
        operator: Mutex::new(operator),
        log: Mutex::default(),
    });
    while stage.happen().await < EVENTS {}
    *stage.log.lock().await = stage.fetch().await;

    // everything that the gateway sends: the upgrade, the answer, and the events
    let mut known = Known::default();
    let whole = stage.socket(usize::MAX).await;
    let received = Arc::clone(&whole.received);
    stage.follow(&mut known, whole, async { 0 }).await.expect("the whole stream");
    assert_eq!(known.applied, *stage.log.lock().await);
    let total = received.load(Ordering::Relaxed);
    assert!(total > 10_000, "{total} bytes");

    let next = Arc::new(AtomicUsize::new(0));
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..CLIENTS {
        let (stage, next) = (Arc::clone(&stage), Arc::clone(&next));
        clients.spawn(async move {
            loop {
                let bytes = next.fetch_add(1, Ordering::Relaxed);
                if bytes > total {
                    return;
                }
                let check = timeout(PATIENCE, stage.check(bytes));
                check.await.unwrap_or_else(|_| panic!("the client that was cut after {bytes} bytes hangs"));
            }
        });
    }
    while let Some(ended) = clients.join_next().await {
        ended.expect("every client ends with the log");
    }
    assert!(
        stage.fetch().await.len() as u64 > EVENTS + 2 * (total / LIVE_EVERY) as u64,
        "it went on meanwhile"
    );
}
