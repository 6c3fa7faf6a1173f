//! Groups at a venue behind a wire: what it is asked, and what its reports do (OR05, OR06, OR13, LV01).

use super::{
    super::rig::{Ask, sell},
    *,
};
use lockstep::domain::{
    group::{GroupKind, OrderGroup},
    message::{NotSent, OrderKey, OrderView, TriggerTerms},
};

/// A venue that knows these kinds of groups.
fn able(groups: &[GroupKind]) -> Far {
    let mut far = Far::down();
    far.capabilities = Capabilities { groups: groups.to_vec(), ..Capabilities::of_this_build() };
    far.connect();
    far.books("10000", vec![], vec![]);
    far
}

fn entry() -> Ask {
    buy("BTCUSD", "0.10").limit("59000.00")
}

fn target() -> Ask {
    sell("BTCUSD", "0.10").limit("61000.00")
}

/// What the venue was last asked to take.
fn asked(far: &Far) -> &lockstep::domain::message::VenueOrder {
    let submitted = far.rig.requests.iter().rev().find_map(|request| match request {
        VenueRequest::Submit(order) => Some(order),
        _ => None,
    });
    submitted.expect("an order for the venue")
}

fn view(far: &Far, id: OrderId) -> OrderView {
    match far.rig.machine.query_at(far.rig.now, &Query::Order(account_id(FAR), OrderKey::Order(id))) {
        Ok(Answer::Order(detail)) => detail.order,
        other => panic!("not an order: {other:?}"),
    }
}

fn smaller(order: OrderId, volume: &str, price: &str) -> LinkReport {
    LinkReport::Modified {
        order: order.to_string(),
        volume: dec(volume),
        price: Some(dec(price)),
        trigger: Box::new(TriggerTerms::default()),
        levels: Levels::default(),
    }
}

fn ended(order: OrderId, reason: &str) -> LinkReport {
    LinkReport::Canceled { order: order.to_string(), reason: Some(reason.to_owned()) }
}

#[test]
fn or13_groups_that_a_venue_does_not_know_are_refused() {
    use GroupKind::{Bracket, Oco, Oto};
    let knows = |groups: &[GroupKind], kind| {
        let mut far = able(groups);
        match far.ask(entry().in_group(kind, "g")) {
            None => true,
            Some(answer) => {
                assert_eq!(codes(&answer.expect_err("refused")), ["GROUP_UNSUPPORTED"]);
                false
            }
        }
    };
    assert_eq!([Oco, Oto, Bracket].map(|kind| knows(&[], kind)), [false; 3]);
    assert_eq!([Oco, Oto, Bracket].map(|kind| knows(&[Oco], kind)), [true, false, false]);
    assert_eq!([Oco, Oto, Bracket].map(|kind| knows(&[Oco, Oto, Bracket], kind)), [true; 3]);
}

#[test]
fn or05_what_a_venue_takes_off_an_order_is_believed_and_a_duplicate_fill_acts_once() {
    let mut far = able(&[GroupKind::Oco]);
    let one = far.sent(entry().in_group(GroupKind::Oco, "g"));
    let other = far.sent(buy("BTCUSD", "0.10").limit("58000.00").in_group(GroupKind::Oco, "g"));
    for order in [one, other] {
        far.report(accepted(order));
    }
    let part = fill(one, "x1", "0.04");
    far.report(LinkReport::Fill(part.clone()));
    far.report(smaller(other, "0.06", "58000.00"));
    far.report(LinkReport::Fill(part));
    assert_eq!((view(&far, one).filled_volume, view(&far, other).volume), (dec("0.04"), dec("0.06")));
    far.report(LinkReport::Fill(LinkFill { position_volume: dec("0.10"), ..fill(one, "x2", "0.06") }));
    far.report(ended(other, "OCO_FILLED"));
    let last = view(&far, other);
    assert_eq!((last.status, last.reason.as_deref()), (OrderStatus::Canceled, Some("OCO_FILLED")));
    assert_eq!((far.status(), view(&far, one).status), (LinkStatus::Connected, OrderStatus::Filled));
    assert_eq!(far.rig.count(Mark::DuplicateFill), 1);
}

#[test]
fn or06_an_exit_names_the_order_that_lets_it_in_and_closes_what_that_opened() {
    let mut far = able(&[GroupKind::Bracket]);
    let parent = far.sent(entry().in_group(GroupKind::Bracket, "g"));
    let group = asked(&far).group.clone().expect("of a group");
    assert_eq!((group.kind, group.parent), (GroupKind::Bracket, None));
    far.report(accepted(parent));
    let exit = far.sent(target().in_group(GroupKind::Bracket, "g"));
    assert_eq!(asked(&far).group, Some(OrderGroup { parent: Some(parent), ..group }));
    far.report(accepted(exit));
    far.report(LinkReport::Fill(LinkFill { price: dec("59000.00"), ..fill(parent, "x1", "0.04") }));
    far.report(ended(parent, "half of it"));
    far.report(smaller(exit, "0.04", "61000.00"));
    far.report(LinkReport::Fill(LinkFill {
        position: format!("t{}", parent.0),
        side: Side::Sell,
        price: dec("61000.00"),
        realized_pnl: dec("80.00"),
        closes: true,
        position_volume: Decimal::ZERO,
        ..fill(exit, "x2", "0.04")
    }));
    assert_eq!((far.status(), view(&far, exit).status), (LinkStatus::Connected, OrderStatus::Filled));
    assert_eq!(far.rig.view_of(FAR).positions.len(), 0);
}

#[test]
fn or06_a_child_whose_parent_never_left_is_refused_by_the_venue() {
    let mut far = able(&[GroupKind::Bracket]);
    let parent = far.sent(entry().in_group(GroupKind::Bracket, "g"));
    let exit = far.sent(target().in_group(GroupKind::Bracket, "g"));
    far.news(LinkEvent::NotSent(NotSent { orders: vec![parent], terms: Vec::new() }));
    // it is on the wire, and says whom it needs
    let reason = "GROUP_PARENT_ENDED".to_owned();
    far.report(LinkReport::Rejected { order: exit.to_string(), reason, retcode: None });
    assert_eq!((far.order(parent), far.order(exit)), (OrderStatus::Canceled, OrderStatus::Rejected));
    let late = far.ask(target().in_group(GroupKind::Bracket, "g")).expect("an answer");
    assert_eq!(codes(&late.expect_err("all have ended")), ["GROUP_ENDED"]);
}

#[test]
fn or05_books_that_tell_of_less_volume_and_of_an_end_are_taken_over() {
    let mut far = able(&[GroupKind::Oco]);
    let one = far.sent(entry().in_group(GroupKind::Oco, "g"));
    let other = far.sent(buy("BTCUSD", "0.10").limit("58000.00").in_group(GroupKind::Oco, "g"));
    for order in [one, other] {
        far.report(accepted(order));
    }
    let working = |order, volume: &str, price: &str| OrderState {
        volume: Some(dec(volume)),
        price: Some(dec(price)),
        ..state(order, VenueOrderStatus::Working, "0")
    };
    let reason = Some("OCO_FILLED".to_owned());
    let gone = OrderState { reason, ..state(one, VenueOrderStatus::Canceled, "0") };
    far.cut();
    far.capabilities.resend = false; // its books alone tell what was missed
    far.connect();
    far.books("10000", vec![gone, working(other, "0.06", "58000.00")], vec![]);
    assert_eq!((far.status(), far.last_error().as_str()), (LinkStatus::Connected, ""));
    assert_eq!((far.order(one), view(&far, other).volume), (OrderStatus::Canceled, dec("0.06")));
}
