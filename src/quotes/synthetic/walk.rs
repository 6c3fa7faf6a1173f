//! One instrument's random walk.

use crate::{
    domain::{
        calendar::Calendar,
        instrument::{Instrument, InstrumentId, Price},
        market::Quote,
        time::{HOUR_NS, MILLI_NS, MINUTE_NS, SECOND_NS, UnixNanos},
    },
    quotes::random::Random,
};

/// Spreads are wide for this long after a market opens and around the broker's day roll.
const WIDE_NS: i64 = 10 * MINUTE_NS;
/// Minute of the local day at which the broker's day rolls.
const ROLL_MINUTE: i64 = 17 * 60;
/// Movement per slot after a closed market, in slots' worth of deviation: a weekend's gap.
const GAP_FACTOR: i64 = 40;
/// Share of the distance to the anchor by which a slot pulls back, as a power of two. It keeps a walk
/// of years near its anchor and is not visible in a day.
const PULL_SHIFT: u32 = 20;
/// How active the market is at each hour of the day (UTC), in percent of the average: quiet in the
/// late evening, busiest while London and New York are both open.
#[rustfmt::skip]
const ACTIVITY_PERCENT: [i64; 24] = [
    70, 75, 70, 65, 65, 70, 90, 125, 135, 125, 110, 105, 125, 150, 155, 145, 125, 105, 90, 85, 75, 60, 50, 60,
];

/// What a market is like: symbol, price to start from and to be pulled to, standard deviation of one
/// second in thousandths of a tick, length of a slot in milliseconds.
type Character = (&'static str, i64, i64, i64);

#[rustfmt::skip]
const CHARACTERS: [Character; 6] = [
    // a year's volatility of 7, 8, 9, 14, 55 and 65 %
    ("EURUSD",   109_500,   1_650, 1_000),
    ("GBPUSD",   127_200,   2_200, 1_000),
    ("USDJPY",   144_600,   2_800, 1_000),
    ("XAUUSD",   204_500,   6_100, 1_000),
    ("BTCUSD", 4_400_000, 430_000,   500),
    ("ETHUSD",   235_000,  27_000,   500),
];

/// One instrument's walk.
#[derive(Debug, Clone)]
pub(super) struct Walk {
    seed: u64,
    pub id: InstrumentId,
    /// Hash of the symbol: an instrument's quotes do not depend on its place in the list.
    stream: u64,
    pub calendar: Calendar,
    /// The price that it starts from and is pulled to.
    pub anchor: i64,
    /// Standard deviation of one slot, in thousandths of a tick.
    deviation_milli: i64,
    slot_ns: i64,
    spread: i64,
    /// The last bid, in ticks: all that a walk remembers.
    pub bid: i64,
    session: Session,
}

/// The session that the last quote was in; a cache of the calendar.
#[derive(Debug, Clone, Copy)]
struct Session {
    /// Its opening, or the beginning of time if that was longer than `WIDE_NS` before the first quote.
    opened: UnixNanos,
    until: UnixNanos,
}

impl Walk {
    /// `slot_ns`: how often to quote; `None`: as often as the instrument does live.
    pub fn new(
        seed: u64,
        id: InstrumentId,
        instrument: &Instrument,
        calendar: &Calendar,
        slot_ns: Option<i64>,
    ) -> Self {
        let spread = instrument.points_to_ticks(instrument.default_spread_points).max(1);
        let symbol = instrument.symbol.as_str();
        let (anchor, second_milli, slot_ms) = CHARACTERS
            .iter()
            .find(|(name, ..)| *name == symbol)
            .map_or((spread * 10_000, spread * 150, 1_000), |&(_, anchor, milli, slot)| {
                (anchor, milli, slot)
            });
        let slot_ns = slot_ns.unwrap_or(slot_ms * MILLI_NS);
        // deviations grow with the square root of time
        let variance = second_milli * second_milli * (slot_ns / MILLI_NS) / 1_000;
        let stream =
            symbol.bytes().fold(0, |hash: u64, byte| hash.wrapping_mul(0x100_0000_01b3) ^ u64::from(byte));
        let session = Session { opened: UnixNanos(i64::MIN), until: UnixNanos(i64::MIN) };
        let (calendar, deviation_milli) = (calendar.clone(), variance.isqrt());
        Self { seed, id, stream, calendar, anchor, deviation_milli, slot_ns, spread, bid: anchor, session }
    }

    /// The stamp of the first quote after `after` at which the market is open; `None` if it never
    /// opens again.
    pub fn next_stamp(&self, after: UnixNanos) -> Option<UnixNanos> {
        let mut slot = after.0.div_euclid(self.slot_ns);
        loop {
            let at = self.stamp_of(slot);
            if at > after {
                if at < self.session.until {
                    return Some(at);
                }
                let session = self.calendar.state_at(at);
                if session.open {
                    return Some(at);
                }
                if session.until == UnixNanos::MAX {
                    return None;
                }
                slot = session.until.0.div_euclid(self.slot_ns).max(slot + 1);
            } else {
                slot += 1;
            }
        }
    }

    /// When the slot's quote comes: a random millisecond of the slot. The microseconds are the
    /// instrument's, so that no two instruments quote at the same instant.
    fn stamp_of(&self, slot: i64) -> UnixNanos {
        let offset_ms = self.random(slot).below((self.slot_ns / MILLI_NS) as u64) as i64;
        UnixNanos(slot * self.slot_ns + offset_ms * MILLI_NS + i64::from(self.id.0 % 1_000) * 1_000)
    }

    fn random(&self, slot: i64) -> Random {
        Random::at(self.seed, self.stream, slot as u64)
    }

    /// Moves on to the quote of a stamp's slot.
    pub fn quote_at(&mut self, at: UnixNanos) -> Quote {
        let mut random = self.random(at.0.div_euclid(self.slot_ns));
        random.next(); // the stamp's
        self.enter_session(at);
        let is_first = at.since(self.session.opened) < self.slot_ns;
        let factor = if is_first { GAP_FACTOR * 100 } else { self.activity_percent(at) };
        let move_milli = random.normal_milli() * self.deviation_milli / 1_000 * factor / 100;
        let pull_milli = ((self.anchor - self.bid) * 1_000) >> PULL_SHIFT;
        // rounded up or down by chance, so that moves below a tick are not lost
        let ticks = (move_milli + pull_milli + random.below(1_000) as i64).div_euclid(1_000);
        self.bid = (self.bid + ticks).clamp(self.anchor / 4, self.anchor * 4);
        let spread = self.spread_at(at, &mut random);
        Quote { bid: Price(self.bid), ask: Price(self.bid + spread) }
    }

    fn activity_percent(&self, at: UnixNanos) -> i64 {
        if self.calendar.is_always() {
            return 100;
        }
        let hour = at.0.div_euclid(HOUR_NS).rem_euclid(24);
        ACTIVITY_PERCENT[hour as usize]
    }

    /// 80 to 120 % of the default; up to 4 times that where liquidity is thin.
    fn spread_at(&self, at: UnixNanos, random: &mut Random) -> i64 {
        let percent = 80 + random.below(41) as i64;
        let times = if self.is_thin(at) { 2 + random.below(3) as i64 } else { 1 };
        ((self.spread * percent * times + 50) / 100).max(1)
    }

    fn is_thin(&self, at: UnixNanos) -> bool {
        if self.calendar.is_always() {
            return false;
        }
        let local = at.plus(self.calendar.zone.offset_at(at) * SECOND_NS);
        let since_midnight = local.0.rem_euclid(24 * HOUR_NS);
        (since_midnight - ROLL_MINUTE * MINUTE_NS).abs() < WIDE_NS || at.since(self.session.opened) < WIDE_NS
    }

    fn enter_session(&mut self, at: UnixNanos) {
        if at < self.session.until {
            return;
        }
        let before = self.calendar.state_at(at.plus(-WIDE_NS));
        let opened = if before.open { UnixNanos(i64::MIN) } else { before.until };
        self.session = Session { opened, until: self.calendar.state_at(at).until };
    }
}
