//! The check that a configuration passes before it may enter as an input.

use crate::domain::{
    account::{PAPER, PositionMode, VENUE},
    calendar::CalendarFault,
    config::Config,
    id::{AccountId, Symbol},
    instrument::{Instrument, InstrumentError},
    money::Currency,
    order::Stop,
    rates::Rates,
};
use crate::strategy::{Native, StrategyError};
use rust_decimal::Decimal;
use std::collections::BTreeSet;

/// At most so many instruments, calendars, accounts and strategies.
const MAX_INSTRUMENTS: usize = 4_096;
const MAX_ACCOUNTS: usize = 100_000;
const MAX_STRATEGIES: usize = 1_024;

/// Why a configuration is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error(transparent)]
    Instrument(#[from] InstrumentError),
    #[error(transparent)]
    Strategy(#[from] StrategyError),
    #[error("symbol `{0}` is defined twice: remove one definition")]
    SymbolTwice(Symbol),
    #[error("account `{0}` is defined twice: give each account its own id")]
    AccountTwice(AccountId),
    #[error("instrument `{0}` names a calendar that does not exist")]
    Calendar(Symbol),
    #[error("calendar `{name}`: {fault}")]
    CalendarFault { name: String, fault: CalendarFault },
    #[error("account `{account}`: {problem}")]
    Account { account: AccountId, problem: String },
    #[error("strategy `{name}`: {problem}")]
    StrategySetup { name: String, problem: String },
    #[error(
        "account `{0}` has a history in this data directory: keep it in the configuration, or use another \
         data directory"
    )]
    AccountRemoved(AccountId),
    #[error(
        "account `{account}` was opened in {was} and cannot become one in {now}: keep the currency, or give \
         the new account its own id"
    )]
    CurrencyChanged { account: AccountId, was: Currency, now: Currency },
    #[error("account `{account}` has its history with connector `{was}`: give the new account its own id")]
    ConnectorChanged { account: AccountId, was: String },
    #[error(
        "instrument `{0}` is not at its place or on its grid any more: what is stored counts in its ticks and \
         steps; keep it, and add new instruments at the end (DM04)"
    )]
    InstrumentChanged(Symbol),
    #[error("too many {what}: at most {max}")]
    TooMany { what: &'static str, max: usize },
}

/// Checks everything that the engine relies on.
pub fn check_config(config: &Config) -> Result<(), ConfigError> {
    for (what, count, max) in [
        ("instruments", config.instruments.len(), MAX_INSTRUMENTS),
        ("calendars", config.calendars.len(), MAX_INSTRUMENTS),
        ("accounts", config.accounts.len(), MAX_ACCOUNTS),
        ("strategies", config.strategies.len(), MAX_STRATEGIES),
    ] {
        if count > max {
            return Err(ConfigError::TooMany { what, max });
        }
    }
    for calendar in &config.calendars {
        if let Some(fault) = calendar.fault() {
            return Err(ConfigError::CalendarFault { name: calendar.name.clone(), fault });
        }
    }
    check_instruments(config)?;
    check_accounts(config)?;
    check_strategies(config)
}

/// Checks what a configuration changes of the one in force: balances, prices and volumes that are stored
/// must keep their meaning.
pub fn check_change(known: &Config, config: &Config) -> Result<(), ConfigError> {
    let listed = |id: &AccountId| config.accounts.iter().any(|account| account.id == *id);
    if let Some(gone) = known.accounts.iter().find(|account| !listed(&account.id)) {
        return Err(ConfigError::AccountRemoved(gone.id.clone()));
    }
    for account in &config.accounts {
        let before = known.accounts.iter().find(|before| before.id == account.id);
        if let Some(before) = before.filter(|before| before.is_paper() != account.is_paper()) {
            let (account, was) = (account.id.clone(), before.connector.clone());
            return Err(ConfigError::ConnectorChanged { account, was });
        }
        if let Some(before) = before.filter(|before| before.currency != account.currency) {
            let (was, now) = (before.currency, account.currency);
            return Err(ConfigError::CurrencyChanged { account: account.id.clone(), was, now });
        }
    }
    let grid = |i: &Instrument| {
        (i.symbol.clone(), i.tick, i.volume_step, i.contract_size, i.base_currency, i.quote_currency)
    };
    let kept = |(index, before): &(usize, &Instrument)| {
        config.instruments.get(*index).is_some_and(|after| grid(after) == grid(before))
    };
    match known.instruments.iter().enumerate().find(|before| !kept(before)) {
        Some((_, changed)) => Err(ConfigError::InstrumentChanged(changed.symbol.clone())),
        None => Ok(()),
    }
}

fn check_instruments(config: &Config) -> Result<(), ConfigError> {
    let mut symbols = BTreeSet::new();
    for instrument in &config.instruments {
        instrument.validate()?;
        if usize::from(instrument.calendar) >= config.calendars.len() {
            return Err(ConfigError::Calendar(instrument.symbol.clone()));
        }
        if !symbols.insert(&instrument.symbol) {
            return Err(ConfigError::SymbolTwice(instrument.symbol.clone()));
        }
    }
    Ok(())
}

fn check_accounts(config: &Config) -> Result<(), ConfigError> {
    let mut ids = BTreeSet::new();
    for account in &config.accounts {
        let problem = |problem: String| Err(ConfigError::Account { account: account.id.clone(), problem });
        if !ids.insert(&account.id) {
            return Err(ConfigError::AccountTwice(account.id.clone()));
        }
        match (account.connector.as_str(), &account.link) {
            (PAPER, None) | (VENUE, Some(_)) => {}
            (PAPER, Some(_)) => return problem("connector `paper` has no address".to_owned()),
            (VENUE, None) => return problem("connector `venue` needs an address and a login".to_owned()),
            (other, _) => {
                return problem(format!("connector `{other}` is not available: use `paper` or `venue`"));
            }
        }
        if account.position_mode != PositionMode::Hedging {
            return problem("position_mode `netting` is not available: use `hedging`".to_owned());
        }
        if !(1..=10_000).contains(&account.leverage) {
            return problem(format!("leverage {} is out of range: use 1 to 10000", account.leverage));
        }
        if account.deposit.is_sign_negative() || account.commission_per_lot.is_sign_negative() {
            return problem("deposit and commission_per_lot must not be negative".to_owned());
        }
        let rates = Rates::new(&config.instruments);
        let stranded = config.instruments.iter().find(|instrument| {
            let trades =
                account.allowed_symbols.is_empty() || account.allowed_symbols.contains(&instrument.symbol);
            trades && !rates.connects(instrument.quote_currency, account.currency)
        });
        if let Some(Instrument { symbol, quote_currency, .. }) = stranded {
            let own = account.currency;
            return problem(format!(
                "no instrument converts {quote_currency} of {symbol} into the account's {own}: \
                 choose another currency, or allowed_symbols without {symbol}"
            ));
        }
        for symbol in &account.allowed_symbols {
            if !config.instruments.iter().any(|i| i.symbol == *symbol) {
                return problem(format!("allowed symbol `{symbol}` does not exist"));
            }
        }
        for limit in [account.limits.max_daily_loss, config.limits.max_daily_loss].into_iter().flatten() {
            if limit <= Decimal::ZERO {
                return problem("max_daily_loss must be positive".to_owned());
            }
        }
    }
    Ok(())
}

fn check_strategies(config: &Config) -> Result<(), ConfigError> {
    for strategy in &config.strategies {
        let problem =
            |problem: String| Err(ConfigError::StrategySetup { name: strategy.name.clone(), problem });
        Native::build(&strategy.name, &strategy.params)?;
        if !config.accounts.iter().any(|a| a.id == strategy.account) {
            return problem(format!("account `{}` does not exist", strategy.account));
        }
        let Some(instrument) = config.instruments.iter().find(|i| i.symbol == strategy.symbol) else {
            return problem(format!("symbol `{}` does not exist", strategy.symbol));
        };
        let volume = instrument.to_volume(strategy.volume);
        if !volume.is_some_and(|v| v >= instrument.volume_min && v <= instrument.volume_max) {
            return problem(format!(
                "volume {} is not between {} and {} in steps of {}",
                strategy.volume,
                instrument.lots(instrument.volume_min),
                instrument.lots(instrument.volume_max),
                instrument.volume_step
            ));
        }
        for stop in [strategy.stop_loss, strategy.take_profit].into_iter().flatten() {
            let positive = match stop {
                Stop::At(_) => false,
                Stop::Ticks(ticks) => ticks > 0,
                Stop::Percent(percent) => percent > Decimal::ZERO,
            };
            if !positive {
                return problem("stop_loss and take_profit must be positive distances".to_owned());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{account::AccountConfig, account::AccountMode, config::Limits};

    fn config(currency: Currency) -> Config {
        let mut config = Config::built_in();
        config.accounts.push(AccountConfig {
            id: AccountId::new("main").expect("an id"),
            label: String::new(),
            mode: AccountMode::Paper,
            connector: "paper".to_owned(),
            currency,
            leverage: 100,
            position_mode: PositionMode::Hedging,
            deposit: Decimal::ONE_THOUSAND,
            commission_per_lot: Decimal::ZERO,
            allowed_symbols: Vec::new(),
            limits: Limits::default(),
            link: None,
            added: false,
        });
        config
    }

    #[test]
    fn ac02_an_account_in_a_currency_that_nothing_converts_to_is_refused() {
        for (code, refused) in [("EUR", false), ("JPY", false), ("CHF", true)] {
            let checked = check_config(&config(Currency::new(code).expect("a code")));
            let told = checked.as_ref().map_or_else(ToString::to_string, |()| String::new());
            assert_eq!(told.contains("no instrument converts"), refused, "{code}: {told}");
            assert_eq!(checked.is_err(), refused, "{code}");
        }
    }

    #[test]
    fn dm04_a_change_keeps_the_meaning_of_what_is_stored() {
        let known = config(Currency::USD);
        let euro = Currency::new("EUR").expect("a code");
        let mut other = config(Currency::USD);
        other.accounts[0].leverage = 30;
        assert_eq!(check_change(&known, &other), Ok(()));
        other.accounts.clear();
        let removed = ConfigError::AccountRemoved(known.accounts[0].id.clone());
        assert_eq!(
            check_change(&known, &other),
            Err(removed),
            "its positions would have nobody to close them"
        );
        let refused = check_change(&known, &config(euro)).expect_err("10000 USD are not 10000 EUR");
        assert!(refused.to_string().contains("`main` was opened in USD"), "{refused}");
        let mut moved = config(Currency::USD);
        moved.instruments.swap(0, 1);
        let changed = |config: &Config| ConfigError::InstrumentChanged(config.instruments[0].symbol.clone());
        assert_eq!(check_change(&known, &moved), Err(changed(&known)));
        let mut coarse = config(Currency::USD);
        coarse.instruments[0].tick *= Decimal::TEN;
        assert_eq!(check_change(&known, &coarse), Err(changed(&known)));
    }
}
