//! Orders that know of each other: one cancels the others, one lets the others in (OR05, OR06, RK03).

use super::rig::{Ask, Rig, account_id, at, buy, codes, dec, sell, wire};
use lockstep::{
    domain::{
        config::Config,
        group::GroupKind::{self, Bracket, Oco, Oto},
        id::{ClientOrderId, OrderId},
        market::BarPolicy,
        message::{CancelTarget, CloseTarget, Lifetime, Mark, StopAction, StopScope, TrailBy},
        order::{Filling, OrderStatus, TimeInForce},
        time::SECOND_NS,
    },
    machine::Machine,
};

/// A machine that quotes 1.10000/1.10010.
fn quoted(change: impl FnOnce(&mut Config)) -> Rig {
    let mut rig = Rig::with(change);
    rig.quote("EURUSD", "1.10000", "1.10010");
    rig
}

/// Quotes of bids with a spread of a pip, a second apart.
fn quotes(rig: &mut Rig, bids: &[&str]) {
    for bid in bids {
        let ask = (dec(bid) + dec("0.00010")).to_string();
        rig.wait(SECOND_NS).quote("EURUSD", bid, &ask);
    }
}

/// Rests orders as one group.
fn group(rig: &mut Rig, kind: GroupKind, orders: &[Ask]) -> Vec<OrderId> {
    orders.iter().map(|order| rig.rest(order.clone().in_group(kind, "g"))).collect()
}

/// An order in a line: `canceled 0/0.10 OCO_FILLED`, what is filled of its volume between.
fn line(rig: &Rig, id: OrderId) -> String {
    let order = rig.order(id).order;
    let (status, reason) = (wire(&order.status), order.reason.unwrap_or_default());
    format!("{status} {}/{} {reason}", order.filled_volume, order.volume).trim_end().to_owned()
}

fn lines(rig: &Rig, orders: &[OrderId]) -> Vec<String> {
    orders.iter().map(|id| line(rig, *id)).collect()
}

/// Orders of one group, then quotes: what trades, and what became of each order.
fn check(kind: GroupKind, orders: &[Ask], bids: &[&str], trades: &[&str], ends: &[&str]) -> Rig {
    let mut rig = quoted(|_| {});
    let placed = group(&mut rig, kind, orders);
    rig.trades();
    quotes(&mut rig, bids);
    assert_eq!(rig.trades(), trades, "{bids:?}");
    assert_eq!(lines(&rig, &placed), ends, "{bids:?}");
    rig
}

/// A bar of bids 1.10000/high/low/close without a spread over orders of one group.
fn check_bar(
    policy: BarPolicy,
    (kind, orders): (GroupKind, &[Ask]),
    bar: [&str; 4],
    trades: &[&str],
    ambiguous: u64,
) -> Rig {
    let mut rig = Rig::with(|config| config.bar_policy = policy);
    rig.bar("EURUSD", ["1.10000"; 4], 0);
    group(&mut rig, kind, orders);
    rig.trades();
    rig.bar("EURUSD", bar, 0);
    assert_eq!(rig.trades(), trades, "{policy:?} {bar:?}");
    assert_eq!(rig.machine.tally().ambiguous_bars, ambiguous, "{policy:?} {bar:?}");
    rig
}

/// A breakout: bought above, or sold below.
fn breakout() -> [Ask; 2] {
    [buy("EURUSD", "0.10").stop("1.10100"), sell("EURUSD", "0.20").stop("1.09900")]
}

/// Bought below at 1.09900, with a target and a protection.
fn bracket() -> [Ask; 3] {
    [
        buy("EURUSD", "0.10").limit("1.09900"),
        sell("EURUSD", "0.10").limit("1.10200"),
        sell("EURUSD", "0.10").stop("1.09700"),
    ]
}

// ---- one cancels the others ------------------------------------------------------------------------

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

// ---- one lets the others in ------------------------------------------------------------------------

#[test]
fn or06_children_wait_until_their_parent_fills_and_enter_as_large_as_it_was() {
    let orders = [
        buy("EURUSD", "0.10").limit("1.09900"),
        sell("EURUSD", "0.30").stop("1.09800"),
        buy("EURUSD", "0.05").limit("1.09850"),
    ];
    // nothing of theirs happens before
    let rest = ["accepted 0/0.10", "accepted 0/0.30", "accepted 0/0.05"];
    check(Oto, &orders, &["1.10300"], &[], &rest);
    // the bid of a sell stop and the ask of a buy limit, after the parent's fill
    let enter = ["filled 0.10/0.10", "accepted 0/0.10", "accepted 0/0.05"];
    check(Oto, &orders, &["1.09890"], &["buy 0.10 1.09900 order"], &enter);
    let all = ["buy 0.10 1.09760 order", "sell 0.10 1.09750 order", "buy 0.05 1.09760 order"];
    let filled = ["filled 0.10/0.10", "filled 0.10/0.10", "filled 0.05/0.05"];
    check(Oto, &orders, &["1.09750"], &all, &filled);
}

#[test]
fn or06_a_child_of_another_instrument_meets_its_own_market() {
    let mut rig = quoted(|_| {});
    rig.quote("XAUUSD", "2000.00", "2000.30");
    let hedge = sell("XAUUSD", "0.05").limit("1999.00");
    let placed = group(&mut rig, Oto, &[buy("EURUSD", "0.10").limit("1.09900"), hedge]);
    rig.trades();
    quotes(&mut rig, &["1.09890"]);
    assert_eq!(rig.trades(), ["buy 0.10 1.09900 order", "sell 0.05 2000.00 order"]);
    assert_eq!(lines(&rig, &placed), ["filled 0.10/0.10", "filled 0.05/0.05"]);
}

#[test]
fn or06_a_parent_that_is_filled_in_part_lets_in_as_much() {
    let mut rig = quoted(|_| {});
    let held = rig.open(buy("EURUSD", "0.10"));
    let exit = sell("EURUSD", "0.10").limit("1.10100").reduces(held);
    let placed = group(&mut rig, Oto, &[exit, sell("EURUSD", "0.10").stop("1.09900")]);
    rig.close_target(CloseTarget::Position(held), Some("0.06")).expect("a part is closed");
    quotes(&mut rig, &["1.10100"]);
    assert_eq!(lines(&rig, &placed), ["canceled 0.04/0.10 POSITION_REDUCED", "accepted 0/0.04"]);
}

#[test]
fn or06_a_parent_that_ends_without_a_fill_ends_what_waits_for_it() {
    let ended = "canceled 0/0.10 GROUP_PARENT_ENDED";
    for kind in [Oto, Bracket] {
        let mut rig = quoted(|_| {});
        let placed = group(&mut rig, kind, &bracket());
        rig.cancel(placed[0]).expect("cancelled");
        assert_eq!(lines(&rig, &placed), ["canceled 0/0.10", ended, ended], "cancelled");
        let mut rig = quoted(|_| {});
        let [parent, target, protection] = bracket();
        let parent = parent.until("2024-01-10T12:00:05Z");
        let placed = group(&mut rig, kind, &[parent, target, protection]);
        rig.to("2024-01-10T12:00:05Z").wake();
        assert_eq!(lines(&rig, &placed), ["expired 0/0.10", ended, ended], "expired");
        // a child that ends takes nobody with it
        let mut rig = quoted(|_| {});
        let placed = group(&mut rig, kind, &bracket());
        rig.cancel(placed[1]).expect("cancelled");
        quotes(&mut rig, &["1.09890"]);
        assert_eq!(lines(&rig, &placed), ["filled 0.10/0.10", "canceled 0/0.10", "accepted 0/0.10"]);
    }
    // AC09: a trigger without the margin
    let mut rig = quoted(|config| config.accounts[0].deposit = dec("500"));
    let order = buy("EURUSD", "0.30").limit("1.09900");
    let placed = group(&mut rig, Bracket, &[order, sell("EURUSD", "0.30").stop("1.09700")]);
    rig.open(buy("EURUSD", "0.10"));
    quotes(&mut rig, &["1.08890"]); // a loss of 112 leaves less than the 326 that it takes
    let short = ["canceled 0/0.30 MARGIN_INSUFFICIENT", "canceled 0/0.30 GROUP_PARENT_ENDED"];
    assert_eq!(lines(&rig, &placed), short);
}

#[test]
fn or06_what_waits_can_be_changed_and_expires_by_itself() {
    let mut rig = quoted(|_| {});
    let placed = group(&mut rig, Bracket, &bracket());
    // a protection may lie above the market, if that is below where its entry is: here it lies below both
    let order = rig.modify(placed[2], |terms| terms.stop_price = Some(dec("1.09890"))).expect("taken");
    assert_eq!((order.stop_price, order.status), (Some(dec("1.09890")), OrderStatus::Accepted));
    rig.modify(placed[2], |terms| terms.stop_price = Some(dec("1.09900"))).expect_err("at the entry");
    rig.modify(placed[1], |terms| terms.volume = Some(dec("0.07"))).expect("taken");
    let gtd = Lifetime { tif: TimeInForce::Gtd, expires_at: Some(at("2024-01-10T12:00:05Z")) };
    rig.modify(placed[1], |terms| terms.lifetime = Some(gtd)).expect("taken");
    rig.to("2024-01-10T12:00:05Z").wake();
    assert_eq!(lines(&rig, &placed), ["accepted 0/0.10", "expired 0/0.07", "accepted 0/0.10"]);
    rig.trades();
    quotes(&mut rig, &["1.09890"]);
    assert_eq!(rig.trades(), ["buy 0.10 1.09900 order", "sell 0.10 1.09890 order"]);
}

#[test]
fn or06_a_bracket_leaves_by_its_target_or_its_protection() {
    let waits = ["accepted 0/0.10", "accepted 0/0.10", "accepted 0/0.10"];
    check(Bracket, &bracket(), &["1.10300"], &[], &waits);
    let entered = ["filled 0.10/0.10", "accepted 0/0.10", "accepted 0/0.10"];
    let entry = "buy 0.10 1.09900 order";
    check(Bracket, &bracket(), &["1.09890"], &[entry], &entered);
    let gained = ["filled 0.10/0.10", "filled 0.10/0.10", "canceled 0/0.10 OCO_FILLED"];
    let rig = check(
        Bracket,
        &bracket(),
        &["1.09890", "1.10200", "1.09600"],
        &[entry, "sell 0.10 1.10200 order"],
        &gained,
    );
    assert_eq!((rig.view().positions.len(), rig.view().orders.len()), (0, 0));
    let lost = ["filled 0.10/0.10", "canceled 0/0.10 OCO_FILLED", "filled 0.10/0.10"];
    check(
        Bracket,
        &bracket(),
        &["1.09890", "1.09690", "1.10300"],
        &[entry, "sell 0.10 1.09690 order"],
        &lost,
    );
    // a gap through entry and protection: what was opened is closed at once
    check(Bracket, &bracket(), &["1.09500"], &["buy 0.10 1.09510 order", "sell 0.10 1.09500 order"], &lost);
}

#[test]
fn or06_exits_reduce_what_their_entry_opened_and_nothing_else() {
    let mut rig = quoted(|_| {});
    let other = rig.open(buy("EURUSD", "0.50"));
    let placed = group(
        &mut rig,
        Bracket,
        &[
            buy("EURUSD", "0.10").limit("1.09900"),
            sell("EURUSD", "0.30").limit("1.10200"),
            sell("EURUSD", "0.04").stop("1.09700"),
        ],
    );
    let exit = rig.order(placed[1]).order;
    assert_eq!((exit.reduce_only, exit.position_id.map(|id| id.0)), (true, Some(placed[0].0)));
    assert_eq!(exit.group.expect("of a group").parent, Some(placed[0]));
    quotes(&mut rig, &["1.09890"]);
    assert_eq!(lines(&rig, &placed), ["filled 0.10/0.10", "accepted 0/0.10", "accepted 0/0.04"]);
    // OR03: clipped to what is left of it
    let opened = rig.view().positions[1].position_id;
    rig.close_target(CloseTarget::Position(opened), Some("0.03")).expect("a part is closed");
    rig.trades();
    quotes(&mut rig, &["1.10200"]);
    assert_eq!(rig.trades(), ["sell 0.07 1.10200 order"]);
    assert_eq!(
        lines(&rig, &placed)[1..],
        ["canceled 0.07/0.10 POSITION_REDUCED", "canceled 0/0.04 OCO_FILLED"]
    );
    assert_eq!(rig.view().positions[0].position_id, other);
    // and they end with it
    let mut rig = quoted(|_| {});
    let placed = group(&mut rig, Bracket, &bracket());
    quotes(&mut rig, &["1.09890"]);
    let opened = rig.view().positions[0].position_id;
    rig.close(opened).expect("closed");
    let closed = "canceled 0/0.10 POSITION_CLOSED";
    assert_eq!(lines(&rig, &placed), ["filled 0.10/0.10", closed, closed]);
}

#[test]
fn or06_a_trailing_protection_trails_from_its_entry() {
    let mut rig = quoted(|_| {});
    let trailing = buy("EURUSD", "0.10").trailing(TrailBy::Distance(dec("0.00100")));
    let placed = group(&mut rig, Bracket, &[sell("EURUSD", "0.10").limit("1.10500"), trailing]);
    quotes(&mut rig, &["1.10800", "1.10000"]);
    let protection = rig.order(placed[1]).order;
    assert_eq!(rig.status(placed[0]).0, OrderStatus::Filled);
    assert_eq!(
        protection.stop_price,
        Some(dec("1.10110")),
        "after the entry at 1.10800 it has followed the ask"
    );
    quotes(&mut rig, &["1.10090"]);
    assert_eq!(rig.status(placed[1]).0, OrderStatus::Accepted);
    quotes(&mut rig, &["1.10100"]);
    assert_eq!(rig.status(placed[1]).0, OrderStatus::Filled);
}

#[test]
fn or06_over_bars_the_exits_of_a_bracket_are_a_matter_of_policy_as_levels_are() {
    use BarPolicy::{Optimistic, Path, Pessimistic};
    let orders = || {
        [
            buy("EURUSD", "0.10").stop("1.10100"),
            sell("EURUSD", "0.10").limit("1.10200"),
            sell("EURUSD", "0.10").stop("1.10050"),
        ]
    };
    let (entry, target, loss) =
        ("buy 0.10 1.10100 order", "sell 0.10 1.10200 order", "sell 0.10 1.10050 order");
    // up through entry and target, down through the protection
    let bar = ["1.10000", "1.10300", "1.09500", "1.10120"];
    check_bar(Optimistic, (Bracket, &orders()), bar, &[entry, target], 1);
    check_bar(Path, (Bracket, &orders()), bar, &[entry, target], 1);
    check_bar(Pessimistic, (Bracket, &orders()), bar, &[entry, loss], 1);
    // the target alone: a pessimist waits for the next bar, and has its price and no better one
    let bar = ["1.10000", "1.10300", "1.09990", "1.10290"];
    let orders = || [orders()[0].clone(), orders()[1].clone()];
    check_bar(Path, (Bracket, &orders()), bar, &[entry, target], 1);
    let mut rig = check_bar(Pessimistic, (Bracket, &orders()), bar, &[entry], 1);
    rig.bar("EURUSD", ["1.10310", "1.10310", "1.10300", "1.10300"], 0);
    assert_eq!(rig.trades(), [target]);
}

#[test]
fn or06_over_bars_both_exits_of_an_older_position_are_a_matter_of_policy_too() {
    use BarPolicy::{Optimistic, Path, Pessimistic};
    for (policy, trades) in [
        (Pessimistic, "sell 0.10 1.09700 order"),
        (Optimistic, "sell 0.10 1.10200 order"),
        (Path, "sell 0.10 1.10200 order"),
    ] {
        let mut rig = Rig::with(|config| config.bar_policy = policy);
        rig.bar("EURUSD", ["1.10000"; 4], 0);
        // a larger short: what is adverse to the net volume is not adverse to this position
        rig.place(sell("EURUSD", "1.00")).expect("taken");
        group(&mut rig, Bracket, &bracket());
        rig.bar("EURUSD", ["1.09890", "1.09900", "1.09890", "1.09900"], 0);
        rig.trades();
        rig.bar("EURUSD", ["1.09900", "1.10250", "1.09500", "1.09900"], 0);
        assert_eq!(rig.trades(), [trades], "{policy:?}");
        assert_eq!(rig.machine.tally().ambiguous_bars, 1, "{policy:?}");
    }
}

#[test]
fn or06_a_stop_takes_back_what_waits_and_spares_what_protects() {
    for kind in [Oto, Bracket] {
        let mut rig = quoted(|_| {});
        let placed = group(&mut rig, kind, &bracket());
        rig.emergency_stop(StopScope::Global, &[StopAction::CancelAll]);
        assert!(placed.iter().all(|id| rig.status(*id).0 == OrderStatus::Canceled), "{kind:?}");
        assert_eq!(rig.count(Mark::EmergencyStopCompleted), 1);
    }
    let mut rig = quoted(|_| {});
    let placed = group(&mut rig, Bracket, &bracket());
    quotes(&mut rig, &["1.09890"]);
    rig.emergency_stop(StopScope::Global, &[StopAction::CancelAll]);
    assert_eq!(lines(&rig, &placed)[1..], ["accepted 0/0.10", "accepted 0/0.10"]);
    rig.emergency_stop(StopScope::Global, &[StopAction::CloseAll]);
    assert_eq!((rig.view().positions.len(), rig.view().orders.len()), (0, 0));
    // every order of the account
    let mut rig = quoted(|_| {});
    let placed = group(&mut rig, Bracket, &bracket());
    rig.cancel_target(CancelTarget::All { symbol: None }).expect("cancelled");
    assert!(placed.iter().all(|id| rig.status(*id).0 == OrderStatus::Canceled));
}

#[test]
fn lv05_groups_go_on_from_a_snapshot() {
    for (kind, orders) in [(Oco, breakout().to_vec()), (Bracket, bracket().to_vec())] {
        // before a fill, and after it
        for before in [&[][..], &["1.09890"][..]] {
            let mut rig = quoted(|_| {});
            group(&mut rig, kind, &orders);
            quotes(&mut rig, before);
            let mut again = rig.clone();
            again.machine = Machine::decode(Machine::STATE_VERSION, &rig.machine.encode()).expect("a state");
            for rig in [&mut rig, &mut again] {
                rig.trades();
                quotes(rig, &["1.09900", "1.09890", "1.10300", "1.09600"]);
            }
            assert_eq!(rig.trades(), again.trades(), "{kind:?} {before:?}");
            assert_eq!(rig.machine.state_hash(), again.machine.state_hash(), "{kind:?} {before:?}");
        }
    }
}

// ---- who may belong to a group ---------------------------------------------------------------------

/// Orders that rest as a group, and one that is refused with this code.
fn refused(kind: GroupKind, orders: &[Ask], order: Ask, code: &str) {
    let mut rig = quoted(|_| {});
    rig.quote("XAUUSD", "2000.00", "2000.30");
    group(&mut rig, kind, orders);
    let seen = rig.preview(order.clone());
    assert_eq!(seen.violations.iter().map(|v| v.code.name()).collect::<Vec<_>>(), [code], "{:?}", order.0);
    assert_eq!(codes(&rig.place(order.clone()).expect_err("refused")), [code], "{:?}", order.0);
}

#[test]
fn or05_or06_orders_that_do_not_fit_together_are_refused() {
    let limit = || buy("EURUSD", "0.10").limit("1.09900");
    for kind in [Oco, Oto, Bracket] {
        let of = |order: Ask| order.in_group(kind, "g");
        // what fills at once belongs to no group
        refused(kind, &[], of(buy("EURUSD", "0.10")), "GROUP_MISMATCH");
        refused(kind, &[], of(limit().filling(Filling::Ioc)), "GROUP_MISMATCH");
        let another = if kind == Oco { Oto } else { Oco };
        refused(another, &[limit()], of(sell("EURUSD", "0.10").limit("1.10200")), "GROUP_MISMATCH");
    }
    refused(Oco, &[limit()], sell("XAUUSD", "0.10").limit("2100.00").in_group(Oco, "g"), "GROUP_MISMATCH");
    let exit = |order: Ask| order.in_group(Bracket, "g");
    let [entry, target, protection] = bracket();
    for order in [
        buy("EURUSD", "0.10").limit("1.10200"),  // the entry's side
        sell("XAUUSD", "0.10").limit("2100.00"), // another instrument
        sell("EURUSD", "0.10").limit("1.09900"), // a target at the entry
        sell("EURUSD", "0.10").stop("1.09900"),  // a protection there
        sell("EURUSD", "0.10").limit("1.09800"), // a target that loses
        sell("EURUSD", "0.10").limit("1.10200").reduces(lockstep::domain::id::PositionId(1)),
    ] {
        refused(Bracket, std::slice::from_ref(&entry), exit(order), "GROUP_MISMATCH");
    }
    refused(Bracket, &[entry.clone(), target.clone()], exit(target), "GROUP_MISMATCH");
    refused(Bracket, &[entry.clone(), protection.clone()], exit(protection), "GROUP_MISMATCH");
    // an entry that is a reduction
    let mut rig = quoted(|_| {});
    let held = rig.open(buy("EURUSD", "0.10"));
    let reduction = sell("EURUSD", "0.10").limit("1.10200").reduces(held);
    assert_eq!(rig.denied(exit(reduction)), ["GROUP_MISMATCH"]);
    // a ninth
    let eight = vec![limit(); 8];
    refused(Oco, &eight, limit().in_group(Oco, "g"), "GROUP_FULL");
    let mut rig = quoted(|_| {});
    let placed = group(&mut rig, Oco, &eight);
    rig.cancel(placed[3]).expect("cancelled");
    rig.rest(limit().in_group(Oco, "g"));
}

#[test]
fn or05_or06_an_order_that_comes_too_late_begins_no_group_of_its_own() {
    let rival = || sell("EURUSD", "0.10").stop("1.09500");
    let mut rig = quoted(|_| {});
    rig.rest(buy("EURUSD", "0.10").limit("1.09900").in_group(Oco, "g"));
    quotes(&mut rig, &["1.09890"]);
    assert_eq!(rig.denied(rival().in_group(Oco, "g")), ["GROUP_ENDED"]);
    rig.rest(rival().in_group(Oco, "another"));
    for kind in [Oto, Bracket] {
        let mut rig = quoted(|_| {});
        let placed = group(&mut rig, kind, &bracket()[..2]);
        quotes(&mut rig, &["1.09890"]);
        assert_eq!(rig.denied(rival().in_group(kind, "g")), ["GROUP_ENDED"], "its first order is filled");
        rig.cancel(placed[1]).expect("cancelled");
        assert_eq!(rig.denied(rival().in_group(kind, "g")), ["GROUP_ENDED"], "all have ended");
    }
    // groups of other accounts are others
    let mut rig = quoted(|config| config.accounts.push(super::rig::account("other")));
    group(&mut rig, Bracket, &bracket());
    let parent = buy("EURUSD", "0.10").limit("1.09900").on("other").in_group(Bracket, "g");
    let order = rig.place(parent).expect("taken");
    assert_eq!(rig.view_of("other").orders[0].order_id, order.order_id);
    assert_eq!(rig.view_of("other").summary.account_id, account_id("other"));
}

#[test]
fn or06_whoever_names_the_order_that_holds_it_back_is_refused_where_that_is_not() {
    let mut rig = quoted(|_| {});
    let child = |parent: &str| {
        bracket()[2].clone().in_group(Bracket, "g").change(|order| {
            let group = order.group.as_mut().expect("just given");
            group.parent = Some(ClientOrderId::new(parent).expect("an id"));
        })
    };
    assert_eq!(rig.denied(child("first")), ["GROUP_ENDED"]);
    rig.rest(bracket()[0].clone().in_group(Bracket, "g").named("first"));
    assert_eq!(rig.denied(child("second")), ["GROUP_ENDED"]);
    rig.rest(child("first"));
}

#[test]
fn or06_or10_what_waits_is_not_frozen_by_a_price_that_does_not_reach_it() {
    let mut rig = quoted(|config| config.instruments[0].freeze_level_points = 50);
    rig.rest(buy("EURUSD", "0.10").stop("1.10200").in_group(Bracket, "g"));
    let protection = rig.rest(sell("EURUSD", "0.10").stop("1.09990").in_group(Bracket, "g"));
    rig.modify(protection, |terms| terms.stop_price = Some(dec("1.09980"))).expect("taken");
    rig.cancel(protection).expect("cancelled");
    let alone = rig.rest(sell("EURUSD", "0.10").stop("1.09990"));
    assert_eq!(codes(&rig.cancel(alone).expect_err("frozen")), ["FROZEN"]);
}

#[test]
fn or06_levels_of_what_waits_are_measured_from_where_its_entry_is() {
    let mut rig = quoted(|config| config.instruments[0].stops_level_points = 50);
    // an entry above the market, and its protection above the market as well
    rig.rest(buy("EURUSD", "0.10").stop("1.10200").in_group(Bracket, "g"));
    let exit = |order: Ask| order.in_group(Bracket, "g");
    rig.rest(exit(sell("EURUSD", "0.10").stop("1.10100")));
    assert_eq!(rig.denied(exit(sell("EURUSD", "0.10").limit("1.10200"))), ["GROUP_MISMATCH"]);
    rig.rest(exit(sell("EURUSD", "0.10").limit("1.10201")));
    // of orders that open, the distance counts too
    let child = |price: &str| sell("EURUSD", "0.10").stop(price).in_group(Oto, "o");
    rig.rest(buy("EURUSD", "0.10").stop("1.10200").in_group(Oto, "o"));
    assert_eq!(rig.denied(child("1.10200")), ["STOPS_INVALID", "STOPS_TOO_CLOSE"]);
    assert_eq!(rig.denied(child("1.10151")), ["STOPS_TOO_CLOSE"]);
    rig.rest(child("1.10150"));
}

// ---- margin ----------------------------------------------------------------------------------------

#[test]
fn rk03_of_orders_of_which_one_cancels_the_others_the_largest_holds_margin_back() {
    // 0.10 lot is 10,000 EUR at 1:100: 110 USD and a bit
    let free = |rig: &Rig| rig.preview(buy("EURUSD", "0.01")).computed.free_margin_after.expect("worked out");
    let after = |kind: Option<GroupKind>, orders: &[Ask]| {
        let mut rig = quoted(|_| {});
        for order in orders {
            rig.rest(kind.map_or_else(|| order.clone(), |kind| order.clone().in_group(kind, "g")));
        }
        free(&rig).amount()
    };
    let none = after(None, &[]);
    let [small, large] = breakout();
    let of = |orders: &[Ask]| none - after(None, orders);
    assert_eq!(none - after(Some(Oco), &breakout()), of(std::slice::from_ref(&large)));
    assert_eq!(none - after(Some(Oto), &breakout()), of(&[small, large]));
    assert_eq!(none - after(Some(Bracket), &bracket()), of(&bracket()[..1]));
    // one more that is no larger needs nothing, and a larger one the difference
    let mut rig = quoted(|config| config.accounts[0].deposit = dec("250"));
    group(&mut rig, Oco, &breakout());
    let another = |lots: &str| buy("EURUSD", lots).stop("1.10200").in_group(Oco, "g");
    let seen = rig.preview(another("0.20"));
    assert!(seen.allowed, "{:?}", seen.violations);
    assert_eq!(rig.denied(another("0.23")), ["MARGIN_INSUFFICIENT"]);
    let order = rig.rest(another("0.20"));
    rig.modify(order, |terms| terms.volume = Some(dec("0.22"))).expect("242.44 of 250");
    let refusal = rig.modify(order, |terms| terms.volume = Some(dec("0.23"))).expect_err("253.46 of 250");
    assert_eq!(codes(&refusal), ["MARGIN_INSUFFICIENT"]);
    assert_eq!(rig.denied(buy("EURUSD", "0.20").stop("1.10200")), ["MARGIN_INSUFFICIENT"]);
}
