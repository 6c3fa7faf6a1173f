//! The real process: killed while orders flow, terminated, replayed, and handed a damaged journal.

use crate::support::{
    client::{CallError, Client},
    process::{Gateway, lockstep},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

const KILLS: usize = 10;
const TRADERS: [&str; 3] = ["paper-a", "paper-b", "paper-c"];
/// The account whose emergency stop is latched just before each kill.
const STOPPED: &str = "paper-d";
const DEPOSIT: i64 = 1_000_000;
/// 7.00 a lot; every market order is 0.01 lots.
const COMMISSION_CENTS: i64 = 7;

/// A data directory, and beside it a configuration with the accounts of these tests.
fn workplace() -> (tempfile::TempDir, PathBuf, String) {
    let place = tempfile::tempdir().expect("a temporary folder");
    let config = place.path().join("lockstep.toml");
    let accounts: Vec<String> = TRADERS
        .iter()
        .chain([&STOPPED])
        .map(|id| {
            format!(
                "[[accounts]]\nid = \"{id}\"\nmode = \"paper\"\ncurrency = \"USD\"\nleverage = 100\n\
                 deposit = \"{DEPOSIT}\"\ncommission_per_lot = \"7\"\n"
            )
        })
        .collect();
    let rates = "[gateway]\ntrades_per_second = 100000\ntrades_burst = 100000\n";
    fs::write(&config, format!("{rates}{}", accounts.join("\n"))).expect("a writable folder");
    let data = place.path().join("data");
    let config = config.to_str().expect("a UTF-8 path").to_owned();
    (place, data, config)
}

/// An order as it was sent, and the response if one came.
struct Promise {
    account: &'static str,
    params: Value,
    reply: Option<Value>,
}

impl Promise {
    fn is_market(&self) -> bool {
        self.params["type"] == "market"
    }
}

/// In turn a market order and a limit order that rests far below the market.
fn order(account: &'static str, name: &str, market: bool) -> Value {
    let mut params = json!({
        "accountId": account,
        "symbol": "BTCUSD",
        "side": "buy",
        "type": if market { "market" } else { "limit" },
        "volume": "0.01",
        "clientOrderId": name,
        "idempotencyKey": name,
    });
    if !market {
        params["price"] = json!("100.00");
    }
    params
}

/// Places orders until the connection is lost; the last one has no response.
async fn trade(
    mut client: Client,
    account: &'static str,
    round: usize,
    told: Arc<AtomicUsize>,
) -> Vec<Promise> {
    let mut promises = Vec::new();
    for n in 0.. {
        let params = order(account, &format!("{account}-{round}-{n}"), n % 2 == 0);
        match client.call("trades.place", params.clone()).await {
            Ok(reply) => {
                told.fetch_add(1, Ordering::SeqCst);
                promises.push(Promise { account, params, reply: Some(reply) });
            }
            Err(CallError::Lost(_)) => {
                promises.push(Promise { account, params, reply: None });
                break;
            }
            Err(CallError::Refused(error)) => panic!("{account} order {n} was refused: {error}"),
        }
    }
    promises
}

/// Asks for the promised order, then sends it again with its key: one order, one response.
async fn check_promise(client: &mut Client, promise: &mut Promise) {
    let name = promise.params["clientOrderId"].clone();
    let query = json!({ "accountId": promise.account, "clientOrderId": name });
    let before = client.call("trades.get", query.clone()).await;
    if let Some(reply) = &promise.reply {
        let found = before.unwrap_or_else(|e| panic!("{name} was acknowledged and is gone: {e}"));
        assert_eq!(found["order"]["orderId"], reply["orderId"], "{name}");
    }
    let again = client.call("trades.place", promise.params.clone()).await;
    let again = again.unwrap_or_else(|e| panic!("{name}, sent again with its key: {e}"));
    let reply = promise.reply.get_or_insert_with(|| again.clone());
    assert_eq!(*reply, again, "{name}: one key, one response");

    let found = client.call("trades.get", query).await.expect("it is there now");
    let (fills, status) = if promise.is_market() { (1, "filled") } else { (0, "accepted") };
    assert_eq!(found["order"]["status"], status, "{name}");
    assert_eq!(found["fills"].as_array().map(Vec::len), Some(fills), "{name} is filled once: {found}");
}

/// Every market order has one position and one commission, every limit order rests once.
async fn check_account(client: &mut Client, account: &str, promises: &[Promise]) {
    let view = client.call("accounts.get", json!({ "accountId": account })).await.expect("a view");
    let of = |market: bool, key: &str| -> BTreeSet<String> {
        let mine = promises.iter().filter(|p| p.account == account && p.is_market() == market);
        mine.map(|p| text(&p.reply.as_ref().expect("checked")[key])).collect()
    };
    let ids = |list: &str, key: &str| -> Vec<String> {
        let mut ids: Vec<String> =
            view[list].as_array().expect("a list").iter().map(|item| text(&item[key])).collect();
        ids.sort();
        ids
    };
    let positions = of(true, "positionId");
    assert_eq!(ids("positions", "positionId"), positions.iter().cloned().collect::<Vec<_>>(), "{account}");
    assert_eq!(ids("orders", "orderId"), of(false, "orderId").into_iter().collect::<Vec<_>>(), "{account}");
    let charged = COMMISSION_CENTS * positions.len() as i64;
    assert_eq!(cents(&text(&view["balance"])), DEPOSIT * 100 - charged, "{account}: {}", view["balance"]);
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

/// An amount such as `12`, `12.3` or `12.34`.
fn cents(amount: &str) -> i64 {
    let (whole, fraction) = amount.split_once('.').unwrap_or((amount, ""));
    format!("{whole}{fraction:0<2}").parse().expect("an amount of dollars with at most two digits")
}

/// The stop that was latched before the kill denies; it is lifted and latched anew.
async fn check_stop(client: &mut Client, round: usize, latched: Option<Value>) -> Value {
    if let Some(stop_id) = latched {
        let denied = client.call("trades.place", order(STOPPED, &format!("denied-{round}"), true)).await;
        let denied = denied.expect_err("the account is stopped");
        assert_eq!(denied.code(), ("RISK_BLOCKED", "TRADING_HALTED"), "kill {round}");
        let resume = json!({ "stopId": stop_id, "reason": "next round" });
        client.call("risk.resume", resume).await.expect("the operator may resume");
        let allowed = client.call("trades.place", order(STOPPED, &format!("allowed-{round}"), true)).await;
        allowed.expect("nothing is latched any more");
    }
    let stop = json!({ "scope": "account", "id": STOPPED, "reason": format!("before kill {round}") });
    let reply = client.call("risk.emergencyStop", stop).await.expect("a stop is always taken");
    assert_eq!(reply["latched"], true);
    reply["stopId"].clone()
}

/// The critical log from its first event on: dense, and each fill in it once.
async fn check_log(gateway: &Gateway, epoch: &Value, market_orders: usize) {
    let cursor = json!({ "epoch": epoch, "offset": 0 });
    let mut client =
        Client::resume(gateway.address(), &gateway.token(), Some(&cursor)).await.expect("resume");
    assert_eq!(client.hello["recovered"], true, "{}", client.hello);
    let head = client.hello["head"]["offset"].as_u64().expect("the head of the log");
    client.event(|event| event["cursor"]["offset"].as_u64() >= Some(head)).await.expect("up to the head");
    let critical: Vec<&Value> = client.events.iter().filter(|event| event["cursor"].is_object()).collect();
    for (event, expected) in critical.iter().zip(1_u64..) {
        assert_eq!(event["cursor"]["offset"], expected, "critical events are numbered without holes");
    }
    let fills: Vec<&Value> =
        critical.iter().filter(|e| e["event"] == "event.trade.executed").map(|e| &e["payload"]).collect();
    let ids: BTreeSet<String> = fills.iter().map(|f| text(&f["accountId"]) + &text(&f["fillId"])).collect();
    assert_eq!((fills.len(), ids.len()), (market_orders, market_orders), "each fill was told once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lv06_lv07_lv01_gw03_rk05_ten_kills_lose_nothing_and_do_nothing_twice() {
    let (_place, data, config) = workplace();
    let start = || Gateway::start(&data, &["--config", &config]);
    let mut promises: Vec<Promise> = Vec::new();
    let (mut latched, mut epoch) = (None, Value::Null);

    for round in 0..KILLS {
        let gateway = start();
        let mut operator = gateway.operator().await;
        epoch = operator.hello["cursor"]["epoch"].clone();
        operator.await_quote("BTCUSD").await;
        for promise in promises.iter_mut().filter(|p| p.reply.is_none()) {
            check_promise(&mut operator, promise).await;
        }
        for account in TRADERS {
            check_account(&mut operator, account, &promises).await;
        }

        let told = Arc::new(AtomicUsize::new(0));
        let mut traders = Vec::new();
        for account in TRADERS {
            let client = gateway.operator().await;
            traders.push(tokio::spawn(trade(client, account, round, Arc::clone(&told))));
        }
        while told.load(Ordering::SeqCst) < 2 * TRADERS.len() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        latched = Some(check_stop(&mut operator, round, latched).await);
        // at another phase of the traffic each time
        tokio::time::sleep(Duration::from_micros(1_700 * round as u64)).await;
        gateway.kill();
        for trader in traders {
            promises.extend(trader.await.expect("a trader ends when its connection does"));
        }
    }

    let gateway = start();
    let mut operator = gateway.operator().await;
    assert_eq!(operator.hello["cursor"]["epoch"], epoch, "a restart keeps the epoch");
    for promise in &mut promises {
        check_promise(&mut operator, promise).await;
    }
    for account in TRADERS {
        check_account(&mut operator, account, &promises).await;
    }
    check_stop(&mut operator, KILLS, latched).await;
    let market_orders = promises.iter().filter(|p| p.is_market()).count() + KILLS;
    check_log(&gateway, &epoch, market_orders).await;
    assert!(gateway.terminate().await.success());
    assert_replays(&data);
}

#[track_caller]
fn assert_replays(data: &Path) {
    let output = lockstep([Path::new("replay"), data]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Replay of a damaged directory: this exit code, one line on standard error that holds `named`.
#[track_caller]
fn assert_refused(data: &Path, codes: &[i32], named: &str) {
    let output = lockstep([Path::new("replay"), data]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(codes.contains(&output.status.code().expect("no signal")), "{:?}: {error}", output.status);
    assert_eq!(error.trim().lines().count(), 1, "one clear line: {error}");
    assert!(error.contains(named), "`{error}` does not name `{named}`");
    assert!(!error.contains("panicked"), "{error}");
}

/// A directory that a gateway with one order left behind, and that order's journal offset.
async fn directory_with_an_order(name: &str) -> (tempfile::TempDir, PathBuf, u64) {
    let (place, data, config) = workplace();
    let gateway = Gateway::start(&data, &["--config", &config]);
    let mut operator = gateway.operator().await;
    operator.await_quote("BTCUSD").await;
    let reply = operator.call("trades.place", order(TRADERS[0], name, true)).await.expect("a fill");
    assert!(gateway.terminate().await.success(), "SIGTERM drains and exits 0");
    let draining = operator.event(|event| event["payload"]["state"] == "draining").await;
    draining.expect("clients are told before the sockets close");
    let ended = operator.event(|_| false).await.expect_err("the socket closes");
    assert!(ended.to_string().contains("Away"), "close code 1001: {ended}");
    let offset = reply["journalOffset"].as_u64().expect("a place in the journal");
    (place, data, offset)
}

fn segments(data: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(data)
        .expect("a data directory")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("journal-")))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no journal in {}", data.display());
    files
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dt03_a_terminated_gateway_replays_and_a_flipped_byte_is_named_by_its_offset() {
    let name = "flip-one-byte-of-this-order";
    let (_place, data, offset) = directory_with_an_order(name).await;
    assert_replays(&data);
    let mut named = 0;
    for file in segments(&data) {
        let bytes = fs::read(&file).expect("a segment");
        for at in 0..bytes.len().saturating_sub(name.len()) {
            if bytes[at..].starts_with(name.as_bytes()) {
                let mut flipped = bytes.clone();
                flipped[at + 3] ^= 1;
                fs::write(&file, flipped).expect("a segment");
                named += usize::from(names_the_damage(&data, offset));
            }
        }
        fs::write(&file, bytes).expect("a segment");
    }
    assert_eq!(named, 2, "the record holds the name as client order id and as idempotency key");
    assert_replays(&data);
}

/// Whether replay finds the damage in this record. It may also find it in the event or the snapshot that
/// holds another copy, or not at all, where the copy lies in a page that is free.
fn names_the_damage(data: &Path, offset: u64) -> bool {
    let output = lockstep([Path::new("replay"), data]);
    let error = String::from_utf8_lossy(&output.stderr);
    match output.status.code() {
        Some(0) => false,
        Some(3) => {
            assert!(error.contains(" is damaged"), "{error}");
            error.contains(&format!("journal record {offset} is damaged"))
        }
        other => panic!("replay ended with {other:?}: {error}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lv05_an_unreadable_journal_is_one_clear_line() {
    let (_place, data, _) = directory_with_an_order("whatever").await;
    let file = segments(&data).remove(0);
    let name = file.file_name().expect("a name").to_string_lossy().into_owned();
    let bytes = fs::read(&file).expect("a segment");
    for damaged in [&b"this is no database"[..], &bytes[..bytes.len() / 3], &vec![0; bytes.len()]] {
        fs::write(&file, damaged).expect("a segment");
        assert_refused(&data, &[1, 3], &name);
    }
    fs::write(&file, b"").expect("a segment");
    assert_refused(&data, &[1, 3], "journal");
    assert_refused(&data.join("nowhere"), &[1], "nowhere");
}

#[test]
fn gw05_whoever_reads_that_a_process_is_up_is_heard_on_its_control_socket() {
    for _ in 0..10 {
        let (_place, data, config) = workplace();
        let _gateway = Gateway::start(&data, &["--config", &config]);
        std::os::unix::net::UnixStream::connect(data.join("control.sock")).expect("the socket is there");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_gateway_leaves_the_first_and_its_control_socket_alone() {
    let (_place, data, config) = workplace();
    let gateway = Gateway::start(&data, &["--config", &config]);
    gateway.operator().await; // whoever is answered has a gateway that is up
    let second =
        lockstep([Path::new("serve"), Path::new("--bind=127.0.0.1:0"), Path::new("--data-dir"), &data]);
    let error = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(1), "{error}");
    assert!(error.contains("another gateway uses this directory"), "{error}");
    let made = lockstep([
        Path::new("token"),
        Path::new("new"),
        Path::new("--role=viewer"),
        Path::new("--data-dir"),
        &data,
    ]);
    let token = String::from_utf8_lossy(&made.stdout).trim().to_owned();
    Client::connect(gateway.address(), &token).await.expect("the running gateway knows the token at once");
    // a supervisor may signal the process and its group
    gateway.send_sigterm();
    assert!(gateway.terminate().await.success(), "two signals at once are one wish");
}

/// What `lockstep token …` says about a data directory, and whether it succeeds.
fn token(data: &Path, arguments: &[&str]) -> (bool, String) {
    let directory = ["--data-dir", data.to_str().expect("a UTF-8 path")];
    let output = lockstep(["token"].iter().chain(arguments).chain(&directory));
    let text = if output.status.success() { output.stdout } else { output.stderr };
    (output.status.success(), String::from_utf8_lossy(&text).trim().to_owned())
}

#[test]
fn tokens_are_not_changed_beside_a_process_that_is_starting() {
    let (_place, data, _) = workplace();
    assert!(token(&data, &["new", "--role=viewer"]).0);
    let starting =
        std::fs::OpenOptions::new().write(true).open(data.join("tokens.lock")).expect("made before");
    starting.lock().expect("nobody has it");
    for arguments in [&["new", "--role=viewer"][..], &["rotate", "viewer-2"], &["revoke", "viewer-2"]] {
        let (made, why) = token(&data, arguments);
        assert!(!made && why.contains("try again"), "{why}");
    }
    drop(starting);
    assert!(token(&data, &["revoke", "viewer-2"]).0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gw05_tokens_are_listed_rotated_and_revoked_with_and_without_a_gateway() {
    let (_place, data, config) = workplace();
    let gateway = Gateway::start(&data, &["--config", &config]);
    let (_, viewer) = token(&data, &["new", "--role=viewer", "--accounts=paper-a"]);
    let (_, trader) = token(&data, &["new", "--role=operator", "--scopes=read,trade"]);
    let listed = "operator-1\toperator\tread,trade,stop,approve,pair,signal,admin\t*\n\
        viewer-2\tviewer\tread\tpaper-a\noperator-3\toperator\tread,trade\t*";
    assert_eq!(token(&data, &["list"]), (true, listed.to_owned()));

    let mut session = Client::connect(gateway.address(), &viewer).await.expect("a good token");
    let mut other = Client::connect(gateway.address(), &trader).await.expect("a good token");
    assert_eq!(token(&data, &["revoke", "viewer-2"]), (true, "viewer-2 has no token any more".to_owned()));
    let Err(CallError::Lost(why)) = session.event(|_| false).await else { panic!("it is closed") };
    assert!(why.contains("4403") && why.contains("REVOKED"), "{why}");
    other.call("gateway.ping", json!({})).await.expect("nobody else is concerned");
    let again = Client::connect(gateway.address(), &viewer).await.err().expect("the token is nobody's");
    assert_eq!(again.code(), ("AUTH_INVALID", "TOKEN_UNKNOWN"));

    let (rotated, second) = token(&data, &["rotate", "operator-3"]);
    assert!(rotated && second != trader, "{second}");
    let Err(CallError::Lost(why)) = other.event(|_| false).await else { panic!("its token has ended") };
    assert!(why.contains("4403"), "{why}");
    Client::connect(gateway.address(), &second).await.expect("the running gateway knows it at once");
    assert_eq!(token(&data, &["rotate", "operator-1"]), (true, gateway.token()), "its file holds it");

    assert!(gateway.terminate().await.success());
    let (_, third) = token(&data, &["rotate", "operator-3"]);
    let gateway = Gateway::start(&data, &["--config", &config]);
    assert!(Client::connect(gateway.address(), &second).await.is_err(), "it was replaced meanwhile");
    Client::connect(gateway.address(), &third).await.expect("whoever starts afterwards knows it");
    assert_eq!(token(&data, &["list"]).1.lines().nth(1), Some("operator-3\toperator\tread,trade\t*"));

    assert!(gateway.terminate().await.success());
    assert!(token(&data, &["revoke", "operator-3"]).0);
    let (known, error) = token(&data, &["revoke", "operator-3"]);
    assert!(!known && error.contains("`operator-3`") && error.contains("lockstep token list"), "{error}");
    let gateway = Gateway::start(&data, &["--config", &config]);
    assert!(Client::connect(gateway.address(), &third).await.is_err(), "it is not known after a restart");
    gateway.operator().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigusr2_ends_the_process_well_and_tells_clients_that_it_comes_back() {
    let (_place, data, config) = workplace();
    let gateway = Gateway::start(&data, &["--config", &config]);
    let mut client = gateway.operator().await;
    assert!(gateway.restart().await.success());
    client.event(|event| event["payload"]["state"] == "draining").await.expect("it is told");
    let Err(CallError::Lost(why)) = client.event(|_| false).await else { panic!("it is closed") };
    assert!(why.contains("RESTART"), "{why}");
}

#[test]
fn a_bind_beyond_the_loopback_interface_needs_to_be_called_insecure() {
    let (_place, data, _) = workplace();
    let data = data.to_str().expect("a UTF-8 path");
    let output = lockstep(["serve", "--bind=0.0.0.0:0", "--log=error", "--data-dir", data]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("0.0.0.0:0") && error.contains("--insecure"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_refuses_a_data_directory_that_does_not_fit_in_one_clear_line() {
    let (place, data, _) = directory_with_an_order("whatever").await;
    let refused = |config: Option<&Path>, code: i32, named: &str| {
        let mut arguments =
            vec![Path::new("serve"), Path::new("--bind=127.0.0.1:0"), Path::new("--log=error")];
        arguments.extend([Path::new("--data-dir"), &data]);
        arguments.extend(config.into_iter().flat_map(|file| [Path::new("--config"), file]));
        let output = lockstep(arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{error}");
        assert_eq!(error.trim().lines().count(), 1, "one clear line: {error}");
        assert!(error.contains(named), "`{error}` does not name `{named}`");
    };
    let config = place.path().join("lockstep.toml");
    let dollars = fs::read_to_string(&config).expect("its configuration");
    let euros = place.path().join("euros.toml");
    fs::write(&euros, dollars.replace("USD", "EUR")).expect("a writable folder");
    refused(Some(&euros), 1, "was opened in USD");
    refused(None, 1, "has a history in this data directory");
    let index = data.join("index.redb");
    let bytes = fs::read(&index).expect("an index");
    fs::write(&index, &bytes[..bytes.len() / 2]).expect("an index");
    refused(Some(&config), 3, "delete it, it is built again");
    fs::remove_file(&index).expect("an index");
    let config = config.to_str().expect("a UTF-8 path");
    assert!(Gateway::start(&data, &["--config", config]).terminate().await.success());
}
