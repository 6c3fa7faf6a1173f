//! `stop`: from the latch of an emergency stop to its resume nothing adds risk (RK05).

use super::{Findings, Log, LogEvent, Severity, Violation};
use crate::history::History;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Checks the log, and every answer to `risk.emergencyStop` and `risk.status`.
pub fn check(history: &History, log: &Log<'_>) -> Vec<Violation> {
    let mut findings = Findings::new("stop", Severity::Safety);
    let mut risk = Risk::default();
    let mut latched_after: Vec<BTreeSet<String>> = vec![BTreeSet::new()];
    for event in &log.events {
        risk.apply(*event, &mut findings);
        latched_after.push(risk.latches.keys().cloned().collect());
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
                        status(&latched_after, answer.seq, &answer.body, &mut findings);
                    }
                }
                _ => {}
            }
        }
    }
    findings.found
}

#[derive(Default)]
struct Risk {
    latches: BTreeMap<String, Latch>,
    /// The number of each intent's event, by account and intent.
    intents: BTreeMap<(String, String), u64>,
    /// Open volume by account and position; a first fill opens.
    positions: BTreeMap<(String, String), String>,
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
            _ => {}
        }
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
            // What already rested at the venue may fill, unless the stop was to cancel it.
            if intent > latch.number || latch.cancels {
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

/// The status names exactly the stops that are latched at its cursor.
fn status(latched_after: &[BTreeSet<String>], seq: usize, body: &Value, findings: &mut Findings) {
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
    if told != *expected {
        findings.add("RK05", seq, format!("latches {told:?} were told where {expected:?} are latched"));
    }
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}
