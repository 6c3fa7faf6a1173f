//! OR: the life of orders.

use super::rig::{Ask, Rig, buy, codes, dec, sell};
use lockstep::domain::{
    message::{CancelTarget, ErrorCode, Event, OutcomeState},
    order::{OrderStatus, OrderType, Side},
    time::SECOND_NS,
};

fn quoted() -> Rig {
    let mut rig = Rig::new();
    rig.quote("EURUSD", "1.10000", "1.10010");
    rig
}

#[test]
fn or01_what_has_ended_cannot_end_again() {
    let mut rig = quoted();
    let order = rig.rest(buy("EURUSD", "0.10").limit("1.09000"));
    assert_eq!(rig.order(order).order.status, OrderStatus::Accepted);
    let reply = rig.cancel(order).expect("cancelled");
    assert_eq!(reply.outcomes[0].state, OutcomeState::Done);
    assert_eq!(rig.order(order).order.status, OrderStatus::Canceled);
    let again = rig.cancel(order).expect_err("it has ended");
    assert_eq!((again.code, again.reason()), (ErrorCode::Conflict, "ORDER_TERMINAL"));
    rig.wait(SECOND_NS).quote("EURUSD", "1.08000", "1.08010");
    assert!(rig.trades().is_empty(), "a cancelled order does not fill");

    let filled = rig.place(buy("EURUSD", "0.10")).expect("filled").order_id;
    let late = rig.cancel(filled).expect_err("it is filled");
    assert_eq!((late.code, late.reason()), (ErrorCode::Conflict, "ORDER_TERMINAL"));
}

#[test]
fn or01_versions_count_up_and_the_last_state_is_told() {
    let mut rig = quoted();
    let order = rig.rest(buy("EURUSD", "0.10").limit("1.09000"));
    let resting = rig.order(order).order.version;
    rig.cancel(order).expect("cancelled");
    assert!(rig.order(order).order.version > resting);
    let told = rig.events.iter().filter_map(|event| match event {
        Event::TradeCanceled(canceled) => Some(&canceled.order),
        _ => None,
    });
    let told: Vec<_> = told.collect();
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].status, told[0].leaves_volume), (OrderStatus::Canceled, dec("0")));
}

#[test]
fn or01_cancel_all_cancels_all_and_only_what_it_names() {
    let mut rig = quoted();
    rig.quote("XAUUSD", "2000.00", "2000.30");
    let held = rig.open(buy("EURUSD", "0.10"));
    let euro = rig.rest(buy("EURUSD", "0.10").limit("1.09000"));
    let exit = rig.rest(sell("EURUSD", "0.10").limit("1.11000").reduces(held));
    let gold = rig.rest(buy("XAUUSD", "0.10").limit("1900.00"));
    let all = |symbol: Option<&str>| CancelTarget::All { symbol: symbol.map(str::to_owned) };
    let ids = |outcomes: &[lockstep::domain::message::Outcome]| {
        outcomes.iter().map(|o| o.id.clone()).collect::<Vec<_>>()
    };
    let reply = rig.cancel_target(all(Some("EURUSD"))).expect("cancelled");
    assert_eq!(ids(&reply.outcomes), [euro.to_string(), exit.to_string()]);
    let reply = rig.cancel_target(all(None)).expect("cancelled");
    assert_eq!(ids(&reply.outcomes), [gold.to_string()]);
    assert_eq!(rig.cancel_target(all(None)).expect("nothing to do").outcomes, []);
    let unknown = rig.cancel_target(all(Some("NOTHING"))).expect_err("no such symbol");
    assert_eq!(unknown.code, ErrorCode::NotFound);
    assert!(rig.view().orders.is_empty() && rig.view().positions.len() == 1);
}

#[test]
fn or02_filled_and_leaves_add_up_at_every_report() {
    let mut rig = Rig::new();
    rig.bar("EURUSD", ["1.10000"; 4], 10);
    rig.place(buy("EURUSD", "0.10")).expect("taken");
    rig.bar("EURUSD", ["1.10000"; 4], 10);
    let id = rig.view().positions[0].position_id;
    let first = rig.place(sell("EURUSD", "0.06").reduces(id)).expect("waits").order_id;
    let second = rig.place(sell("EURUSD", "0.06").reduces(id)).expect("waits").order_id;
    rig.bar("EURUSD", ["1.10000"; 4], 10);
    for (order, filled) in [(first, "0.06"), (second, "0.04")] {
        let order = rig.order(order).order;
        assert_eq!((order.filled_volume, order.leaves_volume), (dec(filled), dec("0")), "{order:?}");
        assert!(order.status.is_terminal());
    }
}

#[test]
fn or03_reductions_are_clipped_to_the_position_and_never_turn_it_around() {
    let mut rig = Rig::new();
    rig.bar("EURUSD", ["1.10000"; 4], 10);
    rig.place(buy("EURUSD", "0.10")).expect("taken");
    rig.bar("EURUSD", ["1.10000"; 4], 10);
    let id = rig.view().positions[0].position_id;
    rig.trades();
    for lots in ["0.06", "0.06", "0.10"] {
        rig.place(sell("EURUSD", lots).reduces(id)).expect("each alone would reduce");
    }
    rig.bar("EURUSD", ["1.10000"; 4], 10);
    assert_eq!(rig.trades(), ["sell 0.06 1.10000 order", "sell 0.04 1.10000 order"]);
    let view = rig.view();
    assert!(view.positions.is_empty() && view.orders.is_empty(), "{view:?}");
}

#[test]
fn or03_a_resting_reduction_ends_with_its_position() {
    let mut rig = quoted();
    let id = rig.open(buy("EURUSD", "0.10").sl("1.09900"));
    let exit = rig.rest(sell("EURUSD", "0.10").limit("1.10500").reduces(id));
    rig.wait(SECOND_NS).quote("EURUSD", "1.09900", "1.09910");
    assert_eq!(rig.order(exit).order.status, OrderStatus::Canceled);
    rig.wait(SECOND_NS).quote("EURUSD", "1.10600", "1.10610");
    assert_eq!(rig.trades(), ["buy 0.10 1.10010 order", "sell 0.10 1.09900 stop_loss"]);
}

#[test]
fn or03_a_reduction_names_a_position_that_it_reduces() {
    let mut rig = quoted();
    let id = rig.open(buy("EURUSD", "0.10"));
    let reduce_only = |o: Ask| o.change(|o| o.reduce_only = true);
    for (order, why) in [
        (reduce_only(sell("EURUSD", "0.10")), "no position named"),
        (buy("EURUSD", "0.10").reduces(id), "same side"),
        (sell("EURUSD", "0.11").reduces(id), "larger than the position"),
        (sell("XAUUSD", "0.10").reduces(id), "another symbol"),
        (
            sell("EURUSD", "0.10").change(|o| o.position = Some(lockstep::domain::id::PositionId(99))),
            "unknown",
        ),
    ] {
        assert!(rig.denied(order).contains(&"REDUCE_ONLY".to_owned()), "{why}");
    }
    assert_eq!(rig.denied(sell("EURUSD", "0.10").reduces(id)), [""; 0]);
}

#[test]
fn or07_volume_and_prices_lie_on_the_grid_and_zero_is_not_absent() {
    let mut rig = quoted();
    for (lots, code) in [
        ("0", "VOLUME_STEP"),
        ("-0.10", "VOLUME_STEP"),
        ("0.015", "VOLUME_STEP"),
        ("0.000000001", "VOLUME_STEP"),
    ] {
        assert_eq!(rig.denied(buy("EURUSD", lots)), [code], "{lots}");
    }
    assert_eq!(rig.denied(buy("EURUSD", "0.010")), [""; 0], "trailing zeros are on the grid");
    for price in ["0", "-1.09", "1.090005", "99999999999"] {
        assert!(rig.denied(buy("EURUSD", "0.10").limit(price)).contains(&"PRICE_TICK".to_owned()), "{price}");
        for order in [buy("EURUSD", "0.10").sl(price), buy("EURUSD", "0.10").tp(price)] {
            assert!(rig.denied(order).contains(&"PRICE_TICK".to_owned()), "level {price}");
        }
    }
    assert!(
        rig.denied(buy("EURUSD", "0.10").change(|o| o.order_type = OrderType::Limit))
            .contains(&"PRICE_TICK".to_owned()),
        "a limit without a price"
    );
    let id = rig.view().positions[0].position_id;
    for lots in ["0", "-0.01", "0.001"] {
        let target = lockstep::domain::message::CloseTarget::Position(id);
        let refusal = rig.close_target(target, Some(lots)).expect_err("off the grid");
        assert_eq!(codes(&refusal), ["VOLUME_STEP"], "close {lots}");
    }
}

#[test]
fn or09_no_fill_outside_the_session_whatever_is_quoted() {
    // Friday 17:00 in New York is 22:00 UTC in winter
    let mut rig = Rig::starting("2024-01-12T21:00:00Z", |_| {});
    rig.quote("EURUSD", "1.10000", "1.10010");
    rig.open(buy("EURUSD", "0.10").sl("1.09900").tp("1.10200"));
    rig.rest(buy("EURUSD", "0.10").limit("1.09950"));
    rig.trades();
    rig.to("2024-01-12T21:59:59.999999999Z").quote("EURUSD", "1.09960", "1.09970");
    assert_eq!(rig.denied(buy("EURUSD", "0.01").limit("1.05000")), [""; 0], "the last instant trades");
    for (now, bid, ask) in [
        ("2024-01-12T22:00:00Z", "1.09800", "1.09810"),
        ("2024-01-13T12:00:00Z", "1.10300", "1.10310"),
        ("2024-01-14T21:59:59.999999999Z", "1.09800", "1.09810"),
    ] {
        rig.to(now).quote("EURUSD", bid, ask);
        assert!(rig.trades().is_empty(), "{now}");
        assert_eq!(rig.view().positions[0].current_price, dec(bid), "outside the session quotes only mark");
        assert_eq!(rig.denied(buy("EURUSD", "0.10")), ["MARKET_CLOSED"], "{now}");
    }
    rig.to("2024-01-14T22:00:00Z").quote("EURUSD", "1.09700", "1.09710");
    assert_eq!(rig.trades(), ["sell 0.10 1.09700 stop_loss", "buy 0.10 1.09710 order"]);
}

#[test]
fn or09_coins_trade_on_weekends() {
    let mut rig = Rig::starting("2024-01-13T12:00:00Z", |_| {});
    rig.quote("BTCUSD", "45000.00", "45010.00");
    assert_eq!(rig.denied(buy("BTCUSD", "0.10")), [""; 0]);
}

#[test]
fn or11_a_denial_says_gateway_and_makes_no_order() {
    let mut rig = quoted();
    let refusal = rig.place(buy("EURUSD", "0.015").named("mine")).expect_err("denied");
    assert_eq!(refusal.code, ErrorCode::RiskBlocked);
    let rejected: Vec<_> = rig
        .events
        .iter()
        .filter_map(|event| match event {
            Event::TradeRejected(rejected) => Some(rejected),
            _ => None,
        })
        .collect();
    assert_eq!(rejected.len(), 1);
    assert_eq!((rejected[0].by.as_str(), rejected[0].order_id), ("gateway", None));
    assert_eq!(rejected[0].code, "VOLUME_STEP");
    assert!(rig.events.iter().any(|e| matches!(e, Event::RiskAlert(_))));
    assert_eq!(rig.denied(buy("EURUSD", "0.01").named("mine")), [""; 0], "a denial uses up no client id");
    assert_eq!(rig.view().positions[0].side, Side::Buy);
}

#[test]
fn or11_a_closed_market_is_a_rejection_without_an_alert() {
    let mut rig = Rig::starting("2024-01-13T12:00:00Z", |_| {});
    rig.quote("EURUSD", "1.10000", "1.10010");
    let refusal = rig.place(buy("EURUSD", "0.10")).expect_err("closed");
    assert_eq!(refusal.code, ErrorCode::MarketClosed);
    assert!(rig.events.iter().any(|e| matches!(e, Event::TradeRejected(r) if r.code == "MARKET_CLOSED")));
    assert!(!rig.events.iter().any(|e| matches!(e, Event::RiskAlert(_))));
}
