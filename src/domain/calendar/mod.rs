//! When markets trade: weekly local times in a time zone, and the dates that differ from them.
//!
//! A calendar has *trade sessions*, in which orders fill, and may have *quote sessions*, which are wider: what is
//! quoted outside the trade sessions marks positions and fills nothing (OR09). Both follow the same local clock and
//! the same special days. A session includes its opening instant and excludes its closing instant.
//!
//! A special day concerns one local date, from midnight to midnight, and whatever part of a session lies in it,
//! also where the session began the day before or ends the day after:
//! - a holiday removes all of it;
//! - an early close removes what lies at or after its time: the session that runs then, and those that would
//!   begin later on that date. One that begins after midnight is not touched;
//! - a late open removes what lies before its time;
//! - with both, a date that opens late and closes early trades in between; one whose close comes before its
//!   opening pauses in between.
//!
//! Local times that a clock change skips mean the next valid instant, those that it repeats the first.
//!
//! Imports nothing but time. Reads no file: calendars come from configuration, or from `built_in`.

mod built_in;
mod sessions;
mod special;
#[cfg(test)]
mod tests;
mod weekly;
mod zone;

pub use sessions::{SessionState, Sessions};
pub use special::{DatePattern, SpecialDay, SpecialDays};
pub use weekly::{MINUTES_A_DAY, MINUTES_A_WEEK, WEEKDAYS, WeeklySession};
pub use zone::Zone;

use super::time::{DAY_NS, MINUTE_NS, UnixNanos};
use serde::{Deserialize, Serialize};

/// A calendar names at most so many special days.
const SPECIAL_DAYS_MAX: usize = 10_000;
/// How far a change of state is looked for: the longest that a special day of every year, the 29th of February,
/// can be away.
const WEEKS_AHEAD: i64 = 8 * 53;

/// Why a calendar cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CalendarFault {
    #[error("its {0} sessions overlap, or one of them is empty or longer than a week")]
    Week(&'static str),
    #[error("it trades at times at which it does not quote: quote sessions hold the trade sessions")]
    NotQuoted,
    #[error("more than {SPECIAL_DAYS_MAX} special days")]
    TooManyDays,
}

/// The sessions of a group of instruments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calendar {
    pub name: String,
    pub zone: Zone,
    /// The trade sessions of a usual week, ascending and disjoint.
    pub weekly: Vec<WeeklySession>,
    /// The quote sessions of a usual week, which hold the trade sessions; `None`: the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quote_weekly: Option<Vec<WeeklySession>>,
    #[serde(default, skip_serializing_if = "SpecialDays::is_empty")]
    pub special_days: SpecialDays,
}

impl Calendar {
    /// Why this calendar cannot be used, if it cannot.
    pub fn fault(&self) -> Option<CalendarFault> {
        let quotes = self.quote_sessions();
        if !WeeklySession::are_a_week(&self.weekly) {
            return Some(CalendarFault::Week("trade"));
        }
        if !WeeklySession::are_a_week(quotes) {
            return Some(CalendarFault::Week("quote"));
        }
        if !WeeklySession::cover(quotes, &self.weekly) {
            return Some(CalendarFault::NotQuoted);
        }
        (self.special_days.len() > SPECIAL_DAYS_MAX).then_some(CalendarFault::TooManyDays)
    }

    /// Whether every instant is inside a trade session.
    pub fn is_always(&self) -> bool {
        let whole = |s: &WeeklySession| s.open_minute == 0 && s.close_minute == MINUTES_A_WEEK;
        self.special_days.is_empty() && self.weekly.first().is_some_and(whole)
    }

    /// The quote sessions of a usual week.
    pub fn quote_sessions(&self) -> &[WeeklySession] {
        self.quote_weekly.as_ref().unwrap_or(&self.weekly)
    }

    /// Whether orders fill at an instant. Costs a microsecond or more; callers keep the answer until `until`.
    pub fn state_at(&self, now: UnixNanos) -> SessionState {
        if self.is_always() {
            return SessionState { open: true, until: UnixNanos::MAX };
        }
        self.state_of(&self.weekly, now)
    }

    /// Whether the market is quoted at an instant.
    pub fn quoted_at(&self, now: UnixNanos) -> SessionState {
        self.state_of(self.quote_sessions(), now)
    }

    fn state_of(&self, weekly: &[WeeklySession], now: UnixNanos) -> SessionState {
        let mut open_until = None;
        for (open, close) in self.sessions_around(weekly, now).filter(|(_, close)| *close > now) {
            match open_until {
                None if now < open => return SessionState { open: false, until: open },
                Some(until) if until < open => return SessionState { open: true, until },
                _ => open_until = Some(close),
            }
        }
        // nothing changes any more
        SessionState { open: open_until.is_some(), until: UnixNanos::MAX }
    }

    /// Sessions in the order of time, without what special days remove. The first ones ended before `now`, unless
    /// they last into it; those that touch are not joined.
    fn sessions_around(
        &self,
        weekly: &[WeeklySession],
        now: UnixNanos,
    ) -> impl Iterator<Item = (UnixNanos, UnixNanos)> {
        let today = self.zone.local(now).floor(DAY_NS);
        let weekday = (today.0.div_euclid(DAY_NS) + 4).rem_euclid(7); // 1970-01-01 was a Thursday
        let sunday = today.plus(-weekday * DAY_NS);
        // without special days, the week after the next is like the next
        let weeks = -1..=if self.special_days.is_empty() { 2 } else { WEEKS_AHEAD };
        let usual = weeks.flat_map(move |week| {
            let start = sunday.plus(week * 7 * DAY_NS);
            let at = move |minute: i64| start.plus(minute * MINUTE_NS);
            weekly.iter().map(move |session| (at(session.open_minute), at(session.close_minute)))
        });
        let local = usual.flat_map(|(open, close)| self.without_special_days(open, close));
        let instants = local.map(|(open, close)| (self.zone.instant(open), self.zone.instant(close)));
        instants.filter(|(open, close)| open < close) // a clock change can skip a session
    }

    /// What special days leave of a session in local times.
    fn without_special_days(&self, open: UnixNanos, close: UnixNanos) -> Vec<(UnixNanos, UnixNanos)> {
        let mut parts = Vec::with_capacity(1);
        let mut rest = open;
        if !self.special_days.is_empty() {
            let midnights = std::iter::successors(Some(open.floor(DAY_NS)), |day| Some(day.plus(DAY_NS)));
            for midnight in midnights.take_while(|midnight| *midnight < close) {
                for (from, to) in self.special_days.closed_on(midnight) {
                    if rest < from {
                        parts.push((rest, from.min(close)));
                    }
                    rest = rest.max(to);
                }
            }
        }
        if rest < close {
            parts.push((rest, close));
        }
        parts
    }
}
