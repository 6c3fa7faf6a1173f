//! The run itself: configuration, data, end of data, through one machine.

use super::{
    equity::{DayRoll, EquityCurve},
    result_hash::ResultHasher,
    stats::Metrics,
    trades::{Trade, TradeLog},
};
use crate::{
    core::{ConfigError, check_config},
    domain::{
        calendar::Zone,
        config::Config,
        message::{Input, Outputs},
        money::Money,
        time::UnixNanos,
    },
    machine::{Hash, Machine},
    quotes::{DataError, MarketData},
};
use std::collections::BTreeMap;

/// Trading days in a year: of markets that close at the weekend, and of those that never do (MX01).
const PERIODS: u32 = 252;
const PERIODS_ALWAYS_OPEN: u32 = 365;

/// Why there is no outcome.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Data(#[from] DataError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(
        "a backtest has exactly one account and one strategy: the configuration has {accounts} and {strategies}"
    )]
    OneOfEach { accounts: usize, strategies: usize },
}

/// What a run came to.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Covers fills, ledger and equity: equal for equal runs, never computed from floats (MX04).
    pub result_hash: Hash,
    pub data_hash: Hash,
    /// The stamps of the first and the last input.
    pub period: Option<(UnixNanos, UnixNanos)>,
    pub bars: u64,
    /// Quotes that the machine used; a bar has four.
    pub quotes: u64,
    pub metrics: Metrics,
    pub trades: Vec<Trade>,
    /// Rows, bars and quotes that were set aside or repaired, by reason.
    pub quarantined: BTreeMap<&'static str, u64>,
    pub ambiguous_bars: u64,
}

/// Runs the one strategy of `config`, on its one account, over `data` to their end.
pub fn run(config: Config, data: &mut dyn MarketData) -> Result<Outcome, RunError> {
    run_watched(config, data, &mut |_| ())
}

/// `run`, with a look at everything that the machine puts out, step by step.
pub fn run_watched(
    config: Config,
    data: &mut dyn MarketData,
    watch: &mut dyn FnMut(&Outputs),
) -> Result<Outcome, RunError> {
    let mut run = Run::new(config)?;
    for row in &mut *data {
        let (at, input) = row?;
        run.step(at, &input, watch);
    }
    Ok(run.finish(data, watch))
}

struct Run {
    machine: Machine,
    out: Outputs,
    config: Config,
    configured: bool,
    period: Option<(UnixNanos, UnixNanos)>,
    hasher: ResultHasher,
    log: TradeLog,
    curve: EquityCurve,
    periods: u32,
}

impl Run {
    fn new(config: Config) -> Result<Self, RunError> {
        check_config(&config)?;
        let ([account], [strategy]) = (&config.accounts[..], &config.strategies[..]) else {
            let (accounts, strategies) = (config.accounts.len(), config.strategies.len());
            return Err(RunError::OneOfEach { accounts, strategies });
        };
        let instrument = config.instruments.iter().find(|i| i.symbol == strategy.symbol);
        let calendar = instrument.expect("the configuration was checked").calendar;
        let always_open = config.calendars[usize::from(calendar)].is_always();
        let roll = if always_open {
            DayRoll { zone: Zone::utc(), minute: 0 }
        } else {
            DayRoll { zone: config.day_zone.clone(), minute: config.day_minute }
        };
        let deposit = Money::of(account.deposit, account.currency);
        Ok(Self {
            machine: Machine::new(),
            out: Outputs::default(),
            configured: false,
            period: None,
            hasher: ResultHasher::new(),
            log: TradeLog::new(account.currency),
            curve: EquityCurve::new(deposit, roll),
            periods: if always_open { PERIODS_ALWAYS_OPEN } else { PERIODS },
            config,
        })
    }

    fn step(&mut self, at: UnixNanos, input: &Input, watch: &mut dyn FnMut(&Outputs)) {
        if !self.configured {
            self.configured = true;
            // just before the first row, as a replaying gateway configures itself
            self.apply(at.plus(-1), &Input::Config(Box::new(self.config.clone())), watch);
        }
        let first = self.period.map_or(at, |(first, _)| first);
        self.period = Some((first, at));
        self.apply(at, input, watch);
    }

    fn apply(&mut self, at: UnixNanos, input: &Input, watch: &mut dyn FnMut(&Outputs)) {
        let Self { machine, out, config, hasher, log, curve, .. } = self;
        let account = &config.accounts[0].id;
        machine.step_watched(at, input, out, |machine| {
            if let Some(equity) = machine.equity(account) {
                curve.add(machine.now(), equity);
                hasher.add_equity(machine.now(), equity);
            }
        });
        if !out.is_quiet() {
            hasher.add(at, out);
            log.add(out, matches!(input, Input::EndOfData));
            watch(out);
        }
    }

    fn finish(mut self, data: &dyn MarketData, watch: &mut dyn FnMut(&Outputs)) -> Outcome {
        if self.configured {
            let now = self.machine.now();
            self.apply(now, &Input::EndOfData, watch);
            if let Some(equity) = self.machine.equity(&self.config.accounts[0].id) {
                self.curve.add(now, equity);
                self.hasher.add_equity(now, equity);
            }
        }
        self.curve.end();
        let tally = self.machine.tally();
        let mut quarantined = data.counts().clone();
        for (reason, count) in tally.quarantined {
            *quarantined.entry(reason).or_default() += count;
        }
        Outcome {
            result_hash: self.hasher.finish(),
            data_hash: data.data_hash(),
            period: self.period,
            bars: tally.bars,
            quotes: tally.quotes,
            metrics: Metrics::new(self.log.trades(), &self.curve, self.periods, self.log.refused()),
            trades: self.log.trades().to_vec(),
            quarantined,
            ambiguous_bars: tally.ambiguous_bars,
        }
    }
}
