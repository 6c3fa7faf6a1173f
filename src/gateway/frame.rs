//! Frames: what a text message must be to count as a request, and how answers and events are written.

use super::limits;
use crate::domain::{
    message::{ErrorCode, Refusal},
    time::UnixNanos,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::fmt::Write as _;

/// A request, its parameters not yet read.
#[derive(Debug)]
pub struct Request {
    pub id: String,
    pub method: String,
    /// A JSON object.
    pub params: Box<RawValue>,
}

/// Why a frame is not a request.
#[derive(Debug)]
pub struct BadFrame {
    /// The id, where it could be read.
    pub id: Option<String>,
    pub refusal: Refusal,
    /// Whether it counts toward closing the connection.
    pub counts: bool,
}

impl BadFrame {
    fn new(reason: &str, message: &str) -> Self {
        Self { id: None, refusal: Refusal::new(ErrorCode::InvalidParams, reason, message), counts: true }
    }

    /// The answer to a binary message.
    pub fn binary() -> Self {
        Self::new("BAD_FRAME", "send JSON in text frames, not binary ones")
    }
}

/// The envelope; each field is looked at on its own, so that an error can still name the id.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, rename = "type", default)]
    kind: Option<&'a RawValue>,
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    method: Option<&'a RawValue>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
}

/// Reads one text message.
pub fn parse(text: &str) -> Result<Request, BadFrame> {
    if nesting(text.as_bytes()) > limits::NESTING {
        return Err(BadFrame::new("BAD_FRAME", "the frame is nested deeper than 32 levels"));
    }
    let whole: &RawValue = serde_json::from_str(text)
        .map_err(|error| BadFrame::new("BAD_JSON", &format!("the frame is not JSON: {error}")))?;
    if !whole.get().starts_with('{') {
        return Err(BadFrame::new("BAD_FRAME", "a frame is a JSON object with type, id, method and params"));
    }
    let envelope: Envelope<'_> = serde_json::from_str(whole.get())
        .map_err(|error| BadFrame::new("BAD_FRAME", &format!("the frame cannot be read: {error}")))?;
    if string(envelope.kind).as_deref() != Some("req") {
        return Err(BadFrame::new("BAD_FRAME", "a client sends frames of type \"req\" only"));
    }
    let id = string(envelope.id)
        .filter(|id| (1..=limits::ID_CHARS).contains(&id.chars().count()))
        .ok_or_else(|| BadFrame::new("BAD_FRAME", "`id` must be a string of 1 to 128 characters"))?;
    let Some(method) = string(envelope.method) else {
        let bad = BadFrame::new("BAD_FRAME", "`method` must be a string such as \"gateway.ping\"");
        return Err(BadFrame { id: Some(id), ..bad });
    };
    match envelope.params {
        Some(params) if params.get().starts_with('{') => {
            Ok(Request { id, method, params: params.to_owned() })
        }
        _ => {
            let bad = BadFrame::new("PARAMS_NOT_OBJECT", "`params` must be an object; write {} for none");
            Err(BadFrame { id: Some(id), counts: false, ..bad })
        }
    }
}

fn string(raw: Option<&RawValue>) -> Option<String> {
    serde_json::from_str(raw?.get()).ok()
}

/// The greatest number of open brackets and braces, strings left out.
fn nesting(bytes: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0_usize);
    let (mut quoted, mut escaped) = (false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// A successful answer's text.
pub fn response(id: &str, payload: &RawValue) -> String {
    #[derive(Serialize)]
    struct Frame<'a> {
        r#type: &'static str,
        id: &'a str,
        ok: bool,
        payload: &'a RawValue,
    }
    encode(&Frame { r#type: "res", id, ok: true, payload })
}

/// A refusal's text.
pub fn refusal(id: Option<&str>, error: &Refusal) -> String {
    #[derive(Serialize)]
    struct Frame<'a> {
        r#type: &'static str,
        id: Option<&'a str>,
        ok: bool,
        error: &'a Refusal,
    }
    encode(&Frame { r#type: "res", id, ok: false, error })
}

/// A value as JSON text.
pub fn encode(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("answers have text keys only")
}

/// An event's text. `cursor` and `payload` are JSON already.
pub fn event(name: &str, seq: u64, ts: UnixNanos, cursor: Option<&str>, payload: &str) -> String {
    let mut text = String::with_capacity(payload.len() + 160);
    let _ = write!(text, "{{\"type\":\"event\",\"event\":\"{name}\",\"seq\":{seq},\"ts\":\"{ts}\"");
    if let Some(cursor) = cursor {
        let _ = write!(text, ",\"cursor\":{cursor}");
    }
    let _ = write!(text, ",\"payload\":{payload}}}");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, reason: &str, id: Option<&str>, counts: bool) {
        let bad = parse(text).expect_err(text);
        assert_eq!(bad.refusal.code, ErrorCode::InvalidParams, "{text}");
        assert_eq!((bad.refusal.reason(), bad.id.as_deref(), bad.counts), (reason, id, counts), "{text}");
    }

    #[test]
    fn every_kind_of_bad_frame_has_its_answer() {
        for text in ["", "{", "nonsense", "{\"type\":\"req\",}", "{} {}", "NaN", "{\"a\":\"\u{1}\"}"] {
            check(text, "BAD_JSON", None, true);
        }
        for text in [
            "null",
            "[]",
            "\"text\"",
            "7",
            "{}",
            "{\"type\":\"res\",\"id\":\"1\"}",
            "{\"type\":1,\"id\":\"1\"}",
            "{\"type\":\"req\",\"method\":\"m\",\"params\":{}}",
            "{\"type\":\"req\",\"id\":7,\"method\":\"m\",\"params\":{}}",
            "{\"type\":\"req\",\"id\":\"\",\"method\":\"m\",\"params\":{}}",
            "{\"type\":\"req\",\"id\":null,\"method\":\"m\",\"params\":{}}",
            "{\"type\":\"req\",\"id\":\"\\ud800\",\"method\":\"m\",\"params\":{}}",
            "{\"type\":\"req\",\"id\":\"1\",\"id\":\"2\",\"method\":\"m\",\"params\":{}}",
        ] {
            check(text, "BAD_FRAME", None, true);
        }
        let long = "x".repeat(129);
        check(
            &format!("{{\"type\":\"req\",\"id\":\"{long}\",\"method\":\"m\",\"params\":{{}}}}"),
            "BAD_FRAME",
            None,
            true,
        );
        check("{\"type\":\"req\",\"id\":\"1\",\"params\":{}}", "BAD_FRAME", Some("1"), true);
        check("{\"type\":\"req\",\"id\":\"1\",\"method\":7,\"params\":{}}", "BAD_FRAME", Some("1"), true);
        for params in ["", ",\"params\":null", ",\"params\":[]", ",\"params\":\"{}\""] {
            let text = format!("{{\"type\":\"req\",\"id\":\"1\",\"method\":\"m\"{params}}}");
            check(&text, "PARAMS_NOT_OBJECT", Some("1"), false);
        }
    }

    #[test]
    fn nesting_is_limited_to_32_and_strings_do_not_count() {
        let frame =
            |params: &str| format!("{{\"type\":\"req\",\"id\":\"1\",\"method\":\"m\",\"params\":{params}}}");
        let deep = |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
        assert!(parse(&frame(&deep(30))).is_ok(), "32 levels");
        check(&frame(&deep(31)), "BAD_FRAME", None, true);
        assert!(parse(&frame(&format!("{{\"a\":\"{}\\\"{{\"}}", "[".repeat(100)))).is_ok());
        check(&"[".repeat(200_000), "BAD_FRAME", None, true);
    }

    #[test]
    fn order_of_fields_and_unknown_ones_do_not_matter() {
        let request = parse("{\"params\":{\"a\":1},\"method\":\"m\",\"x\":[],\"id\":\"é\",\"type\":\"req\"}")
            .expect("a request");
        assert_eq!((request.id.as_str(), request.method.as_str()), ("é", "m"));
        assert_eq!(request.params.get(), "{\"a\":1}");
    }

    proptest::proptest! {
        #[test]
        fn gw10_any_text_is_a_request_or_has_an_answer(text in ".{0,200}") {
            if let Err(bad) = parse(&text) {
                proptest::prop_assert!(!bad.refusal.reason().is_empty());
            }
        }

        #[test]
        fn gw10_so_is_anything_that_looks_like_a_frame(
            text in r#"\{("(type|id|method|params)":("req"|"[a-z\\\"]{0,3}"|null|7|\{\}|\[)?,?){0,5}\}?"#
        ) {
            match parse(&text) {
                Ok(request) => proptest::prop_assert_eq!(request.params.get().as_bytes()[0], b'{'),
                Err(bad) => proptest::prop_assert!(!bad.refusal.message.is_empty()),
            }
        }
    }

    #[test]
    fn answers_and_events_have_the_contract_shape() {
        let payload = RawValue::from_string("{\"a\":1}".into()).expect("JSON");
        assert_eq!(response("r\"1", &payload), r#"{"type":"res","id":"r\"1","ok":true,"payload":{"a":1}}"#);
        let error = Refusal::new(ErrorCode::AuthRequired, "CONNECT_FIRST", "Not authenticated");
        assert_eq!(
            refusal(None, &error),
            r#"{"type":"res","id":null,"ok":false,"error":{"code":"AUTH_REQUIRED","message":"Not authenticated","retryable":false,"details":{"reason":"CONNECT_FIRST"}}}"#
        );
        assert_eq!(
            event("event.x", 3, UnixNanos::ZERO, Some("{\"epoch\":\"0\",\"offset\":1}"), "{}"),
            r#"{"type":"event","event":"event.x","seq":3,"ts":"1970-01-01T00:00:00Z","cursor":{"epoch":"0","offset":1},"payload":{}}"#
        );
    }
}
