//! What several clients did to each other, and what limits refused: marks that say that there was something
//! to judge.

use crate::history::History;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const CANCELED: &str = "canceled_by_the_other";
const CLOSED: &str = "closed_by_the_other";
const RESUMED: &str = "resumed_by_the_other";
const SAME_KEY: &str = "same_key_of_two";

/// Where one principal ended what another had begun, or used its key; once for each time.
pub fn marks(history: &History) -> Vec<&'static str> {
    let mut marks = Vec::new();
    // who placed an order, by account and order; and with it the position of the same number
    let mut placed: BTreeMap<(String, String), &str> = BTreeMap::new();
    let mut stops: BTreeMap<&str, &str> = BTreeMap::new();
    let mut keys: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for step in &history.gateway.steps {
        let command = &step.input["command"];
        let Some(principal) = command["principal"].as_str() else { continue };
        if let Some(key) = command["idempotency"]["key"].as_str() {
            let principals = keys.entry(key).or_default();
            if principals.insert(principal) && principals.len() == 2 {
                marks.push(SAME_KEY);
            }
        }
        let body = &command["body"];
        let of_other = |number: Option<(String, String)>, placed: &BTreeMap<(String, String), &str>| {
            number.and_then(|number| placed.get(&number).copied()).is_some_and(|by| by != principal)
        };
        for (name, payload) in &step.events {
            match name.as_str() {
                "event.order.updated" if payload["placed"] == true && body["place"].is_object() => {
                    placed.extend(number(&payload["order"], "orderId").map(|number| (number, principal)));
                }
                "event.trade.canceled"
                    if body["cancel"].is_object()
                        && of_other(number(&payload["order"], "orderId"), &placed) =>
                {
                    marks.push(CANCELED);
                }
                "event.trade.closed"
                    if body["close"].is_object()
                        && of_other(number(&payload["position"], "positionId"), &placed) =>
                {
                    marks.push(CLOSED);
                }
                "event.emergency_stop" => {
                    let Some(stop) = payload["stopId"].as_str() else { continue };
                    match payload["phase"].as_str() {
                        Some("latched") => drop(stops.insert(stop, principal)),
                        Some("resumed") if stops.get(stop).is_some_and(|by| *by != principal) => {
                            marks.push(RESUMED);
                        }
                        _ => {}
                    }
                }
                _ => {}
            }
        }
    }
    marks
}

/// Account and number: a position bears that of the order that opened it.
fn number(of: &Value, key: &str) -> Option<(String, String)> {
    let number = of[key].as_str()?.trim_start_matches(['o', 'p']).to_owned();
    Some((of["accountId"].as_str()?.to_owned(), number))
}

/// The codes with which orders were refused here, once for each time.
pub fn denials(history: &History) -> Vec<&str> {
    let events = history.gateway.steps.iter().flat_map(|step| &step.events);
    let rejected = events.filter(|(name, _)| name == "event.trade.rejected");
    let violations = rejected.filter_map(|(_, payload)| payload["violations"].as_array()).flatten();
    violations.filter_map(|violation| violation["code"].as_str()).collect()
}
