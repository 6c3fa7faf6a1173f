//! A real gateway on real files and sockets, stopped and started again; its journal becomes a plan that
//! replays to the same hashes without it.

#[path = "../../tests/support/client.rs"]
mod client;

use super::simulator;
use client::Client;
use lockstep::{
    gateway::Shutdown,
    node::{
        config::FileConfig,
        host::{FileStorage, PrivateFiles, TokioRuntime},
        journal::{JournalOptions, ReplayReport, verify},
        services::{NoProbe, Services, SyntheticMarkets},
    },
    serve::{Ready, ServeOptions, serve},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};
use tokio::sync::oneshot;

const CREDENTIAL: &str = "a-credential-of-the-venue-0123456789";
const ORDER: &str = "an-order-whose-bytes-are-found";
/// Segments are short, so that there are several.
const SNAPSHOT_INTERVAL: u64 = 12;

/// Beside a paper account one at a venue that nobody answers for, with a credential.
fn config() -> FileConfig {
    let text = format!(
        "[[accounts]]\nid = \"paper-1\"\n\n[[accounts]]\nid = \"demo-1\"\nconnector = \"venue\"\n\
         mode = \"demo\"\naddress = \"127.0.0.1:1\"\nlogin = \"somebody\"\ntoken = \"{CREDENTIAL}\"\n"
    );
    FileConfig::parse("lockstep.toml", &text, &|_| None).expect("a configuration")
}

/// A gateway that serves from a directory.
struct Gateway {
    ready: Ready,
    token: String,
    stop: oneshot::Sender<Shutdown>,
    served: tokio::task::JoinHandle<()>,
}

impl Gateway {
    async fn start(data: &Path) -> Self {
        let services = Services {
            storage: Arc::new(FileStorage::new(data)),
            files: Arc::new(PrivateFiles::new(data)),
            markets: Arc::new(SyntheticMarkets),
            probe: Arc::new(NoProbe),
        };
        let options = ServeOptions {
            bind: "127.0.0.1:0".to_owned(),
            journal: JournalOptions { snapshot_interval: SNAPSHOT_INTERVAL },
            ..ServeOptions::from(config())
        };
        let ((ready, is_ready), (stop, stopped)) = (oneshot::channel(), oneshot::channel());
        let served = tokio::spawn(async move {
            serve(Arc::new(TokioRuntime::new()), services, options, ready, stopped).await.expect("it serves");
        });
        let ready = is_ready.await.expect("it comes up");
        let token = fs::read_to_string(data.join("operator.token")).expect("the operator's token");
        Self { ready, token: token.trim().to_owned(), stop, served }
    }

    async fn operator(&self) -> Client {
        let mut client = Client::connect(&self.ready.address, &self.token).await.expect("the token is good");
        client.await_quote("BTCUSD").await;
        client
    }

    /// As on SIGTERM.
    async fn drain(self) {
        self.stop.send(Shutdown::Stop).expect("it runs");
        self.served.await.expect("it drains");
    }
}

async fn call(client: &mut Client, method: &str, params: Value) -> Value {
    client.call(method, params).await.unwrap_or_else(|error| panic!("{method}: {error}"))
}

fn order(name: &str, kind: &str) -> Value {
    let mut order = json!({
        "accountId": "paper-1", "symbol": "BTCUSD", "side": "buy", "type": kind, "volume": "0.10",
        "clientOrderId": name, "idempotencyKey": name,
    });
    if kind == "limit" {
        order["price"] = "100.00".into();
    }
    order
}

/// Orders that fill, rest, are cancelled and closed; then a stop with its resume.
async fn trade(client: &mut Client, life: &str) {
    for round in 0..4 {
        let name = format!("{life}-{round}");
        let bought = call(client, "trades.place", order(&format!("{name}-market"), "market")).await;
        assert_eq!(bought["status"], "filled", "{bought}");
        let resting = call(client, "trades.place", order(&format!("{name}-limit"), "limit")).await;
        let of = |key: &str, answer: &Value| json!({ "accountId": "paper-1", key: answer[key] });
        call(client, "trades.cancel", of("orderId", &resting)).await;
        call(client, "trades.closePosition", of("positionId", &bought)).await;
    }
    call(client, "trades.place", order(&format!("{life}-stopped"), "market")).await;
    let stop =
        json!({ "scope": "global", "actions": ["pause", "cancel_all", "close_all"], "reason": "a drill" });
    let stopped = call(client, "risk.emergencyStop", stop).await;
    let completed = |event: &Value| {
        event["payload"]["stopId"] == stopped["stopId"] && event["payload"]["phase"] == "completed"
    };
    client.event(completed).await.expect("nothing is left open");
    let denied = client.call("trades.place", order(&format!("{life}-denied"), "market")).await;
    assert_eq!(denied.expect_err("it is stopped").code(), ("RISK_BLOCKED", "TRADING_HALTED"));
    call(client, "risk.resume", json!({ "stopId": stopped["stopId"], "reason": "it is over" })).await;
}

/// What two lives of a gateway left behind: made once, copied for each test.
fn recorded() -> (tempfile::TempDir, PathBuf) {
    static RECORDED: OnceLock<tempfile::TempDir> = OnceLock::new();
    let recorded = RECORDED.get_or_init(|| {
        let place = tempfile::tempdir().expect("a temporary folder");
        let data = place.path().join("data");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime.expect("a runtime").block_on(async {
            for life in ["first", "second"] {
                let gateway = Gateway::start(&data).await;
                let mut operator = gateway.operator().await;
                trade(&mut operator, life).await;
                call(&mut operator, "trades.place", order(&format!("{life}-{ORDER}"), "market")).await;
                gateway.drain().await;
            }
        });
        place
    });
    let place = tempfile::tempdir().expect("a temporary folder");
    let data = place.path().join("data");
    fs::create_dir(&data).expect("room");
    for (name, bytes) in content(&recorded.path().join("data")) {
        fs::write(data.join(name), bytes).expect("room");
    }
    (place, data)
}

fn content(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry"));
    entries
        .map(|entry| {
            let bytes = fs::read(entry.path()).expect("a file");
            (entry.file_name().into_string().expect("UTF-8"), bytes)
        })
        .collect()
}

fn segments(data: &Path) -> Vec<PathBuf> {
    let names = content(data).into_keys().filter(|name| name.starts_with("journal-"));
    names.map(|name| data.join(name)).collect()
}

/// What `lockstep replay` proves of it.
fn proved(data: &Path) -> ReplayReport {
    verify(Arc::new(FileStorage::new(data))).expect("it is proved")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("plain text")
}

fn import(data: &Path, plan: &Path, more: &[&str]) -> (i32, String) {
    simulator(&[&["import", text(data), "-o", text(plan)], more].concat())
}

/// Both hashes are told.
#[track_caller]
fn assert_hashes(text: &str, report: &ReplayReport) {
    for line in [format!("state     {}", report.state_hash), format!("outputs   {}", report.output_hash)] {
        assert!(text.lines().any(|told| told == line), "no line `{line}` in\n{text}");
    }
}

#[test]
fn dt03_a_journal_of_two_lives_imports_and_replays_without_its_directory_to_identical_hashes() {
    let (place, data) = recorded();
    let (report, before) = (proved(&data), content(&data));
    assert!(report.segments > 3 && report.snapshots > 3, "{report:?}");
    let plan = place.path().join("plan.json");
    let (code, said) = import(&data, &plan, &[]);
    assert_eq!(code, 0, "{said}");
    assert_hashes(&said, &report);
    assert!(content(&data) == before, "the import changed the directory");

    fs::remove_dir_all(&data).expect("it goes");
    let (first, second) = (place.path().join("first.jsonl"), place.path().join("second.jsonl"));
    for trace in [&first, &second] {
        let (code, said) = simulator(&["replay", text(&plan), "--trace", text(trace)]);
        assert_eq!(code, 0, "{said}");
        assert_hashes(&said, &report);
        let counted = format!(": ok, {} records, {} events, trace ", report.records, report.events);
        assert!(said.contains(&counted), "no `{counted}` in {said}");
        assert!(said.contains("emergency_stop_latched"), "{said}");
    }
    let (code, said) = simulator(&["diff", text(&first), text(&second)]);
    assert!(code == 0 && said.starts_with("equal: "), "{said}");
    let (code, said) = simulator(&["explain", text(&plan)]);
    assert!(code == 0 && said.lines().count() <= 70, "one screen: {said}");
    assert!(said.contains("operator-1 asks place") && said.contains("stop s"), "{said}");
    let (code, said) = simulator(&["shrink", text(&plan), "-o", text(&place.path().join("min.json"))]);
    assert!(code == 1 && said.contains("does not fail"), "{said}");
    let folder = place.path().join("plans");
    fs::create_dir(&folder).expect("room");
    fs::rename(&plan, folder.join("plan.json")).expect("it moves");
    let (code, said) = simulator(&["corpus", "--folder", text(&folder)]);
    assert!(code == 0 && said.contains("1 plans that once failed: ok"), "{said}");
}

#[test]
fn dt03_an_altered_record_is_a_difference_that_is_named_and_ends_the_shrunk_plan() {
    let (place, data) = recorded();
    let (plan, small) = (place.path().join("plan.json"), place.path().join("min.json"));
    assert_eq!(import(&data, &plan, &[]).0, 0);
    let mut value: Value = serde_json::from_str(&fs::read_to_string(&plan).expect("there")).expect("JSON");
    let records = value["plan"]["records"].as_array_mut().expect("a list");
    let placed = |record: &&mut Value| record["input"]["command"]["body"]["place"].is_object();
    let record = records.iter_mut().filter(placed).nth(3).expect("there are several orders");
    record["input"]["command"]["body"]["place"]["volume"] = "0.11".into();
    let named = format!("record {} gives other outputs than when it was written", record["offset"]);
    fs::write(&plan, value.to_string()).expect("written");

    let (code, said) = simulator(&["replay", text(&plan)]);
    assert!(code == 13 && said.contains("nondeterminism: inputs of journal"), "{said}");
    assert!(said.contains(&named) && said.contains("again: cargo sim replay"), "no `{named}` in {said}");
    let (code, said) = simulator(&["shrink", text(&plan), "-o", text(&small)]);
    assert!(code == 13 && said.contains(&named), "{said}");
    let (code, said) = simulator(&["explain", text(&small)]);
    assert!(code == 13 && said.contains(&named), "{said}");
}

#[test]
fn dt03_where_the_beginning_is_gone_the_plan_begins_with_a_snapshot() {
    let (place, data) = recorded();
    let plan = place.path().join("plan.json");
    let head = proved(&data).head_offset;
    let (code, said) = import(&data, &plan, &["--before", &head.to_string()]);
    assert_eq!(code, 0, "{said}");
    let begins = |plan: &Path| {
        let value: Value = serde_json::from_str(&fs::read_to_string(plan).expect("there")).expect("JSON");
        value["plan"]["beginning"]["snapshot"]["offset"].as_u64().expect("a snapshot")
    };
    let newest = begins(&plan);
    assert!(newest < head && newest + 3 * SNAPSHOT_INTERVAL > head, "{newest} is long before {head}");
    let (code, said) = import(&data, &plan, &["--before", &(head + 1).to_string()]);
    assert!(code == 1 && said.contains(&format!("there is no record {}", head + 1)), "{said}");

    fs::remove_file(&segments(&data)[0]).expect("it goes");
    let report = proved(&data);
    let (code, said) = import(&data, &plan, &[]);
    assert_eq!(code, 0, "{said}");
    assert_hashes(&said, &report);
    let oldest = begins(&plan);
    assert!((1..newest).contains(&oldest), "{oldest} is not the oldest");
    fs::remove_dir_all(&data).expect("it goes");
    let (code, said) = simulator(&["replay", text(&plan)]);
    assert_eq!(code, 0, "{said}");
    assert_hashes(&said, &report);
}

#[test]
fn no_secret_of_the_directory_is_in_a_plan() {
    let (place, data) = recorded();
    for before in [&[][..], &["--before", "60"]] {
        let plan = place.path().join("plan.json");
        assert_eq!(import(&data, &plan, before).0, 0);
        let plan = fs::read_to_string(&plan).expect("there");
        let files = content(&data);
        let small = files.iter().filter(|(name, _)| !name.ends_with(".redb"));
        let words: Vec<&str> = small
            .flat_map(|(_, bytes)| std::str::from_utf8(bytes).expect("text").split(['"', '\n', ' ']))
            .filter(|word| word.len() > 20)
            .chain([CREDENTIAL])
            .collect();
        assert!(words.len() > 4, "token, token hash, key, sealed credential: {words:?}");
        for secret in words {
            assert!(!plan.contains(secret), "{secret} is in the plan");
        }
        assert!(plan.contains("127.0.0.1:1"), "what is no secret is there");
    }
}

/// One line, exit code 1.
#[track_caller]
fn assert_refused((code, said): (i32, String), expected: &str) {
    assert_eq!(code, 1, "{said}");
    assert!(said.lines().count() == 1 && said.contains(expected), "`{said}` does not say `{expected}`");
}

#[test]
fn what_is_no_sound_journal_is_refused_in_one_line() {
    let (place, data) = recorded();
    let plan = place.path().join("plan.json");
    assert_refused(import(&place.path().join("nowhere"), &plan, &[]), "nowhere: No such file");
    assert_refused(import(&segments(&data)[0], &plan, &[]), "this is not a directory");
    let empty = place.path().join("empty");
    fs::create_dir(&empty).expect("room");
    assert_refused(import(&empty, &plan, &[]), "there is no journal here");
    assert!(content(&empty).is_empty(), "nothing was made there");
    assert_refused(import(&data, Path::new("/nowhere/plan.json"), &[]), "/nowhere/plan.json: ");

    let mut named = 0;
    for file in segments(&data) {
        let whole = fs::read(&file).expect("a segment");
        for at in 0..whole.len() - ORDER.len() {
            if whole[at..].starts_with(ORDER.as_bytes()) {
                let mut flipped = whole.clone();
                flipped[at + 3] ^= 1;
                fs::write(&file, flipped).expect("written");
                // it may lie in a page that is free, or in a copy that an event or a snapshot holds
                let (code, said) = import(&data, &plan, &[]);
                assert!(code == 0 || code == 1 && said.contains(" is damaged: "), "{said}");
                named += usize::from(said.contains("journal record ") && said.contains(" is damaged: "));
            }
        }
        fs::write(&file, whole).expect("written");
    }
    assert!(named >= 2, "a damaged record is named by its offset");
    assert_eq!(import(&data, &plan, &[]).0, 0, "and what was restored is sound");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_gateway_is_left_alone() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let (data, plan) = (place.path().join("data"), place.path().join("plan.json"));
    let gateway = Gateway::start(&data).await;
    gateway.operator().await;
    let refused = tokio::task::spawn_blocking({
        let (data, plan) = (data.clone(), plan.clone());
        move || import(&data, &plan, &[])
    });
    assert_refused(refused.await.expect("no panic"), "another gateway uses this directory");
    assert!(!plan.exists());
    gateway.operator().await;
    gateway.drain().await;
    assert_eq!(import(&data, &plan, &[]).0, 0);
}
