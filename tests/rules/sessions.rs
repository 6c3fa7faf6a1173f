//! Sessions at work: what fills, what only marks, and when (OR09).

use super::rig::{Rig, buy, codes, dec};
use lockstep::domain::{
    calendar::{Calendar, SpecialDays, WeeklySession, Zone},
    config::Config,
    message::{FeedEvent, Input, Mark},
    time::SECOND_NS,
};

/// EURUSD as an exchange in New York might trade it: 09:30 to 16:00, quoted from 04:00 to 20:00; closed on
/// 2024-07-04, at 13:00 the day before.
fn exchange(config: &mut Config) {
    let days =
        |opens, closes| (1..6).map(|day| WeeklySession::of_day(day, opens, closes)).collect::<Vec<_>>();
    let date = |text: &str| text.parse().expect("a date");
    let mut special_days = SpecialDays::default();
    special_days.close(date("2024-07-04"));
    special_days.close_early(date("2024-07-03"), 13 * 60);
    config.instruments[0].calendar = u16::try_from(config.calendars.len()).expect("few calendars");
    config.calendars.push(Calendar {
        name: "exchange".to_owned(),
        zone: Zone::load("America/New_York").expect("bundled"),
        weekly: days(9 * 60 + 30, 16 * 60),
        quote_weekly: Some(days(4 * 60, 20 * 60)),
        special_days,
    });
}

#[test]
fn or09_nothing_fills_in_the_break_of_gold() {
    // 17:00 to 18:00 in New York is 22:00 to 23:00 UTC in winter
    let mut rig = Rig::starting("2024-01-10T21:00:00Z", |_| {});
    rig.quote("XAUUSD", "2000.00", "2000.30").quote("EURUSD", "1.10000", "1.10010");
    rig.open(buy("XAUUSD", "0.10").sl("1990.00").tp("2020.00"));
    rig.rest(buy("XAUUSD", "0.10").limit("1985.00"));
    rig.trades();
    for (now, bid, ask) in [
        ("2024-01-10T22:00:00Z", "1980.00", "1980.30"),
        ("2024-01-10T22:30:00Z", "2030.00", "2030.30"),
        ("2024-01-10T22:59:59.999999999Z", "1980.00", "1980.30"),
    ] {
        rig.to(now).quote("XAUUSD", bid, ask);
        assert_eq!(rig.trades(), [""; 0], "{now}");
        assert_eq!(rig.view().positions[0].current_price, dec(bid), "in the break quotes mark");
        let refusal = rig.place(buy("XAUUSD", "0.10")).expect_err("closed");
        assert_eq!(codes(&refusal), ["MARKET_CLOSED"], "{now}");
        assert!(
            refusal.message.contains("XAUUSD is closed until 2024-01-10T23:00:00Z"),
            "{}",
            refusal.message
        );
        assert_eq!(rig.denied(buy("EURUSD", "0.01").limit("1.05000")), [""; 0], "currencies have no break");
    }
    rig.to("2024-01-10T23:00:00Z").wake();
    assert_eq!(rig.trades(), [""; 0], "the last price of the break is not the reopening's");
    rig.wait(SECOND_NS).quote("XAUUSD", "1984.00", "1984.30");
    assert_eq!(rig.trades(), ["sell 0.10 1984.00 stop_loss", "buy 0.10 1984.30 order"]);
}

#[test]
fn or09_ac08_gold_is_not_stopped_out_in_its_break() {
    let mut rig = Rig::starting("2024-01-10T21:00:00Z", |config| config.accounts[0].deposit = dec("300"));
    rig.quote("XAUUSD", "2000.00", "2000.30");
    rig.open(buy("XAUUSD", "0.10")); // margin 200.03
    rig.trades();
    rig.to("2024-01-10T22:10:00Z").quote("XAUUSD", "1972.00", "1972.30");
    assert_eq!(
        (rig.trades(), rig.view().summary.equity.amount()),
        (Vec::new(), dec("17.00")),
        "due, and the market is closed"
    );
    rig.to("2024-01-10T23:00:00Z").quote("XAUUSD", "1975.00", "1975.30");
    assert_eq!(rig.trades(), ["sell 0.10 1975.00 stop_out"]);
}

#[test]
fn or09_another_calendar_is_in_force_at_once() {
    // gold as it was before it had a break
    let mut rig = Rig::starting("2024-01-10T21:00:00Z", |config| config.instruments[3].calendar = 0);
    rig.quote("XAUUSD", "2000.00", "2000.30");
    let id = rig.open(buy("XAUUSD", "0.10"));
    rig.trades();
    let config = Config { instruments: Config::built_in().instruments, ..rig.config().clone() };
    rig.step(&Input::Config(Box::new(config)));
    rig.to("2024-01-10T22:30:00Z");
    assert_eq!(codes(&rig.close(id).expect_err("in the break")), ["MARKET_CLOSED"]);
    rig.to("2024-01-10T23:30:00Z");
    rig.close(id).expect("taken, waits for a price");
    assert_eq!(rig.trades(), [""; 0], "the last quote came before the break");
    rig.quote("XAUUSD", "1990.00", "1990.30");
    assert_eq!(rig.trades(), ["sell 0.10 1990.00 order"]);
}

#[test]
fn or09_an_early_close_and_a_holiday_of_an_exchange() {
    let mut rig = Rig::starting("2024-07-03T14:00:00Z", exchange);
    rig.quote("EURUSD", "1.10000", "1.10010");
    rig.open(buy("EURUSD", "0.10").sl("1.09900"));
    rig.trades();
    rig.to("2024-07-03T16:59:59.999999999Z").quote("EURUSD", "1.09950", "1.09960");
    assert_eq!(rig.denied(buy("EURUSD", "0.01").limit("1.05000")), [""; 0], "the last instant trades");
    for now in ["2024-07-03T17:00:00Z", "2024-07-04T15:00:00Z", "2024-07-05T13:29:59.999999999Z"] {
        rig.to(now).quote("EURUSD", "1.09800", "1.09810");
        assert_eq!(rig.trades(), [""; 0], "{now}");
        let refusal = rig.place(buy("EURUSD", "0.10")).expect_err("closed");
        assert_eq!(codes(&refusal), ["MARKET_CLOSED"], "{now}");
        assert!(refusal.message.contains("closed until 2024-07-05T13:30:00Z"), "{}", refusal.message);
    }
    rig.to("2024-07-05T13:30:00Z").quote("EURUSD", "1.09700", "1.09710");
    assert_eq!(rig.trades(), ["sell 0.10 1.09700 stop_loss"]);
}

#[test]
fn or09_quotes_mark_at_any_time_and_those_outside_of_quote_sessions_are_told() {
    let mut rig = Rig::starting("2024-07-02T14:00:00Z", exchange);
    rig.quote("EURUSD", "1.10000", "1.10010");
    rig.open(buy("EURUSD", "0.10"));
    rig.trades();
    let mut told = 0;
    for (now, bid, is_quoted) in [
        ("2024-07-02T19:59:00Z", "1.10001", true),
        ("2024-07-02T21:00:00Z", "1.10002", true),
        ("2024-07-03T00:00:00Z", "1.10003", false),
        ("2024-07-03T08:00:00Z", "1.10004", true),
        ("2024-07-03T18:00:00Z", "1.10005", false), // after an early close
        ("2024-07-04T14:00:00Z", "1.10006", false), // a holiday
    ] {
        rig.to(now).quote("EURUSD", bid, "1.10020");
        told += usize::from(!is_quoted);
        assert_eq!(rig.count(Mark::QuoteOutOfSession), told, "{now}");
        assert_eq!((rig.trades(), rig.view().positions[0].current_price), (Vec::new(), dec(bid)), "{now}");
    }
}

#[test]
fn or09_session_topics_follow_the_trade_sessions_also_when_clocks_change() {
    // daylight saving begins on 2024-03-10 in New York
    let mut rig = Rig::starting("2024-03-08T20:00:00Z", |_| {});
    rig.to("2024-03-11T22:30:00Z").wake();
    let gold = rig.find("XAUUSD");
    let told: Vec<(String, bool)> = rig
        .feed
        .iter()
        .filter_map(|event| match event {
            FeedEvent::Session { instrument, ts, open } if *instrument == gold => {
                Some((ts.to_string(), *open))
            }
            _ => None,
        })
        .collect();
    let expected = [
        ("2024-03-08T22:00:00Z", false),
        ("2024-03-10T22:00:00Z", true),
        ("2024-03-11T21:00:00Z", false),
        ("2024-03-11T22:00:00Z", true),
    ];
    assert_eq!(told, expected.map(|(ts, open)| (ts.to_owned(), open)));
}
