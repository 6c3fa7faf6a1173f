//! Reports and answers that got lost.

use super::*;

#[test]
fn lv02_an_account_whose_reports_got_lost_reconciles_and_repeated_ones_change_nothing() {
    for resend in [true, false] {
        let mut far = Far::up();
        far.capabilities.resend = resend;
        far.cut();
        far.connect();
        far.books("10000", vec![], vec![]);
        let order = far.sent(buy("BTCUSD", "0.10").limit("59000.00"));
        far.requests();
        let canceled = |seq, prev| {
            let report = LinkReport::Canceled { order: order.to_string(), reason: None };
            LinkEvent::Report(Box::new(NumberedReport { seq, prev, report }))
        };
        let out = far.news(canceled(3, 2));
        assert_eq!((out.marks, far.order(order)), (vec![Mark::ReportGap], OrderStatus::Submitted));
        assert_eq!(far.requests(), [format!("sync log-1 0 [{order}]")]);
        assert_eq!(far.status(), LinkStatus::Reconciling, "what it holds is not known");
        let denied = far.ask(buy("BTCUSD", "0.10")).expect("an answer").expect_err("no new risk");
        assert_eq!(codes(&denied), ["RECONCILING"]);
        far.news(canceled(4, 3));
        assert!(far.requests().is_empty(), "it was asked for already");
        if resend {
            far.report(accepted(order));
            far.report(LinkReport::Canceled { order: order.to_string(), reason: None });
        }
        far.seq = 3;
        far.books("10000", vec![state(order, VenueOrderStatus::Canceled, "0")], vec![]);
        if resend {
            assert_eq!(far.requests(), ["sync log-1 2 []"], "report 3 got lost once more");
            far.seq = 2;
            far.report(LinkReport::Canceled { order: order.to_string(), reason: None });
            far.books("10000", vec![], vec![]);
        }
        assert_eq!(far.order(order), OrderStatus::Canceled);
        assert_eq!(far.status(), LinkStatus::Connected);
    }
}

#[test]
fn a_heartbeat_tells_of_lost_reports_and_a_venue_that_does_not_bring_them_gets_another_session() {
    let mut far = Far::up();
    far.news(LinkEvent::Heartbeat { last: 2 });
    assert_eq!((far.status(), far.requests()), (LinkStatus::Reconciling, vec!["sync log-1 0 []".to_owned()]));
    far.news(LinkEvent::Heartbeat { last: 2 });
    assert_eq!((far.status(), far.requests()), (LinkStatus::Disconnected, vec!["reset".to_owned()]));
    far.connect();
    assert_eq!(far.requests(), ["sync log-1 0 []"]);
}

#[test]
fn a_lost_confirmation_is_asked_for_and_an_order_that_the_venue_never_got_begins_a_new_session() {
    let mut far = Far::up();
    let order = far.sent(buy("BTCUSD", "0.10").limit("59000.00"));
    far.requests();
    far.rig.wait(6 * SECOND_NS).wake();
    assert_eq!(far.requests(), [format!("status [{order}]")]);
    let mut confirmed = Far { rig: far.rig.clone(), seq: far.seq, capabilities: far.capabilities.clone() };
    confirmed.news(LinkEvent::Status(vec![state(order, VenueOrderStatus::Working, "0")]));
    assert_eq!(confirmed.order(order), OrderStatus::Accepted);

    far.news(LinkEvent::Status(vec![state(order, VenueOrderStatus::Unknown, "0")]));
    assert_eq!(far.requests(), ["reset"], "only a later session can prove that it was never taken");
    assert_eq!(far.order(order), OrderStatus::Unknown);
    far.connect();
    far.books("10000", vec![state(order, VenueOrderStatus::Unknown, "0")], vec![]);
    assert_eq!(far.order(order), OrderStatus::Rejected);
}

#[test]
fn an_order_that_the_venue_never_got_and_that_is_being_cancelled_begins_a_new_session_too() {
    let mut far = Far::up();
    let order = far.sent(buy("BTCUSD", "0.10").limit("59000.00"));
    let target = CancelTarget::Order(order);
    far.send(CommandBody::Cancel(CancelOrders { account: account_id(FAR), target }));
    far.requests();
    far.news(LinkEvent::Status(vec![state(order, VenueOrderStatus::Unknown, "0")]));
    assert_eq!((far.status(), far.requests()), (LinkStatus::Disconnected, vec!["reset".to_owned()]));
    far.connect();
    far.books("10000", vec![state(order, VenueOrderStatus::Unknown, "0")], vec![]);
    assert_eq!((far.status(), far.order(order)), (LinkStatus::Connected, OrderStatus::Rejected));
}

/// The answer to a question tells nothing of what was sent after it, and another question was.
#[test]
fn lv02_only_the_books_that_answer_the_last_question_are_compared() {
    let mut far = Far::up();
    let held_by = far.open();
    far.news(LinkEvent::Heartbeat { last: far.seq + 1 });
    let close = ClosePosition {
        account: account_id(FAR),
        target: CloseTarget::Position(PositionId(held_by.0)),
        volume: None,
        reason: None,
    };
    far.send(CommandBody::Close(close));
    let order = OrderId(held_by.0 + 1);
    // the missing report comes, and another gap after it: the books are asked for anew
    let other = LinkReport::Position { position: format!("t{}", held_by.0), levels: Levels::default() };
    far.report(other);
    far.news(LinkEvent::Heartbeat { last: far.seq + 1 });
    assert_eq!(far.requests().iter().filter(|r| r.starts_with("sync")).count(), 2);
    far.books("9999.30", vec![], vec![held(held_by, "0.10")]);
    assert_eq!(far.status(), LinkStatus::Reconciling, "those of the first question: {}", far.last_error());
    far.report(LinkReport::Position { position: format!("t{}", held_by.0), levels: Levels::default() });
    far.books("9999.30", vec![state(order, VenueOrderStatus::Unknown, "0")], vec![held(held_by, "0.10")]);
    assert_eq!(far.status(), LinkStatus::Connected, "{}", far.last_error());
}

#[test]
fn books_that_do_not_come_begin_a_new_session() {
    let mut far = Far::down();
    far.connect();
    far.requests();
    for _ in 0..4 {
        far.rig.wait(6 * SECOND_NS).wake();
        assert_eq!(far.status(), LinkStatus::Reconciling);
    }
    far.rig.wait(6 * SECOND_NS).wake();
    assert_eq!((far.status(), far.requests()), (LinkStatus::Disconnected, vec!["reset".to_owned()]));
}
