//! `lockstep calendar`: when instruments trade, as calendars and their special days say.

use super::{USAGE, fail, read_config};
use crate::domain::{
    calendar::{Calendar, SpecialDay, WeeklySession},
    instrument::Instrument,
    time::{DAY_NS, UnixNanos},
};
use std::{
    fmt::Write as _,
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

/// Sessions that are listed at most.
const SESSIONS_MAX: usize = 1_000;

/// Print when instruments trade
#[derive(Debug, clap::Args)]
pub(super) struct CalendarCommand {
    /// Take calendars from this lockstep.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Only this instrument
    #[arg(long)]
    symbol: Option<String>,
    /// Also list the trade sessions, in UTC, from this local date on, such as 2024-12-23
    #[arg(long, value_name = "DATE", value_parser = parse_date)]
    from: Option<UnixNanos>,
    /// The last local date that is listed; without it a week is
    #[arg(long, value_name = "DATE", value_parser = parse_date, requires = "from")]
    to: Option<UnixNanos>,
}

pub(super) fn run(command: &CalendarCommand) -> ExitCode {
    let config = match read_config(command.config.as_deref()) {
        Ok(file) => file.to_config(Vec::new(), false),
        Err(error) => return fail(error, USAGE),
    };
    let asked = |i: &&Instrument| command.symbol.as_deref().is_none_or(|symbol| symbol == i.symbol.as_str());
    let instruments: Vec<&Instrument> = config.instruments.iter().filter(asked).collect();
    if instruments.is_empty() {
        let known: Vec<&str> = config.instruments.iter().map(|i| i.symbol.as_str()).collect();
        let symbol = command.symbol.as_deref().unwrap_or_default();
        return fail(format!("unknown symbol `{symbol}`: known are {}", known.join(", ")), USAGE);
    }
    let mut text = String::new();
    for (index, calendar) in (0_u16..).zip(&config.calendars) {
        let symbols: Vec<&str> =
            instruments.iter().filter(|i| i.calendar == index).map(|i| i.symbol.as_str()).collect();
        if !symbols.is_empty() {
            let _ =
                writeln!(text, "{}: calendar {}, {}", symbols.join(", "), calendar.name, calendar.zone.name);
            describe(calendar, &mut text);
            if let Some(from) = command.from {
                list(calendar, from, command.to.unwrap_or(from.plus(6 * DAY_NS)), &mut text);
            }
        }
    }
    // a reader that went away is no failure
    let _ = io::stdout().lock().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

/// The usual week and the special days.
fn describe(calendar: &Calendar, text: &mut String) {
    let mut sessions = |what: &str, sessions: &[WeeklySession]| {
        for session in sessions {
            let [opens, closes] = [session.open_minute, session.close_minute].map(WeeklySession::minute_text);
            let _ = writeln!(text, "  {what:<7} {opens} - {closes}");
        }
    };
    sessions("trades", &calendar.weekly);
    if let Some(quotes) = &calendar.quote_weekly {
        sessions("quotes", quotes);
    }
    for (date, day) in calendar.special_days.iter() {
        let time = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
        let what = match day {
            SpecialDay::Closed => "closed".to_owned(),
            SpecialDay::Hours { open_minute, close_minute } => {
                let opens = open_minute.map(|minute| format!("opens {}", time(minute)));
                let closes = close_minute.map(|minute| format!("closes {}", time(minute)));
                opens.into_iter().chain(closes).collect::<Vec<_>>().join(", ")
            }
        };
        let _ = writeln!(text, "  {:<10} {what}", date.to_string());
    }
}

/// The trade sessions that have a part in the local dates from the first to the last.
fn list(calendar: &Calendar, first: UnixNanos, last: UnixNanos, text: &mut String) {
    let (mut now, end) = (calendar.zone.instant(first), calendar.zone.instant(last.plus(DAY_NS)));
    let mut listed = 0;
    while now < end && listed < SESSIONS_MAX {
        let state = calendar.state_at(now);
        if state.open {
            let until = if state.until == UnixNanos::MAX { "-".to_owned() } else { state.until.to_string() };
            let _ = writeln!(text, "  {now} - {until}");
            listed += 1;
        }
        now = state.until;
    }
}

/// A local date, as its midnight without a zone.
fn parse_date(text: &str) -> Result<UnixNanos, String> {
    UnixNanos::parse(&format!("{text}T00:00:00Z")).ok_or_else(|| "write a date such as 2024-12-23".to_owned())
}
