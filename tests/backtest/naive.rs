//! `sma_cross` once more, in plain arithmetic over the rows of the files, trade by trade. It shares
//! nothing with the machine: whole points from the text, sums by adding up, one loop.

use super::{backtest, gbpusd, source};
use lockstep::{
    backtest::{ExitReason, Trade},
    domain::{order::Side, time::UnixNanos},
};

const FAST: usize = 10;
const SLOW: usize = 20;
/// Friday 22:00Z: winter in New York. A decision at the close finds the market closed.
const CLOSING: [&str; 4] =
    ["2012-02-03T22:00:00Z", "2012-02-10T22:00:00Z", "2012-02-17T22:00:00Z", "2012-02-24T22:00:00Z"];

/// Open, high, low, close in points.
type Prices = [i64; 4];

struct Row {
    at: i64,
    bid: Prices,
    ask: Prices,
}

fn rows(bids: &str, asks: &str) -> Vec<Row> {
    let lines = bids.lines().zip(asks.lines()).skip(1);
    let parse = |line: &str| -> (i64, Prices) {
        let fields: Vec<&str> = line.split(',').collect();
        let at = UnixNanos::parse(&fields[0].replace(' ', "T")).expect("a stamp").0;
        let points = |field: &str| field.replace('.', "").parse().expect("five digits after the point");
        (at, [points(fields[1]), points(fields[2]), points(fields[3]), points(fields[4])])
    };
    lines
        .map(|(bid, ask)| {
            let ((at, bid), (ask_at, mut ask)) = (parse(bid), parse(ask));
            assert_eq!(at, ask_at);
            for (ask, bid) in ask.iter_mut().zip(bid) {
                *ask = (*ask).max(bid);
            }
            Row { at, bid, ask }
        })
        .collect()
}

/// A trade as the naive run sees it; times are those of the bar.
#[derive(Debug, Clone, PartialEq)]
struct Plain {
    long: bool,
    entry_bar: i64,
    entry: i64,
    exit_bar: i64,
    exit: i64,
    reason: ExitReason,
}

struct Open {
    long: bool,
    bar: i64,
    price: i64,
}

impl Open {
    fn close(&self, exit_bar: i64, exit: i64, reason: ExitReason) -> Plain {
        Plain { long: self.long, entry_bar: self.bar, entry: self.price, exit_bar, exit, reason }
    }
}

fn naive(rows: &[Row], stops: Option<(i64, i64)>) -> Vec<Plain> {
    let closings: Vec<i64> = CLOSING.iter().map(|at| UnixNanos::parse(at).expect("an instant").0).collect();
    let mut trades = Vec::new();
    let mut open: Option<Open> = None;
    let mut signal: Option<bool> = None;
    let mut before: Option<std::cmp::Ordering> = None;
    for (index, row) in rows.iter().enumerate() {
        // orders of the bar before meet this one's open
        if let Some(long) = signal.take() {
            if let Some(held) = open.take_if(|held| held.long != long) {
                let exit = if held.long { row.bid[0] } else { row.ask[0] };
                trades.push(held.close(row.at, exit, ExitReason::Signal));
            }
            if open.is_none() {
                open = Some(Open { long, bar: row.at, price: if long { row.ask[0] } else { row.bid[0] } });
            }
        }
        if let (Some(held), Some((loss, profit))) = (&open, stops)
            && let Some((exit, reason)) = stopped(held, row, loss, profit)
        {
            trades.push(held.close(row.at, exit, reason));
            open = None;
        }
        if index + 1 >= SLOW {
            let sum = |count: usize| rows[index + 1 - count..=index].iter().map(|r| r.bid[3]).sum::<i64>();
            let now = (sum(FAST) * SLOW as i64).cmp(&(sum(SLOW) * FAST as i64));
            let turned = before.is_some_and(|before| now.is_ne() && before != now);
            if turned && !closings.contains(&(row.at + 60_000_000_000)) {
                signal = Some(now.is_gt());
            }
            before = Some(now);
        }
    }
    if let (Some(held), Some(last)) = (open, rows.last()) {
        let exit = if held.long { last.bid[3] } else { last.ask[3] };
        trades.push(held.close(last.at, exit, ExitReason::EndOfData));
    }
    trades
}

/// Where a bar ends a position: a gap at its open, else the stop loss before the take profit.
fn stopped(held: &Open, row: &Row, loss: i64, profit: i64) -> Option<(i64, ExitReason)> {
    // as a long position in mirrored prices
    let sign = if held.long { 1 } else { -1 };
    let side = if held.long { row.bid } else { row.ask }.map(|price| sign * price);
    let (open, best, worst) = (side[0], side[1].max(side[2]), side[1].min(side[2]));
    let (stop, target) = (sign * held.price - loss, sign * held.price + profit);
    let exit = if worst <= stop {
        (open.min(stop), ExitReason::StopLoss)
    } else if best >= target {
        (open.max(target), ExitReason::TakeProfit)
    } else {
        return None;
    };
    Some((sign * exit.0, exit.1))
}

fn check(stops: Option<(i64, i64)>) {
    let Some([bids, asks]) = gbpusd() else { return };
    let expected = naive(&rows(&bids, &asks), stops);
    let outcome = backtest(source(&bids), source(&asks), stops);
    let minute = |at: UnixNanos| at.0 - at.0.rem_euclid(60_000_000_000);
    let points = |price: rust_decimal::Decimal| i64::try_from(price.mantissa()).expect("five digits");
    let plain = |trade: &Trade| Plain {
        long: trade.side == Side::Buy,
        entry_bar: minute(trade.entry_time),
        entry: points(trade.entry_price),
        exit_bar: minute(trade.exit_time),
        exit: points(trade.exit_price),
        reason: trade.exit_reason,
    };
    assert!(expected.len() > 1_000);
    for (index, (trade, expected)) in outcome.trades.iter().zip(&expected).enumerate() {
        assert_eq!(plain(trade), *expected, "trade {index}: {trade:?}");
        // 0.1 lots of 100000: a point is worth 10 cents
        let moved = (expected.exit - expected.entry) * if expected.long { 1 } else { -1 };
        assert_eq!(trade.profit.amount(), rust_decimal::Decimal::new(moved * 10, 2), "trade {index}");
    }
    assert_eq!(outcome.trades.len(), expected.len());
    let sum: i64 = expected.iter().map(|t| (t.exit - t.entry) * if t.long { 1 } else { -1 }).sum();
    assert_eq!(outcome.metrics.final_equity, (100_000 + sum) as f64 / 10.0);
}

#[test]
fn ex01_every_trade_of_sma_cross_is_what_plain_arithmetic_says() {
    check(None);
}

#[test]
fn ex03_every_stop_and_target_is_hit_where_plain_arithmetic_says() {
    check(Some((200, 400)));
    check(Some((50, 60)));
}
