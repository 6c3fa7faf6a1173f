//! One lets the others in; brackets (OR06).

use super::*;

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
