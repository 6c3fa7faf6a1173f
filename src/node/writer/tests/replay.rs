//! A recording drives the clock, survives restarts and failed commits, and ends once.

use super::bench::{BTCUSD, Bench, open};
use crate::{
    domain::{
        instrument::Price,
        message::Input,
        time::{MILLI_NS, MINUTE_NS, UnixNanos},
    },
    node::{
        clock::Speed,
        config::FeedSpec,
        feed::FeedOptions,
        journal::tests::memory::Memory,
        lanes::{MarketInput, Row},
        status::{FeedState, NodeState},
    },
};
use std::{fmt::Write as _, ops::ControlFlow, sync::Arc};

const BARS: i64 = 3_000;

/// Minute bars on a Wednesday, whose open price is their number.
fn recording(directory: &tempfile::TempDir) -> FeedOptions {
    let mut text = String::from("timestamp,open,high,low,close\n");
    let first = UnixNanos::parse("2024-01-10T00:00:00Z").expect("an instant");
    for bar in 0..BARS {
        let (at, price) = (first.plus(bar * MINUTE_NS), 40_000 + bar);
        writeln!(text, "{at},{price},{price},{price},{price}").expect("a text takes more");
    }
    let path = directory.path().join("BTCUSD_M1.csv");
    std::fs::write(&path, text).expect("the file can be written");
    let spec = FeedSpec::parse(&format!("replay:{}", path.display())).expect("a feed");
    FeedOptions { spec, speed: Speed::Max, seed: 0, token: None }
}

/// Runs until the recording has ended.
async fn run_to_end(bench: &Bench, feed: crate::node::feed::Feed) {
    feed.run(bench.feed_context()).await.expect("the recording is good");
    let board = Arc::clone(&bench.node.board);
    bench.eventually("the feed has ended", move || board.lock().feed == FeedState::Ended).await;
}

#[tokio::test]
async fn a_recording_is_replayed_whole_and_stamped_with_its_own_time() {
    let directory = tempfile::tempdir().expect("a directory");
    let memory = Memory::default();
    let (bench, feed) = Bench::start_with(&memory, recording(&directory)).await;
    run_to_end(&bench, feed).await;
    bench.stop().await;
    let opened = open(&memory);
    assert_eq!(opened.machine.tally().bars, u64::try_from(BARS).expect("positive"));
    let last = UnixNanos::parse("2024-01-12T01:59:59.999Z").expect("an instant");
    let ran_on_ns = opened.machine.now().since(last);
    assert!((0..60 * MINUTE_NS).contains(&ran_on_ns), "then it is real time: {ran_on_ns}");
}

#[tokio::test]
async fn a_restart_goes_on_after_the_last_journaled_row() {
    let directory = tempfile::tempdir().expect("a directory");
    let memory = Memory::default();
    let options = recording(&directory);
    let (bench, feed) = Bench::start_with(&memory, options.clone()).await;
    let context = bench.feed_context();
    let pump = async { feed.run(context).await };
    // killed on the way
    let killed = async {
        while bench.node.board.lock().journal_offset < 500 {
            bench.rt.sleep(std::time::Duration::from_millis(1)).await;
        }
        memory.after_kill()
    };
    let memory = tokio::select! {
        biased;
        memory = killed => memory,
        _ = pump => memory.after_kill(),
    };
    let mut ends = 0;
    for _ in 0..2 {
        let (bench, feed) = Bench::start_with(&memory, options.clone()).await;
        let before = bench.node.board.lock().journal_offset;
        run_to_end(&bench, feed).await;
        bench.stop().await;
        let opened = open(&memory);
        assert_eq!(opened.machine.tally().bars, u64::try_from(BARS).expect("positive"));
        ends += u32::from(opened.journal.head() > before + 3);
    }
    assert_eq!(ends, 1, "the second restart finds nothing to replay, and does not end again");
}

#[tokio::test]
async fn rows_that_a_failed_commit_lost_enter_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let memory = Memory::default();
    let (bench, feed) = Bench::start_with(&memory, recording(&directory)).await;
    let breaking = async {
        while bench.node.board.lock().journal_offset < 1 {
            bench.rt.sleep(std::time::Duration::from_millis(1)).await;
        }
        memory.break_disk();
        // a commit, lest the rows wait in memory
        bench.node.handle.enter(Input::Wake).await.expect_err("nothing is durable");
        memory.mend_disk();
    };
    tokio::join!(biased; breaking, run_to_end(&bench, feed));
    let handle = bench.node.handle.clone();
    bench.eventually("it goes on", move || handle.status().state == NodeState::Ready).await;
    assert!(bench.node.board.lock().commit_errors > 0);
    bench.stop().await;
    assert_eq!(open(&memory).machine.tally().bars, u64::try_from(BARS).expect("positive"));
}

/// Ticks of which 7 share each stamp and every third is crossed; the bid is the tick's number.
const TICKS: u64 = 18;
const SHARING: u64 = 7;

fn tick_recording(directory: &tempfile::TempDir) -> FeedOptions {
    let rows = |from, to| {
        (from..to).fold(String::new(), |text, tick| {
            let (bid, ask) = (40_000 + tick, if tick % 3 == 0 { 30_000 } else { 50_000 });
            format!("{text}{},{bid},{ask}\n", tick / SHARING)
        })
    };
    // the day ends between ticks of one stamp
    let files = [("BTCUSD_20240110.csv", rows(0, 10)), ("again_20240110.csv", rows(10, TICKS))];
    let paths = files.map(|(name, text)| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).expect("the file can be written");
        path.display().to_string()
    });
    let spec = FeedSpec::parse(&format!("replay:{},tz=UTC", paths.join(","))).expect("a feed");
    FeedOptions { spec, speed: Speed::Max, seed: 0, token: None }
}

/// Enters the first rows as the feed would, and makes them durable.
async fn enter_rows(bench: &Bench, count: u64) {
    let first = UnixNanos::parse("2024-01-10T00:00:00Z").expect("an instant");
    let at = |tick: u64| first.plus((tick / SHARING) as i64 * MILLI_NS);
    for tick in 0..count {
        let point = |price: u64| Price(i64::try_from(price * 100).expect("small"));
        let ask = if tick % 3 == 0 { 30_000 } else { 50_000 };
        let input = Input::Quote { instrument: BTCUSD, bid: point(40_000 + tick), ask: point(ask) };
        let row = Some(Row { at: at(tick), next: Some(at(tick + 1)) });
        assert!(bench.node.market.send(MarketInput { input, row }).await.is_ok(), "the writer runs");
    }
    let board = Arc::clone(&bench.node.board);
    while board.lock().journal_offset < count + 3 {
        bench.node.handle.enter(Input::Wake).await.expect("the journal works");
    }
}

/// Every bid that the journal holds, in its order.
fn bids(memory: &Memory) -> Vec<i64> {
    let mut bids = Vec::new();
    let visited = open(memory).journal.reader().inputs_from_newest(|_, input| {
        if let Input::Quote { bid, .. } = input {
            bids.push(bid.0 / 100 - 40_000);
        }
        ControlFlow::Continue(())
    });
    visited.expect("a sound journal");
    bids.reverse();
    bids
}

#[tokio::test]
async fn ticks_that_share_a_stamp_enter_once_wherever_a_crash_parts_them() {
    let directory = tempfile::tempdir().expect("a directory");
    let all: Vec<i64> = (0..TICKS as i64).collect();
    for count in 0..=TICKS {
        for drained in [false, true] {
            let memory = Memory::default();
            let (bench, _) = Bench::start_with(&memory, tick_recording(&directory)).await;
            enter_rows(&bench, count).await;
            // a drain ends in a snapshot, so that the stamp's rows lie in two segments
            let memory = if drained {
                bench.stop().await;
                memory
            } else {
                memory.after_kill()
            };
            let entered = bids(&memory);
            assert_eq!(entered, all[..count as usize]);
            for _ in 0..2 {
                let (bench, feed) = Bench::start_with(&memory, tick_recording(&directory)).await;
                feed.run(bench.feed_context()).await.expect("the recording is good");
                // nobody waits for quotes, so that the writer would hold them for a second
                while bench.node.board.lock().feed != FeedState::Ended {
                    bench.node.handle.enter(Input::Wake).await.expect("the journal works");
                }
                bench.stop().await;
                assert_eq!(bids(&memory), all, "{count} rows, drained: {drained}");
            }
            let tally = open(&memory).machine.tally();
            assert_eq!((tally.quotes, tally.quarantined["crossed"]), (TICKS - TICKS / 3, TICKS / 3));
        }
    }
}
