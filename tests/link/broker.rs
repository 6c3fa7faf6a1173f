//! `lockstep venue` as a stranger's gateway meets it: what the document promises, frame by frame.

use super::{
    harness::Place,
    raw::{Raw, name, submit},
};
use crate::support::process::{Gateway, lockstep};
use serde_json::{Value, json};
use std::time::Duration;

const ACCOUNT: &str = "paper-1";

struct Venue {
    process: Gateway,
    token: String,
    folder: Place,
}

impl Venue {
    fn start() -> Self {
        let folder = Place::new();
        let process = Gateway::start_venue("127.0.0.1:0", &folder.path("venue"), &[]);
        let token = process.token();
        Self { process, token, folder }
    }

    async fn log_on(&self) -> Raw {
        Raw::orders(self.process.address(), ACCOUNT, &self.token).await
    }

    /// A session that has synced.
    async fn session(&self) -> Raw {
        let mut raw = self.log_on().await;
        assert_eq!(raw.hello["type"], "logon", "{}", raw.hello);
        raw.sync(None, 0, &[]).await;
        raw
    }

    /// A session whose first order was filled, which needs a quote.
    async fn session_with_fill(&self) -> (Raw, u64) {
        let mut raw = self.session().await;
        for order in 1.. {
            raw.send(submit(order, None)).await;
            let (kind, seq, frame) = raw.report().await;
            if kind == "fill" {
                return (raw, seq);
            }
            assert_eq!(frame["report"]["reason"], "QUOTE_MISSING", "{frame}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        unreachable!("a synthetic market quotes")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logon_is_answered_or_refused_with_a_reason() {
    let venue = Venue::start();
    let address = venue.process.address();
    let logon = |account: &str, token: &str| json!({ "type": "logon", "protocol": 1, "account": account, "token": token });
    for (first, reason) in [
        (logon(ACCOUNT, "gw_wrong"), "TOKEN_UNKNOWN"),
        (json!({ "type": "logon", "protocol": 1, "account": ACCOUNT }), "TOKEN_UNKNOWN"),
        (logon("paper-9", &venue.token), "ACCOUNT_UNKNOWN"),
        (logon("no such name!", &venue.token), "ACCOUNT_UNKNOWN"),
        (
            json!({ "type": "logon", "protocol": 2, "account": ACCOUNT, "token": venue.token }),
            "PROTOCOL_UNSUPPORTED",
        ),
        (json!({ "type": "logon", "protocol": 1, "token": venue.token }), "BAD_LOGON"),
        (
            json!({ "type": "logon", "protocol": 1, "marketData": ["XXXYYY"], "token": venue.token }),
            "SYMBOL_UNKNOWN",
        ),
        (json!({ "type": "heartbeat" }), "BAD_LOGON"),
        (json!("nothing"), "BAD_LOGON"),
    ] {
        let mut raw = Raw::open(address, first).await;
        assert_eq!((&raw.hello["type"], &raw.hello["reason"]), (&json!("reject"), &json!(reason)));
        assert!(raw.next().await.is_none(), "and it is over");
    }
    let raw = venue.log_on().await;
    assert_eq!(raw.hello["type"], "logon");
    for promised in ["fencing", "dedupe", "resend"] {
        assert_eq!(raw.hello["capabilities"][promised], true, "{promised}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_has_an_answer() {
    let venue = Venue::start();
    let (mut raw, _) = venue.session_with_fill().await;
    let answer = async |raw: &mut Raw, frame: Value| {
        raw.send(frame).await;
        let (kind, seq, frame) = raw.report().await;
        (kind, seq, frame["report"].clone())
    };
    // refused by the gate: the log has it
    let (kind, seq, report) = answer(&mut raw, submit(100, Some("-5"))).await;
    assert_eq!((kind.as_str(), &report["order"]), ("rejected", &json!(name(100))));
    assert!(seq > 0, "{report}");
    let mut unknown = submit(101, None);
    unknown["symbol"] = json!("XXXYYY");
    let (kind, _, report) = answer(&mut raw, unknown).await;
    assert_eq!((kind.as_str(), &report["reason"]), ("rejected", &json!("SYMBOL_UNKNOWN")));
    // refused before it: the log has nothing
    let mut stranger = submit(102, None);
    stranger["position"] = json!("ticket-7");
    let (kind, seq, report) = answer(&mut raw, stranger).await;
    assert_eq!((kind.as_str(), seq, &report["reason"]), ("rejected", 0, &json!("POSITION_UNKNOWN")));
    let (kind, seq, report) =
        answer(&mut raw, json!({ "type": "modify", "position": "p999", "stopLoss": { "price": "1" } })).await;
    assert_eq!((kind.as_str(), seq, &report["position"]), ("modify_rejected", 0, &json!("p999")));
    let (kind, seq, report) =
        answer(&mut raw, json!({ "type": "modify", "order": name(999), "price": "1" })).await;
    assert_eq!((kind.as_str(), seq, &report["order"]), ("modify_rejected", 0, &json!(name(999))));

    // an order at rest
    let (kind, seq, report) = answer(&mut raw, submit(103, Some("100.00"))).await;
    assert_eq!((kind.as_str(), &report["order"]), ("accepted", &json!(name(103))));
    assert!(seq > 0);
    let terms =
        |price: &str| json!({ "type": "modify", "order": name(103), "volume": "0.02", "price": price });
    let (kind, seq, report) = answer(&mut raw, terms("101.00")).await;
    assert_eq!((kind.as_str(), &report["price"]), ("modified", &json!("101.00")));
    assert!(seq > 0);
    let (kind, seq, report) = answer(&mut raw, terms("101.00")).await;
    assert_eq!((kind.as_str(), seq, &report["price"]), ("modified", 0, &json!("101.00")), "as they were");
    let (kind, seq, _) = answer(&mut raw, terms("101.005")).await;
    assert_eq!((kind.as_str(), seq), ("modify_rejected", 0), "on no tick");

    // the same order again is not another one, nor the end of the first
    raw.send(submit(103, Some("100.00"))).await;
    let status = raw.next_of("status").await;
    assert_eq!(
        (&status["orders"][0]["order"], &status["orders"][0]["status"]),
        (&json!(name(103)), &json!("working"))
    );

    let (kind, _, report) = answer(&mut raw, json!({ "type": "cancel", "order": name(103) })).await;
    assert_eq!((kind.as_str(), &report["order"]), ("canceled", &json!(name(103))));
    raw.send(json!({ "type": "cancel", "order": name(999) })).await;
    assert_eq!(raw.next_of("status").await["orders"][0]["status"], "unknown");
    raw.send(json!({ "type": "status", "orders": [name(103), name(998)] })).await;
    let states = raw.next_of("status").await;
    assert_eq!(states["orders"][0]["status"], "canceled");
    assert_eq!(states["orders"][1]["status"], "unknown");
}

#[tokio::test(flavor = "multi_thread")]
async fn or06_a_child_enters_with_its_parent_and_never_alone() {
    let venue = Venue::start();
    let (mut raw, _) = venue.session_with_fill().await;
    assert_eq!(raw.hello["capabilities"]["groups"], json!(["oco", "oto", "bracket"]));
    let of = |order: u64, price: &str, group: Value| {
        let mut frame = submit(order, Some(price));
        frame["group"] = group;
        frame
    };
    let first = json!({ "kind": "bracket", "id": "g" });
    let child = json!({ "kind": "bracket", "id": "g", "parent": name(201) });
    let mut exit = of(202, "9000000.00", child);
    exit["side"] = json!("sell");
    raw.send(exit.clone()).await;
    let (kind, _, frame) = raw.report().await;
    assert_eq!((kind.as_str(), &frame["report"]["reason"]), ("rejected", &json!("GROUP_ENDED")));
    raw.send(of(201, "100.00", first)).await;
    assert_eq!(raw.report().await.0, "accepted");
    exit["order"] = json!(name(203));
    raw.send(exit).await;
    assert_eq!(raw.report().await.0, "accepted");
    raw.send(json!({ "type": "cancel", "order": name(201) })).await;
    let ends = [raw.report().await.2, raw.report().await.2];
    let ends = ends.map(|frame| (frame["report"]["order"].clone(), frame["report"]["reason"].clone()));
    assert_eq!(ends, [(json!(name(201)), Value::Null), (json!(name(203)), json!("GROUP_PARENT_ENDED"))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_and_its_cancel_in_one_breath_end_once() {
    let venue = Venue::start();
    let mut raw = venue.session().await;
    for order in 1..=40 {
        raw.send(submit(order, Some("100.00"))).await;
        raw.send(json!({ "type": "cancel", "order": name(order) })).await;
    }
    let names: Vec<String> = (1..=40).map(name).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    // ended by its cancel, or never begun because that went first; without a quote, denied
    let mut ends = std::collections::BTreeMap::new();
    while ends.len() < names.len() {
        let (kind, _, frame) = raw.report().await;
        if kind != "accepted" {
            assert!(kind == "canceled" || kind == "rejected", "{frame}");
            let order = frame["report"]["order"].as_str().expect("an order").to_owned();
            assert_eq!(ends.insert(order, kind), None, "{frame}");
        }
    }
    let (_, books) = raw.sync(None, 0, &names).await;
    assert!(books["orders"].as_array().expect("orders").iter().all(|o| o["status"] != "working"), "{books}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_the_same_from_every_place() {
    let venue = Venue::start();
    let (mut raw, _) = venue.session_with_fill().await;
    let log = raw.hello["log"].clone();
    for order in 200..205 {
        raw.send(submit(order, Some("100.00"))).await;
        raw.report().await;
        raw.send(json!({ "type": "cancel", "order": name(order) })).await;
        raw.report().await;
    }
    let (all, books) = raw.sync(Some(&log), 0, &[]).await;
    let numbers: Vec<u64> = all.iter().map(|r| r["seq"].as_u64().expect("a number")).collect();
    let previous: Vec<u64> = all.iter().map(|r| r["prev"].as_u64().expect("a number")).collect();
    assert_eq!(previous[1..], numbers[..numbers.len() - 1], "each names the one before it");
    assert_eq!(previous[0], 0);
    assert_eq!(books["seq"], *numbers.last().expect("reports"));
    for (index, after) in numbers.iter().enumerate() {
        let (rest, _) = raw.sync(Some(&log), *after, &[]).await;
        assert_eq!(rest, all[index + 1..], "after {after}");
    }
    let (none, same) = raw.sync(Some(&json!("another")), 3, &[]).await;
    assert_eq!((none.len(), &same["seq"]), (0, &books["seq"]), "of another log the books alone speak");
    raw.send(json!({ "type": "sync", "log": log, "after": 1_000_000, "orders": [] })).await;
    let bye = raw.next_of("logoff").await;
    assert!(bye["reason"].as_str().expect("a reason").starts_with("LOG_BEHIND"), "{bye}");
}

#[tokio::test(flavor = "multi_thread")]
async fn lv03_nothing_of_an_old_session_enters_after_the_new_one_began() {
    let venue = Venue::start();
    let (mut old, _) = venue.session_with_fill().await;
    for round in 0..10_u64 {
        let orders: Vec<u64> = (1_000 + round * 50..1_000 + round * 50 + 50).collect();
        let mut burst = String::new();
        for order in &orders {
            old.seq_line(&submit(*order, Some("100.00")), &mut burst);
        }
        old.write(&burst).await;
        let mut new = venue.log_on().await;
        assert_eq!(new.hello["type"], "logon");
        let names: Vec<String> = orders.iter().map(|order| name(*order)).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let (_, first) = new.sync(None, 0, &names).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        let (_, second) = new.sync(None, 0, &names).await;
        assert_eq!(first["orders"], second["orders"], "round {round}");
        assert!(old.next_of("logoff").await["reason"].as_str().expect("a reason").starts_with("REPLACED"));
        old = new;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_is_asked_for_and_what_is_skipped_is_not_missed() {
    let venue = Venue::start();
    let (mut raw, _) = venue.session_with_fill().await;
    let expected = raw.seq() + 1;
    let numbered = |seq: u64, mut frame: Value| {
        frame["seq"] = seq.into();
        format!("{frame}\n")
    };
    raw.write(&numbered(expected + 2, submit(300, Some("100.00")))).await;
    let ask = raw.next_of("resend").await;
    assert_eq!(ask["after"], expected - 1);
    raw.write(&numbered(expected, json!({ "type": "skip", "to": expected + 2 }))).await;
    raw.write(&numbered(expected + 3, submit(301, Some("100.00")))).await;
    let (kind, _, frame) = raw.report().await;
    assert_eq!((kind.as_str(), &frame["report"]["order"]), ("accepted", &json!(name(301))));
    raw.write(&numbered(expected + 4, json!({ "type": "status", "orders": [name(300)] }))).await;
    assert_eq!(raw.next_of("status").await["orders"][0]["status"], "unknown", "it is void");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_the_protocol_ends_the_session_with_a_reason() {
    let venue = Venue::start();
    for (line, reason) in [
        ("not JSON\n".to_owned(), "BAD_FRAME"),
        ("{\"seq\":1,\"type\":\"teleport\"}\n".to_owned(), "BAD_FRAME"),
        ("{\"type\":\"heartbeat\"}\n".to_owned(), "BAD_FRAME"),
        (format!("{}\n", json!({ "seq": 1, "type": "cancel", "order": "x" })), "SYNC_FIRST"),
        (format!("{}\n", json!({ "seq": 1, "type": "logoff" })), "LOGOFF"),
    ] {
        let mut raw = venue.log_on().await;
        raw.write(&line).await;
        let bye = raw.next_of("logoff").await;
        assert!(bye["reason"].as_str().expect("a reason").starts_with(reason), "{line}: {bye}");
        assert!(raw.next().await.is_none());
    }
    let mut silent = venue.log_on().await;
    let bye = silent.next_of("logoff").await;
    assert!(bye["reason"].as_str().expect("a reason").starts_with("SILENT"), "{bye}");
}

#[tokio::test(flavor = "multi_thread")]
async fn market_data_are_the_newest_quotes() {
    let venue = Venue::start();
    let logon = json!({ "type": "logon", "protocol": 1, "marketData": ["BTCUSD"], "token": venue.token, "heartbeatMs": 1_000 });
    let mut raw = Raw::open(venue.process.address(), logon).await;
    for _ in 0..3 {
        let quote = raw.next_of("quote").await;
        assert_eq!(quote["symbol"], "BTCUSD");
        let price = |side: &str| quote[side].as_str().expect("a price").parse::<f64>().expect("a number");
        assert!(price("bid") <= price("ask"), "{quote}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn gw05_a_token_reaches_its_accounts_only_and_ends_with_its_sessions() {
    let venue = Venue::start();
    let data = venue.folder.path("venue");
    let data = data.to_str().expect("a UTF-8 path");
    let token = |args: &[&str]| {
        let output = lockstep([&["token"], args, &["--data-dir", data]].concat());
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("UTF-8").trim().to_owned()
    };
    let ends = async |session: &mut Raw| {
        let bye = session.next_of("logoff").await;
        assert!(bye["reason"].as_str().expect("a reason").starts_with("REVOKED"), "{bye}");
    };
    let viewer = token(&["new", "--role=viewer"]);
    let other = token(&["new", "--role=operator", "--accounts=paper-2"]);
    let trader = token(&["new", "--role=operator", "--scopes=trade", "--accounts=paper-1"]);
    let address = venue.process.address();
    for (token, reason) in [(&viewer, "FORBIDDEN"), (&other, "ACCOUNT_UNKNOWN")] {
        assert_eq!(Raw::orders(address, ACCOUNT, token).await.hello["reason"], reason);
    }
    let quotes = json!({ "type": "logon", "protocol": 1, "marketData": ["BTCUSD"], "token": trader });
    assert_eq!(Raw::open(address, quotes).await.hello["reason"], "FORBIDDEN", "without the scope `read`");

    let mut session = Raw::orders(address, ACCOUNT, &trader).await;
    assert_eq!(session.hello["type"], "logon", "{}", session.hello);
    let rotated = token(&["rotate", "operator-4"]);
    ends(&mut session).await;
    assert_eq!(Raw::orders(address, ACCOUNT, &trader).await.hello["reason"], "TOKEN_UNKNOWN");
    let mut session = Raw::orders(address, ACCOUNT, &rotated).await;
    assert_eq!(session.hello["type"], "logon", "{}", session.hello);
    token(&["revoke", "operator-4"]);
    ends(&mut session).await;
    assert_eq!(Raw::orders(address, ACCOUNT, &rotated).await.hello["reason"], "TOKEN_UNKNOWN");
}
