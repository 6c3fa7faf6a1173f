//! Frames of the protocol, as a client writes and reads them.

use crate::history::{Cursor, Told};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use std::borrow::Cow;

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

/// The outer parts of any frame. Payloads stay as they came until somebody wants to know.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Cow<'a, str>,
    #[serde(default)]
    id: String,
    #[serde(default)]
    ok: bool,
    #[serde(default)]
    error: Value,
    #[serde(default)]
    event: String,
    #[serde(default)]
    seq: u64,
    cursor: Option<Cursor>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
}

/// Reads a frame; `seq` is its place in the trace.
pub fn read(seq: usize, text: &str) -> Frame {
    let Ok(frame) = serde_json::from_str::<Envelope>(text) else { return Frame::Other };
    let Envelope { kind, id, ok, error, event, seq: frame_seq, cursor, payload } = frame;
    match &*kind {
        "res" => {
            let body = if ok { payload.map(read_payload).unwrap_or_default() } else { error };
            Frame::Response { id, ok, body }
        }
        "event" => {
            let payload = payload.unwrap_or(RawValue::NULL).to_owned();
            Frame::Event(Told { seq, name: event, frame_seq, cursor, payload })
        }
        _ => Frame::Other,
    }
}

fn read_payload(payload: &RawValue) -> Value {
    serde_json::from_str(payload.get()).expect("it is JSON")
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
