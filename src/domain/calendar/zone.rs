//! Time zones as plain data, so that a calendar can be journaled and is the same on every machine and in
//! every year to come.

use crate::domain::time::{DAY_NS, MINUTE_NS, SECOND_NS, UnixNanos};
use jiff::{Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};

/// Offsets are tabulated for these years (UTC); outside, the nearest offset goes on.
const FIRST_YEAR_SECS: i64 = 946_684_800; // 2000-01-01
const LAST_YEAR_SECS: i64 = 2_840_140_800; // 2060-01-01

/// A time zone as data: from each instant on, local time is UTC plus the offset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Zone {
    /// IANA name.
    pub name: String,
    /// (seconds since the epoch, offset in seconds), ascending; the first holds for all time before.
    pub offsets: Vec<(i64, i32)>,
}

impl Zone {
    /// Coordinated universal time.
    pub fn utc() -> Self {
        Self { name: "UTC".into(), offsets: vec![(FIRST_YEAR_SECS, 0)] }
    }

    /// Reads a zone from the bundled time-zone data, or one that keeps its distance from UTC, such as
    /// `UTC-05` or `UTC+05:30`. `None` if there is no such zone.
    pub fn load(name: &str) -> Option<Self> {
        if let Some(offset) = fixed_offset(name) {
            return Some(Self { name: name.to_owned(), offsets: vec![(FIRST_YEAR_SECS, offset)] });
        }
        let zone = TimeZone::get(name).ok()?;
        let first = Timestamp::from_second(FIRST_YEAR_SECS).ok()?;
        let mut offsets = vec![(FIRST_YEAR_SECS, zone.to_offset(first).seconds())];
        for change in zone.following(first) {
            let at = change.timestamp().as_second();
            if at >= LAST_YEAR_SECS {
                break;
            }
            offsets.push((at, change.offset().seconds()));
        }
        Some(Self { name: zone.iana_name().unwrap_or(name).to_owned(), offsets })
    }

    /// Seconds to add to UTC at this instant.
    pub fn offset_at(&self, at: UnixNanos) -> i64 {
        let secs = at.0.div_euclid(SECOND_NS);
        let next = self.offsets.partition_point(|(from, _)| *from <= secs);
        self.offsets.get(next.saturating_sub(1)).map_or(0, |(_, offset)| i64::from(*offset))
    }

    /// Local wall-clock time as if it were UTC.
    pub fn local(&self, at: UnixNanos) -> UnixNanos {
        at.plus(self.offset_at(at) * SECOND_NS)
    }

    /// The instant of a local time. In a gap: the next valid instant; in a fold: the first (OR09).
    pub fn instant(&self, local: UnixNanos) -> UnixNanos {
        let from =
            self.offsets.partition_point(|(at, _)| UnixNanos::from_secs(*at) <= local.plus(-2 * DAY_NS));
        let first = from.saturating_sub(1);
        for (index, (_, offset)) in self.offsets.iter().enumerate().skip(first) {
            let at = local.plus(-i64::from(*offset) * SECOND_NS);
            let starts =
                if index == 0 { UnixNanos(i64::MIN) } else { UnixNanos::from_secs(self.offsets[index].0) };
            let ends =
                self.offsets.get(index + 1).map_or(UnixNanos::MAX, |(end, _)| UnixNanos::from_secs(*end));
            if at < starts {
                return starts; // the local time was skipped
            }
            if at < ends {
                return at;
            }
        }
        local
    }

    /// The first instant after `after` at which the local clock shows `minute` of a day; at the end of
    /// the range of time, that end.
    pub fn next_time_of_day(&self, after: UnixNanos, minute: i64) -> UnixNanos {
        let mut day = self.local(after).floor(DAY_NS);
        loop {
            let at = self.instant(day.plus(minute * MINUTE_NS));
            if at > after || day == UnixNanos::MAX {
                return at;
            }
            day = day.plus(DAY_NS);
        }
    }
}

/// Seconds east of UTC that `UTC-05` or `UTC+05:30` states, less than a day.
fn fixed_offset(name: &str) -> Option<i32> {
    let rest = name.strip_prefix("UTC")?;
    let (sign, rest) = rest
        .strip_prefix('-')
        .map(|rest| (-1, rest))
        .or_else(|| rest.strip_prefix('+').map(|rest| (1, rest)))?;
    let (hours, minutes) = rest.split_once(':').unwrap_or((rest, "00"));
    let number = |digits: &str, end: i32| {
        let is_number = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse::<i32>().ok().filter(|number| is_number && *number < end)
    };
    Some(sign * (number(hours, 24)? * 3_600 + number(minutes, 60)? * 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> UnixNanos {
        UnixNanos::parse(text).expect("an instant")
    }

    #[test]
    fn or09_local_times_in_a_gap_and_in_a_fold() {
        let zone = Zone::load("America/New_York").expect("bundled");
        assert_eq!(zone.instant(at("2012-03-11T02:30:00Z")), at("2012-03-11T07:00:00Z"), "gap: next valid");
        assert_eq!(zone.instant(at("2012-11-04T01:30:00Z")), at("2012-11-04T05:30:00Z"), "fold: the first");
    }

    #[test]
    fn or09_zones_at_a_fixed_distance_from_utc() {
        for (name, noon) in [
            ("UTC-05", Some("2014-05-02T17:00:00Z")),
            ("UTC+05:30", Some("2014-05-02T06:30:00Z")),
            ("UTC+00", Some("2014-05-02T12:00:00Z")),
            ("Etc/GMT+5", Some("2014-05-02T17:00:00Z")),
            ("UTC-5", None),
            ("UTC-24", None),
            ("UTC-05:60", None),
            ("UTC--5", None),
            ("UTC-05:", None),
            ("UTC-é", None),
        ] {
            let instant = Zone::load(name).map(|zone| zone.instant(at("2014-05-02T12:00:00Z")));
            assert_eq!(instant, noon.map(at), "{name}");
        }
    }

    #[test]
    fn rk04_day_roll_follows_the_local_clock() {
        let zone = Zone::load("America/New_York").expect("bundled");
        let mut roll = at("2012-03-09T12:00:00Z");
        for expected in ["2012-03-09T22:00:00Z", "2012-03-10T22:00:00Z", "2012-03-11T21:00:00Z"] {
            roll = zone.next_time_of_day(roll, 17 * 60);
            assert_eq!(roll, at(expected));
        }
    }
}
