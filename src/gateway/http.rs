//! HTTP: the router, the upgrade to a WebSocket, and one connection's service on the runtime.

use super::{Gateway, auth::Place, connection, limits, registry::registry};
use crate::node::{
    runtime::{BoxFuture, Rt, Stream, TaskKind},
    status::NodeState,
};
use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use hyper::rt::{Sleep, Timer};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// Bytes of a request's head.
const HEAD_BYTES: usize = 16 << 10;

const ROOT: &str = "Lockstep gateway\n\nWebSocket  /ws\nProtocol   docs/PROTOCOL.md\n";

/// What the requests of one TCP connection share.
#[derive(Clone)]
struct Peer {
    gateway: Arc<Gateway>,
    address: String,
    place: Arc<Place>,
}

/// Serves one TCP connection: one request, or the WebSocket that it becomes.
pub async fn serve(gateway: Arc<Gateway>, stream: Box<dyn Stream>, address: String, place: Place) {
    let timer = RtTimer::new(&gateway.rt);
    let peer = Peer { gateway, address, place: Arc::new(place) };
    let served = hyper::server::conn::http1::Builder::new()
        .timer(timer)
        .header_read_timeout(limits::HEADER_TIMEOUT)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router(peer)))
        .with_upgrades()
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "an HTTP connection ended early");
    }
}

fn router(peer: Peer) -> Router {
    Router::new()
        .route("/", get(|| async { ROOT }))
        .route("/schema.json", get(schema))
        .route("/ws", get(upgrade))
        .layer(middleware::from_fn_with_state(peer.clone(), check_origin))
        .route("/healthz", get(health))
        .layer(middleware::map_response(close_after))
        .with_state(peer)
}

/// One request per connection. (hyper's own way, `keep_alive(false)`, would also replace the
/// `Connection: upgrade` of the answer that makes a WebSocket.)
async fn close_after(mut response: Response) -> Response {
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        response.headers_mut().append(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// GW06: a page or a host name that is not on the list gets nothing.
async fn check_origin(State(peer): State<Peer>, request: Request, next: Next) -> Response {
    if peer.gateway.allowlist.allows(request.headers()) {
        return next.run(request).await;
    }
    (StatusCode::FORBIDDEN, "this Origin or Host is not on the gateway's allowlist\n").into_response()
}

/// Whether the process can do its work.
async fn health(State(peer): State<Peer>) -> Response {
    let state = peer.gateway.handle.status().state;
    let code = match state {
        NodeState::Starting | NodeState::Ready | NodeState::Draining => StatusCode::OK,
        NodeState::JournalUnavailable | NodeState::Stopped => StatusCode::SERVICE_UNAVAILABLE,
    };
    (code, format!("{}\n", state.name())).into_response()
}

/// The schema of every method and event, for who holds a token.
async fn schema(State(peer): State<Peer>, headers: HeaderMap) -> Response {
    let token = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim());
    let known = token.and_then(|token| peer.gateway.tokens.find(token)).is_some();
    if known {
        return ([(header::CONTENT_TYPE, "application/json")], registry().schema()).into_response();
    }
    let now_ns = peer.gateway.rt.mono();
    if let Some(wait_ns) = token.and_then(|_| peer.gateway.guard.wait_ns(&peer.address, now_ns)) {
        let wait = [(header::RETRY_AFTER, wait_ns.div_ceil(1_000_000_000).to_string())];
        return (StatusCode::TOO_MANY_REQUESTS, wait, "too many failed attempts\n").into_response();
    }
    if token.is_some() {
        peer.gateway.guard.failed(&peer.address, now_ns);
    }
    let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
    (StatusCode::UNAUTHORIZED, challenge, "send Authorization: Bearer and a token\n").into_response()
}

/// Turns the connection into a WebSocket and starts its session.
async fn upgrade(State(peer): State<Peer>, mut request: Request) -> Response {
    let headers = request.headers();
    if !lists(headers, header::UPGRADE, "websocket") || !lists(headers, header::CONNECTION, "upgrade") {
        let upgrade = [(header::UPGRADE, "websocket"), (header::CONNECTION, "upgrade")];
        return (StatusCode::UPGRADE_REQUIRED, upgrade, "this is a WebSocket endpoint\n").into_response();
    }
    if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        let version = [(header::SEC_WEBSOCKET_VERSION, "13")];
        return (StatusCode::UPGRADE_REQUIRED, version, "speak WebSocket version 13\n").into_response();
    }
    let Some(key) = headers.get(header::SEC_WEBSOCKET_KEY).filter(|key| key.len() == 24) else {
        return (StatusCode::BAD_REQUEST, "Sec-WebSocket-Key is missing or malformed\n").into_response();
    };
    let accept = derive_accept_key(key.as_bytes());
    let Some(upgrade) = request.extensions_mut().remove::<hyper::upgrade::OnUpgrade>() else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let Some((visit, kick)) = peer.gateway.visitors.enter() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "the gateway is shutting down\n").into_response();
    };
    let rt = Arc::clone(&peer.gateway.rt);
    let visit = Arc::new(visit);
    let session = async move {
        let Peer { gateway, address, place } = peer;
        if let Ok(upgraded) = upgrade.await {
            let stream = TokioIo::new(upgraded);
            connection::serve(gateway, address, place, Arc::clone(&visit), stream, kick).await;
        }
        drop(visit);
    };
    rt.spawn("session", TaskKind::Session, Box::pin(session));
    let switch = [
        (header::CONNECTION, "upgrade".to_owned()),
        (header::UPGRADE, "websocket".to_owned()),
        (header::SEC_WEBSOCKET_ACCEPT, accept),
    ];
    (StatusCode::SWITCHING_PROTOCOLS, switch).into_response()
}

/// Whether one of a header's comma-separated values is this word.
fn lists(headers: &HeaderMap, name: HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|value| value.trim().eq_ignore_ascii_case(word))
}

/// hyper's timers on the runtime. Its instants are this origin plus the runtime's monotonic time.
#[derive(Clone)]
struct RtTimer {
    rt: Rt,
    origin: Instant,
    origin_ns: u64,
}

impl RtTimer {
    #[expect(clippy::disallowed_methods, reason = "hyper's trait speaks of instants; only differences count")]
    fn new(rt: &Rt) -> Self {
        Self { rt: Arc::clone(rt), origin: Instant::now(), origin_ns: rt.mono() }
    }
}

impl Timer for RtTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        Box::pin(RtSleep(Mutex::new(self.rt.sleep(duration))))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        self.sleep(deadline.saturating_duration_since(self.now()))
    }

    fn now(&self) -> Instant {
        self.origin + Duration::from_nanos(self.rt.mono().saturating_sub(self.origin_ns))
    }
}

/// A sleep that may be shared, as hyper wants it; nobody ever contends for the lock.
struct RtSleep(Mutex<BoxFuture<()>>);

impl Future for RtSleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = self.get_mut().0.get_mut().unwrap_or_else(PoisonError::into_inner);
        sleep.as_mut().poll(cx)
    }
}

impl Sleep for RtSleep {}
