//! One connection's conversation, without its socket: frames go in, answers and events come to lie
//! in the outbox.

use super::{
    Gateway,
    auth::Place,
    context::Context,
    frame::{self, BadFrame, Request},
    ids::RequestIds,
    limits::{self, Window},
    outbox::{Class, Full, Outbox, Outgoing, Room},
    rates::{self, Bucket, Rate},
    registry::{Answer, Handler, Method, registry},
    subscriptions::Subscriptions,
    visitors::Visit,
};
use crate::{
    domain::{
        message::{ErrorCode, Refusal},
        time::UnixNanos,
    },
    node::{
        hub::Release,
        journal::{Cursor, StoredEvent},
        tokens::Principal,
    },
};
use futures_util::stream::FuturesUnordered;
use schemars::JsonSchema;
use serde::Serialize;
use std::{collections::BTreeSet, future::Future, pin::Pin, sync::Arc};
use tokio::sync::mpsc;

/// Why a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Close {
    pub code: u16,
    pub reason: &'static str,
    /// What waits is sent first.
    pub drain: bool,
}

impl Close {
    pub const SHUTDOWN: Self = Self { code: 1001, reason: "SHUTDOWN", drain: true };
    pub const RESTART: Self = Self { code: 1012, reason: "RESTART", drain: true };
    pub const BAD_FRAMES: Self = Self { code: 1008, reason: "TOO_MANY_BAD_FRAMES", drain: true };
    pub const SLOW_CONSUMER: Self = Self { code: 1008, reason: "SLOW_CONSUMER", drain: false };
    pub const SILENT: Self = Self { code: 1008, reason: "PING_TIMEOUT", drain: false };
    pub const TOO_BIG: Self = Self { code: 1009, reason: "FRAME_TOO_BIG", drain: true };
    pub const NOT_UTF8: Self = Self { code: 1007, reason: "NOT_UTF8", drain: true };
    pub const PROTOCOL: Self = Self { code: 1002, reason: "WEBSOCKET_PROTOCOL", drain: true };
    pub const INTERNAL: Self = Self { code: 1011, reason: "INTERNAL_ERROR", drain: false };
    pub const AUTH_FAILED: Self = Self { code: 4401, reason: "AUTH_FAILED", drain: true };
    pub const REVOKED: Self = Self { code: 4403, reason: "REVOKED", drain: false };
    pub const CONNECT_TIMEOUT: Self = Self { code: 4408, reason: "CONNECT_TIMEOUT", drain: true };
    pub const PROTOCOL_MISMATCH: Self = Self { code: 4409, reason: "PROTOCOL_MISMATCH", drain: true };
}

/// The event that is sent even when nothing happens.
pub const TICK_EVENT: &str = "event.gateway.tick";

/// The payload of `event.gateway.tick`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Tick {
    pub ts: UnixNanos,
    /// The newest critical event. What this session may see of the log up to it may still be on its way.
    pub head: Cursor,
}

/// A request's answer, and which request it was.
pub type Answered = (String, Answer);

/// Requests that are being worked on.
pub type InFlight = FuturesUnordered<Pin<Box<dyn Future<Output = Answered> + Send>>>;

/// A page of the log that is being read.
pub type CatchUp = Pin<Box<dyn Future<Output = Result<Vec<StoredEvent>, Refusal>> + Send>>;

/// The conversation.
pub struct Session {
    pub gateway: Arc<Gateway>,
    pub address: String,
    pub outbox: Outbox,
    pub in_flight: InFlight,
    /// Present while the log is read because live events would leave a gap.
    pub catch_up: Option<CatchUp>,
    /// Set once the connection is to end.
    pub closing: Option<Close>,
    pub connected: Option<Connected>,
    place: Option<Arc<Place>>,
    visit: Arc<Visit>,
    ids: RequestIds,
    bad_frames: Window,
    requests: Bucket,
}

/// What a session knows once `gateway.connect` succeeded.
pub struct Connected {
    pub principal: Arc<Principal>,
    pub releases: mpsc::Receiver<Arc<Release>>,
    pub subscriptions: Subscriptions,
    /// The last critical event that was delivered or withheld.
    delivered: u64,
    /// The last one that is known to exist.
    known: u64,
}

impl Session {
    /// A session that has not connected. `place` is given back when it has.
    pub fn new(gateway: Arc<Gateway>, address: String, place: Arc<Place>, visit: Arc<Visit>) -> Self {
        let limits = &gateway.limits;
        Self {
            outbox: Outbox::new(
                Room { frames: limits.outbound_frames, bytes: limits.outbound_bytes },
                Room { frames: limits.outbound_feed_frames, bytes: limits.outbound_feed_bytes },
            ),
            in_flight: InFlight::new(),
            catch_up: None,
            closing: None,
            connected: None,
            place: Some(place),
            visit,
            ids: RequestIds::default(),
            bad_frames: Window::default(),
            requests: Bucket::new(limits.requests(), gateway.rt.mono()),
            gateway,
            address,
        }
    }

    /// Takes in a text message.
    pub fn receive(&mut self, text: &str) {
        let limits = &self.gateway.limits;
        if self.connected.is_none() && text.len() > limits.unauthenticated_frame_bytes {
            return self.close(Close::TOO_BIG);
        }
        match frame::parse(text) {
            Ok(request) => self.request(request),
            Err(bad) => self.bad_frame(&bad),
        }
    }

    /// Takes in a frame that is no request.
    pub fn bad_frame(&mut self, bad: &BadFrame) {
        if !bad.counts
            && let Err(refusal) = self.check_rate(None)
        {
            return self.queue(|outbox| outbox.answer(frame::refusal(bad.id.as_deref(), &refusal)));
        }
        self.queue(|outbox| outbox.answer(frame::refusal(bad.id.as_deref(), &bad.refusal)));
        let now_ns = self.gateway.rt.mono();
        if bad.counts && self.bad_frames.hit(now_ns, limits::BAD_FRAME_WINDOW, limits::BAD_FRAMES) {
            self.close(Close::BAD_FRAMES);
        }
    }

    fn request(&mut self, request: Request) {
        if !self.ids.begin(&request.id) {
            // it counts, and is not told so: the request that has this id may still be at work
            let _ = self.requests.take(self.gateway.rt.mono());
            let refusal = Refusal::new(
                ErrorCode::Conflict,
                "DUPLICATE_REQUEST_ID",
                "this id is in flight or among the last 1,024 of this connection",
            );
            return self.queue(|outbox| outbox.answer(frame::refusal(Some(&request.id), &refusal)));
        }
        match self.dispatch(&request) {
            Ok(Dispatched::Answered(answer)) => self.answered((request.id, answer)),
            Ok(Dispatched::Started(pending)) => {
                let id = request.id;
                self.in_flight.push(Box::pin(async move { (id, pending.await) }));
            }
            Err(refusal) => self.answered((request.id, Err(refusal))),
        }
    }

    fn dispatch(&mut self, request: &Request) -> Result<Dispatched, Refusal> {
        let method = registry().method(&request.method);
        self.check_rate(method)?;
        let Some(connected) = &self.connected else {
            return match method {
                Some(Method { scopes: [], handler: Handler::Session(run), .. }) => {
                    Ok(Dispatched::Answered(run(self, &request.params)))
                }
                _ => Err(Refusal::new(
                    ErrorCode::AuthRequired,
                    "CONNECT_FIRST",
                    "the first request must be gateway.connect",
                )),
            };
        };
        let method = method.ok_or_else(|| unknown_method(&request.method))?;
        check_rights(method, &connected.principal)?;
        let reserve = if method.control { limits::CONTROL_RESERVE } else { 0 };
        if self.ids.in_flight() > self.gateway.limits.requests_in_flight + reserve {
            return Err(Refusal::new(
                ErrorCode::RateLimited,
                "TOO_MANY_IN_FLIGHT",
                "too many requests of this connection wait for their answer",
            )
            .retryable()
            .with("retryAfterMs", 50)
            .with("outcome", "not_started"));
        }
        if method.rate() == Rate::ControlWrites {
            let (principal, now_ns) = (&connected.principal.name, self.gateway.rt.mono());
            self.gateway.control_writes.take(&self.gateway.limits, method.name, principal, now_ns)?;
        }
        match &method.handler {
            Handler::Session(run) => Ok(Dispatched::Answered(run(self, &request.params))),
            Handler::Detached(run) => {
                let context = Context {
                    handle: self.gateway.handle.clone(),
                    principal: Arc::clone(&connected.principal),
                    idempotency_key: method.key(&request.params)?,
                    frame_bytes: self.gateway.limits.frame_bytes,
                };
                run(context, &request.params).map(Dispatched::Started)
            }
        }
    }

    /// Counts a request. What lowers risk is not counted, if this principal may do it.
    fn check_rate(&mut self, method: Option<&Method>) -> Result<(), Refusal> {
        let is_reserved = |method: &Method, connected: &Connected| {
            method.rate() == Rate::Reserved && may(method, &connected.principal)
        };
        if method
            .zip(self.connected.as_ref())
            .is_some_and(|(method, connected)| is_reserved(method, connected))
        {
            return Ok(());
        }
        let per_second = self.gateway.limits.requests_per_second;
        self.requests.take(self.gateway.rt.mono()).map_err(|wait_ns| {
            let rule = format!("a connection may send {per_second} requests a second");
            rates::over("REQUEST_RATE", &rule, wait_ns)
        })
    }

    /// Queues a request's answer.
    pub fn answered(&mut self, (id, answer): Answered) {
        let text = framed(&id, answer, self.gateway.limits.frame_bytes);
        self.ids.end(id);
        self.queue(|outbox| outbox.answer(text));
    }

    /// The session has proved who speaks: it sees what is released from now on, and what came after
    /// `from`.
    pub fn connect(
        &mut self,
        principal: Principal,
        releases: mpsc::Receiver<Arc<Release>>,
        from: u64,
        head: u64,
    ) {
        assert!(self.connected.is_none(), "a session connects once");
        self.visit.identify(principal.token);
        // from here on a revocation finds this session; one that came before is found here
        if !self.gateway.tokens.knows(principal.token) {
            self.close(Close::REVOKED);
        }
        self.place = None;
        self.connected = Some(Connected {
            principal: Arc::new(principal),
            releases,
            subscriptions: Subscriptions::default(),
            delivered: from,
            known: head,
        });
    }

    /// Where this session stands in the log.
    pub fn cursor(&self) -> Cursor {
        let offset = self.connected.as_ref().map_or(0, |connected| connected.delivered);
        Cursor { epoch: self.gateway.handle.epoch(), offset }
    }

    /// Takes in what the hub released; `None` means that it gave this session up.
    pub fn released(&mut self, release: Option<&Release>) {
        let Some(release) = release else { return self.close(Close::SLOW_CONSUMER) };
        let Some(connected) = &mut self.connected else { return };
        let instruments = self.gateway.handle.instruments();
        connected.subscriptions.market(release, &instruments, &mut self.outbox);
        let (Some(first), Some(last)) = (release.events.first(), release.events.last()) else { return };
        let gapless = connected.delivered == connected.known && first.number <= connected.delivered + 1;
        connected.known = connected.known.max(last.number);
        if gapless {
            self.deliver(&release.events);
        }
    }

    /// Starts to read the log if this session lacks events that exist and there is room for them.
    pub fn begin_catch_up(&mut self) {
        let Some(connected) = &self.connected else { return };
        if connected.delivered < connected.known && self.catch_up.is_none() && !self.outbox.is_crowded() {
            let (handle, after) = (self.gateway.handle.clone(), connected.delivered);
            let page = limits::CATCH_UP_PAGE.min(self.gateway.limits.outbound_frames);
            self.catch_up = Some(Box::pin(async move { handle.events_after(after, page).await }));
        }
    }

    /// Takes in a page of the log.
    pub fn caught_up(&mut self, page: Result<Vec<StoredEvent>, Refusal>) {
        self.catch_up = None;
        let next = self.cursor().offset + 1;
        match page {
            Ok(events) if events.first().is_some_and(|first| first.number == next) => {
                for event in &events {
                    // at the socket's pace: what has no room now is read again when there is
                    if self.outbox.is_crowded() {
                        break;
                    }
                    self.deliver(std::slice::from_ref(event));
                }
            }
            // unreadable, or gone from the log: the client learns what holds when it resumes
            _ => self.close(Close::INTERNAL),
        }
    }

    fn deliver(&mut self, events: &[StoredEvent]) {
        let Some(connected) = &mut self.connected else { return };
        let epoch = self.gateway.handle.epoch();
        for event in events {
            if event.number <= connected.delivered {
                continue;
            }
            connected.delivered = event.number;
            if event.account.as_ref().is_some_and(|account| !connected.principal.accounts.allows(account)) {
                continue;
            }
            let outgoing = Outgoing {
                name: Arc::clone(&event.name),
                ts: event.ts,
                cursor: Some(frame::encode(&Cursor { epoch, offset: event.number })),
                payload: super::visibility::payload(event, &connected.principal),
            };
            if self.outbox.critical(outgoing).is_err() {
                return self.close(Close::SLOW_CONSUMER);
            }
            connected.subscriptions.account(epoch, event, &mut self.outbox);
        }
        let delivered = connected.delivered;
        connected.known = connected.known.max(delivered);
    }

    /// Tells the time and how far the log goes.
    pub fn tick(&mut self) {
        if self.connected.is_none() {
            return;
        }
        let handle = &self.gateway.handle;
        let tick = Tick { ts: handle.now(), head: handle.status().head };
        let payload = frame::encode(&tick).into();
        let event = Outgoing { name: TICK_EVENT.into(), ts: tick.ts, cursor: None, payload };
        self.outbox.newest(Class::State, TICK_EVENT.into(), 0, event);
    }

    /// Ends the connection; the first reason counts.
    pub fn close(&mut self, close: Close) {
        self.closing.get_or_insert(close);
    }

    fn queue(&mut self, put: impl FnOnce(&mut Outbox) -> Result<(), Full>) {
        if put(&mut self.outbox).is_err() {
            self.close(Close::SLOW_CONSUMER);
        }
    }
}

enum Dispatched {
    Answered(Answer),
    Started(super::registry::Pending),
}

fn may(method: &Method, principal: &Principal) -> bool {
    method.scopes.is_empty() || method.scopes.iter().any(|scope| principal.scopes.contains(scope))
}

fn check_rights(method: &Method, principal: &Principal) -> Result<(), Refusal> {
    if may(method, principal) {
        return Ok(());
    }
    let needed: BTreeSet<_> = method.scopes.iter().map(|scope| scope.name()).collect();
    let needed: Vec<_> = needed.into_iter().collect();
    tracing::info!(principal = principal.name, method = method.name, "refused for lack of a scope");
    Err(Refusal::new(
        ErrorCode::AuthForbidden,
        "SCOPE_MISSING",
        format!("{} needs the scope {}", method.name, needed.join(" or ")),
    )
    .with("role", principal.role.name())
    .with("scopes", needed))
}

fn unknown_method(name: &str) -> Refusal {
    let shown: String = name.chars().take(64).collect();
    Refusal::new(ErrorCode::NotFound, "UNKNOWN_METHOD", format!("there is no method `{shown}`"))
}

/// An answer's text, which is never longer than a frame may be.
fn framed(id: &str, answer: Answer, frame_bytes: usize) -> String {
    let refusal = match answer {
        Ok(payload) => {
            let text = frame::response(id, &payload);
            if text.len() <= frame_bytes {
                return text;
            }
            Refusal::new(
                ErrorCode::InternalError,
                "RESULT_TOO_LARGE",
                "the answer is larger than a frame may be: ask for less",
            )
        }
        Err(refusal) => refusal,
    };
    frame::refusal(Some(id), &refusal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::value::RawValue;

    #[test]
    fn an_answer_is_never_larger_than_a_frame() {
        let answer = || Ok(RawValue::from_string(format!("\"{}\"", "x".repeat(1_000))).expect("JSON"));
        let whole = framed("1", answer(), 1 << 20);
        assert_eq!(framed("1", answer(), whole.len()), whole);
        let refused = framed("1", answer(), whole.len() - 1);
        assert!(refused.contains("RESULT_TOO_LARGE") && refused.contains("\"id\":\"1\""), "{refused}");
    }
}
