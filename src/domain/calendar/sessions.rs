//! The present state of several calendars, kept so that a quote costs one comparison.

use super::Calendar;
use crate::domain::time::UnixNanos;
use serde::{Deserialize, Serialize};

/// Whether a market trades, and until when that stays so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionState {
    pub open: bool,
    /// The first instant at which `open` changes; `UnixNanos::MAX` if it never does.
    pub until: UnixNanos,
}

/// The trade sessions of all calendars, as last read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sessions {
    states: Vec<SessionState>,
}

impl Sessions {
    /// Reads all calendars anew.
    pub fn new(calendars: &[Calendar], now: UnixNanos) -> Self {
        Self { states: calendars.iter().map(|c| c.state_at(now)).collect() }
    }

    /// Whether the calendar's market trades at `now`; time must not go back between calls.
    pub fn is_open(&mut self, calendars: &[Calendar], calendar: u16, now: UnixNanos) -> bool {
        let index = usize::from(calendar);
        let state = &mut self.states[index];
        if now >= state.until {
            *state = calendars[index].state_at(now);
        }
        state.open
    }

    /// The state as last read.
    pub fn state(&self, calendar: u16) -> SessionState {
        self.states[usize::from(calendar)]
    }
}
