//! Backtests over real data.

mod command;
mod golden;
mod lean;
mod naive;

use crate::support::{data_folder, gunzip};
use lockstep::{
    backtest::{Outcome, run},
    domain::{
        account::{AccountConfig, AccountMode, PositionMode},
        config::{Config, Limits, StrategyConfig},
        id::{AccountId, Symbol},
        instrument::InstrumentId,
        market::Timeframe,
        money::Currency,
        order::Stop,
    },
    quotes::{CsvBars, DataOptions, OffGrid, Source},
};
use rust_decimal::Decimal;
use std::io::{Cursor, Read, Seek, SeekFrom};

const GBPUSD: usize = 1;

/// The default account and `sma_cross` 10/20 on GBPUSD, stops in ticks.
fn sma_cross(stops: Option<(i64, i64)>) -> Config {
    let id = AccountId::new("backtest").expect("an id");
    let account = AccountConfig {
        id: id.clone(),
        label: "Backtest".into(),
        mode: AccountMode::Paper,
        connector: "paper".into(),
        currency: Currency::USD,
        leverage: 100,
        position_mode: PositionMode::Hedging,
        deposit: Decimal::from(10_000),
        commission_per_lot: Decimal::ZERO,
        allowed_symbols: Vec::new(),
        limits: Limits::default(),
        link: None,
        added: false,
    };
    let params = [("fast", "10"), ("slow", "20")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    let strategy = StrategyConfig {
        name: "sma_cross".into(),
        params: params.into(),
        account: id,
        symbol: Symbol::new("GBPUSD").expect("a symbol"),
        timeframe: Timeframe::M1,
        volume: Decimal::new(1, 1),
        stop_loss: stops.map(|(loss, _)| Stop::Ticks(loss)),
        take_profit: stops.map(|(_, profit)| Stop::Ticks(profit)),
    };
    Config { accounts: vec![account], strategies: vec![strategy], ..Config::built_in() }
}

fn backtest(bids: Source, asks: Source, stops: Option<(i64, i64)>) -> Outcome {
    let config = sma_cross(stops);
    let options = DataOptions {
        instrument: config.instruments[GBPUSD].clone(),
        id: InstrumentId(GBPUSD as u16),
        zone: None,
        off_grid: OffGrid::Fail,
        timeframe: None,
    };
    let mut bars = CsvBars::new(bids, Some(asks), options).expect("good data");
    run(config, &mut bars).expect("good data")
}

/// Bids and asks of February 2012 as text.
fn gbpusd() -> Option<[String; 2]> {
    let folder = data_folder()?;
    Some(["bid", "ask"].map(|side| gunzip(&folder.join(format!("GBPUSD_M1_2012-02_{side}.csv.gz")))))
}

/// Hands out so many rows a read.
struct Rows {
    text: Cursor<String>,
    rows: usize,
}

impl Read for Rows {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let rest = &self.text.get_ref().as_bytes()[self.text.position() as usize..];
        let rest = &rest[..rest.len().min(buffer.len())];
        let count: usize = rest.split_inclusive(|byte| *byte == b'\n').take(self.rows).map(<[u8]>::len).sum();
        self.text.read(&mut buffer[..count])
    }
}

impl Seek for Rows {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.text.seek(to)
    }
}

#[test]
fn dt02_a_backtest_gives_the_same_hash_twice_and_in_any_chunks() {
    let Some(files) = gbpusd() else { return };
    let outcome = |rows: usize| {
        let [bids, asks] = files.clone().map(|text| {
            Source::new("GBPUSD", Rows { text: Cursor::new(text), rows }).expect("memory can be read")
        });
        backtest(bids, asks, Some((200, 400)))
    };
    let whole = outcome(usize::MAX);
    assert_eq!((whole.bars, whole.quotes), (30_117, 4 * 30_117));
    assert_eq!(whole.quarantined.into_iter().collect::<Vec<_>>(), [("crossed", 1_203)]);
    for rows in [usize::MAX, 1, 7, 1_000] {
        let again = outcome(rows);
        assert_eq!(again.result_hash, whole.result_hash, "{rows} rows at a time");
        assert_eq!(again.data_hash, whole.data_hash, "{rows} rows at a time");
        assert_eq!(again.trades, whole.trades, "{rows} rows at a time");
    }
    let other = backtest(source(&files[0]), source(&files[1]), Some((200, 401)));
    assert_ne!(other.result_hash, whole.result_hash);
    assert_eq!(other.data_hash, whole.data_hash);
}

fn source(text: &str) -> Source {
    Source::new("GBPUSD", Cursor::new(text.to_owned())).expect("memory can be read")
}
