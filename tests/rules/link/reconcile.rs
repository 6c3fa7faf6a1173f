//! Unknown orders, missed fills and books: what a reconnect finds (LV01, LV02, LV03, LV07, RK07).

use super::*;

#[test]
fn lv03_an_order_of_unknown_fate_stays_unknown_until_the_books_prove_it() {
    let (unknown, working) = (VenueOrderStatus::Unknown, VenueOrderStatus::Working);
    for (fencing, found, expected) in [
        (true, unknown, OrderStatus::Rejected),
        (false, unknown, OrderStatus::Unknown),
        (true, working, OrderStatus::Accepted),
        (false, working, OrderStatus::Accepted),
        (true, VenueOrderStatus::Canceled, OrderStatus::Canceled),
        (true, VenueOrderStatus::Expired, OrderStatus::Expired),
        (true, VenueOrderStatus::Rejected, OrderStatus::Rejected),
    ] {
        let mut far = Far::up();
        far.capabilities.fencing = fencing;
        let order = far.sent(buy("BTCUSD", "0.10").limit("59000.00"));
        far.cut();
        assert_eq!(far.order(order), OrderStatus::Unknown);
        far.requests();
        far.connect();
        assert_eq!(far.requests(), [format!("sync log-1 0 [{order}]")]);
        far.books("10000", vec![state(order, found, "0")], vec![]);
        assert_eq!(far.order(order), expected, "fencing {fencing}, {found:?}");
        assert_eq!(far.status(), LinkStatus::Connected);
        assert!(far.requests().is_empty(), "nothing is sent a second time");
    }
}

#[test]
fn lv03_a_time_out_that_was_executed_is_found_and_the_key_brings_the_present_state() {
    let mut far = Far::up();
    let order = PlaceOrder { account: account_id(FAR), ..buy("BTCUSD", "0.10").into() };
    let place = CommandBody::Place(order);
    let key = Some(("key", "print"));
    assert_eq!(far.rig.send_as("tester", key, place.clone()), None);
    let id = OrderId(1);
    far.rig.wait(6 * SECOND_NS).wake();
    let refusal = far.reply_to_last().clone().expect_err("nobody answered");
    assert_eq!(
        (refusal.code, refusal.details["outcome"].as_str()),
        (ErrorCode::Timeout, Some("may_have_executed"))
    );
    assert_eq!(refusal.details["orderId"], id.to_string());
    assert!(far.requests().contains(&format!("status [{id}]")), "the venue is asked after a while");

    let again = far.rig.send_as("tester", key, place.clone()).expect("an answer");
    assert_eq!(again.expect_err("still open").code, ErrorCode::Timeout);
    far.cut();
    far.connect();
    far.report(LinkReport::Fill(fill(id, "x1", "0.10")));
    far.books("9999.30", vec![state(id, VenueOrderStatus::Filled, "0.10")], vec![held(id, "0.10")]);
    match far.rig.send_as("tester", key, place).expect("an answer") {
        Ok(ReplyBody::Place(reply)) => assert_eq!(reply.status, OrderStatus::Filled),
        other => panic!("not the order's present state: {other:?}"),
    }
    assert_eq!(far.requests().iter().filter(|r| r.starts_with("submit")).count(), 0, "one order only");
}

#[test]
fn lv01_a_fill_counts_once_whoever_repeats_it() {
    let mut far = Far::up();
    let order = far.open();
    let balance = far.rig.view_of(FAR).summary.balance;
    let again = NumberedReport { seq: 1, prev: 0, report: LinkReport::Fill(fill(order, "x1", "0.10")) };
    let out = far.news(LinkEvent::Report(Box::new(again)));
    assert_eq!(out.marks, [Mark::DuplicateReport], "by the report's number");
    let out = far.report(LinkReport::Fill(fill(order, "x1", "0.10")));
    assert_eq!(out.marks, [Mark::DuplicateFill], "by the fill's name");
    let restarted = Machine::decode(Machine::STATE_VERSION, &far.rig.machine.encode()).expect("a state");
    far.rig.machine = restarted;
    let out = far.report(LinkReport::Fill(fill(order, "x1", "0.10")));
    assert_eq!(out.marks, [Mark::DuplicateFill], "after a restart too");
    assert_eq!(far.rig.view_of(FAR).summary.balance, balance);
    assert_eq!(far.status(), LinkStatus::Connected);
}

#[test]
fn lv01_fills_that_happened_while_the_link_was_down_are_booked_once() {
    let mut far = Far::up();
    let order = far.resting();
    far.cut();
    far.connect();
    let listed = vec![fill(order, "x7", "0.10")];
    let books = VenueSnapshot {
        seq: 1,
        balance: dec("9999.30"),
        currency: "USD".to_owned(),
        orders: vec![state(order, VenueOrderStatus::Filled, "0.10")],
        positions: vec![held(order, "0.10")],
        fills: Some(listed.clone()),
    };
    let out = far.news(LinkEvent::Snapshot(Box::new(books)));
    assert!(out.marks.contains(&Mark::MissedFill));
    assert_eq!(far.order(order), OrderStatus::Filled);
    let view = far.rig.view_of(FAR);
    assert_eq!((view.positions.len(), view.summary.balance.amount()), (1, dec("9999.30")));
    let out = far.report(LinkReport::Fill(listed[0].clone()));
    assert_eq!(out.marks, [Mark::DuplicateFill]);
}

#[test]
fn lv01_a_venue_without_history_gives_fills_whose_ids_are_functions_of_their_content() {
    let run = || {
        let mut far = Far::up();
        far.capabilities.resend = false;
        let order = far.resting();
        far.cut();
        far.connect();
        let average = Some(dec("59000.00"));
        let filled = OrderState { avg_price: average, ..state(order, VenueOrderStatus::Filled, "0.10") };
        let position = PositionState { open_price: dec("59000.00"), ..held(order, "0.10") };
        let (seq, balance, currency) = (1, dec("9998.00"), "USD".to_owned());
        let (orders, positions) = (vec![filled], vec![position]);
        let books = VenueSnapshot { seq, balance, currency, orders, positions, fills: None };
        far.news(LinkEvent::Snapshot(Box::new(books)));
        assert_eq!(far.status(), LinkStatus::Connected, "{}", far.last_error());
        assert_eq!(far.order(order), OrderStatus::Filled);
        assert_eq!(
            far.rig.view_of(FAR).summary.balance.amount(),
            dec("9998.00"),
            "what it cost is in the balance"
        );
        far.rig.machine.output_hash()
    };
    assert_eq!(run(), run());
}

/// Books need not say which order opened a position.
#[test]
fn lv01_a_position_without_its_order_is_known_by_its_name_or_by_its_content() {
    for filled_before in [false, true] {
        let mut far = Far::up();
        let order = far.resting();
        if filled_before {
            far.report(LinkReport::Fill(LinkFill { price: dec("59000.00"), ..fill(order, "x1", "0.04") }));
        }
        far.cut();
        far.news(LinkEvent::Up(LinkUp { log: "log-2".to_owned(), capabilities: far.capabilities.clone() }));
        let average = Some(dec("59000.00"));
        let filled = OrderState { avg_price: average, ..state(order, VenueOrderStatus::Filled, "0.10") };
        let anonymous = PositionState { order: None, open_price: dec("59000.00"), ..held(order, "0.10") };
        let (seq, balance, currency) = (1, dec("9998.00"), "USD".to_owned());
        let (orders, positions) = (vec![filled], vec![anonymous]);
        let books = VenueSnapshot { seq, balance, currency, orders, positions, fills: None };
        far.news(LinkEvent::Snapshot(Box::new(books)));
        assert_eq!(far.status(), LinkStatus::Connected, "{}", far.last_error());
        far.seq = 1;
        let close = LinkFill { price: dec("60000.00"), ..venue_close(order, "x9") };
        far.news(LinkEvent::Report(Box::new(NumberedReport {
            seq: 2,
            prev: 1,
            report: LinkReport::Fill(close),
        })));
        assert_eq!(far.status(), LinkStatus::Connected, "{}", far.last_error());
        assert!(far.rig.view_of(FAR).positions.is_empty(), "it is known by the venue's name");
    }
}

#[test]
fn lv01_books_that_rest_on_lost_reports_wait_for_them() {
    let mut far = Far::up();
    let order = far.sent(buy("BTCUSD", "0.10"));
    far.cut();
    far.connect();
    far.requests();
    far.seq = 1; // the fill, which was lost
    let books = |far: &mut Far| {
        let filled = state(order, VenueOrderStatus::Filled, "0.10");
        far.books("9999.65", vec![filled], vec![held(order, "0.10")])
    };
    assert_eq!(books(&mut far).marks, [Mark::ReportGap]);
    assert_eq!(far.requests(), [format!("sync log-1 0 [{order:?}]")]);
    assert_eq!((far.status(), far.order(order)), (LinkStatus::Reconciling, OrderStatus::Unknown));

    let mut repeated = Far { rig: far.rig.clone(), seq: 0, capabilities: far.capabilities.clone() };
    repeated.report(LinkReport::Fill(fill(order, "x1", "0.10")));
    books(&mut repeated);
    assert_eq!((repeated.status(), repeated.order(order)), (LinkStatus::Connected, OrderStatus::Filled));

    books(&mut far);
    assert_eq!(far.requests(), ["reset"], "lost again: a new session tells it all");
    assert_eq!(far.order(order), OrderStatus::Unknown, "nothing was made up");
}

#[test]
fn lv02_books_that_nobody_sends_and_books_that_contradict_the_reports_close_nothing() {
    let mut far = Far::up();
    let order = far.open();
    far.cut();
    far.connect();
    assert_eq!(far.status(), LinkStatus::Reconciling);
    assert_eq!(far.rig.view_of(FAR).positions.len(), 1, "no answer is not flat");
    far.books("9999.30", vec![], vec![]);
    assert_eq!(far.status(), LinkStatus::Error);
    assert!(far.last_error().contains("no report closed it"), "{}", far.last_error());
    assert_eq!(far.rig.view_of(FAR).positions.len(), 1, "a wrong snapshot is not flat either");
    let _ = order;
}

#[test]
fn lv02_a_venue_that_lost_its_log_is_believed_by_its_books() {
    let mut far = Far::up();
    far.open();
    far.cut();
    let capabilities = far.capabilities.clone();
    far.news(LinkEvent::Up(LinkUp { log: "log-2".to_owned(), capabilities }));
    far.seq = 0;
    far.books("9990.00", vec![], vec![]);
    assert_eq!(far.status(), LinkStatus::Connected);
    let view = far.rig.view_of(FAR);
    assert_eq!((view.positions.len(), view.summary.balance.amount()), (0, dec("9990.00")));
    let closed = |e: &Event| matches!(e, Event::TradeClosed(c) if c.reason == FillReason::Reconciled);
    assert!(far.rig.events.iter().any(closed), "it says why the position is gone");
}

#[test]
fn lv07_working_orders_stay_across_a_reconnect_and_nothing_is_sent_again() {
    let mut far = Far::up();
    let order = far.resting();
    far.requests();
    for _ in 0..3 {
        far.cut();
        assert_eq!(far.order(order), OrderStatus::Accepted, "it rests at the venue, whoever listens");
        far.connect();
        assert_eq!(far.requests(), [format!("sync log-1 1 [{order}]")]);
        far.books("10000", vec![state(order, VenueOrderStatus::Working, "0")], vec![]);
        assert_eq!((far.order(order), far.status()), (OrderStatus::Accepted, LinkStatus::Connected));
        assert!(far.requests().is_empty());
    }
    // nor does a restart of the gateway drop or send anything
    far.rig.step(&Input::Gateway(lockstep::domain::message::GatewayState::Ready));
    assert_eq!(far.requests(), ["open"]);
    assert_eq!(far.order(order), OrderStatus::Accepted);
}

#[test]
fn rk07_while_reconciling_new_risk_is_denied_and_cancels_and_closes_flow() {
    let mut far = Far::up();
    let (resting, opened) = (far.resting(), far.sent(buy("BTCUSD", "0.10")));
    far.report(LinkReport::Fill(fill(opened, "x1", "0.10")));
    far.cut();
    let down = far.ask(buy("BTCUSD", "0.10")).expect("an answer").expect_err("nobody is there");
    assert_eq!(down.code, ErrorCode::ConnectorUnavailable);
    assert_eq!(codes(&down), ["ACCOUNT_NOT_CONNECTED"]);
    let cancel =
        CommandBody::Cancel(CancelOrders { account: account_id(FAR), target: CancelTarget::Order(resting) });
    let refused = far.send(cancel.clone()).expect("an answer").expect_err("nobody is there");
    assert_eq!(refused.reason(), "ACCOUNT_NOT_CONNECTED");
    far.connect();
    far.requests();
    let denied = far.ask(buy("BTCUSD", "0.10")).expect("an answer").expect_err("reconciling");
    assert_eq!(codes(&denied), ["RECONCILING"]);
    assert_eq!((denied.code, denied.retryable), (ErrorCode::ConnectorUnavailable, true));
    assert_eq!(far.send(cancel), None, "it waits for the venue");
    let close = ClosePosition {
        account: account_id(FAR),
        target: CloseTarget::Position(PositionId(opened.0)),
        volume: None,
        reason: None,
    };
    assert_eq!(far.send(CommandBody::Close(close.clone())), None);
    assert_eq!(far.requests(), [format!("cancel {resting}"), "submit o3".to_owned()]);
    assert_eq!(far.send(CommandBody::Close(close)), None, "a repeat joins");
    assert!(far.requests().is_empty(), "and sends nothing");
}

#[test]
fn rk07_books_need_not_tell_of_a_reduction_that_was_sent_while_they_were_on_their_way() {
    let mut far = Far::up();
    let opened = far.open();
    far.cut();
    far.connect();
    let close = ClosePosition {
        account: account_id(FAR),
        target: CloseTarget::Position(PositionId(opened.0)),
        volume: None,
        reason: None,
    };
    assert_eq!(far.send(CommandBody::Close(close)), None);
    far.books("9999.30", vec![], vec![held(opened, "0.10")]);
    assert_eq!(far.status(), LinkStatus::Connected, "{}", far.last_error());
    assert_eq!(far.order(OrderId(2)), OrderStatus::Submitted);
}
