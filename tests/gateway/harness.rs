//! A gateway in this process, and a client that speaks to it in bytes only.

use futures_util::{SinkExt, StreamExt};
use lockstep::{
    domain::id::AccountId,
    gateway::Shutdown,
    node::{
        config::FileConfig,
        host::{FileStorage, PrivateFiles, TokioRuntime},
        runtime::{Rt, TaskKind, timeout},
        services::{NoProbe, Services, SyntheticMarkets},
        tokens::{Accounts, Role, Scope, TokenStore},
    },
    serve::{ServeOptions, serve},
};
use serde_json::{Value, json};
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Bytes, Message},
};

/// Nothing here takes longer, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// A gateway with two paper accounts, `paper-1` and `paper-2`, on synthetic quotes.
pub struct Server {
    pub rt: Rt,
    pub address: String,
    pub operator: String,
    pub tokens: Arc<TokenStore>,
    directory: TempDir,
    config: FileConfig,
    stop: Option<(oneshot::Sender<Shutdown>, oneshot::Receiver<()>)>,
}

impl Server {
    /// One with default settings.
    pub async fn start() -> Self {
        Self::configured("").await
    }

    /// One whose `lockstep.toml` has these lines too.
    pub async fn configured(toml: &str) -> Self {
        let accounts = "[[accounts]]\nid = \"paper-1\"\n[[accounts]]\nid = \"paper-2\"\n";
        let mut config =
            FileConfig::parse("lockstep.toml", &format!("{toml}\n{accounts}"), &|_| None).expect("a config");
        // only tests of the rate go at a person's pace
        config.gateway.trades_per_second.get_or_insert(1_000_000);
        config.gateway.trades_burst.get_or_insert(1_000_000);
        Self::run(TempDir::new().expect("a directory"), config).await
    }

    async fn run(directory: TempDir, config: FileConfig) -> Self {
        let rt: Rt = Arc::new(TokioRuntime::new());
        let services = Services {
            storage: Arc::new(FileStorage::new(directory.path())),
            files: Arc::new(PrivateFiles::new(directory.path())),
            markets: Arc::new(SyntheticMarkets),
            probe: Arc::new(NoProbe),
        };
        let mut options = ServeOptions::from(config.clone());
        options.bind = "127.0.0.1:0".into();
        let (ready, is_ready) = oneshot::channel();
        let (stop, stopped) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let server = serve(Arc::clone(&rt), services, options, ready, stopped);
        let server = async move {
            server.await.expect("the gateway drains without an error");
            let _ = end.send(());
        };
        rt.spawn("gateway under test", TaskKind::Session, Box::pin(server));
        let ready = timeout(&rt, PATIENCE, is_ready).await.expect("it starts in time").expect("it starts");
        let operator = std::fs::read_to_string(directory.path().join("operator.token")).expect("a token");
        Self {
            rt,
            address: ready.address,
            operator: operator.trim().into(),
            tokens: ready.tokens,
            directory,
            config,
            stop: Some((stop, ended)),
        }
    }

    /// Drains it, as SIGTERM does.
    pub async fn stop(&mut self) {
        self.end(Shutdown::Stop).await;
    }

    /// Drains it, as a signal does.
    pub async fn end(&mut self, shutdown: Shutdown) {
        let (stop, ended) = self.stop.take().expect("it runs");
        stop.send(shutdown).expect("it runs");
        timeout(&self.rt, PATIENCE, ended).await.expect("it drains in time").expect("it drains");
    }

    /// Drains it and starts another on its data.
    pub async fn restart(mut self) -> Self {
        self.stop().await;
        Self::run(self.directory, self.config).await
    }

    /// The data directory.
    pub fn directory(&self) -> &std::path::Path {
        self.directory.path()
    }

    /// A token of this role that sees all accounts.
    pub fn token(&self, role: Role, scopes: &[Scope]) -> String {
        self.tokens.issue(role, scopes.iter().copied().collect(), Accounts::All).expect("a token")
    }

    /// An operator's token that sees one account only.
    pub fn token_for(&self, account: &str) -> String {
        let account = AccountId::new(account).expect("an id");
        let accounts = Accounts::Only([account].into());
        self.tokens.issue(Role::Operator, Role::Operator.scopes(), accounts).expect("a token")
    }

    /// A socket that has not connected.
    pub async fn open(&self) -> Client {
        let stream = TcpStream::connect(&self.address).await.expect("the gateway listens");
        let url = format!("ws://{}/ws", self.address);
        let (socket, _) = client_async(url, stream).await.expect("the upgrade");
        Client { rt: Arc::clone(&self.rt), socket, events: VecDeque::new(), seq: 0, sent: 0 }
    }

    /// A connected session of this token.
    pub async fn connect(&self, token: &str) -> Client {
        let mut client = self.open().await;
        client.connect(token).await;
        client
    }

    /// A connected session of the operator.
    pub async fn operator(&self) -> Client {
        self.connect(&self.operator).await
    }

    /// The raw answer to an HTTP request.
    pub async fn http(&self, head: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).await.expect("the gateway listens");
        stream.write_all(head.as_bytes()).await.expect("sent");
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        timeout(&self.rt, PATIENCE, read).await.expect("an answer in time").expect("an answer");
        String::from_utf8(answer).expect("text")
    }

    /// The answer to `GET` with these further header lines.
    pub async fn get(&self, path: &str, headers: &str) -> String {
        self.http(&format!("GET {path} HTTP/1.1\r\nHost: {}\r\n{headers}\r\n", self.address)).await
    }
}

/// A client.
pub struct Client {
    rt: Rt,
    pub socket: WebSocketStream<TcpStream>,
    events: VecDeque<Value>,
    seq: u64,
    sent: u64,
}

/// What came from the gateway.
#[derive(Debug)]
pub enum Got {
    Frame(Value),
    Closed(u16, String),
    Gone,
}

impl Client {
    /// Sends a text frame.
    pub async fn send(&mut self, text: impl Into<String>) {
        self.socket.send(Message::text(text.into())).await.expect("sent");
    }

    /// Sends a binary frame.
    pub async fn send_binary(&mut self, bytes: &'static [u8]) {
        self.socket.send(Message::Binary(Bytes::from_static(bytes))).await.expect("sent");
    }

    /// The next frame, or how the connection ended. Checks that `seq` has no gaps (GW01).
    pub async fn next(&mut self) -> Got {
        loop {
            let message = timeout(&self.rt, PATIENCE, self.socket.next()).await.expect("a frame in time");
            match message {
                Some(Ok(Message::Text(text))) => {
                    let frame: Value = serde_json::from_str(&text).expect("the gateway sends JSON");
                    if frame["type"] == "event" {
                        self.seq += 1;
                        assert_eq!(frame["seq"], self.seq, "GW01: {frame}");
                    }
                    return Got::Frame(frame);
                }
                Some(Ok(Message::Close(Some(close)))) => {
                    return Got::Closed(close.code.into(), close.reason.to_string());
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                _ => return Got::Gone,
            }
        }
    }

    /// The next answer; events before it are kept.
    pub async fn answer(&mut self) -> Value {
        loop {
            match self.next().await {
                Got::Frame(frame) if frame["type"] == "res" => return frame,
                Got::Frame(frame) => self.events.push_back(frame),
                end => panic!("the connection ended: {end:?}"),
            }
        }
    }

    /// The next event of this name; others before it are dropped.
    pub async fn event(&mut self, name: &str) -> Value {
        self.event_where(name, |_| true).await
    }

    /// The next event of this name with such a payload; others before it are dropped.
    pub async fn event_where(&mut self, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let begun = self.rt.mono();
        loop {
            let waited = Duration::from_nanos(self.rt.mono() - begun);
            assert!(waited < 2 * PATIENCE, "no such {name} in {waited:?}, though others come");
            let frame = match self.events.pop_front() {
                Some(frame) => frame,
                None => match self.next().await {
                    Got::Frame(frame) => frame,
                    end => panic!("the connection ended before {name}: {end:?}"),
                },
            };
            if frame["event"] == name && wanted(&frame["payload"]) {
                return frame;
            }
        }
    }

    /// How the connection ends; what comes before is dropped.
    pub async fn closed(&mut self) -> (u16, String) {
        loop {
            match self.next().await {
                Got::Frame(_) => {}
                Got::Closed(code, reason) => return (code, reason),
                Got::Gone => panic!("the connection ended without a close frame"),
            }
        }
    }

    /// Sends a request and returns the whole answer.
    pub async fn call(&mut self, method: &str, params: Value) -> Value {
        self.sent += 1;
        let id = format!("r{}", self.sent);
        self.send(json!({"type": "req", "id": id, "method": method, "params": params}).to_string()).await;
        let answer = self.answer().await;
        assert_eq!(answer["id"], id.as_str(), "{answer}");
        answer
    }

    /// Sends a request and returns its answer as it came; events before it are dropped.
    pub async fn text(&mut self, method: &str, params: Value) -> String {
        self.sent += 1;
        let id = format!("r{}", self.sent);
        self.send(json!({"type": "req", "id": id, "method": method, "params": params}).to_string()).await;
        loop {
            let message = timeout(&self.rt, PATIENCE, self.socket.next()).await.expect("a frame in time");
            let Some(Ok(message)) = message else { panic!("the connection ended: {message:?}") };
            let Message::Text(text) = message else { continue };
            if text.contains(&format!("\"id\":\"{id}\"")) {
                return text.to_string();
            }
            self.seq += 1;
        }
    }

    /// The payload of a request that succeeds.
    pub async fn ok(&mut self, method: &str, params: Value) -> Value {
        let mut answer = self.call(method, params).await;
        assert_eq!(answer["ok"], true, "{method}: {answer}");
        answer["payload"].take()
    }

    /// Code and reason of a request that is refused, and the whole error.
    pub async fn refused(&mut self, method: &str, params: Value) -> (String, String, Value) {
        let mut answer = self.call(method, params).await;
        assert_eq!(answer["ok"], false, "{method}: {answer}");
        let error = answer["error"].take();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (text(&error["code"]), text(&error["details"]["reason"]), error)
    }

    /// `gateway.connect` with this token; returns the payload.
    pub async fn connect(&mut self, token: &str) -> Value {
        self.ok("gateway.connect", connect_params(token)).await
    }

    /// Waits until BTCUSD has a quote.
    pub async fn await_quote(&mut self) {
        let subscribed =
            self.ok("feeds.subscribe", json!({"topics": ["market.price.tick"], "symbols": ["BTCUSD"]})).await;
        self.event_where("event.feed.event", |p| p["topic"] == "market.price.tick").await;
        self.ok("feeds.unsubscribe", json!({"subscriptionId": subscribed["subscriptionId"]})).await;
    }

    /// Buys at market and returns the reply.
    pub async fn buy(&mut self, account: &str, volume: &str) -> Value {
        self.await_quote().await;
        self.ok("trades.place", market_order(account, volume)).await
    }
}

/// The parameters of a good handshake.
pub fn connect_params(token: &str) -> Value {
    json!({
        "client": {"name": "test", "kind": "cli"},
        "protocol": {"min": 1, "max": 1},
        "auth": {"mode": "token", "token": token},
    })
}

/// A market order to buy BTCUSD.
pub fn market_order(account: &str, volume: &str) -> Value {
    json!({"accountId": account, "symbol": "BTCUSD", "side": "buy", "type": "market", "volume": volume})
}

/// A limit order far below the market, which rests.
pub fn resting_order(account: &str) -> Value {
    json!({"accountId": account, "symbol": "BTCUSD", "side": "buy", "type": "limit", "volume": "0.01",
        "price": "1000.00"})
}
