//! Every way in which a file can be wrong, and that reading does not depend on how it is cut up.

use super::*;
use crate::{
    domain::{calendar::Zone, config::Config, instrument::InstrumentId},
    quotes::{
        OffGrid,
        testing::{Chunks, source, zip},
    },
};
use flate2::{Compression, read::GzEncoder};
use std::io::{Cursor, Read};

const HEADER: &str = "timestamp,open,high,low,close";

fn options(symbol: usize) -> DataOptions {
    let instrument = Config::built_in().instruments[symbol].clone();
    let id = InstrumentId(symbol as u16);
    DataOptions { instrument, id, zone: None, off_grid: OffGrid::Snap, timeframe: None }
}

fn gbpusd() -> DataOptions {
    options(1)
}

/// Rows of `HH:MM open high low close`, blanks as separators, under the usual header.
fn file(rows: &[&str]) -> String {
    let rows =
        rows.iter().map(|row| format!("2012-02-01T{}\n", row.replacen(' ', ":00Z,", 1).replace(' ', ",")));
    format!("{HEADER}\n{}", rows.collect::<String>())
}

#[derive(Debug, PartialEq)]
struct Content {
    bars: Vec<(UnixNanos, Bar)>,
    counts: Vec<(&'static str, u64)>,
    timeframe: Timeframe,
    hash: blake3::Hash,
}

fn read(bids: Source, asks: Option<Source>, options: DataOptions) -> Result<Content, DataError> {
    let mut reader = CsvBars::new(bids, asks, options)?;
    let mut bars = Vec::new();
    for row in reader.by_ref() {
        match row? {
            (at, Input::Bar(bar)) => bars.push((at, bar)),
            other => panic!("{other:?}"),
        }
    }
    let counts = reader.counts().iter().map(|(reason, count)| (*reason, *count)).collect();
    Ok(Content { bars, counts, timeframe: reader.timeframe().expect("bars"), hash: reader.data_hash() })
}

/// What stops a reading says where, and quotes it.
fn check_stops(text: &str, options: DataOptions, expected: &str) {
    let error = read(source("bid.csv", text.to_owned()), None, options).expect_err(expected);
    assert_eq!(error.to_string(), expected, "{text}");
}

#[test]
fn what_cannot_be_read_stops_naming_file_line_column_and_value() {
    let good = "00:00 1.5 1.6 1.4 1.5";
    for (rows, expected) in [
        (vec![good, "00:01 1.5 1.6 1.4 abc"], "bid.csv: line 3, column `close`: `abc` is not a price"),
        (vec!["00:00 1.5 inf 1.4 1.5"], "bid.csv: line 2, column `high`: `inf` is not a price"),
        (vec!["00:00  1.6 1.4 1.5"], "bid.csv: line 2, column `open`: `` is not a price"),
        (
            vec![good, "00:01 1.5 1.6 1.4"],
            "bid.csv: line 3: column `close` is missing: the row has 4 of 5 fields: \
             `2012-02-01T00:01:00Z,1.5,1.6,1.4`",
        ),
        (
            vec!["00:00 1 5 1 6 1 4 1 5"],
            "bid.csv: line 2: the row has 9 fields, not 5; the first without a column is `1`",
        ),
        (
            vec![good, "00:01 1.5 1.3 1.4 1.5"],
            "bid.csv: line 3, column `high`: `1.3` is below the low of 1.4",
        ),
        (
            vec![good, "00:01 1.7 1.6 1.4 1.5"],
            "bid.csv: line 3, column `open`: `1.7` lies outside the bar's range of 1.4 to 1.6",
        ),
        (
            vec![good, "00:01 1.5 1.6 1.4 1.39999"],
            "bid.csv: line 3, column `close`: `1.39999` lies outside the bar's range of 1.4 to 1.6",
        ),
        (
            vec![good, good],
            "bid.csv: line 3, column `timestamp`: `2012-02-01T00:00:00Z`: time does not increase: \
             the row before is stamped 2012-02-01T00:00:00Z",
        ),
        (
            vec!["00:02 0 0 0 0", good],
            "bid.csv: line 3, column `timestamp`: `2012-02-01T00:00:00Z`: time does not increase: \
             the row before is stamped 2012-02-01T00:02:00Z",
        ),
        (
            vec!["00:99 1.5 1.6 1.4 1.5"],
            "bid.csv: line 2, column `timestamp`: `2012-02-01T00:99:00Z` is not a time: \
             expected such as `2012-02-01 00:00:00` or `2012-02-01T00:00:00Z`",
        ),
        (
            vec!["00:00 1.5 100000 1.4 1.5"],
            "bid.csv: line 2, column `high`: `100000` exceeds 10000.00000, the largest price of GBPUSD",
        ),
        (vec![], "bid.csv: there is no row of data"),
        (vec!["00:00 nan nan nan nan"], "bid.csv: there is no row of data"),
    ] {
        check_stops(&file(&rows), gbpusd(), expected);
    }
}

#[test]
fn headers_that_lack_or_repeat_a_column_stop() {
    let no = "bid.csv: line 1: no column";
    let names = "the header must name timestamp, open, high, low and close";
    for (text, expected) in [
        ("timestamp,open,high,low\n", format!("{no} `close`: {names}")),
        ("time,open,high,low,close\n", format!("{no} `timestamp`: {names}")),
        ("timestamp,open,high,low,close,Close\n", "bid.csv: line 1: the column `close` occurs twice".into()),
        ("", "bid.csv: there is no row of data".into()),
    ] {
        check_stops(text, gbpusd(), &expected);
    }
}

#[test]
fn ex13_off_grid_prices_stop_or_snap_bids_down_and_asks_up() {
    let rows = file(&["00:00 1.500005 1.6 1.4 1.5", "00:01 1.5 1.6 1.4 1.5"]);
    let fail = DataOptions { off_grid: OffGrid::Fail, ..gbpusd() };
    let expected = "bid.csv: line 2, column `open`: `1.500005` is not a multiple of GBPUSD's tick 0.00001; \
                    --offgrid snap rounds bids down and asks up";
    check_stops(&rows, fail, expected);

    let both =
        read(source("bid.csv", rows.clone()), Some(source("ask.csv", rows)), gbpusd()).expect("it snaps");
    let bar = both.bars[0].1;
    assert_eq!((bar.bid.open, bar.ask.open), (Price(150_000), Price(150_001)));
    assert_eq!(both.counts, [("off_grid", 1)]);
}

#[test]
fn ex10_bad_rows_are_set_aside_and_counted_by_reason() {
    let good = ["00:00 1.5 1.6 1.4 1.5", "00:04 1.5 1.6 1.4 1.5", "00:05 1.5 1.6 1.4 1.5"];
    for (bad, reason) in [
        ("00:02 NaN 1.6 1.4 1.5", "nan"),
        ("00:02 1.5 -nan 0 -1", "nan"),
        ("00:02 1.5 1.6 -1.4 0", "negative"),
        ("00:02 0 0.00000 0 0", "zero"),
    ] {
        let with_bad = file(&[good[0], bad, good[1], good[2]]);
        let clean = read(source("a", file(&good)), None, gbpusd()).expect("clean");
        let dirty = read(source("a", with_bad.clone()), None, gbpusd()).expect("dirty");
        assert_eq!(dirty.counts, [(reason, 1)], "{bad}");
        assert_eq!((&dirty.bars, dirty.hash), (&clean.bars, clean.hash), "{bad}");

        // a fault on either side sets the pair aside
        let all = file(&[good[0], "00:02 1.5 1.6 1.4 1.5", good[1], good[2]]);
        for (bid, ask) in [(&all, &with_bad), (&with_bad, &all)] {
            let pair =
                read(source("a", bid.clone()), Some(source("b", ask.clone())), gbpusd()).expect("a pair");
            assert_eq!((pair.counts, pair.bars.len()), (vec![(reason, 1)], 3), "{bad}");
        }
    }
}

#[test]
fn ex13_a_bid_that_snaps_to_nothing_is_zero() {
    let less_than_a_tick = file(&["00:00 1.5 1.6 1.4 1.5", "00:02 0.000009 0.00001 0.000009 0.00001"]);
    let content = read(source("a", less_than_a_tick), None, gbpusd()).expect("one bar");
    assert_eq!((content.bars.len(), content.counts), (1, vec![("zero", 1)]));
}

#[test]
fn ex10_crossed_bars_are_repaired_field_by_field() {
    let (bids, asks) = (file(&["00:00 1.5 1.6 1.4 1.5"]), file(&["00:00 1.49999 1.61 1.4 1.50001"]));
    let content = read(source("a", bids), Some(source("b", asks)), gbpusd()).expect("repaired");
    let ask = ohlc([150_000, 161_000, 140_000, 150_001].map(Price));
    assert_eq!((content.bars[0].1.ask, content.counts), (ask, vec![("crossed", 1)]));
}

#[test]
fn ex02_bids_alone_get_the_default_spread() {
    let content = read(source("a", file(&["00:00 1.5 1.6 1.4 1.5"])), None, gbpusd()).expect("bids");
    let Bar { bid, ask, .. } = content.bars[0].1;
    assert_eq!((bid.open, ask.open, ask.low), (Price(150_000), Price(150_015), Price(140_015)));
}

#[test]
fn stamps_of_one_side_only_are_left_out_and_counted() {
    let row = |at: &str| format!("{at} 1.5 1.6 1.4 1.5");
    let side = |stamps: &[&str]| {
        let rows: Vec<String> = stamps.iter().map(|at| row(at)).collect();
        source("a", file(&rows.iter().map(String::as_str).collect::<Vec<_>>()))
    };
    let content =
        read(side(&["00:00", "00:02", "00:03", "00:05"]), Some(side(&["00:01", "00:02", "00:03"])), gbpusd());
    let content = content.expect("two pairs");
    assert_eq!((content.bars.len(), content.counts), (2, vec![("unpaired", 3)]));

    let error = read(side(&["00:00"]), Some(side(&["00:01"])), gbpusd()).expect_err("nothing pairs");
    assert!(matches!(error, DataError::NothingPairs { .. }), "{error}");
}

#[test]
fn the_length_of_bars_is_what_divides_all_gaps() {
    let row = |at: &str| format!("{at} 1.5 1.6 1.4 1.5");
    for (stamps, timeframe) in [
        (vec!["00:00"], Timeframe::M1),
        (vec!["00:00", "00:01", "00:05"], Timeframe::M1),
        (vec!["00:00", "00:02", "00:05"], Timeframe::M1),
        (vec!["00:00", "00:15", "01:00"], Timeframe::M15),
        (vec!["00:00", "10:00"], Timeframe::H1),
    ] {
        let rows: Vec<String> = stamps.iter().map(|at| row(at)).collect();
        let text = file(&rows.iter().map(String::as_str).collect::<Vec<_>>());
        let content = read(source("a", text), None, gbpusd()).expect("bars");
        assert_eq!(content.timeframe, timeframe, "{stamps:?}");
        assert!(content.bars.iter().all(|(_, bar)| bar.len_ns == timeframe.len_ns()));
    }

    let text = file(&[&row("00:00"), &row("00:02")]);
    let stated = DataOptions { timeframe: Some(Timeframe::M5), ..gbpusd() };
    let expected = "bid.csv: line 3, column `timestamp`: `2012-02-01T00:02:00Z`: a bar of 5m that opened at \
                    2012-02-01T00:00:00Z has not ended; state the bars' length with --timeframe";
    check_stops(&text, stated, expected);
    let seconds = format!("{HEADER}\n2012-02-01T00:00:00Z,1,1,1,1\n2012-02-01T00:00:10Z,1,1,1,1\n");
    let expected = "bid.csv: bars open at 2012-02-01T00:00:00Z and 2012-02-01T00:00:10Z: \
                    bars shorter than a minute are not supported";
    check_stops(&seconds, gbpusd(), expected);
}

#[test]
fn or09_local_stamps_need_a_zone() {
    let text = format!("{HEADER}\n2012-02-01 00:00:00,1,1,1,1\n");
    let expected = "bid.csv: line 2, column `timestamp`: `2012-02-01 00:00:00` has no time zone: \
                    name the zone of the file's clock with --tz, such as --tz Europe/London";
    check_stops(&text, gbpusd(), expected);
    let zone = Zone::load("America/New_York");
    let content = read(source("a", text), None, DataOptions { zone, ..gbpusd() }).expect("a zone");
    assert_eq!(content.bars[0].0.to_string(), "2012-02-01T05:00:00Z");
}

/// A file of 3,000 bars with every kind of dirt that does not stop.
fn long_file() -> String {
    let mut text = "\u{feff}Volume,TIMESTAMP,Open,High,Low,Close\r\n".to_owned();
    for minute in 0..3_000_i64 {
        let at = UnixNanos::parse("2012-02-01T00:00:00Z").expect("an instant").plus(minute * 60_000_000_000);
        let open = match minute % 100 {
            17 => "NaN".to_owned(),
            31 => "0".to_owned(),
            73 => "1.560005".to_owned(),
            _ => format!("1.5{:04}", (minute * 37) % 9_000),
        };
        text += &format!("{minute}.25,{at},{open},1.6,1.49,1.55\r\n");
    }
    text
}

#[test]
fn dt02_reading_does_not_depend_on_chunks_or_compression() {
    let text = long_file();
    let whole = read(source("a", text.clone()), None, gbpusd()).expect("whole");
    assert_eq!(whole.counts, [("nan", 30), ("off_grid", 30), ("zero", 30)]);
    let mut gz = Vec::new();
    GzEncoder::new(text.as_bytes(), Compression::fast()).read_to_end(&mut gz).expect("memory");
    let all = usize::MAX;
    for (lines, bytes) in [(1, all), (7, all), (1_000, all), (all, 1), (all, 7), (all, 1_000)] {
        for text in [text.as_bytes(), &gz] {
            let chunks = Chunks { content: Cursor::new(text.to_vec()), lines, bytes };
            let content = read(Source::new("a", chunks).expect("opens"), None, gbpusd()).expect("chunks");
            assert_eq!(content, whole, "{lines} lines, {bytes} bytes");
        }
    }
}

#[test]
fn a_truncated_archive_and_an_endless_line_are_errors() {
    let mut gz = Vec::new();
    GzEncoder::new(long_file().as_bytes(), Compression::fast()).read_to_end(&mut gz).expect("memory");
    gz.truncate(gz.len() / 2);
    let error = Source::new("half.gz", Cursor::new(gz)).and_then(|half| read(half, None, gbpusd()));
    assert!(matches!(error, Err(DataError::Io { .. })), "{error:?}");

    let endless = source("endless.csv", format!("{HEADER}\n{}", "1".repeat(100_000)));
    let error = read(endless, None, gbpusd()).expect_err("endless");
    assert_eq!(error.to_string(), "endless.csv: a line is longer than 65536 bytes");
}

/// LEAN's bars in an archive.
fn lean(text: &str) -> Result<Content, DataError> {
    let zone = Zone::load("UTC-05");
    read(source("h1.zip", zip(&[("eurusd.csv", text)])), None, DataOptions { zone, ..options(0) })
}

#[test]
fn or09_lean_bars_are_stamped_with_their_opening_and_hold_both_sides() {
    let text = "20070330 00:00,1.33141,1.33231,1.33131,1.33201,0,1.33149,1.33239,1.33139,1.33199,0\n\
                20070330 01:00,1.33191,1.33211,1.32991,1.33041,0,1.33199,1.33209,1.32999,1.33039,0\n\
                20070330 02:00,,,,,,1.33199,1.33209,1.32999,1.33039,0\n\
                20070330 03:00,1.1,1.1,1.1,1.1,0,0,1.1,1.1,1.1,0\n\
                20070330 04:00,1.1,1.1,1.1,1.1,0,1.100001,1.2,1.1,1.100001,0\n";
    let content = lean(text).expect("good");
    assert_eq!(content.timeframe, Timeframe::H1);
    assert_eq!(content.counts, [("crossed", 2), ("off_grid", 1), ("unpaired", 1), ("zero", 1)]);
    let stamps: Vec<String> = content.bars.iter().map(|(at, _)| at.to_string()).collect();
    assert_eq!(stamps, ["2007-03-30T05:00:00Z", "2007-03-30T06:00:00Z", "2007-03-30T09:00:00Z"]);
    let bar = content.bars[0].1;
    let side = |open, high, low, close| ohlc([open, high, low, close].map(Price));
    assert_eq!(bar.bid, side(133_141, 133_231, 133_131, 133_201));
    assert_eq!(bar.ask, side(133_149, 133_239, 133_139, 133_201), "the crossed close is repaired");
    assert_eq!(content.bars[2].1.bid, side(110_000, 110_000, 110_000, 110_000), "bids down");
    assert_eq!(content.bars[2].1.ask, side(110_001, 120_000, 110_000, 110_001), "asks up");
}

#[test]
fn lean_bars_that_cannot_be_right_stop_the_reading() {
    let good = "20070330 00:00,1,1,1,1,0,1,1,1,1,0";
    for (row, expected) in [
        (
            "20070330 00:00,1,1,1,1,0,1,1,1,1,0",
            "column `time`: `20070330 00:00`: time does not increase: the row before is stamped 2007-03-30T05:00:00Z",
        ),
        ("20070330 01:00,1,1,1,1,0,1,1,x,1,0", "column `ask low`: `x` is not a price"),
        (
            "20070330 01:00,1,2,1,3,0,1,1,1,1,0",
            "column `bid close`: `3` lies outside the bar's range of 1 to 2",
        ),
        (
            "20070330 01:00,1,1,1,1,0,1,1,1",
            "column `ask close` is missing: the row has 9 of 11 fields: `20070330 01:00,1,1,1,1,0,1,1,1`",
        ),
        (
            "20070330 01:00,1,1,1,1,0,1,1,1,1,0,7",
            "the row has 12 fields, not 11; the first without a column is `7`",
        ),
        (
            "60000,1,1,1,1,0,1,1,1,1,0",
            "column `time`: `60000` is not a time: expected a time such as `20140502 17:00`",
        ),
    ] {
        let error = lean(&format!("{good}\n{row}\n")).expect_err(expected).to_string();
        let (place, said) = error.split_once("line 2").expect("the second line");
        assert_eq!((place, said.trim_start_matches([':', ',', ' '])), ("h1.zip: ", expected));
    }
    let alone = |bids: &str, asks: Option<&str>| {
        let open = |text: &str| source("a.csv", text);
        read(open(bids), asks.map(open), options(0)).expect_err("refused").to_string()
    };
    let named = file(&["00:00 1 1 1 1"]);
    let both = "a.csv holds bids and asks: it goes without a second file of asks";
    assert_eq!(alone(good, Some(&named)), both);
    assert_eq!(alone(&named, Some(good)), both);
    assert!(alone(good, None).contains("LEAN's files are in the data time zone of their market"));
}
