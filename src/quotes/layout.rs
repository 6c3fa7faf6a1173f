//! What the rows of a file are, recognised by its first line, and how they are stamped.

use super::{
    Cell, DataError,
    stamp::{StampFault, as_if_utc, parse_stamp},
};
use crate::domain::{
    calendar::Zone,
    time::{DAY_NS, MILLI_NS, UnixNanos},
};
use jiff::civil::{Date, DateTime};
use std::sync::Arc;

/// Columns of LEAN's ticks: milliseconds since midnight, bid, ask.
const LEAN_TICK_FIELDS: usize = 3;
/// Columns of LEAN's bars: time; open, high, low, close and size of the bids, the same of the asks.
pub(super) const LEAN_BAR_FIELDS: usize = 11;
/// LEAN's stamps of bars that are longer than a minute.
const LEAN_TIME: &str = "%Y%m%d %H:%M";
/// A day as LEAN writes it into a file's name.
const DAY_DIGITS: usize = "20140502".len();

/// What a file's rows are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// Bars of one side under a header that names the columns.
    NamedBars,
    /// LEAN's bars of bids and asks.
    LeanBars(LeanStamps),
    /// LEAN's ticks.
    LeanTicks(LeanStamps),
}

/// How LEAN stamps rows, always in the data time zone of the market.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LeanStamps {
    /// `20140502 17:00`.
    Minutes,
    /// Milliseconds since this midnight, which is a local time.
    Millis(UnixNanos),
}

impl Layout {
    /// Recognises a layout by the first line. `titles` are the names that may hold the day: that of an
    /// archive's member, that of the file.
    pub fn recognise(file: &Arc<str>, first_line: &[u8], titles: &[&str]) -> Result<Self, DataError> {
        let line = String::from_utf8_lossy(first_line);
        let fields: Vec<&str> = line.trim().split(',').map(str::trim).collect();
        if !fields[0].starts_with(|first: char| first.is_ascii_digit()) {
            return Ok(Self::NamedBars);
        }
        let unknown = || {
            let value = Cell::new(file, 1, "", line.trim().as_bytes()).value;
            DataError::UnknownLayout { file: file.clone(), value }
        };
        let stamps = if fields[0].bytes().all(|byte| byte.is_ascii_digit()) {
            let midnight = titles.iter().find_map(|title| midnight_in(title));
            midnight.map(LeanStamps::Millis).ok_or_else(|| DataError::NoDay { file: file.clone() })
        } else if DateTime::strptime(LEAN_TIME, fields[0]).is_ok() {
            Ok(LeanStamps::Minutes)
        } else {
            return Err(unknown());
        };
        match (fields.len(), stamps) {
            (LEAN_BAR_FIELDS, stamps) => stamps.map(Self::LeanBars),
            (LEAN_TICK_FIELDS, stamps) => stamps.map(Self::LeanTicks),
            _ => Err(unknown()),
        }
    }
}

/// The first eight digits of a name that are a date.
fn midnight_in(title: &str) -> Option<UnixNanos> {
    let runs = title.split(|c: char| !c.is_ascii_digit()).filter(|digits| digits.len() == DAY_DIGITS);
    let day = runs.filter_map(|digits| Date::strptime("%Y%m%d", digits).ok()).next()?;
    as_if_utc(day.to_datetime(jiff::civil::Time::midnight()))
}

/// Reads a file's stamps.
#[derive(Debug, Clone)]
pub(super) struct Clock {
    layout: Layout,
    zone: Option<Zone>,
}

impl Clock {
    /// `zone` is that of local times.
    pub const fn new(layout: Layout, zone: Option<Zone>) -> Self {
        Self { layout, zone }
    }

    /// The instant that a field names; `cell` is that field, for an error.
    pub fn read(&self, field: &[u8], cell: impl FnOnce() -> Cell) -> Result<UnixNanos, DataError> {
        let text = std::str::from_utf8(field).unwrap_or_default();
        match self.layout {
            Layout::NamedBars => parse_stamp(text, self.zone.as_ref()).map_err(|fault| match fault {
                StampFault::NotATime => DataError::NotATime(cell()),
                StampFault::NoZone => DataError::NoZone(cell()),
            }),
            Layout::LeanBars(stamps) | Layout::LeanTicks(stamps) => {
                let Some(local) = stamps.read(text) else {
                    let expected = stamps.expected();
                    return Err(DataError::NotALeanTime { cell: cell(), expected });
                };
                let zone = self.zone.as_ref().ok_or_else(|| DataError::NoLeanZone(cell()))?;
                Ok(zone.instant(local))
            }
        }
    }
}

impl LeanStamps {
    /// A local time, as if it were UTC.
    fn read(self, text: &str) -> Option<UnixNanos> {
        match self {
            Self::Minutes => DateTime::strptime(LEAN_TIME, text).ok().and_then(as_if_utc),
            Self::Millis(midnight) => {
                let digits = text.bytes().all(|byte| byte.is_ascii_digit());
                let after_ns = text.parse::<i64>().ok().filter(|_| digits)?.checked_mul(MILLI_NS)?;
                (after_ns < DAY_NS).then(|| midnight.plus(after_ns))
            }
        }
    }

    const fn expected(self) -> &'static str {
        match self {
            Self::Minutes => "a time such as `20140502 17:00`",
            Self::Millis(_) => "milliseconds since midnight, 0 to 86399999",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(first_line: &str, titles: &[&str], expected: Result<Layout, &str>) {
        let found = Layout::recognise(&"a.zip".into(), first_line.as_bytes(), titles);
        assert_eq!(found.map_err(|e| e.to_string()), expected.map_err(str::to_owned), "{first_line}");
    }

    #[test]
    fn a_layout_is_recognised_by_the_first_line() {
        let midnight = UnixNanos::parse("2014-05-02T00:00:00Z").expect("an instant");
        let millis = LeanStamps::Millis(midnight);
        let hour = "20070330 00:00,1,1,1,1,0,1,1,1,1,0";
        let minute = "60000,1,1,1,1,0,1,1,1,1,0\r\n";
        let member = "20140502_eurusd_tick_quote.csv";
        for named in ["timestamp,open,high,low,close", "\"Open\",Timestamp", "", "garbage", "-1,2,3"] {
            check(named, &[], Ok(Layout::NamedBars));
        }
        check("611,1.38626,1.38627", &[member, "a.zip"], Ok(Layout::LeanTicks(millis)));
        check("611,1,1", &["quote.csv", "EURUSD_ticks_20140502_lean.zip"], Ok(Layout::LeanTicks(millis)));
        check(hour, &["eurusd.csv"], Ok(Layout::LeanBars(LeanStamps::Minutes)));
        check(minute, &[member], Ok(Layout::LeanBars(millis)));

        let no_day = "a.zip: rows are stamped in milliseconds since midnight, and no name says of which day: \
                      name the archive's member or the file such as 20140502_eurusd_tick_quote.csv";
        check("611,1,1", &["eurusd.csv", "2014-05-02.zip", "20141302.csv"], Err(no_day));
        for unknown in
            ["2012-02-01,1,1,1,1", "611,1", "20070330 00:00,1,1,1,1,0", "611,1,1,1,1,0", "1328054400,1,1,1,1"]
        {
            let expected = format!(
                "a.zip: the first line `{unknown}` is no header that names timestamp, open, high, low and close, \
                 and no row of LEAN's quotes (ticks: milliseconds, bid, ask; bars: time, then open, high, low, \
                 close, size of the bids and of the asks)"
            );
            check(unknown, &[member], Err(&expected));
        }
    }

    #[test]
    fn or09_lean_stamps_are_local_times_of_the_stated_zone() {
        let midnight = UnixNanos::parse("2014-05-02T00:00:00Z").expect("an instant");
        let read = |stamps, text: &str, zone: Option<&str>| {
            let zone = zone.map(|name| Zone::load(name).expect("a zone"));
            let clock = Clock::new(Layout::LeanTicks(stamps), zone);
            let cell = || Cell::new(&"a.zip".into(), 1, "time", text.as_bytes());
            clock.read(text.as_bytes(), cell).map(|at| at.to_string()).map_err(|e| e.to_string())
        };
        let (millis, minutes) = (LeanStamps::Millis(midnight), LeanStamps::Minutes);
        for (stamps, text, zone, expected) in [
            (millis, "57551909", "UTC-05", "2014-05-02T20:59:11.909Z"),
            (millis, "57551909", "Etc/GMT+5", "2014-05-02T20:59:11.909Z"),
            (millis, "57551909", "America/New_York", "2014-05-02T19:59:11.909Z"),
            (millis, "0", "UTC", "2014-05-02T00:00:00Z"),
            (minutes, "20070330 00:00", "UTC-05", "2007-03-30T05:00:00Z"),
            (minutes, "20180704 23:00", "UTC-05", "2018-07-05T04:00:00Z"),
        ] {
            assert_eq!(read(stamps, text, Some(zone)), Ok(expected.to_owned()));
        }
        for (stamps, text) in [(millis, "86400000"), (millis, "+1"), (millis, ""), (millis, "1.5")] {
            let expected = format!(
                "a.zip: line 1, column `time`: `{text}` is not a time: expected milliseconds since midnight, \
                 0 to 86399999"
            );
            assert_eq!(read(stamps, text, Some("UTC")), Err(expected));
        }
        for text in ["20140532 00:00", "20140502", "2014-05-02 00:00"] {
            let expected = format!(
                "a.zip: line 1, column `time`: `{text}` is not a time: expected a time such as `20140502 17:00`"
            );
            assert_eq!(read(minutes, text, Some("UTC")), Err(expected));
        }
        let expected = "a.zip: line 1, column `time`: `1` has no time zone: LEAN's files are in the data time zone \
                        of their market, FXCM's in UTC-05: state it with --tz UTC-05, in a feed with ,tz=UTC-05";
        assert_eq!(read(millis, "1", None), Err(expected.to_owned()));
    }
}
