//! `venue`: what the venue's own records say about what reached it.

use super::{Findings, Log, Severity, Violation, is_of_venue};
use std::collections::BTreeMap;

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
