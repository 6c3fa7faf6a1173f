//! Bars per second of a whole backtest: `sma_cross` with stops over a month of generated one-minute bars,
//! equity, trades and hashes included. The bars are made beforehand.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use lockstep::{
    backtest::run,
    domain::{
        config::{Config, StrategyConfig},
        id::Symbol,
        instrument::InstrumentId,
        market::Timeframe,
        message::Input,
        order::Stop,
        time::{DAY_NS, UnixNanos},
    },
    node::config::FileConfig,
    quotes::{DataError, MarketData, SyntheticBars},
};
use rust_decimal::Decimal;
use std::collections::BTreeMap;

const DAYS: i64 = 30;
const EURUSD: usize = 0;

/// Bars in memory.
struct Bars {
    rows: std::vec::IntoIter<(UnixNanos, Input)>,
    counts: BTreeMap<&'static str, u64>,
}

impl Iterator for Bars {
    type Item = Result<(UnixNanos, Input), DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.rows.next().map(Ok)
    }
}

impl MarketData for Bars {
    fn timeframe(&self) -> Option<Timeframe> {
        Some(Timeframe::M1)
    }

    fn has_asks(&self) -> bool {
        true
    }

    fn counts(&self) -> &BTreeMap<&'static str, u64> {
        &self.counts
    }

    fn data_hash(&self) -> blake3::Hash {
        blake3::hash(b"not measured")
    }
}

fn config() -> Config {
    let file = FileConfig::default();
    let strategy = StrategyConfig {
        name: "sma_cross".to_owned(),
        params: [("fast", "10"), ("slow", "20")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
        account: file.accounts[0].id.clone(),
        symbol: Symbol::new("EURUSD").expect("a symbol"),
        timeframe: Timeframe::M1,
        volume: Decimal::new(1, 1),
        stop_loss: Some(Stop::Ticks(200)),
        take_profit: Some(Stop::Ticks(400)),
    };
    file.to_config(vec![strategy], false)
}

fn month(config: &Config) -> Vec<(UnixNanos, Input)> {
    let instrument = &config.instruments[EURUSD];
    let calendar = &config.calendars[usize::from(instrument.calendar)];
    let from = UnixNanos::parse("2024-01-08T00:00:00Z").expect("an instant");
    let id = InstrumentId(EURUSD as u16);
    let bars = SyntheticBars::new(0, id, instrument, calendar, from, from.plus(DAYS * DAY_NS));
    bars.map(|bar| bar.expect("generated bars are good")).collect()
}

fn whole_backtest(c: &mut Criterion) {
    let config = config();
    let rows = month(&config);
    let mut group = c.benchmark_group("backtest");
    group.throughput(Throughput::Elements(rows.len() as u64)).sample_size(20);
    group.bench_function("bars of sma_cross", |b| {
        b.iter_batched(
            || (config.clone(), Bars { rows: rows.clone().into_iter(), counts: BTreeMap::new() }),
            |(config, mut bars)| run(config, &mut bars).expect("a run over good bars"),
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

criterion_group!(benches, whole_backtest);
criterion_main!(benches);
