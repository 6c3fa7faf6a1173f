//! The venue in Python that was written from docs/VENUE_LINK.md, against the real gateway.

use super::harness::{At, Place, account, await_order, await_status, place};
use crate::support::{client::Client, process::Gateway};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

const TOKEN: &str = "a-token-of-the-venue";

/// The venue; dropping it kills it.
struct PythonVenue {
    child: Child,
    port: u16,
}

impl PythonVenue {
    /// `None`, and a word: there is no Python here. Where all must be there, that is a failure.
    fn start(args: &[&str]) -> Option<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/venue.py");
        let started = Command::new("python3")
            .arg(script)
            .args(["--token", TOKEN])
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = match started {
            Ok(child) => child,
            Err(error) => {
                assert!(std::env::var("CI").is_err(), "python3 does not start: {error}");
                eprintln!("skipped: python3 does not start: {error}");
                return None;
            }
        };
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("readable");
        let Ok(port) = line.trim().parse() else {
            let mut log = String::new();
            let _ = child.stderr.take().expect("piped").read_to_string(&mut log);
            panic!("venue.py did not come up: {log}");
        };
        let stderr = child.stderr.take().expect("piped");
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                eprintln!("venue.py: {line}");
            }
        });
        Some(Self { child, port })
    }
}

impl Drop for PythonVenue {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct World {
    folder: Place,
    venue: PythonVenue,
    gateway: Option<Gateway>,
    client: Client,
}

impl World {
    async fn new(args: &[&str]) -> Option<Self> {
        let folder = Place::new();
        let venue = PythonVenue::start(args)?;
        let gateway = start_gateway(&folder, &venue);
        let mut client = gateway.operator().await;
        await_status(&mut client, "demo-1", "connected").await;
        client.await_quote("BTCUSD").await;
        Some(Self { folder, venue, gateway: Some(gateway), client })
    }

    async fn restart_gateway(&mut self) {
        self.gateway.take().expect("it runs").kill();
        let gateway = start_gateway(&self.folder, &self.venue);
        self.client = gateway.operator().await;
        self.gateway = Some(gateway);
        await_status(&mut self.client, "demo-1", "connected").await;
    }

    async fn call(&mut self, method: &str, params: Value) -> Value {
        self.client.call(method, params).await.unwrap_or_else(|error| panic!("{method}: {error}"))
    }
}

fn start_gateway(folder: &Place, venue: &PythonVenue) -> Gateway {
    let address = format!("127.0.0.1:{}", venue.port);
    let config = folder.configure(&[At { id: "demo-1", address: &address, login: "x", token: TOKEN }]);
    std::fs::write(folder.path("token"), TOKEN).expect("a writable folder");
    let feed = format!("venue:{address},token-file={},symbol=BTCUSD", folder.path("token").display());
    folder.gateway(&config, &["--feed", &feed])
}

/// Place, modify, cancel, protect, close in parts, across a kill of the gateway.
async fn live_a_life(args: &[&str]) {
    let Some(mut world) = World::new(args).await else { return };
    let market = place(&mut world.client, "demo-1", "market", None).await;
    assert_eq!(market["status"], "filled", "{market}");
    let position = market["positionId"].clone();
    let resting = place(&mut world.client, "demo-1", "resting", Some("100.00")).await;
    assert_eq!(resting["status"], "accepted", "{resting}");
    let order = resting["orderId"].as_str().expect("an id").to_owned();
    let target = json!({ "accountId": "demo-1", "orderId": order, "price": "101.00" });
    let modified = world.call("trades.modify", target).await;
    assert_eq!(modified["order"]["price"], "101.00");
    let target = json!({ "accountId": "demo-1", "positionId": position, "stopLoss": "100.00" });
    let protected = world.call("trades.modify", target).await;
    assert_eq!(protected["position"]["stopLoss"], "100.00");
    let before = account(&mut world.client, "demo-1").await;

    world.restart_gateway().await;
    let after = account(&mut world.client, "demo-1").await;
    assert_eq!(after["balance"], before["balance"]);
    assert_eq!(after["orders"][0]["orderId"], before["orders"][0]["orderId"]);
    assert_eq!(after["positions"][0]["volume"], before["positions"][0]["volume"]);
    world.client.await_quote("BTCUSD").await;

    world.call("trades.cancel", json!({ "accountId": "demo-1", "orderId": order })).await;
    await_order(&mut world.client, "demo-1", &order, "canceled").await;
    let part = json!({ "accountId": "demo-1", "positionId": position, "volume": "0.01" });
    assert_eq!(world.call("trades.closePosition", part).await["position"]["volume"], "0.01");
    world.call("trades.closePosition", json!({ "accountId": "demo-1", "positionId": position })).await;
    let end = account(&mut world.client, "demo-1").await;
    assert_eq!((&end["positions"], &end["orders"]), (&json!([]), &json!([])));
    let status = await_status(&mut world.client, "demo-1", "connected").await;
    assert_eq!(status["unknownOrders"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn lv07_a_strangers_venue_carries_a_life() {
    live_a_life(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lv07_a_strangers_venue_without_a_log_carries_a_life() {
    live_a_life(&["--no-resend"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lv01_what_a_strangers_venue_filled_while_the_gateway_was_down_is_booked_once() {
    for args in [&["--away"][..], &["--away", "--no-resend"]] {
        let Some(mut world) = World::new(args).await else { return };
        // above the market: it is crossed as soon as the venue crosses at all
        let resting = place(&mut world.client, "demo-1", "resting", Some("60005.00")).await;
        assert_eq!(resting["status"], "accepted", "{resting}");
        let order = resting["orderId"].as_str().expect("an id").to_owned();
        world.gateway.take().expect("it runs").kill();
        tokio::time::sleep(Duration::from_millis(500)).await;
        let gateway = start_gateway(&world.folder, &world.venue);
        world.client = gateway.operator().await;
        world.gateway = Some(gateway);
        await_status(&mut world.client, "demo-1", "connected").await;
        await_order(&mut world.client, "demo-1", &order, "filled").await;
        for _ in 0..2 {
            let found = world.call("trades.get", json!({ "accountId": "demo-1", "orderId": order })).await;
            assert_eq!(found["fills"].as_array().map(Vec::len), Some(1), "{found}");
            assert_eq!(found["fills"][0]["price"], "60005.00");
            world.restart_gateway().await;
        }
    }
}
