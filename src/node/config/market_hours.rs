//! Market hours in LEAN's JSON format: an object of entries, such as `Forex-oanda-[*]`, alone or below `entries`.
//!
//! Read of an entry: `exchangeTimeZone`; `sunday` to `saturday`, lists of `{start, end, state}`; `holidays`,
//! `earlyCloses` and `lateOpens`. Its local dates and times are the calendar's special days as they stand.
//! Segments of state `market` are trade sessions; those before and after, `premarket` and `postmarket`, are quote
//! sessions only. `bankHolidays`, on which nothing settles but markets trade, close nothing; `dataTimeZone` is a
//! matter of files of quotes. What else an entry may have is not looked at.

use super::error::nearest;
use crate::domain::calendar::{Calendar, DatePattern, MINUTES_A_DAY, SpecialDays, WeeklySession, Zone};
use serde_json::{Map, Value};

const WEEK: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];
const TIME: &str = "a whole minute of a day such as \"17:00:00\", or \"1.00:00:00\" for its end";
const DATE: &str = "a date such as \"12/25/2024\"";

/// Why a file of market hours gives no calendar.
#[derive(Debug, thiserror::Error)]
pub enum MarketHoursError {
    #[error("{file}: line {line}: not valid JSON: {message}")]
    Json { file: String, line: usize, message: String },
    #[error("{file}: there is no entry `{entry}`{}", hint(nearest))]
    NoEntry { file: String, entry: String, nearest: Option<String> },
    /// `field` as a path: `monday[1].end`.
    #[error("{file}: entry `{entry}`: {field}: {value} is not {expected}")]
    Field { file: String, entry: String, field: String, value: String, expected: &'static str },
}

fn hint(nearest: &Option<String>) -> String {
    nearest.as_ref().map_or_else(String::new, |entry| format!("; did you mean `{entry}`?"))
}

/// A file of market hours.
pub(super) struct MarketHours {
    file: String,
    entries: Map<String, Value>,
}

impl MarketHours {
    /// Reads the text of a file; `file` is its name in errors.
    pub fn parse(file: &str, text: &str) -> Result<Self, MarketHoursError> {
        let mut entries: Map<String, Value> = serde_json::from_str(text).map_err(|error| {
            MarketHoursError::Json { file: file.to_owned(), line: error.line(), message: error.to_string() }
        })?;
        if let Some(Value::Object(inner)) = entries.remove("entries") {
            entries = inner;
        }
        Ok(Self { file: file.to_owned(), entries })
    }

    /// The calendar of an entry.
    pub fn calendar(&self, name: String, entry: &str) -> Result<Calendar, MarketHoursError> {
        let Some(fields) = self.entries.get(entry).and_then(Value::as_object) else {
            let nearest = nearest(entry, self.entries.keys().map(String::as_str));
            return Err(MarketHoursError::NoEntry {
                file: self.file.clone(),
                entry: entry.to_owned(),
                nearest,
            });
        };
        Entry { file: &self.file, name: entry, fields }.calendar(name)
    }
}

struct Entry<'a> {
    file: &'a str,
    name: &'a str,
    fields: &'a Map<String, Value>,
}

impl Entry<'_> {
    fn calendar(&self, name: String) -> Result<Calendar, MarketHoursError> {
        let zone = self.fields.get("exchangeTimeZone").unwrap_or(&Value::Null);
        let zone = zone.as_str().and_then(Zone::load).ok_or_else(|| {
            self.wrong("exchangeTimeZone", zone, "a time zone such as \"America/New_York\"")
        })?;
        let (mut trades, mut quotes) = (Vec::new(), Vec::new());
        for (key, weekday) in WEEK.into_iter().zip(0..) {
            for (index, segment) in self.list(key)?.iter().enumerate() {
                let at = format!("{key}[{index}]");
                let field = |key: &str| segment.get(key).unwrap_or(&Value::Null);
                let opens = self.minute(&format!("{at}.start"), field("start"))?;
                let closes = self.minute(&format!("{at}.end"), field("end"))?;
                if closes <= opens {
                    return Err(self.wrong(&format!("{at}.end"), field("end"), "later than the start"));
                }
                let session = WeeklySession::of_day(weekday, opens, closes);
                match field("state").as_str() {
                    Some("market") => {
                        trades.push(session);
                        quotes.push(session);
                    }
                    Some("premarket" | "postmarket") => quotes.push(session),
                    _ => {
                        let known = "one of premarket, market, postmarket";
                        return Err(self.wrong(&format!("{at}.state"), field("state"), known));
                    }
                }
            }
        }
        // a day's last segment and the next day's first are one session
        let (weekly, quotes) = (WeeklySession::joined(trades), WeeklySession::joined(quotes));
        let quote_weekly = (quotes != weekly).then_some(quotes);
        Ok(Calendar { name, zone, weekly, quote_weekly, special_days: self.special_days()? })
    }

    fn special_days(&self) -> Result<SpecialDays, MarketHoursError> {
        let mut days = SpecialDays::default();
        for (index, date) in self.list("holidays")?.iter().enumerate() {
            let text = date.as_str().unwrap_or_default();
            days.close(self.date(&format!("holidays[{index}]"), date, text)?);
        }
        for (date, minute) in self.times("earlyCloses")? {
            days.close_early(date, minute);
        }
        for (date, minute) in self.times("lateOpens")? {
            days.open_late(date, minute);
        }
        Ok(days)
    }

    /// A list; one that is not there is empty.
    fn list(&self, key: &str) -> Result<&[Value], MarketHoursError> {
        match self.fields.get(key) {
            None => Ok(&[]),
            Some(Value::Array(items)) => Ok(items),
            Some(other) => Err(self.wrong(key, other, "a list")),
        }
    }

    /// Dates with a time each.
    fn times(&self, key: &str) -> Result<Vec<(DatePattern, u16)>, MarketHoursError> {
        let fields = match self.fields.get(key) {
            None => return Ok(Vec::new()),
            Some(Value::Object(fields)) => fields,
            Some(other) => return Err(self.wrong(key, other, "an object of dates and times")),
        };
        let row = |(date, time): (&String, &Value)| {
            let field = format!("{key}.{date}");
            let minute = self.minute(&field, time)?;
            let minute = u16::try_from(minute).map_err(|_| self.wrong(&field, time, TIME))?;
            Ok((self.date(&field, &Value::String(date.clone()), date)?, minute))
        };
        fields.iter().map(row).collect()
    }

    fn date(&self, field: &str, value: &Value, text: &str) -> Result<DatePattern, MarketHoursError> {
        let parts: Vec<&str> = text.split('/').collect();
        let date = match parts[..] {
            [month, day, year] => {
                number(month).zip(number(day)).zip(number(year)).and_then(|((month, day), year)| {
                    DatePattern::on(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?)
                })
            }
            _ => None,
        };
        date.ok_or_else(|| self.wrong(field, value, DATE))
    }

    /// Minutes since midnight of `h:mm:ss` or `d.hh:mm:ss`, up to the day's end.
    fn minute(&self, field: &str, value: &Value) -> Result<i64, MarketHoursError> {
        let minute = value.as_str().and_then(|text| {
            let (days, time) = text.split_once('.').unwrap_or(("0", text));
            let parts: Vec<&str> = time.split(':').collect();
            let [hours, minutes, seconds] = parts[..] else { return None };
            let (days, hours, minutes) = (number(days)?, number(hours)?, number(minutes)?);
            let minute = i64::from(days) * MINUTES_A_DAY + i64::from(hours) * 60 + i64::from(minutes);
            (hours < 24 && minutes < 60 && number(seconds)? == 0).then_some(minute)
        });
        let of_day = minute.filter(|minute| (0..=MINUTES_A_DAY).contains(minute));
        of_day.ok_or_else(|| self.wrong(field, value, TIME))
    }

    fn wrong(&self, field: &str, value: &Value, expected: &'static str) -> MarketHoursError {
        MarketHoursError::Field {
            file: self.file.to_owned(),
            entry: self.name.to_owned(),
            field: field.to_owned(),
            value: value.to_string().chars().take(60).collect(),
            expected,
        }
    }
}

fn number(digits: &str) -> Option<i16> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { digits.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::UnixNanos;

    const STOCKS: &str = r#"{ "entries": { "Equity-usa-[*]": {
        "dataTimeZone": "America/New_York", "exchangeTimeZone": "America/New_York",
        "monday": [
            { "start": "04:00:00", "end": "09:30:00", "state": "premarket" },
            { "start": "09:30:00", "end": "16:00:00", "state": "market" },
            { "start": "16:00:00", "end": "20:00:00", "state": "postmarket" }
        ],
        "tuesday": [{ "start": "18:00:00", "end": "1.00:00:00", "state": "market" }],
        "wednesday": [{ "start": "00:00:00", "end": "17:00:00", "state": "market" }],
        "holidays": ["7/1/2024"], "bankHolidays": ["7/8/2024"],
        "earlyCloses": { "7/15/2024": "13:00:00" }, "lateOpens": { "7/22/2024": "12:30:00" }
    } } }"#;

    fn read(text: &str) -> Result<Calendar, MarketHoursError> {
        MarketHours::parse("hours.json", text)?.calendar("stocks".to_owned(), "Equity-usa-[*]")
    }

    #[test]
    fn or09_an_entry_of_market_hours_is_a_calendar() {
        let stocks = read(STOCKS).expect("an entry");
        let texts = |sessions: &[WeeklySession]| {
            let text =
                |s: &WeeklySession| [s.open_minute, s.close_minute].map(WeeklySession::minute_text).join("-");
            sessions.iter().map(text).collect::<Vec<_>>()
        };
        assert_eq!(texts(&stocks.weekly), ["Mon 09:30-Mon 16:00", "Tue 18:00-Wed 17:00"]);
        assert_eq!(texts(stocks.quote_sessions()), ["Mon 04:00-Mon 20:00", "Tue 18:00-Wed 17:00"]);
        for (now, opens, closes) in [
            ("2024-06-30T00:00:00Z", "2024-07-02T22:00:00Z", "2024-07-03T21:00:00Z"), // the holiday is passed over
            ("2024-07-07T00:00:00Z", "2024-07-08T13:30:00Z", "2024-07-08T20:00:00Z"), // banks rest, markets trade
            ("2024-07-14T00:00:00Z", "2024-07-15T13:30:00Z", "2024-07-15T17:00:00Z"),
            ("2024-07-21T00:00:00Z", "2024-07-22T16:30:00Z", "2024-07-22T20:00:00Z"),
        ] {
            let opening = stocks.state_at(UnixNanos::parse(now).expect("an instant")).until;
            let closing = stocks.state_at(opening).until;
            assert_eq!([opening, closing].map(|at| at.to_string()), [opens, closes], "{now}");
        }
    }

    #[test]
    fn errors_name_file_entry_and_field() {
        for (part, replacement, expected) in [
            (
                "\"end\": \"16:00:00\"",
                "\"end\": \"16:00:30\"",
                format!("monday[1].end: \"16:00:30\" is not {TIME}"),
            ),
            ("\"end\": \"16:00:00\"", "\"ends\": \"x\"", format!("monday[1].end: null is not {TIME}")),
            ("\"1.00:00:00\"", "\"1.01:00:00\"", format!("tuesday[0].end: \"1.01:00:00\" is not {TIME}")),
            (
                "\"1.00:00:00\"",
                "\"18:00:00\"",
                "tuesday[0].end: \"18:00:00\" is not later than the start".to_owned(),
            ),
            (
                "postmarket",
                "closed",
                "monday[2].state: \"closed\" is not one of premarket, market, postmarket".to_owned(),
            ),
            ("\"7/1/2024\"", "\"2024-07-01\"", format!("holidays[0]: \"2024-07-01\" is not {DATE}")),
            ("\"7/1/2024\"", "20240701", format!("holidays[0]: 20240701 is not {DATE}")),
            ("7/15/2024", "2/30/2024", format!("earlyCloses.2/30/2024: \"2/30/2024\" is not {DATE}")),
            ("\"12:30:00\"", "1230", format!("lateOpens.7/22/2024: 1230 is not {TIME}")),
            (
                "\"exchangeTimeZone\": \"America/New_York\"",
                "\"exchangeTimeZone\": \"Mars\"",
                "exchangeTimeZone: \"Mars\" is not a time zone such as \"America/New_York\"".to_owned(),
            ),
        ] {
            let text = STOCKS.replacen(part, replacement, 1);
            assert_ne!(text, STOCKS, "{part}");
            let error = read(&text).expect_err(replacement).to_string();
            assert_eq!(error, format!("hours.json: entry `Equity-usa-[*]`: {expected}"));
        }
        let unknown = read(&STOCKS.replace("Equity-usa", "Equity-uk")).expect_err("no such entry");
        assert_eq!(
            unknown.to_string(),
            "hours.json: there is no entry `Equity-usa-[*]`; did you mean `Equity-uk-[*]`?"
        );
        let broken = read("{\n\"a\": }").expect_err("not JSON").to_string();
        assert!(broken.starts_with("hours.json: line 2: not valid JSON: "), "{broken}");
    }
}
