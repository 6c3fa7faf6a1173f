//! `lockstep backtest`: from arguments to a report.

use super::{
    report::Report,
    run::{RunError, run},
    trades::write_csv,
};
use crate::{
    domain::{
        account::{AccountConfig, AccountMode, PositionMode},
        calendar::Zone,
        config::{Config, Limits, StrategyConfig},
        distance::{Distance, DistanceError},
        id::AccountId,
        instrument::{Instrument, InstrumentId},
        market::{BarPolicy, Timeframe},
        money::Currency,
        time::{DAY_NS, UnixNanos},
    },
    quotes::{DataError, DataOptions, MarketData, OffGrid, Source, SyntheticBars, open_recording},
};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};
use rust_decimal::Decimal;
use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Without data: this many synthetic days from this instant.
const SYNTHETIC_DAYS: i64 = 30;
const SYNTHETIC_FROM: &str = "2024-01-08T00:00:00Z";
const DEFAULT_SYMBOL: &str = "EURUSD";
const DEFAULT_STRATEGY: (&str, [(&str, &str); 2]) = ("sma_cross", [("fast", "10"), ("slow", "20")]);

/// Run a strategy over historical or synthetic data
#[derive(Debug, Clone, Args)]
pub struct Arguments {
    /// Bars or ticks to trade on: CSV with timestamp,open,high,low,close, or LEAN's quotes; plain, gzip or
    /// zip. Bars are stamped with their opening. Of one side they are bids; asks are the default spread
    /// above them, unless --ask has them. Several files of ticks follow each other. Without it: 30
    /// synthetic days
    #[arg(long, value_name = "FILE", requires = "symbol", num_args = 1..)]
    pub data: Vec<PathBuf>,
    /// The asks that belong to the bids of --data
    #[arg(long, value_name = "FILE", requires = "data")]
    pub ask: Option<PathBuf>,
    /// Instrument that is traded; without --data, EURUSD unless given
    #[arg(long)]
    pub symbol: Option<String>,
    /// Strategy that trades; sma_cross with fast=10 and slow=20 unless given
    #[arg(long)]
    pub strategy: Option<String>,
    /// A parameter of the strategy, such as fast=10; repeatable
    #[arg(long = "param", value_name = "K=V", value_parser = parse_param, requires = "strategy")]
    pub params: Vec<(String, String)>,
    /// Distance of the stop loss from the fill: 20pips, 200points or 0.5%
    #[arg(long, value_name = "DISTANCE")]
    pub stop_loss: Option<Distance>,
    /// Distance of the take profit from the fill
    #[arg(long, value_name = "DISTANCE")]
    pub take_profit: Option<Distance>,
    /// Volume of each order, in lots
    #[arg(long, default_value = "0.1", value_name = "LOTS")]
    pub volume: Decimal,
    /// Time zone of stamps that state none, such as Europe/London or UTC-05
    #[arg(long, value_name = "ZONE")]
    pub tz: Option<String>,
    /// Prices between two ticks: round bids down and asks up, or stop
    #[arg(long, value_enum, default_value = "snap")]
    pub offgrid: OffGridArgument,
    /// Which extreme of a bar came first, and which of two reachable exits counts
    #[arg(long, value_enum, default_value = "pessimistic")]
    pub bar_policy: BarPolicyArgument,
    /// Length of the bars: 1m 5m 15m 30m 1h 4h 1d 1w; by default found from the gaps between them. With
    /// ticks: of the candles that the strategy sees, by default 1m
    #[arg(long, value_name = "LENGTH", value_parser = parse_timeframe)]
    pub timeframe: Option<Timeframe>,
    /// Seed of the synthetic days
    #[arg(long, default_value_t = 0, conflicts_with = "data")]
    pub seed: u64,
    /// Print one JSON object instead of a table
    #[arg(long)]
    pub json: bool,
    /// Write the trades as CSV
    #[arg(long, value_name = "FILE.csv")]
    pub trades: Option<PathBuf>,
}

/// `--offgrid`.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum OffGridArgument {
    Snap,
    Fail,
}

/// `--bar-policy`.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum BarPolicyArgument {
    Pessimistic,
    Optimistic,
    Path,
}

/// Why there is no report; every one is for the user to mend.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error("unknown symbol `{symbol}`: known are {known}")]
    Symbol { symbol: String, known: String },
    #[error("`{0}` is not a time zone: use an IANA name such as Europe/London, or UTC-05")]
    Zone(String),
    #[error("--param {0} is given twice")]
    RepeatedParam(String),
    #[error("{flag}: {source}")]
    Distance { flag: &'static str, source: DistanceError },
    #[error(transparent)]
    Run(#[from] RunError),
    #[error("{}: {source}", path.display())]
    Output { path: PathBuf, source: csv::Error },
}

/// Runs the command on the instruments, limits and first account of `base`; without an account there,
/// on 10000 USD, leverage 100, hedging, without commission. Prints the report, or one line that says
/// what to mend.
pub fn main(arguments: &Arguments, base: Config) -> ExitCode {
    match execute(arguments, base) {
        Ok(report) => {
            let text = if arguments.json { report.to_json() } else { report.to_string() };
            // a reader that went away is no failure of the run
            let _ = writeln!(io::stdout().lock(), "{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(io::stderr().lock(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "how long a run took is told, and decides nothing")]
fn execute(arguments: &Arguments, base: Config) -> Result<Report, CommandError> {
    let started = std::time::Instant::now();
    let symbol = arguments.symbol.as_deref().unwrap_or(DEFAULT_SYMBOL);
    let (id, instrument) = find_instrument(&base, symbol)?;
    let progress = progress_bar();
    let mut data = open_data(arguments, &base, id, &instrument, &progress)?;
    let timeframe = data.timeframe().or(arguments.timeframe).unwrap_or(Timeframe::M1);
    let strategy = strategy(arguments, &instrument, timeframe)?;
    let config = configure(arguments, base, strategy);
    if let Some(path) = &arguments.trades {
        check_writable(path)?;
    }

    let spread = match (arguments.data.is_empty(), data.has_asks()) {
        (true, _) => "synthetic spread".to_owned(),
        (_, true) => "bids and asks from data".to_owned(),
        _ => format!("bids from data, spread {} points", instrument.default_spread_points),
    };
    let currency = config.accounts[0].currency.to_string();
    let title = title(&config.strategies[0]);
    let outcome = run(config, &mut *data)?;
    drop((data, progress));
    if let Some(path) = &arguments.trades {
        let written =
            File::create(path).map_err(csv::Error::from).and_then(|f| write_csv(&outcome.trades, f));
        written.map_err(|source| CommandError::Output { path: path.clone(), source })?;
    }
    let elapsed_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(Report { outcome, title, spread, currency, elapsed_ms })
}

fn find_instrument(base: &Config, symbol: &str) -> Result<(InstrumentId, Instrument), CommandError> {
    let ids = (0..=u16::MAX).map(InstrumentId);
    let found = ids.zip(&base.instruments).find(|(_, i)| i.symbol.as_str() == symbol);
    found.map(|(id, instrument)| (id, instrument.clone())).ok_or_else(|| {
        let known: Vec<&str> = base.instruments.iter().map(|i| i.symbol.as_str()).collect();
        CommandError::Symbol { symbol: symbol.to_owned(), known: known.join(", ") }
    })
}

fn open_data(
    arguments: &Arguments,
    base: &Config,
    id: InstrumentId,
    instrument: &Instrument,
    progress: &ProgressBar,
) -> Result<Box<dyn MarketData>, CommandError> {
    if arguments.data.is_empty() {
        let from = UnixNanos::parse(SYNTHETIC_FROM).expect("a constant instant");
        let calendar = &base.calendars[usize::from(instrument.calendar)];
        let to = from.plus(SYNTHETIC_DAYS * DAY_NS);
        return Ok(Box::new(SyntheticBars::new(arguments.seed, id, instrument, calendar, from, to)));
    }
    let zone = arguments
        .tz
        .as_deref()
        .map(|name| Zone::load(name).ok_or_else(|| CommandError::Zone(name.to_owned())))
        .transpose()?;
    let off_grid = match arguments.offgrid {
        OffGridArgument::Snap => OffGrid::Snap,
        OffGridArgument::Fail => OffGrid::Fail,
    };
    let options =
        DataOptions { instrument: instrument.clone(), id, zone, off_grid, timeframe: arguments.timeframe };
    for path in arguments.data.iter().chain(&arguments.ask) {
        // also says before a long run that a later file is missing
        progress.inc_length(std::fs::metadata(path).map_err(|e| RunError::Data(io_error(path, e)))?.len());
    }
    let asks = arguments.ask.as_deref().map(|path| open_source(path, progress)).transpose();
    let opened = progress.clone();
    let files = arguments.data.clone().into_iter().map(move |path| open_source(&path, &opened));
    let data = asks.and_then(|asks| open_recording(Box::new(files), asks, options));
    Ok(data.map_err(RunError::Data)?)
}

/// Opens a file whose reading moves the progress bar.
fn open_source(path: &Path, progress: &ProgressBar) -> Result<Source, DataError> {
    let file = File::open(path).map_err(|error| io_error(path, error))?;
    Source::new(&path.display().to_string(), progress.wrap_read(file))
}

fn io_error(path: &Path, source: io::Error) -> DataError {
    DataError::Io { file: path.display().to_string().into(), source }
}

/// Drawn on a terminal only, and gone when the run is over, well or not.
fn progress_bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {percent} % {eta}").expect("a constant template");
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
    bar.with_style(style).with_finish(ProgressFinish::AndClear)
}

/// Says before a long run that its trades could not be stored, and changes no file.
fn check_writable(path: &Path) -> Result<(), CommandError> {
    let opened = OpenOptions::new().append(true).create(true).open(path);
    opened.map(drop).map_err(|source| CommandError::Output { path: path.to_owned(), source: source.into() })
}

fn strategy(
    arguments: &Arguments,
    instrument: &Instrument,
    timeframe: Timeframe,
) -> Result<StrategyConfig, CommandError> {
    let (default_name, default_params) = DEFAULT_STRATEGY;
    let name = arguments.strategy.as_deref().unwrap_or(default_name).to_owned();
    let mut params = BTreeMap::new();
    if arguments.strategy.is_none() {
        params.extend(default_params.map(|(key, value)| (key.to_owned(), value.to_owned())));
    }
    for (key, value) in &arguments.params {
        if params.insert(key.clone(), value.clone()).is_some() {
            return Err(CommandError::RepeatedParam(key.clone()));
        }
    }
    let on_grid = |flag: &'static str, distance: Option<Distance>| {
        let stop = distance.map(|distance| distance.on(instrument)).transpose();
        stop.map_err(|source| CommandError::Distance { flag, source })
    };
    Ok(StrategyConfig {
        name,
        params,
        account: AccountId::new("backtest").expect("a constant identifier"),
        symbol: instrument.symbol.clone(),
        timeframe,
        volume: arguments.volume,
        stop_loss: on_grid("--stop-loss", arguments.stop_loss)?,
        take_profit: on_grid("--take-profit", arguments.take_profit)?,
    })
}

/// The base with one account, which the strategy trades, and nothing else that acts.
fn configure(arguments: &Arguments, base: Config, mut strategy: StrategyConfig) -> Config {
    let account = base.accounts.into_iter().next().unwrap_or_else(|| AccountConfig {
        id: strategy.account.clone(),
        label: "Backtest".to_owned(),
        mode: AccountMode::Paper,
        connector: "paper".to_owned(),
        currency: Currency::USD,
        leverage: 100,
        position_mode: PositionMode::Hedging,
        deposit: Decimal::from(10_000),
        commission_per_lot: Decimal::ZERO,
        allowed_symbols: Vec::new(),
        limits: Limits::default(),
        link: None,
        added: false,
    });
    strategy.account = account.id.clone();
    Config {
        accounts: vec![account],
        strategies: vec![strategy],
        bar_policy: match arguments.bar_policy {
            BarPolicyArgument::Pessimistic => BarPolicy::Pessimistic,
            BarPolicyArgument::Optimistic => BarPolicy::Optimistic,
            BarPolicyArgument::Path => BarPolicy::Path,
        },
        quote_max_age_ms: 0,
        ..base
    }
}

fn title(strategy: &StrategyConfig) -> String {
    let StrategyConfig { name, params, symbol, timeframe, volume, .. } = strategy;
    let params: Vec<String> = params.iter().map(|(key, value)| format!(" {key}={value}")).collect();
    format!("{symbol} {timeframe}, {name}{}, {volume} lots", params.concat())
}

fn parse_param(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(key, value)| !key.is_empty() && !value.is_empty());
    pair.map(|(key, value)| (key.to_owned(), value.to_owned()))
        .ok_or_else(|| "write a name and a value, such as fast=10".to_owned())
}

fn parse_timeframe(text: &str) -> Result<Timeframe, String> {
    let known: Vec<&str> = Timeframe::ALL.iter().map(|timeframe| timeframe.name()).collect();
    Timeframe::parse(text).ok_or_else(|| format!("known are {}", known.join(" ")))
}
