//! What a record says, in a few words, and whether it is worth a line of its own.

use crate::{
    command::words::{event, short, text, words},
    trace::{Kind, Record},
};
use serde_json::Value;
use std::collections::BTreeMap;

const WIDTH: usize = 160;

/// A record in words.
pub struct Saying {
    pub words: String,
    /// It belongs to the market's noise, or to the upkeep of journal and connections: many in a row are one
    /// line.
    pub is_quiet: bool,
}

/// Tells records in the order of the trace: an answer is told with the method that was asked.
#[derive(Default)]
pub struct Teller {
    methods: BTreeMap<String, String>,
}

impl Teller {
    pub fn tell(&mut self, record: &Record<'_>) -> Saying {
        let body: Value = serde_json::from_str(record.body).unwrap_or_default();
        let words = match record.kind {
            Kind::Input => input(&body["input"]),
            Kind::Output => output(&body),
            Kind::Commit => format!("durable up to {}", text(&body["offset"])),
            Kind::Release => format!(
                "up to {}: {} events, {} replies",
                text(&body["offset"]),
                text(&body["events"]),
                text(&body["replies"])
            ),
            Kind::Sent => self.sent(&body),
            Kind::Received => self.received(&body),
            Kind::Verdict => {
                let [oracle, rule, message] = ["oracle", "rule", "message"].map(|key| text(&body[key]));
                format!("{oracle} {rule}: {message}")
            }
            Kind::Process | Kind::Link | Kind::Fault | Kind::Alarm => phrase(&body),
        };
        Saying { words: short(&words, WIDTH), is_quiet: is_quiet(record.kind, &body) }
    }

    fn sent(&mut self, body: &Value) -> String {
        if let Some(method) = body["method"].as_str() {
            self.methods.insert(text(&body["id"]), method.to_owned());
            return format!("{method} {}", words(&body["params"]));
        }
        let frame = &body["frame"];
        format!("{} {}", text(&frame["type"]), without(frame, "type"))
    }

    fn received(&self, body: &Value) -> String {
        if body["type"] == "event" {
            let (name, payload) = (&body["event"], &body["payload"]);
            let told = event(&Value::Array(vec![name.clone(), payload.clone()]));
            return told.unwrap_or_else(|| {
                format!("{} {}", text(name).trim_start_matches("event."), words(payload))
            });
        }
        let method = self.methods.get(&text(&body["id"])).map_or("", String::as_str);
        match body["ok"] == true {
            true => format!("ok {method} {}", words(&body["payload"])),
            false => format!("refused {method} {}", words(&body["error"])),
        }
    }
}

fn input(input: &Value) -> String {
    let command = &input["command"];
    match command["id"].as_str() {
        Some(id) => format!("{id}: {}", phrase(&command["body"])),
        None => phrase(input),
    }
}

fn output(body: &Value) -> String {
    let list = |key: &str| body[key].as_array().into_iter().flatten();
    let told = |e: &Value| event(e).unwrap_or_else(|| text(&e[0]).trim_start_matches("event.").to_owned());
    let events = list("events").map(told);
    let replies = list("replies").map(|reply| {
        let error = &reply["result"]["Err"]["code"];
        let result = error.as_str().map_or_else(|| "ok".to_owned(), |code| format!("refused {code}"));
        format!("{} {result}", text(&reply["command"]))
    });
    let postings = list("ledger").map(|entry| format!("{} {}", text(&entry["kind"]), text(&entry["amount"])));
    events.chain(replies).chain(postings).collect::<Vec<_>>().join("; ")
}

/// All of an object: its plain members, and what it holds deeper inside. Lists are counted.
pub fn phrase(value: &Value) -> String {
    let Some(object) = value.as_object() else { return text(value) };
    let mut parts = Vec::new();
    for (key, value) in object {
        match value {
            Value::Null => {}
            Value::Object(_) => parts.push(format!("{key} {}", phrase(value))),
            Value::Array(items) => parts.push(format!("{key}[{}]", items.len())),
            // `fault=crash` is `crash`
            Value::String(name) if ["fault", "process", "link", "kind", "mark"].contains(&key.as_str()) => {
                parts.insert(0, name.clone());
            }
            plain => parts.push(format!("{key}={}", text(plain))),
        }
    }
    parts.join(" ")
}

fn without(value: &Value, key: &str) -> String {
    let mut value = value.clone();
    if let Some(object) = value.as_object_mut() {
        object.remove(key);
    }
    phrase(&value)
}

fn is_quiet(kind: Kind, body: &Value) -> bool {
    match kind {
        Kind::Input => {
            let input = &body["input"];
            input == "wake" || input["quote"].is_object() || input["link"]["event"]["heartbeat"].is_object()
        }
        Kind::Commit => true,
        Kind::Release => body["events"] == 0 && body["replies"] == 0,
        Kind::Sent => body["frame"]["type"] == "heartbeat",
        Kind::Received => matches!(body["event"].as_str(), Some("event.feed.event" | "event.gateway.tick")),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::Node;

    fn check(kind: Kind, body: &str, expected: &str, is_quiet: bool) {
        let record = Record { seq: 0, at_ns: 0, node: Node::Gateway, kind, body };
        let saying = Teller::default().tell(&record);
        assert_eq!((saying.words.as_str(), saying.is_quiet), (expected, is_quiet), "{body}");
    }

    #[test]
    fn records_are_told_in_words() {
        check(Kind::Input, r#"{"input":"wake"}"#, "wake", true);
        check(
            Kind::Input,
            r#"{"input":{"quote":{"instrument":4,"bid":1,"ask":2}}}"#,
            "quote ask=2 bid=1 instrument=4",
            true,
        );
        check(
            Kind::Input,
            r#"{"input":{"command":{"id":"c7","body":{"cancel":{"account":"a","target":{"order":"o1"}}}}}}"#,
            "c7: cancel account=a target order=o1",
            false,
        );
        check(Kind::Commit, r#"{"offset":3,"records":1}"#, "durable up to 3", true);
        check(Kind::Release, r#"{"offset":3,"events":0,"replies":1}"#, "up to 3: 0 events, 1 replies", false);
        check(Kind::Fault, r#"{"insideCommit":true,"fault":"crash"}"#, "crash insideCommit=true", false);
        check(
            Kind::Fault,
            r#"{"venue_pause":{"venue":0,"for_ms":9}}"#,
            "venue_pause for_ms=9 venue=0",
            false,
        );
        check(
            Kind::Sent,
            r#"{"frame":{"type":"sync","after":0,"orders":["o1"]}}"#,
            "sync after=0 orders[1]",
            false,
        );
        check(Kind::Sent, r#"{"frame":{"type":"heartbeat","seq":1}}"#, "heartbeat seq=1", true);
        check(
            Kind::Output,
            r#"{"events":[["event.x",{}]],"replies":[{"command":"c7","result":{"Err":{"code":"NO"}}}],"ledger":[]}"#,
            "x; c7 refused NO",
            false,
        );
        check(Kind::Received, "no JSON", "refused  -", false);
    }

    #[test]
    fn an_answer_is_told_with_the_method_that_was_asked() {
        let mut teller = Teller::default();
        let mut tell =
            |kind, body| teller.tell(&Record { seq: 0, at_ns: 0, node: Node::Operator, kind, body }).words;
        tell(Kind::Sent, r#"{"type":"req","id":"x-1","method":"trades.get","params":{}}"#);
        assert_eq!(
            tell(Kind::Received, r#"{"type":"res","id":"x-1","ok":true,"payload":{"a":1}}"#),
            "ok trades.get a=1"
        );
    }
}
