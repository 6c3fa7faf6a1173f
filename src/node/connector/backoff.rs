//! How long to wait before the next attempt: doubling, with jitter, so that a venue that comes back is
//! not met by everybody at once.

use crate::node::runtime::Rt;
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(30);
/// A session that lived this long was a good one.
const GOOD_AFTER: Duration = Duration::from_secs(60);

/// The waits of one connector.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub const fn new() -> Self {
        Self { next: FIRST }
    }

    /// The wait after an attempt that lived so long: between half and all of the present step.
    pub fn after(&mut self, rt: &Rt, lived: Duration) -> Duration {
        if lived >= GOOD_AFTER {
            self.next = FIRST;
        }
        let step = self.next;
        self.next = step.saturating_mul(2).min(LONGEST);
        let mut bytes = [0; 4];
        rt.random(&mut bytes);
        let half = step / 2;
        half + half.mul_f64(f64::from(u32::from_be_bytes(bytes)) / f64::from(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::host::TokioRuntime;
    use std::sync::Arc;

    #[test]
    fn waits_double_up_to_half_a_minute_and_begin_anew_after_a_good_session() {
        let rt: Rt = Arc::new(TokioRuntime::new());
        let mut backoff = Backoff::new();
        for step_ms in [250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000] {
            let step = Duration::from_millis(step_ms);
            let wait = backoff.after(&rt, Duration::from_secs(59));
            assert!(wait >= step / 2 && wait <= step, "{wait:?} of {step:?}");
        }
        assert!(backoff.after(&rt, GOOD_AFTER) <= FIRST);
        assert!(backoff.after(&rt, Duration::ZERO) <= FIRST * 2);
    }
}
