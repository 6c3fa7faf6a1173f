//! The stream alone, over a pipe in memory.

use super::*;
use crate::{runtime::Clock, scenario::Span};
use lockstep::domain::time::UnixNanos;
use madsim::runtime::Runtime;
use std::collections::BTreeMap;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

const LIMIT: Duration = Duration::from_secs(60);

/// What a world of one stream came to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    /// The sizes of the pieces that were read.
    pieces: Vec<usize>,
    bytes: Vec<u8>,
    error: Option<io::ErrorKind>,
    elapsed: Duration,
    marks: BTreeMap<String, u64>,
}

fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|index| (index % 251) as u8).collect()
}

/// Runs `scene` on a stream and its far end.
fn world<F>(
    plan: ChaosPlan,
    seed: u64,
    scene: impl FnOnce(ChaosStream<DuplexStream>, DuplexStream, Chaos) -> F,
) -> Outcome
where
    F: Future<Output = Outcome>,
{
    let runtime = Runtime::with_seed_and_config(seed, madsim::Config::default());
    runtime.block_on(async {
        let clock = Clock::new(UnixNanos::ZERO, 0);
        let coverage = Coverage::default();
        let chaos = Chaos::new(Some(plan), seed, Node::Gateway, Tracer::new(clock.clone()), coverage.clone());
        let (near, far) = tokio::io::duplex(1 << 20);
        let outcome = madsim::time::timeout(LIMIT, scene(chaos.stream(near), far, chaos.clone())).await;
        let outcome = outcome.expect("no stream waits for ever");
        let marks = coverage.counts().marks;
        Outcome { elapsed: Duration::from_nanos(clock.elapsed_ns()), marks, ..outcome }
    })
}

async fn read_all(stream: &mut (impl AsyncRead + Unpin)) -> Outcome {
    let mut outcome = Outcome::default();
    let mut buffer = [0; 512];
    loop {
        match stream.read(&mut buffer).await {
            Ok(0) => return outcome,
            Ok(count) => {
                outcome.pieces.push(count);
                outcome.bytes.extend_from_slice(&buffer[..count]);
            }
            Err(error) => return Outcome { error: Some(error.kind()), ..outcome },
        }
    }
}

/// The far end sends so much and closes; the near end reads.
fn reading(plan: ChaosPlan, seed: u64, count: usize) -> Outcome {
    world(plan, seed, |mut near, mut far, _| async move {
        far.write_all(&bytes(count)).await.expect("room");
        drop(far);
        read_all(&mut near).await
    })
}

/// The near end sends so much; the far end reads.
fn writing(plan: ChaosPlan, seed: u64, count: usize) -> Outcome {
    world(plan, seed, |mut near, mut far, _| async move {
        let sent = near.write_all(&bytes(count)).await;
        drop(near);
        let outcome = read_all(&mut far).await;
        Outcome { error: sent.err().map(|error| error.kind()), ..outcome }
    })
}

#[test]
fn readers_see_parts_of_frames_and_lose_nothing() {
    for seed in 0..20 {
        let plan = ChaosPlan { split: Some(Span(1, 7)), ..ChaosPlan::default() };
        let read = reading(plan.clone(), seed, 1_000);
        assert_eq!(read.bytes, bytes(1_000), "seed {seed}");
        assert!(read.pieces.iter().all(|piece| (1..=7).contains(piece)), "seed {seed}: {:?}", read.pieces);
        assert!(read.elapsed > Duration::ZERO, "some pieces come alone");
        assert_eq!(read.marks["stream_split"], 1);
        assert_eq!(writing(plan, seed, 1_000).bytes, bytes(1_000), "seed {seed}");
    }
}

#[test]
fn a_cut_comes_after_exactly_so_many_bytes_and_ends_both_directions() {
    for after in [1, 2, 99, 100] {
        let cut = Some(Cut { permille: 1_000, after_bytes: Span(after, after) });
        for split in [None, Some(Span(1, 9))] {
            let plan = ChaosPlan { split, reset: cut, ..ChaosPlan::default() };
            let read = reading(plan.clone(), 1, 100);
            assert_eq!(read.bytes, bytes(after as usize));
            assert_eq!(read.error, Some(io::ErrorKind::ConnectionReset));
            let written = writing(plan, 1, 200);
            assert_eq!(written.bytes, bytes(after as usize));
            assert_eq!(written.error, Some(io::ErrorKind::ConnectionReset));
            assert_eq!(written.marks["stream_reset"], 1);
        }
    }
}

#[test]
fn a_half_closed_stream_reads_its_end_and_still_sends() {
    let cut = Some(Cut { permille: 1_000, after_bytes: Span(10, 10) });
    let plan = ChaosPlan { half_close: cut, ..ChaosPlan::default() };
    let outcome = world(plan, 1, |mut near, mut far, _| async move {
        far.write_all(&bytes(100)).await.expect("room");
        let read = read_all(&mut near).await;
        assert_eq!((read.bytes, read.error), (bytes(10), None));
        near.write_all(&bytes(50)).await.expect("this direction works");
        drop(near);
        read_all(&mut far).await
    });
    assert_eq!(outcome.bytes, bytes(50));
    assert_eq!(outcome.marks["stream_half_closed"], 1);
}

#[test]
fn stalls_end_and_set_one_timer_however_often_they_are_polled() {
    let stall = Some(Hold { permille: 1_000, for_ms: Span(300, 300) });
    let plan = ChaosPlan { stall, ..ChaosPlan::default() };
    let read = reading(plan.clone(), 1, 100);
    assert_eq!(read.bytes, bytes(100));
    assert!((300..600).contains(&read.elapsed.as_millis()), "{:?}", read.elapsed);
    let written = writing(plan.clone(), 1, 100);
    assert_eq!(written.bytes, bytes(100));
    assert!((300..600).contains(&written.elapsed.as_millis()), "{:?}", written.elapsed);
    // whoever gives up waiting and comes again waits no longer
    let impatient = world(plan, 1, |mut near, mut far, _| async move {
        far.write_all(&bytes(3)).await.expect("room");
        let mut buffer = [0; 8];
        loop {
            let read = madsim::time::timeout(Duration::from_millis(7), near.read(&mut buffer));
            if let Ok(count) = read.await {
                let count = count.expect("no cut");
                return Outcome { bytes: buffer[..count].to_vec(), ..Outcome::default() };
            }
        }
    });
    assert_eq!(impatient.bytes, bytes(3));
    assert!((300..400).contains(&impatient.elapsed.as_millis()), "{:?}", impatient.elapsed);
}

#[test]
fn what_is_held_back_comes_together() {
    let coalesce = Some(Hold { permille: 1_000, for_ms: Span(50, 50) });
    let plan = ChaosPlan { coalesce, ..ChaosPlan::default() };
    let outcome = world(plan, 1, |mut near, mut far, _| async move {
        drop(madsim::task::spawn(async move {
            for piece in bytes(90).chunks(30) {
                far.write_all(piece).await.expect("room");
                madsim::time::sleep(Duration::from_millis(10)).await;
            }
        }));
        read_all(&mut near).await
    });
    assert_eq!(outcome.pieces, [90]);
    assert_eq!(outcome.marks["stream_coalesced"], 1);
}

#[test]
fn a_calm_stream_is_a_plain_one_and_still_owes_what_it_held() {
    let cut = Some(Cut { permille: 1_000, after_bytes: Span(40, 40) });
    let plan = ChaosPlan { split: Some(Span(1, 4)), reset: cut, ..ChaosPlan::default() };
    let outcome = world(plan, 1, |mut near, mut far, chaos| async move {
        far.write_all(&bytes(100)).await.expect("room");
        drop(far);
        let mut first = [0; 4];
        let count = near.read(&mut first).await.expect("no cut yet");
        chaos.calm();
        let mut rest = read_all(&mut near).await;
        assert_eq!(rest.pieces, [100 - count]);
        rest.bytes.splice(0..0, first[..count].iter().copied());
        rest
    });
    assert_eq!((outcome.bytes, outcome.error), (bytes(100), None));
}

/// Counts flushes.
struct Counting(DuplexStream, usize);

impl AsyncWrite for Counting {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.1 += 1;
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

#[test]
fn a_flush_of_nothing_sends_nothing() {
    world(ChaosPlan::default(), 1, |near, far, chaos| async move {
        let _open = far;
        let mut stream = chaos.stream(Counting(near.inner, 0));
        for _ in 0..3 {
            stream.flush().await.expect("nothing to send");
        }
        assert_eq!(stream.inner.1, 0);
        stream.write_all(b"x").await.expect("room");
        for _ in 0..3 {
            stream.flush().await.expect("open");
        }
        assert_eq!(stream.inner.1, 1);
        Outcome::default()
    });
}

#[test]
fn dt01_equal_seeds_make_equal_streams() {
    let plan = ChaosPlan {
        split: Some(Span(1, 50)),
        coalesce: Some(Hold { permille: 200, for_ms: Span(1, 40) }),
        stall: Some(Hold { permille: 200, for_ms: Span(1, 40) }),
        half_close: Some(Cut { permille: 500, after_bytes: Span(1, 2_000) }),
        reset: Some(Cut { permille: 500, after_bytes: Span(1, 2_000) }),
    };
    let first: Vec<Outcome> = (0..10).map(|seed| reading(plan.clone(), seed, 1_500)).collect();
    let second: Vec<Outcome> = (0..10).map(|seed| reading(plan.clone(), seed, 1_500)).collect();
    assert_eq!(first, second);
    assert!(first.iter().any(|outcome| outcome.error.is_some()));
    assert!(first.iter().any(|outcome| outcome.bytes.len() == 1_500));
}
