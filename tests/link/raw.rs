//! A client of the link, line by line.

use serde_json::{Value, json};
use std::time::Duration;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

const PATIENCE: Duration = Duration::from_secs(20);
pub const EPOCH: &str = "00000000000000aa";

/// A gateway's end of a session.
pub struct Raw {
    stream: BufReader<TcpStream>,
    seq: u64,
    /// The answer to the logon.
    pub hello: Value,
}

impl Raw {
    /// Connects and sends a first line; `hello` is the answer.
    pub async fn open(address: &str, logon: Value) -> Self {
        let stream = BufReader::new(TcpStream::connect(address).await.expect("a venue"));
        let mut raw = Self { stream, seq: 0, hello: Value::Null };
        raw.write(&format!("{logon}\n")).await;
        raw.hello = raw.next().await.expect("an answer");
        raw
    }

    /// A session of the account's orders.
    pub async fn orders(address: &str, account: &str, token: &str) -> Self {
        let logon = json!({
            "type": "logon", "protocol": 1, "account": account, "token": token, "heartbeatMs": 1_000,
        });
        Self::open(address, logon).await
    }

    /// Sends a frame under the next number.
    pub async fn send(&mut self, mut frame: Value) {
        self.seq += 1;
        frame["seq"] = self.seq.into();
        self.write(&format!("{frame}\n")).await;
    }

    /// Appends a frame's line under the next number.
    pub fn seq_line(&mut self, frame: &Value, to: &mut String) {
        let mut frame = frame.clone();
        self.seq += 1;
        frame["seq"] = self.seq.into();
        to.push_str(&format!("{frame}\n"));
    }

    /// The number of the last frame.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    pub async fn write(&mut self, text: &str) {
        self.stream.get_mut().write_all(text.as_bytes()).await.expect("writable");
    }

    /// Asks for everything after a report, and for the books.
    pub async fn sync(&mut self, log: Option<&Value>, after: u64, orders: &[&str]) -> (Vec<Value>, Value) {
        let mut sync = json!({ "type": "sync", "after": after, "orders": orders });
        if let Some(log) = log {
            sync["log"] = log.clone();
        }
        self.send(sync).await;
        let mut reports = Vec::new();
        loop {
            let frame = self.next().await.expect("the books");
            match frame["type"].as_str() {
                Some("report") => reports.push(frame),
                Some("snapshot") => return (reports, frame["snapshot"].clone()),
                _ => {}
            }
        }
    }

    /// The next frame; `None` at the end.
    pub async fn next(&mut self) -> Option<Value> {
        let mut line = String::new();
        let read = tokio::time::timeout(PATIENCE, self.stream.read_line(&mut line)).await.expect("in time");
        match read {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"))),
        }
    }

    /// The next frame of a type.
    pub async fn next_of(&mut self, kind: &str) -> Value {
        loop {
            let frame = self.next().await.unwrap_or_else(|| panic!("the session ended before a {kind}"));
            if frame["type"] == kind {
                return frame;
            }
        }
    }

    /// The next report: its kind, its number, and itself.
    pub async fn report(&mut self) -> (String, u64, Value) {
        let frame = self.next_of("report").await;
        let kind = frame["report"]["kind"].as_str().expect("a kind").to_owned();
        (kind, frame["seq"].as_u64().expect("a number"), frame)
    }
}

/// The venue's name of the gateway's order.
pub fn name(order: u64) -> String {
    format!("{EPOCH}.o{order}")
}

/// An order of BTCUSD.
pub fn submit(order: u64, limit: Option<&str>) -> Value {
    let mut frame = json!({
        "type": "submit", "order": name(order), "symbol": "BTCUSD", "side": "buy", "orderType": "market",
        "volume": "0.02", "filling": "ioc",
    });
    if let Some(price) = limit {
        frame["orderType"] = json!("limit");
        frame["filling"] = json!("return");
        frame["price"] = json!(price);
    }
    frame
}
