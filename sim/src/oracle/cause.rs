//! `cause`: nothing is traded that nobody asked for (LV07). An intent of a user stands in the step of that user's
//! command, on the command's account; one of the risk gate follows a stop that is latched. A restart or a
//! reconnect is no cause.

use super::{Findings, Severity, Violation};
use crate::history::{History, Step};
use serde_json::Value;
use std::collections::BTreeMap;

/// Checks every intent of the gateway.
pub fn check(history: &History) -> Vec<Violation> {
    let mut findings = Findings::new("cause", Severity::Safety);
    // the account of each stop that is latched; `None`: all
    let mut latched: BTreeMap<&str, Option<&str>> = BTreeMap::new();
    for step in &history.gateway.steps {
        for (name, payload) in &step.events {
            match name.as_str() {
                "event.emergency_stop" => stop_changed(&mut latched, payload),
                "event.trade.intent" => {
                    let account = payload["accountId"].as_str();
                    let is_caused = match payload["origin"].as_str() {
                        Some("user") => is_commanded(step, account, payload["action"].as_str()),
                        Some("risk") => {
                            latched.values().any(|concerns| concerns.is_none() || *concerns == account)
                        }
                        _ => false,
                    };
                    if !is_caused {
                        findings.add("LV07", step.seq, format!("nobody asked for {payload}"));
                    }
                }
                _ => {}
            }
        }
    }
    findings.found
}

fn stop_changed<'a>(latched: &mut BTreeMap<&'a str, Option<&'a str>>, payload: &'a Value) {
    let Some(stop) = payload["stopId"].as_str() else { return };
    if payload["phase"] == "resumed" {
        latched.remove(stop);
    } else {
        latched.entry(stop).or_insert_with(|| payload["id"].as_str());
    }
}

/// Whether the step's command asks for such an action on the account.
fn is_commanded(step: &Step, account: Option<&str>, action: Option<&str>) -> bool {
    let body = &step.input["command"]["body"];
    let Some((kind, content)) = body.as_object().and_then(|body| body.iter().next()) else { return false };
    // `cancel_all` cancels, as `close_symbol` closes
    action.is_some_and(|action| kind.starts_with(action)) && content["account"].as_str() == account
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::MachineHistory;
    use serde_json::json;

    fn intent(origin: &str, action: &str) -> (String, Value) {
        let payload = json!({ "origin": origin, "action": action, "accountId": "a" });
        ("event.trade.intent".into(), payload)
    }

    fn found(steps: Vec<Step>) -> usize {
        let gateway = MachineHistory { name: "gateway", steps, ..MachineHistory::default() };
        check(&History { gateway, ..History::default() }).len()
    }

    #[test]
    fn lv07_what_nobody_asked_for_is_noticed() {
        let step = |input: Value, event| Step { input, events: vec![event], ..Step::default() };
        let command =
            |kind: &str, account: &str| json!({ "command": { "body": { kind: { "account": account } } } });
        assert_eq!(found(vec![step(command("close", "a"), intent("user", "close"))]), 0);
        assert_eq!(found(vec![step(command("close", "b"), intent("user", "close"))]), 1, "another account");
        assert_eq!(found(vec![step(command("cancel", "a"), intent("user", "close"))]), 1, "another action");
        assert_eq!(found(vec![step(json!({ "gateway": "ready" }), intent("user", "close"))]), 1, "a restart");
        assert_eq!(found(vec![step(Value::Null, intent("risk", "close"))]), 1, "no stop");
        let stop = |phase: &str, id: Value| {
            let payload = json!({ "stopId": "s1", "id": id, "phase": phase });
            step(Value::Null, ("event.emergency_stop".into(), payload))
        };
        let closes = || step(Value::Null, intent("risk", "close"));
        assert_eq!(found(vec![stop("latched", Value::Null), closes()]), 0);
        assert_eq!(found(vec![stop("latched", json!("b")), closes()]), 1, "a stop of another account");
        assert_eq!(found(vec![stop("latched", Value::Null), stop("resumed", Value::Null), closes()]), 1);
    }
}
