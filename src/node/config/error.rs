//! What is wrong with a configuration file, and where.

use super::market_hours::MarketHoursError;
use crate::domain::calendar::CalendarFault;
use std::{fmt, io};

/// A place in a configuration file: file, line and key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub file: String,
    /// From 1.
    pub line: usize,
    /// Such as `accounts[0].leverage`.
    pub key: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.key)
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{file}: {source}")]
    Io { file: String, source: io::Error },
    /// It is not TOML.
    #[error("{file}:{line}: not valid TOML: {message}")]
    Syntax { file: String, line: usize, message: String },
    /// Nothing reads this key.
    #[error("{place}: there is no such key{}", suggestion(nearest))]
    UnknownKey { place: Place, nearest: Option<String> },
    /// The value is not what the key takes. `value` is as written, before interpolation.
    #[error("{place}: {value} is not {expected}")]
    Value { place: Place, value: String, expected: String },
    /// A key that must be there is not.
    #[error("{place}: missing; it takes {expected}")]
    Missing { place: Place, expected: &'static str },
    /// The value is understood, and this version cannot do it.
    #[error("{place}: `{value}` is not available in this version; available: {available}")]
    NotAvailable { place: Place, value: String, available: &'static str },
    /// Two accounts or calendars of one name.
    #[error("{place}: the {what} `{id}` is there already, in line {first_line}")]
    Duplicate { place: Place, what: &'static str, id: String, first_line: usize },
    /// A calendar that contradicts itself.
    #[error("{place}: calendar `{name}`: {fault}")]
    Calendar { place: Place, name: String, fault: CalendarFault },
    /// A calendar's file of market hours does not give it.
    #[error("{place}: {source}")]
    MarketHours { place: Place, source: Box<MarketHoursError> },
    /// `${NAME}` without such a variable.
    #[error("{place}: the environment variable `{name}` is not set")]
    Environment { place: Place, name: String },
}

fn suggestion(nearest: &Option<String>) -> String {
    nearest.as_ref().map_or_else(String::new, |key| format!("; did you mean `{key}`?"))
}

/// The known word that is most like this one, if any is.
pub(super) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    known
        .into_iter()
        .map(|candidate| (strsim::normalized_damerau_levenshtein(word, candidate), candidate))
        .filter(|(likeness, _)| *likeness >= 0.5)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate.to_owned())
}
