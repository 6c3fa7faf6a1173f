//! `stop`: from the latch of an emergency stop to its resume nothing adds risk (RK05), and what it was to
//! cancel is gone when it says that it is complete (RK06).

use super::{Findings, Log, LogEvent, Severity, Violation, arithmetic::units};
use crate::{
    history::{Answer, History, Step},
    plan::{PAPER, Plan},
};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Checks the log, and every answer to `risk.emergencyStop` and `risk.status`.
pub fn check(plan: &Plan, history: &History, log: &Log<'_>) -> Vec<Violation> {
    let mut findings = Findings::new("stop", Severity::Safety);
    let mut risk = Risk { paper: [PAPER.to_owned()].into(), ..Risk::default() };
    let mut latched_after: Vec<Latched> = vec![Latched::new()];
    for event in &log.events {
        risk.apply(*event, &mut findings);
        let latched = risk.latches.iter().map(|(stop, latch)| (stop.clone(), latch.account.clone()));
        latched_after.push(latched.collect());
    }
    for client in &history.clients {
        for request in &client.requests {
            match request.method.as_str() {
                "risk.emergencyStop" => {
                    for answer in request.successes() {
                        acknowledged(log, answer.seq, &answer.body, &mut findings);
                    }
                }
                "risk.status" => {
                    for answer in request.successes() {
                        status(&latched_after, &request.params, answer, &mut findings);
                    }
                }
                _ => {}
            }
        }
    }
    sent_under_stops(plan, history, log, &mut findings);
    completed(log, &mut findings);
    findings.found
}

/// Checks the log alone, of a machine with these paper accounts.
pub fn check_machine(log: &Log<'_>, paper: &BTreeSet<String>) -> Vec<Violation> {
    let mut findings = Findings::new("stop", Severity::Safety);
    let mut risk = Risk { paper: paper.clone(), ..Risk::default() };
    log.events.iter().for_each(|event| risk.apply(*event, &mut findings));
    findings.found
}

#[derive(Default)]
struct Risk {
    /// The accounts whose venue is in the machine.
    paper: BTreeSet<String>,
    latches: BTreeMap<String, Latch>,
    /// The number of each intent's event, by account and intent.
    intents: BTreeMap<(String, String), u64>,
    /// Open volume by account and position; a first fill opens.
    positions: BTreeMap<(String, String), String>,
    /// Terms of orders and levels of positions in the gateway's own machine, as they are.
    terms: BTreeMap<String, Terms>,
}

struct Latch {
    number: u64,
    /// `None`: all accounts.
    account: Option<String>,
    cancels: bool,
}

impl Risk {
    fn apply(&mut self, event: LogEvent<'_>, findings: &mut Findings) {
        let payload = event.payload;
        match event.name {
            "event.trade.intent" => {
                self.intents.insert((text(payload, "accountId"), text(payload, "intentId")), event.number);
            }
            "event.emergency_stop" => self.stop_changed(event),
            "event.trade.executed" => self.executed(event, findings),
            "event.order.updated" | "event.position.updated" => self.told_terms(event),
            "event.trade.modified" => self.modified(event, findings),
            _ => {}
        }
    }

    /// What there is, with the name that no other has: orders and positions are numbered apart.
    fn own_terms(event: LogEvent<'_>) -> Option<(String, &Value)> {
        let (order, position) = (&event.payload["order"], &event.payload["position"]);
        let (of, key) = if order.is_object() { (order, "orderId") } else { (position, "positionId") };
        // a reduction adds no risk, whatever its terms
        let reduces = order.is_object() && !order["positionId"].is_null();
        (of["accountId"] == PAPER && !reduces).then(|| (text(of, key), of))
    }

    fn told_terms(&mut self, event: LogEvent<'_>) {
        if let Some((name, of)) = Self::own_terms(event) {
            self.terms.insert(name, Terms::told(of));
        }
    }

    /// In the gateway's own machine new terms hold at once, or not at all.
    fn modified(&mut self, event: LogEvent<'_>, findings: &mut Findings) {
        let Some((name, of)) = Self::own_terms(event) else { return };
        let new = Terms::told(of);
        let widens = self
            .terms
            .get(&name)
            .is_some_and(|before| new.widen(std::slice::from_ref(before), &text(of, "side")));
        let covers = |latch: &&Latch| latch.account.as_deref().is_none_or(|account| account == PAPER);
        if widens && self.latches.values().any(|latch| covers(&latch)) {
            let message = format!("event {} widens terms under a stop: {}", event.number, event.payload);
            findings.add("RK05", event.step.seq, message);
        }
        self.terms.insert(name, new);
    }

    fn stop_changed(&mut self, event: LogEvent<'_>) {
        let payload = event.payload;
        let stop = text(payload, "stopId");
        match payload["phase"].as_str() {
            Some("latched") => {
                let account = payload["id"].as_str().map(str::to_owned);
                let cancels =
                    payload["actions"].as_array().is_some_and(|a| a.iter().any(|a| a == "cancel_all"));
                self.latches.entry(stop).or_insert(Latch { number: event.number, account, cancels });
            }
            Some("resumed") => {
                self.latches.remove(&stop);
            }
            _ => {}
        }
    }

    fn executed(&mut self, event: LogEvent<'_>, findings: &mut Findings) {
        let fill = event.payload;
        let account = text(fill, "accountId");
        let side = text(fill, "side");
        let key = (account.clone(), text(fill, "positionId"));
        let adds_risk = self.positions.entry(key).or_insert_with(|| side.clone()) == &side;
        if !adds_risk {
            return;
        }
        let intent =
            self.intents.get(&(account.clone(), text(fill, "intentId"))).copied().unwrap_or(u64::MAX);
        for (stop, latch) in &self.latches {
            if latch.account.as_ref().is_some_and(|a| *a != account) {
                continue;
            }
            // What already rested at the venue may fill, unless the stop was to cancel it; to a venue behind
            // a wire the word takes its time.
            if intent > latch.number || (latch.cancels && self.paper.contains(&account)) {
                let message = format!("event {} adds risk under stop {stop}: {fill}", event.number);
                findings.add("RK05", event.step.seq, message);
            }
        }
    }
}

/// A stop that was answered is in the log by then.
fn acknowledged(log: &Log<'_>, seq: usize, body: &Value, findings: &mut Findings) {
    if body["latched"] != true {
        findings.add("RK05", seq, format!("a stop was answered without being latched: {body}"));
    }
    let stop = &body["stopId"];
    let logged = log.events.iter().any(|e| {
        let this = e.name == "event.emergency_stop" && e.payload["stopId"] == *stop;
        let durable = log.durable_at(e.step.offset).is_some_and(|at| at < seq);
        this && e.payload["phase"] == "latched" && durable
    });
    if !logged {
        findings.add("RK05", seq, format!("stop {stop} was acknowledged before it was durable"));
    }
}

/// A stop as whoever gave it knows it.
struct Known {
    /// `None`: all accounts.
    account: Option<String>,
    /// Where in the trace it was first answered.
    acknowledged: usize,
    /// Where the resume took effect.
    resumed: Option<usize>,
}

/// Terms of an order, or levels of a position, as they went to its venue.
struct Terms {
    volume: Option<i128>,
    price: Option<i128>,
    has_stop_loss: bool,
    /// If it is a price.
    stop_loss: Option<i128>,
}

impl Terms {
    fn of(frame: &Value) -> Self {
        Self {
            volume: units(&frame["volume"]),
            price: units(&frame["price"]),
            has_stop_loss: !frame["stopLoss"].is_null(),
            stop_loss: units(&frame["stopLoss"]["price"]),
        }
    }

    /// As an event tells them; of a position its volume is no term.
    fn told(of: &Value) -> Self {
        let of_order = !of["orderId"].is_null();
        Self {
            volume: units(&of["volume"]).filter(|_| of_order),
            price: units(&of["price"]).filter(|_| of_order),
            has_stop_loss: !of["stopLoss"].is_null(),
            stop_loss: units(&of["stopLoss"]),
        }
    }

    /// Whether they risk more than any that went before.
    fn widen(&self, before: &[Self], side: &str) -> bool {
        let larger = before.iter().all(|b| self.volume > b.volume);
        let moved = before.iter().all(|b| self.price != b.price);
        let unprotected = !self.has_stop_loss && before.iter().all(|b| b.has_stop_loss);
        let further = |was: Option<i128>| match (self.stop_loss, was) {
            (Some(now), Some(was)) => {
                if side == "buy" {
                    now < was
                } else {
                    now > was
                }
            }
            _ => false,
        };
        let looser = before.iter().all(|b| further(b.stop_loss));
        !before.is_empty() && (larger || moved || unprotected || looser)
    }
}

/// What went to venues of one order, or of one position.
struct Sent {
    side: String,
    terms: Vec<Terms>,
}

/// The sides of positions, by the venue's account and its name of the position.
fn sides(history: &History) -> BTreeMap<(String, String), String> {
    let mut sides = BTreeMap::new();
    for (_, fill) in history
        .venues
        .iter()
        .flat_map(|v| &v.steps)
        .flat_map(|s| &s.events)
        .filter(|(name, _)| name == "event.trade.executed")
    {
        let position = (text(fill, "accountId"), text(fill, "positionId"));
        sides.entry(position).or_insert_with(|| text(fill, "side"));
    }
    sides
}

/// Once a stop is answered, nothing that opens leaves for a venue until the resume, and no terms that risk
/// more.
fn sent_under_stops(plan: &Plan, history: &History, log: &Log<'_>, findings: &mut Findings) {
    let stops = known_stops(history, log);
    let accounts: BTreeMap<&str, &str> = plan
        .venues
        .iter()
        .flat_map(|venue| &venue.accounts)
        .map(|account| (account.login.as_str(), account.id.as_str()))
        .collect();
    let mut streams: BTreeMap<u64, (&str, &str)> = BTreeMap::new();
    let (sides, mut sent) = (sides(history), BTreeMap::<(&str, String), Sent>::new());
    let refusals = refused_terms(history);
    let mut refusals = refusals.iter().peekable();
    for line in &history.sent {
        while let Some((_, account, name)) = refusals.next_if(|(seq, ..)| *seq < line.began) {
            let concerned = sent.iter_mut().find(|((of, known), _)| of == account && is_same(known, name));
            if let Some((_, known)) = concerned {
                known.terms.pop(); // at most one change is on its way
            }
        }
        let frame = &line.frame;
        match (frame["type"].as_str(), streams.get(&line.stream)) {
            (Some("logon"), _) => {
                let login = frame["account"].as_str();
                let account = login.and_then(|login| accounts.get_key_value(login));
                streams.extend(account.map(|(login, account)| (line.stream, (*login, *account))));
            }
            (Some(kind @ ("submit" | "modify")), Some((login, account))) => {
                let (of_order, of_position) = (text(frame, "order"), text(frame, "position"));
                let (name, side) = match (kind, of_position.as_str()) {
                    ("submit", "") => (of_order, text(frame, "side")),
                    ("submit", _) => continue, // it reduces, and so do its later terms
                    (_, "") => (of_order, String::new()),
                    _ => {
                        let place = ((*login).to_owned(), of_position.clone());
                        (of_position, sides.get(&place).cloned().unwrap_or_default())
                    }
                };
                let new = Terms::of(frame);
                let known = sent.get_mut(&(*account, name.clone()));
                let adds_risk = match (kind, &known) {
                    ("submit", _) => true,
                    (_, Some(known)) => new.widen(&known.terms, &known.side),
                    (_, None) => false,
                };
                match known {
                    Some(known) => known.terms.push(new),
                    // of an order that reduces nothing is kept
                    None if kind == "submit" || !frame["position"].is_null() => {
                        sent.insert((*account, name), Sent { side, terms: vec![new] });
                    }
                    None => {}
                }
                if !adds_risk {
                    continue;
                }
                let strikes = |stop: &&Known| {
                    let concerned = stop.account.as_ref().is_none_or(|of| of == account);
                    let latched = stop.acknowledged < line.began;
                    concerned && latched && stop.resumed.is_none_or(|at| at > line.began)
                };
                if stops.iter().any(|stop| strikes(&stop)) {
                    let message =
                        format!("what adds risk left for the venue of {account} under a stop: {frame}");
                    findings.add("RK05", line.began, message);
                }
            }
            _ => {}
        }
    }
}

/// Terms that a venue refused: they were never in force. The place in the trace, the account, and the venue's
/// name of the order or position.
fn refused_terms(history: &History) -> Vec<(usize, String, String)> {
    let refusal = |step: &Step| {
        let link = &step.input["link"];
        let report = &link["event"]["report"]["report"];
        let name = [&report["position"], &report["order"]].into_iter().find_map(Value::as_str)?;
        let is_one = report["kind"] == "modify_rejected";
        is_one.then(|| (step.seq, text(link, "account"), name.to_owned()))
    };
    history.gateway.steps.iter().filter_map(refusal).collect()
}

/// Whether what was sent bears the name, with or without the epoch in front.
fn is_same(sent: &str, name: &str) -> bool {
    sent == name || sent.rsplit_once('.').is_some_and(|(_, short)| short == name)
}

fn known_stops(history: &History, log: &Log<'_>) -> Vec<Known> {
    let mut acknowledged: BTreeMap<String, usize> = BTreeMap::new();
    let asked = history.clients.iter().flat_map(|c| &c.requests);
    for answer in asked.filter(|r| r.method == "risk.emergencyStop").flat_map(|r| r.successes()) {
        let at = acknowledged.entry(text(&answer.body, "stopId")).or_insert(answer.seq);
        *at = answer.seq.min(*at);
    }
    let changes = |stop: &str, phase: &str| {
        let is_it = |e: &&LogEvent<'_>| {
            e.name == "event.emergency_stop" && e.payload["stopId"] == stop && e.payload["phase"] == phase
        };
        log.events.iter().find(is_it).copied()
    };
    let known = acknowledged.into_iter().map(|(stop, acknowledged)| Known {
        account: changes(&stop, "latched").and_then(|e| e.payload["id"].as_str().map(str::to_owned)),
        acknowledged,
        resumed: changes(&stop, "resumed").map(|e| e.step.seq),
    });
    known.collect()
}

/// When a stop that cancels is told to be complete, no order that opens is left on what it covers. What
/// orders have become is told at the end of a step.
fn completed(log: &Log<'_>, findings: &mut Findings) {
    // orders that open and have not ended, by account
    let mut open: BTreeSet<(String, String)> = BTreeSet::new();
    for step in &log.steps {
        for (_, payload) in step.events.iter().filter(|(name, _)| name == "event.order.updated") {
            let order = &payload["order"];
            let name = (text(order, "accountId"), text(order, "orderId"));
            let has_ended = ["filled", "canceled", "expired", "rejected", "denied"];
            if order["positionId"].is_null() && !has_ended.contains(&&*text(order, "status")) {
                open.insert(name);
            } else {
                open.remove(&name);
            }
        }
        for (_, stop) in step.events.iter().filter(|(name, _)| name == "event.emergency_stop") {
            let cancels = stop["actions"]
                .as_array()
                .is_some_and(|a| a.iter().any(|a| a == "cancel_all" || a == "close_all"));
            let account = stop["id"].as_str();
            let left = open.iter().find(|(of, _)| account.is_none_or(|account| account == of));
            if stop["phase"] == "completed"
                && cancels
                && let Some((account, order)) = left
            {
                let message = format!("a stop is complete, and order {order} of {account} is open: {stop}");
                findings.add("RK06", step.seq, message);
            }
        }
    }
}

/// The stops that are latched, and the account of each; `None`: all accounts.
type Latched = BTreeMap<String, Option<String>>;

/// The status names exactly the stops that are latched at its cursor for the account.
fn status(latched_after: &[Latched], params: &Value, answer: &Answer, findings: &mut Findings) {
    let Answer { seq, body, .. } = answer;
    let seq = *seq;
    let Some(offset) = body["cursor"]["offset"].as_u64() else {
        return findings.add("RK05", seq, "risk.status lacks its cursor");
    };
    let Some(expected) = latched_after.get(offset as usize) else {
        return findings.add(
            "RK05",
            seq,
            format!("risk.status is of event {offset}, which is not in the log"),
        );
    };
    let told: BTreeSet<String> = body["latches"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|latch| latch["cause"] == "emergency_stop")
        .map(|latch| text(latch, "id"))
        .collect();
    let concerns = |of: &Option<String>| of.as_ref().is_none_or(|of| params["accountId"] == **of);
    let expected: BTreeSet<String> =
        expected.iter().filter(|(_, of)| concerns(of)).map(|(stop, _)| stop.clone()).collect();
    if told != expected {
        findings.add("RK05", seq, format!("latches {told:?} were told where {expected:?} are latched"));
    }
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}
