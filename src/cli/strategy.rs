//! A strategy that is named on the command line, to run inside the live machine.

use crate::{
    domain::{
        account::AccountConfig,
        config::{Config, StrategyConfig},
        distance::{Distance, DistanceError},
        id::AccountId,
        instrument::Instrument,
        market::Timeframe,
    },
    strategy::{Native, StrategyError},
};
use rust_decimal::Decimal;
use std::collections::BTreeMap;

/// The arguments.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct StrategyArguments {
    /// Strategy that trades on the first account, such as sma_cross
    #[arg(long, value_name = "NAME", requires = "symbol")]
    strategy: Option<String>,
    /// A parameter of the strategy, such as fast=10; repeatable
    #[arg(long = "param", value_name = "K=V", value_parser = parse_param, requires = "strategy")]
    params: Vec<(String, String)>,
    /// Instrument that the strategy trades
    #[arg(long, requires = "strategy")]
    symbol: Option<String>,
    /// Length of the candles that it looks at: 1m 5m 15m 30m 1h 4h 1d 1w
    #[arg(long, value_name = "LENGTH", value_parser = parse_timeframe, default_value = "1m")]
    timeframe: Timeframe,
    /// Volume of each of its orders, in lots
    #[arg(long, value_name = "LOTS", default_value = "0.1")]
    volume: Decimal,
    /// Distance of the stop loss from the fill: 20pips, 200points or 0.5%
    #[arg(long, value_name = "DISTANCE", requires = "strategy")]
    stop_loss: Option<Distance>,
    /// Distance of the take profit from the fill
    #[arg(long, value_name = "DISTANCE", requires = "strategy")]
    take_profit: Option<Distance>,
}

/// Why there is no such strategy.
#[derive(Debug, thiserror::Error)]
pub(super) enum StrategyArgumentError {
    #[error(transparent)]
    Strategy(#[from] StrategyError),
    #[error("--symbol {symbol}: there is no such instrument; known: {known}")]
    Symbol { symbol: String, known: String },
    #[error("--param {0} is given twice")]
    RepeatedParam(String),
    #[error("--volume {volume}: {symbol} trades {min} to {max} lots in steps of {step}")]
    Volume { volume: Decimal, symbol: String, min: Decimal, max: Decimal, step: Decimal },
    #[error("{flag}: {source}")]
    Distance { flag: &'static str, source: DistanceError },
    #[error("--strategy needs an account: add [[accounts]] to the configuration")]
    NoAccount,
}

impl StrategyArguments {
    /// The strategy, if one is named, on the first of the accounts.
    pub fn to_config(
        &self,
        accounts: &[AccountConfig],
    ) -> Result<Vec<StrategyConfig>, StrategyArgumentError> {
        let (Some(name), Some(symbol)) = (&self.strategy, &self.symbol) else {
            return Ok(Vec::new());
        };
        let account = accounts.first().ok_or(StrategyArgumentError::NoAccount)?;
        let instruments = Config::built_in().instruments;
        let instrument = instruments.iter().find(|i| i.symbol.as_str() == symbol).ok_or_else(|| {
            let known: Vec<&str> = instruments.iter().map(|i| i.symbol.as_str()).collect();
            StrategyArgumentError::Symbol { symbol: symbol.clone(), known: known.join(", ") }
        })?;
        Ok(vec![self.on(name, &account.id, instrument)?])
    }

    fn on(
        &self,
        name: &str,
        account: &AccountId,
        instrument: &Instrument,
    ) -> Result<StrategyConfig, StrategyArgumentError> {
        let mut params = BTreeMap::new();
        for (key, value) in &self.params {
            if params.insert(key.clone(), value.clone()).is_some() {
                return Err(StrategyArgumentError::RepeatedParam(key.clone()));
            }
        }
        Native::build(name, &params)?;
        let (min, max) = (instrument.volume_min, instrument.volume_max);
        if instrument.to_volume(self.volume).is_none_or(|volume| volume < min || volume > max) {
            return Err(StrategyArgumentError::Volume {
                volume: self.volume,
                symbol: instrument.symbol.to_string(),
                min: instrument.lots(min),
                max: instrument.lots(max),
                step: instrument.volume_step,
            });
        }
        let on_grid = |flag, distance: Option<Distance>| {
            let stop = distance.map(|distance| distance.on(instrument)).transpose();
            stop.map_err(|source| StrategyArgumentError::Distance { flag, source })
        };
        Ok(StrategyConfig {
            name: name.to_owned(),
            params,
            account: account.clone(),
            symbol: instrument.symbol.clone(),
            timeframe: self.timeframe,
            volume: self.volume,
            stop_loss: on_grid("--stop-loss", self.stop_loss)?,
            take_profit: on_grid("--take-profit", self.take_profit)?,
        })
    }
}

fn parse_param(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .filter(|(key, value)| !key.is_empty() && !value.is_empty())
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .ok_or_else(|| "write a name and a value, such as fast=10".to_owned())
}

fn parse_timeframe(text: &str) -> Result<Timeframe, String> {
    let known = Timeframe::ALL.map(Timeframe::name).join(" ");
    Timeframe::parse(text).ok_or_else(|| format!("known are {known}"))
}
