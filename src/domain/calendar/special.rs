//! The days that differ from the week: closed, closed early, opened late.

use super::weekly::MINUTES_A_DAY;
use crate::domain::time::{MINUTE_NS, SECOND_NS, UnixNanos};
use jiff::{Timestamp, civil::Date, tz::Offset};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::{collections::BTreeMap, fmt, str::FromStr};

/// A leap year, so that every day of any year is one of its days.
const LEAP_YEAR: i16 = 2_000;

/// A local date: of one year, `2024-12-25`, or of every year, `12-25`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DatePattern {
    /// `None`: every year.
    year: Option<i16>,
    month: i8,
    day: i8,
}

impl DatePattern {
    /// A day of every year. `None` if no year has it.
    pub fn yearly(month: i8, day: i8) -> Option<Self> {
        Date::new(LEAP_YEAR, month, day).ok().map(|_| Self { year: None, month, day })
    }

    /// A day of one year. `None` if the year does not have it.
    pub fn on(year: i16, month: i8, day: i8) -> Option<Self> {
        Date::new(year, month, day).ok().map(|_| Self { year: Some(year), month, day })
    }
}

impl fmt::Display for DatePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(year) = self.year {
            write!(f, "{year:04}-")?;
        }
        write!(f, "{:02}-{:02}", self.month, self.day)
    }
}

impl FromStr for DatePattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |digits: &str, len: usize| {
            let is_number = digits.len() == len && digits.bytes().all(|byte| byte.is_ascii_digit());
            if is_number { digits.parse::<i16>().ok() } else { None }
        };
        let two = |digits: &str| number(digits, 2).and_then(|n| i8::try_from(n).ok());
        let parts: Vec<&str> = text.split('-').collect();
        let pattern = match parts[..] {
            [month, day] => two(month).zip(two(day)).and_then(|(month, day)| Self::yearly(month, day)),
            [year, month, day] => number(year, 4)
                .zip(two(month))
                .zip(two(day))
                .and_then(|((year, month), day)| Self::on(year, month, day)),
            _ => None,
        };
        pattern.ok_or_else(|| format!("`{text}` is not a date such as 2024-12-25 or 12-25"))
    }
}

impl Serialize for DatePattern {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DatePattern {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(D::Error::custom)
    }
}

/// What is left of a local date's sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpecialDay {
    /// Nothing, from midnight to midnight.
    Closed,
    /// What lies before `close_minute` and from `open_minute` on, minutes of that day. With both: if the
    /// opening comes first, what lies between them; else what lies outside of them, a pause.
    Hours {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        open_minute: Option<u16>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        close_minute: Option<u16>,
    },
}

impl SpecialDay {
    /// The minutes of the day that are closed, ascending; a span may be empty.
    fn closed_minutes(self) -> [(i64, i64); 2] {
        const NONE: (i64, i64) = (MINUTES_A_DAY, MINUTES_A_DAY);
        let Self::Hours { open_minute, close_minute } = self else {
            return [(0, MINUTES_A_DAY), NONE];
        };
        match (open_minute.map(i64::from), close_minute.map(i64::from)) {
            (None, None) => [NONE, NONE],
            (Some(opens), None) => [(0, opens), NONE],
            (None, Some(closes)) => [(closes, MINUTES_A_DAY), NONE],
            (Some(opens), Some(closes)) if closes <= opens => [(closes, opens), NONE],
            (Some(opens), Some(closes)) => [(0, opens), (closes, MINUTES_A_DAY)],
        }
    }
}

/// The special days of a calendar. A date of one year goes before the same date of every year.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SpecialDays(BTreeMap<DatePattern, SpecialDay>);

impl SpecialDays {
    /// Closes the whole date, whatever else is said of it.
    pub fn close(&mut self, date: DatePattern) {
        self.0.insert(date, SpecialDay::Closed);
    }

    /// Closes the rest of the date from this minute on.
    pub fn close_early(&mut self, date: DatePattern, minute: u16) {
        if let SpecialDay::Hours { close_minute, .. } = self.hours(date) {
            *close_minute = Some(minute);
        }
    }

    /// Closes the date until this minute.
    pub fn open_late(&mut self, date: DatePattern, minute: u16) {
        if let SpecialDay::Hours { open_minute, .. } = self.hours(date) {
            *open_minute = Some(minute);
        }
    }

    fn hours(&mut self, date: DatePattern) -> &mut SpecialDay {
        self.0.entry(date).or_insert(SpecialDay::Hours { open_minute: None, close_minute: None })
    }

    /// Whether every day is as the week says.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// All of them: first those of every year, then by date.
    pub fn iter(&self) -> impl Iterator<Item = (DatePattern, SpecialDay)> {
        self.0.iter().map(|(date, day)| (*date, *day))
    }

    /// What the day that begins at this local midnight closes, as local times; ascending.
    pub(super) fn closed_on(&self, midnight: UnixNanos) -> impl Iterator<Item = (UnixNanos, UnixNanos)> {
        let minutes = self.of(midnight).map_or([(0, 0); 2], SpecialDay::closed_minutes);
        let at = move |minute: i64| midnight.plus(minute * MINUTE_NS);
        minutes.into_iter().filter(|(from, to)| from < to).map(move |(from, to)| (at(from), at(to)))
    }

    fn of(&self, midnight: UnixNanos) -> Option<SpecialDay> {
        // local times are kept as if they were UTC
        let date = Offset::UTC.to_datetime(Timestamp::from_second(midnight.0.div_euclid(SECOND_NS)).ok()?);
        let (month, day) = (date.month(), date.day());
        let of_year = |year: Option<i16>| self.0.get(&DatePattern { year, month, day }).copied();
        of_year(Some(date.year())).or_else(|| of_year(None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn or09_dates_are_of_one_year_or_of_every_year() {
        for (text, is_date) in [
            ("2024-12-25", true),
            ("12-25", true),
            ("02-29", true),
            ("2024-02-29", true),
            ("2023-02-29", false),
            ("13-01", false),
            ("24-12-25", false),
            ("2024-1-05", false),
            ("2024-+1-05", false),
            ("25.12.2024", false),
            ("", false),
        ] {
            let date = text.parse::<DatePattern>();
            assert_eq!(date.is_ok(), is_date, "{text}");
            if let Ok(date) = date {
                assert_eq!(date.to_string(), text);
            }
        }
    }

    #[test]
    fn or09_what_a_special_day_closes() {
        let hours =
            |open_minute, close_minute| SpecialDay::Hours { open_minute, close_minute }.closed_minutes();
        let none = (1_440, 1_440);
        assert_eq!(SpecialDay::Closed.closed_minutes(), [(0, 1_440), none]);
        assert_eq!(hours(None, Some(780)), [(780, 1_440), none], "an early close ends the date");
        assert_eq!(hours(Some(120), None), [(0, 120), none], "a late open begins it");
        assert_eq!(hours(Some(600), Some(780)), [(0, 600), (780, 1_440)]);
        assert_eq!(hours(Some(1_020), Some(780)), [(780, 1_020), none], "closed early, opened again");
    }

    #[test]
    fn or09_a_dated_day_goes_before_a_yearly_one_and_a_holiday_before_hours() {
        let date = |text: &str| text.parse::<DatePattern>().expect("a date");
        let mut days = SpecialDays::default();
        days.close(date("12-25"));
        days.open_late(date("2024-12-25"), 60);
        days.close_early(date("12-25"), 60);
        let closed = |text: &str| {
            let midnight = UnixNanos::parse(&format!("{text}T00:00:00Z")).expect("an instant");
            days.closed_on(midnight).map(|(from, to)| to.since(from) / MINUTE_NS).collect::<Vec<_>>()
        };
        assert_eq!(closed("2023-12-25"), [1_440]);
        assert_eq!(closed("2024-12-25"), [60]);
        assert_eq!(closed("2024-12-26"), [0; 0]);
    }

    #[test]
    fn dt03_special_days_round_trip_as_text() {
        let mut days = SpecialDays::default();
        days.close("12-25".parse().expect("a date"));
        days.close_early("2024-12-24".parse().expect("a date"), 780);
        let text = serde_json::to_string(&days).expect("serializes");
        assert_eq!(text, r#"{"12-25":"closed","2024-12-24":{"hours":{"close_minute":780}}}"#);
        assert_eq!(serde_json::from_str::<SpecialDays>(&text).expect("its own text"), days);
    }
}
