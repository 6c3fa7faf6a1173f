//! What the oracles judge: the machine's steps as the probe told them, and what each client sent,
//! heard and was told. Plain data with JSON in it; nothing here knows the product's types.

use crate::trace::{Kind, Node, Record, Trace};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use std::collections::BTreeSet;

/// Everything that happened in one world.
#[derive(Debug, Clone, Default)]
pub struct History {
    pub gateway: MachineHistory,
    /// In the order of the plan.
    pub venues: Vec<MachineHistory>,
    pub clients: Vec<ClientHistory>,
    /// What an abuser did and what came of it.
    pub abuses: Vec<AbuseHistory>,
    /// Tokens, as they were handed out, where a scenario has such that matter.
    pub tokens: Vec<Token>,
    /// Tokens that were revoked.
    pub revocations: Vec<Revocation>,
    /// Times in which a client did not read.
    pub naps: Vec<NapHistory>,
    /// Where in the trace a stream of the gateway took no more, because its peer did not read.
    pub chokes: Vec<usize>,
    /// Where such a stream ended without having taken more.
    pub choked_ends: Vec<usize>,
    /// When each record of the trace was written, in virtual nanoseconds.
    pub times: Vec<u64>,
    /// Places in the trace where a machine noted what must not be, with its name and the mark.
    pub alarms: Vec<(usize, &'static str, String)>,
    /// What the gateway wrote to venues.
    pub sent: Vec<SentLine>,
    /// Which step of the end was never reached, if any.
    pub unfinished: Option<String>,
}

/// What happened on one machine.
#[derive(Debug, Clone, Default)]
pub struct MachineHistory {
    pub name: &'static str,
    /// In the order of the trace; a crash makes offsets start again from what was durable.
    pub steps: Vec<Step>,
    pub commits: Vec<Commit>,
    /// The places in the trace at which the process started.
    pub starts: Vec<usize>,
    /// Why the process did not start, or ended, against the plan.
    pub refused_starts: Vec<(usize, String)>,
}

/// A line that the gateway wrote to a venue.
#[derive(Debug, Clone, Default)]
pub struct SentLine {
    /// Tells its connection from others.
    pub stream: u64,
    /// The place in the trace at which its first byte left.
    pub began: usize,
    pub frame: Value,
}

/// One input of the machine and what it said.
#[derive(Debug, Clone, Default)]
pub struct Step {
    /// Its place in the trace.
    pub seq: usize,
    /// Virtual nanoseconds since the world began.
    pub at_ns: u64,
    /// The machine's own time, nanoseconds since 1970.
    pub now_ns: i64,
    pub offset: u64,
    /// Name and payload, in order.
    pub events: Vec<(String, Value)>,
    /// Postings.
    pub ledger: Vec<Value>,
    pub replies: Vec<Value>,
    /// The input's JSON, if it is a command, a configuration or a word of a venue.
    pub input: Value,
}

/// Inputs became durable.
#[derive(Debug, Clone, Copy)]
pub struct Commit {
    pub seq: usize,
    pub offset: u64,
}

/// One client's own journal.
#[derive(Debug, Clone, Default)]
pub struct ClientHistory {
    pub name: &'static str,
    /// The accounts that its token reaches; `None`: all.
    pub sees: Option<BTreeSet<String>>,
    pub sessions: Vec<Session>,
    pub requests: Vec<Request>,
}

/// One connection.
#[derive(Debug, Clone, Default)]
pub struct Session {
    pub seq: usize,
    /// The cursor that it asked to resume from.
    pub resumed_from: Option<Cursor>,
    /// What the gateway said about it: `recovered`.
    pub recovered: Option<bool>,
    /// The log's end when it connected.
    pub head: Option<Cursor>,
    pub told: Vec<Told>,
    /// Tells its token from others.
    pub token: String,
    /// Where in the trace it was over.
    pub ended: Option<usize>,
    /// The code with which the gateway closed it, if it did.
    pub closed: Option<u16>,
}

/// A token that somebody was given.
#[derive(Debug, Clone, Default)]
pub struct Token {
    /// Whose client has it.
    pub holder: String,
    pub principal: String,
    /// Tells it from others.
    pub print: String,
}

/// A client stopped reading.
#[derive(Debug, Clone, Default)]
pub struct NapHistory {
    pub seq: usize,
    pub at_ns: u64,
    pub for_ms: u64,
    /// It reads one frame after each so many milliseconds.
    pub every_ms: Option<u64>,
}

/// A principal's rights ended.
#[derive(Debug, Clone, Default)]
pub struct Revocation {
    pub seq: usize,
    pub at_ns: u64,
    pub principal: String,
}

/// What came of an abuse.
#[derive(Debug, Clone, Default)]
pub struct AbuseHistory {
    /// Its place in the plan.
    pub step: usize,
    /// Its places in the trace.
    pub began: usize,
    pub ended: usize,
    pub took_ms: u64,
    /// Whether it came so far: a network in between may have kept it from that.
    pub done: bool,
    /// Of the HTTP response, if one came.
    pub status: Option<u16>,
    /// Responses, as frames.
    pub answers: Vec<Value>,
    /// The response to a good request afterwards.
    pub alive: Option<Value>,
    /// The code with which the gateway closed the WebSocket.
    pub close: Option<u16>,
    /// The connection has ended.
    pub over: bool,
    /// Sockets that were ended at once.
    pub refused: u64,
}

/// A place in the log of critical events.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Cursor {
    pub epoch: String,
    pub offset: u64,
}

impl Cursor {
    /// Reads the wire form.
    pub fn read(value: &Value) -> Option<Self> {
        let epoch = value.get("epoch")?.as_str()?.to_owned();
        Some(Self { epoch, offset: value.get("offset")?.as_u64()? })
    }
}

/// An event frame.
#[derive(Debug, Clone)]
pub struct Told {
    pub seq: usize,
    pub name: String,
    pub frame_seq: u64,
    pub cursor: Option<Cursor>,
    /// As it came: most are told to several, and never looked into twice.
    pub payload: Box<RawValue>,
}

impl Told {
    /// What the payload says.
    pub fn read(&self) -> Value {
        json(self.payload.get())
    }
}

/// One thing that a client wanted, however often it had to say so.
#[derive(Debug, Clone, Default)]
pub struct Request {
    pub method: String,
    pub params: Value,
    pub key: Option<String>,
    /// The places in the trace where it was sent.
    pub sent: Vec<usize>,
    pub answers: Vec<Answer>,
    /// The client has become another principal, and repeats nothing of before.
    pub abandoned: bool,
    /// Whether the client is through with it.
    pub done: bool,
}

/// An answer.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    pub seq: usize,
    /// Where in the trace the frame was sent that it answers.
    pub sent: usize,
    pub ok: bool,
    /// The payload, or the error.
    pub body: Value,
}

impl Request {
    /// The successful answers.
    pub fn successes(&self) -> impl Iterator<Item = &Answer> {
        self.answers.iter().filter(|a| a.ok)
    }
}

impl History {
    /// What a trace says about the machines; clients add their own journals.
    pub fn from_trace(trace: &Trace, venues: usize) -> Self {
        let machine = |node: Node| MachineHistory { name: node.name(), ..MachineHistory::default() };
        let mut history = Self {
            gateway: machine(Node::Gateway),
            venues: Node::VENUES.into_iter().take(venues).map(machine).collect(),
            ..Self::default()
        };
        for record in trace.records() {
            history.times.push(record.at_ns);
            let venue = Node::VENUES.into_iter().position(|node| node == record.node);
            match (record.node, venue) {
                (node, _) if record.kind == Kind::Alarm => {
                    let mark = json(record.body)["mark"].as_str().unwrap_or_default().to_owned();
                    history.alarms.push((record.seq, node.name(), mark));
                }
                (Node::Gateway, _) if record.kind == Kind::Sent => {
                    let mut body = json(record.body);
                    let began = usize::try_from(number(&body, "began")).expect("a place in the trace");
                    let stream = number(&body, "stream");
                    history.sent.push(SentLine { stream, began, frame: body["frame"].take() });
                }
                (Node::Gateway, _) if record.kind == Kind::Process && is(record.body, "process", "token") => {
                    let body = json(record.body);
                    let [holder, principal, print] = ["holder", "principal", "print"].map(|k| text(&body, k));
                    history.tokens.push(Token { holder, principal, print });
                }
                (Node::World, _)
                    if record.kind == Kind::Fault && is(record.body, "fault", "token_revoked") =>
                {
                    let body = json(record.body);
                    let principal = text(&body, "principal");
                    let Record { seq, at_ns, .. } = record;
                    history.revocations.push(Revocation { seq, at_ns, principal });
                }
                (Node::SlowReader, _) if record.kind == Kind::Fault => {
                    let body = json(record.body);
                    let for_ms = number(&body, "forMs");
                    let Record { seq, at_ns, .. } = record;
                    history.naps.push(NapHistory { seq, at_ns, for_ms, every_ms: body["everyMs"].as_u64() });
                }
                (Node::Gateway, _) if record.kind == Kind::Fault => {
                    if is(record.body, "fault", "stream_choked") {
                        history.chokes.push(record.seq);
                    } else if is(record.body, "fault", "choked_stream_ended") {
                        history.choked_ends.push(record.seq);
                    }
                }
                (Node::Gateway, _) => history.gateway.read(record),
                (_, Some(venue)) => history.venues[venue].read(record),
                _ => {}
            }
        }
        history
    }
}

impl MachineHistory {
    fn read(&mut self, record: Record<'_>) {
        match record.kind {
            Kind::Input => self.steps.push(read_input(record)),
            Kind::Output => {
                let step = self.steps.last_mut().expect("an output follows its input");
                read_output(step, json(record.body));
            }
            Kind::Commit => {
                #[derive(Deserialize)]
                struct Body {
                    offset: u64,
                }
                let Body { offset } = serde_json::from_str(record.body).expect("the probe wrote it");
                self.commits.push(Commit { seq: record.seq, offset });
            }
            Kind::Process if json(record.body)["process"] == "started" => self.starts.push(record.seq),
            _ => {}
        }
    }
}

fn is(body: &str, key: &str, value: &str) -> bool {
    json(body)[key] == value
}

fn text(body: &Value, key: &str) -> String {
    body[key].as_str().unwrap_or_default().to_owned()
}

fn json(body: &str) -> Value {
    serde_json::from_str(body).expect("bodies are JSON")
}

/// The inputs whose content an oracle reads. All others stay `null`.
const READ: [&str; 4] = [r#"{"command""#, r#"{"config""#, r#"{"link""#, r#"{"quote""#];

fn read_input(record: Record<'_>) -> Step {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Body<'a> {
        offset: u64,
        now_ns: i64,
        #[serde(borrow)]
        input: &'a RawValue,
    }
    let Body { offset, now_ns, input } = serde_json::from_str(record.body).expect("the probe wrote it");
    let is_read = READ.iter().any(|kind| input.get().starts_with(kind));
    let input = if is_read { json(input.get()) } else { Value::Null };
    Step { seq: record.seq, at_ns: record.at_ns, now_ns, offset, input, ..Step::default() }
}

fn read_output(step: &mut Step, mut body: Value) {
    let mut list = |key: &str| match body[key].take() {
        Value::Array(items) => items,
        _ => Vec::new(),
    };
    step.ledger = list("ledger");
    step.replies = list("replies");
    for mut event in list("events") {
        let name = event[0].as_str().expect("an event has a name").to_owned();
        step.events.push((name, event[1].take()));
    }
}

fn number(body: &Value, key: &str) -> u64 {
    body[key].as_u64().expect("offsets are whole numbers")
}
