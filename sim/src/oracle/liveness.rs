//! `liveness`: after the faults everything heals: all is answered, and every order is terminal or
//! rests with a known state.

use super::{Findings, Severity, Violation};
use crate::{
    history::{ClientHistory, History, Request},
    plan::Plan,
};

/// Checks the end of the world.
pub fn check(plan: &Plan, history: &History) -> Vec<Violation> {
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
        let mut accounts = plan.accounts();
        accounts.retain(|account| client.sees.as_ref().is_none_or(|sees| sees.contains(account)));
        last_looks(client, &accounts, end, &mut findings);
    }
    open_orders(history, &plan.accounts(), &mut findings);
    findings.found
}

/// The last look of those who trade: who only looks, or was done first, may have looked for the last time
/// while others still traded.
fn open_orders(history: &History, accounts: &[String], findings: &mut Findings) {
    let traders = history.clients.iter().filter(|c| c.requests.iter().any(|request| request.key.is_some()));
    let asked: Vec<&Request> =
        traders.flat_map(|c| &c.requests).filter(|request| request.method == "accounts.get").collect();
    for account in accounts {
        let of_account = asked.iter().filter(|request| request.params["accountId"] == **account);
        let Some(last) = of_account.filter_map(|request| request.answers.last()).max_by_key(|a| a.seq) else {
            continue;
        };
        for order in last.body["orders"].as_array().into_iter().flatten().filter(|_| last.ok) {
            if !matches!(order["status"].as_str(), Some("accepted" | "partially_filled" | "triggered")) {
                findings.add("OR01", last.seq, format!("an order is still open in the end: {order}"));
            }
        }
    }
}

fn last_looks(client: &ClientHistory, accounts: &[String], end: usize, findings: &mut Findings) {
    let last = |method: &str, account: Option<&String>| {
        let of_account = |r: &&Request| account.is_none_or(|account| r.params["accountId"] == **account);
        let asked = client.requests.iter().rev().filter(|r| r.method == method).filter(of_account);
        asked.filter_map(|r| r.answers.last()).next()
    };
    let of_accounts = accounts.iter().flat_map(|id| [("accounts.get", Some(id)), ("risk.status", Some(id))]);
    for (method, account) in of_accounts.chain([("gateway.status", None), ("gateway.ping", None)]) {
        match last(method, account) {
            Some(answer) if answer.ok => {}
            Some(answer) => {
                findings.add("LV04", answer.seq, format!("the last {method} failed: {}", answer.body));
            }
            None => findings.add("LV04", end, format!("the {} never had an answer to {method}", client.name)),
        }
    }
    if let Some(status) = last("gateway.status", None)
        && status.body["state"] != "ready"
    {
        findings.add("LV04", status.seq, format!("the gateway is {} in the end", status.body["state"]));
    }
    for answer in accounts.iter().filter_map(|id| last("accounts.get", Some(id))).filter(|answer| answer.ok) {
        if answer.body["status"] != "connected" {
            let message = format!("{} is {} in the end", answer.body["accountId"], answer.body["status"]);
            findings.add("LV04", answer.seq, message);
        }
    }
}
