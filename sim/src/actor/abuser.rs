//! A protocol abuser: each step of its plan is one abuse on a connection of its own. It writes down what
//! came of each; whether that is what the protocol promises is an oracle's business.

use super::{
    abuse::{Abuse, AbuseStep, BadText, ForbiddenMethod, Guise, WrongFrame, WrongRequest},
    raw::{BINARY, CLOSE, CONTINUATION, FIN, PING, RawSocket, Read, TEXT, frame},
    wire,
};
use crate::{
    disk::Disk,
    draw::Draw,
    history::AbuseHistory,
    plan::PAPER,
    probe::Coverage,
    runtime::Clock,
    trace::{Kind, Node, Tracer},
};
use madsim::time::{sleep, timeout};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::mpsc;

/// Where it finds its tokens.
pub const OPERATOR_FILE: &str = "abuser.token";
pub const VIEWER_FILE: &str = "abuser-viewer.token";
/// An answer comes within so much time.
const ANSWER_LIMIT: Duration = Duration::from_secs(7);
/// The gateway ends what says nothing within so much time.
const SILENCE_LIMIT: Duration = Duration::from_secs(18);
/// Between two abuses, so that the gateway has forgotten the sockets of the first.
const PAUSE: Duration = Duration::from_millis(400);
const MILLI_NS: u64 = 1_000_000;

/// What an abuser is made of.
pub struct Setup {
    pub address: String,
    /// With its tokens.
    pub gateway_disk: Disk,
    pub steps: Vec<AbuseStep>,
    pub symbol: String,
    pub tracer: Tracer,
    pub coverage: Coverage,
    pub clock: Clock,
    pub draw: Draw,
}

/// A protocol abuser.
pub struct Abuser {
    setup: Setup,
    journal: Arc<Mutex<Vec<AbuseHistory>>>,
}

impl Abuser {
    /// An abuser, and its journal.
    pub fn new(setup: Setup) -> (Self, Arc<Mutex<Vec<AbuseHistory>>>) {
        let journal = Arc::new(Mutex::default());
        (Self { setup, journal: Arc::clone(&journal) }, journal)
    }

    /// Takes the steps, until told that it is enough.
    pub async fn run(mut self, mut enough: mpsc::UnboundedReceiver<()>) {
        for (number, step) in self.setup.steps.clone().into_iter().enumerate() {
            let now_ms = self.setup.clock.elapsed_ns() / MILLI_NS;
            let wait = Duration::from_millis(step.at_ms.saturating_sub(now_ms));
            tokio::select! {
                biased;
                _ = enough.recv() => return,
                () = sleep(wait) => {}
            }
            self.take(number, step).await;
            sleep(PAUSE).await;
        }
    }

    async fn take(&mut self, number: usize, step: AbuseStep) {
        let (name, guise) = (step.abuse.name(), step.guise);
        let receipt = json!({ "fault": "abuse", "step": number, "guise": guise, "abuse": name });
        let began = self.setup.tracer.record(Node::Abuser, Kind::Fault, &receipt.to_string());
        let began_ns = self.setup.clock.elapsed_ns();
        let mut came = AbuseHistory { step: number, began, ..AbuseHistory::default() };
        // `None`: it did not get so far
        came.done = self.abuse(step, number, &mut came).await.is_some();
        came.took_ms = (self.setup.clock.elapsed_ns() - began_ns) / MILLI_NS;
        if came.done {
            self.setup.coverage.mark(&format!("abuse_{name}"));
        }
        if let Some(code) = came.close {
            self.setup.coverage.mark(&format!("abuser_closed_{code}"));
        }
        let body = json!({ "abuse": number, "done": came.done, "status": came.status, "answers": came.words(),
            "alive": came.alive.as_ref().map(word), "close": came.close, "over": came.over,
            "refused": came.refused });
        came.ended = self.setup.tracer.record(Node::Abuser, Kind::Received, &body.to_string());
        self.journal.lock().unwrap_or_else(PoisonError::into_inner).push(came);
    }

    async fn abuse(&mut self, step: AbuseStep, number: usize, came: &mut AbuseHistory) -> Option<()> {
        match step.abuse {
            Abuse::Garbage { bytes } => {
                let mut garbage = vec![0; bytes as usize];
                self.setup.draw.fill(&mut garbage);
                // an empty line is no request yet
                garbage[0] |= 0x80;
                garbage.extend_from_slice(b"\r\n\r\n");
                self.request(&garbage, came).await
            }
            Abuse::HalfUpgrade => {
                let request = upgrade(&self.setup.address, "", KEY);
                self.request(&request.as_bytes()[..request.len() / 2], came).await
            }
            Abuse::Silence => self.request(b"", came).await,
            Abuse::WrongRequest { request } => {
                let request = wrong_request(&self.setup.address, request);
                self.request(request.as_bytes(), came).await
            }
            Abuse::ManySockets { count } => self.many_sockets(count, came).await,
            Abuse::Replayed => self.replay(number, came).await,
            _ => {
                let mut socket = self.enter(step.guise, came).await?;
                let (bytes, answers) = self.bytes(step, number);
                socket.write(&bytes).await;
                let limit = if step.abuse == Abuse::NeverConnects { SILENCE_LIMIT } else { ANSWER_LIMIT };
                listen(&mut socket, answers, limit, came).await;
                if !came.over && came.close.is_none() {
                    self.try_alive(&mut socket, came).await;
                }
                Some(())
            }
        }
    }

    /// Sends bytes instead of, or as, an HTTP request, and waits for the end.
    async fn request(&self, bytes: &[u8], came: &mut AbuseHistory) -> Option<()> {
        let mut socket = RawSocket::open(&self.setup.address).await?;
        if !bytes.is_empty() {
            socket.write(bytes).await;
        }
        loop {
            match socket.read(SILENCE_LIMIT).await {
                Read::More => came.status = came.status.or_else(|| socket.take_status()),
                Read::End => {
                    came.over = true;
                    return Some(());
                }
                Read::TimedOut => return Some(()),
            }
        }
    }

    /// Counts the sockets that are ended at once.
    async fn many_sockets(&self, count: u64, came: &mut AbuseHistory) -> Option<()> {
        const AT_ONCE: Duration = Duration::from_millis(500);
        let mut sockets = Vec::new();
        for _ in 0..count {
            sockets.push(RawSocket::open(&self.setup.address).await?);
        }
        sleep(AT_ONCE).await;
        for socket in &mut sockets {
            came.refused += u64::from(socket.read(Duration::from_millis(1)).await == Read::End);
        }
        Some(())
    }

    /// Places an order and sends the very bytes again, on this connection and on another one.
    async fn replay(&mut self, number: usize, came: &mut AbuseHistory) -> Option<()> {
        let params = json!({
            "accountId": PAPER, "symbol": self.setup.symbol, "side": "buy", "type": "market", "volume": "0.01",
            "clientOrderId": format!("abuser-{number}"), "idempotencyKey": key(number),
        });
        let order = masked(FIN | TEXT, wire::request("order", "trades.place", &params).as_bytes());
        let mut socket = self.enter(Guise::Operator, came).await?;
        socket.write(&order).await;
        listen(&mut socket, 1, ANSWER_LIMIT, came).await;
        socket.write(&order).await;
        listen(&mut socket, 2, ANSWER_LIMIT, came).await;
        let mut other = self.enter(Guise::Operator, came).await?;
        other.write(&order).await;
        listen(&mut other, 3, ANSWER_LIMIT, came).await;
        Some(())
    }

    /// A WebSocket on which the guise has connected, if it is somebody.
    async fn enter(&self, guise: Guise, came: &mut AbuseHistory) -> Option<RawSocket> {
        let mut socket = RawSocket::open(&self.setup.address).await?;
        socket.write(upgrade(&self.setup.address, "", KEY).as_bytes()).await;
        let status = loop {
            if let Some(status) = socket.take_status() {
                break status;
            }
            if socket.read(ANSWER_LIMIT).await != Read::More {
                return None;
            }
        };
        if status != 101 {
            came.status = Some(status);
            return None;
        }
        let file = match guise {
            Guise::Nobody => return Some(socket),
            Guise::Viewer => VIEWER_FILE,
            Guise::Operator => OPERATOR_FILE,
        };
        let token = String::from_utf8(self.setup.gateway_disk.small_file(file)?).ok()?;
        socket.write(&masked(FIN | TEXT, wire::connect("abuser", token.trim(), None).as_bytes())).await;
        let mut answer = AbuseHistory::default();
        listen(&mut socket, 1, ANSWER_LIMIT, &mut answer).await;
        answer.answers.first().is_some_and(|answer| answer["ok"] == true).then_some(socket)
    }

    /// The bytes of an abuse of a WebSocket, and how many answers are due.
    fn bytes(&self, AbuseStep { abuse, guise, .. }: AbuseStep, number: usize) -> (Vec<u8>, usize) {
        let text = |text: &str| masked(FIN | TEXT, text.as_bytes());
        let ping = |id: &str| wire::request(id, "gateway.ping", &json!({}));
        match abuse {
            Abuse::NeverConnects => (Vec::new(), usize::MAX),
            Abuse::WrongToken => (text(&hello().to_string()), usize::MAX),
            Abuse::WrongProtocol => {
                let mut hello = hello();
                hello["params"]["protocol"] = json!({ "min": 7, "max": 9 });
                (text(&hello.to_string()), usize::MAX)
            }
            Abuse::TooEarly => (text(&wire::request("early", "accounts.list", &json!({}))), 1),
            Abuse::ConnectTwice => {
                let mut hello = hello();
                hello["id"] = json!("again");
                (text(&hello.to_string()), 1)
            }
            Abuse::BadText { text: bad, times } => {
                let one = text(&bad_text(bad));
                (one.repeat(times as usize), times as usize)
            }
            Abuse::Binary => (masked(FIN | BINARY, ping("binary").as_bytes()), 1),
            Abuse::ParamsNotObject => {
                (text(r#"{"type":"req","id":"params","method":"gateway.ping","params":null}"#), 1)
            }
            Abuse::UnknownMethod => (text(&wire::request("unknown", "gateway.destroy", &json!({}))), 1),
            Abuse::WrongTypes => {
                let params = json!({ "symbol": ["BTCUSD"], "timeframe": 7, "limit": "many" });
                (text(&wire::request("types", "feeds.getCandles", &params)), 1)
            }
            Abuse::LongText => {
                let order = json!({ "accountId": PAPER, "symbol": self.setup.symbol, "side": "buy",
                    "type": "market", "volume": "0.01", "reason": "x".repeat(100_000) });
                (text(&wire::request("long", "risk.preview", &order)), 1)
            }
            Abuse::Oversized { bytes } => {
                let sent = if bytes > 1 << 20 { 1_000 } else { bytes as usize };
                let fits = guise != Guise::Nobody && sent as u64 == bytes;
                (frame(FIN | TEXT, &vec![b' '; sent], bytes, Some(MASK)), if fits { 1 } else { usize::MAX })
            }
            Abuse::WrongFrame { frame } => (wrong_frame(frame, &ping("wrong")), usize::MAX),
            Abuse::Fragmented { pieces } => (fragments(&ping("whole"), pieces as usize), 1),
            Abuse::IdReused => (text(&ping("same")).repeat(2), 2),
            Abuse::Flood { requests } => {
                let flood = (0..requests).flat_map(|n| text(&ping(&format!("flood-{n}"))));
                (flood.collect(), requests as usize)
            }
            Abuse::Forbidden { method } => {
                let (method, mut params) = forbidden(method, &self.setup.symbol);
                params["idempotencyKey"] = json!(format!("forbidden-{number}"));
                (text(&wire::request("forbidden", method, &params)), 1)
            }
            Abuse::Garbage { .. }
            | Abuse::HalfUpgrade
            | Abuse::Silence
            | Abuse::WrongRequest { .. }
            | Abuse::ManySockets { .. }
            | Abuse::Replayed => unreachable!("they are no single frames"),
        }
    }

    /// Whether the connection still answers.
    async fn try_alive(&self, socket: &mut RawSocket, came: &mut AbuseHistory) {
        /// By then a connection has a request to spare again.
        const REFILLED: Duration = Duration::from_millis(500);
        sleep(REFILLED).await;
        socket
            .write(&masked(FIN | TEXT, wire::request("alive", "gateway.ping", &json!({})).as_bytes()))
            .await;
        let mut answer = AbuseHistory::default();
        listen(socket, 1, ANSWER_LIMIT, &mut answer).await;
        came.alive = answer.answers.into_iter().next();
        came.close = answer.close;
        came.over = answer.over;
    }
}

/// `gateway.connect` with a token that nobody has.
fn hello() -> Value {
    serde_json::from_str(&wire::connect("abuser", "gw_guessed", None)).expect("frames are JSON")
}

/// The idempotency key of the order of a replay; it may enter the journal.
fn key(number: usize) -> String {
    format!("abuser-key-{number}")
}

/// Reads answers until so many have come, or the end, or until the time is over.
async fn listen(socket: &mut RawSocket, answers: usize, limit: Duration, came: &mut AbuseHistory) {
    // what came until then stays
    let _ = timeout(limit, take_answers(socket, answers, limit, came)).await;
}

async fn take_answers(socket: &mut RawSocket, answers: usize, limit: Duration, came: &mut AbuseHistory) {
    loop {
        while let Some((opcode, payload)) = socket.take_frame() {
            match opcode {
                CLOSE => {
                    let code = payload.get(..2).and_then(|code| code.try_into().ok());
                    came.close = code.map(u16::from_be_bytes).or(came.close);
                }
                _ => {
                    let frame: Value = serde_json::from_slice(&payload).unwrap_or_default();
                    if frame["type"] == "res" {
                        came.answers.push(frame);
                    }
                }
            }
        }
        if came.answers.len() >= answers {
            return;
        }
        match socket.read(limit).await {
            Read::More => {}
            Read::End => {
                came.over = true;
                return;
            }
            Read::TimedOut => return,
        }
    }
}

impl AbuseHistory {
    /// The answers in words, counted.
    fn words(&self) -> BTreeMap<String, usize> {
        let mut words = BTreeMap::new();
        for answer in &self.answers {
            *words.entry(word(answer)).or_default() += 1;
        }
        words
    }
}

fn word(answer: &Value) -> String {
    if answer["ok"] == true {
        return "ok".to_owned();
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    format!("{} {}", text(&answer["error"]["code"]), text(&answer["error"]["details"]["reason"]))
}

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const MASK: [u8; 4] = [0x5a, 0xc3, 0x0f, 0x99];

fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    frame(first, payload, payload.len() as u64, Some(MASK))
}

fn upgrade(address: &str, headers: &str, key: &str) -> String {
    format!(
        "GET /ws HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\n{headers}Sec-WebSocket-Key: {key}\r\n\r\n"
    )
}

fn wrong_request(address: &str, request: WrongRequest) -> String {
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n");
    match request {
        WrongRequest::ForeignOrigin => upgrade(address, "Origin: https://evil.example\r\n", KEY),
        WrongRequest::ForeignHost => upgrade("evil.example", "", KEY),
        WrongRequest::NoKey => upgrade(address, "", "short"),
        WrongRequest::OldVersion => upgrade(address, "", KEY).replace("Version: 13", "Version: 8"),
        WrongRequest::NoUpgrade => get("/ws"),
        WrongRequest::UnknownPath => get("/nothing"),
        WrongRequest::SchemaWithoutToken => get("/schema.json"),
        WrongRequest::HugeHead => upgrade(address, &format!("X-Long: {}\r\n", "x".repeat(40_000)), KEY),
    }
}

fn bad_text(text: BadText) -> String {
    match text {
        BadText::NotJson => "let me in".to_owned(),
        BadText::Truncated => r#"{"type":"req","id":"1","method":"gateway.pi"#.to_owned(),
        BadText::NotAnObject => "[1,2,3]".to_owned(),
        BadText::UnknownType => r#"{"type":"event","id":"1","method":"gateway.ping","params":{}}"#.to_owned(),
        BadText::NoId => r#"{"type":"req","method":"gateway.ping","params":{}}"#.to_owned(),
        BadText::IdOfAnotherType => {
            r#"{"type":"req","id":{},"method":"gateway.ping","params":{}}"#.to_owned()
        }
        BadText::LongId => wire::request(&"i".repeat(129), "gateway.ping", &json!({})),
        BadText::FieldTwice => {
            r#"{"type":"req","id":"1","id":"2","method":"gateway.ping","params":{}}"#.to_owned()
        }
        BadText::NoMethod => r#"{"type":"req","id":"no-method","method":null,"params":{}}"#.to_owned(),
        BadText::Deep => {
            let deep = format!("{}{}", "[".repeat(40), "]".repeat(40));
            format!(r#"{{"type":"req","id":"1","method":"gateway.ping","params":{{"a":{deep}}}}}"#)
        }
        BadText::VeryDeep => "[{\"a\":".repeat(8_000),
    }
}

fn wrong_frame(wrong: WrongFrame, text: &str) -> Vec<u8> {
    let text = text.as_bytes();
    match wrong {
        WrongFrame::Unmasked => frame(FIN | TEXT, text, text.len() as u64, None),
        WrongFrame::ReservedBits => masked(FIN | 0x40 | TEXT, text),
        WrongFrame::ReservedOpcode => masked(FIN | 0x3, text),
        WrongFrame::LongControl => masked(FIN | PING, &[b'x'; 126]),
        WrongFrame::FragmentedControl => masked(PING, b"half"),
        WrongFrame::Interleaved => [masked(TEXT, &text[..4]), masked(FIN | TEXT, text)].concat(),
        WrongFrame::LoneContinuation => masked(FIN | CONTINUATION, text),
        WrongFrame::NotUtf8 => masked(FIN | TEXT, &[b'{', 0xff, 0xfe, b'}']),
    }
}

/// The text as a message of so many frames, with a ping between the first two.
fn fragments(text: &str, pieces: usize) -> Vec<u8> {
    let text = text.as_bytes();
    let pieces: Vec<&[u8]> = text.chunks(text.len().div_ceil(pieces)).collect();
    let last = pieces.len() - 1;
    let mut bytes = Vec::new();
    for (place, piece) in pieces.into_iter().enumerate() {
        let opcode = if place == 0 { TEXT } else { CONTINUATION };
        bytes.extend(masked(if place == last { FIN | opcode } else { opcode }, piece));
        if place == 0 {
            bytes.extend(masked(FIN | PING, b"between"));
        }
    }
    bytes
}

fn forbidden(method: ForbiddenMethod, symbol: &str) -> (&'static str, Value) {
    let account = json!({ "accountId": PAPER });
    match method {
        ForbiddenMethod::Place => {
            let order = json!({ "accountId": PAPER, "symbol": symbol, "side": "sell", "type": "market",
                "volume": "0.01" });
            ("trades.place", order)
        }
        ForbiddenMethod::CancelAll => ("trades.cancel", json!({ "accountId": PAPER, "all": true })),
        ForbiddenMethod::Stop => ("risk.emergencyStop", json!({ "scope": "global", "reason": "abuse" })),
        ForbiddenMethod::Resume => ("risk.resume", json!({ "scope": "global", "reason": "abuse" })),
        ForbiddenMethod::Disconnect => ("accounts.disconnect", account),
    }
}
