use super::*;
use crate::domain::{
    group::GroupKind,
    message::{Levels, LinkFill, LinkReport, ModifyField, PositionState, TriggerTerms, VenueOrderStatus},
    order::TimeInForce,
    position::FillReason,
};
use proptest::prelude::*;

fn dec(text: &str) -> Decimal {
    Decimal::from_str_exact(text).expect("a decimal")
}

fn at(text: &str) -> UnixNanos {
    UnixNanos::parse(text).expect("an instant")
}

#[track_caller]
fn gateway_round_trip(frame: &GatewayFrame, json: &str) {
    let line = numbered(7, &body(frame));
    let text = std::str::from_utf8(&line).expect("UTF-8").trim_end();
    assert_eq!(text, json);
    assert_eq!(read_gateway(text.as_bytes()).expect("a frame"), (7, frame.clone()));
}

#[track_caller]
fn venue_round_trip(frame: &VenueFrame, json: &str) {
    let line = line(frame);
    let text = std::str::from_utf8(&line).expect("UTF-8").trim_end();
    assert_eq!(text, json);
    assert_eq!(&read_venue(text.as_bytes()).expect("a frame"), frame);
}

#[test]
fn frames_of_the_gateway_are_as_documented() {
    gateway_round_trip(
        &GatewayFrame::Submit(Submit {
            trigger: TriggerTerms::default(),
            post_only: false,
            order: "00000000000000aa.o17".into(),
            symbol: "EURUSD".into(),
            side: Side::Buy,
            order_type: OrderType::Limit,
            volume: dec("0.10"),
            price: Some(dec("1.10000")),
            stop_loss: Some(Level::Price(dec("1.09"))),
            take_profit: Some(Level::Distance(dec("0.0020"))),
            filling: Filling::Return,
            position: None,
            group: None,
        }),
        r#"{"seq":7,"type":"submit","order":"00000000000000aa.o17","symbol":"EURUSD","side":"buy","orderType":"limit","volume":"0.10","price":"1.10000","stopLoss":{"price":"1.09"},"takeProfit":{"distance":"0.0020"},"filling":"return"}"#,
    );
    gateway_round_trip(
        &GatewayFrame::Modify(Modify {
            trigger: TriggerTerms::default(),
            order: None,
            position: Some("p3".into()),
            volume: None,
            price: None,
            stop_loss: Some(Level::Percent(dec("0.5"))),
            take_profit: None,
        }),
        r#"{"seq":7,"type":"modify","position":"p3","stopLoss":{"percent":"0.5"}}"#,
    );
    gateway_round_trip(
        &GatewayFrame::Sync(Sync {
            log: Some("l1".into()),
            after: 41,
            fills_after: Some("f9".into()),
            orders: vec!["a.o1".into()],
        }),
        r#"{"seq":7,"type":"sync","log":"l1","after":41,"fillsAfter":"f9","orders":["a.o1"]}"#,
    );
    gateway_round_trip(
        &GatewayFrame::Cancel { order: "a.o1".into() },
        r#"{"seq":7,"type":"cancel","order":"a.o1"}"#,
    );
    gateway_round_trip(&GatewayFrame::Status { orders: vec![] }, r#"{"seq":7,"type":"status","orders":[]}"#);
    gateway_round_trip(&GatewayFrame::Heartbeat, r#"{"seq":7,"type":"heartbeat"}"#);
    gateway_round_trip(&GatewayFrame::Skip { to: 9 }, r#"{"seq":7,"type":"skip","to":9}"#);
    gateway_round_trip(&GatewayFrame::Logoff, r#"{"seq":7,"type":"logoff"}"#);
}

fn fill() -> LinkFill {
    LinkFill {
        fill: "f1".into(),
        order: Some("a.o1".into()),
        position: "p1".into(),
        symbol: "EURUSD".into(),
        side: Side::Sell,
        volume: dec("0.1"),
        price: dec("1.1"),
        commission: dec("-0.7"),
        realized_pnl: dec("0"),
        closes: false,
        position_volume: dec("0.1"),
        levels: Levels { stop_loss: Some(dec("1.2")), take_profit: Some(dec("1")) },
        reason: FillReason::StopLoss,
        ts: at("2026-02-17T02:55:00.123Z"),
    }
}

/// Every frame of a venue, with every field.
fn trigger() -> TriggerTerms {
    TriggerTerms {
        stop_price: Some(dec("1.31")),
        trail_distance: Some(dec("0.02")),
        trail_percent: Some(dec("1.5")),
        tif: Some(TimeInForce::Gtd),
        expires_at: Some(at("2026-02-18T00:00:00Z")),
    }
}

fn venue_frames() -> Vec<VenueFrame> {
    let state = OrderState {
        trigger: trigger(),
        triggered: true,
        order: "a.o1".into(),
        status: VenueOrderStatus::Working,
        venue_order: Some("77".into()),
        volume: Some(dec("0.3")),
        filled: Some(dec("0.1")),
        price: Some(dec("1.5")),
        avg_price: Some(dec("1.45")),
        levels: fill().levels,
        reason: Some("why".into()),
    };
    let position = PositionState {
        position: "p1".into(),
        order: Some("a.o1".into()),
        symbol: "EURUSD".into(),
        side: Side::Buy,
        volume: dec("0.1"),
        open_price: dec("1.1"),
        levels: fill().levels,
    };
    let snapshot = VenueSnapshot {
        seq: 9,
        balance: dec("10000.25"),
        currency: "USD".into(),
        orders: vec![state.clone()],
        positions: vec![position],
        fills: Some(vec![fill()]),
    };
    let capabilities = Capabilities {
        tifs: vec![TimeInForce::Day],
        post_only: true,
        groups: vec![GroupKind::Oco],
        fencing: true,
        dedupe: true,
        resend: false,
        order_types: vec![OrderType::Market, OrderType::Limit],
        fillings: vec![Filling::Ioc],
        modify: vec![ModifyField::Price, ModifyField::Stops],
    };
    let report = |report| VenueFrame::Report(NumberedReport { seq: 9, prev: 4, report });
    vec![
        VenueFrame::Logon(VenueLogon {
            protocol: 1,
            venue: "v 1".into(),
            log: "l".into(),
            capabilities,
            heartbeat_ms: 5_000,
        }),
        VenueFrame::Reject { reason: "TOKEN_UNKNOWN".into(), message: "no such token".into() },
        report(LinkReport::Accepted { order: "a.o1".into(), venue_order: Some("77".into()) }),
        report(LinkReport::Rejected { order: "a.o1".into(), reason: "no".into(), retcode: None }),
        report(LinkReport::Canceled { order: "a.o1".into(), reason: None }),
        report(LinkReport::Expired { order: "a.o1".into() }),
        report(LinkReport::Modified {
            trigger: Box::new(trigger()),
            order: "a.o1".into(),
            volume: dec("0.2"),
            price: Some(dec("1.3")),
            levels: fill().levels,
        }),
        report(LinkReport::CancelRejected { order: "a.o1".into(), reason: "filled".into(), retcode: None }),
        report(LinkReport::ModifyRejected {
            order: None,
            position: Some("p1".into()),
            reason: "no".into(),
            retcode: None,
        }),
        report(LinkReport::Fill(fill())),
        report(LinkReport::Position { position: "p1".into(), levels: Levels::default() }),
        report(LinkReport::Triggered { order: "a.o1".into(), stop_price: Some(dec("1.31")) }),
        VenueFrame::Snapshot { snapshot: Box::new(snapshot) },
        VenueFrame::Status { orders: vec![state] },
        VenueFrame::Heartbeat { last: Some(9) },
        VenueFrame::Resend { after: 2 },
        VenueFrame::Quote(QuoteFrame {
            symbol: Symbol::new("EURUSD").expect("a symbol"),
            bid: dec("1.1"),
            ask: dec("1.2"),
            ts: at("2026-02-17T02:55:00Z"),
        }),
        VenueFrame::Logoff { reason: "bye".into() },
    ]
}

#[test]
fn frames_of_the_venue_come_back_as_they_went() {
    for frame in venue_frames() {
        let line = line(&frame);
        assert_eq!(read_venue(line.trim_ascii_end()).expect("a frame"), frame);
    }
    venue_round_trip(
        &venue_frames()[2],
        r#"{"type":"report","seq":9,"prev":4,"report":{"kind":"accepted","order":"a.o1","venueOrder":"77"}}"#,
    );
    venue_round_trip(
        &venue_frames()[9],
        r#"{"type":"report","seq":9,"prev":4,"report":{"kind":"fill","fill":"f1","order":"a.o1","position":"p1","symbol":"EURUSD","side":"sell","volume":"0.1","price":"1.1","commission":"-0.7","realizedPnl":"0","closes":false,"positionVolume":"0.1","stopLoss":"1.2","takeProfit":"1","reason":"stop_loss","ts":"2026-02-17T02:55:00.123Z"}}"#,
    );
    venue_round_trip(&venue_frames()[14], r#"{"type":"heartbeat","last":9}"#);
}

/// Names of fields whose value reads as a decimal.
fn decimal_fields(key: &str, value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(object) => object.iter().for_each(|(key, value)| decimal_fields(key, value, found)),
        Value::Array(items) => items.iter().for_each(|item| decimal_fields(key, item, found)),
        Value::String(text) if is_decimal(text) => found.push(key.to_owned()),
        _ => {}
    }
}

#[test]
fn every_decimal_of_every_frame_is_read_exactly() {
    let mut found = Vec::new();
    for frame in venue_frames() {
        decimal_fields("", &serde_json::to_value(&frame).expect("JSON"), &mut found);
    }
    found.retain(|key| key != "venueOrder");
    found.extend(["distance".into(), "percent".into()]);
    found.sort_unstable();
    found.dedup();
    let mut known = DECIMALS.to_vec();
    known.sort_unstable();
    assert_eq!(found, known);
}

#[test]
fn what_is_no_frame_is_an_error_that_says_why() {
    let check = |line: &str, why: &str| {
        let error = read_venue(line.as_bytes()).expect_err(line).to_string();
        assert!(error.contains(why), "{line}: {error}");
    };
    check("", "not JSON");
    check("[]", "not a JSON object");
    check("{", "not JSON");
    check(&"[".repeat(100_000), "not JSON");
    check("{}", "missing field `type`");
    check(r#"{"type":"teleport"}"#, "unknown variant `teleport`");
    check(
        r#"{"type":"quote","symbol":"EURUSD","bid":1.1,"ask":"1.2","ts":"2026-02-17T02:55:00Z"}"#,
        "`bid`: a decimal is written",
    );
    check(
        r#"{"type":"quote","symbol":"EURUSD","bid":"1.1e5","ask":"1.2","ts":"2026-02-17T02:55:00Z"}"#,
        "`bid`: not a decimal",
    );
    check(r#"{"type":"heartbeat","last":1.0}"#, "`last`: not a whole number");
    check(r#"{"type":"heartbeat","last":99999999999999999999}"#, "`last`: not a whole number");
    check(r#"{"type":"heartbeat","last":-1}"#, "frame `heartbeat`");
    check(r#"{"type":"report","seq":1,"prev":0,"report":{"kind":"melted"}}"#, "unknown variant `melted`");
    check(r#"{"type":"report","seq":1,"report":{"kind":"expired","order":"o1"}}"#, "missing field `prev`");
    let long = "x".repeat(NAME_MAX + 1);
    check(
        &format!(r#"{{"type":"status","orders":[{{"order":"{long}","status":"filled"}}]}}"#),
        "`order`: longer than",
    );
    let ignored = r#"{"type":"heartbeat","last":3,"mood":{"price":"1"}}"#;
    assert_eq!(
        read_venue(ignored.as_bytes()),
        Ok(VenueFrame::Heartbeat { last: Some(3) }),
        "unknown fields are ignored"
    );
    for line in
        [r#"{"type":"heartbeat"}"#, r#"{"seq":0,"type":"heartbeat"}"#, r#"{"seq":"1","type":"heartbeat"}"#]
    {
        let error = read_gateway(line.as_bytes()).expect_err(line).to_string();
        assert!(error.contains("`seq`"), "{error}");
    }
}

#[test]
fn decimals_are_exact_or_refused() {
    for text in ["0", "1", "-1.50", "0.0000000000000000000000000001", "9999999999999999999999999999", "007.1"]
    {
        assert!(is_decimal(text), "{text}");
        let exact = Decimal::from_str_exact(text).expect("exact");
        assert_eq!(text.parse::<Decimal>(), Ok(exact), "{text}");
    }
    for text in [
        "",
        "-",
        ".5",
        "5.",
        "+1",
        "1_000",
        " 1",
        "1e5",
        "NaN",
        "1.2.3",
        "--1",
        "99999999999999999999999999999",
        "0.00000000000000000000000000001",
    ] {
        assert!(!is_decimal(text), "{text}");
    }
}

#[test]
fn a_logon_shows_no_token() {
    let logon = Logon {
        protocol: 1,
        account: Some("demo-1".into()),
        market_data: None,
        token: Some("gw_secret".into()),
        heartbeat_ms: Some(5_000),
        client: Some("lockstep".into()),
    };
    assert!(!format!("{logon:?}").contains("secret"));
    let line = logon_line(&logon);
    assert_eq!(
        std::str::from_utf8(&line).expect("UTF-8"),
        "{\"type\":\"logon\",\"protocol\":1,\"account\":\"demo-1\",\"token\":\"gw_secret\",\"heartbeatMs\":5000,\"client\":\"lockstep\"}\n"
    );
    assert_eq!(read_logon(line.trim_ascii_end()), Ok(logon));
    assert!(read_logon(br#"{"type":"heartbeat"}"#).is_err());
}

/// A JSON value with the words of the protocol in it.
fn json() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(vec![
        "type",
        "seq",
        "prev",
        "report",
        "kind",
        "fill",
        "order",
        "orders",
        "volume",
        "price",
        "submit",
        "status",
        "snapshot",
        "logon",
        "quote",
        "heartbeat",
        "1.5",
        "buy",
        "limit",
        "o1",
        "2026-02-17T02:55:00Z",
        "stopLoss",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word.clone().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 48, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            prop::collection::vec((word.clone(), inner), 0..8).prop_map(|fields| Value::Object(
                fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()
            )),
        ]
    })
}

proptest! {
    #[test]
    fn any_bytes_give_a_frame_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = (read_venue(&bytes), read_gateway(&bytes), read_logon(&bytes));
    }

    #[test]
    fn any_json_gives_a_frame_or_an_error(value in json()) {
        let bytes = serde_json::to_vec(&value).expect("JSON");
        let _ = (read_venue(&bytes), read_gateway(&bytes), read_logon(&bytes));
    }

    #[test]
    fn a_damaged_frame_gives_a_frame_or_an_error(index in 0_usize..17, at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut line = line(&venue_frames()[index]);
        let at = at.index(line.len());
        line[at] = byte;
        let _ = read_venue(&line);
    }

    #[test]
    fn what_is_read_is_written_the_same(value in json()) {
        let bytes = serde_json::to_vec(&value).expect("JSON");
        if let Ok(frame) = read_venue(&bytes) {
            prop_assert_eq!(read_venue(line(&frame).trim_ascii_end()), Ok(frame));
        }
    }

    #[test]
    fn an_order_comes_back_as_it_went(
        mantissa in 1_i64..i64::MAX, scale in 0_u32..10, limit in any::<bool>(), order in "[0-9a-f]{16}\\.o[0-9]{1,9}"
    ) {
        let value = Decimal::new(mantissa, scale);
        let frame = GatewayFrame::Submit(Submit {
trigger: TriggerTerms::default(),
group: None,
post_only: false,
            order,
            symbol: "EURUSD".into(),
            side: Side::Sell,
            order_type: if limit { OrderType::Limit } else { OrderType::Market },
            volume: value,
            price: limit.then_some(value),
            stop_loss: Some(Level::Distance(value)),
            take_profit: None,
            filling: Filling::Ioc,
            position: limit.then(|| "p1".to_owned()),
        });
        let line = numbered(1, &body(&frame));
        prop_assert_eq!(read_gateway(line.trim_ascii_end()), Ok((1, frame)));
    }
}
