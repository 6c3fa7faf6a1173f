//! One cancels the others (OR05).

use super::*;

#[test]
fn or05_a_fill_of_one_cancels_the_others() {
    let rests = ["accepted 0/0.10", "accepted 0/0.20"];
    check(Oco, &breakout(), &["1.10050", "1.09910"], &[], &rests);
    let up = ["filled 0.10/0.10", "canceled 0/0.20 OCO_FILLED"];
    check(Oco, &breakout(), &["1.10095", "1.09800"], &["buy 0.10 1.10105 order"], &up);
    let down = ["canceled 0/0.10 OCO_FILLED", "filled 0.20/0.20"];
    check(Oco, &breakout(), &["1.09895", "1.10200"], &["sell 0.20 1.09895 order"], &down);
    // of every type that rests, and more than two; both sides of a gap are due at once, and one of them trades
    let many = [
        buy("EURUSD", "0.10").limit("1.09800"),
        buy("EURUSD", "0.10").limit("1.09700"),
        buy("EURUSD", "0.10").stop_limit("1.10100", "1.10120"),
        buy("EURUSD", "0.10").trailing(TrailBy::Distance(dec("0.00300"))),
    ];
    let first = [
        "filled 0.10/0.10",
        "canceled 0/0.10 OCO_FILLED",
        "canceled 0/0.10 OCO_FILLED",
        "canceled 0/0.10 OCO_FILLED",
    ];
    check(Oco, &many, &["1.09600"], &["buy 0.10 1.09610 order"], &first);
}

#[test]
fn or05_an_order_that_is_only_triggered_cancels_nobody_until_it_fills() {
    let orders =
        [buy("EURUSD", "0.10").stop_limit("1.10100", "1.10120"), sell("EURUSD", "0.10").stop("1.09900")];
    let triggered = ["triggered 0/0.10", "accepted 0/0.10"];
    check(Oco, &orders, &["1.10490"], &[], &triggered);
    let filled = ["filled 0.10/0.10", "canceled 0/0.10 OCO_FILLED"];
    check(Oco, &orders, &["1.10490", "1.10100"], &["buy 0.10 1.10110 order"], &filled);
}

#[test]
fn or05_what_is_filled_of_one_is_taken_off_the_others_and_a_duplicate_takes_nothing() {
    // two positions; of the first a part is closed meanwhile, so that its exit is clipped to what is left
    let mut rig = quoted(|_| {});
    let [first, second] = [(); 2].map(|()| rig.open(buy("EURUSD", "0.10")));
    let orders = [
        sell("EURUSD", "0.10").limit("1.10100").reduces(first),
        sell("EURUSD", "0.10").stop("1.09900").reduces(second),
        sell("EURUSD", "0.02").stop("1.09800").reduces(second),
    ];
    let placed = group(&mut rig, Oco, &orders);
    rig.close_target(CloseTarget::Position(first), Some("0.06")).expect("a part is closed");
    rig.trades();
    quotes(&mut rig, &["1.10100"]);
    assert_eq!(rig.trades(), ["sell 0.04 1.10100 order"]);
    let ends = ["canceled 0.04/0.10 POSITION_REDUCED", "accepted 0/0.06", "canceled 0/0.02 OCO_FILLED"];
    assert_eq!(lines(&rig, &placed), ends);
    quotes(&mut rig, &["1.10100", "1.09900"]);
    assert_eq!(rig.trades(), ["sell 0.06 1.09900 order"]);
    assert_eq!(rig.view().positions[0].volume, dec("0.04"));
}

#[test]
fn or05_an_end_without_a_fill_leaves_the_others_alone() {
    let mut rig = quoted(|_| {});
    let dated = buy("EURUSD", "0.10").limit("1.09000").until("2024-01-10T12:00:05Z");
    let [a, b] = breakout();
    let placed = group(&mut rig, Oco, &[a, b, dated]);
    rig.cancel(placed[0]).expect("cancelled");
    rig.to("2024-01-10T12:00:05Z").wake();
    let ends = ["canceled 0/0.10", "accepted 0/0.20", "expired 0/0.10"];
    assert_eq!(lines(&rig, &placed), ends);
    // a rejection as well, and those that are left go on as a group
    let late = sell("EURUSD", "0.10").limit("1.09000").post_only().in_group(Oco, "g");
    assert_eq!(rig.place(late).expect_err("it would take").reason(), "VENUE_REJECTED");
    let fourth = rig.rest(buy("EURUSD", "0.10").stop("1.10300").in_group(Oco, "g"));
    quotes(&mut rig, &["1.09900"]);
    assert_eq!(line(&rig, fourth), "canceled 0/0.10 OCO_FILLED");
}

#[test]
fn or05_new_terms_of_one_keep_it_in_its_group() {
    let mut rig = quoted(|_| {});
    let placed = group(&mut rig, Oco, &breakout());
    rig.modify(placed[0], |terms| {
        terms.stop_price = Some(dec("1.10200"));
        terms.volume = Some(dec("0.30"));
    })
    .expect("taken");
    quotes(&mut rig, &["1.10150"]);
    assert_eq!(lines(&rig, &placed), ["accepted 0/0.30", "accepted 0/0.20"]);
    quotes(&mut rig, &["1.10190"]);
    assert_eq!(lines(&rig, &placed), ["filled 0.30/0.30", "canceled 0/0.20 OCO_FILLED"]);
}

#[test]
fn or05_a_stop_and_a_cancel_of_all_take_a_group_back() {
    let mut rig = quoted(|_| {});
    let placed = group(&mut rig, Oco, &breakout());
    rig.cancel_target(CancelTarget::All { symbol: None }).expect("cancelled");
    assert_eq!(lines(&rig, &placed), ["canceled 0/0.10", "canceled 0/0.20"]);
    let mut rig = quoted(|_| {});
    let placed = group(&mut rig, Oco, &breakout());
    rig.emergency_stop(StopScope::Global, &[StopAction::CancelAll]);
    assert_eq!(lines(&rig, &placed), ["canceled 0/0.10", "canceled 0/0.20"]);
    assert_eq!(rig.count(Mark::EmergencyStopCompleted), 1);
}

#[test]
fn or05_over_bars_the_path_says_which_came_first_and_the_bar_counts_as_ambiguous() {
    use BarPolicy::{Optimistic, Path, Pessimistic};
    let orders = || [buy("EURUSD", "0.10").stop("1.10100"), sell("EURUSD", "0.10").stop("1.09900")];
    for policy in [Optimistic, Path, Pessimistic] {
        // one side only
        let bar = ["1.10000", "1.10200", "1.09950", "1.10150"];
        check_bar(policy, (Oco, &orders()), bar, &["buy 0.10 1.10100 order"], 0);
        // both; the nearer extreme is visited first
        let bar = ["1.10000", "1.10150", "1.09800", "1.10000"];
        check_bar(policy, (Oco, &orders()), bar, &["buy 0.10 1.10100 order"], 1);
        // the open jumps over one: it was the first, whatever came later
        let bar = ["1.10120", "1.10150", "1.09800", "1.10000"];
        check_bar(policy, (Oco, &orders()), bar, &["buy 0.10 1.10120 order"], 0);
    }
}
