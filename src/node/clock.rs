//! What time it is for the machine.
//!
//! On a live feed: the wall time at start plus monotonic time, slewed towards the wall by at most
//! 500 ppm, so that it never jumps. A wall clock that disagrees by more than a second is not
//! followed but reported as suspect. On a replay the feed's stamps are the clock: between two of
//! them it runs at the replay's speed and stops just before the next; after the last one it runs on
//! in real time.

use super::runtime::Rt;
use crate::domain::{
    money,
    time::{SECOND_NS, UnixNanos},
};
use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// The largest correction, in parts per million of the time passed.
const SLEW_PPM: i64 = 500;
/// A gap between wall and monotonic time beyond which the wall clock is not believed.
const SUSPECT_GAP_NS: i64 = SECOND_NS;
/// How long the gap must have been small again.
const HEALED_AFTER_NS: u64 = 10 * SECOND_NS as u64;

/// How fast a replay runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speed {
    /// As fast as the machine takes it.
    Max,
    /// Thousandths of real time.
    Milli(u64),
}

impl Speed {
    /// Real time.
    pub const REAL: Self = Self::Milli(1_000);

    /// Reads `max` or a number such as `60` or `0.5`.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "max" {
            return Some(Self::Max);
        }
        let value: rust_decimal::Decimal = text.parse().ok()?;
        let milli = money::on_grid(value, rust_decimal::Decimal::new(1, 3))?;
        u64::try_from(milli).ok().filter(|m| (1..=1_000_000_000).contains(m)).map(Self::Milli)
    }
}

/// One look at the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    pub now: UnixNanos,
    /// The wall clock is not believed at the moment.
    pub suspect: bool,
}

/// The machine's clock. Never goes back.
pub struct Clock {
    rt: Rt,
    state: Mutex<State>,
}

struct State {
    /// The last instant that the machine has reached.
    floor: UnixNanos,
    source: Source,
}

enum Source {
    Live(Live),
    Replay(Replay),
}

impl Clock {
    /// A clock that follows wall time; `reached` is where the machine stands.
    pub fn live(rt: Rt, reached: UnixNanos) -> Self {
        let live = Live::new(rt.wall(), rt.mono());
        Self { rt, state: Mutex::new(State { floor: reached, source: Source::Live(live) }) }
    }

    /// A clock that follows a replay, whose next stamp is `next`; `None`: it has ended already.
    pub fn replay(rt: Rt, reached: UnixNanos, speed: Speed, next: Option<UnixNanos>) -> Self {
        // a fresh machine has reached nothing: its time begins just before the first stamp
        let reached = match next {
            Some(first) if reached <= UnixNanos::ZERO => first.plus(-1),
            _ => reached,
        };
        let speed = if next.is_some() { speed } else { Speed::REAL };
        let replay = Replay { origin: reached, origin_mono: rt.mono(), speed, next };
        Self { rt, state: Mutex::new(State { floor: reached, source: Source::Replay(replay) }) }
    }

    /// What time it is.
    pub fn read(&self) -> Reading {
        let mono = self.rt.mono();
        let wall = self.rt.wall();
        let mut state = self.lock();
        let floor = state.floor;
        let (at, suspect) = match &mut state.source {
            Source::Live(live) => live.read(wall, mono, floor),
            Source::Replay(replay) => (replay.read(mono, floor), false),
        };
        Reading { now: at.max(floor), suspect }
    }

    /// The machine has reached this instant: time does not go below it any more.
    pub fn reached(&self, at: UnixNanos) {
        let mut state = self.lock();
        state.floor = state.floor.max(at);
    }

    /// The replay's row has entered and `next` is the stamp of the row after it.
    pub fn row_entered(&self, next: Option<UnixNanos>) {
        if let Source::Replay(replay) = &mut self.lock().source {
            replay.next = next;
        }
    }

    /// The replay has no more rows: from here on it is real time.
    pub fn ended(&self) {
        let mono = self.rt.mono();
        let mut state = self.lock();
        let floor = state.floor;
        if let Source::Replay(replay) = &mut state.source {
            *replay = Replay { origin: floor, origin_mono: mono, speed: Speed::REAL, next: None };
        }
    }

    /// The machine was rebuilt and stands at `reached`; on a replay the rows from `next` on enter again.
    pub fn rebuilt(&self, reached: UnixNanos, next: Option<UnixNanos>) {
        let mut state = self.lock();
        if let Source::Replay(replay) = &mut state.source {
            replay.next = next.or(replay.next);
            state.floor = reached;
        }
    }

    /// Whether a replay drives it.
    pub fn is_replay(&self) -> bool {
        matches!(self.lock().source, Source::Replay(_))
    }

    /// The stamp of the replay's next row.
    pub fn next_row(&self) -> Option<UnixNanos> {
        match &self.lock().source {
            Source::Replay(replay) => replay.next,
            Source::Live(_) => None,
        }
    }

    /// How long it takes until the clock shows `at`. `None`: it will not before the next row.
    pub fn until(&self, at: UnixNanos) -> Option<Duration> {
        let now = self.read().now;
        let ahead = u64::try_from(at.since(now)).unwrap_or(0);
        match &self.lock().source {
            Source::Live(_) => Some(Duration::from_nanos(ahead)),
            Source::Replay(replay) => match (replay.next, replay.speed) {
                (Some(next), _) if at >= next => None,
                (_, Speed::Max) => (ahead == 0).then_some(Duration::ZERO),
                (_, Speed::Milli(milli)) => Some(real_time(ahead, milli)),
            },
        }
    }

    /// How long a replay waits before it sends the row of this stamp.
    pub fn until_row(&self, stamp: UnixNanos) -> Duration {
        let mono = self.rt.mono();
        match &self.lock().source {
            Source::Replay(Replay { origin, origin_mono, speed: Speed::Milli(milli), .. }) => {
                let ahead = u64::try_from(stamp.since(*origin)).unwrap_or(0);
                real_time(ahead, *milli)
                    .saturating_sub(Duration::from_nanos(mono.saturating_sub(*origin_mono)))
            }
            _ => Duration::ZERO,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// Real nanoseconds in which a replay of this speed passes `ahead` nanoseconds.
fn real_time(ahead_ns: u64, speed_milli: u64) -> Duration {
    let ns = u128::from(ahead_ns) * 1_000 / u128::from(speed_milli.max(1));
    Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX))
}

/// A clock anchored at start.
struct Live {
    /// What it showed at `mono`.
    at: UnixNanos,
    mono: u64,
    /// Monotonic time since which wall and clock agree, while the wall is not believed.
    suspect: Option<Healing>,
}

/// The way back from suspicion.
#[derive(Clone, Copy)]
struct Healing {
    agree_since: Option<u64>,
}

impl Live {
    const fn new(wall: UnixNanos, mono: u64) -> Self {
        Self { at: wall, mono, suspect: None }
    }

    fn read(&mut self, wall: UnixNanos, mono: u64, floor: UnixNanos) -> (UnixNanos, bool) {
        let passed = i64::try_from(mono.saturating_sub(self.mono)).unwrap_or(i64::MAX);
        let free = self.at.plus(passed);
        let gap = wall.since(free);
        // stamps from before a restart that lie ahead of the wall are the same disagreement
        let trusted = gap.abs() <= SUSPECT_GAP_NS && floor.since(free) <= SUSPECT_GAP_NS;
        let slew = if trusted { self.slew(gap, passed) } else { 0 };
        (self.at, self.mono) = (free.plus(slew), mono);
        self.suspect = match (self.suspect, trusted) {
            (None, true) => None,
            (_, false) => Some(Healing { agree_since: None }),
            (Some(Healing { agree_since }), true) => {
                let since = agree_since.unwrap_or(mono);
                let healed = mono.saturating_sub(since) >= HEALED_AFTER_NS;
                (!healed).then_some(Healing { agree_since: Some(since) })
            }
        };
        (self.at, self.suspect.is_some())
    }

    /// The part of the gap that may be corrected after `passed` nanoseconds.
    fn slew(&self, gap: i64, passed: i64) -> i64 {
        let most = i64::try_from(i128::from(passed) * i128::from(SLEW_PPM) / 1_000_000).unwrap_or(i64::MAX);
        gap.clamp(-most, most)
    }
}

/// A clock driven by a feed's stamps.
struct Replay {
    /// The stamp shown at `origin_mono`.
    origin: UnixNanos,
    origin_mono: u64,
    speed: Speed,
    /// The stamp of the next row, which has not entered.
    next: Option<UnixNanos>,
}

impl Replay {
    fn read(&self, mono: u64, floor: UnixNanos) -> UnixNanos {
        let Speed::Milli(milli) = self.speed else {
            return floor;
        };
        let passed = u128::from(mono.saturating_sub(self.origin_mono)) * u128::from(milli) / 1_000;
        let at = self.origin.plus(i64::try_from(passed).unwrap_or(i64::MAX));
        // strictly before the row, so that what enters meanwhile stands before it (EX14)
        self.next.map_or(at, |next| at.min(next.plus(-1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = SECOND_NS;
    const HOUR: i64 = 3_600 * S;

    /// Reads a live clock at (wall, monotonic) pairs, in seconds and nanoseconds.
    struct Bench {
        live: Live,
        floor: UnixNanos,
    }

    impl Bench {
        fn at(wall_ns: i64) -> Self {
            Self { live: Live::new(UnixNanos(wall_ns), 0), floor: UnixNanos(i64::MIN) }
        }

        #[track_caller]
        fn check(&mut self, wall_ns: i64, mono_ns: i64, shows_ns: i64, suspect: bool) {
            let mono = u64::try_from(mono_ns).expect("monotonic time is positive");
            let (at, is_suspect) = self.live.read(UnixNanos(wall_ns), mono, self.floor);
            assert_eq!((at.0, is_suspect), (shows_ns, suspect), "wall {wall_ns} mono {mono_ns}");
        }
    }

    #[test]
    fn a_live_clock_runs_on_monotonic_time() {
        let mut bench = Bench::at(HOUR);
        bench.check(HOUR + 5 * S, 5 * S, HOUR + 5 * S, false);
    }

    #[test]
    fn a_small_gap_is_slewed_at_500_ppm_in_both_directions() {
        for sign in [1, -1] {
            let mut bench = Bench::at(HOUR);
            let gap = sign * S / 2;
            // 0.5 s take 1,000 s to correct
            bench.check(HOUR + 10 * S + gap, 10 * S, HOUR + 10 * S + sign * S / 200, false);
            bench.check(HOUR + 999 * S + gap, 999 * S, HOUR + 999 * S + sign * 999 * S / 2_000, false);
            bench.check(HOUR + 1_001 * S + gap, 1_001 * S, HOUR + 1_001 * S + gap, false);
        }
    }

    #[test]
    fn a_jump_is_not_followed_and_makes_the_clock_suspect_until_it_has_healed_for_a_while() {
        for jump in [HOUR, -HOUR / 2] {
            let mut bench = Bench::at(HOUR);
            bench.check(HOUR + S + jump, S, HOUR + S, true);
            bench.check(HOUR + 500 * S + jump, 500 * S, HOUR + 500 * S, true);
            bench.check(HOUR + 501 * S, 501 * S, HOUR + 501 * S, true);
            bench.check(HOUR + 510 * S, 510 * S, HOUR + 510 * S, true);
            bench.check(HOUR + 511 * S, 511 * S, HOUR + 511 * S, false);
        }
    }

    #[test]
    fn stamps_from_before_a_restart_that_lie_ahead_make_the_clock_suspect() {
        let mut bench = Bench::at(HOUR);
        bench.floor = UnixNanos(HOUR + 10 * S);
        bench.check(HOUR + S, S, HOUR + S, true);
        bench.check(HOUR + 9 * S, 9 * S, HOUR + 9 * S, true);
        bench.check(HOUR + 19 * S, 19 * S, HOUR + 19 * S, false);
    }

    #[test]
    fn a_replay_runs_at_its_speed_and_stops_before_the_next_row() {
        let origin = UnixNanos(HOUR);
        let next = Some(UnixNanos(HOUR + 60 * S));
        for (speed, mono_ns, shows_ns) in [
            (Speed::REAL, 30 * S, HOUR + 30 * S),
            (Speed::Milli(60_000), S / 2, HOUR + 30 * S),
            (Speed::Milli(500), 60 * S, HOUR + 30 * S),
            (Speed::REAL, 61 * S, HOUR + 60 * S - 1),
            (Speed::Max, 30 * S, HOUR),
        ] {
            let replay = Replay { origin, origin_mono: 0, speed, next };
            let shows = replay.read(u64::try_from(mono_ns).expect("positive"), origin);
            assert_eq!(shows.0, shows_ns, "{speed:?} after {mono_ns}");
        }
    }

    #[test]
    fn speeds_are_read_exactly() {
        for (text, speed) in [
            ("max", Some(Speed::Max)),
            ("1", Some(Speed::REAL)),
            ("0.5", Some(Speed::Milli(500))),
            ("3600", Some(Speed::Milli(3_600_000))),
            ("0", None),
            ("-1", None),
            ("0.0001", None),
            ("fast", None),
        ] {
            assert_eq!(Speed::parse(text), speed, "{text}");
        }
    }
}
