//! AC: money, margin, conversion, stop-out. That balances and equity add up is checked by the rig after
//! every step (`laws::hold`).

use super::rig::{Ask, Rig, buy, dec, sell};
use lockstep::domain::{
    config::Config,
    id::PositionId,
    ledger::EntryKind,
    message::{CloseTarget, Event},
    money::Currency,
    order::OrderStatus,
    time::SECOND_NS,
};
use rust_decimal::Decimal;

fn in_currency(code: &'static str, deposit: &'static str) -> impl FnOnce(&mut Config) {
    move |config| {
        config.accounts[0].currency = Currency::new(code).expect("a code");
        config.accounts[0].deposit = dec(deposit);
    }
}

#[test]
fn ac01_every_posting_names_its_cause_and_adds_up() {
    let mut rig = Rig::with(|config| config.accounts[0].commission_per_lot = dec("7"));
    rig.quote("EURUSD", "1.10000", "1.10010");
    let id = rig.open(buy("EURUSD", "0.50"));
    rig.wait(SECOND_NS).quote("EURUSD", "1.10210", "1.10220");
    rig.close_target(CloseTarget::Position(id), Some("0.20")).expect("a part");
    rig.close(id).expect("the rest");
    let postings: Vec<(EntryKind, Decimal, &str)> =
        rig.ledger.iter().map(|e| (e.kind, e.amount.amount(), e.reference.as_str())).collect();
    assert_eq!(
        postings,
        [
            (EntryKind::Deposit, dec("10000"), "deposit"),
            (EntryKind::Commission, dec("-3.50"), "f1"),
            (EntryKind::Pnl, dec("40.00"), "f2"),
            (EntryKind::Commission, dec("-1.40"), "f2"),
            (EntryKind::Pnl, dec("60.00"), "f3"),
            (EntryKind::Commission, dec("-2.10"), "f3"),
        ]
    );
    assert_eq!(rig.view().summary.balance.amount(), dec("10093.00"));
    let numbers: Vec<String> = rig.ledger.iter().map(|e| e.entry_id.to_string()).collect();
    assert_eq!(numbers, ["e1", "e2", "e3", "e4", "e5", "e6"], "dense, in order");
}

/// Opens at the first quote, closes at the second; what is posted.
fn check_pnl(
    setup: impl FnOnce(&mut Config),
    quotes: &[(&str, &str, &str)],
    order: Ask,
    then: (&str, &str),
    pnl: &str,
) {
    let mut rig = Rig::with(setup);
    for (symbol, bid, ask) in quotes {
        rig.quote(symbol, bid, ask);
    }
    let symbol = order.0.symbol.clone();
    let id = rig.open(order);
    rig.wait(SECOND_NS).quote(&symbol, then.0, then.1);
    rig.close(id).expect("closed");
    let posted: Decimal =
        rig.ledger.iter().filter(|e| e.kind == EntryKind::Pnl).map(|e| e.amount.amount()).sum();
    assert_eq!(posted, dec(pnl), "{symbol} {then:?}");
}

#[test]
fn ac02_profit_converts_by_the_side_that_is_worse_for_the_account() {
    let usd = || in_currency("USD", "10000");
    let yen = [("USDJPY", "150.000", "150.100")];
    // a gain of 100,000 JPY divides by the ask, a loss by the bid, at the closing quote
    check_pnl(usd(), &yen, buy("USDJPY", "1.00"), ("151.100", "151.200"), "661.38");
    check_pnl(usd(), &yen, sell("USDJPY", "1.00"), ("150.900", "151.000"), "-662.69");
    // a yen account multiplies a gain in dollars by the bid, a loss by the ask, and has no cents
    let both = [("USDJPY", "150.000", "150.100"), ("EURUSD", "1.10000", "1.10010")];
    let jpy = || in_currency("JPY", "1000000");
    check_pnl(jpy(), &both, buy("EURUSD", "0.10"), ("1.10113", "1.10123"), "1545");
    check_pnl(jpy(), &both, sell("EURUSD", "0.10"), ("1.10093", "1.10103"), "-1546");
    // euros from yen: through the dollar, both rates at their worse sides
    let eur = || in_currency("EUR", "10000");
    check_pnl(eur(), &both, buy("USDJPY", "1.00"), ("151.100", "151.200"), "601.20");
}

#[test]
fn ac02_without_a_rate_new_risk_is_denied_and_nothing_else() {
    let mut rig = Rig::with(in_currency("JPY", "1000000"));
    rig.quote("EURUSD", "1.10000", "1.10010");
    assert_eq!(rig.denied(buy("EURUSD", "0.10")), ["CONVERSION_RATE_MISSING"]);
    rig.quote("USDJPY", "150.000", "150.100");
    let id = rig.open(buy("EURUSD", "0.10"));
    rig.close(id).expect("closed");
}

/// Margin that an order takes, and that it does not float.
fn check_margin(setup: impl FnOnce(&mut Config), order: Ask, later: (&str, &str), margin: &str) {
    let mut rig = Rig::with(setup);
    for (symbol, bid, ask) in [
        ("EURUSD", "1.10000", "1.10010"),
        ("USDJPY", "150.000", "150.100"),
        ("XAUUSD", "2000.00", "2000.30"),
        ("BTCUSD", "45000.00", "45010.00"),
    ] {
        rig.quote(symbol, bid, ask);
    }
    let symbol = order.0.symbol.clone();
    let required = rig.preview(order.clone()).computed.margin_required.expect("computed");
    rig.open(order);
    assert_eq!(required.amount(), dec(margin), "{symbol} previewed");
    rig.wait(SECOND_NS).quote(&symbol, later.0, later.1);
    assert_eq!(rig.view().summary.margin.amount(), dec(margin), "{symbol}");
}

#[test]
fn ac03_margin_comes_from_the_opening_price_and_rate_and_does_not_float() {
    let usd = || in_currency("USD", "10000");
    check_margin(usd(), buy("EURUSD", "0.10"), ("1.20000", "1.20010"), "110.01");
    check_margin(usd(), sell("EURUSD", "0.10"), ("1.20000", "1.20010"), "110.00");
    check_margin(usd(), buy("USDJPY", "0.10"), ("160.000", "160.100"), "100.00");
    check_margin(usd(), buy("XAUUSD", "0.10"), ("2100.00", "2100.30"), "200.03");
    check_margin(usd(), sell("BTCUSD", "0.10"), ("46000.00", "46010.00"), "45.00");
    let jpy = || in_currency("JPY", "10000000");
    check_margin(jpy(), buy("USDJPY", "0.10"), ("160.000", "160.100"), "15010");
}

#[test]
fn ac03_a_partial_close_keeps_the_margin_of_what_is_left() {
    let mut rig = Rig::new();
    rig.quote("EURUSD", "1.10000", "1.10010");
    let id = rig.open(buy("EURUSD", "0.30"));
    rig.wait(SECOND_NS).quote("EURUSD", "1.12000", "1.12010");
    rig.close_target(CloseTarget::Position(id), Some("0.10")).expect("a part");
    assert_eq!(rig.view().summary.margin.amount(), dec("220.02"));
}

/// 1,000 USD, margin 550.05 for half a lot: stop-out at or below 275.025.
fn check_stop_out(bid: &str, ask: &str, expected: &[&str]) {
    let mut rig = Rig::with(in_currency("USD", "1000"));
    rig.quote("EURUSD", "1.10000", "1.10010");
    rig.open(buy("EURUSD", "0.50"));
    rig.trades();
    rig.wait(SECOND_NS).quote("EURUSD", bid, ask);
    assert_eq!(rig.trades(), expected, "{bid}");
}

#[test]
fn ac08_stop_out_at_half_the_margin_and_not_before() {
    check_stop_out("1.08561", "1.08571", &[]); // equity 275.50
    check_stop_out("1.08560", "1.08570", &["sell 0.50 1.08560 stop_out"]); // equity 275.00
}

#[test]
fn ac08_pendings_go_first_then_the_largest_loser_and_no_more_than_needed() {
    let mut rig = Rig::with(in_currency("USD", "2000"));
    rig.quote("EURUSD", "1.10000", "1.10010").quote("XAUUSD", "2000.00", "2000.30");
    let small = rig.rest(buy("EURUSD", "0.01").limit("1.00000"));
    let large = rig.rest(buy("EURUSD", "0.02").limit("1.00000"));
    let gold = rig.open(buy("XAUUSD", "0.10")); // margin 200.03
    let loser = rig.open(buy("EURUSD", "0.80")); // margin 880.08
    let less = rig.open(buy("EURUSD", "0.10")); // margin 110.01
    rig.trades();
    // equity 2,000 - 3 - 0.9 lot x 1,560 points = 593.00; half the margin: 595.06
    rig.wait(SECOND_NS).quote("EURUSD", "1.08450", "1.08460");
    assert_eq!(rig.trades(), ["sell 0.80 1.08450 stop_out"]);
    let held: Vec<PositionId> = rig.view().positions.iter().map(|p| p.position_id).collect();
    assert_eq!(held, [gold, less], "not {loser}");
    let canceled: Vec<_> = rig
        .events
        .iter()
        .filter_map(|event| match event {
            Event::TradeCanceled(c) => Some(c.order.order_id),
            _ => None,
        })
        .collect();
    assert_eq!(canceled, [large, small], "by largest reserved margin");
    assert!(rig.order(small).order.reason.is_some());
}

/// Two winning positions of an account that commission has ruined; the order in which they go.
fn check_winners(first: &str, second: &str, last: &str, expected: [&str; 2]) {
    let mut rig = Rig::with(|config| {
        config.accounts[0].deposit = dec("1000");
        config.accounts[0].commission_per_lot = dec("1550");
    });
    for price in [first, second] {
        rig.wait(SECOND_NS).quote("EURUSD", price, price);
        rig.open(buy("EURUSD", "0.25"));
    }
    // balance 225, margin 550: equity is below 275 though both win
    rig.wait(SECOND_NS).quote("EURUSD", last, last);
    let closed: Vec<String> = rig
        .events
        .iter()
        .filter_map(|event| match event {
            Event::TradeClosed(closed) => Some(closed.position.position_id.to_string()),
            _ => None,
        })
        .collect();
    assert_eq!(closed, expected, "{first} {second} {last}");
}

#[test]
fn ac08_none_losing_the_smallest_profit_goes_ties_by_lowest_ticket() {
    check_winners("1.10000", "1.10001", "1.10002", ["p2", "p1"]);
    check_winners("1.10001", "1.10000", "1.10002", ["p1", "p2"]);
    check_winners("1.10000", "1.10000", "1.10001", ["p1", "p2"]);
}

#[test]
fn ac08_symbols_outside_their_session_are_skipped() {
    // Friday: hold euros over the weekend, lose on coins on Saturday
    let mut rig = Rig::starting("2024-01-12T21:00:00Z", in_currency("USD", "1000"));
    rig.quote("EURUSD", "1.10000", "1.10010").quote("BTCUSD", "45000.00", "45010.00");
    rig.open(buy("EURUSD", "0.50")); // margin 550.05
    rig.open(buy("BTCUSD", "0.50")); // margin 225.05
    rig.trades();
    rig.to("2024-01-13T12:00:00Z").quote("EURUSD", "1.09000", "1.09010");
    assert_eq!(rig.trades(), [""; 0], "equity 490 of margin 775.10 is enough");
    rig.wait(SECOND_NS).quote("BTCUSD", "44700.00", "44710.00");
    assert_eq!(rig.trades(), ["sell 0.50 44700.00 stop_out"], "the larger loser's market is closed");
    // equity 340 of margin 550.05 holds; on Monday the gap takes the rest
    rig.to("2024-01-14T22:00:00Z").quote("EURUSD", "1.08800", "1.08810");
    assert_eq!(rig.trades(), ["sell 0.50 1.08800 stop_out"]);
}

#[test]
fn ac09_a_pending_that_triggers_without_margin_is_cancelled_with_a_reason() {
    let mut rig = Rig::with(in_currency("USD", "1300"));
    rig.quote("EURUSD", "1.10000", "1.10010");
    rig.open(buy("EURUSD", "0.50")); // margin 550.05
    let order = rig.rest(buy("EURUSD", "0.50").limit("1.09500")); // margin about 550 more
    rig.trades();
    rig.wait(SECOND_NS).quote("EURUSD", "1.09490", "1.09500"); // equity 1,040
    assert_eq!(rig.trades(), [""; 0]);
    let order = rig.order(order).order;
    assert_eq!(order.status, OrderStatus::Canceled);
    assert_eq!(order.reason.as_deref(), Some("MARGIN_INSUFFICIENT"));
}

#[test]
fn ac10_a_negative_balance_after_a_gap_stays_and_is_told() {
    let mut rig = Rig::with(in_currency("USD", "1000"));
    rig.quote("EURUSD", "1.10000", "1.10010");
    rig.open(buy("EURUSD", "0.50"));
    rig.wait(SECOND_NS).quote("EURUSD", "1.00000", "1.00010");
    assert_eq!(rig.view().summary.balance.amount(), dec("-4005.00"));
}

#[test]
fn ac12_longs_are_marked_at_the_bid_shorts_at_the_ask_and_many_tickets_sum_exactly() {
    let mut rig = Rig::with(in_currency("JPY", "10000000"));
    rig.quote("EURUSD", "1.10000", "1.10010").quote("USDJPY", "150.000", "150.100");
    for (index, lots) in ["0.01", "0.03", "0.07", "0.11", "0.02"].iter().enumerate() {
        rig.open(if index % 2 == 0 { buy("EURUSD", lots) } else { sell("EURUSD", lots) });
        rig.open(buy("USDJPY", lots));
    }
    // a quote of the conversion alone moves the equity too; the rig checks each figure by itself
    for (symbol, bid, ask) in [
        ("EURUSD", "1.10007", "1.10011"),
        ("USDJPY", "151.003", "151.104"),
        ("EURUSD", "1.09007", "1.09013"),
        ("USDJPY", "149.001", "149.007"),
    ] {
        let before = rig.view().summary.equity;
        rig.wait(SECOND_NS).quote(symbol, bid, ask);
        assert_ne!(rig.view().summary.equity, before, "{symbol}");
    }
}

#[test]
fn ac01_flat_accounts_show_no_margin_and_no_floating() {
    let mut rig = Rig::with(in_currency("JPY", "1000000"));
    rig.quote("EURUSD", "1.10000", "1.10010").quote("USDJPY", "150.000", "150.100");
    for _ in 0..3 {
        let id = rig.open(sell("EURUSD", "0.33"));
        rig.wait(SECOND_NS).quote("USDJPY", "149.993", "150.007");
        rig.close(id).expect("closed");
    }
    let summary = rig.view().summary;
    assert_eq!(summary.equity, summary.balance);
    assert_eq!(summary.margin.amount(), Decimal::ZERO);
    assert_eq!(summary.margin_level, None);
}
