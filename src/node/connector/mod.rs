//! Connectors: accounts whose venue is behind a wire (docs/VENUE_LINK.md).
//!
//! Each such account has a task that keeps a session with its venue. The writer hands it what a commit
//! released and never waits for it; what the venue says enters by the report lane. Nothing here decides
//! about trading: names and units are translated, and the engine judges.

mod backoff;
mod comparison;
mod link;
pub mod lines;
mod outgoing;
mod port;
mod requests;
mod session;
#[cfg(test)]
mod tests;
pub mod wire;

pub use comparison::{CompareError, Comparison, compare};

pub(crate) use backoff::Backoff;
pub(crate) use session::{End, client, exchange, heartbeat};

use self::{
    link::Link,
    port::{Port, Step},
    requests::Speech,
};
use super::{
    handle::{Entered, Handle},
    journal::Epoch,
    runtime::{BoxFuture, Rt, TaskKind},
    vault::Vault,
    writer::Outlet,
};
use crate::domain::{
    id::AccountId,
    instrument::Instrument,
    message::{LinkInput, LinkRequest, Refusal, VenueRequest},
};
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

/// The way of a venue's news to the engine.
pub(crate) trait Entrance: Send + Sync {
    /// Waits for room and enters the news.
    fn report(&self, input: LinkInput) -> BoxFuture<Result<Entered, Refusal>>;

    /// Whether nobody is there any more.
    fn is_closed(&self) -> bool;
}

impl Entrance for Handle {
    fn report(&self, input: LinkInput) -> BoxFuture<Result<Entered, Refusal>> {
        let handle = self.clone();
        Box::pin(async move { Self::report(&handle, input).await })
    }

    fn is_closed(&self) -> bool {
        Self::is_closed(self)
    }
}

/// All connectors of a node; the writer's end of them.
pub(crate) struct Connectors {
    rt: Rt,
    vault: Arc<Vault>,
    epoch: Epoch,
    instruments: Arc<[Instrument]>,
    entrance: OnceLock<Arc<dyn Entrance>>,
    ports: Mutex<BTreeMap<AccountId, Arc<Port>>>,
}

impl Connectors {
    /// None yet: each begins with the engine's first wish for it.
    pub fn new(rt: Rt, vault: Arc<Vault>, epoch: Epoch, instruments: Arc<[Instrument]>) -> Self {
        Self { rt, vault, epoch, instruments, entrance: OnceLock::new(), ports: Mutex::default() }
    }

    /// Says where the venues' news enter; the connectors that are wanted begin.
    pub fn attach(&self, entrance: Arc<dyn Entrance>) {
        let ports = self.ports.lock().unwrap_or_else(PoisonError::into_inner);
        if self.entrance.set(Arc::clone(&entrance)).is_ok() {
            ports.iter().for_each(|(account, port)| self.begin(account, port, &entrance));
        }
    }

    /// The account's port; its task begins with it.
    fn port(&self, account: &AccountId) -> Arc<Port> {
        let mut ports = self.ports.lock().unwrap_or_else(PoisonError::into_inner);
        let port = ports.entry(account.clone()).or_insert_with(|| {
            let port = Arc::new(Port::new());
            if let Some(entrance) = self.entrance.get() {
                self.begin(account, &port, entrance);
            }
            port
        });
        Arc::clone(port)
    }

    fn begin(&self, account: &AccountId, port: &Arc<Port>, entrance: &Arc<dyn Entrance>) {
        let link = Link {
            rt: Arc::clone(&self.rt),
            entrance: Arc::clone(entrance),
            vault: Arc::clone(&self.vault),
            epoch: self.epoch,
            instruments: Arc::clone(&self.instruments),
            account: account.clone(),
            port: Arc::clone(port),
        };
        // without it the account could not trade, and would not know
        self.rt.spawn("connector", TaskKind::Vital, Box::pin(link.run()));
    }
}

impl Outlet for Connectors {
    fn send(&self, requests: Vec<VenueRequest>) {
        let speech = Speech { epoch: self.epoch, instruments: &self.instruments };
        let mut steps: BTreeMap<AccountId, Vec<Step>> = BTreeMap::new();
        for request in requests {
            let account = request.account().clone();
            let step = match request {
                VenueRequest::Link { request: LinkRequest::Open(settings), .. } => Step::Wish(Some(settings)),
                VenueRequest::Link { request: LinkRequest::Close, .. } => Step::Wish(None),
                VenueRequest::Link { request: LinkRequest::Reset { reason }, .. } => Step::Reset(reason),
                VenueRequest::Link { request: LinkRequest::Purge, .. } => Step::Purge,
                request => Step::Say(speech.frames(&request)),
            };
            steps.entry(account).or_default().push(step);
        }
        for (account, steps) in steps {
            self.port(&account).release(steps);
        }
    }

    fn reset(&self, reason: &str) {
        let ports = self.ports.lock().unwrap_or_else(PoisonError::into_inner);
        ports.values().for_each(|port| port.reset(reason));
    }
}

impl fmt::Debug for Connectors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connectors")
    }
}
