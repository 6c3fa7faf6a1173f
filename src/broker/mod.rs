//! The venue over the wire: serves a node's paper accounts to gateways (docs/VENUE_LINK.md).
//!
//! Order entry becomes ordinary commands of the node, and the log of reports is the node's journal.
//! Imports `domain` and `node`, and knows no other client of the node. What can trade, it does not
//! decide: the machine does.

mod books;
mod clerk;
mod entry;
mod fence;
mod logon;
mod outbox;
mod peer;
mod quotes;
mod reports;
mod session;

use self::{
    clerk::Stop,
    fence::Fence,
    logon::{Admitted, Business},
    outbox::Outbox,
    peer::Peer,
    session::Session,
};
use crate::node::{
    connector::{
        client,
        lines::Lines,
        wire::{self, VenueFrame},
    },
    handle::Handle,
    runtime::{Connection, Listener, Rt, TaskKind, timeout},
    tokens::{TokenDigest, TokenStore},
};
use std::{
    future::poll_fn,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{io::AsyncWriteExt, sync::mpsc};

/// Connections at most, and those of them that have not said who they are.
const CONNECTIONS_MAX: usize = 1_024;
/// For the last words to a peer.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(1);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// For all sessions to end.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// What all sessions share.
pub(crate) struct Broker {
    rt: Rt,
    handle: Handle,
    tokens: Arc<TokenStore>,
    fence: Arc<Fence>,
    connections: AtomicUsize,
    guests: Mutex<Vec<Guest>>,
}

/// A connection, as whoever ends it knows it.
struct Guest {
    /// A word: its token was revoked. Dropped: the process ends.
    end: mpsc::Sender<()>,
    /// By which it proved who it is, once it has.
    token: Arc<OnceLock<TokenDigest>>,
}

/// Serves connections until `shutdown` is ready; then every session is ended with a word.
pub(crate) async fn run(
    rt: Rt,
    handle: Handle,
    tokens: Arc<TokenStore>,
    mut listener: Box<dyn Listener>,
    mut shutdown: impl Future + Unpin,
) {
    let mut revoked = tokens.revocations();
    let broker = Arc::new(Broker {
        rt: Arc::clone(&rt),
        handle,
        tokens,
        fence: Arc::default(),
        connections: AtomicUsize::new(0),
        guests: Mutex::default(),
    });
    let (alive, mut all_left) = mpsc::channel::<()>(1);
    loop {
        tokio::select! {
            biased;
            _ = &mut shutdown => break,
            Some(()) = revoked.recv() => broker.end_strangers(),
            accepted = listener.accept() => match accepted {
                Ok(connection) => broker.accept(connection, alive.clone()),
                Err(error) => {
                    // out of descriptors, most likely: waiting frees some
                    tracing::warn!(%error, "a connection could not be accepted");
                    rt.sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop((listener, alive));
    broker.guests().clear();
    if timeout(&rt, SHUTDOWN_TIMEOUT, all_left.recv()).await.is_none() {
        tracing::warn!("sessions did not end in time");
    }
}

impl Broker {
    /// The name of the log of reports: numbers of another journal are void.
    fn log(&self) -> String {
        self.handle.epoch().to_string()
    }

    fn accept(self: &Arc<Self>, (stream, address): Connection, alive: mpsc::Sender<()>) {
        let place = Place::take(self);
        let (end, ending) = mpsc::channel(1);
        let token = Arc::new(OnceLock::new());
        // beyond the limit the socket is dropped: whoever floods is owed no answer
        let Some(place) = place else { return };
        {
            let mut guests = self.guests();
            guests.retain(|guest| !guest.end.is_closed());
            guests.push(Guest { end, token: Arc::clone(&token) });
        }
        let broker = Arc::clone(self);
        let serve = async move {
            let _held = (place, alive);
            broker.serve(stream, address, ending, &token).await;
        };
        self.rt.spawn("link", TaskKind::Session, Box::pin(serve));
    }

    /// Ends the sessions whose token is none any more.
    fn end_strangers(&self) {
        for guest in self.guests().iter() {
            if guest.token.get().is_some_and(|token| !self.tokens.knows(*token)) {
                // full: it has been told
                let _ = guest.end.try_send(());
            }
        }
    }

    async fn serve(
        self: Arc<Self>,
        stream: Box<dyn crate::node::runtime::Stream>,
        address: String,
        mut ending: mpsc::Receiver<()>,
        token: &OnceLock<TokenDigest>,
    ) {
        let mut peer =
            Peer { rt: Arc::clone(&self.rt), stream, lines: Lines::default(), heartbeat: Duration::ZERO };
        let admitted = tokio::select! {
            biased;
            _ = ending.recv() => return,
            admitted = logon::admit(&self, &mut peer, token) => admitted,
        };
        let Admitted { business, client } = match admitted {
            Ok(admitted) => admitted,
            Err(None) => return,
            Err(Some(reject)) => {
                tracing::info!(address, reason = reject.reason, "a logon was refused");
                let (reason, message) = (reject.reason.to_owned(), reject.message);
                return self
                    .last_words(&mut peer, Outbox::default(), &VenueFrame::Reject { reason, message })
                    .await;
            }
        };
        let (outbox, Stop(reason)) = match business {
            Business::Orders { account, principal, pass } => {
                tracing::info!(address, %account, client, "a session began");
                let mut session = Session::new(&self, account, principal, pass);
                let stop = session.talk(&mut peer, &mut ending).await;
                // what could still enter ends here, and the account is free
                (session.into_outbox(), stop)
            }
            Business::Quotes { symbols } => {
                tracing::info!(address, client, symbols = symbols.len(), "a market data session began");
                quotes::talk(&self, &symbols, &mut peer, &mut ending).await
            }
        };
        tracing::info!(address, reason, "a session ended");
        self.last_words(&mut peer, outbox, &VenueFrame::Logoff { reason }).await;
    }

    /// What waits, and a word of farewell, if the peer takes them soon.
    async fn last_words(&self, peer: &mut Peer, mut outbox: Outbox, frame: &VenueFrame) {
        outbox.push(frame);
        let goodbye = async {
            poll_fn(|cx| outbox.poll_write(cx, &mut *peer.stream)).await?;
            peer.stream.shutdown().await?;
            // unread bytes would make the host reset the connection before the peer has read this
            while poll_fn(|cx| peer.lines.poll_next(cx, &mut *peer.stream)).await.is_ok() {}
            Ok::<_, std::io::Error>(())
        };
        // whoever does not take them has gone
        let _ = timeout(&self.rt, GOODBYE_TIMEOUT, goodbye).await;
    }

    fn guests(&self) -> std::sync::MutexGuard<'_, Vec<Guest>> {
        self.guests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of the connections that there may be.
struct Place(Arc<Broker>);

impl Place {
    fn take(broker: &Arc<Broker>) -> Option<Self> {
        let before = broker.connections.fetch_add(1, Ordering::Relaxed);
        let place = Self(Arc::clone(broker));
        (before < CONNECTIONS_MAX).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Why a session is ended from outside.
fn ended(word: Option<()>) -> Stop {
    Stop::new(if word.is_some() { "REVOKED: the token is none any more" } else { "SHUTDOWN" })
}

/// How this venue names itself.
fn venue() -> String {
    client()
}

/// Sends a frame at once.
async fn send(peer: &mut Peer, frame: &VenueFrame) -> std::io::Result<()> {
    peer.stream.write_all(&wire::line(frame)).await?;
    peer.stream.flush().await
}
