//! Calendars at work: known weeks by hand, random ones against a naive model.

use super::*;
use crate::domain::time::HOUR_NS;
use jiff::{
    Span, Timestamp,
    civil::{Date, DateTime},
    tz::{AmbiguousOffset, TimeZone},
};
use proptest::prelude::*;

fn at(text: &str) -> UnixNanos {
    UnixNanos::parse(text).expect("an instant")
}

#[track_caller]
fn check(calendar: &Calendar, rows: &[(&str, bool, &str)]) {
    for (now, open, until) in rows {
        let expected = SessionState { open: *open, until: at(until) };
        assert_eq!(calendar.state_at(at(now)), expected, "{now}");
    }
}

/// The day sessions of a stock exchange in New York, with quotes before and after them.
fn stocks() -> Calendar {
    let days = |open: i64, close: i64| {
        (1..6).map(|day| WeeklySession::of_day(day, open * 60, close * 60)).collect::<Vec<_>>()
    };
    let zone = Zone::load("America/New_York").expect("bundled");
    let mut special_days = SpecialDays::default();
    special_days.close("2024-07-04".parse().expect("a date"));
    special_days.close_early("2024-07-03".parse().expect("a date"), 13 * 60);
    let (weekly, quote_weekly) = (days(10, 16), Some(days(4, 20)));
    Calendar { name: "stocks".into(), zone, weekly, quote_weekly, special_days }
}

#[test]
fn or09_forex_week_in_winter_and_summer() {
    check(
        &Calendar::forex(),
        &[
            ("2012-02-01T00:00:00Z", true, "2012-02-03T22:00:00Z"),
            ("2012-02-03T21:59:59.999999999Z", true, "2012-02-03T22:00:00Z"),
            ("2012-02-03T22:00:00Z", false, "2012-02-05T22:00:00Z"),
            ("2012-02-05T22:00:00Z", true, "2012-02-10T22:00:00Z"),
            ("2014-05-02T20:59:11.909Z", true, "2014-05-02T21:00:00Z"),
            // daylight saving begins on Sunday 2012-03-11: the same local close, an hour earlier
            ("2012-03-10T12:00:00Z", false, "2012-03-11T21:00:00Z"),
            ("2012-11-04T12:00:00Z", false, "2012-11-04T22:00:00Z"),
        ],
    );
}

#[test]
fn or09_currencies_rest_over_christmas_and_new_year() {
    check(
        &Calendar::forex(),
        &[
            // Christmas on a Wednesday: the trading day from 17:00 to 17:00 in New York is missing
            ("2024-12-24T12:00:00Z", true, "2024-12-24T22:00:00Z"),
            ("2024-12-24T22:00:00Z", false, "2024-12-25T22:00:00Z"),
            ("2024-12-25T22:00:00Z", true, "2024-12-27T22:00:00Z"),
            ("2024-12-30T12:00:00Z", true, "2024-12-31T22:00:00Z"),
            ("2024-12-31T22:00:00Z", false, "2025-01-01T22:00:00Z"),
            // on a Monday: the week begins a day later
            ("2023-12-22T22:00:00Z", false, "2023-12-25T22:00:00Z"),
            // on a Friday: it ends a day earlier
            ("2020-12-24T22:00:00Z", false, "2020-12-27T22:00:00Z"),
        ],
    );
}

#[test]
fn or09_gold_breaks_for_an_hour_each_day() {
    check(
        &Calendar::gold(),
        &[
            ("2024-01-10T12:00:00Z", true, "2024-01-10T22:00:00Z"),
            ("2024-01-10T22:00:00Z", false, "2024-01-10T23:00:00Z"),
            ("2024-01-10T23:00:00Z", true, "2024-01-11T22:00:00Z"),
            ("2024-01-12T22:00:00Z", false, "2024-01-14T23:00:00Z"),
            // summer: the same local times
            ("2024-07-10T21:30:00Z", false, "2024-07-10T22:00:00Z"),
            // a session over the end of daylight saving, on Sunday, is none: 18:00 comes after the change
            ("2024-11-01T21:00:00Z", false, "2024-11-03T23:00:00Z"),
            ("2024-12-24T22:00:00Z", false, "2024-12-25T23:00:00Z"),
        ],
    );
}

#[test]
fn or09_a_holiday_and_an_early_close_of_stocks() {
    let stocks = stocks();
    assert_eq!(stocks.fault(), None);
    check(
        &stocks,
        &[
            ("2024-07-03T12:00:00Z", false, "2024-07-03T14:00:00Z"),
            ("2024-07-03T14:00:00Z", true, "2024-07-03T17:00:00Z"),
            ("2024-07-03T17:00:00Z", false, "2024-07-05T14:00:00Z"),
            ("2024-07-05T14:00:00Z", true, "2024-07-05T20:00:00Z"),
        ],
    );
    for (now, open, until) in [
        ("2024-07-02T12:00:00Z", true, "2024-07-03T00:00:00Z"),
        ("2024-07-03T12:00:00Z", true, "2024-07-03T17:00:00Z"), // no quotes after an early close either
        ("2024-07-04T12:00:00Z", false, "2024-07-05T08:00:00Z"),
    ] {
        assert_eq!(stocks.quoted_at(at(now)), SessionState { open, until: at(until) }, "{now}");
    }
}

#[test]
fn or09_a_special_day_cuts_what_lies_inside_its_local_date() {
    // nightly sessions, 22:00 to 06:00
    let nights = (0..7).map(|day| WeeklySession::of_day(day, 22 * 60, 30 * 60)).collect();
    let mut special_days = SpecialDays::default();
    special_days.close("2024-05-08".parse().expect("a date"));
    special_days.close_early("2024-05-14".parse().expect("a date"), 60);
    special_days.open_late("2024-05-20".parse().expect("a date"), 23 * 60);
    special_days.close_early("2024-05-25".parse().expect("a date"), 60);
    special_days.open_late("2024-05-25".parse().expect("a date"), 120);
    let nights = Calendar {
        name: "nights".into(),
        zone: Zone::utc(),
        weekly: nights,
        quote_weekly: None,
        special_days,
    };
    assert_eq!(nights.fault(), None);
    check(
        &nights,
        &[
            ("2024-05-07T23:00:00Z", true, "2024-05-08T00:00:00Z"), // the holiday begins at midnight
            ("2024-05-08T00:00:00Z", false, "2024-05-09T00:00:00Z"), // and takes its own evening along
            ("2024-05-09T00:00:00Z", true, "2024-05-09T06:00:00Z"),
            ("2024-05-13T22:00:00Z", true, "2024-05-14T01:00:00Z"),
            ("2024-05-14T01:00:00Z", false, "2024-05-15T00:00:00Z"), // the evening of the date as well
            ("2024-05-20T00:00:00Z", false, "2024-05-20T23:00:00Z"), // what ran over midnight ends there
            ("2024-05-24T22:00:00Z", true, "2024-05-25T01:00:00Z"),  // closed early, and opened again
            ("2024-05-25T01:00:00Z", false, "2024-05-25T02:00:00Z"),
            ("2024-05-25T02:00:00Z", true, "2024-05-25T06:00:00Z"),
        ],
    );
}

#[test]
fn or09_a_state_that_never_changes_lasts_for_ever() {
    let closed = Calendar { weekly: Vec::new(), ..Calendar::forex() };
    assert_eq!(
        closed.state_at(at("2024-01-01T00:00:00Z")),
        SessionState { open: false, until: UnixNanos::MAX }
    );
    let halves = [(0, 5_000), (5_000, 10_080)];
    let halves = halves.map(|(open_minute, close_minute)| WeeklySession { open_minute, close_minute });
    let mut whole = Calendar { weekly: halves.to_vec(), ..Calendar::always() };
    let ever = SessionState { open: true, until: UnixNanos::MAX };
    assert_eq!(whole.state_at(at("2024-01-01T00:00:00Z")), ever);
    whole.special_days.close("02-29".parse().expect("a date"));
    assert_eq!(whole.state_at(at("2024-03-01T00:00:00Z")).until, at("2028-02-29T00:00:00Z"));
}

#[test]
fn or09_what_cannot_be_a_calendar() {
    let fault = |change: fn(&mut Calendar)| {
        let mut calendar = stocks();
        change(&mut calendar);
        calendar.fault()
    };
    assert_eq!(fault(|c| c.weekly.swap(0, 1)), Some(CalendarFault::Week("trade")));
    assert_eq!(fault(|c| c.quote_weekly = Some(Vec::new())), Some(CalendarFault::NotQuoted));
    let twice = fault(|c| c.quote_weekly = Some(vec![WeeklySession::of_day(1, 0, 10); 2]));
    assert_eq!(twice, Some(CalendarFault::Week("quote")));
    assert_eq!(fault(|_| ()), None);
}

#[test]
fn dt03_calendars_of_the_past_read_and_write_as_before() {
    let text = r#"{"name":"FX","zone":{"name":"UTC","offsets":[[946684800,0]]},"weekly":[{"open_minute":1020,"close_minute":8220}]}"#;
    let calendar: Calendar = serde_json::from_str(text).expect("a calendar");
    assert_eq!((calendar.quote_sessions(), calendar.special_days.len()), (&calendar.weekly[..], 0));
    assert_eq!(serde_json::to_string(&calendar).expect("serializes"), text);
}

// ---- against a naive model -----------------------------------------------------------------------

const ZONES: [&str; 7] = [
    "America/New_York",
    "Europe/London",
    "UTC",
    "Australia/Lord_Howe", // half an hour of daylight saving
    "America/Sao_Paulo",   // changed its clocks at midnight
    "Pacific/Apia",        // skipped a date
    "Asia/Kathmandu",
];

/// One local minute after the other, by civil times of the time-zone library.
struct Naive<'c> {
    calendar: &'c Calendar,
    zone: TimeZone,
}

impl Naive<'_> {
    fn is_open(&self, now: UnixNanos) -> bool {
        let minute = self.minute_of(now);
        let date = minute.date();
        let of_week = i64::from(date.weekday().to_sunday_zero_offset()) * 1_440 + of_day(minute);
        let in_week = self.calendar.weekly.iter().any(|session| {
            [of_week, of_week + 10_080]
                .iter()
                .any(|m| (session.open_minute..session.close_minute).contains(m))
        });
        in_week && !self.is_removed(date, of_day(minute))
    }

    fn is_removed(&self, date: Date, minute: i64) -> bool {
        let (dated, yearly) = (date.to_string(), date.to_string()[5..].to_owned());
        let named = |name: &str| {
            self.calendar.special_days.iter().find(|(date, _)| date.to_string() == name).map(|(_, day)| day)
        };
        match named(&dated).or_else(|| named(&yearly)) {
            None => false,
            Some(SpecialDay::Closed) => true,
            Some(SpecialDay::Hours { open_minute, close_minute }) => {
                let early = open_minute.is_some_and(|opens| minute < i64::from(opens));
                let late = close_minute.is_some_and(|closes| minute >= i64::from(closes));
                let pauses = open_minute.zip(close_minute).is_some_and(|(opens, closes)| closes <= opens);
                if pauses { early && late } else { early || late }
            }
        }
    }

    /// The local minute that is on at a whole minute: the last one that has begun.
    fn minute_of(&self, now: UnixNanos) -> DateTime {
        let stamp = Timestamp::from_nanosecond(i128::from(now.0)).expect("in range");
        let mut minute = self.zone.to_datetime(stamp) + Span::new().minutes(61); // clocks go back by an hour at most
        while self.begins(minute) > stamp {
            minute -= Span::new().minutes(1);
        }
        minute
    }

    /// When a local minute begins: with the next valid one if it is skipped, the first time if it is repeated.
    fn begins(&self, mut minute: DateTime) -> Timestamp {
        while matches!(self.zone.to_ambiguous_timestamp(minute).offset(), AmbiguousOffset::Gap { .. }) {
            minute += Span::new().minutes(1);
        }
        self.zone.to_ambiguous_timestamp(minute).earlier().expect("in range")
    }
}

fn of_day(minute: DateTime) -> i64 {
    i64::from(minute.hour()) * 60 + i64::from(minute.minute())
}

/// A calendar, and the days after 2001-01-01 at which to look at it.
fn calendars() -> impl Strategy<Value = (Calendar, i64)> {
    let sessions = prop::collection::vec((0..10_080_i64, 1..4_000_i64), 1..6);
    let zone = prop::sample::select(&ZONES[..]);
    // the first minute, the last, and around the hours of clock changes
    let minute = || prop_oneof![Just(0_u16), Just(1_439), 0..240_u16, 0..1_440_u16];
    let special = prop::collection::vec((-1..4_i64, any::<bool>(), 0..4_u8, minute(), minute()), 0..4);
    (sessions, zone, special, prop_oneof![0..20_000_i64, days_of_change()]).prop_map(
        |(lengths, zone, special, day)| {
            let mut end = i64::MIN;
            let mut weekly: Vec<WeeklySession> = Vec::new();
            let mut lengths = lengths;
            lengths.sort_unstable();
            let first = lengths[0].0;
            for (open, len) in lengths {
                let (open_minute, close_minute) = (open.max(end), (open + len).min(first + 10_080));
                if open_minute < close_minute && open_minute < 10_080 {
                    weekly.push(WeeklySession { open_minute, close_minute });
                    end = close_minute;
                }
            }
            let mut special_days = SpecialDays::default();
            for (after, yearly, kind, opens, closes) in special {
                let date = date_of(day + after).to_string();
                let name = if yearly { &date[5..] } else { &date[..] };
                let date = name.parse().expect("a date");
                match kind {
                    0 => special_days.close(date),
                    1 => special_days.close_early(date, closes),
                    2 => special_days.open_late(date, opens),
                    _ => {
                        special_days.open_late(date, opens);
                        special_days.close_early(date, closes);
                    }
                }
            }
            let zone = Zone::load(zone).expect("bundled");
            let name = "random".to_owned();
            (Calendar { name, zone, weekly, quote_weekly: None, special_days }, day)
        },
    )
}

/// Days of the first years on which one of the zones changes its clock, or the day before.
fn days_of_change() -> impl Strategy<Value = i64> {
    let start = Timestamp::from_second(978_307_200).expect("in range");
    let changes = |name: &&str| {
        let zone = TimeZone::get(name).expect("bundled");
        let days = zone.following(start).take(40).map(|change| change.timestamp().as_second() - 978_307_200);
        days.map(|second| second.div_euclid(86_400) - 1).filter(|day| *day >= 0).collect::<Vec<_>>()
    };
    prop::sample::select(ZONES.iter().flat_map(changes).collect::<Vec<_>>())
}

fn midnight_of(day: i64) -> UnixNanos {
    at("2001-01-01T00:00:00Z").plus(day * DAY_NS)
}

fn date_of(day: i64) -> Date {
    Date::constant(2001, 1, 1).checked_add(Span::new().days(day)).expect("in range")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// For two days: the state is what one minute after the other says, and flips when it said it would.
    #[test]
    fn or09_every_minute_is_what_local_times_say((calendar, day) in calendars()) {
        prop_assert_eq!(calendar.fault(), None);
        let zone = TimeZone::get(&calendar.zone.name).expect("bundled");
        let naive = Naive { calendar: &calendar, zone };
        let start = midnight_of(day);
        let mut told = calendar.state_at(start);
        for minute in 0..2 * MINUTES_A_DAY {
            let now = start.plus(minute * MINUTE_NS);
            let state = calendar.state_at(now);
            prop_assert_eq!(state.open, naive.is_open(now), "{} in {}", now, calendar.zone.name);
            if now < told.until {
                prop_assert_eq!(state, told, "{}", now);
            } else {
                prop_assert!(now == told.until && state.open != told.open, "{}: {:?}, told {:?}", now, state, told);
                told = state;
            }
        }
    }

    /// Over years: each change is a change, and nothing lies between two of them.
    #[test]
    fn or09_the_state_flips_when_it_said_it_would((calendar, day) in calendars()) {
        let mut now = midnight_of(day);
        for _ in 0..200 {
            let state = calendar.state_at(now);
            if state.until == UnixNanos::MAX {
                break;
            }
            prop_assert!(state.until > now);
            let between = now.plus(state.until.since(now) / 2);
            for inside in [between, state.until.plus(-1), state.until.plus(-HOUR_NS).max(now)] {
                prop_assert_eq!(calendar.state_at(inside), state, "{}", inside);
            }
            now = state.until;
            prop_assert_eq!(calendar.state_at(now).open, !state.open, "{}", now);
        }
    }
}
