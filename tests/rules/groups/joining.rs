//! Who may belong to a group, and who comes too late.

use super::{super::rig::account, *};

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
        sell("EURUSD", "0.10").limit("1.10200").reduces(PositionId(1)),
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
    let mut rig = quoted(|config| config.accounts.push(account("other")));
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
