//! What the oracles judge: the machine's steps as the probe told them, and what each client sent,
//! heard and was told. Plain data with JSON in it; nothing here knows the product's types.

use crate::trace::{Kind, Node, Record, Trace};
use serde_json::Value;

/// Everything that happened in one world.
#[derive(Debug, Clone, Default)]
pub struct History {
    pub gateway: MachineHistory,
    /// In the order of the plan.
    pub venues: Vec<MachineHistory>,
    pub clients: Vec<ClientHistory>,
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
    /// The machine's own time of it, in nanoseconds since 1970.
    pub now_ns: i64,
    pub offset: u64,
    /// Name and payload, in order.
    pub events: Vec<(String, Value)>,
    /// Postings.
    pub ledger: Vec<Value>,
    pub replies: Vec<Value>,
    /// The input's JSON.
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
}

/// A place in the log of critical events.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    pub payload: Value,
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
    /// Whether the client is through with it.
    pub done: bool,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    pub seq: usize,
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
                let offset = number(&json(record.body), "offset");
                self.commits.push(Commit { seq: record.seq, offset });
            }
            Kind::Process if json(record.body)["process"] == "started" => self.starts.push(record.seq),
            _ => {}
        }
    }
}

fn json(body: &str) -> Value {
    serde_json::from_str(body).expect("bodies are JSON")
}

fn read_input(record: Record<'_>) -> Step {
    let mut body = json(record.body);
    Step {
        seq: record.seq,
        at_ns: record.at_ns,
        now_ns: body["nowNs"].as_i64().expect("an input has its time"),
        offset: number(&body, "offset"),
        input: body["input"].take(),
        ..Step::default()
    }
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
