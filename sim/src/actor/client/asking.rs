//! Requests: sent, answered, repeated under the same key until the answer is final, given up.

use super::{Client, MILLI_NS, connection::Socket};
use crate::{
    actor::wire,
    history::{Answer, Request},
    trace::Kind,
};
use futures_util::SinkExt;
use serde_json::Value;
use std::sync::PoisonError;
use tokio_tungstenite::tungstenite::Message;

/// The gateway promises an answer within 5 s.
const ANSWER_LIMIT_NS: u64 = 6_500 * MILLI_NS;
/// After so many answers that leave it open, whoever asks waits ever longer; it doubles so often at most.
const PATIENCE: usize = 1;
const PAUSE_DOUBLES: usize = 5;

/// A request that is not through.
pub(super) struct Open {
    request: usize,
    /// Sent and not answered until then; or not sent, and to be sent then.
    sent: bool,
    until_ns: u64,
    /// Ends with the connection.
    of_session: bool,
}

impl Client {
    /// Asks as soon as there is a connection; with `of_session` only while this one lasts.
    pub(super) fn ask(&mut self, request: Request, of_session: bool) {
        let index = {
            let requests = &mut self.journal().requests;
            requests.push(request);
            requests.len() - 1
        };
        self.open.push(Open { request: index, sent: false, until_ns: 0, of_session });
    }

    /// Asks a request again that was answered.
    pub(super) fn ask_again(&mut self, request: usize) {
        self.journal().requests[request].done = false;
        self.open.push(Open { request, sent: false, until_ns: 0, of_session: false });
    }

    /// When a request is due next, for the first time or again.
    pub(super) fn next_send_ns(&self) -> Option<u64> {
        self.open.iter().map(|open| open.until_ns).min()
    }

    /// Sends what is due. `None`: the connection failed, or took so long that it is given up.
    pub(super) async fn send_due(&mut self, socket: &mut Socket) -> Option<()> {
        let now = self.now_ns();
        for index in 0..self.open.len() {
            let open = &mut self.open[index];
            if open.until_ns > now {
                continue;
            }
            if open.sent {
                open.sent = false;
                if self.setup.draw.chance(500) {
                    return None; // gives the connection up
                }
            }
            self.send(index, socket).await?;
        }
        Some(())
    }

    async fn send(&mut self, index: usize, socket: &mut Socket) -> Option<()> {
        let request = self.open[index].request;
        let id = format!("{}-{}", self.setup.node.name(), self.ids.len());
        let text = {
            let journal = self.journal();
            let Request { method, params, .. } = &journal.requests[request];
            wire::request(&id, method, params)
        };
        let seq = self.record(Kind::Sent, &text);
        self.ids.insert(id, (request, seq));
        let again = {
            let sent = &mut self.journal().requests[request].sent;
            sent.push(seq);
            sent.len() > 1
        };
        if again {
            self.setup.coverage.mark("request_repeated");
        }
        let until_ns = self.now_ns() + ANSWER_LIMIT_NS;
        let open = &mut self.open[index];
        (open.sent, open.until_ns) = (true, until_ns);
        socket.send(Message::text(text)).await.ok()
    }

    pub(super) fn answered(&mut self, seq: usize, id: &str, ok: bool, body: Value) {
        let Some(&(request, sent)) = self.ids.get(id) else { return };
        self.note_rates(request, ok, &body);
        let again_in_ms = if ok { None } else { retry_in_ms(&body) };
        let limited = (body["code"] == "RATE_LIMITED").then(|| body["details"]["reason"].to_string());
        let now_ns = self.now_ns();
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = &mut journal.requests[request];
        if let (Some(order), Some(account)) = (body["orderId"].as_str(), entry.params["accountId"].as_str()) {
            self.known.placed(account, order);
        }
        if ok && entry.method == "feeds.getCandles" {
            self.known.see_candles(&entry.params, &body);
        }
        entry.answers.push(Answer { seq, sent, ok, body });
        let Some(place) = self.open.iter().position(|o| o.request == request) else { return };
        if let Some(pause_ms) = again_in_ms {
            let times = entry.answers.len().saturating_sub(PATIENCE).min(PAUSE_DOUBLES);
            let mut until_ns = now_ns + (pause_ms << times) * MILLI_NS;
            if let Some(reason) = limited {
                // those that wait for the same rate line up
                let last_ns = self.turns.get(&reason).copied().unwrap_or_default();
                until_ns = now_ns.max(last_ns) + pause_ms * MILLI_NS;
                self.turns.insert(reason, until_ns);
            }
            (self.open[place].sent, self.open[place].until_ns) = (false, until_ns);
        } else {
            entry.done = true;
            self.open.remove(place);
        }
    }

    /// Marks what rates refused and what came of it.
    fn note_rates(&mut self, request: usize, ok: bool, body: &Value) {
        const JUST_NOW_NS: u64 = 500 * MILLI_NS;
        let now_ns = self.now_ns();
        if body["code"] == "RATE_LIMITED" {
            self.limited_ns = Some(now_ns);
            let reason = body["details"]["reason"].as_str().unwrap_or_default();
            self.setup.coverage.mark(&format!("limited_{}", reason.to_ascii_lowercase()));
        }
        if !ok {
            return;
        }
        let (stops, again) = {
            let journal = self.journal();
            let request = &journal.requests[request];
            let was_limited = |answer: &Answer| answer.body["code"] == "RATE_LIMITED";
            (request.method == "risk.emergencyStop", request.answers.iter().any(was_limited))
        };
        if again {
            self.setup.coverage.mark("limited_and_done_later");
        }
        if stops && self.limited_ns.is_some_and(|at_ns| at_ns + JUST_NOW_NS > now_ns) {
            self.setup.coverage.mark("stop_passed_the_rates");
        }
    }

    /// What was under way is asked again on the next connection.
    pub(super) fn disconnected(&mut self) {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        self.open.retain_mut(|open| {
            open.sent = false;
            open.until_ns = 0;
            if open.of_session {
                journal.requests[open.request].done = true;
            }
            !open.of_session
        });
    }

    /// Whatever was asked for under a key and was not answered is not asked for again.
    pub(super) fn give_up_open(&mut self) {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        self.own_since = journal.requests.len();
        self.open.retain(|open| {
            let request = &mut journal.requests[open.request];
            let stays = request.key.is_none() || request.sent.is_empty();
            (request.abandoned, request.done) = (!stays, !stays);
            stays
        });
    }
}

/// In how many milliseconds to ask again, if the error allows it or leaves the outcome open.
fn retry_in_ms(error: &Value) -> Option<u64> {
    const USUAL_MS: u64 = 150;
    let details = &error["details"];
    match error["code"].as_str()? {
        "RATE_LIMITED" => Some(details["retryAfterMs"].as_u64().unwrap_or(USUAL_MS).max(1)),
        "TIMEOUT" | "INTERNAL_ERROR" if details["outcome"] == "may_have_executed" => Some(USUAL_MS),
        "CONNECTOR_UNAVAILABLE" if error["retryable"] == true => Some(USUAL_MS),
        _ => None,
    }
}
