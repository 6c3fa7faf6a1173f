//! Version 1 of the records: everything round-trips, and nothing unknown is accepted.

use super::driver::{account, script};
use crate::{
    domain::{
        id::{ClientOrderId, CommandId, OrderId, PositionId, StopId},
        instrument::{InstrumentId, Price},
        market::{Bar, Candle, Ohlc},
        message::{
            CancelOrders, CancelTarget, ClosePosition, CloseTarget, Command, CommandBody, EmergencyStop,
            GatewayState, Idempotency, Input, PlaceOrder, ResumeTarget, ResumeTrading, StopAction, StopLevel,
            StopScope,
        },
        order::{Filling, OrderType, Origin, Side, TimeInForce},
        time::UnixNanos,
    },
    node::journal::{
        Epoch, Record, StoredEvent,
        record::{self, Link},
        row,
        v1::{self, PayloadError},
    },
};
use proptest::{option, prelude::*, sample::select};
use rust_decimal::Decimal;

fn decimal() -> impl Strategy<Value = Decimal> {
    (any::<i64>(), 0_u32..19).prop_map(|(mantissa, scale)| Decimal::new(mantissa, scale))
}

fn text() -> impl Strategy<Value = String> {
    // quotes, escapes, controls and letters of several bytes
    select(vec!["", "EURUSD", "a \"quoted\" \\ reason\n", "\u{0}\u{1f}", "Überprüfung 口座 🛑"])
        .prop_map(str::to_owned)
}

fn stop_level() -> impl Strategy<Value = StopLevel> {
    prop_oneof![
        decimal().prop_map(StopLevel::Price),
        any::<i64>().prop_map(StopLevel::Ticks),
        decimal().prop_map(StopLevel::Percent),
    ]
}

fn client_order_id() -> impl Strategy<Value = ClientOrderId> {
    "[A-Za-z0-9_.:-]{1,64}".prop_map(|id| ClientOrderId::new(&id).expect("the alphabet of identifiers"))
}

fn place() -> impl Strategy<Value = CommandBody> {
    let what = (
        text(),
        select(vec![Side::Buy, Side::Sell]),
        select(vec![OrderType::Market, OrderType::Limit, OrderType::TrailingStop]),
        decimal(),
        option::of(decimal()),
        option::of(decimal()),
    );
    let stops = (option::of(stop_level()), option::of(stop_level()));
    let how = (
        select(vec![TimeInForce::Gtc, TimeInForce::Day, TimeInForce::Gtd]),
        option::of(select(vec![Filling::Fok, Filling::Ioc, Filling::Return])),
        // RFC 3339 ends with year 9999; the range of nanoseconds ends before
        option::of(any::<i64>().prop_map(UnixNanos)),
        any::<bool>(),
        any::<bool>(),
        option::of(any::<u64>().prop_map(PositionId)),
        option::of(client_order_id()),
        option::of(text()),
    );
    (what, stops, how).prop_map(|(what, stops, how)| {
        CommandBody::Place(PlaceOrder {
            trail: None,
            account: account(),
            symbol: what.0,
            side: what.1,
            order_type: what.2,
            volume: what.3,
            price: what.4,
            stop_price: what.5,
            stop_loss: stops.0,
            take_profit: stops.1,
            tif: how.0,
            filling: how.1,
            expires_at: how.2,
            post_only: how.3,
            reduce_only: how.4,
            position: how.5,
            group: None,
            client_order_id: how.6,
            reason: how.7,
        })
    })
}

fn body() -> impl Strategy<Value = CommandBody> {
    let scope = select(vec![StopScope::Global, StopScope::Account(account())]);
    let cancel = prop_oneof![
        any::<u64>().prop_map(|n| CancelTarget::Order(OrderId(n))),
        client_order_id().prop_map(CancelTarget::ClientOrder),
        option::of(text()).prop_map(|symbol| CancelTarget::All { symbol }),
    ];
    let close = prop_oneof![
        any::<u64>().prop_map(|n| CloseTarget::Position(PositionId(n))),
        text().prop_map(CloseTarget::Symbol)
    ];
    let resume = prop_oneof![
        any::<u64>().prop_map(|n| ResumeTarget::Stop(StopId(n))),
        scope.clone().prop_map(ResumeTarget::Scope)
    ];
    let actions =
        vec![StopAction::Pause, StopAction::CancelAll, StopAction::CloseAll, StopAction::DisableLive];
    prop_oneof![
        place(),
        cancel.prop_map(|target| CommandBody::Cancel(CancelOrders { account: account(), target })),
        (close, option::of(decimal()), option::of(text())).prop_map(|(target, volume, reason)| {
            CommandBody::Close(ClosePosition { account: account(), target, volume, reason })
        }),
        (scope, proptest::sample::subsequence(actions, 0..=4), text()).prop_map(
            |(scope, actions, reason)| {
                CommandBody::EmergencyStop(EmergencyStop { scope, actions, reason })
            }
        ),
        (resume, text()).prop_map(|(target, reason)| CommandBody::Resume(ResumeTrading { target, reason })),
    ]
}

fn command() -> impl Strategy<Value = Input> {
    let origins = select(vec![Origin::User, Origin::Agent, Origin::Hook, Origin::Copytrade, Origin::Risk]);
    let idempotency =
        option::of((text(), text()).prop_map(|(key, fingerprint)| Idempotency { key, fingerprint }));
    (any::<u64>(), text(), origins, idempotency, option::of(any::<u64>().prop_map(OrderId)), body()).prop_map(
        |(id, principal, origin, idempotency, prior, body)| {
            let id = CommandId(id);
            Input::Command(Box::new(Command {
                id,
                principal,
                origin,
                idempotency,
                prior,
                overtaken: id.0 % 2 == 1,
                body,
            }))
        },
    )
}

fn ohlc() -> impl Strategy<Value = Ohlc> {
    let price = || any::<i64>().prop_map(Price);
    (price(), price(), price(), price()).prop_map(|(open, high, low, close)| Ohlc { open, high, low, close })
}

fn input() -> impl Strategy<Value = Input> {
    let config = script().remove(0).1;
    prop_oneof![
        Just(config),
        select(vec![GatewayState::Ready, GatewayState::Draining]).prop_map(Input::Gateway),
        (any::<u16>(), any::<i64>(), any::<i64>()).prop_map(|(instrument, bid, ask)| Input::Quote {
            instrument: InstrumentId(instrument),
            bid: Price(bid),
            ask: Price(ask)
        }),
        (any::<u16>(), ohlc(), ohlc(), any::<i64>()).prop_map(|(instrument, bid, ask, len_ns)| {
            Input::Bar(Bar { instrument: InstrumentId(instrument), bid, ask, len_ns })
        }),
        command(),
        Just(Input::Wake),
        any::<bool>().prop_map(|suspect| Input::ClockSuspect { suspect }),
        Just(Input::EndOfData),
    ]
}

fn link() -> Link {
    Link { offset: 41, chain: blake3::hash(b"chain"), output: blake3::hash(b"output") }
}

proptest! {
    #[test]
    fn dt03_every_input_round_trips(input in input(), now in any::<i64>(), changed in any::<bool>()) {
        let output_hash = if changed { blake3::hash(b"another") } else { link().output };
        let written = Record { offset: 42, now: UnixNanos(now), input, output_hash };
        let (mut writing, mut reading) = (link(), link());
        let bytes = record::frame(&written, "0.1.0", &mut writing);
        let framed = record::unframe(42, &bytes, &mut reading).expect("it was framed");
        prop_assert_eq!(framed.record, written);
        prop_assert_eq!(framed.engine, "0.1.0");
        prop_assert_eq!(reading, writing);
    }

    #[test]
    fn gw10_no_bytes_panic_the_reader(kind in any::<u8>(), bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = v1::decode(kind, &bytes);
        let _ = record::unframe(42, &bytes, &mut link());
        let _ = row::read_event(1, &bytes);
        let _ = row::read_snapshot(1, &bytes);
        let sealed = row::seal(&1_u64.to_be_bytes(), &bytes);
        let _ = row::read_event(1, &sealed);
        let _ = row::read_snapshot(1, &sealed);
    }

    #[test]
    fn events_and_candles_round_trip(
        number in any::<u64>(), journal_offset in any::<u64>(), ts in any::<i64>(), payload in text(),
        known in any::<bool>(), o in ohlc(), ticks in any::<u64>(), spread in any::<i64>(),
    ) {
        let account = known.then(account);
        let event = StoredEvent {
            number, journal_offset, ts: UnixNanos(ts), name: "event.trade.intent".into(), account,
            payload: payload.as_str().into(),
        };
        prop_assert_eq!(row::read_event(number, &row::event(&event)).expect("sealed"), event);
        let Ohlc { open, high, low, close } = o;
        let candle = Candle { ts: UnixNanos(ts), open, high, low, close, ticks, spread };
        let key = (3, 7, ts);
        prop_assert_eq!(row::read_candle(key, &row::candle(key, &candle)).expect("sealed"), candle);
        prop_assert!(row::read_candle((4, 7, ts), &row::candle(key, &candle)).is_err(), "another key");
    }
}

#[test]
fn a_payload_that_this_version_does_not_write_is_refused() {
    let (quote, fields) =
        v1::encode(&Input::Quote { instrument: InstrumentId(1), bid: Price(1), ask: Price(2) });
    assert_eq!(fields, [0x83, 1, 1, 2], "three numbered fields");
    let (gateway, _) = v1::encode(&Input::Gateway(GatewayState::Ready));
    let (command, json) = v1::encode(&script()[3].1);
    let json = String::from_utf8(json).expect("JSON");
    let unknown_field = json.replacen("{\"id\"", "{\"later\":1,\"id\"", 1);
    let spaced = json.replacen(":", ": ", 1);
    for (what, kind, payload) in [
        ("unknown kind", 99, fields.clone()),
        ("unknown field", quote, vec![0x84, 1, 1, 2, 3]),
        ("missing field", quote, vec![0x82, 1, 1]),
        ("trailing byte", quote, [fields.as_slice(), &[0]].concat()),
        ("longer spelling of a number", quote, vec![0x83, 0x18, 1, 1, 2]),
        ("instrument out of range", quote, vec![0x83, 0x1a, 0, 1, 0, 0, 1, 2]),
        ("unknown state", gateway, b"\"asleep\"".to_vec()),
        ("unknown JSON field", command, unknown_field.into_bytes()),
        ("another spelling of the JSON", command, spaced.into_bytes()),
    ] {
        assert!(v1::decode(kind, &payload).is_err(), "{what}");
    }
    assert_eq!(v1::decode(99, &[]), Err(PayloadError::Kind(99)));
}

#[test]
fn an_epoch_is_sixteen_hexadecimal_digits() {
    let epoch = Epoch(0x00ab);
    assert_eq!(epoch.to_string(), "00000000000000ab");
    assert_eq!(Epoch::parse("00000000000000ab"), Some(epoch));
    for text in ["", "ab", "00000000000000AG", "+0000000000000ab", "00000000000000ab0"] {
        assert_eq!(Epoch::parse(text), None, "{text}");
    }
}
