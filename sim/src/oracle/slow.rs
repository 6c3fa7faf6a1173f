//! `slow`: what waits for a client that does not read is bounded: when it is full, the client is closed as
//! a slow consumer. Nobody else notices (GW07).

use super::{Findings, Log, LogEvent, Severity, Violation};
use crate::{
    history::{ClientHistory, History, NapHistory, Session},
    plan::{FaultKind, PAPER, Plan},
};

/// What may be on its way to the socket besides: a WebSocket's write buffer, and what a network takes.
const BUFFER_BYTES: usize = (128 << 10) + (16 << 10);
/// The close frame is tried for two seconds.
const CLOSING_NS: u64 = 3_000_000_000;
/// What was written so long before has been read by whoever reads.
const LAG_NS: u64 = 1_000_000_000;
/// Above any frame's head.
const HEAD_BYTES: usize = 200;
/// Requests about accounts in the gateway's own machine are answered within so much time.
const ANSWERED_WITHIN_NS: u64 = 2_000_000_000;
/// Of `[gateway] outbound_frames`, unless it is set.
const OUTBOUND_FRAMES: u64 = 8_192;

/// Checks every time in which a client did not read.
pub fn check(plan: &Plan, history: &History, log: &Log<'_>) -> Vec<Violation> {
    let mut findings = Findings::new("slow", Severity::Safety);
    for nap in &history.naps {
        if nap.every_ms.is_none() {
            bounded(plan, nap, history, log, &mut findings);
        }
        if !plan
            .faults
            .iter()
            .any(|fault| matches!(fault.kind, FaultKind::Crash { .. } | FaultKind::Clog { .. }))
        {
            unnoticed(nap, history, &mut findings);
        }
    }
    for session in history.clients.iter().filter(|c| c.name == READER).flat_map(|c| &c.sessions) {
        if session.closed.is_some_and(|code| !matches!(code, 1001 | 1008 | 1012 | 4403)) {
            let message = format!("the {READER} was closed with {:?}", session.closed);
            findings.add("GW07", session.ended.unwrap_or(session.seq), message);
        }
    }
    findings.found
}

const READER: &str = "slow-reader";

fn end_ns(nap: &NapHistory) -> u64 {
    nap.at_ns + nap.for_ms * 1_000_000
}

/// Critical events beyond what the buffers take end the connection.
fn bounded(plan: &Plan, nap: &NapHistory, history: &History, log: &Log<'_>, findings: &mut Findings) {
    let at_ns = |seq: usize| history.times.get(seq).copied().unwrap_or_default();
    let reader = history.clients.iter().find(|client| client.name == READER);
    let session = reader.and_then(|reader| reader.sessions.iter().rfind(|session| session.seq < nap.seq));
    let is_live = session.is_some_and(|session| {
        // whoever did not read has not seen its end, either
        let over = session.ended.is_some_and(|ended| ended < nap.seq)
            || history.choked_ends.iter().any(|seq| (session.seq..nap.seq).contains(seq));
        !over && has_caught_up(session, nap, history, log)
    });
    if !is_live {
        return;
    }
    let room = plan.gateway.limits.get("outbound_frames").copied().unwrap_or(OUTBOUND_FRAMES);
    let (mut buffered, mut waiting) = (0, 0);
    let mut full_ns = None;
    for event in log.events.iter().filter(|event| event.step.seq > nap.seq) {
        let Some(durable) = log.durable_at(event.step.offset) else { continue };
        if at_ns(durable) >= end_ns(nap) {
            break;
        }
        if buffered < BUFFER_BYTES {
            buffered += event.payload.to_string().len() + HEAD_BYTES;
            continue;
        }
        waiting += 1;
        if waiting > room {
            full_ns = Some(at_ns(durable));
            break;
        }
    }
    let Some(full_ns) = full_ns.filter(|full_ns| full_ns + CLOSING_NS < end_ns(nap)) else { return };
    let ended = |seq: &usize| *seq > nap.seq && at_ns(*seq) <= full_ns + CLOSING_NS;
    if !history.choked_ends.iter().any(ended) {
        let message = format!(
            "{waiting} critical events waited for a client that did not read, {room} may, and it was not closed"
        );
        findings.add("GW07", nap.seq, message);
    }
}

/// Whether it had read what was in the log some time before: whoever lags behind is sent the log at its own
/// pace, and is owed nothing in the queue.
fn has_caught_up(session: &Session, nap: &NapHistory, history: &History, log: &Log<'_>) -> bool {
    let at_ns = |seq: usize| history.times.get(seq).copied().unwrap_or_default();
    let durable = |event: &LogEvent<'_>| log.durable_at(event.step.offset);
    let old = |seq: usize| at_ns(seq) + LAG_NS < nap.at_ns;
    let known = log.events.iter().filter(|event| durable(event).is_some_and(old)).count() as u64;
    let told = session.told.iter().filter(|told| told.seq < nap.seq).filter_map(|told| told.cursor.as_ref());
    let from = session.resumed_from.as_ref().or(session.head.as_ref());
    let read = told.chain(from).map(|cursor| cursor.offset).max();
    old(session.seq) && read.is_some_and(|read| read >= known)
}

/// Others are answered as ever.
fn unnoticed(nap: &NapHistory, history: &History, findings: &mut Findings) {
    let at_ns = |seq: usize| history.times.get(seq).copied().unwrap_or_default();
    let during = nap.at_ns..end_ns(nap);
    for ClientHistory { name, requests, .. } in history.clients.iter().filter(|c| c.name != READER) {
        for request in requests {
            let account = request.params["accountId"].as_str();
            if account.is_some_and(|account| account != PAPER) {
                continue; // its venue may take its time
            }
            let late = request.answers.iter().find(|answer| {
                let (sent, answered) = (at_ns(answer.sent), at_ns(answer.seq));
                during.contains(&sent) && answered > sent + ANSWERED_WITHIN_NS
            });
            if let Some(late) = late {
                let ms = (at_ns(late.seq) - at_ns(late.sent)) / 1_000_000;
                let message =
                    format!("the {name}'s {} took {ms} ms while another client did not read", request.method);
                findings.add("GW07", late.seq, message);
            }
        }
    }
}
