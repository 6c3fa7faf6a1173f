//! What goes on while a connection lasts: it acts when something is due, hears, naps, and is told what to do.

use super::{
    Client, Control, MILLI_NS,
    connection::{Socket, next_text},
    phase::Phase,
};
use crate::{
    actor::{
        request,
        wire::{self, Frame},
    },
    history::Told,
    plan::Action,
    trace::Kind,
};
use madsim::time::sleep;
use serde_json::json;
use std::time::Duration;
use tokio::sync::mpsc;

/// Why a connection is over.
pub(super) enum End {
    Lost,
    Done,
    /// The gateway ended it, with this code if it said one.
    Closed(Option<u16>),
}

/// A time in which it does nothing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Nap {
    until_ns: u64,
    /// Reads one frame then, and again after so long.
    reads: Option<(u64, u64)>,
}

impl Client {
    /// Talks until the connection is over.
    pub(super) async fn converse(
        &mut self,
        socket: &mut Socket,
        control: &mut mpsc::UnboundedReceiver<Control>,
    ) -> End {
        loop {
            let reads = match self.nap() {
                Some(nap) => nap.reads.is_some_and(|(at_ns, _)| at_ns <= self.now_ns()),
                None => {
                    if self.act(socket).await.is_none() {
                        return End::Lost;
                    }
                    // it may just have begun to do nothing
                    self.nap.is_none()
                }
            };
            if self.advance() {
                return End::Done;
            }
            if self.rests() {
                return End::Lost;
            }
            let now = self.now_ns();
            let rest_ns = self.setup.rest_ns.map(|(from_ns, _)| from_ns).filter(|from_ns| *from_ns > now);
            let due_ns = self.next_due_ns().min(rest_ns.unwrap_or(u64::MAX));
            let wait = Duration::from_nanos(due_ns.saturating_sub(now));
            tokio::select! {
                biased;
                order = control.recv() => match order {
                    Some(Control::Drop) => {
                        self.setup.coverage.mark("client_dropped");
                        return End::Lost;
                    }
                    Some(order) => self.obey(order),
                    None => return End::Lost,
                },
                text = next_text(socket), if reads => match text {
                    Ok(text) => self.hear(&text),
                    Err(code) => return End::Closed(code),
                },
                () = sleep(wait) => {}
            }
        }
    }

    /// Does everything that is due. `None`: the connection failed.
    async fn act(&mut self, socket: &mut Socket) -> Option<()> {
        let now = self.now_ns();
        while self.due.front().is_some_and(|step| step.at_ms * MILLI_NS <= now) {
            let step = self.due.pop_front().expect("there is a front");
            if let Action::Nap { for_ms, every_ms } = step.action {
                self.begin_nap(for_ms, every_ms);
                return Some(());
            }
            let number = self.journal().requests.len();
            let (name, key_name) = (self.setup.node.name(), self.setup.key_name);
            let now_ms = self.setup.clock.wall().0 / MILLI_NS.cast_signed();
            if let Some(request) = request::build(&step, &self.known, now_ms, (name, key_name), number) {
                self.ask(request, false);
            }
        }
        self.send_due(socket).await
    }

    fn next_due_ns(&self) -> u64 {
        const IDLE_NS: u64 = 5_000 * MILLI_NS;
        if let Some(Nap { until_ns, reads }) = self.nap {
            let reads = reads.map(|(at_ns, _)| at_ns).filter(|at_ns| *at_ns > self.now_ns());
            return reads.map_or(until_ns, |at_ns| at_ns.min(until_ns));
        }
        let step = self.due.front().map(|step| step.at_ms * MILLI_NS);
        let look = (self.phase == Phase::Healing).then_some(self.look_again_ns);
        [step, self.next_send_ns(), look]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or_else(|| self.now_ns() + IDLE_NS)
    }

    fn hear(&mut self, text: &str) {
        if let Some(Nap { reads: Some((at_ns, every_ns)), .. }) = &mut self.nap {
            *at_ns += *every_ns;
        }
        let seq = self.record(Kind::Received, text);
        match wire::read(seq, text) {
            Frame::Response { id, ok, body } => self.answered(seq, &id, ok, body),
            Frame::Event(told) => self.told(told),
            Frame::Other => {}
        }
    }

    fn told(&mut self, told: Told) {
        match &told.cursor {
            None => self.known.hear(&told),
            Some(cursor) if self.cursor.as_ref().is_none_or(|c| cursor.offset > c.offset) => {
                self.cursor = Some(cursor.clone());
                self.known.hear(&told);
                if told.name == "event.account.status" {
                    let status = told.read();
                    if status["status"] == "error" {
                        self.connect_account(&status["accountId"]);
                    }
                }
            }
            Some(_) => {}
        }
        if let Some(session) = self.journal().sessions.last_mut() {
            session.told.push(told);
        }
    }

    fn begin_nap(&mut self, for_ms: u64, every_ms: Option<u64>) {
        let now_ns = self.now_ns();
        let body = json!({ "fault": "stopped_reading", "forMs": for_ms, "everyMs": every_ms });
        self.record(Kind::Fault, &body.to_string());
        self.setup.coverage.mark(if every_ms.is_some() { "read_slowly" } else { "stopped_reading" });
        let reads = every_ms.map(|every_ms| (now_ns + every_ms * MILLI_NS, every_ms * MILLI_NS));
        self.nap = Some(Nap { until_ns: now_ns + for_ms * MILLI_NS, reads });
    }

    /// The nap that goes on.
    fn nap(&mut self) -> Option<Nap> {
        let now_ns = self.now_ns();
        self.nap = self.nap.filter(|nap| nap.until_ns > now_ns);
        self.nap
    }
}
