//! A client: takes the steps of its plan, repeats what was not answered, resumes where it was.

use super::{
    market::Known,
    request,
    wire::{self, Frame},
};
use crate::{
    disk::Disk,
    draw::Draw,
    history::{Answer, ClientHistory, Cursor, Request, Session, Told},
    plan::{PAPER, Step},
    probe::Coverage,
    runtime::Clock,
    trace::{Kind, Node, Tracer},
};
use futures_util::{SinkExt, StreamExt};
use madsim::{
    net::TcpStream,
    time::{sleep, timeout},
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::mpsc;
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{Message, protocol::WebSocketConfig},
};

const CONNECT_LIMIT: Duration = Duration::from_secs(3);
const MILLI_NS: u64 = 1_000_000;
/// Tungstenite zeroes so many bytes before each read; nearly all frames are shorter.
const READ_BYTES: usize = 8 << 10;
/// The gateway promises an answer within 5 s.
const ANSWER_LIMIT_NS: u64 = 6_500 * MILLI_NS;
/// After so many answers that leave it open, whoever asks waits ever longer; it doubles so often at most.
const PATIENCE: usize = 3;
const PAUSE_DOUBLES: usize = 4;
/// Between looks at accounts that are not at rest.
const LOOK_INTERVAL_NS: u64 = 500 * MILLI_NS;
/// Acknowledged requests that are repeated at the end.
const REPEATED_AT_END: usize = 8;
/// Orders that are looked up at the end.
const LOOKED_UP_AT_END: usize = 12;

type Socket = WebSocketStream<TcpStream>;

/// What the world tells a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// The connection ends without a goodbye.
    Drop,
    /// Nothing goes wrong any more: bring everything to its end, then look at it all once more.
    Finish,
}

/// What a client is made of.
pub struct Setup {
    pub node: Node,
    pub address: String,
    /// The file on the gateway's disk that holds its token.
    pub token_file: &'static str,
    pub gateway_disk: Disk,
    /// All accounts of the gateway.
    pub accounts: Vec<String>,
    pub steps: Vec<Step>,
    /// Whether it subscribes to every tick.
    pub hears_ticks: bool,
    pub tracer: Tracer,
    pub coverage: Coverage,
    pub clock: Clock,
    pub draw: Draw,
}

/// A client.
pub struct Client {
    setup: Setup,
    journal: Arc<Mutex<ClientHistory>>,
    known: Known,
    due: VecDeque<Step>,
    open: Vec<Open>,
    /// Every request id that was ever sent, and what it was for.
    ids: BTreeMap<String, usize>,
    /// What it has applied of the log.
    cursor: Option<Cursor>,
    phase: Phase,
    /// The last looks at the accounts at venues, and when to look again.
    looks: Vec<usize>,
    look_again_ns: u64,
}

/// A request that is not through.
struct Open {
    request: usize,
    /// Sent and not answered until then; or not sent, and to be sent then.
    sent: bool,
    until_ns: u64,
    /// Ends with the connection.
    of_session: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Working,
    /// Until everything is answered.
    Finishing,
    /// Until every account is connected to its venue, and no order's fate is open.
    Healing,
    /// Everything was asked once more; until that is answered.
    Auditing,
    /// Connects once more and reads the whole log.
    Reading,
    Done,
}

/// Why a connection is over.
enum End {
    Lost,
    Done,
}

impl Client {
    /// A client, and its journal.
    pub fn new(setup: Setup) -> (Self, Arc<Mutex<ClientHistory>>) {
        let journal = ClientHistory { name: setup.node.name(), ..ClientHistory::default() };
        let journal = Arc::new(Mutex::new(journal));
        let client = Self {
            journal: journal.clone(),
            known: Known::default(),
            due: setup.steps.iter().cloned().collect(),
            open: Vec::new(),
            ids: BTreeMap::new(),
            cursor: None,
            phase: Phase::Working,
            looks: Vec::new(),
            look_again_ns: 0,
            setup,
        };
        (client, journal)
    }

    /// Lives until it is done.
    pub async fn run(mut self, mut control: mpsc::UnboundedReceiver<Control>) {
        while self.phase != Phase::Done {
            match self.connect().await {
                Err(why) => self.link(&format!(r#"{{"link":"refused","why":"{why}"}}"#)),
                Ok(mut socket) => {
                    let end = self.converse(&mut socket, &mut control).await;
                    drop(socket);
                    self.disconnected();
                    if matches!(end, End::Done) {
                        self.link(r#"{"link":"left"}"#);
                        continue;
                    }
                    self.link(r#"{"link":"lost"}"#);
                }
            }
            let pause = self.setup.draw.within(5..=300);
            sleep(Duration::from_millis(pause)).await;
            while let Ok(order) = control.try_recv() {
                self.obey(order);
            }
        }
    }

    /// A connection on which `gateway.connect` succeeded, or why there is none.
    async fn connect(&mut self) -> Result<Socket, &'static str> {
        let token = self.setup.gateway_disk.small_file(self.setup.token_file).ok_or("no token")?;
        let token = String::from_utf8(token).map_err(|_| "a damaged token")?;
        let address = self.setup.address.clone();
        let stream = timeout(CONNECT_LIMIT, TcpStream::connect(&address)).await;
        let stream = stream.map_err(|_| "no route")?.map_err(|_| "nobody listens")?;
        let config = WebSocketConfig::default().read_buffer_size(READ_BYTES);
        let upgrade = client_async_with_config(format!("ws://{address}/ws"), stream, Some(config));
        let upgrade = timeout(CONNECT_LIMIT, upgrade).await;
        let (mut socket, _) = upgrade.map_err(|_| "no upgrade in time")?.map_err(|_| "no upgrade")?;
        let resume = match (&self.cursor, self.phase) {
            (Some(cursor), Phase::Reading) => Some(Cursor { offset: 0, ..cursor.clone() }),
            (cursor, _) => cursor.clone(),
        };
        let name = self.setup.node.name();
        let hello = Message::text(wire::connect(name, token.trim(), resume.as_ref()));
        socket.send(hello).await.map_err(|_| "lost while connecting")?;
        self.record(Kind::Sent, &wire::connect(name, "***", resume.as_ref()));
        let text = timeout(CONNECT_LIMIT, next_text(&mut socket)).await;
        let text = text.map_err(|_| "no answer in time")?.ok_or("lost while connecting")?;
        let seq = self.record(Kind::Received, &text);
        let Frame::Response { ok: true, body, .. } = wire::read(seq, &text) else {
            return Err("not let in");
        };
        self.connected(seq, resume, &body);
        Ok(socket)
    }

    fn connected(&mut self, seq: usize, resumed_from: Option<Cursor>, body: &Value) {
        let head = Cursor::read(&body["head"]).or_else(|| Cursor::read(&body["cursor"]));
        let recovered = body["recovered"].as_bool();
        let again = !self.journal().sessions.is_empty();
        if again {
            self.setup.coverage.mark("client_reconnected");
        }
        if recovered == Some(true)
            && resumed_from.as_ref().map(|c| c.offset) < head.as_ref().map(|c| c.offset)
        {
            self.setup.coverage.mark("events_resumed");
        }
        if self.cursor.is_none() || recovered == Some(false) {
            self.cursor = head.clone();
        }
        let session = Session { seq, resumed_from, recovered, head, told: Vec::new() };
        self.journal().sessions.push(session);
        self.link(r#"{"link":"connected"}"#);
        if self.setup.hears_ticks {
            let params = json!({ "topics": ["market.price.tick"] });
            self.ask(Request { method: "feeds.subscribe".into(), params, ..Request::default() }, true);
        }
    }

    /// Talks until the connection is over.
    async fn converse(&mut self, socket: &mut Socket, control: &mut mpsc::UnboundedReceiver<Control>) -> End {
        loop {
            if self.act(socket).await.is_none() {
                return End::Lost;
            }
            if self.advance() {
                return End::Done;
            }
            let now = self.now_ns();
            let wait = Duration::from_nanos(self.next_due_ns().saturating_sub(now));
            tokio::select! {
                biased;
                order = control.recv() => match order {
                    Some(Control::Drop) => {
                        self.setup.coverage.mark("client_dropped");
                        return End::Lost;
                    }
                    Some(order) => self.obey(order),
                    None => return End::Lost,
                },
                text = next_text(socket) => match text {
                    Some(text) => self.hear(&text),
                    None => return End::Lost,
                },
                () = sleep(wait) => {}
            }
        }
    }

    /// Does everything that is due. `None`: the connection failed.
    async fn act(&mut self, socket: &mut Socket) -> Option<()> {
        let now = self.now_ns();
        while self.due.front().is_some_and(|step| step.at_ms * MILLI_NS <= now) {
            let step = self.due.pop_front().expect("there is a front");
            let number = self.journal().requests.len();
            if let Some(request) = request::build(&step, &self.known, self.setup.node.name(), number) {
                self.ask(request, false);
            }
        }
        for index in 0..self.open.len() {
            let open = &mut self.open[index];
            if open.until_ns > now {
                continue;
            }
            if open.sent {
                open.sent = false;
                if self.setup.draw.chance(500) {
                    return None; // gives the connection up
                }
            }
            self.send(index, socket).await?;
        }
        Some(())
    }

    async fn send(&mut self, index: usize, socket: &mut Socket) -> Option<()> {
        let request = self.open[index].request;
        let id = format!("{}-{}", self.setup.node.name(), self.ids.len());
        self.ids.insert(id.clone(), request);
        let text = {
            let journal = self.journal();
            let Request { method, params, .. } = &journal.requests[request];
            wire::request(&id, method, params)
        };
        let seq = self.record(Kind::Sent, &text);
        let again = {
            let sent = &mut self.journal().requests[request].sent;
            sent.push(seq);
            sent.len() > 1
        };
        if again {
            self.setup.coverage.mark("request_repeated");
        }
        let until_ns = self.now_ns() + ANSWER_LIMIT_NS;
        let open = &mut self.open[index];
        (open.sent, open.until_ns) = (true, until_ns);
        socket.send(Message::text(text)).await.ok()
    }

    fn hear(&mut self, text: &str) {
        let seq = self.record(Kind::Received, text);
        match wire::read(seq, text) {
            Frame::Response { id, ok, body } => self.answered(seq, &id, ok, body),
            Frame::Event(told) => self.told(told),
            Frame::Other => {}
        }
    }

    fn answered(&mut self, seq: usize, id: &str, ok: bool, body: Value) {
        let Some(&request) = self.ids.get(id) else { return };
        let again_in_ms = if ok { None } else { retry_in_ms(&body) };
        let now_ns = self.now_ns();
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = &mut journal.requests[request];
        if let (Some(order), Some(account)) = (body["orderId"].as_str(), entry.params["accountId"].as_str()) {
            self.known.placed(account, order);
        }
        if ok && entry.method == "feeds.getCandles" {
            self.known.see_candles(&entry.params, &body);
        }
        entry.answers.push(Answer { seq, ok, body });
        let Some(place) = self.open.iter().position(|o| o.request == request) else { return };
        if let Some(pause_ms) = again_in_ms {
            let times = entry.answers.len().saturating_sub(PATIENCE).min(PAUSE_DOUBLES);
            let until_ns = now_ns + (pause_ms << times) * MILLI_NS;
            (self.open[place].sent, self.open[place].until_ns) = (false, until_ns);
        } else {
            entry.done = true;
            self.open.remove(place);
        }
    }

    fn told(&mut self, told: Told) {
        match &told.cursor {
            None => self.known.hear(&told.name, &told.payload),
            Some(cursor) if self.cursor.as_ref().is_none_or(|c| cursor.offset > c.offset) => {
                self.cursor = Some(cursor.clone());
                self.known.hear(&told.name, &told.payload);
                if told.name == "event.account.status" && told.payload["status"] == "error" {
                    self.connect_account(&told.payload["accountId"]);
                }
            }
            Some(_) => {}
        }
        if let Some(session) = self.journal().sessions.last_mut() {
            session.told.push(told);
        }
    }

    fn obey(&mut self, order: Control) {
        if order == Control::Finish && self.phase == Phase::Working {
            self.phase = Phase::Finishing;
        }
    }

    /// Goes on to the next phase when this one is through. True: this connection has done its part.
    fn advance(&mut self) -> bool {
        let idle = self.open.is_empty();
        match self.phase {
            Phase::Finishing if idle && self.due.is_empty() => {
                self.phase = Phase::Healing;
                self.look();
                if self.looks.is_empty() {
                    self.phase = Phase::Auditing;
                    self.audit();
                }
                false
            }
            Phase::Healing if idle => {
                if self.is_healed() {
                    self.phase = Phase::Auditing;
                    self.audit();
                } else if self.look_again_ns <= self.now_ns() {
                    self.look();
                }
                false
            }
            Phase::Auditing if idle && self.setup.node == Node::Operator => {
                self.phase = Phase::Reading;
                true
            }
            Phase::Auditing if idle => {
                self.phase = Phase::Done;
                true
            }
            Phase::Reading if idle && self.has_read_all() => {
                self.phase = Phase::Done;
                true
            }
            _ => false,
        }
    }

    /// An account whose venue contradicted itself is connected again, which only an operator can do.
    fn connect_account(&mut self, account: &Value) {
        if self.setup.node != Node::Operator {
            return;
        }
        self.setup.coverage.mark("account_connected_again");
        let key = format!("{}-connect-{}", self.setup.node.name(), self.journal().requests.len());
        self.ask(read("accounts.connect", json!({ "accountId": account, "idempotencyKey": key })), false);
    }

    /// Asks how the accounts at venues are.
    fn look(&mut self) {
        self.look_again_ns = self.now_ns() + LOOK_INTERVAL_NS;
        self.looks.clear();
        for account in self.setup.accounts.clone().into_iter().filter(|account| account != PAPER) {
            let look = self.journal().requests.len();
            self.looks.push(look);
            self.ask(read("accounts.get", json!({ "accountId": account })), false);
        }
    }

    fn is_healed(&self) -> bool {
        let journal = self.journal();
        self.looks.iter().all(|look| {
            let answer = journal.requests[*look].answers.last().filter(|answer| answer.ok);
            answer.is_some_and(|answer| is_at_rest(&answer.body))
        })
    }

    /// Asks for everything once more: acknowledged requests under their keys, and the state.
    fn audit(&mut self) {
        let (again, orders) = {
            let journal = self.journal();
            let acknowledged = journal.requests.iter().enumerate().rev();
            let again: Vec<usize> = acknowledged
                .filter(|(_, r)| r.key.is_some() && r.successes().next().is_some())
                .map(|(index, _)| index)
                .take(REPEATED_AT_END)
                .collect();
            let orders: Vec<(String, String)> =
                self.known.orders.iter().rev().take(LOOKED_UP_AT_END).cloned().collect();
            (again, orders)
        };
        for request in again {
            self.journal().requests[request].done = false;
            self.open.push(Open { request, sent: false, until_ns: 0, of_session: false });
        }
        for (account, order) in orders {
            self.ask(read("trades.get", json!({ "accountId": account, "orderId": order })), false);
        }
        for account in self.setup.accounts.clone() {
            self.ask(read("accounts.get", json!({ "accountId": account })), false);
            self.ask(read("risk.status", json!({ "accountId": account })), false);
        }
        self.ask(read("gateway.status", json!({})), false);
        self.ask(read("gateway.ping", json!({})), false);
    }

    fn has_read_all(&self) -> bool {
        let journal = self.journal();
        let Some(session) = journal.sessions.last() else { return false };
        let Some(head) = &session.head else { return true };
        let last = session.told.iter().rev().find_map(|t| t.cursor.as_ref());
        head.offset == 0 || last.is_some_and(|c| c.offset >= head.offset)
    }

    fn ask(&mut self, request: Request, of_session: bool) {
        let index = {
            let requests = &mut self.journal().requests;
            requests.push(request);
            requests.len() - 1
        };
        self.open.push(Open { request: index, sent: false, until_ns: 0, of_session });
    }

    /// What was under way is asked again on the next connection.
    fn disconnected(&mut self) {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        self.open.retain_mut(|open| {
            open.sent = false;
            open.until_ns = 0;
            if open.of_session {
                journal.requests[open.request].done = true;
            }
            !open.of_session
        });
    }

    fn next_due_ns(&self) -> u64 {
        const IDLE_NS: u64 = 5_000 * MILLI_NS;
        let step = self.due.front().map(|step| step.at_ms * MILLI_NS);
        let open = self.open.iter().map(|o| o.until_ns).min();
        let look = (self.phase == Phase::Healing).then_some(self.look_again_ns);
        [step, open, look].into_iter().flatten().min().unwrap_or_else(|| self.now_ns() + IDLE_NS)
    }

    fn now_ns(&self) -> u64 {
        self.setup.clock.elapsed_ns()
    }

    fn record(&self, kind: Kind, body: &str) -> usize {
        self.setup.tracer.record(self.setup.node, kind, body)
    }

    fn link(&self, body: &str) {
        self.record(Kind::Link, body);
    }

    fn journal(&self) -> MutexGuard<'_, ClientHistory> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(method: &str, params: Value) -> Request {
    Request { method: method.into(), params, ..Request::default() }
}

/// Whether the account is connected and every order of it rests.
fn is_at_rest(account: &Value) -> bool {
    let rests = |order: &Value| {
        matches!(order["status"].as_str(), Some("accepted" | "partially_filled" | "triggered"))
    };
    account["status"] == "connected" && account["orders"].as_array().is_some_and(|o| o.iter().all(rests))
}

/// The next text frame; `None` when the connection is over. Pings are answered on the way.
async fn next_text(socket: &mut Socket) -> Option<String> {
    loop {
        match socket.next().await?.ok()? {
            Message::Text(text) => return Some(text.as_str().to_owned()),
            Message::Close(_) => return None,
            _ => {}
        }
    }
}

/// In how many milliseconds to ask again, if the error allows it or leaves the outcome open.
fn retry_in_ms(error: &Value) -> Option<u64> {
    const USUAL_MS: u64 = 150;
    let details = &error["details"];
    match error["code"].as_str()? {
        "RATE_LIMITED" => Some(details["retryAfterMs"].as_u64().unwrap_or(USUAL_MS).max(1)),
        "TIMEOUT" | "INTERNAL_ERROR" if details["outcome"] == "may_have_executed" => Some(USUAL_MS),
        "CONNECTOR_UNAVAILABLE" if error["retryable"] == true => Some(USUAL_MS),
        _ => None,
    }
}
