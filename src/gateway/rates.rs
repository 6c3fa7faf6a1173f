//! How often a method may be called: token buckets in whole numbers, filled by the runtime's monotonic
//! time. What lowers risk is in none of them.

use super::limits::Limits;
use crate::domain::message::{ErrorCode, Refusal};
use schemars::JsonSchema;
use serde::Serialize;
use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// How the calls of a method are limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rate {
    /// With all other requests of the connection.
    Requests,
    /// Besides, per method and principal.
    ControlWrites,
    /// Besides, per account: the engine counts these.
    Account,
    /// Not at all: it lowers risk.
    Reserved,
}

/// `tokens` per `period`, at most `burst` at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refill {
    pub tokens: u32,
    pub period: Duration,
    pub burst: u32,
}

/// A token bucket. It counts in fractions of a token that a nanosecond brings a whole number of, so that
/// nothing is rounded.
#[derive(Debug, Clone)]
pub struct Bucket {
    refill: Refill,
    /// A token is `period` in nanoseconds; a nanosecond brings `tokens`.
    level: u128,
    seen_ns: u64,
}

impl Bucket {
    /// A full bucket.
    pub fn new(refill: Refill, now_ns: u64) -> Self {
        assert!(refill.tokens > 0 && refill.burst > 0 && !refill.period.is_zero(), "a rate is positive");
        Self { refill, level: Self::capacity(refill), seen_ns: now_ns }
    }

    const fn capacity(refill: Refill) -> u128 {
        refill.period.as_nanos() * refill.burst as u128
    }

    fn fill(&mut self, now_ns: u64) {
        let passed = u128::from(now_ns.saturating_sub(self.seen_ns));
        self.level = (self.level + passed * u128::from(self.refill.tokens)).min(Self::capacity(self.refill));
        self.seen_ns = self.seen_ns.max(now_ns);
    }

    /// Takes a token.
    ///
    /// # Errors
    /// There is none: after so many nanoseconds there will be one.
    pub fn take(&mut self, now_ns: u64) -> Result<(), u64> {
        self.fill(now_ns);
        let token = self.refill.period.as_nanos();
        match self.level.checked_sub(token) {
            Some(rest) => {
                self.level = rest;
                Ok(())
            }
            None => {
                let wait = (token - self.level).div_ceil(u128::from(self.refill.tokens));
                Err(u64::try_from(wait).unwrap_or(u64::MAX))
            }
        }
    }

    fn is_full(&mut self, now_ns: u64) -> bool {
        self.fill(now_ns);
        self.level == Self::capacity(self.refill)
    }
}

/// The buckets that all connections share: control writes, by method and principal.
#[derive(Debug, Default)]
pub struct ControlWrites {
    buckets: Mutex<BTreeMap<(&'static str, String), Bucket>>,
}

impl ControlWrites {
    /// Buckets that are kept although they may be full again, and then say no more than none.
    const KEPT: usize = 1_024;

    /// Counts one call.
    ///
    /// # Errors
    /// `RATE_LIMITED`, with the time until it may be tried again.
    pub fn take(
        &self,
        limits: &Limits,
        method: &'static str,
        principal: &str,
        now_ns: u64,
    ) -> Result<(), Refusal> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= Self::KEPT {
            buckets.retain(|_, bucket| !bucket.is_full(now_ns));
        }
        let bucket = buckets
            .entry((method, principal.to_owned()))
            .or_insert_with(|| Bucket::new(limits.control_writes(), now_ns));
        bucket.take(now_ns).map_err(|wait_ns| {
            let allowed = limits.control_writes_per_minute;
            over("CONTROL_WRITE_RATE", &format!("{method} may be called {allowed} times a minute"), wait_ns)
        })
    }
}

/// `RATE_LIMITED`: nothing was started, and after `wait_ns` there is room.
pub fn over(reason: &str, rule: &str, wait_ns: u64) -> Refusal {
    Refusal::new(ErrorCode::RateLimited, reason, format!("{rule}: wait for details.retryAfterMs"))
        .retryable()
        .with("retryAfterMs", wait_ns.div_ceil(1_000_000))
        .with("outcome", "not_started")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: u64 = 1_000_000;
    const FIFTY_A_SECOND: Refill = Refill { tokens: 50, period: Duration::from_secs(1), burst: 100 };

    /// Takes at each of the instants, in milliseconds; `None` is a token, `Some` the wait in nanoseconds.
    fn check(refill: Refill, takes: &[(u64, Option<u64>)]) {
        let mut bucket = Bucket::new(refill, 0);
        for (index, (at_ms, wait_ns)) in takes.iter().enumerate() {
            assert_eq!(bucket.take(at_ms * MS).err(), *wait_ns, "take {index} at {at_ms} ms of {refill:?}");
        }
    }

    #[test]
    fn a_bucket_holds_its_burst_and_refills_at_its_rate() {
        let thirty_a_minute = Refill { tokens: 30, period: Duration::from_secs(60), burst: 2 };
        check(
            thirty_a_minute,
            &[
                (0, None),
                (0, None),
                (0, Some(2_000 * MS)),
                (500, Some(1_500 * MS)),
                (1_999, Some(MS)),
                (2_000, None),
                (2_000, Some(2_000 * MS)),
                // it holds no more than its burst
                (600_000, None),
                (600_000, None),
                (600_000, Some(2_000 * MS)),
            ],
        );
        // a third of a second is no whole number of nanoseconds: after the wait there is a token, not before
        let three_a_second = Refill { tokens: 3, period: Duration::from_secs(1), burst: 1 };
        check(three_a_second, &[(0, None), (0, Some(333_333_334)), (333, Some(333_334)), (334, None)]);
        let mut bucket = Bucket::new(three_a_second, 5);
        bucket.take(5).expect("the first");
        assert_eq!(bucket.take(5 + 333_333_333), Err(1));
        bucket.take(5 + 333_333_334).expect("a token");
        assert_eq!(bucket.take(0), Err(333_333_334), "an instant of the past brings nothing");
    }

    #[test]
    fn the_defaults_are_the_protocols() {
        let limits = Limits::default();
        assert_eq!(limits.requests(), FIFTY_A_SECOND);
        let writes = Refill { tokens: 30, period: Duration::from_secs(60), burst: 30 };
        assert_eq!(limits.control_writes(), writes);
    }

    #[test]
    fn control_writes_are_counted_by_method_and_principal() {
        let limits = Limits { control_writes_per_minute: 2, ..Limits::default() };
        let writes = ControlWrites::default();
        let take = |method, principal, at_ms: u64| writes.take(&limits, method, principal, at_ms * MS);
        for (method, principal) in [("risk.resume", "operator-1"), ("risk.resume", "operator-2"), ("x", "a")]
        {
            take(method, principal, 0).expect("the first");
            take(method, principal, 0).expect("the second");
            let refusal = take(method, principal, 1).expect_err("the third");
            assert_eq!((refusal.code, refusal.reason()), (ErrorCode::RateLimited, "CONTROL_WRITE_RATE"));
            assert!(refusal.retryable);
            assert_eq!(refusal.details["retryAfterMs"], 29_999);
            assert_eq!(refusal.details["outcome"], "not_started");
        }
        take("risk.resume", "operator-1", 30_000).expect("a token has come");
    }

    #[test]
    fn buckets_that_are_full_again_are_not_kept() {
        let limits = Limits::default();
        let writes = ControlWrites::default();
        for n in 0..5_000_u64 {
            writes.take(&limits, "x", &n.to_string(), n * 1_000 * MS).expect("the first");
        }
        let kept = writes.buckets.lock().expect("no panic").len();
        assert!(kept <= ControlWrites::KEPT, "{kept}");
    }

    proptest! {
        #[test]
        fn no_stretch_of_time_gets_more_than_burst_and_refill(
            tokens in 1_u32..2_000,
            period_ms in 1_u64..120_000,
            burst in 1_u32..50,
            pauses in prop::collection::vec(0_u64..3_000_000_000, 1..200),
        ) {
            let refill = Refill { tokens, period: Duration::from_millis(period_ms), burst };
            let mut bucket = Bucket::new(refill, 0);
            let (mut now_ns, mut taken) = (0, Vec::new());
            for pause in pauses {
                now_ns += pause;
                match bucket.take(now_ns) {
                    Ok(()) => taken.push(now_ns),
                    Err(wait_ns) => {
                        prop_assert!(bucket.clone().take(now_ns + wait_ns).is_ok(), "the wait is enough");
                        prop_assert!(bucket.clone().take(now_ns + wait_ns - 1).is_err(), "and no more than that");
                    }
                }
            }
            for (first, from) in taken.iter().enumerate() {
                for (last, to) in taken.iter().enumerate().skip(first) {
                    let passed = u128::from(to - from) * u128::from(tokens) / refill.period.as_nanos();
                    prop_assert!((last - first + 1) as u128 <= u128::from(burst) + passed);
                }
            }
        }

        #[test]
        fn whoever_keeps_the_rate_is_never_refused(
            tokens in 1_u32..2_000, period_ms in 1_u64..120_000, calls in 1_usize..300
        ) {
            let period = Duration::from_millis(period_ms);
            let mut bucket = Bucket::new(Refill { tokens, period, burst: 1 }, 0);
            let interval_ns = u64::try_from(period.as_nanos().div_ceil(u128::from(tokens))).expect("small");
            for call in 0..calls as u64 {
                prop_assert!(bucket.take(call * interval_ns).is_ok());
            }
        }
    }
}
