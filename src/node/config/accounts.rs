//! `[[accounts]]`.

use super::{
    amount,
    error::{ConfigError, nearest},
    limits,
    table::Table,
    whole,
};
use crate::domain::{
    account::{AccountConfig, AccountMode, PositionMode},
    config::Limits,
    id::{AccountId, Symbol},
    instrument,
    money::Currency,
};
use rust_decimal::Decimal;

/// Accounts of one file at most.
const ACCOUNTS_MAX: usize = 1_000;
const DEPOSIT: Decimal = Decimal::from_parts(10_000, 0, 0, false, 0);
const LEVERAGE: u32 = 100;
const LEVERAGE_MAX: u64 = 10_000;
const ID: &str = "an id: 1 to 64 of A-Z a-z 0-9 _ . : -";

/// The account that exists without a file.
pub(super) fn paper() -> AccountConfig {
    let id = AccountId::new("paper-1").expect("a well-formed id");
    AccountConfig {
        label: id.to_string(),
        id,
        mode: AccountMode::Paper,
        connector: "paper".into(),
        currency: Currency::USD,
        leverage: LEVERAGE,
        position_mode: PositionMode::Hedging,
        deposit: DEPOSIT,
        commission_per_lot: Decimal::ZERO,
        allowed_symbols: Vec::new(),
        limits: Limits::default(),
        link: None,
        added: false,
    }
}

/// All accounts of the file, each id once; `None`: the file names none.
pub(super) fn read(top: &Table<'_>) -> Result<Option<Vec<AccountConfig>>, ConfigError> {
    let mut seen: Vec<(AccountId, usize)> = Vec::new();
    top.tables("accounts", |table| {
        let account = account(table)?;
        let place = table.place("id");
        if let Some((id, first_line)) = seen.iter().find(|(id, _)| *id == account.id) {
            return Err(ConfigError::Duplicate { place, id: id.to_string(), first_line: *first_line });
        }
        if seen.len() == ACCOUNTS_MAX {
            let expected = format!("one of at most {ACCOUNTS_MAX} accounts");
            return Err(ConfigError::Value { place, value: format!("`{}`", account.id), expected });
        }
        seen.push((account.id.clone(), place.line));
        Ok(account)
    })
}

fn account(table: &Table<'_>) -> Result<AccountConfig, ConfigError> {
    let id = table
        .text("id", ID, |text| AccountId::new(text).ok())?
        .ok_or_else(|| ConfigError::Missing { place: table.place("id"), expected: ID })?;
    let label = table.text("label", "a text of at most 200 characters", |text| {
        (text.chars().count() <= 200).then(|| text.to_owned())
    })?;
    only(table, "mode", &["paper", "demo", "live"], "paper")?;
    only(table, "connector", &[], "paper")?;
    only(table, "position_mode", &["hedging", "netting"], "hedging")?;
    Ok(AccountConfig {
        label: label.unwrap_or_else(|| id.to_string()),
        id,
        mode: AccountMode::Paper,
        connector: "paper".into(),
        currency: table
            .text("currency", "a currency code such as \"USD\"", Currency::new)?
            .unwrap_or(Currency::USD),
        leverage: whole(table, "leverage", 1, LEVERAGE_MAX)?.unwrap_or(LEVERAGE),
        position_mode: PositionMode::Hedging,
        deposit: amount(table, "deposit", Decimal::ZERO)?.unwrap_or(DEPOSIT),
        commission_per_lot: amount(table, "commission_per_lot", Decimal::ZERO)?.unwrap_or_default(),
        allowed_symbols: symbols(table)?,
        limits: table.table("risk", limits)?.unwrap_or_default(),
        link: None,
        added: false,
    })
}

/// A choice of which only one is there yet. `known`: what it may be called; empty: anything.
fn only(
    table: &Table<'_>,
    key: &'static str,
    known: &[&str],
    available: &'static str,
) -> Result<(), ConfigError> {
    let fits = |text: &str| (known.is_empty() || known.contains(&text)).then(|| text.to_owned());
    match table.text(key, format!("one of {}", known.join(", ")), fits)? {
        Some(value) if value != available => {
            Err(ConfigError::NotAvailable { place: table.place(key), value, available })
        }
        _ => Ok(()),
    }
}

fn symbols(table: &Table<'_>) -> Result<Vec<Symbol>, ConfigError> {
    let known: Vec<Symbol> = instrument::built_in().into_iter().map(|i| i.symbol).collect();
    let listed = known.iter().map(Symbol::as_str).collect::<Vec<_>>().join(", ");
    let symbols = table.texts("allowed_symbols", format!("one of {listed}"), |text| {
        known.iter().find(|symbol| symbol.as_str() == text).cloned()
    });
    symbols.map_err(|error| match error {
        ConfigError::Value { place, value, expected } => {
            let like = nearest(value.trim_matches('"'), known.iter().map(Symbol::as_str));
            let hint = like.map_or_else(String::new, |symbol| format!("; did you mean `{symbol}`?"));
            ConfigError::Value { place, value, expected: expected + &hint }
        }
        other => other,
    })
}
