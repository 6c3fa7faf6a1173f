//! The gateway: JSON frames over WebSocket, from a socket to the machine's handle and back.
//!
//! Bytes come in by `http`, `connection` and `frame`, meet `session` (rights, ids, limits) and
//! `registry` (typed parameters), and become commands or questions in `methods`. Answers and events
//! leave through `outbox`. Imports `domain` and `node`. It knows no task but its own, no clock but
//! the runtime's, and nothing about trading: whatever a method decides, the machine decided.

mod auth;
mod connection;
mod context;
mod frame;
mod http;
mod ids;
mod limits;
mod methods;
mod origin;
mod outbox;
mod rates;
mod registry;
mod session;
mod subscriptions;
mod view;
mod visibility;
mod visitors;
mod wire;

pub use limits::Limits;
pub use origin::OriginError;
pub use rates::Rate;
pub use registry::{EventKind, Method, Registry, registry};

use crate::node::{
    handle::Handle,
    runtime::{Listener, Rt, TaskKind, timeout},
    tokens::TokenStore,
};
use std::{io, sync::Arc, time::Duration};
use tokio::sync::oneshot;

/// The protocol's version: the only one that this build speaks.
pub const PROTOCOL: u32 = 1;

/// What an operator can choose.
#[derive(Debug, Clone, Default)]
pub struct GatewaySettings {
    /// Origins that may connect beside the gateway's own address, such as `https://desk.example.com`.
    pub allowed_origins: Vec<String>,
    /// Names in `Host` beside the gateway's own, such as `gateway.local`.
    pub allowed_hosts: Vec<String>,
    pub limits: Limits,
}

/// What a planned end is for; clients are told by the close code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// 1001: whether and when it comes back is not known.
    Stop,
    /// 1012: it comes back at once.
    Restart,
}

/// Why the gateway cannot start.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// A configured origin is none.
    #[error(transparent)]
    Origin(#[from] OriginError),
    /// The listener has no address.
    #[error("the listening address cannot be read: {0}")]
    Address(io::Error),
}

/// What all connections share.
pub(crate) struct Gateway {
    rt: Rt,
    handle: Handle,
    tokens: Arc<TokenStore>,
    limits: Limits,
    allowlist: origin::Allowlist,
    guard: Arc<auth::Guard>,
    visitors: Arc<visitors::Visitors>,
    control_writes: rates::ControlWrites,
    /// Names this run of the process.
    boot_id: String,
}

/// Serves connections until `shutdown` is sent or dropped; then every session has seen what was
/// released and is closed with 1001, or with 1012 if the gateway is coming back.
///
/// # Errors
/// Only before it serves: a configured origin that is none.
pub async fn run(
    rt: Rt,
    handle: Handle,
    tokens: Arc<TokenStore>,
    settings: GatewaySettings,
    mut listener: Box<dyn Listener>,
    mut shutdown: oneshot::Receiver<Shutdown>,
) -> Result<(), GatewayError> {
    let address = listener.local_addr().map_err(GatewayError::Address)?;
    let mut revoked = tokens.revocations();
    let gateway = Arc::new(Gateway {
        boot_id: random_id(&rt),
        rt: Arc::clone(&rt),
        handle,
        tokens,
        allowlist: origin::Allowlist::new(&address, &settings.allowed_origins, &settings.allowed_hosts)?,
        guard: Arc::new(auth::Guard::new(&settings.limits)),
        visitors: Arc::default(),
        control_writes: rates::ControlWrites::default(),
        limits: settings.limits,
    });
    let ending = loop {
        tokio::select! {
            biased;
            // dropped without a word: it ends all the same
            ending = &mut shutdown => break ending.unwrap_or(Shutdown::Stop),
            Some(()) = revoked.recv() => {
                gateway.visitors.end_strangers(session::Close::REVOKED, |token| gateway.tokens.knows(token));
            }
            accepted = listener.accept() => match accepted {
                Ok((stream, address)) => accept(&gateway, stream, address),
                Err(error) => {
                    // out of descriptors, most likely: waiting frees some
                    tracing::warn!(%error, "a connection could not be accepted");
                    rt.sleep(Duration::from_millis(100)).await;
                }
            },
        }
    };
    drop(listener);
    let mut all_left = gateway.visitors.end_all(match ending {
        Shutdown::Stop => session::Close::SHUTDOWN,
        Shutdown::Restart => session::Close::RESTART,
    });
    if timeout(&rt, limits::SHUTDOWN_TIMEOUT, all_left.recv()).await.is_none() {
        tracing::warn!(sessions = gateway.visitors.count(), "sessions did not end in time");
    }
    Ok(())
}

fn accept(gateway: &Arc<Gateway>, stream: Box<dyn crate::node::runtime::Stream>, address: String) {
    // beyond the limit the socket is dropped: whoever floods is owed no answer
    if let Some(place) = gateway.guard.admit(&address) {
        let serve = http::serve(Arc::clone(gateway), stream, address, place);
        gateway.rt.spawn("connection", TaskKind::Session, Box::pin(serve));
    }
}

/// 16 random hexadecimal digits.
fn random_id(rt: &Rt) -> String {
    let mut bytes = [0; 8];
    rt.random(&mut bytes);
    format!("{:016x}", u64::from_be_bytes(bytes))
}
