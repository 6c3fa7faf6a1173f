//! Refusals with MetaTrader's numbers: what the gateway shows, and which of them prove nothing (OR11, LV03).

use super::*;
use lockstep::domain::message::{LevelChange, ModifyReply, ModifyTrade, TradeTarget};

/// Numbers that do not say that a request was refused.
const DOUBTFUL: [i64; 6] = [10011, 10012, 10031, 10008, 10009, 10010];

fn limit() -> PlaceOrder {
    buy("BTCUSD", "0.10").limit("59000.00").into()
}

fn rejected(order: OrderId, reason: &str, retcode: Option<i64>) -> LinkReport {
    LinkReport::Rejected { order: order.to_string(), reason: reason.to_owned(), retcode }
}

fn aside(report: LinkReport) -> LinkEvent {
    LinkEvent::Report(Box::new(NumberedReport { seq: 0, prev: 0, report }))
}

/// New terms of an order, or a new stop loss of the position that it opened.
fn change(target: TradeTarget) -> CommandBody {
    let is_order = matches!(target, TradeTarget::Order(_));
    CommandBody::Modify(ModifyTrade {
        account: account_id(FAR),
        target,
        price: is_order.then(|| dec("58000.00")),
        volume: None,
        stop_price: None,
        trail: None,
        lifetime: None,
        stop_loss: if is_order { LevelChange::Keep } else { LevelChange::Price(dec("50000.00")) },
        take_profit: LevelChange::Keep,
        expected_version: None,
    })
}

fn terms_refused(order: OrderId, retcode: i64) -> LinkReport {
    let (order, position) = (Some(order.to_string()), None);
    LinkReport::ModifyRejected { order, position, reason: String::new(), retcode: Some(retcode) }
}

fn ask_status(order: OrderId) -> String {
    format!("status [{order:?}]")
}

#[test]
fn or11_a_refusal_has_our_word_the_venue_s_number_and_whether_to_try_again() {
    let check = |said: &str, retcode: Option<i64>, reason: &str, retryable: bool| {
        let of_order = |far: &mut Far| {
            let order = far.sent(limit());
            far.report(rejected(order, said, retcode));
        };
        let of_terms = |far: &mut Far| {
            let order = far.resting();
            assert_eq!(far.send(change(TradeTarget::Order(order))), None);
            let (order, reason) = (Some(order.to_string()), said.to_owned());
            far.report(LinkReport::ModifyRejected { order, position: None, reason, retcode });
        };
        for refuse in [&of_order as &dyn Fn(&mut Far), &of_terms] {
            let mut far = Far::up();
            refuse(&mut far);
            let refusal = far.reply_to_last().clone().expect_err("refused");
            let details = &refusal.details;
            assert_eq!((refusal.reason(), &details["outcome"]), ("VENUE_REJECTED", &"not_started".into()));
            assert_eq!(details["venueReason"].as_str(), Some(reason));
            assert_eq!(details.get("venueCode").and_then(|code| code.as_i64()), retcode);
            assert_eq!(refusal.retryable, retryable, "{retcode:?}");
            let told = far.rig.events.iter().find_map(|event| match event {
                Event::TradeRejected(told) => Some((told.reason.clone(), told.venue_code)),
                _ => None,
            });
            assert_eq!(told, Some((reason.to_owned(), retcode)));
            assert_eq!(far.status(), LinkStatus::Connected, "{}", far.last_error());
        }
    };
    check("", Some(10019), "MARGIN_INSUFFICIENT", false);
    check("No money", Some(10019), "MARGIN_INSUFFICIENT", false);
    check("", Some(10016), "STOPS_INVALID", false);
    check("STOPS_TOO_CLOSE", Some(10016), "STOPS_TOO_CLOSE", false);
    check("", Some(10014), "VOLUME_INVALID", false);
    check("VOLUME_MIN", Some(10014), "VOLUME_MIN", false);
    check("FROZEN", Some(10018), "MARKET_CLOSED", true);
    check("", Some(10024), "TRADE_RATE", true);
    check("", Some(10004), "REQUOTE", true);
    check("", Some(10045), "FIFO_CLOSE", false);
    // what nobody knows is shown as it is
    check("", Some(10999), "RETCODE_10999", false);
    check("its own word", Some(-7), "its own word", false);
    check("", Some(i64::MAX), "RETCODE_9223372036854775807", false);
    check("its own word", None, "its own word", false);
    check("NOT_SENT", Some(10999), "venue: NOT_SENT", false);
}

#[test]
fn lv03_a_refusal_that_proves_nothing_leaves_the_order_unknown_and_asks() {
    for number in DOUBTFUL.into_iter().chain([10025]) {
        for numbered in [true, false] {
            let mut far = Far::up();
            let order = far.sent(limit());
            far.requests();
            match numbered {
                true => far.report(rejected(order, "NO_MARGIN", Some(number))),
                false => far.news(aside(rejected(order, "NO_MARGIN", Some(number)))),
            };
            assert_eq!(far.order(order), OrderStatus::Unknown, "{number}");
            assert_eq!(far.requests(), [ask_status(order)]);
            assert_eq!(far.status(), LinkStatus::Connected, "{}", far.last_error());
            far.rig.wait(6 * SECOND_NS).quote("BTCUSD", "60000.00", "60010.00");
            let answer = far.reply_to_last().clone().expect_err("nobody knows");
            assert_eq!(answer.details["outcome"], "may_have_executed");
        }
    }
}

#[test]
fn lv03_an_order_in_doubt_is_what_the_venue_then_says_of_it() {
    type Fate = fn(&mut Far, OrderId);
    let status = |far: &mut Far, order: OrderId, status: VenueOrderStatus, filled: &str| {
        far.news(LinkEvent::Status(vec![state(order, status, filled)]));
    };
    let check = |what: &str, fate: Fate, expected: OrderStatus| {
        let mut far = Far::up();
        let order = far.sent(buy("BTCUSD", "0.10"));
        far.report(rejected(order, "", Some(10012)));
        fate(&mut far, order);
        assert_eq!(far.order(order), expected, "{what}");
        assert_ne!(far.status(), LinkStatus::Error, "{what}: {}", far.last_error());
    };
    check(
        "it tells a fill",
        |far, id| drop(far.report(LinkReport::Fill(fill(id, "x1", "0.10")))),
        OrderStatus::Filled,
    );
    check("it took it", |far, id| drop(far.report(accepted(id))), OrderStatus::Accepted);
    check(
        "it refuses it after all",
        |far, id| drop(far.report(rejected(id, "", Some(10019)))),
        OrderStatus::Rejected,
    );
    let expired =
        |far: &mut Far, id: OrderId| drop(far.report(LinkReport::Expired { order: id.to_string() }));
    check("it expired", expired, OrderStatus::Expired);
    check(
        "it is in doubt again",
        |far, id| drop(far.report(rejected(id, "", Some(10031)))),
        OrderStatus::Unknown,
    );

    let mut far = Far::up();
    let order = far.sent(limit());
    far.report(rejected(order, "", Some(10012)));
    status(&mut far, order, VenueOrderStatus::Working, "0");
    assert_eq!(far.order(order), OrderStatus::Accepted, "asked, it says that it works");

    let mut far = Far::up();
    let order = far.sent(limit());
    far.report(rejected(order, "", Some(10012)));
    status(&mut far, order, VenueOrderStatus::Rejected, "0");
    assert_eq!(far.status(), LinkStatus::Reconciling, "the books tell the rest");
    far.books("10000", vec![state(order, VenueOrderStatus::Rejected, "0")], vec![]);
    assert_eq!(far.order(order), OrderStatus::Rejected);
}

/// That a session does not know an order which it may have passed on is no proof; that a later one does not is,
/// where the venue fences.
#[test]
fn lv03_only_a_later_session_proves_that_an_order_in_doubt_is_not_there() {
    for fencing in [true, false] {
        let mut far = Far::up();
        far.capabilities.fencing = fencing;
        far.cut();
        far.connect();
        far.books("10000", vec![], vec![]);
        let (other, order) = (far.sent(limit()), far.sent(limit()));
        far.report(rejected(order, "", Some(10031)));
        // the books of the same session, asked for because a report was missing
        far.news(LinkEvent::Heartbeat { last: far.seq + 1 });
        let unknown = || vec![state(order, VenueOrderStatus::Unknown, "0")];
        let books = || [unknown(), vec![state(other, VenueOrderStatus::Working, "0")]].concat();
        far.report(accepted(other));
        far.books("10000", books(), vec![]);
        assert_eq!((far.status(), far.order(order)), (LinkStatus::Connected, OrderStatus::Unknown));
        far.requests();
        far.news(LinkEvent::Status(unknown()));
        assert_eq!(far.requests(), ["reset"], "another session is begun, to know");
        far.connect();
        far.books("10000", books(), vec![]);
        let proved = if fencing { OrderStatus::Rejected } else { OrderStatus::Unknown };
        assert_eq!((far.status(), far.order(order)), (LinkStatus::Connected, proved));
        far.requests();
        far.news(LinkEvent::Status(unknown()));
        assert!(!far.requests().contains(&"reset".to_owned()), "and not again and again");
    }
}

#[test]
fn lv03_cancels_and_terms_that_are_refused_in_doubt_stay_open() {
    for number in DOUBTFUL {
        let mut far = Far::up();
        let order = far.resting();
        let cancel = CancelOrders { account: account_id(FAR), target: CancelTarget::Order(order) };
        assert_eq!(far.send(CommandBody::Cancel(cancel)), None);
        far.requests();
        let (name, reason) = (order.to_string(), String::new());
        far.report(LinkReport::CancelRejected { order: name, reason, retcode: Some(number) });
        assert_eq!(far.order(order), OrderStatus::PendingCancel, "{number}");
        assert_eq!(far.requests(), [""; 0], "it is not asked again at once");
        far.rig.wait(6 * SECOND_NS).quote("BTCUSD", "60000.00", "60010.00");
        assert_eq!(far.requests(), [ask_status(order)]);

        let mut far = Far::up();
        let order = far.resting();
        assert_eq!(far.send(change(TradeTarget::Order(order))), None);
        let replies = far.rig.replies.len();
        far.report(terms_refused(order, number));
        assert_eq!(
            (far.order(order), far.rig.replies.len()),
            (OrderStatus::PendingModify, replies),
            "{number}"
        );
        far.report(LinkReport::Modified {
            order: order.to_string(),
            volume: dec("0.10"),
            price: Some(dec("58000.00")),
            trigger: Box::default(),
            levels: Levels::default(),
        });
        assert!(far.reply_to_last().is_ok(), "it was done");
    }
}

#[test]
fn terms_of_which_nobody_hears_are_asked_about_in_another_session() {
    let mut far = Far::up();
    let order = far.resting();
    assert_eq!(far.send(change(TradeTarget::Order(order))), None);
    far.report(terms_refused(order, 10012));
    far.requests();
    for _ in 0..7 {
        far.rig.wait(5 * SECOND_NS).quote("BTCUSD", "60000.00", "60010.00");
    }
    assert!(far.requests().contains(&"reset".to_owned()));
    assert_eq!(far.order(order), OrderStatus::Unknown);
}

#[test]
fn new_terms_that_change_nothing_are_a_success() {
    for numbered in [true, false] {
        let mut far = Far::up();
        let order = far.resting();
        let held = far.open();
        for target in [TradeTarget::Order(order), TradeTarget::Position(PositionId(held.0))] {
            assert_eq!(far.send(change(target)), None, "it waits for the venue");
            let report = match target {
                TradeTarget::Order(order) => terms_refused(order, 10025),
                TradeTarget::Position(_) => LinkReport::ModifyRejected {
                    order: None,
                    position: Some(format!("t{}", held.0)),
                    reason: String::new(),
                    retcode: Some(10025),
                },
            };
            match numbered {
                true => far.report(report),
                false => far.news(aside(report)),
            };
            match far.reply_to_last() {
                Ok(ReplyBody::Modify(reply)) => match &**reply {
                    ModifyReply::Order { order, .. } => assert_eq!(order.price, Some(dec("59000.00"))),
                    ModifyReply::Position { position, .. } => assert_eq!(position.stop_loss, None),
                },
                other => panic!("not a success: {other:?}"),
            }
        }
        assert_eq!(far.order(order), OrderStatus::Accepted);
    }
}
