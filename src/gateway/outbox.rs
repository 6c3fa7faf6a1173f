//! What waits to be sent on one connection, in order. Each class of frames has room of its own: what may
//! not be lost never waits for room that market data have taken, and market data never end a connection.
//! Events get their `seq` when they leave, so that it has no gaps whatever was filtered, replaced or
//! dropped before.

use super::frame;
use crate::domain::time::UnixNanos;
use futures_util::Sink;
use schemars::JsonSchema;
use serde::Serialize;
use std::{
    collections::{BTreeMap, VecDeque},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio_tungstenite::tungstenite::Message;

/// The event that announces what was dropped.
pub const GAP_EVENT: &str = "event.gateway.gap";

/// There is no room for what must arrive: the client reads too slowly.
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

/// Events that are lost rather than waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// What holds now: the newest per key.
    State,
    /// Prices: the newest per symbol.
    Ticks,
    /// Happenings, each of which counts until there is no room.
    Feed,
}

impl Class {
    const ALL: [Self; 3] = [Self::State, Self::Ticks, Self::Feed];
}

/// The payload of `event.gateway.gap`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Gap {
    pub class: Class,
    /// Events of the class that this connection was not sent since the last such announcement.
    pub dropped: u64,
}

/// A bound of frames and bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    pub frames: usize,
    pub bytes: usize,
}

/// What a queued frame costs beside its text.
const OVERHEAD: usize = 256;

/// How much of a room is taken.
#[derive(Debug)]
struct Taken {
    room: Room,
    frames: usize,
    bytes: usize,
}

impl Taken {
    const fn new(room: Room) -> Self {
        Self { room, frames: 0, bytes: 0 }
    }

    const fn take(&mut self, len: usize) -> Result<(), Full> {
        if self.frames >= self.room.frames || self.bytes + len + OVERHEAD > self.room.bytes {
            return Err(Full);
        }
        self.frames += 1;
        self.bytes += len + OVERHEAD;
        Ok(())
    }

    const fn give_back(&mut self, len: usize) {
        self.frames -= 1;
        self.bytes -= len + OVERHEAD;
    }
}

/// A class's room, and what had none.
#[derive(Debug)]
struct Droppable {
    taken: Taken,
    /// Not announced yet; an announcement waits if there are any.
    dropped: u64,
    dropped_at: UnixNanos,
}

/// The outbound queue.
#[derive(Debug)]
pub struct Outbox {
    waiting: VecDeque<Slot>,
    newest: BTreeMap<String, (u64, Outgoing)>,
    /// Answers, critical events and control frames.
    critical: Taken,
    droppable: [Droppable; Class::ALL.len()],
    seq: u64,
    /// Handed to the socket, not flushed.
    unflushed: bool,
}

#[derive(Debug)]
enum Slot {
    Control(Message),
    Answer(String),
    Critical(Outgoing),
    /// The newest event of this key.
    Newest(Class, String),
    Feed(Outgoing),
    /// Says how many of the class were dropped.
    Gap(Class),
}

impl Outbox {
    /// An empty queue: the room for answers and critical events, and that of each other class.
    pub fn new(critical: Room, each: Room) -> Self {
        Self {
            waiting: VecDeque::new(),
            newest: BTreeMap::new(),
            critical: Taken::new(critical),
            droppable: Class::ALL.map(|_| Droppable {
                taken: Taken::new(each),
                dropped: 0,
                dropped_at: UnixNanos::ZERO,
            }),
            seq: 0,
            unflushed: false,
        }
    }

    /// Queues an answer.
    pub fn answer(&mut self, text: String) -> Result<(), Full> {
        self.must(text.len(), Slot::Answer(text))
    }

    /// Queues a ping, pong or close frame.
    pub fn control(&mut self, message: Message) -> Result<(), Full> {
        self.must(message.len(), Slot::Control(message))
    }

    /// Queues an event that must arrive.
    pub fn critical(&mut self, event: Outgoing) -> Result<(), Full> {
        self.must(event.payload.len(), Slot::Critical(event))
    }

    fn must(&mut self, len: usize, slot: Slot) -> Result<(), Full> {
        self.critical.take(len)?;
        self.waiting.push_back(slot);
        Ok(())
    }

    /// Queues an event of class `Feed`, or counts it as dropped.
    pub fn feed(&mut self, event: Outgoing) {
        if self.may(Class::Feed, &event) {
            self.waiting.push_back(Slot::Feed(event));
        }
    }

    /// The partition sequence of the event that waits under this key.
    pub fn waiting_sequence(&self, key: &str) -> Option<u64> {
        self.newest.get(key).map(|(sequence, _)| *sequence)
    }

    /// Queues an event of which only the newest counts: it takes the place of the one that waits. One
    /// without room is counted as dropped.
    pub fn newest(&mut self, class: Class, key: String, sequence: u64, event: Outgoing) {
        if let Some((_, waiting)) = self.newest.get_mut(&key) {
            let taken = &mut self.droppable[class as usize].taken;
            taken.bytes = taken.bytes - waiting.payload.len() + event.payload.len();
            *waiting = event;
        } else if self.may(class, &event) {
            self.waiting.push_back(Slot::Newest(class, key.clone()));
            self.newest.insert(key, (sequence, event));
        }
    }

    /// Takes room for an event of the class. Without room, sees to it that the drop is announced.
    fn may(&mut self, class: Class, event: &Outgoing) -> bool {
        let droppable = &mut self.droppable[class as usize];
        if droppable.taken.take(event.payload.len()).is_ok() {
            return true;
        }
        if droppable.dropped == 0 {
            self.waiting.push_back(Slot::Gap(class));
        }
        droppable.dropped += 1;
        droppable.dropped_at = event.ts;
        false
    }

    /// Whether anything waits to be written or flushed.
    pub fn has_work(&self) -> bool {
        self.unflushed || !self.waiting.is_empty()
    }

    /// Whether so much waits that nothing should be read or fetched for this client now.
    pub const fn is_crowded(&self) -> bool {
        let Taken { room, frames, bytes } = &self.critical;
        *frames * 2 > room.frames || *bytes * 2 > room.bytes
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
        let message = match self.waiting.pop_front()? {
            Slot::Control(message) => {
                self.critical.give_back(message.len());
                message
            }
            Slot::Answer(text) => {
                self.critical.give_back(text.len());
                Message::text(text)
            }
            Slot::Critical(event) => {
                self.critical.give_back(event.payload.len());
                self.numbered(&event)
            }
            Slot::Newest(class, key) => {
                let (_, event) = self.newest.remove(&key).expect("a waiting key has its event");
                self.droppable[class as usize].taken.give_back(event.payload.len());
                self.numbered(&event)
            }
            Slot::Feed(event) => {
                self.droppable[Class::Feed as usize].taken.give_back(event.payload.len());
                self.numbered(&event)
            }
            Slot::Gap(class) => {
                let event = self.gap(class);
                self.numbered(&event)
            }
        };
        Some(message)
    }

    /// The announcement of all that was dropped of a class until now.
    fn gap(&mut self, class: Class) -> Outgoing {
        let droppable = &mut self.droppable[class as usize];
        let gap = Gap { class, dropped: std::mem::take(&mut droppable.dropped) };
        let payload = frame::encode(&gap).into();
        Outgoing { name: GAP_EVENT.into(), ts: droppable.dropped_at, cursor: None, payload }
    }

    fn numbered(&mut self, event: &Outgoing) -> Message {
        self.seq += 1;
        Message::text(frame::event(&event.name, self.seq, event.ts, event.cursor.as_deref(), &event.payload))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ROOMY: Room = Room { frames: 1_000, bytes: 1 << 20 };

    const fn frames(frames: usize) -> Room {
        Room { frames, ..ROOMY }
    }

    fn event(payload: &str) -> Outgoing {
        Outgoing { name: "event.x".into(), ts: UnixNanos::ZERO, cursor: None, payload: payload.into() }
    }

    fn gap(class: &str, dropped: u64) -> String {
        format!(r#"{{"class":"{class}","dropped":{dropped}}}"#)
    }

    /// The payloads of all that waits; `seq` goes on from `sent`.
    fn drain(outbox: &mut Outbox, sent: &mut u64) -> Vec<String> {
        let texts = std::iter::from_fn(|| outbox.pop()).map(|m| m.into_text().expect("text").to_string());
        texts
            .map(|text| {
                *sent += 1;
                assert!(text.contains(&format!("\"seq\":{sent},")), "GW01: {text}");
                let (_, payload) = text.split_once("\"payload\":").expect("a payload");
                payload.strip_suffix('}').expect("a frame").to_owned()
            })
            .collect()
    }

    fn is_empty(outbox: &Outbox) -> bool {
        let taken = outbox.droppable.iter().map(|d| &d.taken).chain([&outbox.critical]);
        outbox.newest.is_empty() && taken.map(|taken| taken.frames + taken.bytes).all(|rest| rest == 0)
    }

    #[test]
    fn gw01_seq_is_contiguous_over_replaced_and_refused_events() {
        let (mut outbox, mut sent) = (Outbox::new(frames(2), ROOMY), 0);
        outbox.critical(event("1")).expect("room");
        outbox.newest(Class::Ticks, "a".into(), 1, event("2"));
        assert_eq!(outbox.waiting_sequence("a"), Some(1));
        outbox.newest(Class::Ticks, "a".into(), 1, event("3"));
        outbox.newest(Class::Ticks, "b".into(), 1, event("4"));
        outbox.critical(event("5")).expect("room");
        assert_eq!(outbox.critical(event("6")), Err(Full));
        assert_eq!(drain(&mut outbox, &mut sent), ["1", "3", "4", "5"]);
        outbox.critical(event("7")).expect("there is room again");
        assert_eq!(drain(&mut outbox, &mut sent), ["7"]);
        assert!(is_empty(&outbox), "what left is not counted any more");
    }

    #[test]
    fn gw07_market_data_take_no_room_from_what_must_arrive() {
        let (mut outbox, mut sent) = (Outbox::new(frames(2), frames(1)), 0);
        for n in 0..100 {
            outbox.feed(event("1"));
            outbox.newest(Class::Ticks, format!("t{n}"), 1, event("2"));
            outbox.newest(Class::State, format!("s{n}"), 1, event("3"));
        }
        assert!(!outbox.is_crowded(), "whoever is told too much is still heard");
        outbox.critical(event("4")).expect("room");
        outbox.answer("x".into()).expect("room");
        assert!(outbox.is_crowded());
        assert_eq!(outbox.waiting.len(), 8, "one of each class, its gap, and what must arrive");
        outbox.waiting.pop_back();
        let told = drain(&mut outbox, &mut sent);
        let gaps = ["feed", "ticks", "state"].map(|class| gap(class, 99));
        assert_eq!(told[..3], ["1", "2", "3"]);
        assert_eq!(told[3..6], gaps);
        assert_eq!(told[6], "4");
    }

    #[test]
    fn gw01_a_gap_is_announced_once_with_all_that_was_dropped() {
        let (mut outbox, mut sent) = (Outbox::new(ROOMY, frames(2)), 0);
        for payload in ["1", "2", "3", "4"] {
            outbox.feed(event(payload));
        }
        outbox.pop().expect("the first");
        sent += 1;
        outbox.feed(event("5"));
        outbox.feed(event("6"));
        assert_eq!(drain(&mut outbox, &mut sent), ["2", &gap("feed", 3), "5"]);
        outbox.feed(event("7"));
        assert_eq!(drain(&mut outbox, &mut sent), ["7"], "nothing more was dropped");
        assert!(is_empty(&outbox));
    }

    #[test]
    fn bytes_are_bounded_too() {
        let room = Room { frames: 100, bytes: 3 * OVERHEAD };
        let mut outbox = Outbox::new(room, room);
        outbox.answer("x".repeat(OVERHEAD)).expect("room");
        assert!(outbox.is_crowded());
        assert_eq!(outbox.answer("x".repeat(OVERHEAD)), Err(Full));
        outbox.answer(String::new()).expect("room for a small one");
        outbox.feed(event(&"1".repeat(2 * OVERHEAD + 1)));
        assert_eq!(outbox.droppable[Class::Feed as usize].dropped, 1);
    }

    proptest! {
        #[test]
        fn gw01_every_event_leaves_is_replaced_or_is_announced_as_dropped(
            steps in prop::collection::vec((0_u8..5, 0_u8..6), 1..300), room in 1_usize..8
        ) {
            let (mut outbox, mut sent) = (Outbox::new(ROOMY, frames(room)), 0);
            let (mut told, mut replaced) = (Vec::new(), 0);
            for (number, (kind, key)) in steps.iter().enumerate() {
                let (key, payload) = (format!("{kind} {key}"), event(&number.to_string()));
                match kind {
                    0 => outbox.critical(payload).expect("room"),
                    1 => outbox.feed(payload),
                    2 | 3 => {
                        let class = if *kind == 2 { Class::State } else { Class::Ticks };
                        replaced += u64::from(outbox.waiting_sequence(&key).is_some());
                        outbox.newest(class, key, 1, payload);
                    }
                    _ => told.extend(drain(&mut outbox, &mut sent)),
                }
                prop_assert!(outbox.droppable.iter().all(|d| d.taken.frames <= room));
            }
            told.extend(drain(&mut outbox, &mut sent));
            let (gaps, events): (Vec<_>, Vec<_>) = told.into_iter().partition(|text| text.starts_with('{'));
            let dropped = gaps.iter().map(|gap| {
                let gap: serde_json::Value = serde_json::from_str(gap).expect("JSON");
                gap["dropped"].as_u64().expect("a count")
            });
            let dropped: u64 = dropped.sum();
            let queued = steps.iter().filter(|(kind, _)| *kind < 4).count() as u64;
            prop_assert_eq!(events.len() as u64 + dropped + replaced, queued);
            let critical = steps.iter().enumerate().filter(|(_, (kind, _))| *kind == 0);
            for (number, _) in critical {
                prop_assert!(events.contains(&number.to_string()));
            }
            prop_assert!(is_empty(&outbox));
        }
    }
}
