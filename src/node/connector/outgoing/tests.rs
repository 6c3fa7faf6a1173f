use super::*;
use crate::domain::order::{Filling, OrderType, Side};
use serde_json::Value;
use std::task::Waker;

/// A stream that takes as many bytes as it is allowed to.
#[derive(Default)]
struct Wire {
    taken: Vec<u8>,
    room: usize,
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let count = bytes.len().min(self.room);
        if count == 0 {
            return Poll::Pending;
        }
        self.room -= count;
        self.taken.extend_from_slice(&bytes[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Wire {
    /// The whole lines so far, each as its number, its type and what it is about.
    fn lines(&self) -> Vec<String> {
        let whole = self.taken.iter().rposition(|b| *b == b'\n').map_or(0, |end| end + 1);
        let text = std::str::from_utf8(&self.taken[..whole]).expect("UTF-8");
        text.lines()
            .map(|line| {
                let frame: Value = serde_json::from_str(line).expect("JSON");
                let about = frame["order"]
                    .as_str()
                    .map(str::to_owned)
                    .or(frame["to"].as_u64().map(|n| n.to_string()));
                format!(
                    "{} {} {}",
                    frame["seq"],
                    frame["type"].as_str().expect("a type"),
                    about.unwrap_or_default()
                )
                .trim_end()
                .to_owned()
            })
            .collect()
    }
}

fn write(queue: &mut Outgoing, wire: &mut Wire, room: usize) -> bool {
    wire.room = room;
    queue.poll_write(&mut Context::from_waker(Waker::noop()), wire).is_ready()
}

fn submit(order: u64) -> GatewayFrame {
    GatewayFrame::Submit(wire::Submit {
        trigger: crate::domain::message::TriggerTerms::default(),
        post_only: false,
        order: format!("o{order}"),
        symbol: "EURUSD".into(),
        side: Side::Buy,
        order_type: OrderType::Market,
        volume: rust_decimal::Decimal::ONE,
        price: None,
        stop_loss: None,
        take_profit: None,
        filling: Filling::Ioc,
        position: None,
        group: None,
    })
}

fn opening(queue: &mut Outgoing, order: u64) {
    queue.push(Kind::Opening(OrderId(order)), &submit(order));
}

fn reducing(queue: &mut Outgoing, order: u64) {
    queue.push(Kind::Reducing(OrderId(order)), &submit(order));
}

fn cancel(queue: &mut Outgoing, order: u64) {
    queue.push(Kind::Request, &GatewayFrame::Cancel { order: format!("o{order}") });
}

fn sync(queue: &mut Outgoing) {
    let sync = wire::Sync { log: None, after: 0, fills_after: None, orders: Vec::new() };
    queue.push(Kind::Sync, &GatewayFrame::Sync(sync));
}

/// An open session whose sync is out.
fn session() -> (Outgoing, Wire) {
    let (mut queue, mut wire) = (Outgoing::new(), Wire::default());
    queue.begin();
    sync(&mut queue);
    assert!(write(&mut queue, &mut wire, usize::MAX));
    wire.taken.clear();
    (queue, wire)
}

fn widening(queue: &mut Outgoing, intent: u64, order: u64) {
    let frame = GatewayFrame::Modify(wire::Modify {
        trigger: crate::domain::message::TriggerTerms::default(),
        order: Some(format!("o{order}")),
        position: None,
        volume: None,
        price: None,
        stop_loss: None,
        take_profit: None,
    });
    queue.push(Kind::Widening(IntentId(intent)), &frame);
}

fn orders(ids: &[u64]) -> NotSent {
    NotSent { orders: ids.iter().copied().map(OrderId).collect(), terms: Vec::new() }
}

#[test]
fn rk05_terms_that_add_risk_are_purged_and_never_repeated() {
    let (mut queue, mut wire) = session();
    widening(&mut queue, 11, 1);
    assert!(write(&mut queue, &mut wire, usize::MAX));
    widening(&mut queue, 12, 2);
    cancel(&mut queue, 9);
    queue.purge();
    assert!(write(&mut queue, &mut wire, usize::MAX));
    assert_eq!(wire.lines(), ["2 modify o1", "3 cancel o9"]);
    assert_eq!(queue.take_not_sent().terms, [IntentId(12)]);
    queue.repeat(1);
    wire.taken.clear();
    assert!(write(&mut queue, &mut wire, usize::MAX));
    assert_eq!(wire.lines(), ["2 skip 2", "3 cancel o9"]);
    assert_eq!(queue.take_not_sent().terms, [IntentId(11)]);
}

#[test]
fn what_waits_when_a_session_ends_is_told_as_not_sent_and_what_came_too_late_for_it_too() {
    let (mut queue, mut wire) = session();
    opening(&mut queue, 1);
    opening(&mut queue, 2);
    reducing(&mut queue, 3);
    widening(&mut queue, 14, 4);
    cancel(&mut queue, 9);
    assert!(!write(&mut queue, &mut wire, 1));
    queue.end();
    opening(&mut queue, 5);
    let not_sent = queue.take_not_sent();
    assert_eq!(not_sent.orders, orders(&[2, 3, 5]).orders, "of order 1 a byte is out: nobody knows");
    assert_eq!(not_sent.terms, [IntentId(14)]);
    queue.begin();
    opening(&mut queue, 6);
    assert_eq!(queue.take_not_sent(), orders(&[6]), "the engine has not begun this session");
}

#[test]
fn rk05_what_is_purged_is_not_written_and_leaves_no_hole() {
    let (mut queue, mut wire) = session();
    opening(&mut queue, 1);
    cancel(&mut queue, 9);
    opening(&mut queue, 2);
    reducing(&mut queue, 3);
    queue.purge();
    assert!(write(&mut queue, &mut wire, usize::MAX));
    assert_eq!(wire.lines(), ["2 cancel o9", "3 submit o3"]);
    assert_eq!(queue.take_not_sent(), orders(&[1, 2]));
    assert!(queue.take_not_sent().is_empty(), "told once");
}

#[test]
fn rk05_an_order_of_which_no_byte_is_out_is_purged_and_one_of_which_a_byte_is_out_is_not() {
    for room in 0..3 {
        let (mut queue, mut wire) = session();
        opening(&mut queue, 1);
        cancel(&mut queue, 9);
        assert!(!write(&mut queue, &mut wire, room));
        queue.purge();
        assert!(write(&mut queue, &mut wire, usize::MAX));
        let (lines, purged): (&[&str], _) = match room {
            0 => (&["2 cancel o9"], orders(&[1])),
            _ => (&["2 submit o1", "3 cancel o9"], orders(&[])),
        };
        assert_eq!(wire.lines(), lines, "after {room} bytes");
        assert_eq!(queue.take_not_sent(), purged, "after {room} bytes");
    }
}

#[test]
fn frames_are_the_same_however_they_are_cut() {
    let (mut queue, mut wire) = session();
    for order in 1..=3 {
        opening(&mut queue, order);
    }
    while !write(&mut queue, &mut wire, 7) {}
    assert_eq!(wire.lines(), ["2 submit o1", "3 submit o2", "4 submit o3"]);
}

#[test]
fn lv03_what_was_released_before_the_sync_is_not_for_this_session() {
    let mut queue = Outgoing::new();
    let mut wire = Wire::default();
    opening(&mut queue, 1);
    queue.begin();
    opening(&mut queue, 2);
    cancel(&mut queue, 2);
    assert!(write(&mut queue, &mut wire, usize::MAX));
    assert!(wire.taken.is_empty());
    sync(&mut queue);
    opening(&mut queue, 3);
    assert!(write(&mut queue, &mut wire, usize::MAX));
    assert_eq!(wire.lines(), ["1 sync", "2 submit o3"]);
    queue.end();
    opening(&mut queue, 4);
    assert!(write(&mut queue, &mut wire, usize::MAX));
    assert_eq!(wire.lines().len(), 2, "nothing after the end");
}

#[test]
fn rk05_requests_are_repeated_and_orders_are_void() {
    let (mut queue, mut wire) = session();
    opening(&mut queue, 1);
    reducing(&mut queue, 2);
    cancel(&mut queue, 1);
    queue.push(Kind::Passing, &GatewayFrame::Heartbeat);
    opening(&mut queue, 3);
    assert!(write(&mut queue, &mut wire, usize::MAX));
    assert_eq!(wire.lines(), ["2 submit o1", "3 submit o2", "4 cancel o1", "5 heartbeat", "6 submit o3"]);
    wire.taken.clear();
    queue.repeat(1);
    opening(&mut queue, 4);
    assert!(write(&mut queue, &mut wire, usize::MAX));
    assert_eq!(wire.lines(), ["2 skip 3", "4 cancel o1", "5 skip 6", "7 submit o4"]);
    assert_eq!(queue.take_not_sent(), orders(&[1, 2, 3]));
    wire.taken.clear();
    queue.repeat(4);
    assert!(write(&mut queue, &mut wire, usize::MAX));
    assert_eq!(wire.lines(), ["5 skip 7"]);
    assert_eq!(queue.take_not_sent(), orders(&[4]), "those of before were told");
    queue.repeat(7);
    assert!(write(&mut queue, &mut wire, usize::MAX));
    assert_eq!(wire.lines().len(), 1, "nothing is missing");
}

#[test]
fn a_frame_that_is_half_out_is_finished_before_others_are_repeated() {
    let (mut queue, mut wire) = session();
    cancel(&mut queue, 1);
    assert!(write(&mut queue, &mut wire, usize::MAX));
    cancel(&mut queue, 2);
    assert!(!write(&mut queue, &mut wire, 5));
    queue.repeat(1);
    assert!(write(&mut queue, &mut wire, usize::MAX));
    assert_eq!(wire.lines(), ["2 cancel o1", "3 cancel o2", "2 cancel o1", "3 cancel o2"]);
}

#[test]
fn a_venue_that_does_not_read_breaks_the_session() {
    let (mut queue, _) = session();
    for order in 0..WAITING_MAX as u64 {
        opening(&mut queue, order);
        assert_eq!(queue.broken(), None);
    }
    opening(&mut queue, 0);
    assert_eq!(queue.broken(), Some(Broken::Full));
    queue.end();
    queue.begin();
    assert_eq!(queue.broken(), None);
}

#[test]
fn what_is_no_longer_kept_is_not_repeated() {
    let (mut queue, mut wire) = session();
    for order in 0..=SENT_MAX as u64 {
        cancel(&mut queue, order);
    }
    assert!(write(&mut queue, &mut wire, usize::MAX));
    queue.repeat(2);
    assert!(write(&mut queue, &mut wire, usize::MAX));
    assert_eq!(queue.broken(), None);
    queue.repeat(1);
    assert!(write(&mut queue, &mut wire, usize::MAX));
    assert_eq!(queue.broken(), Some(Broken::Forgotten));
}

#[test]
fn what_could_not_be_told_as_not_sent_is_told_again_before_what_came_later() {
    let (mut queue, _) = session();
    opening(&mut queue, 1);
    queue.purge();
    let untold = queue.take_not_sent();
    opening(&mut queue, 2);
    queue.keep_not_sent(untold);
    queue.end();
    assert_eq!(queue.take_not_sent(), orders(&[1, 2]));
}

#[test]
fn rk05_a_crowd_ends_a_session_by_what_adds_risk_and_never_by_what_a_stop_takes_back() {
    let (mut queue, _) = session();
    for order in 0..20_000 {
        cancel(&mut queue, order);
    }
    assert_eq!(queue.broken(), None, "as many as there may be orders");
    opening(&mut queue, 1);
    assert_eq!(queue.broken(), Some(Broken::Full));
}
