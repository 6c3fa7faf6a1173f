//! The life of an order as its venue reports it (OR01, OR02, OR11, OR13).

use super::*;

#[test]
fn or02_fills_in_parts_average_their_position_and_a_cancel_ends_the_rest() {
    let mut far = Far::up();
    let order = far.sent(buy("BTCUSD", "0.10").limit("60020.00"));
    far.report(accepted(order));
    let part = |name: &str, volume: &str, price: &str, total: &str| {
        let (price, position_volume) = (dec(price), dec(total));
        LinkReport::Fill(LinkFill { price, position_volume, ..fill(order, name, volume) })
    };
    far.report(part("x1", "0.04", "60010.00", "0.04"));
    assert_eq!(far.order(order), OrderStatus::PartiallyFilled);
    far.report(part("x2", "0.04", "60020.00", "0.08"));
    let view = far.rig.view_of(FAR);
    assert_eq!((view.positions[0].open_price, view.positions[0].volume), (dec("60015.00"), dec("0.08")));
    far.report(LinkReport::Canceled { order: order.to_string(), reason: None });
    assert_eq!(far.order(order), OrderStatus::Canceled);
    let rest = LinkFill {
        order: None,
        side: Side::Sell,
        closes: true,
        position_volume: dec("0.02"),
        ..fill(order, "x3", "0.06")
    };
    far.report(LinkReport::Fill(rest));
    assert_eq!(far.rig.view_of(FAR).positions[0].open_price, dec("60015.00"));
}

#[test]
fn or01_a_fill_after_a_cancel_was_asked_for_is_booked() {
    let mut far = Far::up();
    let order = far.resting();
    let cancel = CancelOrders { account: account_id(FAR), target: CancelTarget::Order(order) };
    assert_eq!(far.send(CommandBody::Cancel(cancel)), None);
    far.report(LinkReport::Fill(fill(order, "x1", "0.10")));
    let outcome = match far.reply_to_last() {
        Ok(ReplyBody::Cancel(reply)) => reply.outcomes[0].reason.clone(),
        other => panic!("not the reply to a cancel: {other:?}"),
    };
    assert_eq!((outcome.as_deref(), far.order(order)), (Some("FILLED"), OrderStatus::Filled));
    far.report(LinkReport::CancelRejected {
        order: order.to_string(),
        reason: "FILLED".into(),
        retcode: None,
    });
    assert_eq!((far.status(), far.order(order)), (LinkStatus::Connected, OrderStatus::Filled));
}

/// The books, or an order's status, may tell of an end before the report of it comes.
#[test]
fn or01_an_end_that_is_told_once_more_is_no_news() {
    let check = |status: VenueOrderStatus, again: fn(String) -> LinkReport, expected: OrderStatus| {
        let mut far = Far::up();
        let order = far.sent(buy("BTCUSD", "0.10").limit("59000.00"));
        far.news(LinkEvent::Heartbeat { last: far.seq + 1 });
        far.books("10000", vec![state(order, status, "0")], vec![]);
        assert_eq!(far.order(order), expected);
        far.report(again(order.to_string()));
        assert_eq!((far.status(), far.order(order)), (LinkStatus::Connected, expected));
    };
    check(
        VenueOrderStatus::Rejected,
        |order| LinkReport::Rejected { order, reason: "POST_ONLY_WOULD_CROSS".into(), retcode: None },
        OrderStatus::Rejected,
    );
    check(VenueOrderStatus::Expired, |order| LinkReport::Expired { order }, OrderStatus::Expired);
    check(
        VenueOrderStatus::Canceled,
        |order| LinkReport::Canceled { order, reason: None },
        OrderStatus::Canceled,
    );
}

/// An order on its way whose cancel is on its way, too.
fn chased() -> (Far, OrderId) {
    let mut far = Far::up();
    let order = far.sent(buy("BTCUSD", "0.10").limit("59000.00"));
    let cancel = CancelOrders { account: account_id(FAR), target: CancelTarget::Order(order) };
    assert_eq!(far.send(CommandBody::Cancel(cancel)), None);
    (far, order)
}

#[test]
fn or01_a_cancel_that_overtakes_the_confirmation_alarms_nobody() {
    let (mut far, order) = chased();
    let taken = far.report(accepted(order));
    assert!(taken.marks.is_empty(), "{:?}", taken.marks);
    assert_eq!(far.order(order), OrderStatus::PendingCancel);
    far.report(LinkReport::Canceled { order: order.to_string(), reason: None });
    assert_eq!((far.status(), far.order(order)), (LinkStatus::Connected, OrderStatus::Canceled));
}

#[test]
fn or01_an_order_that_its_cancel_overtook_at_the_venue_ends_rejected() {
    for log in [true, false] {
        let (mut far, order) = chased();
        let reason = "CANCELED_BEFORE_START".to_owned();
        let refused = LinkReport::Rejected { order: order.to_string(), reason, retcode: None };
        let out = if log { far.report(refused) } else { far.news(aside(refused)) };
        assert_eq!(out.marks, [Mark::OrderRejected]);
        assert_eq!((far.status(), far.order(order)), (LinkStatus::Connected, OrderStatus::Rejected));
        let refused =
            LinkReport::CancelRejected { order: order.to_string(), reason: "UNKNOWN".into(), retcode: None };
        let out = if log { far.report(refused) } else { far.news(aside(refused)) };
        assert!(!out.marks.contains(&Mark::IllegalTransition), "{:?}", out.marks);
    }
}

#[test]
fn or01_a_confirmation_that_comes_after_the_status_is_told_twice_and_alarms_nobody() {
    let mut far = Far::up();
    let order = far.sent(buy("BTCUSD", "0.10").limit("59000.00"));
    far.rig.wait(6 * SECOND_NS).wake();
    far.news(LinkEvent::Status(vec![state(order, VenueOrderStatus::Working, "0")]));
    assert_eq!(far.report(accepted(order)).marks, [Mark::DuplicateReport]);
    assert_eq!((far.status(), far.order(order)), (LinkStatus::Connected, OrderStatus::Accepted));
}

/// An answer to a request that left no trace at the venue.
fn aside(report: LinkReport) -> LinkEvent {
    LinkEvent::Report(Box::new(NumberedReport { seq: 0, prev: 0, report }))
}

#[test]
fn or11_a_refusal_that_the_venue_does_not_log_is_an_answer_all_the_same() {
    let mut far = Far::up();
    let order = far.sent(buy("BTCUSD", "0.10"));
    let reason = "LANE_FULL".to_owned();
    let refused = aside(LinkReport::Rejected { order: order.to_string(), reason, retcode: None });
    far.news(refused.clone());
    assert_eq!(far.order(order), OrderStatus::Rejected);
    let again = far.news(refused);
    assert_eq!(again.marks, [Mark::DuplicateReport], "once is enough");

    let resting = far.resting();
    far.send(CommandBody::Cancel(CancelOrders {
        account: account_id(FAR),
        target: CancelTarget::Order(resting),
    }));
    let reason = "BUSY".to_owned();
    far.news(aside(LinkReport::CancelRejected { order: resting.to_string(), reason, retcode: None }));
    assert_eq!(far.order(resting), OrderStatus::Accepted, "it rests on");

    // the log goes on as if nothing had been said
    far.report(LinkReport::Canceled { order: resting.to_string(), reason: None });
    assert_eq!(far.order(resting), OrderStatus::Canceled);
    assert_eq!(far.status(), LinkStatus::Connected);
}

#[test]
fn levels_refused_of_a_position_that_is_closed_meanwhile_are_no_contradiction() {
    let mut far = Far::up();
    let order = far.open();
    far.report(LinkReport::Fill(venue_close(order, "x2")));
    let refused = || LinkReport::ModifyRejected {
        order: None,
        position: Some(format!("t{}", order.0)),
        reason: "POSITION_UNKNOWN".to_owned(),
        retcode: None,
    };
    far.report(refused());
    far.news(aside(refused()));
    assert_eq!(far.status(), LinkStatus::Connected);
}

#[test]
fn lv01_what_happened_to_an_order_must_bear_a_number() {
    let check = |report: fn(OrderId) -> LinkReport| {
        let mut far = Far::up();
        let order = far.sent(buy("BTCUSD", "0.10"));
        far.news(aside(report(order)));
        assert_eq!(far.status(), LinkStatus::Error);
        assert!(far.last_error().contains("bears no number"), "{}", far.last_error());
    };
    check(accepted);
    check(|order| LinkReport::Fill(fill(order, "x1", "0.10")));
    check(|order| LinkReport::Canceled { order: order.to_string(), reason: None });
    check(|order| LinkReport::Expired { order: order.to_string() });
}

#[test]
fn or13_what_a_venue_cannot_do_is_an_error_and_not_a_silence() {
    let mut far = Far::up();
    far.capabilities.modify = vec![ModifyField::Stops];
    far.capabilities.order_types = vec![OrderType::Limit];
    far.cut();
    far.connect();
    far.books("10000", vec![], vec![]);
    let denied = far.ask(buy("BTCUSD", "0.10")).expect("an answer").expect_err("limit orders only");
    assert_eq!(codes(&denied), ["ORDER_TYPE_UNSUPPORTED"]);
    let order = far.resting();
    far.requests();
    let keep = lockstep::domain::message::LevelChange::Keep;
    let change = |price, volume, stop_loss| {
        CommandBody::Modify(lockstep::domain::message::ModifyTrade {
            stop_price: None,
            trail: None,
            lifetime: None,
            account: account_id(FAR),
            target: lockstep::domain::message::TradeTarget::Order(order),
            price,
            volume,
            stop_loss,
            take_profit: keep,
            expected_version: None,
        })
    };
    for (body, path) in
        [(change(Some(dec("58000")), None, keep), "price"), (change(None, Some(dec("0.2")), keep), "volume")]
    {
        let refused = far.send(body).expect("an answer").expect_err("it cannot be changed there");
        assert_eq!((refused.reason(), refused.details["path"].as_str()), ("CAPABILITY_MISSING", Some(path)));
    }
    assert!(far.requests().is_empty());
    let stops = change(None, None, lockstep::domain::message::LevelChange::Price(dec("50000")));
    assert_eq!(far.send(stops), None, "that it can, and it waits for the venue");
    assert_eq!(far.requests(), ["modify"]);
    let reason = "too close".to_owned();
    far.report(LinkReport::ModifyRejected {
        order: Some(order.to_string()),
        position: None,
        reason,
        retcode: None,
    });
    let refused = far.reply_to_last().clone().expect_err("the venue keeps the terms");
    assert_eq!(
        (refused.reason(), refused.details["venueReason"].as_str()),
        ("VENUE_REJECTED", Some("too close"))
    );
    assert_eq!(far.order(order), OrderStatus::Accepted);
}

#[test]
fn or01_an_order_may_expire_or_be_refused_at_any_time() {
    for rested in [false, true] {
        let mut far = Far::up();
        let order = if rested { far.resting() } else { far.sent(buy("BTCUSD", "0.10").limit("59000.00")) };
        far.report(LinkReport::Expired { order: order.to_string() });
        assert_eq!(far.order(order), OrderStatus::Expired, "rested: {rested}");
    }
    let mut far = Far::up();
    let order = far.resting();
    far.report(LinkReport::Rejected {
        order: order.to_string(),
        reason: "NO_MARGIN".to_owned(),
        retcode: None,
    });
    assert_eq!(far.order(order), OrderStatus::Canceled, "it had been taken");
}

#[test]
fn a_venue_s_reason_is_not_taken_for_one_of_ours() {
    let mut far = Far::up();
    let order = far.sent(buy("BTCUSD", "0.10").limit("59000.00"));
    far.report(accepted(order));
    far.report(LinkReport::Canceled { order: order.to_string(), reason: Some("NOT_SENT".to_owned()) });
    let told = far.rig.events.iter().find_map(|event| match event {
        Event::TradeCanceled(told) => told.order.reason.clone(),
        _ => None,
    });
    assert_eq!(told.as_deref(), Some("venue: NOT_SENT"));
}
