//! Frames of the protocol, as a client writes and reads them.

use crate::history::{Cursor, Told};
use serde_json::{Value, json};

/// What came.
#[derive(Debug)]
pub enum Frame {
    Response {
        id: String,
        ok: bool,
        body: Value,
    },
    Event(Told),
    /// Not a frame of the protocol.
    Other,
}

/// Reads a frame; `seq` is its place in the trace.
pub fn read(seq: usize, text: &str) -> Frame {
    let Ok(mut frame) = serde_json::from_str::<Value>(text) else { return Frame::Other };
    match frame["type"].as_str() {
        Some("res") => {
            let ok = frame["ok"] == true;
            let body = frame[if ok { "payload" } else { "error" }].take();
            Frame::Response { id: frame["id"].as_str().unwrap_or_default().to_owned(), ok, body }
        }
        Some("event") => {
            let name = frame["event"].as_str().unwrap_or_default().to_owned();
            let frame_seq = frame["seq"].as_u64().unwrap_or_default();
            let cursor = Cursor::read(&frame["cursor"]);
            Frame::Event(Told { seq, name, frame_seq, cursor, payload: frame["payload"].take() })
        }
        _ => Frame::Other,
    }
}

/// A request.
pub fn request(id: &str, method: &str, params: &Value) -> String {
    json!({ "type": "req", "id": id, "method": method, "params": params }).to_string()
}

/// The first request of a connection.
pub fn connect(name: &str, token: &str, resume: Option<&Cursor>) -> String {
    let mut params = json!({
        "client": { "name": name, "kind": "cli", "version": "0.1.0" },
        "protocol": { "min": 1, "max": 1 },
        "auth": { "mode": "token", "token": token },
    });
    if let Some(Cursor { epoch, offset }) = resume {
        params["resume"] = json!({ "cursor": { "epoch": epoch, "offset": offset } });
    }
    request("connect", "gateway.connect", &params)
}
