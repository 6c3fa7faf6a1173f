//! The task of one account: it has a session with the venue as long as one is wanted, and lets the engine
//! know of each that is gone before it tries the next.

use super::{
    Entrance,
    backoff::Backoff,
    port::Port,
    requests::Speech,
    session::{End, Session},
};
use crate::{
    domain::{
        account::LinkSettings,
        id::AccountId,
        instrument::Instrument,
        message::{LinkEvent, LinkInput, NotSent},
    },
    node::{journal::Epoch, runtime::Rt, vault::Vault},
};
use std::{sync::Arc, time::Duration};

/// The pause before an event enters again that could not.
const ENTER_PAUSE: Duration = Duration::from_millis(250);

/// A connector at work.
pub(super) struct Link {
    pub rt: Rt,
    pub entrance: Arc<dyn Entrance>,
    pub vault: Arc<Vault>,
    pub epoch: Epoch,
    pub instruments: Arc<[Instrument]>,
    pub account: AccountId,
    pub port: Arc<Port>,
}

/// The writer is gone.
struct Gone;

impl Link {
    /// Runs until the writer is gone.
    pub async fn run(self) {
        let mut given_up = 0;
        let mut backoff = Backoff::new();
        // what the engine knows already of why there is no session
        let mut told: Option<String> = None;
        loop {
            let (version, settings) = self.port.wanted(given_up).await;
            let began_ns = self.rt.mono();
            let (end, was_up) = self.attempt(version, &settings).await;
            let not_sent = self.port.end();
            let told_all = match end {
                End::Unwanted => {
                    (backoff, told) = (Backoff::new(), None);
                    self.tell_not_sent(not_sent).await
                }
                End::Fault { reason } => {
                    tracing::warn!(account = %self.account, reason, "the venue broke the protocol or refused us");
                    (backoff, told, given_up) = (Backoff::new(), None, version);
                    self.tell_end(not_sent, LinkEvent::Fault { reason }).await
                }
                End::Lost { reason } => {
                    let lived_ns = if was_up { self.rt.mono().saturating_sub(began_ns) } else { 0 };
                    let wait = backoff.after(&self.rt, Duration::from_nanos(lived_ns));
                    if was_up || told.as_ref() != Some(&reason) {
                        tracing::warn!(account = %self.account, reason, "no session with the venue");
                        told = Some(reason.clone());
                        if self.tell_end(not_sent, LinkEvent::Down { reason }).await.is_err() {
                            return;
                        }
                    } else if self.tell_not_sent(not_sent).await.is_err() {
                        return;
                    }
                    tokio::select! {
                        biased;
                        () = self.port.changed(version) => {}
                        () = self.rt.sleep(wait) => {}
                    }
                    Ok(())
                }
            };
            if told_all.is_err() {
                return;
            }
        }
    }

    /// One session from connection to end, and whether the venue let us in.
    async fn attempt(&self, version: u64, settings: &LinkSettings) -> (End, bool) {
        let session = Session {
            rt: &self.rt,
            entrance: &self.entrance,
            port: &self.port,
            speech: Speech { epoch: self.epoch, instruments: &self.instruments },
            account: &self.account,
            version,
        };
        let token = settings.secret.as_ref().map(|id| self.vault.reveal(id));
        if token == Some(None) {
            let reason = "its credential is not in the vault: give it again".to_owned();
            return (End::Fault { reason }, false);
        }
        let logged_on = tokio::select! {
            biased;
            () = self.port.changed(version) => return (End::Unwanted, false),
            logged_on = session.log_on(settings, token.flatten()) => logged_on,
        };
        match logged_on {
            Err(end) => (end, false),
            Ok(link) if self.port.begin(version) => (session.talk(link).await, true),
            Ok(_) => (End::Unwanted, true),
        }
    }

    async fn tell_end(&self, not_sent: NotSent, event: LinkEvent) -> Result<(), Gone> {
        self.tell_not_sent(not_sent).await?;
        self.tell(event).await?;
        // what the engine released before it knew
        self.tell_not_sent(self.port.end()).await
    }

    async fn tell_not_sent(&self, not_sent: NotSent) -> Result<(), Gone> {
        if not_sent.is_empty() { Ok(()) } else { self.tell(LinkEvent::NotSent(not_sent)).await }
    }

    /// Enters an event until it is durable: what is released after it is for the next session.
    async fn tell(&self, event: LinkEvent) -> Result<(), Gone> {
        loop {
            let input = LinkInput { account: self.account.clone(), event: event.clone() };
            if let Ok(durable) = self.entrance.report(input).await
                && let Ok(Ok(_)) = durable.await
            {
                return Ok(());
            }
            if self.entrance.is_closed() {
                return Err(Gone);
            }
            self.rt.sleep(ENTER_PAUSE).await;
        }
    }
}
