//! Emergency stops across the link (RK05, RK06).

use super::*;

#[test]
fn rk05_a_stop_takes_back_what_is_not_on_the_wire_before_it_cancels() {
    let mut far = Far::up();
    let order = far.sent(buy("BTCUSD", "0.10").limit("59000.00"));
    far.requests();
    let stop = far.rig.emergency_stop(StopScope::Global, &[StopAction::Pause, StopAction::CancelAll]);
    assert_eq!(far.requests(), ["purge".to_owned(), format!("cancel {order}")]);
    far.news(LinkEvent::NotSent(NotSent { orders: vec![order], terms: vec![] }));
    assert_eq!(far.order(order), OrderStatus::Canceled);
    let refusal = far.rig.replies.iter().find_map(|r| r.result.clone().err()).expect("the order's answer");
    assert_eq!((refusal.reason(), refusal.details["outcome"].as_str()), ("NOT_SENT", Some("not_started")));
    let done = |e: &Event| matches!(e, Event::EmergencyStop(s) if s.stop_id == stop.stop_id && s.phase == StopPhase::Completed);
    assert!(far.rig.events.iter().any(done));
}

#[test]
fn rk05_an_order_whose_cancel_was_refused_or_that_turns_up_under_a_stop_is_cancelled_again() {
    let mut far = Far::up();
    let order = far.resting();
    far.rig.emergency_stop(StopScope::Global, &[StopAction::CancelAll]);
    far.requests();
    far.report(LinkReport::CancelRejected {
        order: order.to_string(),
        reason: "FROZEN".into(),
        retcode: None,
    });
    assert_eq!(far.order(order), OrderStatus::Accepted);
    assert!(far.requests().is_empty(), "not at once");
    far.rig.wait(6 * SECOND_NS).wake();
    assert_eq!(far.requests()[0], format!("cancel {order}"));

    let mut far = Far::up();
    far.capabilities.fencing = false;
    let order = far.sent(buy("BTCUSD", "0.10").limit("59000.00"));
    far.cut();
    far.connect();
    far.books("10000", vec![state(order, VenueOrderStatus::Unknown, "0")], vec![]);
    far.rig.emergency_stop(StopScope::Global, &[StopAction::CancelAll]);
    far.requests();
    far.report(accepted(order));
    assert_eq!(far.requests(), [format!("cancel {order}")]);
}

#[test]
fn rk06_a_fill_that_overtook_its_cancel_is_closed_although_the_stop_was_complete() {
    let mut far = Far::up();
    let order = far.resting();
    far.rig.emergency_stop(StopScope::Global, &[StopAction::CloseAll]);
    far.report(LinkReport::Canceled { order: order.to_string(), reason: None });
    let completed = |far: &Far| {
        let done = |e: &&Event| matches!(e, Event::EmergencyStop(s) if s.phase == StopPhase::Completed);
        far.rig.events.iter().filter(done).count()
    };
    assert_eq!(completed(&far), 1);
    far.requests();
    let (seq, prev) = (far.seq + 1, far.seq);
    far.seq += 1;
    let late = NumberedReport { seq, prev, report: LinkReport::Fill(fill(order, "x1", "0.10")) };
    far.rig.step_alarmed(&Input::Link(Box::new(LinkInput {
        account: account_id(FAR),
        event: LinkEvent::Report(Box::new(late)),
    })));
    assert_eq!(far.requests(), ["submit o2"], "the position is closed");
    let close = LinkFill { order: Some("o2".into()), reason: FillReason::Order, ..venue_close(order, "x2") };
    far.report(LinkReport::Fill(close));
    assert_eq!(completed(&far), 2);
}

#[test]
fn rk05_pausing_alone_takes_back_what_is_not_on_the_wire() {
    let mut far = Far::up();
    far.rig.emergency_stop(StopScope::Account(account_id(FAR)), &[StopAction::Pause]);
    assert_eq!(far.requests(), ["purge"]);
    assert_eq!(far.rig.view_of(FAR).summary.trading_state, TradingState::Halted);
}

#[test]
fn rk06_a_stop_that_closes_completes_after_a_reconnect() {
    let mut far = Far::up();
    let (resting, opened) = (far.resting(), far.sent(buy("BTCUSD", "0.10")));
    far.report(LinkReport::Fill(fill(opened, "x1", "0.10")));
    far.cut();
    far.requests();
    let stop = far.rig.emergency_stop(StopScope::Global, &[StopAction::CloseAll]);
    assert!(stop.latched);
    assert_eq!(far.requests(), ["purge"], "nothing else can be asked of a venue that is away");
    far.connect();
    let states = vec![state(resting, VenueOrderStatus::Working, "0")];
    assert_eq!(
        far.requests()[1..],
        [format!("cancel {resting}")],
        "cancels flow while the books are compared"
    );
    far.books("9999.30", states, vec![held(opened, "0.10")]);
    assert_eq!(far.requests(), ["submit o3"]);
    far.report(LinkReport::Canceled { order: resting.to_string(), reason: None });
    let close =
        LinkFill { order: Some("o3".to_owned()), reason: FillReason::Order, ..venue_close(opened, "x2") };
    far.report(LinkReport::Fill(close));
    let completed = |e: &Event| matches!(e, Event::EmergencyStop(s) if s.phase == StopPhase::Completed);
    assert!(far.rig.events.iter().any(completed));
    assert!(far.rig.view_of(FAR).positions.is_empty());
}
