//! The week as it usually is: sessions in local minutes since Sunday 00:00.

use serde::{Deserialize, Serialize};

pub const MINUTES_A_DAY: i64 = 1_440;
pub const MINUTES_A_WEEK: i64 = 7 * MINUTES_A_DAY;

/// Days of the week as they are written, from minute 0 of the week on.
pub const WEEKDAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

/// One weekly session in local minutes since Sunday 00:00; `open < close`, at most a week long. One that
/// runs past Saturday's midnight closes after minute 10,080.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct WeeklySession {
    pub open_minute: i64,
    pub close_minute: i64,
}

impl WeeklySession {
    /// A session of a day: from one minute of it to another, both counted from its midnight.
    pub const fn of_day(weekday: i64, open_minute: i64, close_minute: i64) -> Self {
        let midnight = weekday * MINUTES_A_DAY;
        Self { open_minute: midnight + open_minute, close_minute: midnight + close_minute }
    }

    /// A minute of the week as people write it, such as `Sun 17:00`.
    pub fn minute_text(minute: i64) -> String {
        let weekday = minute.div_euclid(MINUTES_A_DAY).rem_euclid(7);
        let day = WEEKDAYS[usize::try_from(weekday).expect("one of seven")];
        let of_day = minute.rem_euclid(MINUTES_A_DAY);
        format!("{day} {:02}:{:02}", of_day / 60, of_day % 60)
    }

    /// Sorted; sessions that touch or overlap are one.
    pub fn joined(mut sessions: Vec<Self>) -> Vec<Self> {
        sessions.sort_unstable();
        let mut joined: Vec<Self> = Vec::with_capacity(sessions.len());
        for session in sessions {
            match joined.last_mut() {
                Some(last) if session.open_minute <= last.close_minute => {
                    last.close_minute = last.close_minute.max(session.close_minute);
                }
                _ => joined.push(session),
            }
        }
        joined
    }

    /// Whether these are the sessions of a week: each begins in it and lasts no longer than one, and none
    /// begins before the one before it ended, the last one of the week before included.
    pub fn are_a_week(sessions: &[Self]) -> bool {
        let well_formed = sessions.iter().all(|session| {
            (0..MINUTES_A_WEEK).contains(&session.open_minute)
                && session.open_minute < session.close_minute
                && session.close_minute <= session.open_minute + MINUTES_A_WEEK
        });
        let Some((first, last)) = sessions.first().zip(sessions.last()) else { return true };
        well_formed
            && sessions.windows(2).all(|pair| pair[0].close_minute <= pair[1].open_minute)
            && last.close_minute - MINUTES_A_WEEK <= first.open_minute
    }

    /// Whether every minute of `inner` is one of `outer`; both are weeks.
    pub fn cover(outer: &[Self], inner: &[Self]) -> bool {
        let shifted = |weeks: i64| {
            outer.iter().map(move |session| Self {
                open_minute: session.open_minute + weeks * MINUTES_A_WEEK,
                close_minute: session.close_minute + weeks * MINUTES_A_WEEK,
            })
        };
        let around = Self::joined((-1..=2).flat_map(shifted).collect());
        inner.iter().all(|session| {
            around.iter().any(|outer| {
                outer.open_minute <= session.open_minute && session.close_minute <= outer.close_minute
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn week(minutes: &[(i64, i64)]) -> Vec<WeeklySession> {
        minutes
            .iter()
            .map(|&(open_minute, close_minute)| WeeklySession { open_minute, close_minute })
            .collect()
    }

    #[test]
    fn or09_sessions_that_touch_are_one() {
        for (given, expected) in [
            (&[(60, 120), (0, 60)][..], &[(0, 120)][..]),
            (&[(0, 100), (50, 80)], &[(0, 100)]),
            (&[(0, 60), (61, 120)], &[(0, 60), (61, 120)]),
        ] {
            assert_eq!(WeeklySession::joined(week(given)), week(expected));
        }
    }

    #[test]
    fn or09_what_is_a_week_and_what_is_not() {
        for (sessions, is_week) in [
            (&[][..], true),
            (&[(0, 10_080)], true),
            (&[(1_020, 8_220)], true),
            (&[(9_000, 10_200)], true),
            (&[(0, 60), (60, 120)], true),
            (&[(0, 61), (60, 120)], false),
            (&[(60, 60)], false),
            (&[(-1, 60)], false),
            (&[(10_080, 10_090)], false),
            (&[(5, 10_086)], false),
            (&[(100, 200), (9_000, 10_181)], false), // runs into the next week's first
        ] {
            assert_eq!(WeeklySession::are_a_week(&week(sessions)), is_week, "{sessions:?}");
        }
    }

    #[test]
    fn or09_quote_sessions_cover_trade_sessions_also_over_the_weeks_end() {
        for (outer, inner, covers) in [
            (&[(0, 1_440)][..], &[(570, 960)][..], true),
            (&[(0, 900)], &[(570, 960)], false),
            (&[(0, 600), (600, 960)], &[(570, 960)], true),
            (&[(0, 10_080)], &[(9_000, 10_200)], true),
            (&[(9_000, 10_200)], &[(0, 120)], true),
        ] {
            assert_eq!(WeeklySession::cover(&week(outer), &week(inner)), covers, "{outer:?} {inner:?}");
        }
    }

    #[test]
    fn or09_minutes_are_written_as_weekday_and_time() {
        assert_eq!(WeeklySession::minute_text(17 * 60), "Sun 17:00");
        assert_eq!(WeeklySession::minute_text(MINUTES_A_WEEK + 5), "Sun 00:05");
    }
}
