//! Bars and ticks per second of a whole backtest: `sma_cross` with stops, equity, trades and hashes
//! included; over a month of generated one-minute bars that are made beforehand, and over a day of ticks
//! that are read from LEAN's layout meanwhile.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use lockstep::{
    backtest::run,
    domain::{
        calendar::Zone,
        config::{Config, StrategyConfig},
        id::Symbol,
        instrument::InstrumentId,
        market::Timeframe,
        message::Input,
        order::Stop,
        time::{DAY_NS, UnixNanos},
    },
    node::config::FileConfig,
    quotes::{DataError, DataOptions, MarketData, OffGrid, Source, SyntheticBars, open_recording},
};
use rust_decimal::Decimal;
use std::{collections::BTreeMap, fmt::Write, io::Cursor};

const DAYS: i64 = 30;
const EURUSD: usize = 0;
const TICKS: u64 = 100_000;

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
    let text = day_of_ticks();
    group.throughput(Throughput::Elements(TICKS));
    group.bench_function("ticks of sma_cross", |b| {
        b.iter_batched(
            || (config.clone(), text.clone()),
            |(config, text)| {
                let mut ticks = open_ticks(&config, text);
                run(config, &mut *ticks).expect("a run over good ticks")
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

/// Ticks of a Tuesday, every tenth of them crossed; the bid goes up and down over twenty pips.
fn day_of_ticks() -> String {
    let mut text = String::new();
    for tick in 0..TICKS {
        let bid = 38_000 + (tick % 400).min(400 - tick % 400);
        let ask = if tick % 10 == 0 { bid - 1 } else { bid + 2 };
        writeln!(text, "{},1.{bid:05},1.{ask:05}", tick * 800).expect("a text takes more");
    }
    text
}

fn open_ticks(config: &Config, text: String) -> Box<dyn MarketData + Send> {
    let options = DataOptions {
        instrument: config.instruments[EURUSD].clone(),
        id: InstrumentId(EURUSD as u16),
        zone: Some(Zone::utc()),
        off_grid: OffGrid::Fail,
        timeframe: None,
    };
    let file = Source::new("20240109_eurusd_tick_quote.csv", Cursor::new(text));
    open_recording(Box::new(std::iter::once(file)), None, options).expect("good ticks")
}

criterion_group!(benches, whole_backtest);
criterion_main!(benches);
