//! `[instruments.SYMBOL]`: what differs from the built-in specification.

use super::{
    error::{ConfigError, nearest},
    table::Table,
};
use crate::domain::{calendar::Calendar, config::Config, instrument};
use std::collections::BTreeMap;

/// The calendars that instruments are given, by symbol; `calendars` are those of the file.
pub(super) fn read(
    top: &Table<'_>,
    calendars: &[Calendar],
) -> Result<BTreeMap<&'static str, String>, ConfigError> {
    let built_in = Config::built_in().calendars;
    let known: Vec<&str> = built_in.iter().chain(calendars).map(|calendar| calendar.name.as_str()).collect();
    let mut chosen = BTreeMap::new();
    top.table("instruments", |table| {
        for symbol in instrument::built_in_symbols() {
            let name = table.table(symbol, |table| calendar(table, &known))?.flatten();
            chosen.extend(name.map(|name| (symbol, name)));
        }
        Ok(())
    })?;
    Ok(chosen)
}

fn calendar(table: &Table<'_>, known: &[&str]) -> Result<Option<String>, ConfigError> {
    let name = table.text("calendar", "the name of a calendar", |text| Some(text.to_owned()))?;
    match name {
        Some(value) if !known.contains(&value.as_str()) => {
            let like = nearest(&value, known.iter().copied());
            let hint = like.map_or_else(String::new, |name| format!("; did you mean `{name}`?"));
            let expected = format!("a calendar; there are {}{hint}", known.join(", "));
            Err(ConfigError::Value {
                place: table.place("calendar"),
                value: format!("\"{value}\""),
                expected,
            })
        }
        name => Ok(name),
    }
}
