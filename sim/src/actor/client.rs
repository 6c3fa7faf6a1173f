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
    network::{Windowed, Windows},
    plan::{Action, PAPER, Step},
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
const PATIENCE: usize = 1;
const PAUSE_DOUBLES: usize = 5;
/// Between looks at accounts that are not at rest.
const LOOK_INTERVAL_NS: u64 = 500 * MILLI_NS;
/// Acknowledged requests that are repeated at the end.
const REPEATED_AT_END: usize = 8;
/// Orders that are looked up at the end.
const LOOKED_UP_AT_END: usize = 12;

type Socket = WebSocketStream<Windowed<TcpStream>>;

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
    /// The accounts of the gateway that it may see.
    pub accounts: Vec<String>,
    /// Those that its token reaches, if it does not reach all.
    pub sees: Option<Vec<String>>,
    pub steps: Vec<Step>,
    /// From when to when it is away.
    pub rest_ns: Option<(u64, u64)>,
    /// What it subscribes to.
    pub topics: &'static [&'static str],
    /// Whose idempotency keys it uses.
    pub key_name: &'static str,
    /// Whether it also acts upon orders of others that it heard of.
    pub knows_others: bool,
    pub windows: Windows,
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
    /// Every request id that was ever sent: what it was for, and where in the trace.
    ids: BTreeMap<String, (usize, usize)>,
    /// Tells its token from others; empty before the first connection.
    token: String,
    /// The first of the requests that are its principal's.
    own_since: usize,
    nap: Option<Nap>,
    /// When a rate last refused something.
    limited_ns: Option<u64>,
    /// By rate, when the last of those has its turn that it refused.
    turns: BTreeMap<String, u64>,
    /// When it connected last.
    connected_ns: u64,
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

/// A time in which it does nothing.
#[derive(Debug, Clone, Copy)]
struct Nap {
    until_ns: u64,
    /// Reads one frame then, and again after so long.
    reads: Option<(u64, u64)>,
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
    /// The gateway ended it, with this code if it said one.
    Closed(Option<u16>),
}

impl Client {
    /// A client, and its journal.
    pub fn new(setup: Setup) -> (Self, Arc<Mutex<ClientHistory>>) {
        let sees = setup.sees.clone().map(|accounts| accounts.into_iter().collect());
        let journal = ClientHistory { name: setup.node.name(), sees, ..ClientHistory::default() };
        let journal = Arc::new(Mutex::new(journal));
        let client = Self {
            journal: journal.clone(),
            known: Known::new(setup.knows_others),
            due: setup.steps.iter().cloned().collect(),
            open: Vec::new(),
            ids: BTreeMap::new(),
            token: String::new(),
            own_since: 0,
            nap: None,
            limited_ns: None,
            turns: BTreeMap::new(),
            connected_ns: 0,
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
            self.rest().await;
            match self.connect().await {
                Err(why) => self.link(&format!(r#"{{"link":"refused","why":"{why}"}}"#)),
                Ok(mut socket) => {
                    let end = self.converse(&mut socket, &mut control).await;
                    drop(socket);
                    self.disconnected();
                    match end {
                        End::Done => {
                            self.over(r#"{"link":"left"}"#, None);
                            continue;
                        }
                        End::Closed(Some(code)) => {
                            self.setup.coverage.mark(&format!("client_closed_{code}"));
                            self.over(&format!(r#"{{"link":"lost","code":{code}}}"#), Some(code));
                        }
                        End::Lost | End::Closed(None) => self.over(r#"{"link":"lost"}"#, None),
                    }
                }
            }
            let pause = self.setup.draw.within(5..=300);
            sleep(Duration::from_millis(pause)).await;
            while let Ok(order) = control.try_recv() {
                self.obey(order);
            }
        }
    }

    /// Is away while it is to rest. Keys are not kept for so long: what nobody answered before is not asked again.
    async fn rest(&mut self) {
        let Some((_, to_ns)) = self.setup.rest_ns.filter(|_| self.rests()) else { return };
        self.give_up_open();
        sleep(Duration::from_nanos(to_ns - self.now_ns())).await;
    }

    fn rests(&self) -> bool {
        self.setup.rest_ns.is_some_and(|(from_ns, to_ns)| (from_ns..to_ns).contains(&self.now_ns()))
    }

    /// A connection on which `gateway.connect` succeeded, or why there is none.
    async fn connect(&mut self) -> Result<Socket, &'static str> {
        let token = self.setup.gateway_disk.small_file(self.setup.token_file).ok_or("no token")?;
        let token = String::from_utf8(token).map_err(|_| "a damaged token")?;
        let print = print(token.trim());
        let address = self.setup.address.clone();
        let stream = timeout(CONNECT_LIMIT, TcpStream::connect(&address)).await;
        let stream = stream.map_err(|_| "no route")?.map_err(|_| "nobody listens")?;
        let own = stream.local_addr().map_err(|_| "no address")?;
        let stream = self.setup.windows.opened(stream, own);
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
        let text = text.map_err(|_| "no answer in time")?.map_err(|_| "lost while connecting")?;
        let seq = self.record(Kind::Received, &text);
        match wire::read(seq, &text) {
            Frame::Response { ok: true, body, .. } => {
                self.is_now(print);
                self.connected(seq, resume, &body);
                Ok(socket)
            }
            Frame::Response { body, .. } if body["code"] == "AUTH_INVALID" => {
                self.setup.coverage.mark("token_refused");
                Err("not let in")
            }
            _ => Err("not let in"),
        }
    }

    /// The token is this one. Another one than before makes it another principal, for whom the keys of before
    /// mean nothing: whatever it asked for and was not told must not be asked for again.
    fn is_now(&mut self, print: String) {
        let before = std::mem::replace(&mut self.token, print);
        if before.is_empty() || before == self.token {
            return;
        }
        self.give_up_open();
        self.setup.coverage.mark("client_has_another_token");
    }

    /// Whatever was asked for under a key and was not answered is not asked for again.
    fn give_up_open(&mut self) {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        self.own_since = journal.requests.len();
        self.open.retain(|open| {
            let request = &mut journal.requests[open.request];
            let stays = request.key.is_none() || request.sent.is_empty();
            (request.abandoned, request.done) = (!stays, !stays);
            stays
        });
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
        let token = self.token.clone();
        let session = Session { seq, resumed_from, recovered, head, token, ..Session::default() };
        self.journal().sessions.push(session);
        self.connected_ns = self.now_ns();
        self.link(r#"{"link":"connected"}"#);
        if !self.setup.topics.is_empty() {
            let params = json!({ "topics": self.setup.topics });
            self.ask(Request { method: "feeds.subscribe".into(), params, ..Request::default() }, true);
        }
    }

    /// Talks until the connection is over.
    async fn converse(&mut self, socket: &mut Socket, control: &mut mpsc::UnboundedReceiver<Control>) -> End {
        loop {
            let reads = match self.nap() {
                Some(nap) => nap.reads.is_some_and(|(at_ns, _)| at_ns <= self.now_ns()),
                None => {
                    if self.act(socket).await.is_none() {
                        return End::Lost;
                    }
                    // it may just have begun to do nothing
                    self.nap.is_none()
                }
            };
            if self.advance() {
                return End::Done;
            }
            if self.rests() {
                return End::Lost;
            }
            let now = self.now_ns();
            let rest_ns = self.setup.rest_ns.map(|(from_ns, _)| from_ns).filter(|from_ns| *from_ns > now);
            let due_ns = self.next_due_ns().min(rest_ns.unwrap_or(u64::MAX));
            let wait = Duration::from_nanos(due_ns.saturating_sub(now));
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
                text = next_text(socket), if reads => match text {
                    Ok(text) => self.hear(&text),
                    Err(code) => return End::Closed(code),
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
            if let Action::Nap { for_ms, every_ms } = step.action {
                self.begin_nap(for_ms, every_ms);
                return Some(());
            }
            let number = self.journal().requests.len();
            let (name, key_name) = (self.setup.node.name(), self.setup.key_name);
            let now_ms = self.setup.clock.wall().0 / MILLI_NS.cast_signed();
            if let Some(request) = request::build(&step, &self.known, now_ms, (name, key_name), number) {
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
        let text = {
            let journal = self.journal();
            let Request { method, params, .. } = &journal.requests[request];
            wire::request(&id, method, params)
        };
        let seq = self.record(Kind::Sent, &text);
        self.ids.insert(id, (request, seq));
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

    fn begin_nap(&mut self, for_ms: u64, every_ms: Option<u64>) {
        let now_ns = self.now_ns();
        let body = json!({ "fault": "stopped_reading", "forMs": for_ms, "everyMs": every_ms });
        self.record(Kind::Fault, &body.to_string());
        self.setup.coverage.mark(if every_ms.is_some() { "read_slowly" } else { "stopped_reading" });
        let reads = every_ms.map(|every_ms| (now_ns + every_ms * MILLI_NS, every_ms * MILLI_NS));
        self.nap = Some(Nap { until_ns: now_ns + for_ms * MILLI_NS, reads });
    }

    /// The nap that goes on.
    fn nap(&mut self) -> Option<Nap> {
        let now_ns = self.now_ns();
        self.nap = self.nap.filter(|nap| nap.until_ns > now_ns);
        self.nap
    }

    fn hear(&mut self, text: &str) {
        if let Some(Nap { reads: Some((at_ns, every_ns)), .. }) = &mut self.nap {
            *at_ns += *every_ns;
        }
        let seq = self.record(Kind::Received, text);
        match wire::read(seq, text) {
            Frame::Response { id, ok, body } => self.answered(seq, &id, ok, body),
            Frame::Event(told) => self.told(told),
            Frame::Other => {}
        }
    }

    fn answered(&mut self, seq: usize, id: &str, ok: bool, body: Value) {
        let Some(&(request, sent)) = self.ids.get(id) else { return };
        self.note_rates(request, ok, &body);
        let again_in_ms = if ok { None } else { retry_in_ms(&body) };
        let limited = (body["code"] == "RATE_LIMITED").then(|| body["details"]["reason"].to_string());
        let now_ns = self.now_ns();
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = &mut journal.requests[request];
        if let (Some(order), Some(account)) = (body["orderId"].as_str(), entry.params["accountId"].as_str()) {
            self.known.placed(account, order);
        }
        if ok && entry.method == "feeds.getCandles" {
            self.known.see_candles(&entry.params, &body);
        }
        entry.answers.push(Answer { seq, sent, ok, body });
        let Some(place) = self.open.iter().position(|o| o.request == request) else { return };
        if let Some(pause_ms) = again_in_ms {
            let times = entry.answers.len().saturating_sub(PATIENCE).min(PAUSE_DOUBLES);
            let mut until_ns = now_ns + (pause_ms << times) * MILLI_NS;
            if let Some(reason) = limited {
                // those that wait for the same rate line up
                let last_ns = self.turns.get(&reason).copied().unwrap_or_default();
                until_ns = now_ns.max(last_ns) + pause_ms * MILLI_NS;
                self.turns.insert(reason, until_ns);
            }
            (self.open[place].sent, self.open[place].until_ns) = (false, until_ns);
        } else {
            entry.done = true;
            self.open.remove(place);
        }
    }

    /// Marks what rates refused and what came of it.
    fn note_rates(&mut self, request: usize, ok: bool, body: &Value) {
        const JUST_NOW_NS: u64 = 500 * MILLI_NS;
        let now_ns = self.now_ns();
        if body["code"] == "RATE_LIMITED" {
            self.limited_ns = Some(now_ns);
            let reason = body["details"]["reason"].as_str().unwrap_or_default();
            self.setup.coverage.mark(&format!("limited_{}", reason.to_ascii_lowercase()));
        }
        if !ok {
            return;
        }
        let (stops, again) = {
            let journal = self.journal();
            let request = &journal.requests[request];
            let was_limited = |answer: &Answer| answer.body["code"] == "RATE_LIMITED";
            (request.method == "risk.emergencyStop", request.answers.iter().any(was_limited))
        };
        if again {
            self.setup.coverage.mark("limited_and_done_later");
        }
        if stops && self.limited_ns.is_some_and(|at_ns| at_ns + JUST_NOW_NS > now_ns) {
            self.setup.coverage.mark("stop_passed_the_rates");
        }
    }

    fn told(&mut self, told: Told) {
        match &told.cursor {
            None => self.known.hear(&told),
            Some(cursor) if self.cursor.as_ref().is_none_or(|c| cursor.offset > c.offset) => {
                self.cursor = Some(cursor.clone());
                self.known.hear(&told);
                if told.name == "event.account.status" {
                    let status = told.read();
                    if status["status"] == "error" {
                        self.connect_account(&status["accountId"]);
                    }
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
            self.nap = None;
            self.due.retain(|step| !matches!(step.action, Action::Nap { .. }));
        }
    }

    /// Goes on to the next phase when this one is through. True: this connection has done its part.
    fn advance(&mut self) -> bool {
        let idle = self.open.is_empty() && self.nap.is_none();
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
            let acknowledged = journal.requests.iter().enumerate().skip(self.own_since).rev();
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
        // whoever sees some accounts only is not told where the log of those ends
        const LISTENS_NS: u64 = 3_000 * MILLI_NS;
        if self.setup.sees.is_some() {
            return self.now_ns() >= self.connected_ns + LISTENS_NS;
        }
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
        if let Some(Nap { until_ns, reads }) = self.nap {
            let reads = reads.map(|(at_ns, _)| at_ns).filter(|at_ns| *at_ns > self.now_ns());
            return reads.map_or(until_ns, |at_ns| at_ns.min(until_ns));
        }
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

    /// The connection is over.
    fn over(&self, body: &str, code: Option<u16>) {
        let ended = self.record(Kind::Link, body);
        if let Some(session) = self.journal().sessions.last_mut() {
            (session.ended, session.closed) = (Some(ended), code);
        }
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

/// The next text frame; an error when the connection is over: the code of a close frame, if one came. Pings
/// are answered on the way.
async fn next_text(socket: &mut Socket) -> Result<String, Option<u16>> {
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => return Ok(text.as_str().to_owned()),
            Some(Ok(Message::Close(frame))) => return Err(frame.map(|frame| frame.code.into())),
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return Err(None),
        }
    }
}

/// Tells a token from others and does not give it away.
pub fn print(token: &str) -> String {
    blake3::hash(token.as_bytes()).to_hex()[..8].to_owned()
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
