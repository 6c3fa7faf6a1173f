//! EX: what triggers, at which price, and in which order things happen.

use super::rig::{Ask, Rig, account_id, at, buy, dec, sell, symbol};
use lockstep::domain::{
    config::StrategyConfig,
    instrument::Price,
    market::{Bar, BarPolicy, Ohlc, Timeframe},
    message::{FeedEvent, Input, Mark},
    order::Stop,
    time::{MINUTE_NS, SECOND_NS},
};
use std::collections::BTreeMap;

/// An order at 1.10000/1.10010, then one quote: what trades at it.
fn check_tick(order: Ask, quote: (&str, &str), expected: &[&str]) {
    let mut rig = Rig::new();
    rig.quote("EURUSD", "1.10000", "1.10010");
    rig.place(order.clone()).expect("taken");
    rig.trades();
    rig.wait(SECOND_NS).quote("EURUSD", quote.0, quote.1);
    assert_eq!(rig.trades(), expected, "{:?} at {quote:?}", order.0);
}

#[test]
fn ex01_market_orders_trade_at_the_far_side() {
    let mut rig = Rig::new();
    rig.quote("EURUSD", "1.10000", "1.10010");
    rig.open(buy("EURUSD", "0.10"));
    rig.open(sell("EURUSD", "0.10"));
    assert_eq!(rig.trades(), ["buy 0.10 1.10010 order", "sell 0.10 1.10000 order"]);
    for position in rig.view().positions {
        rig.close(position.position_id).expect("closed");
    }
    assert_eq!(rig.trades(), ["sell 0.10 1.10000 order", "buy 0.10 1.10010 order"]);
}

#[test]
fn ex01_buys_and_exits_of_shorts_look_at_the_ask_the_others_at_the_bid() {
    let limit_buy = || buy("EURUSD", "0.10").limit("1.09900");
    check_tick(limit_buy(), ("1.09890", "1.09901"), &[]);
    check_tick(limit_buy(), ("1.09890", "1.09900"), &["buy 0.10 1.09900 order"]);
    let limit_sell = || sell("EURUSD", "0.10").limit("1.10100");
    check_tick(limit_sell(), ("1.10099", "1.10120"), &[]);
    check_tick(limit_sell(), ("1.10100", "1.10120"), &["sell 0.10 1.10100 order"]);
    let long = || buy("EURUSD", "0.10").sl("1.09900").tp("1.10100");
    check_tick(long(), ("1.09901", "1.09911"), &[]);
    check_tick(long(), ("1.09900", "1.09910"), &["sell 0.10 1.09900 stop_loss"]);
    check_tick(long(), ("1.10099", "1.10120"), &[]);
    check_tick(long(), ("1.10100", "1.10120"), &["sell 0.10 1.10100 take_profit"]);
    let short = || sell("EURUSD", "0.10").sl("1.10100").tp("1.09900");
    check_tick(short(), ("1.10080", "1.10099"), &[]);
    check_tick(short(), ("1.10080", "1.10100"), &["buy 0.10 1.10100 stop_loss"]);
    check_tick(short(), ("1.09880", "1.09901"), &[]);
    check_tick(short(), ("1.09880", "1.09900"), &["buy 0.10 1.09900 take_profit"]);
}

#[test]
fn ex03_gap_through_stop_fills_at_first_tradable_price() {
    let long = buy("EURUSD", "0.10").sl("1.09900");
    check_tick(long, ("1.09500", "1.09520"), &["sell 0.10 1.09500 stop_loss"]);
    let short = sell("EURUSD", "0.10").sl("1.10100");
    check_tick(short, ("1.10480", "1.10500"), &["buy 0.10 1.10500 stop_loss"]);
}

#[test]
fn ex04_gap_through_limit_or_take_profit_gives_the_better_price() {
    check_tick(buy("EURUSD", "0.10").limit("1.09900"), ("1.09480", "1.09500"), &["buy 0.10 1.09500 order"]);
    check_tick(sell("EURUSD", "0.10").limit("1.10100"), ("1.10500", "1.10520"), &["sell 0.10 1.10500 order"]);
    let long = buy("EURUSD", "0.10").tp("1.10100");
    check_tick(long, ("1.10500", "1.10520"), &["sell 0.10 1.10500 take_profit"]);
    let short = sell("EURUSD", "0.10").tp("1.09900");
    check_tick(short, ("1.09480", "1.09500"), &["buy 0.10 1.09500 take_profit"]);
}

#[test]
fn ex04_a_marketable_limit_fills_at_the_market_not_at_its_price() {
    let mut rig = Rig::new();
    rig.quote("EURUSD", "1.10000", "1.10010");
    rig.open(buy("EURUSD", "0.10").limit("1.10500"));
    rig.open(sell("EURUSD", "0.10").limit("1.09500"));
    assert_eq!(rig.trades(), ["buy 0.10 1.10010 order", "sell 0.10 1.10000 order"]);
}

#[test]
fn ex06_a_limit_that_is_only_touched_fills() {
    check_tick(buy("EURUSD", "0.10").limit("1.09990"), ("1.09980", "1.09990"), &["buy 0.10 1.09990 order"]);
    check_tick(sell("EURUSD", "0.10").limit("1.10030"), ("1.10030", "1.10040"), &["sell 0.10 1.10030 order"]);
}

// ---- bars ------------------------------------------------------------------------------------------

const SPREAD: i64 = 10;

/// Bars of EURUSD, the first at 1.10000; then an order, then one bar: what trades in it, and how many
/// bars are ambiguous.
fn check_bar(policy: BarPolicy, order: Ask, bar: [&str; 4], expected: &[&str], ambiguous: u64) {
    let mut rig = Rig::with(|config| config.bar_policy = policy);
    rig.bar("EURUSD", ["1.10000"; 4], SPREAD);
    rig.place(order.clone()).expect("taken");
    assert_eq!(rig.trades(), Vec::<String>::new(), "EX08: on bars an order waits for the next quote");
    rig.bar("EURUSD", bar, SPREAD);
    assert_eq!(rig.trades(), expected, "{policy:?} {:?} in {bar:?}", order.0);
    assert_eq!(rig.machine.tally().ambiguous_bars, ambiguous, "{policy:?} {:?} in {bar:?}", order.0);
}

#[test]
fn ex03_inside_a_bar_a_stop_fills_at_its_price_and_at_the_open_when_jumped_over() {
    let policy = BarPolicy::Pessimistic;
    let mut rig = Rig::new();
    rig.bar("EURUSD", ["1.10000"; 4], SPREAD);
    rig.place(buy("EURUSD", "0.10").sl("1.09900")).expect("taken");
    rig.place(sell("EURUSD", "0.20").sl("1.10200")).expect("taken");
    rig.bar("EURUSD", ["1.10000"; 4], SPREAD);
    rig.trades();
    rig.bar("EURUSD", ["1.09500", "1.10300", "1.09400", "1.10000"], SPREAD);
    assert_eq!(rig.trades(), ["sell 0.10 1.09500 stop_loss", "buy 0.20 1.10200 stop_loss"]);
    assert_eq!(rig.count(Mark::GapThroughStop), 1);
    let order = buy("EURUSD", "0.10").sl("1.09900");
    check_bar(
        policy,
        order,
        ["1.10000", "1.10050", "1.09800", "1.09950"],
        &["buy 0.10 1.10010 order", "sell 0.10 1.09900 stop_loss"],
        0,
    );
}

#[test]
fn ex04_inside_a_bar_a_limit_fills_at_its_price_and_at_the_open_when_jumped_over() {
    let limit = || buy("EURUSD", "0.10").limit("1.09900");
    let policy = BarPolicy::Pessimistic;
    check_bar(policy, limit(), ["1.10000", "1.10050", "1.09891", "1.09950"], &[], 0);
    check_bar(policy, limit(), ["1.10000", "1.10050", "1.09800", "1.09950"], &["buy 0.10 1.09900 order"], 0);
    check_bar(policy, limit(), ["1.09700", "1.10050", "1.09600", "1.09950"], &["buy 0.10 1.09710 order"], 0);
}

#[test]
fn ex05_a_bar_is_four_quotes_at_fixed_stamps() {
    let mut rig = Rig::new();
    let start = rig.now;
    rig.bar("EURUSD", ["1.10000", "1.10500", "1.09900", "1.10200"], SPREAD);
    let seen: Vec<(i64, i64, i64)> = rig
        .feed
        .iter()
        .filter_map(|event| match event {
            FeedEvent::Tick { ts, quote, .. } => {
                Some((ts.since(start) / 1_000_000, quote.bid.0, quote.ask.0))
            }
            _ => None,
        })
        .collect();
    let expected = [(0, 110_000), (15_000, 109_900), (30_000, 110_500), (59_999, 110_200)];
    assert_eq!(seen, expected.map(|(ms, bid)| (ms, bid, bid + SPREAD)), "flat: the nearer extreme first");
    assert_eq!(rig.machine.now(), start.plus(MINUTE_NS - 1_000_000));
}

#[test]
fn ex05_stop_loss_and_take_profit_both_reachable_is_a_matter_of_policy() {
    let long = || buy("EURUSD", "0.10").sl("1.09900").tp("1.10200");
    let short = || sell("EURUSD", "0.10").sl("1.10200").tp("1.09900");
    let near_high = ["1.10000", "1.10300", "1.09600", "1.10000"];
    let near_low = ["1.10000", "1.10500", "1.09800", "1.10000"];
    let (bought, sold) = ("buy 0.10 1.10010 order", "sell 0.10 1.10000 order");
    let (long_sl, long_tp) = ("sell 0.10 1.09900 stop_loss", "sell 0.10 1.10200 take_profit");
    let (short_sl, short_tp) = ("buy 0.10 1.10200 stop_loss", "buy 0.10 1.09900 take_profit");
    for (policy, bar, long_exit, short_exit) in [
        (BarPolicy::Pessimistic, near_high, long_sl, short_sl),
        (BarPolicy::Pessimistic, near_low, long_sl, short_sl),
        (BarPolicy::Optimistic, near_high, long_tp, short_tp),
        (BarPolicy::Optimistic, near_low, long_tp, short_tp),
        (BarPolicy::Path, near_high, long_tp, short_sl),
        (BarPolicy::Path, near_low, long_sl, short_tp),
    ] {
        check_bar(policy, long(), bar, &[bought, long_exit], 1);
        check_bar(policy, short(), bar, &[sold, short_exit], 1);
    }
}

#[test]
fn ex05_only_one_exit_reachable_is_not_ambiguous() {
    let long = || buy("EURUSD", "0.10").sl("1.09900").tp("1.10200");
    for policy in [BarPolicy::Pessimistic, BarPolicy::Optimistic, BarPolicy::Path] {
        let bought = "buy 0.10 1.10010 order";
        let down = ["1.10000", "1.10100", "1.09900", "1.10000"];
        check_bar(policy, long(), down, &[bought, "sell 0.10 1.09900 stop_loss"], 0);
        let up = ["1.10000", "1.10200", "1.09901", "1.10000"];
        check_bar(policy, long(), up, &[bought, "sell 0.10 1.10200 take_profit"], 0);
        check_bar(policy, long(), ["1.10000", "1.10199", "1.09901", "1.10000"], &[bought], 0);
    }
}

#[test]
fn ex05_an_order_filled_inside_a_bar_may_stop_there_and_profits_only_where_the_policy_says() {
    let order = || buy("EURUSD", "0.10").limit("1.09900").sl("1.09800").tp("1.10200");
    let filled = "buy 0.10 1.09900 order";
    // the low lies beyond the stop: O-L-H-C, O-H-L-C
    let (low_first, high_first) =
        (["1.10000", "1.10300", "1.09750", "1.10000"], ["1.10000", "1.10240", "1.09750", "1.10000"]);
    check_bar(BarPolicy::Pessimistic, order(), low_first, &[filled, "sell 0.10 1.09800 stop_loss"], 1);
    check_bar(BarPolicy::Path, order(), low_first, &[filled, "sell 0.10 1.09800 stop_loss"], 1);
    check_bar(BarPolicy::Pessimistic, order(), high_first, &[filled, "sell 0.10 1.09800 stop_loss"], 1);
    check_bar(BarPolicy::Path, order(), high_first, &[filled, "sell 0.10 1.09800 stop_loss"], 1);
    check_bar(BarPolicy::Optimistic, order(), low_first, &[filled, "sell 0.10 1.10200 take_profit"], 1);
    // the stop is out of reach, the profit comes after the fill or before it
    let (after, before) =
        (["1.10000", "1.10300", "1.09850", "1.10000"], ["1.10000", "1.10240", "1.09755", "1.10000"]);
    let wide = || buy("EURUSD", "0.10").limit("1.09900").sl("1.09700").tp("1.10200");
    check_bar(BarPolicy::Pessimistic, wide(), after, &[filled], 1);
    check_bar(BarPolicy::Path, wide(), after, &[filled, "sell 0.10 1.10200 take_profit"], 1);
    check_bar(BarPolicy::Optimistic, wide(), after, &[filled, "sell 0.10 1.10200 take_profit"], 1);
    check_bar(BarPolicy::Pessimistic, wide(), before, &[filled], 1);
    check_bar(BarPolicy::Path, wide(), before, &[filled], 1);
}

/// Nobody's position outlives a bar that went through its stop: not even optimists are that lucky.
#[test]
fn ex05_optimistic_leaves_no_position_open_beyond_its_stop() {
    let mut rig = Rig::with(|config| config.bar_policy = BarPolicy::Optimistic);
    rig.bar("EURUSD", ["1.10000"; 4], SPREAD);
    // O-H-L-C: the high is past when the limit fills on the way down, the low is beyond the stop
    rig.rest(buy("EURUSD", "0.10").limit("1.09900").sl("1.09800").tp("1.10200"));
    rig.bar("EURUSD", ["1.10000", "1.10240", "1.09600", "1.09650"], SPREAD);
    assert!(rig.view().positions.is_empty(), "{:?}", rig.trades());
}

#[test]
fn ex05_held_back_exits_trigger_again_after_the_bar() {
    let mut rig = Rig::new();
    rig.bar("EURUSD", ["1.10000"; 4], SPREAD);
    rig.rest(buy("EURUSD", "0.10").limit("1.09900").tp("1.10200"));
    rig.bar("EURUSD", ["1.10000", "1.10300", "1.09850", "1.10250"], SPREAD);
    assert_eq!(rig.trades(), ["buy 0.10 1.09900 order"]);
    rig.bar("EURUSD", ["1.10250", "1.10260", "1.10100", "1.10150"], SPREAD);
    // at its level: the price went through it after the fill, the pessimist gains nothing by the wait
    assert_eq!(rig.trades(), ["sell 0.10 1.10200 take_profit"]);
}

#[test]
fn ex05_stop_out_is_checked_at_each_leg_of_a_bar() {
    let mut rig = Rig::with(|config| config.accounts[0].deposit = dec("1200"));
    rig.bar("EURUSD", ["1.10000"; 4], SPREAD);
    rig.place(buy("EURUSD", "1.00")).expect("taken"); // margin 1,100.10
    // at the low the account is at 40%, at the close it is fine again
    rig.bar("EURUSD", ["1.10000", "1.10010", "1.09250", "1.10000"], SPREAD);
    assert_eq!(rig.trades(), ["buy 1.00 1.10010 order", "sell 1.00 1.09250 stop_out"]);
}

// ---- time ------------------------------------------------------------------------------------------

fn crossing(bars: usize) -> impl FnOnce(&mut lockstep::domain::config::Config) {
    move |config| {
        assert!(bars > 1);
        config.strategies.push(StrategyConfig {
            name: "sma_cross".to_owned(),
            params: BTreeMap::from([
                ("fast".to_owned(), "1".to_owned()),
                ("slow".to_owned(), bars.to_string()),
            ]),
            account: account_id("main"),
            symbol: symbol("EURUSD"),
            timeframe: Timeframe::M1,
            volume: dec("0.10"),
            stop_loss: Some(Stop::Ticks(500)),
            take_profit: None,
        });
    }
}

#[test]
fn ex08_a_candle_completes_at_its_end_before_any_input_of_that_instant() {
    let mut rig = Rig::new();
    let open = rig.now;
    rig.quote("EURUSD", "1.10000", "1.10010");
    rig.wait(MINUTE_NS - 1).quote("EURUSD", "1.10200", "1.10210");
    assert!(rig.candles(Timeframe::M1).is_empty());
    rig.wait(1).quote("EURUSD", "1.05000", "1.05010");
    let candles = rig.candles(Timeframe::M1);
    assert_eq!(candles.len(), 1);
    assert_eq!((candles[0].ts, candles[0].close, candles[0].low), (open, Price(110_200), Price(110_000)));
    // the minutes without quotes make no candles
    rig.wait(10 * MINUTE_NS).wake();
    assert_eq!(rig.candles(Timeframe::M1).len(), 2);
    assert_eq!(rig.candles(Timeframe::M5).len(), 1, "12:00 to 12:05");
    assert_eq!(rig.candles(Timeframe::M5)[0].close, Price(105_000));
}

#[test]
fn ex08_a_wake_is_enough_and_comes_due_at_the_candles_end() {
    let mut rig = Rig::new();
    rig.wait(SECOND_NS).quote("EURUSD", "1.10000", "1.10010");
    assert_eq!(rig.machine.next_deadline(), Some(at("2024-01-10T12:01:00Z")));
    rig.to("2024-01-10T12:01:00Z").wake();
    assert_eq!(rig.candles(Timeframe::M1).len(), 1);
}

#[test]
fn ex08_on_ticks_a_strategy_meets_the_last_quote_before_the_candles_end() {
    let mut rig = Rig::with(crossing(2));
    for bid in ["1.10000", "1.09900", "1.10100"] {
        rig.quote("EURUSD", bid, "1.10110");
        rig.wait(MINUTE_NS);
    }
    // the third candle crosses; its order meets the quote before 12:03, not the one that brings it about
    rig.quote("EURUSD", "1.20000", "1.20010");
    assert_eq!(rig.trades(), ["buy 0.10 1.10110 order"]);
    assert_eq!(rig.view().positions[0].opened_at, at("2024-01-10T12:03:00Z"));
}

#[test]
fn ex08_on_bars_a_strategy_meets_the_next_open() {
    let mut rig = Rig::with(crossing(2));
    for close in ["1.10000", "1.09900", "1.10100"] {
        rig.bar("EURUSD", [close; 4], SPREAD);
    }
    rig.wake();
    assert_eq!(rig.trades(), Vec::<String>::new());
    rig.bar("EURUSD", ["1.20000", "1.20100", "1.19900", "1.20000"], SPREAD);
    assert_eq!(rig.trades(), ["buy 0.10 1.20010 order"]);
}

#[test]
fn ex08_a_decision_at_the_sessions_end_is_denied() {
    // Friday 17:00 in New York, in winter
    let mut rig = Rig::starting("2024-01-12T21:57:00Z", crossing(2));
    for bid in ["1.10000", "1.09900", "1.10100"] {
        rig.quote("EURUSD", bid, "1.10110");
        rig.wait(MINUTE_NS);
    }
    rig.wake();
    assert_eq!(rig.trades(), Vec::<String>::new());
    assert_eq!(rig.count(Mark::MarketClosedDenied), 1);
}

#[test]
fn ex10_quotes_that_cannot_be_true_are_set_aside_and_counted() {
    let mut rig = Rig::new();
    rig.quote("EURUSD", "1.10000", "1.10010");
    rig.rest(buy("EURUSD", "0.10").limit("1.00000"));
    for (bid, ask) in [(90_000, 89_999), (0, 90_000), (90_000, 0), (-1, 90_000), (-5, -9), (0, 0)] {
        let out = rig.raw_quote("EURUSD", bid, ask);
        assert!(out.feed.is_empty() && out.events.is_empty(), "{bid} {ask}");
    }
    let tally = rig.machine.tally();
    assert_eq!(tally.quarantined, BTreeMap::from([("crossed", 1), ("negative", 2), ("zero", 3)]));
    assert_eq!(tally.quotes, 1);
    rig.raw_quote("EURUSD", 90_000, 90_000);
    assert_eq!(rig.trades(), ["buy 0.10 0.90000 order"], "a locked quote is valid");
}

#[test]
fn ex14_at_equal_time_deadlines_then_the_venue_then_the_strategy_then_commands() {
    let mut rig = Rig::with(crossing(2));
    for bid in ["1.10000", "1.09900", "1.10100"] {
        rig.quote("EURUSD", bid, "1.10110");
        rig.wait(MINUTE_NS);
    }
    // the strategy's order of 12:03 has a stop at 1.10110 - 0.00500; the quote of 12:03 goes through it
    rig.quote("EURUSD", "1.09000", "1.09010");
    rig.open(buy("EURUSD", "0.20"));
    assert_eq!(
        rig.trades(),
        ["buy 0.10 1.10110 order", "sell 0.10 1.09000 stop_loss", "buy 0.20 1.09010 order"]
    );
}

#[test]
fn ex14_time_never_goes_back() {
    let mut rig = Rig::new();
    rig.quote("EURUSD", "1.10000", "1.10010");
    let reached = rig.machine.now();
    rig.wait(-MINUTE_NS).quote("EURUSD", "1.10001", "1.10011");
    assert_eq!(rig.machine.now(), reached);
}

#[test]
fn ex10_bars_whose_length_or_prices_make_no_sense_do_not_move_time() {
    let mut rig = Rig::new();
    let reached = rig.machine.now();
    let one = Ohlc { open: Price(1), high: Price(1), low: Price(1), close: Price(1) };
    for len_ns in [i64::MIN, -1, 0, i64::MAX] {
        rig.step(&Input::Bar(Bar { instrument: rig.find("EURUSD"), bid: one, ask: one, len_ns }));
        assert_eq!(rig.machine.now(), reached, "{len_ns}");
    }
}
