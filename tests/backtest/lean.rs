//! LEAN's archives: real ticks and real hourly bars, with their dirt.

use super::{Rows, sma_cross};
use crate::support::data_folder;
use lockstep::{
    backtest::{Outcome, run},
    domain::{
        calendar::Zone,
        config::Config,
        id::Symbol,
        instrument::{InstrumentId, Price},
        market::{Ohlc, Timeframe},
        message::Input,
        time::{HOUR_NS, UnixNanos},
    },
    quotes::{DataOptions, MarketData, OffGrid, Source, open_recording},
};
use std::{
    collections::BTreeMap,
    io::{Cursor, Read},
    path::{Path, PathBuf},
    process::Command,
};

const EURUSD: InstrumentId = InstrumentId(0);
const DAYS: [&str; 4] = ["20140501", "20140502", "20140505", "20140506"];
const HOURLY: &str = "EURUSD_H1_2007-on_lean_quote.zip";

fn tick_file(folder: &Path, day: &str) -> PathBuf {
    folder.join(format!("EURUSD_ticks_{day}_lean_quote.zip"))
}

fn options() -> DataOptions {
    DataOptions {
        instrument: Config::built_in().instruments[EURUSD.index()].clone(),
        id: EURUSD,
        zone: Zone::load("UTC-05"),
        off_grid: OffGrid::Fail,
        timeframe: None,
    }
}

fn open(files: Vec<PathBuf>) -> Box<dyn MarketData + Send> {
    let sources = files.into_iter().map(|file| Source::open(&file));
    open_recording(Box::new(sources), None, options()).expect("good data")
}

fn ticks(data: &mut dyn MarketData) -> Vec<(UnixNanos, Price, Price)> {
    let tick = |row| match row {
        Ok((at, Input::Quote { instrument: EURUSD, bid, ask })) => (at, bid, ask),
        other => panic!("{other:?}"),
    };
    data.map(tick).collect()
}

#[test]
fn or09_ticks_stand_where_the_zone_says_and_all_of_them_come_out() {
    let Some(folder) = data_folder() else { return };
    for (day, count, crossed, locked, first, last) in [
        ("20140501", 51_053, 3_991, 5_409, "2014-05-01T05:00:01.787Z", "2014-05-02T04:59:47.638Z"),
        ("20140502", 96_406, 12_061, 13_004, "2014-05-02T05:00:00.611Z", "2014-05-02T20:59:11.909Z"),
        ("20140505", 58_143, 4_987, 7_109, "2014-05-05T05:00:03.074Z", "2014-05-06T04:59:58.807Z"),
        ("20140506", 102_682, 9_999, 12_154, "2014-05-06T05:00:00.339Z", "2014-05-07T04:59:59.577Z"),
    ] {
        let mut data = open(vec![tick_file(&folder, day)]);
        let ticks = ticks(&mut *data);
        let count_where =
            |holds: fn(Price, Price) -> bool| ticks.iter().filter(|(_, bid, ask)| holds(*bid, *ask)).count();
        let counts = (ticks.len(), count_where(|bid, ask| bid > ask), count_where(|bid, ask| bid == ask));
        assert_eq!(counts, (count, crossed, locked), "{day}");
        let ends = [ticks[0].0, ticks[ticks.len() - 1].0].map(|at| at.to_string());
        assert_eq!(ends, [first, last], "{day}");
        assert!(data.counts().is_empty(), "nothing is set aside: {:?}", data.counts());
    }
}

/// The bids of each hour, by its opening.
fn hours(ticks: &[(UnixNanos, Price, Price)]) -> BTreeMap<UnixNanos, Ohlc> {
    let mut hours = BTreeMap::new();
    for (at, bid, _) in ticks {
        let first = Ohlc { open: *bid, high: *bid, low: *bid, close: *bid };
        let hour = hours.entry(at.floor(HOUR_NS)).or_insert(first);
        *hour = Ohlc { high: hour.high.max(*bid), low: hour.low.min(*bid), close: *bid, ..*hour };
    }
    hours
}

#[test]
fn or09_hourly_bars_open_at_their_stamps_and_agree_with_the_ticks() {
    let Some(folder) = data_folder() else { return };
    let mut data = open(vec![folder.join(HOURLY)]);
    assert_eq!((data.timeframe(), data.has_asks()), (Some(Timeframe::H1), true));
    let bars: Vec<_> = data
        .by_ref()
        .map(|row| match row {
            Ok((at, Input::Bar(bar))) => (at, bar),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(bars.len(), 69_928);
    assert_eq!(*data.counts(), BTreeMap::from([("crossed", 7_636)]));
    let ends = [bars[0].0, bars[bars.len() - 1].0].map(|at| at.to_string());
    assert_eq!(ends, ["2007-03-30T05:00:00Z", "2018-07-05T04:00:00Z"]);

    let mut ticks_of_days = open(DAYS.map(|day| tick_file(&folder, day)).into());
    let hours = hours(&ticks(&mut *ticks_of_days));
    let same: Vec<_> = bars.iter().filter(|(at, _)| hours.contains_key(at)).collect();
    assert_eq!((hours.len(), same.len()), (24 + 16 + 24 + 24, 24 + 16 + 24 + 24));
    for (at, bar) in same {
        assert_eq!(bar.bid, hours[at], "{at}");
    }
}

fn backtest(data: &mut dyn MarketData, timeframe: Timeframe) -> Outcome {
    let mut config = sma_cross(Some((100, 200)));
    config.strategies[0].symbol = Symbol::new("EURUSD").expect("a symbol");
    config.strategies[0].timeframe = timeframe;
    run(config, data).expect("good data")
}

#[test]
fn dt02_four_days_of_ticks_give_the_same_hash_twice_and_in_any_chunks() {
    let Some(folder) = data_folder() else { return };
    let files = DAYS.map(|day| tick_file(&folder, day));
    let whole = backtest(&mut *open(files.to_vec()), Timeframe::M1);
    assert_eq!((whole.bars, whole.quotes, whole.ambiguous_bars), (0, 308_284 - 31_038, 0));
    assert_eq!(whole.quarantined, BTreeMap::from([("crossed", 31_038)]), "EX10");
    assert!(whole.metrics.trades > 50, "{:?}", whole.metrics);
    assert_eq!(whole.metrics.trading_days, 5, "the last evening is the next day's");
    assert!(whole.trades.iter().all(|trade| trade.entry_time <= trade.exit_time));
    let again = backtest(&mut *open(files.to_vec()), Timeframe::M1);
    assert_eq!((again.result_hash, again.data_hash), (whole.result_hash, whole.data_hash));
    assert_eq!(again.trades, whole.trades);

    let packed = files.map(|file| std::fs::read(file).expect("a readable file"));
    for rows in [1, 1_000] {
        let sources = DAYS.into_iter().zip(packed.clone()).map(move |(day, bytes)| {
            let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).expect("an archive");
            let mut text = String::new();
            archive.by_index(0).expect("a file").read_to_string(&mut text).expect("text");
            Source::new(&format!("{day}.csv"), Rows { text: Cursor::new(text), rows })
        });
        let mut data = open_recording(Box::new(sources), None, options()).expect("good data");
        let chunked = backtest(&mut *data, Timeframe::M1);
        assert_eq!(chunked.result_hash, whole.result_hash, "{rows} rows at a time, not packed");
        assert_eq!(chunked.data_hash, whole.data_hash, "{rows} rows at a time, not packed");
    }
    let one_day = backtest(&mut *open(vec![tick_file(&folder, DAYS[1])]), Timeframe::M1);
    assert_ne!((one_day.result_hash, one_day.data_hash), (whole.result_hash, whole.data_hash));
}

#[test]
fn dt02_eleven_years_of_hourly_bars_give_the_same_hash_twice() {
    let Some(folder) = data_folder() else { return };
    let outcome = || backtest(&mut *open(vec![folder.join(HOURLY)]), Timeframe::H1);
    let (one, two) = (outcome(), outcome());
    assert_eq!((one.bars, one.quotes), (69_928, 4 * 69_928));
    assert_eq!(one.quarantined, BTreeMap::from([("crossed", 7_636)]));
    assert!(one.metrics.trades > 1_000, "{:?}", one.metrics);
    assert_eq!((one.result_hash, one.data_hash), (two.result_hash, two.data_hash));
    assert_eq!(one.trades, two.trades);
}

#[test]
fn the_command_reads_archives_and_says_what_it_counted() {
    let Some(folder) = data_folder() else { return };
    let lockstep = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lockstep"));
        command.args(["backtest", "--json", "--symbol", "EURUSD"]).args(arguments);
        let output =
            command.args(["--data"]).args(["20140501", "20140502"].map(|day| tick_file(&folder, day)));
        output.output().expect("it runs")
    };
    let ran = lockstep(&["--tz", "UTC-05", "--timeframe", "5m"]);
    assert_eq!((ran.status.code(), String::from_utf8_lossy(&ran.stderr).as_ref()), (Some(0), ""));
    let report: serde_json::Value = serde_json::from_slice(&ran.stdout).expect("one object");
    let crossed = 3_991 + 12_061;
    assert_eq!(report["quotes"], 51_053 + 96_406 - crossed);
    assert_eq!(report["quarantined"], serde_json::json!({ "crossed": crossed }));
    assert_eq!((&report["bars"], &report["spread"]), (&0.into(), &"bids and asks from data".into()));

    for (arguments, expected) in [
        (&[][..], "has no time zone: LEAN's files are in the data time zone of their market"),
        (&["--tz", "EST9"], "`EST9` is not a time zone"),
        (&["--tz", "UTC-05", "--ask", "Cargo.toml"], "it goes without a second file of asks"),
    ] {
        let ran = lockstep(arguments);
        let said = String::from_utf8_lossy(&ran.stderr);
        assert_eq!((ran.status.code(), said.lines().count()), (Some(1), 1), "{said}");
        assert!(said.contains(expected), "{said}");
    }
}
