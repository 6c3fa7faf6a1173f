//! What faults met: in which states orders of the gateway were when one took effect.

use crate::{
    history::History,
    trace::{Kind, Trace},
};
use serde_json::Value;
use std::collections::BTreeMap;

/// By fault and order state: how many orders.
pub type Crossings = BTreeMap<(String, String), u64>;

/// Counts them over a world.
pub fn count(trace: &Trace, history: &History) -> Crossings {
    let mut crossings = Crossings::new();
    // by account and order, those that are open
    let mut open: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    let mut steps = history.gateway.steps.iter().peekable();
    for record in trace.records().filter(|record| record.kind == Kind::Fault) {
        while let Some(step) = steps.next_if(|step| step.seq < record.seq) {
            for (_, payload) in step.events.iter().filter(|(name, _)| name == "event.order.updated") {
                note(&mut open, &payload["order"]);
            }
        }
        let body: Value = serde_json::from_str(record.body).unwrap_or_default();
        let fault = body["fault"].as_str().unwrap_or_default();
        for status in open.values() {
            *crossings.entry((fault.to_owned(), (*status).to_owned())).or_default() += 1;
        }
    }
    crossings
}

fn note<'a>(open: &mut BTreeMap<(&'a str, &'a str), &'a str>, order: &'a Value) {
    let (Some(account), Some(id), Some(status)) =
        (order["accountId"].as_str(), order["orderId"].as_str(), order["status"].as_str())
    else {
        return;
    };
    if matches!(status, "filled" | "canceled" | "expired" | "rejected" | "denied") {
        open.remove(&(account, id));
    } else {
        open.insert((account, id), status);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{history::Step, trace::Node};
    use serde_json::json;

    #[test]
    fn a_fault_meets_the_orders_that_are_open_at_its_time() {
        let mut trace = Trace::default();
        let mut history = History::default();
        let mut order = |trace: &mut Trace, id: &str, status: &str| {
            let seq = trace.push(0, Node::Gateway, Kind::Output, "{}");
            let order = json!({ "order": { "accountId": "a", "orderId": id, "status": status } });
            let events = vec![("event.order.updated".to_owned(), order)];
            history.gateway.steps.push(Step { seq, events, ..Step::default() });
        };
        let fault = |trace: &mut Trace| trace.push(0, Node::Gateway, Kind::Fault, r#"{"fault":"crash"}"#);
        fault(&mut trace);
        order(&mut trace, "o1", "submitted");
        order(&mut trace, "o2", "accepted");
        fault(&mut trace);
        order(&mut trace, "o1", "filled");
        fault(&mut trace);
        let key = |status: &str| ("crash".to_owned(), status.to_owned());
        assert_eq!(count(&trace, &history), [(key("submitted"), 1), (key("accepted"), 2)].into());
    }
}
