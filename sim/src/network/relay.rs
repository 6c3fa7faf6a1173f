//! A relay between gateway and venues that is not honest: it loses, repeats and delays whole frames, and
//! cuts a connection before or after an order went through. No venue of ours does that, and no network;
//! a bridge that a stranger wrote may.
//!
//! It knows lines of JSON and of those only their type.

use crate::{
    draw::Draw,
    plan::RelayPlan,
    probe::Coverage,
    runtime::Clock,
    trace::{Kind, Node, Tracer},
};
use madsim::{
    net::{TcpListener, TcpStream},
    time::sleep,
};
use serde_json::Value;
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

const PIECE: usize = 16 << 10;
const MILLI_NS: u64 = 1_000_000;
/// Longer than any world: nothing is due.
const NEVER_NS: u64 = u64::MAX;
/// How long nothing is due before the loop looks again.
const IDLE: Duration = Duration::from_secs(60);

/// What the relay does to what it carries. Clones are the same.
#[derive(Clone)]
pub struct Relay(Arc<Shared>);

struct Shared {
    plan: RelayPlan,
    seed: u64,
    clock: Clock,
    tracer: Tracer,
    coverage: Coverage,
    calm: AtomicBool,
}

impl Relay {
    pub fn new(plan: RelayPlan, seed: u64, clock: Clock, tracer: Tracer, coverage: Coverage) -> Self {
        Self(Arc::new(Shared { plan, seed, clock, tracer, coverage, calm: AtomicBool::new(false) }))
    }

    /// From now on it carries everything as it is.
    pub fn calm(&self) {
        self.0.calm.store(true, Ordering::Relaxed);
    }

    /// Carries connections between `bind` and a venue, for ever.
    pub async fn run(self, bind: String, venue: String) {
        let listener = TcpListener::bind(&bind).await.expect("the relay's node has this address for itself");
        for number in 0.. {
            // An error concerns the connection that was about to begin.
            let Ok((near, _)) = listener.accept().await else { continue };
            let draw = Draw::new(self.0.seed, &format!("relay {venue} {number}"));
            let (relay, venue) = (self.clone(), venue.clone());
            drop(madsim::task::spawn(async move {
                if let Ok(far) = TcpStream::connect(venue).await {
                    // How a connection ends is seen by those that it joins.
                    let _ = Carrier::new(relay, draw).carry(near, far).await;
                }
            }));
        }
    }
}

/// What happens to a frame.
enum Fate {
    Pass,
    Lose,
    Repeat,
    Delay(Duration),
    /// Another takes its place.
    Replace(Vec<u8>),
    /// It passes, nothing comes back, and then the connection ends.
    CutAfter(Duration),
    CutBefore,
}

/// One connection.
struct Carrier {
    relay: Relay,
    draw: Draw,
    /// Orders and reports; a connection of quotes is left alone.
    carries_orders: bool,
    /// Whether the venue has said something.
    has_answered: bool,
    /// Frames that are late: when they are due.
    late: Vec<(u64, Vec<u8>)>,
    cut_at_ns: u64,
}

impl Carrier {
    const fn new(relay: Relay, draw: Draw) -> Self {
        Self {
            relay,
            draw,
            carries_orders: false,
            has_answered: false,
            late: Vec::new(),
            cut_at_ns: NEVER_NS,
        }
    }

    /// Carries until one end closes, or the connection is cut.
    async fn carry<S: AsyncRead + AsyncWrite>(mut self, near: S, far: S) -> io::Result<()> {
        let (from_gateway, mut to_gateway) = tokio::io::split(near);
        let (from_venue, mut to_venue) = tokio::io::split(far);
        let (mut from_gateway, mut from_venue) = (Lines::new(from_gateway), Lines::new(from_venue));
        loop {
            let now = self.now_ns();
            if now >= self.cut_at_ns {
                return Ok(());
            }
            while let Some(place) = self.late.iter().position(|(due, _)| *due <= now) {
                let (_, line) = self.late.remove(place);
                send(&mut to_gateway, &line).await?;
            }
            let due = self.late.iter().map(|(due, _)| *due).chain([self.cut_at_ns]).min();
            let wait = due.filter(|due| *due < NEVER_NS).map_or(IDLE, |due| Duration::from_nanos(due - now));
            tokio::select! {
                biased;
                line = from_gateway.next() => {
                    let Some(line) = line? else { return Ok(()) };
                    match self.order_entry(&line) {
                        Fate::Lose => {}
                        Fate::CutBefore => return Ok(()),
                        Fate::CutAfter(after) => {
                            send(&mut to_venue, &line).await?;
                            self.cut_at_ns = self.now_ns() + ns(after);
                        }
                        _ => send(&mut to_venue, &line).await?,
                    }
                }
                line = from_venue.next() => {
                    let Some(line) = line? else { return Ok(()) };
                    match self.report(&line) {
                        Fate::Lose => {}
                        Fate::CutBefore => return Ok(()),
                        Fate::Replace(other) => send(&mut to_gateway, &other).await?,
                        Fate::Delay(time) => self.late.push((self.now_ns() + ns(time), line)),
                        Fate::Repeat => {
                            send(&mut to_gateway, &line).await?;
                            send(&mut to_gateway, &line).await?;
                        }
                        _ => send(&mut to_gateway, &line).await?,
                    }
                }
                () = sleep(wait) => {}
            }
        }
    }

    /// What becomes of a frame for the venue.
    fn order_entry(&mut self, line: &[u8]) -> Fate {
        let frame: Value = serde_json::from_slice(line).unwrap_or_default();
        let is_logon = frame["type"] == "logon";
        self.carries_orders |= is_logon && frame["account"].is_string();
        if self.is_calm() || is_logon || self.cut_at_ns < NEVER_NS {
            return Fate::Pass;
        }
        let RelayPlan { lose_ack, lose_order, lose_entry, .. } = self.relay.0.plan;
        if frame["type"] == "submit" {
            if let Some(hold) = lose_ack.filter(|hold| self.draw.chance(hold.permille)) {
                self.receipt("ack_lost", &frame);
                return Fate::CutAfter(Duration::from_millis(hold.for_ms.draw(&mut self.draw)));
            }
            if self.draw.chance(lose_order) {
                self.receipt("order_lost", &frame);
                return Fate::CutBefore;
            }
        }
        if self.draw.chance(lose_entry) {
            self.receipt("entry_lost", &frame);
            return Fate::Lose;
        }
        Fate::Pass
    }

    /// What becomes of a frame for the gateway.
    fn report(&mut self, line: &[u8]) -> Fate {
        if self.is_calm() {
            return Fate::Pass;
        }
        if self.cut_at_ns < NEVER_NS {
            return Fate::Lose;
        }
        let frame: Value = serde_json::from_slice(line).unwrap_or_default();
        let RelayPlan { lose_report, repeat_report, late_report, drop_logon, wrong_snapshot, .. } =
            self.relay.0.plan;
        if !std::mem::replace(&mut self.has_answered, true) && self.draw.chance(drop_logon) {
            self.receipt("session_dropped_at_logon", &frame);
            return Fate::CutBefore;
        }
        if frame["type"] == "snapshot" && self.draw.chance(wrong_snapshot) {
            return self.falsify(frame);
        }
        if frame["type"] != "report" {
            return Fate::Pass;
        }
        if self.draw.chance(lose_report) {
            self.receipt("report_lost", &frame);
            return Fate::Lose;
        }
        if self.draw.chance(repeat_report) {
            self.receipt("report_repeated", &frame);
            return Fate::Repeat;
        }
        match late_report.filter(|hold| self.draw.chance(hold.permille)) {
            Some(hold) => {
                self.receipt("report_late", &frame);
                Fate::Delay(Duration::from_millis(hold.for_ms.draw(&mut self.draw)))
            }
            None => Fate::Pass,
        }
    }

    /// Books without one of the positions, or one of the open orders, that are in them.
    fn falsify(&mut self, mut frame: Value) -> Fate {
        let books = &mut frame["snapshot"];
        let is_open = |order: &Value| order["status"] == "working";
        let orders = books["orders"].as_array().and_then(|orders| orders.iter().position(is_open));
        let position = books["positions"].as_array().is_some_and(|positions| !positions.is_empty());
        let (list, place) = match (orders, position) {
            (_, true) if orders.is_none() || self.draw.chance(500) => ("positions", 0),
            (Some(place), _) => ("orders", place),
            (None, _) => return Fate::Pass,
        };
        if let Some(list) = books[list].as_array_mut() {
            list.remove(place);
        }
        self.receipt("wrong_snapshot", &frame);
        let mut line = frame.to_string().into_bytes();
        line.push(b'\n');
        Fate::Replace(line)
    }

    fn is_calm(&self) -> bool {
        !self.carries_orders || self.relay.0.calm.load(Ordering::Relaxed)
    }

    fn now_ns(&self) -> u64 {
        self.relay.0.clock.elapsed_ns()
    }

    fn receipt(&self, fault: &str, frame: &Value) {
        self.relay.0.coverage.mark(fault);
        let body = serde_json::json!({ "fault": fault, "frame": frame["seq"], "type": frame["type"] });
        self.relay.0.tracer.record(Node::Relay, Kind::Fault, &body.to_string());
    }
}

/// Lines as they come; a part of one at the end is no line.
struct Lines<S> {
    stream: S,
    bytes: Vec<u8>,
}

impl<S: AsyncRead + Unpin> Lines<S> {
    const fn new(stream: S) -> Self {
        Self { stream, bytes: Vec::new() }
    }

    /// The next line with its end; `None` when there is none. May be dropped and asked again.
    async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut looked_at = 0;
        loop {
            if let Some(end) = self.bytes[looked_at..].iter().position(|byte| *byte == b'\n') {
                let rest = self.bytes.split_off(looked_at + end + 1);
                return Ok(Some(std::mem::replace(&mut self.bytes, rest)));
            }
            looked_at = self.bytes.len();
            let mut piece = [0; PIECE];
            let count = self.stream.read(&mut piece).await?;
            if count == 0 {
                return Ok(None);
            }
            self.bytes.extend_from_slice(&piece[..count]);
        }
    }
}

async fn send(stream: &mut (impl AsyncWrite + Unpin), line: &[u8]) -> io::Result<()> {
    stream.write_all(line).await?;
    stream.flush().await
}

const fn ns(time: Duration) -> u64 {
    time.as_millis() as u64 * MILLI_NS
}
