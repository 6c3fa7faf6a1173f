//! What cannot be true, and whatever else a venue might say (GW10).

use super::*;
use proptest::prelude::*;

/// A venue with a resting order, an order on its way and a position of 0.10 lots.
fn busy() -> (Far, OrderId, OrderId, OrderId) {
    let mut far = Far::up();
    let (resting, opened) = (far.resting(), far.sent(buy("BTCUSD", "0.10")));
    far.report(LinkReport::Fill(fill(opened, "x1", "0.10")));
    let sent = far.sent(buy("BTCUSD", "0.10"));
    (far, resting, opened, sent)
}

#[test]
fn what_cannot_be_true_takes_the_account_to_error_and_changes_nothing_else() {
    let (far, resting, opened, sent) = busy();
    let report = |far: &Far, report| {
        LinkEvent::Report(Box::new(NumberedReport { seq: far.seq + 1, prev: far.seq, report }))
    };
    let name = |id: OrderId| id.to_string();
    let good = fill(sent, "x2", "0.10");
    let closing = venue_close(opened, "x2");
    let impossible: Vec<(&str, LinkReport)> = vec![
        ("not ours", LinkReport::Accepted { order: "o99".into(), venue_order: None }),
        ("not ours", LinkReport::Canceled { order: "?somebody else's".into(), reason: None }),
        ("not ours", LinkReport::Fill(LinkFill { order: Some("o99".into()), ..good.clone() })),
        ("without an order", LinkReport::Fill(LinkFill { order: None, ..good.clone() })),
        ("does not exist here", LinkReport::Fill(LinkFill { symbol: "DOGE".into(), ..good.clone() })),
        ("another symbol or side", LinkReport::Fill(LinkFill { symbol: "ETHUSD".into(), ..good.clone() })),
        ("another symbol or side", LinkReport::Fill(LinkFill { side: Side::Sell, ..good.clone() })),
        ("more is filled", LinkReport::Fill(LinkFill { volume: dec("0.11"), ..good.clone() })),
        ("grid", LinkReport::Fill(LinkFill { volume: dec("0.015"), ..good.clone() })),
        ("grid", LinkReport::Fill(LinkFill { volume: dec("-0.10"), ..good.clone() })),
        ("grid", LinkReport::Fill(LinkFill { price: dec("60010.005"), ..good.clone() })),
        ("grid", LinkReport::Fill(LinkFill { price: dec("0"), ..good.clone() })),
        ("lots, not", LinkReport::Fill(LinkFill { position_volume: dec("0.2"), ..good.clone() })),
        ("more digits", LinkReport::Fill(LinkFill { commission: dec("-0.001"), ..good.clone() })),
        ("a reduction opens", LinkReport::Fill(LinkFill { closes: true, ..good.clone() })),
        (
            "another order opened",
            LinkReport::Fill(LinkFill { position: format!("t{}", opened.0), ..good.clone() }),
        ),
        ("more than is open", LinkReport::Fill(LinkFill { volume: dec("0.20"), ..closing.clone() })),
        ("another symbol or side", LinkReport::Fill(LinkFill { side: Side::Buy, ..closing.clone() })),
        ("not ours", LinkReport::Fill(LinkFill { position: "t77".into(), ..closing })),
        ("not ours", LinkReport::Position { position: "t77".into(), levels: Levels::default() }),
        (
            "neither",
            LinkReport::ModifyRejected { order: None, position: None, reason: "no".into(), retcode: None },
        ),
        (
            "grid",
            LinkReport::Modified {
                trigger: Box::default(),
                order: name(resting),
                volume: dec("0.10"),
                price: Some(dec("0.001")),
                levels: Levels::default(),
            },
        ),
    ];
    let mut events: Vec<(&str, LinkEvent)> =
        impossible.into_iter().map(|(why, said)| (why, report(&far, said))).collect();
    events.push((
        "follows 0",
        LinkEvent::Report(Box::new(NumberedReport { seq: far.seq + 1, prev: 0, report: accepted(sent) })),
    ));
    events.push(("is its last", LinkEvent::Heartbeat { last: 0 }));
    events.push(("broke the rules", LinkEvent::Fault { reason: "it broke the rules".into() }));
    for (why, event) in events {
        let mut far = Far { rig: far.rig.clone(), seq: far.seq, capabilities: far.capabilities.clone() };
        let before = far.rig.view_of(FAR);
        far.requests();
        far.news(event.clone());
        assert_eq!(far.status(), LinkStatus::Error, "{why}: {event:?}");
        assert!(far.last_error().contains(why), "`{}` does not say `{why}`", far.last_error());
        let after = far.rig.view_of(FAR);
        assert_eq!((before.summary.balance, before.positions), (after.summary.balance, after.positions));
        assert_eq!(far.order(resting), OrderStatus::Accepted);
        assert_eq!(far.order(sent), OrderStatus::Unknown, "its fate is open");
        assert_eq!(far.requests(), ["close"]);
        far.rig.open(buy("BTCUSD", "0.10")); // the other account trades on
        far.connect();
        assert_eq!(far.requests(), ["close"], "not before an operator says so");
    }
}

#[test]
fn books_that_cannot_be_true_take_the_account_to_error() {
    let (far, resting, opened, sent) = busy();
    let working = state(resting, VenueOrderStatus::Working, "0");
    let filled = state(opened, VenueOrderStatus::Filled, "0.10");
    let open = state(sent, VenueOrderStatus::Unknown, "0");
    let states = vec![working.clone(), filled, open];
    let of = |change: &dyn Fn(&mut VenueSnapshot)| {
        let mut books = VenueSnapshot {
            seq: far.seq,
            balance: dec("9999.30"),
            currency: "USD".to_owned(),
            orders: states.clone(),
            positions: vec![held(opened, "0.10")],
            fills: Some(Vec::new()),
        };
        change(&mut books);
        books
    };
    for (why, books) in [
        ("", of(&|_| {})),
        ("kept in EUR", of(&|b| b.currency = "EUR".into())),
        ("end with report 1", of(&|b| b.seq = 1)),
        ("say nothing about", of(&|b| drop(b.orders.remove(0)))),
        ("twice", of(&|b| b.orders.push(b.orders[0].clone()))),
        ("no such open order", of(&|b| b.orders[1].status = VenueOrderStatus::Working)),
        ("no such open order", of(&|b| b.orders.push(OrderState { order: "?x".into(), ..working.clone() }))),
        ("is not known there", of(&|b| b.orders[0] = state(resting, VenueOrderStatus::Unknown, "0"))),
        ("at no price", of(&|b| b.orders[0].filled = Some(dec("0.10")))),
        (
            "is not ours",
            of(&|b| {
                b.positions[0] = PositionState { order: None, position: "z".into(), ..held(opened, "0.10") }
            }),
        ),
        ("lots there", of(&|b| b.positions[0].volume = dec("0.20"))),
        ("lots there", of(&|b| b.positions[0].volume = dec("0.05"))),
        ("another symbol or side", of(&|b| b.positions[0].side = Side::Sell)),
        ("no report closed it", of(&|b| b.positions.clear())),
        ("more digits", of(&|b| b.balance = dec("1.001"))),
    ] {
        let mut far = Far { rig: far.rig.clone(), seq: far.seq, capabilities: far.capabilities.clone() };
        far.cut();
        far.connect();
        let before = far.rig.view_of(FAR);
        far.news(LinkEvent::Snapshot(Box::new(books)));
        let expected = if why.is_empty() { LinkStatus::Connected } else { LinkStatus::Error };
        assert_eq!(far.status(), expected, "{why}: {}", far.last_error());
        if !why.is_empty() {
            assert!(far.last_error().contains(why), "`{}` does not say `{why}`", far.last_error());
            let after = far.rig.view_of(FAR);
            assert_eq!((before.summary.balance, before.positions), (after.summary.balance, after.positions));
            assert_eq!(before.orders, after.orders, "nothing is half applied");
        }
    }
}

/// Anything that a venue might say, true or not.
fn anything() -> impl Strategy<Value = LinkEvent> {
    let name = prop_oneof![(1_u64..6).prop_map(|n| format!("o{n}")), Just("?foreign".to_owned())];
    let volume = prop_oneof![Just("0.10"), Just("0.05"), Just("0.2"), Just("0.015"), Just("-1"), Just("0")];
    let number =
        prop_oneof![Just("60010.00"), Just("0"), Just("-0.01"), Just("79228162514264337593543950335")];
    let fill = (name.clone(), 0_u8..4, volume.clone(), number.clone(), any::<bool>(), any::<bool>())
        .prop_map(|(order, fill, volume, price, closes, by_order)| LinkFill {
            fill: format!("x{fill}"),
            order: by_order.then(|| order.clone()),
            position: order.replace('o', "t"),
            symbol: "BTCUSD".to_owned(),
            side: if closes { Side::Sell } else { Side::Buy },
            volume: dec(volume),
            price: dec(price),
            commission: dec(price),
            realized_pnl: dec(price),
            closes,
            position_volume: dec(volume),
            levels: Levels { stop_loss: Some(dec(price)), take_profit: None },
            reason: FillReason::Order,
            ts: lockstep::domain::time::UnixNanos::ZERO,
        });
    let order_status = prop_oneof![
        Just(VenueOrderStatus::Unknown),
        Just(VenueOrderStatus::Working),
        Just(VenueOrderStatus::Filled),
        Just(VenueOrderStatus::Canceled),
        Just(VenueOrderStatus::Rejected),
    ];
    let order_state = (name.clone(), order_status, volume.clone(), number.clone()).prop_map(
        |(order, status, volume, price)| OrderState {
            trigger: lockstep::domain::message::TriggerTerms::default(),
            triggered: false,
            order,
            status,
            venue_order: None,
            volume: Some(dec(volume)),
            filled: Some(dec(volume)),
            avg_price: Some(dec(price)),
            price: Some(dec(price)),
            levels: Levels::default(),
            reason: None,
        },
    );
    let report = prop_oneof![
        name.clone().prop_map(|order| LinkReport::Accepted { order, venue_order: None }),
        name.clone().prop_map(|order| LinkReport::Rejected { order, reason: "no".into(), retcode: None }),
        name.clone().prop_map(|order| LinkReport::Canceled { order, reason: None }),
        name.clone().prop_map(|order| LinkReport::Expired { order }),
        name.clone().prop_map(|order| LinkReport::CancelRejected {
            order,
            reason: "no".into(),
            retcode: None
        }),
        fill.clone().prop_map(LinkReport::Fill),
        (name.clone(), volume.clone(), number.clone()).prop_map(|(order, volume, price)| {
            LinkReport::Modified {
                trigger: Box::default(),
                order,
                volume: dec(volume),
                price: Some(dec(price)),
                levels: Levels::default(),
            }
        }),
        name.clone()
            .prop_map(|o| LinkReport::Position { position: o.replace('o', "t"), levels: Levels::default() }),
    ];
    prop_oneof![
        6 => (0_u64..6, 0_u64..6, report)
            .prop_map(|(seq, prev, report)| LinkEvent::Report(Box::new(NumberedReport { seq, prev, report }))),
        2 => (0_u64..6).prop_map(|last| LinkEvent::Heartbeat { last }),
        2 => Just(LinkEvent::Down { reason: "lost".into() }),
        1 => Just(LinkEvent::Fault { reason: "bad".into() }),
        2 => (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(log, fencing, resend)| LinkEvent::Up(LinkUp {
            log: format!("log-{log}"),
            capabilities: Capabilities { fencing, resend, ..Far::down().capabilities },
        })),
        2 => proptest::collection::vec(order_state.clone(), 0..3).prop_map(LinkEvent::Status),
        3 => (0_u64..6, number, proptest::collection::vec(order_state, 0..4), proptest::collection::vec(fill, 0..2))
            .prop_map(|(seq, balance, orders, fills)| LinkEvent::Snapshot(Box::new(VenueSnapshot {
                seq,
                balance: dec(balance),
                currency: "USD".into(),
                orders,
                positions: Vec::new(),
                fills: Some(fills),
            }))),
        1 => proptest::collection::vec(1_u64..6, 0..3)
            .prop_map(|orders| LinkEvent::NotSent(NotSent {
                orders: orders.iter().copied().map(OrderId).collect(),
                terms: orders.into_iter().map(IntentId).collect(),
            })),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]
    /// Whatever a venue says, the machine does not panic, its laws hold, and another account trades on.
    #[test]
    fn gw10_no_word_of_a_venue_panics_the_machine(
        steps in proptest::collection::vec(prop_oneof![3 => anything().prop_map(Some), 1 => Just(None)], 1..40)
    ) {
        let mut far = Far::up();
        for (n, step) in steps.into_iter().enumerate() {
            match step {
                Some(event) => {
                    far.rig.step_alarmed(&Input::Link(Box::new(LinkInput { account: account_id(FAR), event })));
                }
                None => {
                    let order = if n % 2 == 0 { buy("BTCUSD", "0.10") } else { buy("BTCUSD", "0.10").limit("59000.00") };
                    let _ = far.ask(order);
                }
            }
            far.rig.wait(SECOND_NS);
            far.rig.quote("BTCUSD", "60000.00", "60010.00");
        }
        far.rig.open(buy("BTCUSD", "0.01"));
        let state = far.rig.machine.encode();
        let restored = Machine::decode(Machine::STATE_VERSION, &state).expect("a state");
        prop_assert_eq!(restored.encode(), state);
    }
}
