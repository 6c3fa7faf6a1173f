//! Apply, commit, release; and what happens when the commit fails.

use super::bench::{BTCUSD, Bench, open, positions};
use crate::{
    domain::{
        market::Timeframe,
        message::{ErrorCode, ReplyBody},
        order::OrderStatus,
        time::{MINUTE_NS, UnixNanos},
    },
    node::{
        clock::{Clock, Speed},
        host::TokioRuntime,
        journal::tests::memory::Memory,
        runtime::Rt,
        status::NodeState,
    },
};
use std::{sync::Arc, time::Duration};
use tokio::sync::mpsc::error::TryRecvError;

#[tokio::test]
async fn gw08_an_order_is_durable_before_it_is_answered() {
    let memory = Memory::default();
    let bench = Bench::start(&memory).await;
    bench.price(5_000_000).await;
    let mut releases = bench.node.handle.subscribe(16);
    let response = bench.buy().await.expect("the order fills");
    let ReplyBody::Place(place) = &response.body else { panic!("{response:?}") };
    assert_eq!(place.status, OrderStatus::Filled);
    assert_eq!(place.journal_offset, response.journal_offset);

    let killed = open(&memory.after_kill());
    assert!(killed.journal.head() >= response.journal_offset);
    assert_eq!(positions(&killed.machine), 1);

    let mut told = Vec::new();
    while let Ok(release) = releases.try_recv() {
        told.extend(release.events.iter().map(|event| event.number));
    }
    let head = bench.node.handle.status().head.offset;
    assert!(!told.is_empty() && told.windows(2).all(|pair| pair[1] == pair[0] + 1), "{told:?}");
    assert_eq!(told.last(), Some(&head));
    let stored = bench.node.handle.events_after(told[0] - 1, 100).await.expect("the log can be read");
    assert_eq!(stored.iter().map(|event| event.number).collect::<Vec<_>>(), told);
}

#[tokio::test]
async fn rk05_a_cancel_that_overtakes_an_order_keeps_it_from_starting() {
    let memory = Memory::default();
    let bench = Bench::start(&memory).await;
    bench.price(5_000_000).await;
    // both wait when the writer looks: the order was sent first, the cancel has the faster lane
    let (order, cancel) = tokio::join!(biased; bench.buy(), bench.cancel_all());
    cancel.expect("there is nothing to cancel yet");
    let refused = order.expect_err("nobody wants it any more");
    assert_eq!((refused.code, refused.reason()), (ErrorCode::Conflict, "CANCELED_BEFORE_START"));
    assert_eq!(bench.positions().await, 0);
    bench.buy().await.expect("what is sent after the cancel is wanted");
}

#[tokio::test]
async fn rk05_an_order_that_found_no_room_keeps_its_place_before_a_later_cancel() {
    let memory = Memory::default();
    let bench = Bench::start(&memory).await;
    bench.price(5_000_000).await;
    let arrival = bench.node.handle.arrival();
    bench.cancel_all().await.expect("there is nothing to cancel yet");
    let again = bench.node.handle.command_arrived(arrival, Bench::request(Bench::order()));
    let refused = again.await.expect_err("nobody wants it any more");
    assert_eq!(refused.reason(), "CANCELED_BEFORE_START");
    assert_eq!(bench.positions().await, 0);
}

#[tokio::test]
async fn lv04_a_drain_leaves_a_snapshot_at_the_head_and_a_restart_goes_on() {
    let memory = Memory::default();
    let bench = Bench::start(&memory).await;
    bench.price(5_000_000).await;
    bench.buy().await.expect("the order fills");
    bench.stop().await;

    let opened = open(&memory);
    assert_eq!(opened.report.snapshot_offset, opened.report.head_offset);
    let (head, state) = (opened.journal.head(), opened.machine.state_hash());
    assert_eq!(positions(&opened.machine), 1);
    drop(opened);

    let bench = Bench::start(&memory).await;
    bench.price(5_000_100).await;
    let response = bench.buy().await.expect("the order fills");
    assert!(response.journal_offset > head);
    assert_eq!(bench.positions().await, 2);
    let again = open(&memory.after_kill());
    assert_ne!(again.machine.state_hash(), state);
}

#[tokio::test]
async fn quotes_wait_in_memory_until_something_is_released() {
    let memory = Memory::default();
    let bench = Bench::start(&memory).await;
    let status = |bench: &Bench| {
        let board = bench.node.board.lock();
        (board.commits, board.journal_offset)
    };
    assert_eq!(bench.positions().await, 0);
    let (commits, offset) = status(&bench);
    for tick in 0..10 {
        bench.quote(5_000_000 + tick).await;
    }
    bench.rt.sleep(Duration::from_millis(100)).await;
    assert_eq!(status(&bench), (commits, offset), "nobody waits for quotes");
    assert_eq!(bench.positions().await, 0);
    assert_eq!(status(&bench), (commits + 1, offset + 10), "a question waits for what came before it");

    let interest = bench.node.handle.tick_interest();
    let mut releases = bench.node.handle.subscribe(16);
    bench.quote(5_000_100).await;
    let release = crate::node::runtime::timeout(&bench.rt, Duration::from_millis(500), releases.recv()).await;
    let release = release.expect("released soon").expect("the writer runs");
    assert_eq!((release.feed.len(), release.partials[0].0), (1, BTCUSD));
    drop(interest);
}

#[tokio::test]
async fn a_commit_error_releases_nothing_and_the_node_goes_on_from_the_journal() {
    let memory = Memory::default();
    let bench = Bench::start(&memory).await;
    bench.price(5_000_000).await;
    bench.buy().await.expect("the disk works");
    let head = bench.node.handle.status().head;
    let mut releases = bench.node.handle.subscribe(64);

    memory.break_disk();
    let refusal = bench.buy().await.expect_err("nothing is durable");
    assert_eq!((refusal.code, refusal.reason()), (ErrorCode::InternalError, "JOURNAL_UNAVAILABLE"));
    assert_eq!(refusal.details["outcome"], "may_have_executed");
    let board = Arc::clone(&bench.node.board);
    bench
        .eventually("it says so", move || {
            let board = board.lock();
            board.state == NodeState::JournalUnavailable && board.reader.is_none()
        })
        .await;
    let refusal = bench.emergency_stop().await.expect_err("a stop that is not durable is not latched");
    assert_eq!(refusal.reason(), "JOURNAL_UNAVAILABLE");
    assert!(matches!(releases.try_recv(), Err(TryRecvError::Empty)), "nothing was released");
    assert_eq!(bench.node.handle.status().head, head);

    memory.mend_disk();
    let handle = bench.node.handle.clone();
    bench.eventually("it goes on", move || handle.status().state == NodeState::Ready).await;
    let before = bench.positions().await;
    assert!((1..=2).contains(&before), "the order that was refused happened once or not at all");
    bench.price(5_000_000).await;
    bench.buy().await.expect("the disk works again");
    assert_eq!(bench.positions().await, before + 1);

    let mut next = head.offset + 1;
    while let Ok(release) = releases.try_recv() {
        for event in &release.events {
            assert_eq!(event.number, next, "no event is missing and none comes twice");
            next += 1;
        }
    }
    assert_eq!(next - 1, bench.node.handle.status().head.offset);
    bench.stop().await;
    assert_eq!(positions(&open(&memory).machine), before + 1);
}

#[tokio::test]
async fn a_journal_that_stays_broken_ends_the_writer_when_it_is_stopped() {
    let memory = Memory::default();
    let mut bench = Bench::start(&memory).await;
    bench.price(5_000_000).await;
    memory.break_disk();
    bench.buy().await.expect_err("nothing is durable");
    bench.node.handle.stop().await;
    let ended = bench.node.ended.take().await.expect("the writer says how it ended");
    assert!(ended.is_err());
    assert!(bench.buy().await.is_err());
}

#[tokio::test]
async fn ex08_a_candle_closes_when_its_time_has_come_and_no_input_comes() {
    let memory = Memory::default();
    let rt: Rt = Arc::new(TokioRuntime::new());
    // half a second before the minute ends, at sixty times the speed of time
    let at = UnixNanos::parse("2024-01-10T12:00:30Z").expect("an instant");
    let clock = Clock::replay(Arc::clone(&rt), at, Speed::Milli(60_000), Some(at.plus(10 * MINUTE_NS)));
    let bench = Bench::start_on(rt, &memory, open(&memory), clock, "replay").await;
    bench.price(5_000_000).await;
    let handle = bench.node.handle.clone();
    bench.eventually("the minute ends", move || handle.now() > at.plus(MINUTE_NS)).await;
    let candles = bench.node.handle.candles(BTCUSD, Timeframe::M1, None, None, 10).await;
    let [candle] = candles.expect("candles can be read")[..] else { panic!("one candle") };
    assert_eq!((candle.ts, candle.ticks), (at.floor(MINUTE_NS), 1));
    assert_eq!(bench.node.handle.status().subsystems["journal"].state, "ok");
}
