//! `liveness`: after the faults everything heals: all is answered, and every order is terminal or
//! rests with a known state.

use super::{Findings, Severity, Violation};
use crate::history::{ClientHistory, History};

/// Checks the end of the world.
pub fn check(history: &History) -> Vec<Violation> {
    let mut findings = Findings::new("liveness", Severity::Liveness);
    let end = history.gateway.steps.last().map_or(0, |step| step.seq);
    if let Some(what) = &history.unfinished {
        findings.add("LV04", end, format!("never came to its end: {what}"));
    }
    for client in &history.clients {
        for request in client.requests.iter().filter(|r| !r.done) {
            let seq = request.sent.last().copied().unwrap_or(end);
            let message = format!("{} of the {} has no final answer", request.method, client.name);
            findings.add("LV04", seq, message);
        }
        last_looks(client, end, &mut findings);
    }
    findings.found
}

fn last_looks(client: &ClientHistory, end: usize, findings: &mut Findings) {
    let last = |method: &str| {
        client.requests.iter().rev().filter(|r| r.method == method).find_map(|r| r.answers.last())
    };
    for method in ["accounts.get", "risk.status", "gateway.status", "gateway.ping"] {
        match last(method) {
            Some(answer) if answer.ok => {}
            Some(answer) => {
                findings.add("LV04", answer.seq, format!("the last {method} failed: {}", answer.body));
            }
            None => findings.add("LV04", end, format!("the {} never had an answer to {method}", client.name)),
        }
    }
    if let Some(status) = last("gateway.status")
        && status.body["state"] != "ready"
    {
        findings.add("LV04", status.seq, format!("the gateway is {} in the end", status.body["state"]));
    }
    let orders = last("accounts.get").and_then(|a| a.body["orders"].as_array().map(|o| (a.seq, o)));
    for (seq, order) in orders.into_iter().flat_map(|(seq, orders)| orders.iter().map(move |o| (seq, o))) {
        if !matches!(order["status"].as_str(), Some("accepted" | "partially_filled" | "triggered")) {
            findings.add("OR01", seq, format!("an order is still open in the end: {order}"));
        }
    }
}
