//! `trades.resolve`, and what the venue says afterwards.

use super::*;

/// An order that nobody can tell anything of.
fn unresolved() -> (Far, OrderId) {
    let mut far = Far::up();
    far.capabilities.fencing = false;
    let order = far.sent(buy("BTCUSD", "0.10"));
    far.cut();
    far.connect();
    far.books("10000", vec![state(order, VenueOrderStatus::Unknown, "0")], vec![]);
    assert_eq!(far.order(order), OrderStatus::Unknown);
    far.requests();
    (far, order)
}

fn resolve(order: OrderId, outcome: ResolvedAs) -> CommandBody {
    CommandBody::Resolve(ResolveOrder { account: account_id(FAR), order, outcome, reason: "phoned".into() })
}

/// Filled at 60005, as an operator believes.
fn filled(volume: &str, position: Option<&str>) -> ResolvedAs {
    ResolvedAs::Filled {
        volume: dec(volume),
        price: dec("60005.00"),
        commission: dec("-0.70"),
        venue_position: position.map(str::to_owned),
    }
}

fn said(outcome: ResolvedAs) -> (Far, OrderId) {
    let (mut far, order) = unresolved();
    far.send(resolve(order, outcome)).expect("an answer").expect("it is unknown");
    (far, order)
}

/// The next report of the log, which may alarm.
fn contrary(far: &mut Far, report: LinkReport) -> Outputs {
    let (prev, seq) = (far.seq, far.seq + 1);
    far.seq = seq;
    let event = LinkEvent::Report(Box::new(NumberedReport { seq, prev, report }));
    far.rig.step_alarmed(&Input::Link(Box::new(LinkInput { account: account_id(FAR), event })))
}

/// The venue's books, which may alarm.
fn books(far: &mut Far, balance: &str, orders: Vec<OrderState>, positions: Vec<PositionState>) -> Outputs {
    let (seq, currency, balance) = (far.seq, "USD".to_owned(), dec(balance));
    let books = VenueSnapshot { seq, balance, currency, orders, positions, fills: None };
    let event = LinkEvent::Snapshot(Box::new(books));
    far.rig.step_alarmed(&Input::Link(Box::new(LinkInput { account: account_id(FAR), event })))
}

/// Lots and balance.
fn holds(far: &Far) -> (Vec<Decimal>, Decimal) {
    let view = far.rig.view_of(FAR);
    (view.positions.iter().map(|p| p.volume).collect(), view.summary.balance.amount())
}

#[test]
fn lv03_the_venue_s_own_report_confirms_what_an_operator_had_booked() {
    for position in [None, Some("t1")] {
        let (mut far, order) = said(filled("0.10", position));
        assert_eq!(holds(&far), (vec![dec("0.10")], dec("9999.30")));
        let out =
            far.report(LinkReport::Fill(LinkFill { commission: dec("-0.90"), ..fill(order, "x1", "0.10") }));
        assert_eq!(out.fills.len(), 0, "it is booked already");
        assert!(!out.events.iter().any(|e| matches!(e, Event::RiskAlert(_))), "they agree");
        assert_eq!(far.status(), LinkStatus::Reconciling, "the money may be another");
        assert_eq!(far.requests(), ["sync log-1 1 []"]);
        far.books("9999.10", vec![], vec![held(order, "0.10")]);
        assert_eq!(far.status(), LinkStatus::Connected, "{}", far.last_error());
        assert_eq!(holds(&far), (vec![dec("0.10")], dec("9999.10")), "the venue's figures hold");
        let again = far.report(LinkReport::Fill(fill(order, "x1", "0.10")));
        assert_eq!(again.marks, [Mark::DuplicateFill]);
        far.report(LinkReport::Fill(venue_close(order, "x2")));
        assert_eq!(holds(&far).0, [], "it is known by the venue's name");
        assert_eq!(far.status(), LinkStatus::Connected, "{}", far.last_error());
    }
}

#[test]
fn lv03_what_the_venue_filled_beyond_an_operator_s_word_is_booked_and_alarmed() {
    let (mut far, order) = said(filled("0.04", None));
    let out = contrary(&mut far, LinkReport::Fill(fill(order, "x1", "0.10")));
    assert!(out.marks.contains(&Mark::ResolvedContradicted));
    assert_eq!(holds(&far).0, [dec("0.10")]);
    far.books("9999.30", vec![], vec![held(order, "0.10")]);
    assert_eq!((far.status(), holds(&far)), (LinkStatus::Connected, (vec![dec("0.10")], dec("9999.30"))));
}

#[test]
fn lv03_books_without_what_an_operator_had_booked_take_it_away() {
    let (mut far, _) = said(filled("0.10", None));
    far.cut();
    far.connect();
    let out = books(&mut far, "10000", vec![], vec![]);
    assert!(out.marks.contains(&Mark::ResolvedContradicted));
    assert_eq!(far.status(), LinkStatus::Connected, "{}", far.last_error());
    assert_eq!(holds(&far), (vec![], dec("10000")));
}

#[test]
fn lv03_books_with_what_an_operator_had_denied_bring_it() {
    let (mut far, order) = said(ResolvedAs::NotExecuted);
    far.cut();
    far.connect();
    let out = books(&mut far, "9999.30", vec![], vec![held(order, "0.10")]);
    assert!(out.marks.contains(&Mark::ResolvedContradicted));
    assert_eq!(far.status(), LinkStatus::Connected, "{}", far.last_error());
    assert_eq!(holds(&far), (vec![dec("0.10")], dec("9999.30")));
}

#[test]
fn lv03_an_order_that_rests_although_an_operator_denied_it_is_cancelled_and_alarmed() {
    let (mut far, order) = said(ResolvedAs::NotExecuted);
    let out = contrary(&mut far, accepted(order));
    assert!(out.marks.contains(&Mark::ResolvedContradicted));
    assert_eq!(far.requests(), [format!("cancel {order}")]);
    far.cut();
    far.connect();
    far.requests();
    let out = books(&mut far, "10000", vec![state(order, VenueOrderStatus::Working, "0")], vec![]);
    assert!(out.marks.contains(&Mark::ResolvedContradicted));
    assert_eq!(far.status(), LinkStatus::Connected, "{}", far.last_error());
    assert_eq!(far.requests(), [format!("cancel {order}")]);
    let out = far.report(LinkReport::Canceled { order: order.to_string(), reason: None });
    assert!(!out.marks.contains(&Mark::ResolvedContradicted), "now they agree");
}

#[test]
fn lv03_an_operator_resolves_what_nobody_tells_and_a_contrary_report_is_booked_and_alarmed() {
    let (mut far, order) = unresolved();
    far.send(resolve(order, ResolvedAs::NotExecuted)).expect("an answer").expect("it is unknown");
    assert_eq!(far.order(order), OrderStatus::Canceled);
    let twice = far.send(resolve(order, ResolvedAs::NotExecuted)).expect("an answer");
    assert_eq!(twice.expect_err("it is known now").reason(), "ORDER_NOT_UNKNOWN");
    let prev = far.seq;
    let contrary =
        NumberedReport { seq: prev + 1, prev, report: LinkReport::Fill(fill(order, "x1", "0.10")) };
    let out = far.rig.step_alarmed(&Input::Link(Box::new(LinkInput {
        account: account_id(FAR),
        event: LinkEvent::Report(Box::new(contrary)),
    })));
    assert!(out.marks.contains(&Mark::ResolvedContradicted));
    assert!(out.events.iter().any(|e| matches!(e, Event::RiskAlert(_))), "somebody is told");
    assert_eq!(far.rig.view_of(FAR).positions.len(), 1, "the money is where the venue says");

    let (mut far, order) = unresolved();
    let outcome = ResolvedAs::Filled {
        volume: dec("0.10"),
        price: dec("60005.00"),
        commission: dec("-0.70"),
        venue_position: Some("t1".into()),
    };
    far.send(resolve(order, outcome)).expect("an answer").expect("it is unknown");
    assert_eq!(far.order(order), OrderStatus::Filled);
    let view = far.rig.view_of(FAR);
    assert_eq!(
        (view.positions[0].open_price, view.summary.balance.amount()),
        (dec("60005.00"), dec("9999.30"))
    );
    let too_much = ResolvedAs::Filled {
        volume: dec("0.20"),
        price: dec("60005.00"),
        commission: Decimal::ZERO,
        venue_position: None,
    };
    let (mut far, order) = unresolved();
    let refused = far.send(resolve(order, too_much)).expect("an answer").expect_err("more than was ordered");
    assert_eq!(refused.details["path"], "fill.volume");
}

/// A close of a position that nobody can tell anything of, said to be filled.
fn said_closed(volume: &str) -> (Far, OrderId) {
    let mut far = Far::up();
    far.capabilities.fencing = false;
    let opened = far.open();
    far.requests();
    let close = ClosePosition {
        account: account_id(FAR),
        target: CloseTarget::Position(PositionId(opened.0)),
        volume: None,
        reason: None,
    };
    far.send(CommandBody::Close(close));
    let order = OrderId(opened.0 + 1);
    far.cut();
    far.connect();
    far.books("9999.30", vec![state(order, VenueOrderStatus::Unknown, "0")], vec![held(opened, "0.10")]);
    far.send(resolve(order, filled(volume, None))).expect("an answer").expect("it is unknown");
    far.cut();
    far.connect();
    (far, opened)
}

#[test]
fn lv03_a_position_that_an_operator_believed_closed_is_there_again() {
    for named in [true, false] {
        for (said, here, there) in [("0.10", vec![], "0.10"), ("0.04", vec![dec("0.06")], "0.10")] {
            let (mut far, opened) = said_closed(said);
            assert_eq!(holds(&far).0, here);
            let order = named.then(|| opened.to_string());
            let position = PositionState { order, ..held(opened, there) };
            let out = books(&mut far, "9999.30", vec![], vec![position]);
            assert!(out.marks.contains(&Mark::ResolvedContradicted));
            assert_eq!(far.status(), LinkStatus::Connected, "{}", far.last_error());
            assert_eq!(holds(&far), (vec![dec(there)], dec("9999.30")));
            far.report(LinkReport::Fill(venue_close(opened, "x7")));
            assert_eq!(holds(&far).0, [], "it is known by the venue's name");
        }
    }
}

#[test]
fn lv03_the_venue_s_volume_holds_where_an_operator_said_more_or_less() {
    for (said_volume, there) in [("0.10", "0.05"), ("0.05", "0.10"), ("0.05", "0.05")] {
        for resend in [true, false] {
            let (mut far, order) = said(filled(said_volume, None));
            far.cut();
            far.capabilities.resend = resend;
            far.connect();
            let out = books(&mut far, "9999.30", vec![], vec![held(order, there)]);
            let agree = said_volume == there;
            assert_eq!(out.marks.contains(&Mark::ResolvedContradicted), !agree, "{said_volume} {there}");
            assert_eq!(far.status(), LinkStatus::Connected, "{}", far.last_error());
            assert_eq!(holds(&far), (vec![dec(there)], dec("9999.30")));
            far.cut();
            far.connect();
            far.books("9999.30", vec![], vec![held(order, there)]);
            assert_eq!(far.status(), LinkStatus::Connected, "and stays so: {}", far.last_error());
        }
    }
}

#[test]
fn a_resolution_cannot_take_another_position_s_name() {
    let mut far = Far::up();
    far.capabilities.fencing = false;
    let other = far.open();
    let order = far.sent(buy("BTCUSD", "0.10"));
    far.cut();
    far.connect();
    far.books("9999.30", vec![state(order, VenueOrderStatus::Unknown, "0")], vec![held(other, "0.10")]);
    let refused = far.send(resolve(order, filled("0.10", Some("t1")))).expect("an answer");
    assert_eq!(refused.expect_err("taken").details["path"], "fill.venuePosition");
}
