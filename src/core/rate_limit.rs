//! How fast trade requests may come: the generic cell rate algorithm (ITU-T I.371), which needs one number.

use crate::domain::{config::TradeRate, time::SECOND_NS, time::UnixNanos};
use serde::{Deserialize, Serialize};

/// A token bucket, as the instant at which it would be full again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct RateLimit {
    full_at: UnixNanos,
}

impl Default for RateLimit {
    fn default() -> Self {
        Self { full_at: UnixNanos(i64::MIN) }
    }
}

impl RateLimit {
    /// Takes a token, or says after how many nanoseconds there is one.
    pub(crate) fn take(&mut self, now: UnixNanos, rate: TradeRate) -> Result<(), i64> {
        let interval = SECOND_NS / i64::from(rate.per_second.max(1));
        let depth = interval.saturating_mul(i64::from(rate.burst.max(1)) - 1);
        let full_at = self.full_at.max(now);
        let wait = full_at.since(now).saturating_sub(depth);
        if wait > 0 {
            return Err(wait);
        }
        self.full_at = full_at.plus(interval);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: TradeRate = TradeRate { per_second: 10, burst: 20 };

    /// How many of `asked` requests at one instant are let through.
    fn burst(limit: &mut RateLimit, at: UnixNanos, asked: usize) -> usize {
        (0..asked).filter(|_| limit.take(at, RATE).is_ok()).count()
    }

    #[test]
    fn a_burst_is_let_through_and_then_ten_a_second() {
        let mut limit = RateLimit::default();
        let start = UnixNanos::from_secs(1_000);
        assert_eq!(burst(&mut limit, start, 50), 20);
        assert_eq!(limit.take(start, RATE), Err(SECOND_NS / 10), "the exact wait");
        assert_eq!(burst(&mut limit, start.plus(SECOND_NS / 10), 5), 1);
        assert_eq!(burst(&mut limit, start.plus(SECOND_NS), 50), 9);
        assert_eq!(burst(&mut limit, start.plus(100 * SECOND_NS), 50), 20, "no more than the burst is saved");
    }

    proptest::proptest! {
        #[test]
        fn no_window_has_more_than_burst_and_rate(gaps in proptest::collection::vec(0_i64..400_000_000, 1..200)) {
            let mut limit = RateLimit::default();
            let mut now = UnixNanos::ZERO;
            let mut taken: Vec<UnixNanos> = Vec::new();
            for gap in gaps {
                now = now.plus(gap);
                match limit.take(now, RATE) {
                    Ok(()) => taken.push(now),
                    Err(wait) => {
                        let mut later = limit;
                        proptest::prop_assert!(later.take(now.plus(wait), RATE).is_ok());
                        let mut earlier = limit;
                        proptest::prop_assert!(earlier.take(now.plus(wait - 1), RATE).is_err());
                    }
                }
            }
            for (first, from) in taken.iter().enumerate() {
                for (last, to) in taken.iter().enumerate().skip(first) {
                    let allowed = 20 + to.since(*from) / (SECOND_NS / 10);
                    proptest::prop_assert!((last - first + 1) as i64 <= allowed);
                }
            }
        }
    }
}
