//! A place-order round trip over loopback to the real process, beside the two costs it cannot be below in
//! the same run: one durable redb commit, and a WebSocket echo with no gateway behind it.
#![allow(clippy::disallowed_methods, reason = "benchmarks are hosts: they have clocks, threads and tasks")]

#[path = "../support/mod.rs"]
#[allow(dead_code, reason = "shared with the tests, which need more of it")]
mod support;

use criterion::{Criterion, criterion_group, criterion_main};
use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use std::{
    path::Path,
    time::{Duration, Instant},
};
use support::{client::Client, process::Gateway};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::{WebSocketStream, accept_async, client_async, tungstenite::Message};

/// About the size of a `trades.place` request.
const REQUEST_BYTES: usize = 250;

fn place() -> tempfile::TempDir {
    // beside the build, because /tmp may be memory and a commit there would cost nothing
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a temporary folder")
}

fn commit(database: &redb::Database, key: u64) {
    const TABLE: redb::TableDefinition<'_, u64, &[u8]> = redb::TableDefinition::new("records");
    let transaction = database.begin_write().expect("a transaction");
    transaction.open_table(TABLE).expect("a table").insert(key, &[7; REQUEST_BYTES][..]).expect("an insert");
    transaction.commit().expect("a commit");
}

async fn echo() -> WebSocketStream<TcpStream> {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("our own client");
        stream.set_nodelay(true).expect("a TCP option");
        let mut socket = accept_async(stream).await.expect("a handshake");
        while let Some(Ok(message)) = socket.next().await {
            if socket.send(message).await.is_err() {
                break;
            }
        }
    });
    let stream = TcpStream::connect(address).await.expect("our own server");
    stream.set_nodelay(true).expect("a TCP option");
    client_async(format!("ws://{address}/"), stream).await.expect("a handshake").0
}

/// The summed latency of `count` limit orders; each is cancelled again, outside of the measurement.
async fn place_orders(client: &mut Client, count: u64) -> Duration {
    let mut total = Duration::ZERO;
    for _ in 0..count {
        let order = json!({
            "accountId": "paper-1", "symbol": "BTCUSD", "side": "buy", "type": "limit",
            "volume": "0.01", "price": "100.00",
        });
        let sent = Instant::now();
        let reply = client.call("trades.place", order).await.expect("an order that rests");
        total += sent.elapsed();
        let cancel = json!({ "accountId": "paper-1", "orderId": reply["orderId"] });
        client.call("trades.cancel", cancel).await.expect("it rests");
        client.events.clear();
    }
    total
}

fn start(folder: &Path) -> Gateway {
    let config = folder.join("lockstep.toml");
    std::fs::write(&config, CONFIG).expect("a writable folder");
    Gateway::start(&folder.join("data"), &["--config", config.to_str().expect("a UTF-8 path")])
}

/// Rates that a benchmark does not meet.
const CONFIG: &str = r#"
[gateway]
requests_per_second = 1_000_000
trades_per_second = 1_000_000
trades_burst = 1_000_000
requests_burst = 1_000_000

[[accounts]]
id = "paper-1"
mode = "paper"
"#;

fn round_trips(c: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let folder = place();
    let mut group = c.benchmark_group("gateway");

    let database = redb::Database::create(folder.path().join("floor.redb")).expect("a database");
    let mut key = 0;
    group.bench_function("floor: one durable redb commit", |b| {
        b.iter(|| {
            key += 1;
            commit(&database, key);
        });
    });

    let mut socket = runtime.block_on(echo());
    let message = Message::text("x".repeat(REQUEST_BYTES));
    group.bench_function("floor: a bare WebSocket echo", |b| {
        b.iter(|| {
            runtime.block_on(async {
                socket.send(message.clone()).await.expect("a live echo");
                socket.next().await.expect("a live echo").expect("a frame")
            })
        });
    });

    let gateway = start(folder.path());
    let mut client = runtime.block_on(gateway.operator());
    group.bench_function("trades.place, request to response", |b| {
        b.iter_custom(|count| runtime.block_on(place_orders(&mut client, count)));
    });
    group.finish();
}

criterion_group!(benches, round_trips);
criterion_main!(benches);
