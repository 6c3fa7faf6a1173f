//! Stops, stop-limits, trailing stops, lifetimes and fillings (EX03, EX07, EX09, OR04, OR08, OR10, OR12).

use super::rig::{Ask, Rig, buy, dec, sell};
use lockstep::domain::{
    market::BarPolicy,
    message::{Lifetime, Mark, TrailBy},
    order::{Filling, OrderStatus, TimeInForce},
    time::SECOND_NS,
};

fn pips(distance: &str) -> TrailBy {
    TrailBy::Distance(dec(distance))
}

/// An order at 1.10000/1.10010, then quotes of bids with a spread of a pip: what trades.
fn check(order: Ask, bids: &[&str], expected: &[&str]) -> Rig {
    let mut rig = Rig::new();
    rig.quote("EURUSD", "1.10000", "1.10010");
    rig.place(order.clone()).expect("taken");
    rig.trades();
    for bid in bids {
        let ask = (dec(bid) + dec("0.00010")).to_string();
        rig.wait(SECOND_NS).quote("EURUSD", bid, &ask);
    }
    assert_eq!(rig.trades(), expected, "{:?} at {bids:?}", order.0);
    rig
}

#[test]
fn ex01_ex03_stops_trigger_at_their_side_and_fill_at_the_first_price_there_is() {
    let buys = || buy("EURUSD", "0.10").stop("1.10100");
    check(buys(), &["1.10089"], &[]);
    check(buys(), &["1.10090"], &["buy 0.10 1.10100 order"]);
    let rig = check(buys(), &["1.10490"], &["buy 0.10 1.10500 order"]);
    assert_eq!((rig.count(Mark::StopTriggered), rig.count(Mark::GapThroughStop)), (1, 1));
    let sells = || sell("EURUSD", "0.10").stop("1.09900");
    check(sells(), &["1.09901"], &[]);
    check(sells(), &["1.09900"], &["sell 0.10 1.09900 order"]);
    check(sells(), &["1.09500"], &["sell 0.10 1.09500 order"]);
}

#[test]
fn ex07_a_stop_limit_fills_only_from_its_trigger_on_and_never_beyond_its_limit() {
    let order = || buy("EURUSD", "0.10").stop_limit("1.10100", "1.10120");
    check(order(), &["1.10080"], &[]); // cheaper than the limit, and not triggered
    check(order(), &["1.10095"], &["buy 0.10 1.10105 order"]);
    let rig = check(order(), &["1.10490"], &[]); // beyond the limit: it rests as one
    let order_id = rig.view().orders[0].order_id;
    assert_eq!(rig.status(order_id).0, OrderStatus::Triggered);
    check(order(), &["1.10490", "1.10120"], &[]);
    check(order(), &["1.10490", "1.10110"], &["buy 0.10 1.10120 order"]);
    check(order(), &["1.10490", "1.10050"], &["buy 0.10 1.10060 order"]); // EX04: the better price
    let order = || sell("EURUSD", "0.10").stop_limit("1.09900", "1.09880");
    check(order(), &["1.09500", "1.09870"], &[]);
    check(order(), &["1.09500", "1.09880"], &["sell 0.10 1.09880 order"]);
    // one that may not rest ends where it is triggered and not filled
    let order = buy("EURUSD", "0.10").stop_limit("1.10100", "1.10120").filling(Filling::Fok);
    let rig = check(order, &["1.10490", "1.10050"], &[]);
    assert_eq!(rig.view().orders.len(), 0);
}

/// A bar of bids 1.10000/high/low/close with no spread over an order: what trades in it, and whether it is
/// ambiguous.
fn check_bar(policy: BarPolicy, order: Ask, bar: [&str; 4], expected: &[&str], ambiguous: u64) {
    let mut rig = Rig::with(|config| config.bar_policy = policy);
    rig.bar("EURUSD", ["1.10000"; 4], 0);
    rig.place(order.clone()).expect("taken");
    rig.trades();
    rig.bar("EURUSD", bar, 0);
    assert_eq!(rig.trades(), expected, "{policy:?} {:?} in {bar:?}", order.0);
    assert_eq!(rig.machine.tally().ambiguous_bars, ambiguous, "{policy:?} {:?} in {bar:?}", order.0);
}

#[test]
fn ex07_in_its_trigger_bar_a_stop_limit_fills_by_path_or_if_the_close_is_through() {
    use BarPolicy::{Optimistic, Path, Pessimistic};
    let order = || buy("EURUSD", "0.10").stop_limit("1.10100", "1.10050");
    // up to the trigger, down through the limit, and up again
    let bar = ["1.10000", "1.10200", "1.09500", "1.10150"];
    check_bar(Path, order(), bar, &["buy 0.10 1.10050 order"], 0);
    check_bar(Optimistic, order(), bar, &["buy 0.10 1.10050 order"], 1);
    check_bar(Pessimistic, order(), bar, &[], 1);
    // a close at or below the limit came after the trigger, whatever the path was
    let bar = ["1.10000", "1.10200", "1.09500", "1.10020"];
    check_bar(Pessimistic, order(), bar, &["buy 0.10 1.10050 order"], 0);
    // triggered at the open: all that follows came later
    let bar = ["1.10110", "1.10200", "1.09500", "1.10150"];
    check_bar(Pessimistic, order(), bar, &["buy 0.10 1.10050 order"], 0);
}

#[test]
fn ex09_a_trailing_stop_follows_and_never_loosens() {
    let sells = || sell("EURUSD", "0.10").trailing(pips("0.00100"));
    check(sells(), &["1.09901"], &[]);
    check(sells(), &["1.09900"], &["sell 0.10 1.09900 order"]);
    check(sells(), &["1.10300", "1.10201"], &[]);
    check(sells(), &["1.10300", "1.10250", "1.10200"], &["sell 0.10 1.10200 order"]);
    check(sells(), &["1.10300", "1.10500", "1.10350"], &["sell 0.10 1.10350 order"]);
    let buys = || buy("EURUSD", "0.10").trailing(pips("0.00100"));
    check(buys(), &["1.10099"], &[]);
    check(buys(), &["1.10100"], &["buy 0.10 1.10110 order"]);
    check(buys(), &["1.09500", "1.09600"], &["buy 0.10 1.09610 order"]);
    // one percent of the price it follows, away from the market to the next tick
    let percent = || sell("EURUSD", "0.10").trailing(TrailBy::Percent(dec("1")));
    check(percent(), &["1.08901"], &[]);
    check(percent(), &["1.08900"], &["sell 0.10 1.08900 order"]);
    check(percent(), &["1.20005", "1.18806"], &[]);
    check(percent(), &["1.20005", "1.18804"], &["sell 0.10 1.18804 order"]);
    let rig = check(sells(), &["1.10300"], &[]);
    let order = &rig.view().orders[0];
    assert_eq!((order.stop_price, order.trail_distance), (Some(dec("1.10200")), Some(dec("0.00100"))));
    assert_eq!(rig.count(Mark::StopTrailed), 1);
}

#[test]
fn ex09_a_bar_triggers_a_trailing_stop_before_its_favourable_extreme_moves_it() {
    use BarPolicy::{Path, Pessimistic};
    let order = || sell("EURUSD", "0.10").trailing(pips("0.00100"));
    // the low meets the stop of before the bar: that is where it fills, whatever the high would have made of it
    let bar = ["1.10000", "1.10300", "1.09800", "1.10100"];
    check_bar(Pessimistic, order(), bar, &["sell 0.10 1.09900 order"], 0);
    // the close is below where the high moved it, and came later: it was met on the way down
    let bar = ["1.10000", "1.10300", "1.09950", "1.10100"];
    check_bar(Pessimistic, order(), bar, &["sell 0.10 1.10200 order"], 0);
    // the low would have met it after the high, and nobody knows whether it did
    let bar = ["1.10000", "1.10300", "1.09950", "1.10290"];
    check_bar(Pessimistic, order(), bar, &[], 1);
    // whoever believes the path: the low is nearer, so it came first
    check_bar(Path, order(), bar, &[], 0);
    let bar = ["1.10000", "1.10020", "1.09910", "1.10000"];
    check_bar(Path, order(), bar, &["sell 0.10 1.09920 order"], 0);
}

#[test]
fn or04_a_post_only_order_that_would_take_is_refused_at_any_time() {
    let mut rig = Rig::new();
    rig.quote("EURUSD", "1.10000", "1.10010");
    let refused = rig.place(buy("EURUSD", "0.10").limit("1.10010").post_only()).expect_err("it would take");
    assert_eq!(refused.reason(), "VENUE_REJECTED");
    assert_eq!(refused.details["venueReason"], "POST_ONLY_WOULD_CROSS");
    let order = rig.rest(buy("EURUSD", "0.10").limit("1.10009").post_only());
    let refused = rig.modify(order, |terms| terms.price = Some(dec("1.10010"))).expect_err("it would take");
    assert_eq!(refused.details["venueReason"], "POST_ONLY_WOULD_CROSS");
    assert_eq!(rig.status(order).0, OrderStatus::Accepted);
    // and when a trigger makes a limit order of it
    let order = rig.rest(buy("EURUSD", "0.10").stop_limit("1.10100", "1.10120").post_only());
    rig.wait(SECOND_NS).quote("EURUSD", "1.10095", "1.10105");
    assert_eq!(rig.status(order), (OrderStatus::Canceled, Some("POST_ONLY_WOULD_CROSS".into())));
    assert_eq!(rig.count(Mark::PostOnlyRefused), 3);
    // on bars nobody knows before the next open
    let mut rig = Rig::new();
    rig.bar("EURUSD", ["1.10000"; 4], 0);
    let crossed = rig.rest(buy("EURUSD", "0.10").limit("1.10050").post_only());
    let rests = rig.rest(buy("EURUSD", "0.10").limit("1.09950").post_only());
    rig.bar("EURUSD", ["1.10000"; 4], 0);
    assert_eq!(rig.status(crossed), (OrderStatus::Canceled, Some("POST_ONLY_WOULD_CROSS".into())));
    rig.trades();
    rig.bar("EURUSD", ["1.10000", "1.10000", "1.09900", "1.09900"], 0);
    assert_eq!(rig.status(rests).0, OrderStatus::Filled);
    assert_eq!(rig.trades(), ["buy 0.10 1.09950 order"]);
}

#[test]
fn or12_a_limit_that_may_not_rest_fills_at_once_or_ends() {
    for filling in [Filling::Fok, Filling::Ioc] {
        let mut rig = Rig::new();
        rig.quote("EURUSD", "1.10000", "1.10010");
        rig.open(buy("EURUSD", "0.10").limit("1.10020").filling(filling));
        assert_eq!(rig.trades(), ["buy 0.10 1.10010 order"]);
        let ended = rig.rest(buy("EURUSD", "0.10").limit("1.10009").filling(filling));
        assert_eq!(rig.status(ended), (OrderStatus::Canceled, Some("NOT_FILLED".into())));
    }
}

#[test]
fn or08_orders_expire_before_anything_matches_at_that_instant() {
    let mut rig = Rig::new(); // a Wednesday, 12:00Z
    rig.quote("EURUSD", "1.10000", "1.10010");
    let dated = rig.rest(buy("EURUSD", "0.10").limit("1.09900").until("2024-01-10T13:00:00Z"));
    let later = rig.rest(buy("EURUSD", "0.10").limit("1.09900").until("2024-01-10T13:00:00.001Z"));
    rig.to("2024-01-10T13:00:00Z").quote("EURUSD", "1.09880", "1.09890");
    assert_eq!(rig.status(dated), (OrderStatus::Expired, None));
    assert_eq!(rig.status(later).0, OrderStatus::Filled);
    assert_eq!(rig.count(Mark::OrderExpired), 1);
    // a day ends when the account's day rolls: 17:00 in New York
    let day = rig.rest(buy("EURUSD", "0.10").limit("1.09000").day());
    assert_eq!(rig.order(day).order.expires_at.map(|at| at.to_string()), Some("2024-01-10T22:00:00Z".into()));
    rig.to("2024-01-10T21:59:59Z").wake();
    assert_eq!(rig.status(day).0, OrderStatus::Accepted);
    rig.to("2024-01-10T22:00:00Z").wake();
    assert_eq!(rig.status(day).0, OrderStatus::Expired);
    // also while the market is closed, at its own instant
    let weekend = rig.rest(buy("EURUSD", "0.10").limit("1.09000").until("2024-01-13T12:00:00Z"));
    rig.to("2024-01-14T12:00:00Z").wake();
    let order = rig.order(weekend).order;
    assert_eq!(
        (order.status, order.updated_at.to_string()),
        (OrderStatus::Expired, "2024-01-13T12:00:00Z".into())
    );
}

#[test]
fn or10_stops_level_is_measured_from_the_side_that_trades() {
    let level = |config: &mut lockstep::domain::config::Config| config.instruments[0].stops_level_points = 50;
    let mut rig = Rig::with(level);
    rig.quote("EURUSD", "1.10000", "1.10010");
    for (outside, inside) in [
        (buy("EURUSD", "0.10").sl("1.09951"), buy("EURUSD", "0.10").sl("1.09950")),
        (buy("EURUSD", "0.10").tp("1.10049"), buy("EURUSD", "0.10").tp("1.10050")),
        (sell("EURUSD", "0.10").sl("1.10059"), sell("EURUSD", "0.10").sl("1.10060")),
        (buy("EURUSD", "0.10").stop("1.10059"), buy("EURUSD", "0.10").stop("1.10060")),
        (buy("EURUSD", "0.10").limit("1.09961"), buy("EURUSD", "0.10").limit("1.09960")),
        // a pending order's levels from its own price
        (
            buy("EURUSD", "0.10").limit("1.09000").sl("1.08951"),
            buy("EURUSD", "0.10").limit("1.09000").sl("1.08950"),
        ),
    ] {
        assert_eq!(rig.denied(outside.clone()), ["STOPS_TOO_CLOSE"], "{:?}", outside.0);
        assert_eq!(rig.denied(inside.clone()), [""; 0], "{:?}", inside.0);
    }
}

#[test]
fn or10_what_is_frozen_can_be_neither_changed_nor_taken_back() {
    let mut rig = Rig::with(|config| config.instruments[0].freeze_level_points = 50);
    rig.quote("EURUSD", "1.10000", "1.10010");
    let order = rig.rest(buy("EURUSD", "0.10").limit("1.09960"));
    let position = rig.open(buy("EURUSD", "0.10").tp("1.10050"));
    let code = |refusal: lockstep::domain::message::Refusal| super::rig::codes(&refusal);
    assert_eq!(code(rig.cancel(order).expect_err("frozen")), ["FROZEN"]);
    assert_eq!(
        code(rig.modify(order, |terms| terms.price = Some(dec("1.09000"))).expect_err("frozen")),
        ["FROZEN"]
    );
    assert_eq!(code(rig.close(position).expect_err("frozen")), ["FROZEN"]);
    rig.wait(SECOND_NS).quote("EURUSD", "1.09999", "1.10011");
    rig.cancel(order).expect("51 points away");
    rig.close(position).expect("51 points away");
}

#[test]
fn or02_or10_new_terms_of_pending_orders() {
    let mut rig = Rig::new();
    rig.quote("EURUSD", "1.10000", "1.10010");
    let stop = rig.rest(buy("EURUSD", "0.10").stop("1.10100"));
    let order = rig.modify(stop, |terms| terms.stop_price = Some(dec("1.10200"))).expect("taken");
    assert_eq!(order.stop_price, Some(dec("1.10200")));
    rig.modify(stop, |terms| terms.stop_price = Some(dec("1.10010"))).expect_err("at the ask");
    rig.modify(stop, |terms| terms.price = Some(dec("1.10300"))).expect_err("a stop has no limit");
    let gtd = Lifetime { tif: TimeInForce::Gtd, expires_at: Some(super::rig::at("2024-01-10T12:00:05Z")) };
    let order = rig.modify(stop, |terms| terms.lifetime = Some(gtd)).expect("taken");
    assert_eq!((order.tif, order.expires_at), (TimeInForce::Gtd, gtd.expires_at));
    let limit = rig.rest(buy("EURUSD", "0.10").stop_limit("1.10100", "1.10050"));
    rig.wait(SECOND_NS).quote("EURUSD", "1.10110", "1.10120");
    rig.modify(limit, |terms| terms.stop_price = Some(dec("1.10300"))).expect_err("it was triggered");
    let order = rig.modify(limit, |terms| terms.price = Some(dec("1.10060"))).expect("its limit is its own");
    assert_eq!((order.price, order.status), (Some(dec("1.10060")), OrderStatus::Triggered));
    rig.trades();
    rig.wait(SECOND_NS).quote("EURUSD", "1.10050", "1.10060");
    assert_eq!(rig.trades(), ["buy 0.10 1.10060 order"]);
    let trail = rig.rest(sell("EURUSD", "0.10").trailing(pips("0.00100")));
    let order = rig.modify(trail, |terms| terms.trail = Some(pips("0.00050"))).expect("closer");
    assert_eq!(order.stop_price, Some(dec("1.10000")));
    let order = rig.modify(trail, |terms| terms.trail = Some(pips("0.00300"))).expect("further away");
    assert_eq!(order.stop_price, Some(dec("1.10000")), "EX09: it never loosens");
    rig.wait(10 * SECOND_NS).wake();
    assert_eq!(rig.status(stop).0, OrderStatus::Expired);
}

#[test]
fn or03_a_reducing_stop_closes_its_position_and_ends_with_it() {
    let mut rig = Rig::new();
    rig.quote("EURUSD", "1.10000", "1.10010");
    let position = rig.open(buy("EURUSD", "0.10"));
    let guard = rig.rest(sell("EURUSD", "0.10").trailing(pips("0.00100")).reduces(position));
    rig.wait(SECOND_NS).quote("EURUSD", "1.10500", "1.10510");
    rig.trades();
    rig.wait(SECOND_NS).quote("EURUSD", "1.10390", "1.10400");
    assert_eq!(rig.trades(), ["sell 0.10 1.10390 order"]);
    assert_eq!(rig.status(guard).0, OrderStatus::Filled);
    let position = rig.open(buy("EURUSD", "0.10"));
    let guard = rig.rest(sell("EURUSD", "0.10").stop("1.10000").reduces(position));
    rig.close(position).expect("closed");
    assert_eq!(rig.status(guard), (OrderStatus::Canceled, Some("POSITION_CLOSED".into())));
}
