//! Time stamps as files write them.

use crate::domain::{calendar::Zone, time::UnixNanos};
use jiff::{civil::DateTime, tz::TimeZone};

/// Characters of a date; a sign behind them belongs to an offset.
const DATE_CHARS: usize = "2012-02-01".len();

/// Why a text is not an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StampFault {
    NotATime,
    /// A local time, and nobody said where.
    NoZone,
}

/// Reads `2012-02-01 00:00:00+00:00`, with space or `T`, seconds and offset optional. An offset is
/// used as it is; a local time is one of `zone`: in a gap the next valid instant, in a fold the first
/// (OR09).
pub(super) fn parse_stamp(text: &str, zone: Option<&Zone>) -> Result<UnixNanos, StampFault> {
    let time = text.get(DATE_CHARS..).unwrap_or_default();
    if time.contains(['Z', 'z', '+', '-']) {
        return UnixNanos::parse(text).ok_or(StampFault::NotATime);
    }
    let local: DateTime = text.parse().map_err(|_| StampFault::NotATime)?;
    let as_utc = as_if_utc(local).ok_or(StampFault::NotATime)?;
    zone.map(|zone| zone.instant(as_utc)).ok_or(StampFault::NoZone)
}

/// A local time as if it were UTC; `None` out of the range of time.
pub(super) fn as_if_utc(local: DateTime) -> Option<UnixNanos> {
    let as_utc = local.to_zoned(TimeZone::UTC).ok()?.timestamp();
    i64::try_from(as_utc.as_nanosecond()).ok().map(UnixNanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, zone: Option<&str>, expected: Result<&str, StampFault>) {
        let zone = zone.map(|name| Zone::load(name).expect("a zone"));
        let expected = expected.map(|at| UnixNanos::parse(at).expect("an instant"));
        assert_eq!(parse_stamp(text, zone.as_ref()), expected, "{text}");
    }

    #[test]
    fn or09_stamps_with_an_offset_are_used_as_they_are() {
        let noon = Ok("2012-02-01T12:00:00Z");
        check("2012-02-01 12:00:00+00:00", None, noon);
        check("2012-02-01T12:00:00Z", None, noon);
        check("2012-02-01 07:00:00.000000-05:00", Some("Asia/Tokyo"), noon);
    }

    #[test]
    fn or09_stamps_without_an_offset_need_a_zone() {
        check("2012-02-01 12:00:00", None, Err(StampFault::NoZone));
        check("2012-02-01 12:00:00", Some("UTC"), Ok("2012-02-01T12:00:00Z"));
        check("2012-02-01 12:00", Some("America/New_York"), Ok("2012-02-01T17:00:00Z"));
        check("2012-02-01", Some("UTC"), Ok("2012-02-01T00:00:00Z"));
        check("2012-03-11 02:30:00", Some("America/New_York"), Ok("2012-03-11T07:00:00Z"));
        check("2012-11-04 01:30:00", Some("America/New_York"), Ok("2012-11-04T05:30:00Z"));
    }

    #[test]
    fn what_is_not_a_time_is_refused() {
        for text in
            ["", "noon", "2012-02-30 00:00:00", "2012-02-01 25:00:00+00:00", "1328054400", "é012-02-01"]
        {
            check(text, Some("UTC"), Err(StampFault::NotATime));
        }
    }
}
