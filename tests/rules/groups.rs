//! Orders that know of each other: one cancels the others, one lets the others in (OR05, OR06, RK03).

use super::rig::{Ask, Rig, account_id, at, buy, codes, dec, sell, wire};
use lockstep::{
    domain::{
        config::Config,
        group::GroupKind::{self, Bracket, Oco, Oto},
        id::{ClientOrderId, OrderId, PositionId},
        market::BarPolicy,
        message::{CancelTarget, CloseTarget, Lifetime, Mark, StopAction, StopScope, TrailBy},
        order::{Filling, OrderStatus, TimeInForce},
        time::SECOND_NS,
    },
    machine::Machine,
};

mod children;
mod joining;
mod oco;

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
