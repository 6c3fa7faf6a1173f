//! What a venue says of triggers, trails and lifetimes: reports and books (EX07, EX09, LV01, GW10).

use super::{
    super::rig::{Ask, at, sell},
    *,
};
use lockstep::domain::{
    message::{LevelChange, Lifetime, ModifyTrade, OrderKey, OrderView, TradeTarget, TrailBy, TriggerTerms},
    order::TimeInForce,
    time::UnixNanos,
};

/// A venue that can do all that there is.
fn able() -> Far {
    let mut far = Far::down();
    far.capabilities = Capabilities::of_this_build();
    far.connect();
    far.books("10000", vec![], vec![]);
    far.rig.requests.clear();
    far
}

fn rests(far: &mut Far, order: impl Into<PlaceOrder>) -> OrderId {
    let order = far.sent(order);
    far.report(accepted(order));
    order
}

fn stop() -> Ask {
    buy("BTCUSD", "0.10").stop("61000.00")
}

fn stop_limit() -> Ask {
    buy("BTCUSD", "0.10").stop_limit("61000.00", "60500.00")
}

/// It trails by 500 below a bid of 60000.
fn trailing() -> Ask {
    sell("BTCUSD", "0.10").trailing(TrailBy::Distance(dec("500.00")))
}

fn limit() -> Ask {
    buy("BTCUSD", "0.10").limit("59000.00")
}

fn view(far: &Far, id: OrderId) -> OrderView {
    match far.rig.machine.query_at(far.rig.now, &Query::Order(account_id(FAR), OrderKey::Order(id))) {
        Ok(Answer::Order(detail)) => detail.order,
        other => panic!("not an order: {other:?}"),
    }
}

fn triggered(order: OrderId, stop_price: Option<&str>) -> LinkReport {
    LinkReport::Triggered { order: order.to_string(), stop_price: stop_price.map(dec) }
}

/// Terms of a trigger, of which nothing else is said.
fn at_price(stop_price: &str) -> TriggerTerms {
    TriggerTerms { stop_price: Some(dec(stop_price)), ..TriggerTerms::default() }
}

fn by(distance: Option<&str>, percent: Option<&str>) -> TriggerTerms {
    let [trail_distance, trail_percent] = [distance, percent].map(|number| number.map(dec));
    TriggerTerms { trail_distance, trail_percent, ..TriggerTerms::default() }
}

fn lives(tif: Option<TimeInForce>, expires_at: Option<&str>) -> TriggerTerms {
    TriggerTerms { tif, expires_at: expires_at.map(at), ..TriggerTerms::default() }
}

fn modified(order: OrderId, trigger: TriggerTerms) -> LinkReport {
    LinkReport::Modified {
        order: order.to_string(),
        volume: dec("0.10"),
        price: None,
        trigger: Box::new(trigger),
        levels: Levels::default(),
    }
}

/// The order in the venue's books, at work.
fn works(order: OrderId, trigger: TriggerTerms, triggered: bool) -> OrderState {
    OrderState { trigger, triggered, ..state(order, VenueOrderStatus::Working, "0") }
}

#[test]
fn ex07_a_trigger_is_told_once_and_again_without_effect() {
    let mut far = able();
    let order = rests(&mut far, stop_limit());
    far.report(triggered(order, Some("61000.00")));
    let version = view(&far, order).version;
    assert_eq!(view(&far, order).status, OrderStatus::Triggered);
    far.report(triggered(order, None));
    assert_eq!((view(&far, order).status, view(&far, order).version), (OrderStatus::Triggered, version));
    assert_eq!(far.rig.count(Mark::StopTriggered), 1);
    // what is on its way when it is triggered stays on its way
    let cancel = CancelOrders { account: account_id(FAR), target: CancelTarget::Order(order) };
    assert_eq!(far.send(CommandBody::Cancel(cancel)), None);
    far.report(LinkReport::CancelRejected { order: order.to_string(), reason: "BUSY".into(), retcode: None });
    assert_eq!(far.order(order), OrderStatus::Triggered, "it rests on as what it is");
    far.report(LinkReport::Canceled { order: order.to_string(), reason: None });
    far.report(triggered(order, None));
    assert_eq!((far.order(order), far.status()), (OrderStatus::Canceled, LinkStatus::Connected), "too late");
}

#[test]
fn ex07_a_trigger_may_come_before_the_venue_has_said_that_it_took_the_order() {
    let mut far = able();
    let order = far.sent(stop_limit());
    far.report(triggered(order, None));
    assert_eq!(far.order(order), OrderStatus::Triggered);
    far.report(accepted(order));
    assert_eq!((far.order(order), far.status()), (OrderStatus::Triggered, LinkStatus::Connected));
}

#[test]
fn or02_a_trigger_that_is_told_after_a_first_fill_leaves_the_order_filled_in_part() {
    let mut far = able();
    let order = rests(&mut far, stop());
    far.report(LinkReport::Fill(fill(order, "x1", "0.04")));
    far.report(triggered(order, None));
    assert_eq!(far.order(order), OrderStatus::PartiallyFilled);
    far.report(LinkReport::Fill(LinkFill { position_volume: dec("0.10"), ..fill(order, "x2", "0.06") }));
    assert_eq!(far.order(order), OrderStatus::Filled);
}

/// A word about an order at rest: believed, or the end of the link with a reason. In books it means the same.
fn check(ask: Ask, word: impl Fn(OrderId) -> LinkReport, why: &str) {
    for in_books in [false, true] {
        let mut far = able();
        let order = rests(&mut far, ask.clone());
        let report = word(order);
        match (in_books, &report) {
            (false, _) => drop(far.report(report.clone())),
            (true, LinkReport::Modified { trigger, .. }) => {
                far.cut();
                far.connect();
                far.books("10000", vec![works(order, (**trigger).clone(), false)], vec![]);
            }
            (true, LinkReport::Triggered { .. }) => {
                far.cut();
                far.connect();
                far.books("10000", vec![works(order, TriggerTerms::default(), true)], vec![]);
            }
            (true, other) => panic!("{other:?} is not in books"),
        }
        let expected = if why.is_empty() { LinkStatus::Connected } else { LinkStatus::Error };
        assert_eq!(far.status(), expected, "{report:?}, in books: {in_books}: {}", far.last_error());
        assert!(far.last_error().contains(why), "`{}` does not say `{why}`", far.last_error());
    }
}

#[test]
fn gw10_triggers_that_cannot_be_true_take_the_account_to_error() {
    let market = || buy("BTCUSD", "0.10");
    check(market(), |id| triggered(id, None), "which has no trigger");
    check(limit(), |id| triggered(id, None), "which has no trigger");
    check(stop(), |id| triggered(id, None), "");
    check(limit(), |id| modified(id, at_price("61000.00")), "which has none");
    check(market(), |id| modified(id, by(None, Some("1"))), "which has none");
    check(stop(), |id| modified(id, by(Some("100.00"), None)), "which does not");
    check(stop_limit(), |id| modified(id, by(None, Some("1"))), "which does not");
    check(trailing(), |id| modified(id, by(Some("100.00"), None)), "");
    // off the grid: half a tick, nothing, less than nothing
    for off in ["61000.005", "0", "-61000.00"] {
        check(stop(), |id| modified(id, at_price(off)), "its stopPrice");
        check(trailing(), |id| modified(id, by(Some(off), None)), "its trailDistance");
    }
    for percent in ["0", "-1", "100"] {
        check(trailing(), |id| modified(id, by(None, Some(percent))), "between 0 and 100");
    }
    check(limit(), |id| modified(id, lives(Some(TimeInForce::Gtd), None)), "until when");
}

#[test]
fn gw10_a_trigger_off_the_grid_is_no_trigger() {
    let mut far = able();
    let order = rests(&mut far, stop());
    far.report(triggered(order, Some("61000.005")));
    assert_eq!(far.status(), LinkStatus::Error);
    assert!(far.last_error().contains("its stopPrice"), "{}", far.last_error());
    assert_eq!(far.order(order), OrderStatus::Accepted, "nothing of it is believed");
}

/// What the venue says of an order's lifetime, and what it is then.
#[test]
fn or12_a_lifetime_that_is_not_told_is_as_it_was() {
    let noon = "2024-01-11T12:00:00Z";
    let check = |ask: Ask, said: TriggerTerms, tif, expires_at: Option<&str>| {
        let mut far = able();
        let order = rests(&mut far, ask);
        far.report(modified(order, said.clone()));
        let order = view(&far, order);
        assert_eq!(
            (order.tif, order.expires_at),
            (tif, expires_at.map(at)),
            "{said:?}: {}",
            far.last_error()
        );
    };
    let (gtc, day, gtd) = (TimeInForce::Gtc, TimeInForce::Day, TimeInForce::Gtd);
    check(limit(), TriggerTerms::default(), gtc, None);
    check(limit().until(noon), TriggerTerms::default(), gtd, Some(noon));
    check(limit().until(noon), lives(Some(gtd), None), gtd, Some(noon));
    check(limit().until(noon), lives(None, Some("2024-01-12T00:00:00Z")), gtd, Some("2024-01-12T00:00:00Z"));
    check(limit().until(noon), lives(Some(gtc), None), gtc, None);
    // the venue's day may end when ours does not
    check(limit().day(), lives(Some(day), None), day, Some("2024-01-10T22:00:00Z"));
    check(limit().day(), lives(Some(day), Some("2024-01-10T21:00:00Z")), day, Some("2024-01-10T21:00:00Z"));
}

#[test]
fn or08_a_venue_may_end_an_order_by_its_own_clock() {
    let mut far = able();
    let order = rests(&mut far, limit().day());
    far.rig.to("2024-01-10T22:00:01Z").wake();
    assert_eq!(far.order(order), OrderStatus::Accepted, "the venue says when it has expired");
    far.report(LinkReport::Expired { order: order.to_string() });
    assert_eq!(far.order(order), OrderStatus::Expired);
}

/// EX09: the venue moves a trailing stop. Where it is is news, and neither new terms nor a contradiction.
#[test]
fn ex09_the_books_tell_where_a_trailing_stop_is() {
    let mut far = able();
    let order = rests(&mut far, trailing());
    assert_eq!(view(&far, order).stop_price, Some(dec("59500.00")));
    for (there, triggered, status) in [
        ("59800.00", false, OrderStatus::Accepted),
        ("59800.00", false, OrderStatus::Accepted),
        ("59950.00", true, OrderStatus::Triggered),
    ] {
        far.cut();
        far.connect();
        let terms = TriggerTerms { trail_distance: Some(dec("500.00")), ..at_price(there) };
        let events = far.rig.events.len();
        far.books("10000", vec![works(order, terms, triggered)], vec![]);
        assert_eq!(far.status(), LinkStatus::Connected, "{}", far.last_error());
        let told = view(&far, order);
        assert_eq!((told.stop_price, told.status), (Some(dec(there)), status));
        let modified = |event: &Event| matches!(event, Event::TradeModified(_));
        assert!(!far.rig.events[events..].iter().any(modified), "nobody has changed its terms");
    }
}

#[test]
fn ex07_what_was_triggered_while_the_link_was_down_is_in_the_books() {
    for resend in [true, false] {
        for sent in [true, false] {
            let mut far = able();
            far.capabilities.resend = resend;
            // of one it was not even known whether the venue took it
            let order = if sent { far.sent(stop_limit()) } else { rests(&mut far, stop_limit()) };
            far.cut();
            far.connect();
            let terms =
                OrderState { price: Some(dec("60500.00")), ..works(order, at_price("61000.00"), true) };
            far.books("10000", vec![terms], vec![]);
            assert_eq!(far.status(), LinkStatus::Connected, "{}", far.last_error());
            assert_eq!(far.order(order), OrderStatus::Triggered, "resend: {resend}, sent: {sent}");
        }
    }
}

/// LV03: terms of triggers that were on their way when the link broke.
#[test]
fn lv03_triggers_that_the_venue_took_before_the_cut_hold_by_its_books() {
    let day = Lifetime { tif: TimeInForce::Gtd, expires_at: Some(at("2024-01-11T12:00:00Z")) };
    let check = |ask: Ask, change: &dyn Fn(&mut ModifyTrade), there: TriggerTerms, taken: bool| {
        let mut far = able();
        let order = rests(&mut far, ask);
        let before = view(&far, order);
        let mut body = ModifyTrade {
            account: account_id(FAR),
            target: TradeTarget::Order(order),
            price: None,
            volume: None,
            stop_price: None,
            trail: None,
            lifetime: None,
            stop_loss: LevelChange::Keep,
            take_profit: LevelChange::Keep,
            expected_version: None,
        };
        change(&mut body);
        assert_eq!(far.send(CommandBody::Modify(body)), None, "it waits for the venue");
        far.cut();
        assert_eq!(far.order(order), OrderStatus::Unknown);
        far.connect();
        far.books("10000", vec![works(order, there.clone(), false)], vec![]);
        assert_eq!(far.status(), LinkStatus::Connected, "{there:?}: {}", far.last_error());
        let after = view(&far, order);
        let terms = |o: &OrderView| (o.stop_price, o.trail_distance, o.tif, o.expires_at);
        assert_eq!(after.status, OrderStatus::Accepted);
        assert_eq!(terms(&after) != terms(&before), taken, "{there:?} {after:?}");
        assert_eq!(far.reply_to_last().is_ok(), taken, "{there:?}");
    };
    let higher = |m: &mut ModifyTrade| m.stop_price = Some(dec("62000.00"));
    check(stop(), &higher, at_price("62000.00"), true);
    check(stop(), &higher, at_price("61000.00"), false);
    let closer = |m: &mut ModifyTrade| m.trail = Some(TrailBy::Distance(dec("300.00")));
    let trails = |distance| TriggerTerms { trail_distance: Some(dec(distance)), ..at_price("59500.00") };
    check(trailing(), &closer, trails("300.00"), true);
    check(trailing(), &closer, trails("500.00"), false);
    let dated = |m: &mut ModifyTrade| m.lifetime = Some(day);
    check(
        limit(),
        &dated,
        TriggerTerms { tif: Some(day.tif), expires_at: day.expires_at, ..by(None, None) },
        true,
    );
    check(limit(), &dated, TriggerTerms::default(), false);
}

#[test]
fn or13_new_lifetimes_are_those_of_the_venue() {
    let mut far = able();
    far.capabilities.tifs = vec![TimeInForce::Day];
    far.cut();
    far.connect();
    far.books("10000", vec![], vec![]);
    let order = rests(&mut far, limit());
    let lifetime = |tif, expires_at: Option<UnixNanos>| {
        CommandBody::Modify(ModifyTrade {
            account: account_id(FAR),
            target: TradeTarget::Order(order),
            price: None,
            volume: None,
            stop_price: None,
            trail: None,
            lifetime: Some(Lifetime { tif, expires_at }),
            stop_loss: LevelChange::Keep,
            take_profit: LevelChange::Keep,
            expected_version: None,
        })
    };
    let dated = lifetime(TimeInForce::Gtd, Some(at("2024-01-11T12:00:00Z")));
    let refused = far.send(dated).expect("an answer").expect_err("it has no such lifetime");
    assert_eq!(codes(&refused), ["TIF_UNSUPPORTED"]);
    assert_eq!(far.send(lifetime(TimeInForce::Day, None)), None, "that it has");
}
