//! `[[accounts]]`.

use super::{
    amount,
    error::{ConfigError, nearest},
    gateway::split_address,
    limits,
    table::Table,
    whole,
};
use crate::{
    domain::{
        account::{AccountConfig, AccountMode, LinkSettings, PAPER, PositionMode, VENUE},
        config::Limits,
        id::{AccountId, Symbol},
        instrument,
        money::Currency,
    },
    node::vault::Secret,
};
use rust_decimal::Decimal;
use std::collections::BTreeMap;

/// Accounts of one file at most.
const ACCOUNTS_MAX: usize = 1_000;
const DEPOSIT: Decimal = Decimal::from_parts(10_000, 0, 0, false, 0);
const LEVERAGE: u32 = 100;
const LEVERAGE_MAX: u64 = 10_000;
const ADDRESS: &str = "an address such as \"127.0.0.1:18790\"";
const ADDRESS_BYTES: usize = 255;
const LOGIN: &str = "the account's name at the venue, of at most 64 characters";
const LOGIN_CHARS: usize = 64;
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

/// All accounts of the file, each id once, and what they log on with; `None`: the file names none.
pub(super) fn read(
    top: &Table<'_>,
    credentials: &mut BTreeMap<AccountId, Secret>,
) -> Result<Option<Vec<AccountConfig>>, ConfigError> {
    let mut seen: Vec<(AccountId, usize)> = Vec::new();
    top.tables("accounts", |table| {
        let (account, token) = account(table)?;
        let place = table.place("id");
        if let Some((id, first_line)) = seen.iter().find(|(id, _)| *id == account.id) {
            return Err(ConfigError::Duplicate {
                place,
                what: "account",
                id: id.to_string(),
                first_line: *first_line,
            });
        }
        if seen.len() == ACCOUNTS_MAX {
            let expected = format!("one of at most {ACCOUNTS_MAX} accounts");
            return Err(ConfigError::Value { place, value: format!("`{}`", account.id), expected });
        }
        seen.push((account.id.clone(), place.line));
        if let Some(token) = token {
            credentials.insert(account.id.clone(), token);
        }
        Ok(account)
    })
}

fn account(table: &Table<'_>) -> Result<(AccountConfig, Option<Secret>), ConfigError> {
    let id = table
        .text("id", ID, |text| AccountId::new(text).ok())?
        .ok_or_else(|| ConfigError::Missing { place: table.place("id"), expected: ID })?;
    let label = table.text("label", "a text of at most 200 characters", |text| {
        (text.chars().count() <= 200).then(|| text.to_owned())
    })?;
    let connector = connector(table)?;
    let is_paper = connector == PAPER;
    only(table, "mode", &["paper", "demo", "live"], if is_paper { "paper" } else { "demo" })?;
    only(table, "position_mode", &["hedging", "netting"], "hedging")?;
    let (link, token) = if is_paper { (None, None) } else { link(table)? };
    let account = AccountConfig {
        label: label.unwrap_or_else(|| id.to_string()),
        id,
        mode: if is_paper { AccountMode::Paper } else { AccountMode::Demo },
        currency: table
            .text("currency", "a currency code such as \"USD\"", Currency::new)?
            .unwrap_or(Currency::USD),
        leverage: whole(table, "leverage", 1, LEVERAGE_MAX)?.unwrap_or(LEVERAGE),
        position_mode: PositionMode::Hedging,
        // of another venue's account, its venue keeps the books
        deposit: if is_paper {
            amount(table, "deposit", Decimal::ZERO)?.unwrap_or(DEPOSIT)
        } else {
            Decimal::ZERO
        },
        commission_per_lot: if is_paper {
            amount(table, "commission_per_lot", Decimal::ZERO)?.unwrap_or_default()
        } else {
            Decimal::ZERO
        },
        allowed_symbols: symbols(table)?,
        limits: table.table("risk", limits)?.unwrap_or_default(),
        link,
        added: false,
        connector,
    };
    Ok((account, token))
}

fn connector(table: &Table<'_>) -> Result<String, ConfigError> {
    let known = table.text("connector", "a connector", |text| Some(text.to_owned()))?;
    match known {
        None => Ok(PAPER.to_owned()),
        Some(value) if [PAPER, VENUE].contains(&value.as_str()) => Ok(value),
        Some(value) => Err(ConfigError::NotAvailable {
            place: table.place("connector"),
            value,
            available: "paper, venue",
        }),
    }
}

/// Where the venue is, and what it is told about who we are.
fn link(table: &Table<'_>) -> Result<(Option<LinkSettings>, Option<Secret>), ConfigError> {
    let address = table.text("address", ADDRESS, |text| {
        (text.len() <= ADDRESS_BYTES && split_address(text).is_some()).then(|| text.to_owned())
    })?;
    let address = address.ok_or_else(|| missing(table, "address", ADDRESS))?;
    let login = table.text("login", LOGIN, |text| {
        (1..=LOGIN_CHARS).contains(&text.chars().count()).then(|| text.to_owned())
    })?;
    let login = login.ok_or_else(|| missing(table, "login", LOGIN))?;
    let token = super::token(table)?;
    Ok((Some(LinkSettings { address, login, secret: None }), token))
}

fn missing(table: &Table<'_>, key: &str, expected: &'static str) -> ConfigError {
    ConfigError::Missing { place: table.place(key), expected }
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
