//! `venue`: what the venue's own records say about what reached it.

use super::{Findings, Log, Severity, Violation, is_of_venue};
use crate::history::History;
use std::collections::{BTreeMap, BTreeSet};

/// At most one order of the venue per client order id and account (LV03, LV07), and none without one:
/// only the gateway trades there.
pub fn check(truth: &Log<'_>) -> Vec<Violation> {
    let mut findings = Findings::new("venue", Severity::Safety);
    let mut orders: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    for event in truth.events.iter().filter(|e| e.name == "event.order.updated") {
        let order = &event.payload["order"];
        let text = |key: &str| order[key].as_str();
        let (Some(account), Some(id)) = (text("accountId"), text("orderId")) else {
            findings.add("OR01", event.step.seq, format!("an order without account or id: {order}"));
            continue;
        };
        let Some(client_order) = text("clientOrderId") else {
            if is_of_venue(order) {
                continue;
            }
            findings.add("LV03", event.step.seq, format!("an order that no gateway gave: {order}"));
            continue;
        };
        let first = *orders.entry((account, client_order)).or_insert(id);
        if first != id {
            let message = format!("client order {client_order} of {account} became {first} and {id}");
            findings.add("LV07", event.step.seq, message);
        }
    }
    findings.found
}

/// An order leaves for its venue once, whatever becomes of it there (LV07): a venue that does not know the
/// second for the first would make two of it.
pub fn check_sent(history: &History) -> Vec<Violation> {
    let mut findings = Findings::new("venue", Severity::Safety);
    let mut logins: BTreeMap<u64, &str> = BTreeMap::new();
    let mut sent: BTreeSet<(&str, &str)> = BTreeSet::new();
    for line in &history.sent {
        let frame = &line.frame;
        match (frame["type"].as_str(), logins.get(&line.stream)) {
            (Some("logon"), _) => logins.extend(frame["account"].as_str().map(|login| (line.stream, login))),
            (Some("submit"), Some(login)) => {
                let order = frame["order"].as_str().unwrap_or_default();
                if !sent.insert((login, order)) {
                    findings.add("LV07", line.began, format!("order {order} left for {login} a second time"));
                }
            }
            _ => {}
        }
    }
    findings.found
}
