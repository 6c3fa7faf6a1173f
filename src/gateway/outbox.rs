//! What waits to be sent on one connection: bounded, in order, the newest tick in place of older
//! ones. Events get their `seq` when they leave, so that it has no gaps whatever was filtered,
//! replaced or refused before.

use super::frame;
use crate::domain::time::UnixNanos;
use futures_util::Sink;
use std::{
    collections::{BTreeMap, VecDeque},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio_tungstenite::tungstenite::Message;

/// The queue has no room: the client reads too slowly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// An event without its `seq`.
#[derive(Debug, Clone)]
pub struct Outgoing {
    pub name: Arc<str>,
    pub ts: UnixNanos,
    /// JSON, on critical events.
    pub cursor: Option<String>,
    /// JSON.
    pub payload: Arc<str>,
}

/// The outbound queue.
#[derive(Debug)]
pub struct Outbox {
    waiting: VecDeque<Slot>,
    newest: BTreeMap<String, (u64, Outgoing)>,
    bytes: usize,
    seq: u64,
    /// Handed to the socket, not flushed.
    unflushed: bool,
    max_frames: usize,
    max_bytes: usize,
}

#[derive(Debug)]
enum Slot {
    Control(Message),
    Answer(String),
    Event(Outgoing),
    /// The newest event of this key.
    Newest(String),
}

/// What a queued frame costs beside its text.
const OVERHEAD: usize = 256;

impl Outbox {
    /// An empty queue with its bounds.
    pub const fn new(max_frames: usize, max_bytes: usize) -> Self {
        Self {
            waiting: VecDeque::new(),
            newest: BTreeMap::new(),
            bytes: 0,
            seq: 0,
            unflushed: false,
            max_frames,
            max_bytes,
        }
    }

    /// Queues an answer.
    pub fn answer(&mut self, text: String) -> Result<(), Full> {
        self.push(text.len(), Slot::Answer(text))
    }

    /// Queues a ping, pong or close frame.
    pub fn control(&mut self, message: Message) -> Result<(), Full> {
        self.push(message.len(), Slot::Control(message))
    }

    /// Queues an event that must arrive.
    pub fn event(&mut self, event: Outgoing) -> Result<(), Full> {
        self.push(event.payload.len(), Slot::Event(event))
    }

    /// The partition sequence of the event that waits under this key.
    pub fn waiting_sequence(&self, key: &str) -> Option<u64> {
        self.newest.get(key).map(|(sequence, _)| *sequence)
    }

    /// Queues an event of which only the newest counts: it takes the place of the one that waits.
    pub fn newest(&mut self, key: String, sequence: u64, event: Outgoing) -> Result<(), Full> {
        if let Some(waiting) = self.newest.get_mut(&key) {
            self.bytes = self.bytes - waiting.1.payload.len() + event.payload.len();
            *waiting = (sequence, event);
            return Ok(());
        }
        self.push(event.payload.len(), Slot::Newest(key.clone()))?;
        self.newest.insert(key, (sequence, event));
        Ok(())
    }

    fn push(&mut self, len: usize, slot: Slot) -> Result<(), Full> {
        if self.waiting.len() >= self.max_frames || self.bytes + len + OVERHEAD > self.max_bytes {
            return Err(Full);
        }
        self.bytes += len + OVERHEAD;
        self.waiting.push_back(slot);
        Ok(())
    }

    /// Whether anything waits to be written or flushed.
    pub fn has_work(&self) -> bool {
        self.unflushed || !self.waiting.is_empty()
    }

    /// Whether so much waits that nothing should be read or fetched for this client now.
    pub fn is_crowded(&self) -> bool {
        self.waiting.len() * 2 > self.max_frames || self.bytes * 2 > self.max_bytes
    }

    /// Writes what waits, as far as the socket takes it, and flushes. Ready when all is flushed.
    pub fn poll_drain<S>(&mut self, cx: &mut Context<'_>, socket: &mut S) -> Poll<Result<(), S::Error>>
    where
        S: Sink<Message> + Unpin,
    {
        while !self.waiting.is_empty() {
            ready!(Pin::new(&mut *socket).poll_ready(cx))?;
            let Some(message) = self.pop() else { break };
            self.unflushed = true;
            Pin::new(&mut *socket).start_send(message)?;
        }
        ready!(Pin::new(socket).poll_flush(cx))?;
        self.unflushed = false;
        Poll::Ready(Ok(()))
    }

    fn pop(&mut self) -> Option<Message> {
        let (len, message) = match self.waiting.pop_front()? {
            Slot::Control(message) => (message.len(), message),
            Slot::Answer(text) => (text.len(), Message::text(text)),
            Slot::Event(event) => (event.payload.len(), self.numbered(&event)),
            Slot::Newest(key) => {
                let (_, event) = self.newest.remove(&key).expect("a waiting key has its event");
                (event.payload.len(), self.numbered(&event))
            }
        };
        self.bytes -= len + OVERHEAD;
        Some(message)
    }

    fn numbered(&mut self, event: &Outgoing) -> Message {
        self.seq += 1;
        Message::text(frame::event(&event.name, self.seq, event.ts, event.cursor.as_deref(), &event.payload))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tick(payload: &str) -> Outgoing {
        Outgoing { name: "event.x".into(), ts: UnixNanos::ZERO, cursor: None, payload: payload.into() }
    }

    fn drain(outbox: &mut Outbox) -> Vec<String> {
        std::iter::from_fn(|| outbox.pop()).map(|m| m.into_text().expect("text").to_string()).collect()
    }

    #[test]
    fn gw01_seq_is_contiguous_over_replaced_and_refused_events() {
        let mut outbox = Outbox::new(3, 1 << 20);
        outbox.event(tick("1")).expect("room");
        outbox.newest("a".into(), 1, tick("2")).expect("room");
        assert_eq!(outbox.waiting_sequence("a"), Some(1));
        outbox.newest("a".into(), 1, tick("3")).expect("it takes a place that exists");
        outbox.newest("b".into(), 1, tick("4")).expect("room");
        assert_eq!(outbox.event(tick("5")), Err(Full));
        let sent = drain(&mut outbox);
        assert_eq!(sent.len(), 3);
        for (index, (text, payload)) in sent.iter().zip(["1", "3", "4"]).enumerate() {
            assert!(text.contains(&format!("\"seq\":{}", index + 1)), "{text}");
            assert!(text.ends_with(&format!("\"payload\":{payload}}}")), "{text}");
        }
        outbox.event(tick("6")).expect("there is room again");
        assert!(drain(&mut outbox)[0].contains("\"seq\":4"));
        assert_eq!(outbox.bytes, 0, "what left is not counted any more");
    }

    #[test]
    fn bytes_are_bounded_too() {
        let mut outbox = Outbox::new(100, 3 * OVERHEAD);
        outbox.answer("x".repeat(OVERHEAD)).expect("room");
        assert!(outbox.is_crowded());
        assert_eq!(outbox.answer("x".repeat(OVERHEAD)), Err(Full));
        outbox.answer(String::new()).expect("room for a small one");
    }
}
