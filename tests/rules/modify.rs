//! New terms of orders and positions, and the rate at which trades are taken.

use super::rig::{Rig, account_id, buy, codes, dec};
use lockstep::domain::{
    config::TradeRate,
    id::{OrderId, PositionId},
    message::{
        CommandBody, ErrorCode, Event, LevelChange, ModifyReply, ModifyTrade, PlaceOrder, Refusal, ReplyBody,
        StopAction, StopScope, TradeTarget,
    },
    order::OrderStatus,
    time::SECOND_NS,
};

fn rig() -> Rig {
    let mut rig = Rig::new();
    rig.quote("BTCUSD", "60000.00", "60010.00");
    rig
}

fn keep(target: TradeTarget) -> ModifyTrade {
    ModifyTrade {
        stop_price: None,
        trail: None,
        lifetime: None,
        account: account_id("main"),
        target,
        price: None,
        volume: None,
        stop_loss: LevelChange::Keep,
        take_profit: LevelChange::Keep,
        expected_version: None,
    }
}

fn order(id: OrderId) -> ModifyTrade {
    keep(TradeTarget::Order(id))
}

fn position(id: PositionId) -> ModifyTrade {
    keep(TradeTarget::Position(id))
}

fn modify(rig: &mut Rig, terms: ModifyTrade) -> Result<ModifyReply, Refusal> {
    match rig.send(CommandBody::Modify(terms)).expect("paper orders are answered at once")? {
        ReplyBody::Modify(reply) => Ok(*reply),
        other => panic!("not the reply to a modify: {other:?}"),
    }
}

fn level(price: &str) -> LevelChange {
    LevelChange::Price(dec(price))
}

#[test]
fn or02_a_working_order_takes_new_terms_and_keeps_its_place_in_the_books() {
    let mut rig = rig();
    let id = rig.rest(buy("BTCUSD", "0.10").limit("59000.00"));
    let terms = ModifyTrade {
        price: Some(dec("59500.00")),
        volume: Some(dec("0.20")),
        stop_loss: level("58000.00"),
        ..order(id)
    };
    let ModifyReply::Order { order: view, .. } = modify(&mut rig, terms).expect("it rests") else {
        panic!("an order was modified");
    };
    assert_eq!((view.order_id, view.status), (id, OrderStatus::Accepted));
    assert_eq!(
        (view.price, view.volume, view.stop_loss),
        (Some(dec("59500.00")), dec("0.20"), Some(dec("58000.00")))
    );
    assert!(rig.events.iter().any(|e| matches!(e, Event::TradeModified(m) if m.intent_id.is_some())));
    assert!(rig.events.iter().any(|e| matches!(e, Event::OrderUpdated(u) if u.order.price == view.price)));
    rig.quote("BTCUSD", "59480.00", "59490.00");
    assert_eq!(rig.view().positions[0].volume, dec("0.20"), "the venue fills the new terms");
    assert_eq!(rig.view().positions[0].stop_loss, Some(dec("58000.00")));
}

#[test]
fn protective_levels_of_a_position_are_set_moved_and_removed() {
    let mut rig = rig();
    let id = rig.open(buy("BTCUSD", "0.10"));
    let set = ModifyTrade { stop_loss: level("59000.00"), take_profit: level("61000.00"), ..position(id) };
    modify(&mut rig, set).expect("both fit");
    let moved =
        ModifyTrade { stop_loss: level("59900.00"), take_profit: LevelChange::Remove, ..position(id) };
    modify(&mut rig, moved).expect("it fits");
    let view = rig.view();
    assert_eq!((view.positions[0].stop_loss, view.positions[0].take_profit), (Some(dec("59900.00")), None));
    rig.quote("BTCUSD", "61500.00", "61510.00");
    assert_eq!(rig.view().positions.len(), 1, "the take profit is gone");
    rig.quote("BTCUSD", "59850.00", "59860.00");
    assert!(rig.view().positions.is_empty(), "the stop is where it was moved to");
}

#[test]
fn terms_that_cannot_be_are_refused_by_code_and_change_nothing() {
    let mut rig = rig();
    let resting = rig.rest(buy("BTCUSD", "0.10").limit("59000.00"));
    let held = rig.open(buy("BTCUSD", "0.10"));
    let stale = order(resting);
    for (terms, code, reason) in [
        (
            ModifyTrade { price: Some(dec("59000.001")), ..order(resting) },
            ErrorCode::RiskBlocked,
            "PRICE_TICK",
        ),
        (ModifyTrade { volume: Some(dec("0.015")), ..order(resting) }, ErrorCode::RiskBlocked, "VOLUME_STEP"),
        (ModifyTrade { volume: Some(dec("500")), ..order(resting) }, ErrorCode::RiskBlocked, "VOLUME_MAX"),
        (
            ModifyTrade { volume: Some(dec("0")), ..order(resting) },
            ErrorCode::InvalidParams,
            "VOLUME_BELOW_FILLED",
        ),
        (
            ModifyTrade { volume: Some(dec("90")), ..order(resting) },
            ErrorCode::RiskBlocked,
            "MARGIN_INSUFFICIENT",
        ),
        (
            ModifyTrade { stop_loss: level("59500.00"), ..order(resting) },
            ErrorCode::RiskBlocked,
            "STOPS_INVALID",
        ),
        (
            ModifyTrade { stop_loss: level("60500.00"), ..position(held) },
            ErrorCode::RiskBlocked,
            "STOPS_INVALID",
        ),
        (ModifyTrade { price: Some(dec("1")), ..position(held) }, ErrorCode::InvalidParams, "FIELD_CONFLICT"),
        (
            ModifyTrade { stop_loss: level("1"), ..position(PositionId(99)) },
            ErrorCode::NotFound,
            "POSITION_UNKNOWN",
        ),
        (ModifyTrade { price: Some(dec("1")), ..order(OrderId(99)) }, ErrorCode::NotFound, "ORDER_UNKNOWN"),
        (
            ModifyTrade { price: Some(dec("1")), ..order(OrderId(held.0)) },
            ErrorCode::Conflict,
            "ORDER_TERMINAL",
        ),
        (
            ModifyTrade { expected_version: Some(77), price: Some(dec("1")), ..stale },
            ErrorCode::Conflict,
            "VERSION_STALE",
        ),
    ] {
        let before = rig.view();
        let refusal = modify(&mut rig, terms.clone()).expect_err("it cannot be");
        assert_eq!((refusal.code, refusal.reason()), (code, reason), "{terms:?}");
        assert_eq!(rig.view(), before, "{terms:?}");
    }
}

#[test]
fn rk09_while_a_stop_is_latched_terms_may_tighten_and_not_loosen() {
    let mut rig = rig();
    let held = rig.open(buy("BTCUSD", "0.10").sl("59000.00"));
    let resting = rig.rest(buy("BTCUSD", "0.10").limit("58000.00"));
    rig.emergency_stop(StopScope::Global, &[StopAction::Pause]);
    for loosened in [
        ModifyTrade { stop_loss: level("58999.00"), ..position(held) },
        ModifyTrade { stop_loss: LevelChange::Remove, ..position(held) },
        ModifyTrade { volume: Some(dec("0.11")), ..order(resting) },
        ModifyTrade { price: Some(dec("58001.00")), ..order(resting) },
    ] {
        let refusal = modify(&mut rig, loosened.clone()).expect_err("it adds risk");
        assert_eq!(codes(&refusal), ["TRADING_HALTED"], "{loosened:?}");
    }
    for tightened in [
        ModifyTrade { stop_loss: level("59500.00"), ..position(held) },
        ModifyTrade { take_profit: level("61000.00"), ..position(held) },
        ModifyTrade { volume: Some(dec("0.05")), ..order(resting) },
    ] {
        modify(&mut rig, tightened).expect("it adds no risk");
    }
}

#[test]
fn terms_that_are_as_they_are_need_no_venue() {
    let mut rig = rig();
    let id = rig.rest(buy("BTCUSD", "0.10").limit("59000.00"));
    let events = rig.events.len();
    modify(&mut rig, ModifyTrade { price: Some(dec("59000")), ..order(id) }).expect("nothing to change");
    assert_eq!(rig.events.len(), events);
}

#[test]
fn trades_of_an_account_come_no_faster_than_its_rate_and_what_lowers_risk_is_never_slowed() {
    let rate = TradeRate { per_second: 10, burst: 20 };
    let mut rig = Rig::with(|config| config.trade_rate = Some(rate));
    rig.quote("BTCUSD", "60000.00", "60010.00");
    let place = |rig: &mut Rig| rig.place(buy("BTCUSD", "0.01"));
    let opened: Vec<_> = (0..20).map(|_| place(&mut rig).expect("within the burst")).collect();
    let refusal = place(&mut rig).expect_err("the burst is over");
    assert_eq!((refusal.code, refusal.retryable), (ErrorCode::RateLimited, true));
    assert_eq!(
        (refusal.details["retryAfterMs"].as_i64(), refusal.details["outcome"].as_str()),
        (Some(100), Some("not_started"))
    );
    let key = Some(("key", "print"));
    let order = CommandBody::Place(PlaceOrder::from(buy("BTCUSD", "0.01")));
    rig.send_as("tester", key, order.clone()).expect("an answer").expect_err("over the rate");
    for opened in opened {
        rig.close(opened.position_id.expect("filled")).expect("a close is never slowed");
    }
    rig.wait(SECOND_NS / 10);
    rig.send_as("tester", key, order).expect("an answer").expect("a refusal for the rate binds no key");
    rig.wait(10 * SECOND_NS).quote("BTCUSD", "60000.00", "60010.00");
    assert_eq!((0..50).filter(|_| place(&mut rig).is_ok()).count(), 20);
}
