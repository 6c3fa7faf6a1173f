//! A connection and its pulse.

use super::{clerk::Stop, outbox::Outbox};
use crate::node::{
    connector::lines::Lines,
    runtime::{BoxFuture, Rt, Stream},
};
use std::{sync::Arc, time::Duration};

/// Silence of so many heartbeats is death, and so is taking nothing of what waits.
const SILENT_BEATS: u32 = 3;

/// Whoever is at the other end.
pub(super) struct Peer {
    pub rt: Rt,
    pub stream: Box<dyn Stream>,
    pub lines: Lines,
    pub heartbeat: Duration,
}

/// When to give a sign of life, and when to give up.
pub(super) struct Watch {
    rt: Rt,
    heartbeat: Duration,
    timer: BoxFuture<()>,
    heard_ns: u64,
    /// Bytes that the peer had taken when it was last looked, and when that changed.
    sent: u64,
    sent_ns: u64,
}

impl Watch {
    pub fn new(peer: &Peer) -> Self {
        let (rt, now_ns) = (Arc::clone(&peer.rt), peer.rt.mono());
        let timer = rt.sleep(peer.heartbeat);
        Self { rt, heartbeat: peer.heartbeat, timer, heard_ns: now_ns, sent: 0, sent_ns: now_ns }
    }

    /// Waits for the next look.
    pub async fn ring(&mut self) {
        (&mut self.timer).await;
    }

    /// Something came.
    pub fn heard(&mut self) {
        self.heard_ns = self.rt.mono();
    }

    /// Looks; true if it is time for a sign of life. `deaf`: we do not listen at the moment.
    pub fn tick(&mut self, outbox: &Outbox, deaf: bool) -> Result<bool, Stop> {
        let now_ns = self.rt.mono();
        if deaf {
            self.heard_ns = now_ns;
        }
        let moved = outbox.sent() != self.sent;
        if moved || outbox.is_empty() {
            self.sent_ns = now_ns;
        }
        self.sent = outbox.sent();
        let limit = self.heartbeat * SILENT_BEATS;
        let longer = |since_ns: u64| Duration::from_nanos(now_ns.saturating_sub(since_ns)) >= limit;
        if longer(self.heard_ns) {
            return Err(Stop::new("SILENT: nothing was heard for three heartbeats"));
        }
        if longer(self.sent_ns) {
            return Err(Stop::new("SLOW: nothing was read for three heartbeats"));
        }
        self.timer = self.rt.sleep(self.heartbeat);
        Ok(!moved && outbox.is_empty())
    }
}
