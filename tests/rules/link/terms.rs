//! New terms of working orders, when the link breaks before the venue's word of them came.

use super::*;
use lockstep::domain::message::{LevelChange, ModifyReply, ModifyTrade, OrderKey, OrderView, TradeTarget};

/// 0.20 lots at 58000, for an order of 0.10 at 59000.
fn new_terms(order: OrderId) -> CommandBody {
    CommandBody::Modify(ModifyTrade {
        stop_price: None,
        trail: None,
        lifetime: None,
        account: account_id(FAR),
        target: TradeTarget::Order(order),
        price: Some(dec("58000.00")),
        volume: Some(dec("0.20")),
        stop_loss: LevelChange::Keep,
        take_profit: LevelChange::Keep,
        expected_version: None,
    })
}

/// An order of 0.10 at 59000 of which 0.20 at 58000 was asked for.
fn changing(far: &mut Far) -> OrderId {
    let order = far.resting();
    assert_eq!(far.send(new_terms(order)), None, "it waits for the venue");
    order
}

fn view(far: &Far, id: OrderId) -> OrderView {
    match far.rig.machine.query_at(far.rig.now, &Query::Order(account_id(FAR), OrderKey::Order(id))) {
        Ok(Answer::Order(detail)) => detail.order,
        other => panic!("not an order: {other:?}"),
    }
}

fn assert_has_new_terms(far: &Far, order: OrderId, status: OrderStatus, case: &str) {
    assert_eq!(far.status(), LinkStatus::Connected, "{case}: {}", far.last_error());
    let order = view(far, order);
    let terms = (order.status, order.price, order.volume);
    assert_eq!(terms, (status, Some(dec("58000.00")), dec("0.20")), "{case}");
}

fn modified(order: OrderId) -> LinkReport {
    LinkReport::Modified {
        trigger: Box::default(),
        order: order.to_string(),
        volume: dec("0.20"),
        price: Some(dec("58000.00")),
        levels: Levels::default(),
    }
}

/// What the venue's books say of the order under its new terms.
fn changed(order: OrderId, status: VenueOrderStatus, filled: &str) -> OrderState {
    let (volume, price) = (Some(dec("0.20")), Some(dec("58000.00")));
    let avg_price = (filled != "0").then(|| dec("58000.00"));
    OrderState { volume, price, avg_price, ..state(order, status, filled) }
}

fn fill_at_new_terms(order: OrderId, volume: &str) -> LinkFill {
    LinkFill { price: dec("58000.00"), ..fill(order, "x1", volume) }
}

fn held_at_new_terms(order: OrderId, volume: &str) -> PositionState {
    PositionState { open_price: dec("58000.00"), ..held(order, volume) }
}

/// What happened next at the venue: its report, its books and how the order stands then.
type Next = (&'static str, Option<LinkReport>, OrderState, Vec<PositionState>, OrderStatus);

fn whatever_came_next(order: OrderId) -> [Next; 5] {
    use VenueOrderStatus as Venue;
    let name = || order.to_string();
    let canceled = LinkReport::Canceled { order: name(), reason: None };
    let part = LinkReport::Fill(fill_at_new_terms(order, "0.15"));
    let whole = LinkReport::Fill(fill_at_new_terms(order, "0.20"));
    [
        ("rests", None, changed(order, Venue::Working, "0"), vec![], OrderStatus::Accepted),
        ("canceled", Some(canceled), changed(order, Venue::Canceled, "0"), vec![], OrderStatus::Canceled),
        (
            "expired",
            Some(LinkReport::Expired { order: name() }),
            changed(order, Venue::Expired, "0"),
            vec![],
            OrderStatus::Expired,
        ),
        (
            "filled in part",
            Some(part),
            changed(order, Venue::Working, "0.15"),
            vec![held_at_new_terms(order, "0.15")],
            OrderStatus::PartiallyFilled,
        ),
        (
            "filled",
            Some(whole),
            changed(order, Venue::Filled, "0.20"),
            vec![held_at_new_terms(order, "0.20")],
            OrderStatus::Filled,
        ),
    ]
}

#[test]
fn lv03_terms_that_the_venue_took_before_the_cut_hold_by_its_reports() {
    for cancel in [false, true] {
        for next in 0..5 {
            let mut far = Far::up();
            let order = changing(&mut far);
            if cancel {
                let target = CancelTarget::Order(order);
                far.send(CommandBody::Cancel(CancelOrders { account: account_id(FAR), target }));
            }
            far.cut();
            assert_eq!(far.order(order), OrderStatus::Unknown);
            far.connect();
            let (case, report, state, positions, status) = whatever_came_next(order)[next].clone();
            let mut marks = far.report(modified(order)).marks;
            if let Some(report) = report {
                marks.extend(far.report(report).marks);
            }
            let balance = if positions.is_empty() { "10000" } else { "9999.30" };
            marks.extend(far.books(balance, vec![state], positions).marks);
            assert!(!marks.contains(&Mark::IllegalTransition), "{case}: {marks:?}");
            assert_has_new_terms(&far, order, status, case);
        }
    }
}

#[test]
fn lv03_terms_that_the_venue_took_before_the_cut_hold_by_its_books_alone() {
    for listed in [false, true] {
        for next in 0..5 {
            let mut far = Far::up();
            far.capabilities.resend = false;
            far.cut();
            far.connect();
            far.books("10000", vec![], vec![]);
            let order = changing(&mut far);
            far.cut();
            far.connect();
            let (case, report, state, positions, status) = whatever_came_next(order)[next].clone();
            let fills = match report {
                Some(LinkReport::Fill(fill)) if listed => Some(vec![fill]),
                _ => None,
            };
            let balance = dec(if positions.is_empty() { "10000" } else { "9999.30" });
            let (seq, currency, orders) = (far.seq + 2, "USD".to_owned(), vec![state]);
            let books = VenueSnapshot { seq, balance, currency, orders, positions, fills };
            let marks = far.news(LinkEvent::Snapshot(Box::new(books))).marks;
            assert!(!marks.contains(&Mark::IllegalTransition), "{case}: {marks:?}");
            assert_has_new_terms(&far, order, status, case);
        }
    }
}

/// What became of terms that nobody confirmed in time, and what the key brings from then on.
#[test]
fn gw03_the_key_of_new_terms_that_timed_out_brings_what_became_of_them() {
    type Fate = fn(&mut Far, OrderId);
    let fates: [(&str, Fate, &str); 5] = [
        ("taken", |far, order| drop(far.report(modified(order))), "Accepted 58000.00"),
        (
            "refused",
            |far, order| {
                let (order, reason) = (Some(order.to_string()), "TOO_CLOSE".to_owned());
                far.report(LinkReport::ModifyRejected { order, position: None, reason, retcode: None });
            },
            "VENUE_REJECTED",
        ),
        (
            "lost",
            |far, order| {
                far.cut();
                far.connect();
                let rests = OrderState {
                    price: Some(dec("59000.00")),
                    ..state(order, VenueOrderStatus::Working, "0")
                };
                far.books("10000", vec![rests], vec![]);
            },
            "VENUE_REJECTED",
        ),
        (
            "ended",
            |far, order| drop(far.report(LinkReport::Canceled { order: order.to_string(), reason: None })),
            "ORDER_TERMINAL",
        ),
        (
            "filled",
            |far, order| {
                far.report(LinkReport::Fill(LinkFill {
                    price: dec("59000.00"),
                    ..fill(order, "x1", "0.10")
                }));
            },
            "ORDER_TERMINAL",
        ),
    ];
    let word = |answer: Result<ReplyBody, Refusal>| match answer {
        Ok(ReplyBody::Modify(reply)) => match *reply {
            ModifyReply::Order { order, .. } => {
                format!("{:?} {}", order.status, order.price.unwrap_or_default())
            }
            other => panic!("not an order: {other:?}"),
        },
        Ok(other) => panic!("not the reply to a modify: {other:?}"),
        Err(refusal) => refusal.reason().to_owned(),
    };
    for (case, fate, expected) in fates {
        let mut far = Far::up();
        let order = far.resting();
        let key = Some(("key", "print"));
        assert_eq!(far.rig.send_as("tester", key, new_terms(order)), None, "{case}: it waits");
        far.rig.wait(6 * SECOND_NS).wake();
        assert_eq!(word(far.reply_to_last().clone()), "VENUE_SILENT", "{case}");
        let again = far.rig.send_as("tester", key, new_terms(order)).expect("an answer");
        assert_eq!(word(again), "VENUE_SILENT", "{case}: nobody knows yet");
        let events = far.rig.events.len();
        fate(&mut far, order);
        let told = far.rig.events[events..].iter().any(|event| match event {
            Event::TradeModified(told) => told.intent_id.is_some(),
            Event::TradeRejected(told) => told.order_id == Some(order),
            _ => false,
        });
        assert!(told, "{case}: an event tells what became of the intent");
        let requests = far.requests().len();
        let answer = far.rig.send_as("tester", key, new_terms(order)).expect("an answer");
        assert_eq!(word(answer), expected, "{case}");
        assert_eq!(far.requests().len(), 0, "{case}: a repetition asks nothing of the venue, {requests}");
    }
}

/// RK05: what a stop takes back is not only orders.
#[test]
fn rk05_terms_that_add_risk_are_taken_back_by_a_stop_and_those_that_lower_it_are_not() {
    let levels = |order, stop_loss: &str| {
        CommandBody::Modify(ModifyTrade {
            stop_price: None,
            trail: None,
            lifetime: None,
            account: account_id(FAR),
            target: TradeTarget::Position(PositionId(order)),
            price: None,
            volume: None,
            stop_loss: LevelChange::Price(dec(stop_loss)),
            take_profit: LevelChange::Keep,
            expected_version: None,
        })
    };
    let mut far = Far::up();
    let held = far.open();
    far.requests();
    assert_eq!(far.send(levels(held.0, "58000.00")), None);
    assert_eq!(far.requests(), ["modify"], "a stop loss where there was none");
    far.report(LinkReport::Position {
        position: format!("t{}", held.0),
        levels: Levels { stop_loss: Some(dec("58000.00")), take_profit: None },
    });
    assert_eq!(far.send(levels(held.0, "57000.00")), None);
    let order = changing(&mut far);
    assert_eq!(far.requests(), ["widen", "submit o2", "widen"], "further away, larger");

    far.rig.emergency_stop(StopScope::Global, &[StopAction::Pause]);
    assert_eq!(far.requests(), ["purge"]);
    let intents = far.rig.events.iter().filter_map(|event| match event {
        Event::TradeIntent(intent) if intent.action == "modify" => Some(intent.intent_id),
        _ => None,
    });
    let terms: Vec<_> = intents.skip(1).collect();
    far.rig.replies.clear();
    far.news(LinkEvent::NotSent(NotSent { orders: vec![], terms: terms.clone() }));
    let reasons: Vec<_> = far
        .rig
        .replies
        .iter()
        .map(|r| r.result.as_ref().expect_err("not sent").reason().to_owned())
        .collect();
    assert_eq!(reasons, ["NOT_SENT", "NOT_SENT"]);
    let kept = view(&far, order);
    assert_eq!((kept.status, kept.price), (OrderStatus::Accepted, Some(dec("59000.00"))));
    let again = far.news(LinkEvent::NotSent(NotSent { orders: vec![], terms }));
    assert_eq!(again.marks, [], "told twice");
}

#[test]
fn terms_of_an_order_that_was_filled_in_part_meanwhile_are_waited_for() {
    let mut far = Far::up();
    let order = changing(&mut far);
    far.report(LinkReport::Fill(LinkFill { price: dec("59000.00"), ..fill(order, "x1", "0.05") }));
    assert_eq!(far.order(order), OrderStatus::PartiallyFilled);
    let busy = far.send(new_terms(order)).expect("an answer").expect_err("the first is not answered");
    assert_eq!((busy.reason(), busy.retryable), ("ORDER_BUSY", true));
    far.report(modified(order));
    assert!(far.reply_to_last().is_ok());
}

/// New terms that were asked for after the books: the books cannot tell of them.
#[test]
fn lv03_books_that_were_on_their_way_do_not_end_later_terms() {
    let mut far = Far::up();
    let held = far.open();
    let other = far.resting();
    far.news(LinkEvent::Heartbeat { last: far.seq + 1 });
    assert_eq!(far.status(), LinkStatus::Reconciling);
    let stop = CommandBody::Modify(ModifyTrade {
        stop_price: None,
        trail: None,
        lifetime: None,
        account: account_id(FAR),
        target: TradeTarget::Position(PositionId(held.0)),
        price: None,
        volume: None,
        stop_loss: LevelChange::Price(dec("58000.00")),
        take_profit: LevelChange::Keep,
        expected_version: None,
    });
    assert_eq!(far.send(stop), None, "it lowers risk: it flows while the books are compared");
    let replies = far.rig.replies.len();
    far.report(LinkReport::Canceled { order: other.to_string(), reason: None });
    let ended = state(other, VenueOrderStatus::Canceled, "0");
    far.books("9999.30", vec![ended], vec![super::held(held, "0.10")]);
    assert_eq!(
        (far.status(), far.rig.replies.len()),
        (LinkStatus::Connected, replies),
        "{}",
        far.last_error()
    );
}

#[test]
fn terms_of_an_order_that_moved_on_meanwhile_may_be_refused() {
    let rejected = |order: OrderId| LinkReport::ModifyRejected {
        order: Some(order.to_string()),
        position: None,
        reason: "TOO_LATE".to_owned(),
        retcode: None,
    };
    for (numbered, cancel) in [(true, false), (false, false), (true, true), (false, true)] {
        let mut far = Far::up();
        let order = changing(&mut far);
        if cancel {
            let target = CancelTarget::Order(order);
            far.send(CommandBody::Cancel(CancelOrders { account: account_id(FAR), target }));
        } else {
            let part = LinkFill { price: dec("59000.00"), ..fill(order, "x1", "0.04") };
            far.report(LinkReport::Fill(part));
        }
        match numbered {
            true => far.report(rejected(order)),
            false => far.news(LinkEvent::Report(Box::new(NumberedReport {
                seq: 0,
                prev: 0,
                report: rejected(order),
            }))),
        };
        let told =
            far.rig.events.iter().any(|e| matches!(e, Event::TradeRejected(t) if t.reason == "TOO_LATE"));
        assert!(told, "numbered: {numbered}, cancel: {cancel}");
        let status = if cancel { OrderStatus::PendingCancel } else { OrderStatus::PartiallyFilled };
        assert_eq!(far.order(order), status);
        if !cancel {
            assert_eq!(far.send(new_terms(order)), None, "it may be asked for again");
        }
    }
}

/// LV03: until the venue has answered, the worse terms count.
#[test]
fn lv03_margin_is_held_for_terms_that_are_on_their_way() {
    let mut far = Far::up();
    let order = far.resting();
    let large = CommandBody::Modify(ModifyTrade {
        stop_price: None,
        trail: None,
        lifetime: None,
        account: account_id(FAR),
        target: TradeTarget::Order(order),
        price: None,
        volume: Some(dec("16")),
        stop_loss: LevelChange::Keep,
        take_profit: LevelChange::Keep,
        expected_version: None,
    });
    // 16 lots at 59000 take 9440 of 10000, and two more 1200
    assert_eq!(far.send(large), None);
    let too_much = |far: &mut Far| {
        let denied = far.ask(buy("BTCUSD", "2").limit("59000.00")).expect("an answer");
        codes(&denied.expect_err("there is no margin left"))
    };
    assert_eq!(too_much(&mut far), ["MARGIN_INSUFFICIENT"]);
    far.cut();
    far.connect();
    assert_eq!(too_much(&mut far), ["RECONCILING", "MARGIN_INSUFFICIENT"], "nobody knows");
    let rests = OrderState { price: Some(dec("59000.00")), ..state(order, VenueOrderStatus::Working, "0") };
    far.books("10000", vec![rests], vec![]);
    assert_eq!(far.ask(buy("BTCUSD", "2").limit("59000.00")), None, "the old terms hold");
}

#[test]
fn or02_an_order_that_new_terms_make_as_large_as_what_is_filled_has_ended() {
    let mut far = Far::up();
    let order = changing(&mut far);
    far.report(LinkReport::Fill(LinkFill { price: dec("59000.00"), ..fill(order, "x1", "0.06") }));
    let terms = LinkReport::Modified {
        trigger: Box::default(),
        order: order.to_string(),
        volume: dec("0.06"),
        price: Some(dec("59000.00")),
        levels: Levels::default(),
    };
    far.report(terms);
    assert_eq!(far.order(order), OrderStatus::Filled);
    far.cut();
    far.connect();
    far.books("9999.30", vec![], vec![held_at_new_terms(order, "0.06")]);
    assert_eq!(far.status(), LinkStatus::Connected, "{}", far.last_error());
}

#[test]
fn new_terms_that_a_venue_never_answers_begin_a_new_session() {
    for of_position in [false, true] {
        let mut far = Far::up();
        let order = if of_position { far.open() } else { far.resting() };
        let change = match of_position {
            false => new_terms(order),
            true => CommandBody::Modify(ModifyTrade {
                stop_price: None,
                trail: None,
                lifetime: None,
                account: account_id(FAR),
                target: TradeTarget::Position(PositionId(order.0)),
                price: None,
                volume: None,
                stop_loss: LevelChange::Price(dec("58000.00")),
                take_profit: LevelChange::Keep,
                expected_version: None,
            }),
        };
        assert_eq!(far.send(change), None);
        far.requests();
        for _ in 0..9 {
            far.rig.wait(5 * SECOND_NS).wake();
        }
        assert_eq!(far.status(), LinkStatus::Disconnected, "of a position: {of_position}");
        assert!(far.requests().contains(&"reset".to_owned()));
    }
}
