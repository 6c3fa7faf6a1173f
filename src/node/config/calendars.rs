//! `[[calendars]]`: sessions written out, or an entry of a file of market hours; and the dates that differ.

use super::{Files, error::ConfigError, market_hours::MarketHours, table::Table};
use crate::domain::calendar::{
    Calendar, DatePattern, MINUTES_A_DAY, MINUTES_A_WEEK, SpecialDays, WEEKDAYS, WeeklySession, Zone,
};

/// Calendars of one file at most.
const CALENDARS_MAX: usize = 1_000;
const NAME: &str = "a name of 1 to 64 characters";
const NAME_CHARS: usize = 64;
const ZONE: &str = "a time zone such as \"America/New_York\" or \"UTC-05\"";
const SESSION: &str = "a session such as \"Mon-Fri 09:30-16:00\" or \"Sun 17:00-Fri 17:00\"";
const DATE: &str = "a date such as \"2024-12-25\", or \"12-25\" for every year";
const DATE_AND_TIME: &str =
    "a date and a time such as \"2024-07-03 13:00\", or \"12-24 13:00\" for every year";

/// All calendars of the file, each name once.
pub(super) fn read(top: &Table<'_>, files: Files<'_>) -> Result<Vec<Calendar>, ConfigError> {
    let mut seen: Vec<(String, usize)> = Vec::new();
    let calendars = top.tables("calendars", |table| {
        let calendar = calendar(table, files)?;
        let place = table.place("name");
        if let Some((name, first_line)) = seen.iter().find(|(name, _)| *name == calendar.name) {
            let (id, first_line) = (name.clone(), *first_line);
            return Err(ConfigError::Duplicate { place, what: "calendar", id, first_line });
        }
        if seen.len() == CALENDARS_MAX {
            let expected = format!("one of at most {CALENDARS_MAX} calendars");
            return Err(ConfigError::Value { place, value: format!("`{}`", calendar.name), expected });
        }
        seen.push((calendar.name.clone(), place.line));
        Ok(calendar)
    })?;
    Ok(calendars.unwrap_or_default())
}

fn calendar(table: &Table<'_>, files: Files<'_>) -> Result<Calendar, ConfigError> {
    let named = table.text("name", NAME, |text| {
        (1..=NAME_CHARS).contains(&text.chars().count()).then(|| text.to_owned())
    })?;
    let name = required(table, "name", NAME, named)?;
    let file = table.text("file", "the name of a file", |text| Some(text.to_owned()))?;
    let mut calendar = match file {
        Some(file) => from_file(table, name, &file, files)?,
        None => written_out(table, name)?,
    };
    special_days(table, &mut calendar.special_days)?;
    match calendar.fault() {
        None => Ok(calendar),
        Some(fault) => {
            let (place, name) = (table.place("name"), calendar.name);
            Err(ConfigError::Calendar { place, name, fault })
        }
    }
}

fn from_file(table: &Table<'_>, name: String, file: &str, files: Files<'_>) -> Result<Calendar, ConfigError> {
    const ENTRY: &str = "the name of an entry of the file, such as \"Forex-oanda-[*]\"";
    let entry = table.text("entry", ENTRY, |text| Some(text.to_owned()))?;
    let entry = required(table, "entry", ENTRY, entry)?;
    let text = files(file).map_err(|source| ConfigError::Io { file: file.to_owned(), source })?;
    let hours = MarketHours::parse(file, &text).and_then(|hours| hours.calendar(name, &entry));
    hours.map_err(|source| ConfigError::MarketHours { place: table.place("entry"), source: Box::new(source) })
}

fn written_out(table: &Table<'_>, name: String) -> Result<Calendar, ConfigError> {
    let zone = required(table, "zone", ZONE, table.text("zone", ZONE, Zone::load)?)?;
    let weekly = sessions(table, "sessions")?;
    let quotes = sessions(table, "quote_sessions")?;
    let quote_weekly = (!quotes.is_empty() && quotes != weekly).then_some(quotes);
    Ok(Calendar { name, zone, weekly, quote_weekly, special_days: SpecialDays::default() })
}

fn required<T>(
    table: &Table<'_>,
    key: &str,
    expected: &'static str,
    value: Option<T>,
) -> Result<T, ConfigError> {
    value.ok_or_else(|| ConfigError::Missing { place: table.place(key), expected })
}

fn sessions(table: &Table<'_>, key: &'static str) -> Result<Vec<WeeklySession>, ConfigError> {
    let mut sessions: Vec<WeeklySession> = table.texts(key, SESSION, parse_sessions)?.concat();
    sessions.sort_unstable();
    Ok(sessions)
}

fn special_days(table: &Table<'_>, days: &mut SpecialDays) -> Result<(), ConfigError> {
    for date in table.texts("holidays", DATE, |text| text.parse().ok())? {
        days.close(date);
    }
    for (date, minute) in table.texts("early_closes", DATE_AND_TIME, parse_date_and_time)? {
        days.close_early(date, minute);
    }
    for (date, minute) in table.texts("late_opens", DATE_AND_TIME, parse_date_and_time)? {
        days.open_late(date, minute);
    }
    Ok(())
}

/// `Mon-Fri 09:30-16:00`: one session a day; one that closes at or before the time at which it opens closes
/// the day after. `Sun 17:00-Fri 17:00`: one session from day to day.
fn parse_sessions(text: &str) -> Option<Vec<WeeklySession>> {
    let words: Vec<&str> = text.split_whitespace().collect();
    match words[..] {
        [days, times] => {
            let (first, last) = days.split_once('-').unwrap_or((days, days));
            let (first, last) = (parse_weekday(first)?, parse_weekday(last)?);
            let (opens, closes) = times.split_once('-')?;
            let (opens, closes) = (parse_time(opens)?, parse_time(closes)?);
            let closes = if closes <= opens { closes + MINUTES_A_DAY } else { closes };
            let count = (last - first).rem_euclid(7) + 1;
            let days = (first..first + count).map(|day| day.rem_euclid(7));
            Some(days.map(|day| WeeklySession::of_day(day, opens, closes)).collect())
        }
        [first, middle, closes] => {
            let (opens, last) = middle.split_once('-')?;
            let minute =
                |day: &str, time: &str| Some(parse_weekday(day)? * MINUTES_A_DAY + parse_time(time)?);
            let (open_minute, close_minute) = (minute(first, opens)?, minute(last, closes)?);
            let next_week = if close_minute <= open_minute { MINUTES_A_WEEK } else { 0 };
            Some(vec![WeeklySession { open_minute, close_minute: close_minute + next_week }])
        }
        _ => None,
    }
}

fn parse_weekday(text: &str) -> Option<i64> {
    WEEKDAYS.iter().zip(0..).find_map(|(name, day)| (*name == text).then_some(day))
}

/// Minutes since midnight, up to `24:00`.
fn parse_time(text: &str) -> Option<i64> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |digits: &str| {
        let is_number = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        if is_number { digits.parse::<i64>().ok() } else { None }
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    (minutes < 60).then_some(hours * 60 + minutes).filter(|minute| *minute <= MINUTES_A_DAY)
}

fn parse_date_and_time(text: &str) -> Option<(DatePattern, u16)> {
    let (date, time) = text.split_once(' ')?;
    Some((date.parse().ok()?, u16::try_from(parse_time(time)?).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn or09_sessions_are_written_by_day_or_from_day_to_day() {
        for (text, expected) in [
            ("Sun 17:00-Fri 17:00", Some(&[(1_020, 8_220)][..])),
            ("Fri 22:00-Sun 04:00", Some(&[(8_520, 10_320)])),
            ("Mon 09:30-16:00", Some(&[(2_010, 2_400)])),
            ("Sat-Mon 00:00-24:00", Some(&[(8_640, 10_080), (0, 1_440), (1_440, 2_880)])),
            ("Sun-Mon 18:00-17:00", Some(&[(1_080, 2_460), (2_520, 3_900)])),
            ("Mon 9:30-16:00", None),
            ("Mon 09:60-16:00", None),
            ("Mon 09:30-24:01", None),
            ("Mon", None),
            ("mon 09:30-16:00", None),
            ("Sun 17:00 Fri 17:00", None),
            ("Sun 17:00 - Fri 17:00", None),
            ("", None),
        ] {
            let sessions = parse_sessions(text)
                .map(|sessions| sessions.iter().map(|s| (s.open_minute, s.close_minute)).collect::<Vec<_>>());
            assert_eq!(sessions.as_deref(), expected, "{text}");
        }
    }
}
