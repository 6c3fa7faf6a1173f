//! The calendars that exist without configuration.

use super::{Calendar, DatePattern, MINUTES_A_DAY, MINUTES_A_WEEK, SpecialDays, WeeklySession, Zone};

/// 17:00 in New York, where the trading day of currencies ends and the next begins.
const ROLL: i64 = 17 * 60;

impl Calendar {
    /// Open day and night, all week: coins.
    pub fn always() -> Self {
        let week = WeeklySession { open_minute: 0, close_minute: MINUTES_A_WEEK };
        Self::weekly("24/7", Zone::utc(), vec![week])
    }

    /// Currencies: Sunday 17:00 to Friday 17:00 New York time, without the trading days of Christmas and
    /// New Year.
    ///
    /// The hours are those of LEAN's market hours for forex at FXCM; the holidays those for OANDA, from 17:00
    /// on the eve to 17:00 on the day, as they stand there for the winters of 2018, 2019 and 2023 to 2025.
    pub fn forex() -> Self {
        let week = WeeklySession { open_minute: ROLL, close_minute: 5 * MINUTES_A_DAY + ROLL };
        Self { special_days: christmas_and_new_year(), ..Self::weekly("FX", new_york(), vec![week]) }
    }

    /// Gold: as currencies, with a break from 17:00 to 18:00 New York time each day.
    ///
    /// These are the hours of COMEX gold futures at CME Globex, whose pause spot venues keep too: LEAN's market
    /// hours for XAUUSD at OANDA have it from 16:58 to 18:03. Good Friday, which has no fixed date, is for
    /// configuration to name.
    pub fn gold() -> Self {
        let day = |weekday| WeeklySession::of_day(weekday, ROLL + 60, MINUTES_A_DAY + ROLL);
        let weekly = Self::weekly("GOLD", new_york(), (0..5).map(day).collect());
        Self { special_days: christmas_and_new_year(), ..weekly }
    }

    fn weekly(name: &str, zone: Zone, weekly: Vec<WeeklySession>) -> Self {
        let special_days = SpecialDays::default();
        Self { name: name.to_owned(), zone, weekly, quote_weekly: None, special_days }
    }
}

fn new_york() -> Zone {
    Zone::load("America/New_York").expect("the bundled time-zone data has New York")
}

fn christmas_and_new_year() -> SpecialDays {
    let mut days = SpecialDays::default();
    let roll = u16::try_from(ROLL).expect("a minute of the day");
    for (eve, day) in [((12, 24), (12, 25)), ((12, 31), (1, 1))] {
        let date = |(month, day)| DatePattern::yearly(month, day).expect("a day of every year");
        days.close_early(date(eve), roll);
        days.open_late(date(day), roll);
    }
    days
}
