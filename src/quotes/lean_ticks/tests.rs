//! What comes out of tick files, what is set aside, and what stops the reading.

use super::*;
use crate::{
    domain::{
        calendar::Zone,
        config::Config,
        instrument::InstrumentId,
        time::{DAY_NS, MILLI_NS},
    },
    quotes::{
        OffGrid, open_recording,
        testing::{Chunks, source, zip},
    },
};
use std::io::Cursor;

const MEMBER: &str = "20140502_eurusd_tick_quote.csv";

fn options(off_grid: OffGrid) -> DataOptions {
    let instrument = Config::built_in().instruments[0].clone();
    DataOptions { instrument, id: InstrumentId(0), zone: Zone::load("UTC-05"), off_grid, timeframe: None }
}

#[derive(Debug, PartialEq)]
struct Content {
    /// Milliseconds after 2014-05-02 00:00 local time, bid, ask.
    ticks: Vec<(i64, i64, i64)>,
    counts: Vec<(&'static str, u64)>,
    hash: blake3::Hash,
}

fn read(files: Vec<Source>, options: DataOptions) -> Result<Content, DataError> {
    let midnight = UnixNanos::parse("2014-05-02T05:00:00Z").expect("an instant");
    let mut reader = open_recording(Box::new(files.into_iter().map(Ok)), None, options)?;
    assert_eq!((reader.timeframe(), reader.has_asks()), (None, true));
    let mut ticks = Vec::new();
    for row in reader.by_ref() {
        match row? {
            (at, Input::Quote { instrument: InstrumentId(0), bid, ask }) => {
                ticks.push((at.since(midnight) / MILLI_NS, bid.0, ask.0));
            }
            other => panic!("{other:?}"),
        }
    }
    let counts = reader.counts().iter().map(|(reason, count)| (*reason, *count)).collect();
    Ok(Content { ticks, counts, hash: reader.data_hash() })
}

fn archive(text: &str) -> Source {
    source("EURUSD.zip", zip(&[(MEMBER, text)]))
}

#[test]
fn ex10_every_tick_that_is_a_pair_of_numbers_is_left_to_the_machine() {
    let text = "611,1.38626,1.38627\n809,1.38626,1.38626\r\n809,1.38630,1.38626\n\n\
                810,0,1.38626\n811,-1.38626,1.38626\n812,nan,1.38626\n813,1.38626,NaN\n\
                814,-1e20,1.38626\n86399999,1.3862,1.3863";
    let content = read(vec![archive(text)], options(OffGrid::Fail)).expect("good");
    assert_eq!(
        content.ticks,
        [
            (611, 138_626, 138_627),
            (809, 138_626, 138_626),
            (809, 138_630, 138_626),
            (810, 0, 138_626),
            (811, -138_626, 138_626),
            (814, i64::MIN, 138_626),
            (86_399_999, 138_620, 138_630),
        ]
    );
    assert_eq!(content.counts, [("nan", 2)]);
}

#[test]
fn ex13_prices_off_the_grid_are_snapped_and_a_crossed_quote_stays_crossed() {
    let text = "1,1.386261,1.386271\n2,1.386265,1.386264\n3,1.3,1.3\n4,0.000001,1.3\n";
    let content = read(vec![archive(text)], options(OffGrid::Snap)).expect("good");
    let expected = [(1, 138_626, 138_628), (2, 138_627, 138_626), (3, 130_000, 130_000), (4, 0, 130_000)];
    assert_eq!(content.ticks, expected);
    assert_eq!(content.counts, [("off_grid", 3)]);
    let error = read(vec![archive(text)], options(OffGrid::Fail)).expect_err("off the grid").to_string();
    let expected = "EURUSD.zip: line 1, column `bid`: `1.386261` is not a multiple of EURUSD's tick 0.00001; \
                    --offgrid snap rounds bids down and asks up";
    assert_eq!(error, expected);
}

#[test]
fn days_follow_each_other_as_if_they_were_one_file() {
    let day = |name: &str, text: &str| source("EURUSD.zip", zip(&[(name, text)]));
    let rows = ["1,1.3,1.4\n7,1.3,1.4\n", "0,1.3,1.4\n0,1.3,1.5\n"];
    let next = "20140503_eurusd_tick_quote.csv";
    let both = read(vec![day(MEMBER, rows[0]), day(next, rows[1])], options(OffGrid::Snap)).expect("good");
    let stamps: Vec<i64> = both.ticks.iter().map(|tick| tick.0).collect();
    assert_eq!(stamps, [1, 7, DAY_NS / MILLI_NS, DAY_NS / MILLI_NS]);
    let again = [rows[0], rows[1]].concat().replace("0,1.3,1.4\n0,", "7,1.3,1.4\n7,");
    let one = read(vec![archive(&again)], options(OffGrid::Snap)).expect("good");
    let cut = vec![archive(rows[0]), archive("7,1.3,1.4\n"), archive("7,1.3,1.5\n")];
    assert_eq!(read(cut, options(OffGrid::Snap)).expect("good"), one, "cut between ticks of one stamp");

    let error = read(vec![day(next, rows[0]), day(MEMBER, rows[1])], options(OffGrid::Snap));
    let expected = "EURUSD.zip: line 1, column `time`: `0`: time goes back: the row before is stamped \
                    2014-05-03T05:00:00.007Z";
    assert_eq!(error.expect_err("the wrong order").to_string(), expected);
}

#[test]
fn dt02_reading_does_not_depend_on_chunks_or_packing() {
    let text: String =
        (0..500).map(|i| format!("{},1.{:05},1.{:05}\n", i / 3, 38_000 + i, 38_002 + i % 7)).collect();
    let whole = read(vec![archive(&text)], options(OffGrid::Snap)).expect("whole");
    assert_eq!(whole.ticks.len(), 500);
    for (lines, bytes) in [(1, usize::MAX), (usize::MAX, 1), (usize::MAX, 7), (3, 1_000)] {
        for content in [text.clone().into_bytes(), zip(&[(MEMBER, &text)])] {
            let chunks = Chunks { content: Cursor::new(content), lines, bytes };
            let source = Source::new(&format!("ticks/{MEMBER}"), chunks).expect("opens");
            let content = read(vec![source], options(OffGrid::Snap)).expect("chunks");
            assert_eq!(content, whole, "{lines} lines, {bytes} bytes");
        }
    }
}

#[track_caller]
fn check_stops(text: &str, expected: &str) {
    let error = read(vec![archive(text)], options(OffGrid::Snap)).expect_err(expected);
    assert_eq!(error.to_string(), format!("EURUSD.zip: {expected}"));
}

#[test]
fn what_cannot_be_right_stops_the_reading_and_says_where() {
    let first = "5,1.3,1.4\n";
    check_stops(
        &format!("{first}4,1.3,1.4\n"),
        "line 2, column `time`: `4`: time goes back: the row before is stamped 2014-05-02T05:00:00.005Z",
    );
    check_stops(
        &format!("{first}86400000,1.3,1.4\n"),
        "line 2, column `time`: `86400000` is not a time: expected milliseconds since midnight, 0 to 86399999",
    );
    check_stops(&format!("{first}6,1.3,x\n"), "line 2, column `ask`: `x` is not a price");
    check_stops(&format!("{first}6,1.3,\n"), "line 2, column `ask`: `` is not a price");
    check_stops(
        &format!("{first}6,1.3\n"),
        "line 2: column `ask` is missing: the row has 2 of 3 fields: `6,1.3`",
    );
    check_stops(
        &format!("{first}6,1.3,1.4,9\n"),
        "line 2: the row has 4 fields, not 3; the first without a column is `9`",
    );
    check_stops(
        &format!("{first}6,1.3,1e9\n"),
        &format!(
            "line 2, column `ask`: `1e9` exceeds {}, the largest price of EURUSD",
            options(OffGrid::Snap).instrument.price(options(OffGrid::Snap).instrument.price_max)
        ),
    );
}

#[test]
fn a_recording_is_one_kind_of_data() {
    let ticks = || archive("5,1.3,1.4\n");
    let bars = || source("bars.csv", "timestamp,open,high,low,close\n2014-05-02T00:00:00Z,1,1,1,1\n");
    for (files, asks, expected) in [
        (vec![ticks(), bars()], None, "bars.csv holds bars, and comes after a file of ticks"),
        (vec![bars(), ticks()], None, "bars.csv holds bars, and other files follow it"),
        (
            vec![ticks()],
            Some(bars()),
            "EURUSD.zip holds bids and asks: it goes without a second file of asks",
        ),
        (vec![bars()], Some(ticks()), "EURUSD.zip holds ticks, and bars are expected"),
        (vec![], None, "there is no file of data"),
    ] {
        let opened = open_recording(Box::new(files.into_iter().map(Ok)), asks, options(OffGrid::Snap));
        let error = opened.and_then(|data| data.collect::<Result<Vec<_>, _>>());
        let error = error.expect_err(expected).to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn an_archive_that_is_not_one_sound_csv_file_is_refused_in_one_line() {
    let tick = "5,1.3,1.4\n";
    let refusal = |content: Vec<u8>| {
        let source = Source::new("a.zip", Cursor::new(content));
        let read = source.and_then(|source| read(vec![source], options(OffGrid::Snap)));
        read.map(|content| content.hash).expect_err("refused").to_string()
    };
    let one = "a.zip: the archive must hold one CSV file, and nothing else";
    assert_eq!(refusal(zip(&[])), one);
    assert_eq!(refusal(zip(&[(MEMBER, tick), ("b.csv", tick)])), one);
    assert_eq!(refusal(zip(&[("a.txt", tick)])), "a.zip: the archive's file `a.txt` is not a CSV file");
    let no_day = refusal(zip(&[("eurusd.csv", tick)]));
    assert!(
        no_day.starts_with("a.zip: rows are stamped in milliseconds since midnight, and no name"),
        "{no_day}"
    );
    let trades = refusal(zip(&[(MEMBER, "5,1,1,1,1,7\n")]));
    assert!(trades.starts_with("a.zip: the first line `5,1,1,1,1,7` is no header"), "{trades}");
    let other = refusal(zip(&[("a.csv", "a,b\n1,2\n")]));
    assert!(other.starts_with("a.zip: line 1: no column `timestamp`"), "{other}");
    let endless = refusal(zip(&[("a.csv", &"x".repeat(1_000_000))]));
    assert_eq!(endless, "a.zip: a line is longer than 65536 bytes");

    let text: String = (0..2_000).map(|i| format!("{i},1.3,1.{}\n", 4_000 + i * 7 % 5_000)).collect();
    let sound = zip(&[(MEMBER, &text)]);
    let cut = refusal(sound[..sound.len() / 2].to_vec());
    assert!(cut.starts_with("a.zip: the archive cannot be read: "), "{cut}");
    let directory = sound.windows(4).rposition(|bytes| bytes == b"PK\x01\x02").expect("a directory");
    for (place, what) in [(16, "checksum"), (21, "packed size"), (24, "size")] {
        let mut altered = sound.clone();
        altered[directory + place] = altered[directory + place].wrapping_sub(1);
        let error = refusal(altered);
        assert!(error.starts_with("a.zip: "), "{what}: {error}");
    }
}
