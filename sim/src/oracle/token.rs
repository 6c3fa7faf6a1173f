//! `token`: who lost their rights is out: its sessions end with 4403, no other begins with its token, and
//! nothing of it enters the journal any more (GW05). Nobody else notices.

use super::{Findings, Severity, Violation};
use crate::{
    history::{ClientHistory, History, Revocation, Session, Token},
    plan::{FaultKind, Plan},
};
use std::collections::BTreeMap;

/// What is on its way when the rights end arrives within so much time: to the machine by its queue, to
/// the client by the network.
const IN_FLIGHT_NS: u64 = 500_000_000;
const REVOKED: u16 = 4403;

/// Checks every revocation, and every session that ended with 4403.
pub fn check(plan: &Plan, history: &History) -> Vec<Violation> {
    let mut findings = Findings::new("token", Severity::Safety);
    for revocation in &history.revocations {
        inputs(revocation, history, &mut findings);
        for token in history.tokens.iter().filter(|token| token.principal == revocation.principal) {
            sessions(plan, revocation, token, history, &mut findings);
        }
    }
    others(history, &mut findings);
    findings.found
}

/// The principal of each token, by the token's print.
pub fn principals(history: &History) -> BTreeMap<&str, &str> {
    history.tokens.iter().map(|token| (token.print.as_str(), token.principal.as_str())).collect()
}

fn inputs(revocation: &Revocation, history: &History, findings: &mut Findings) {
    let late = history.gateway.steps.iter().find(|step| {
        step.input["command"]["principal"] == *revocation.principal
            && step.seq > revocation.seq
            && step.at_ns > revocation.at_ns + IN_FLIGHT_NS
    });
    if let Some(late) = late {
        let ms = (late.at_ns - revocation.at_ns) / 1_000_000;
        let message = format!(
            "a command of {} came {ms} ms after it was revoked: {}",
            revocation.principal, late.input
        );
        findings.add("GW05", late.seq, message);
    }
}

fn sessions(plan: &Plan, revocation: &Revocation, token: &Token, history: &History, findings: &mut Findings) {
    let too_late =
        |seq: usize| history.times.get(seq).is_some_and(|at_ns| *at_ns > revocation.at_ns + IN_FLIGHT_NS);
    let only_revocations = plan.faults.iter().all(|fault| matches!(fault.kind, FaultKind::Revoke { .. }));
    for client in &history.clients {
        for (place, session) in client.sessions.iter().enumerate() {
            let was_over = session.ended.is_some_and(|ended| ended < revocation.seq);
            if session.token != token.print || was_over {
                continue;
            }
            if session.seq > revocation.seq && too_late(session.seq) {
                let message = format!("the {} was let in with a revoked token", client.name);
                findings.add("GW05", session.seq, message);
                continue;
            }
            if let Some(heard) = heard(client, place, session).find(|seq| too_late(*seq)) {
                let message = format!("the {} was still served under a revoked token", client.name);
                findings.add("GW05", heard, message);
            }
            let expected = match session.closed {
                Some(code) => code == REVOKED,
                None => !only_revocations || plan.chaos.is_some(),
            };
            if !expected {
                let seq = session.ended.unwrap_or(revocation.seq);
                let message = format!(
                    "the {}'s session under a revoked token ended with {:?}, not {REVOKED}",
                    client.name, session.closed
                );
                findings.add("GW05", seq, message);
            }
        }
    }
}

/// Where in the trace the client heard something on this connection.
fn heard<'a>(
    client: &'a ClientHistory,
    place: usize,
    session: &'a Session,
) -> impl Iterator<Item = usize> + 'a {
    let next = client.sessions.get(place + 1).map_or(usize::MAX, |next| next.seq);
    let answers = client.requests.iter().flat_map(|request| &request.answers).map(|answer| answer.seq);
    let answers = answers.filter(move |seq| (session.seq..next).contains(seq));
    session.told.iter().map(|told| told.seq).chain(answers)
}

fn others(history: &History, findings: &mut Findings) {
    let principals = principals(history);
    for client in &history.clients {
        for session in client.sessions.iter().filter(|session| session.closed == Some(REVOKED)) {
            let seq = session.ended.unwrap_or(session.seq);
            let principal = principals.get(session.token.as_str());
            let was_revoked = history
                .revocations
                .iter()
                .any(|revocation| revocation.seq < seq && Some(&&*revocation.principal) == principal);
            if !was_revoked {
                let message = format!("the {}'s session was closed as revoked, and was not", client.name);
                findings.add("GW05", seq, message);
            }
        }
    }
}
