//! What was the matter with a node for a while: it was down, it started, it stood still, its link was cut.

use crate::trace::{Kind, Node, Record, Trace};
use serde::Serialize;
use serde_json::Value;

const MILLI_NS: u64 = 1_000_000;

/// A part of a node's life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Span {
    pub node: &'static str,
    pub from_ns: u64,
    pub to_ns: u64,
    /// `down`, `starting`, or the fault that lasts.
    pub what: String,
}

/// All of them, by their beginnings.
pub fn spans(trace: &Trace) -> Vec<Span> {
    let end_ns = trace.records().last().map_or(0, |record| record.at_ns);
    let mut lives = Lives { end_ns, spans: Vec::new() };
    for record in trace.records().filter(|r| matches!(r.kind, Kind::Process | Kind::Fault)) {
        lives.read(&record);
    }
    lives.spans
}

struct Lives {
    end_ns: u64,
    spans: Vec<Span>,
}

impl Lives {
    fn read(&mut self, record: &Record<'_>) {
        let Record { at_ns, node, .. } = *record;
        let body: Value = serde_json::from_str(record.body).unwrap_or_default();
        if body["fault"] == "crash" {
            // that of the gateway is noted by the world
            let node = if node == Node::World { Node::Gateway } else { node };
            return self.turn(node, at_ns, Some("down"));
        }
        match body["process"].as_str() {
            Some("started") => self.turn(node, at_ns, Some("starting")),
            Some("ready") => self.turn(node, at_ns, None),
            Some(_) => self.turn(node, at_ns, Some("down")),
            None => {
                for (fault, details) in body.as_object().into_iter().flatten() {
                    if let (Some(node), Some(for_ms)) = (victim(details), details["for_ms"].as_u64()) {
                        self.begin(node, at_ns, at_ns.saturating_add(for_ms.saturating_mul(MILLI_NS)), fault);
                    }
                }
            }
        }
    }

    /// Whatever the process was doing is over, and perhaps something else begins.
    fn turn(&mut self, node: Node, at_ns: u64, next: Option<&str>) {
        let is_open =
            |span: &&mut Span| span.node == node.name() && ["down", "starting"].contains(&span.what.as_str());
        if let Some(span) = self.spans.iter_mut().rev().find(is_open)
            && span.to_ns == self.end_ns
        {
            span.to_ns = at_ns;
        }
        if let Some(what) = next {
            self.begin(node, at_ns, self.end_ns, what);
        }
    }

    fn begin(&mut self, node: Node, from_ns: u64, to_ns: u64, what: &str) {
        let to_ns = to_ns.min(self.end_ns);
        self.spans.push(Span { node: node.name(), from_ns, to_ns, what: what.to_owned() });
    }
}

/// Whom a fault concerns: `{"venue":0,…}` or `{"client":"viewer",…}`.
fn victim(details: &Value) -> Option<Node> {
    if let Some(venue) = details["venue"].as_u64() {
        return Node::VENUES.get(usize::try_from(venue).ok()?).copied();
    }
    [Node::Operator, Node::Viewer].into_iter().find(|client| details["client"] == client.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_lasts_to_the_start_and_a_pause_as_long_as_it_says() {
        let mut trace = Trace::default();
        trace.push(1, Node::Gateway, Kind::Process, r#"{"process":"started","start":1}"#);
        trace.push(2, Node::Gateway, Kind::Process, r#"{"process":"ready"}"#);
        trace.push(3, Node::World, Kind::Fault, r#"{"venue_pause":{"venue":1,"for_ms":2}}"#);
        trace.push(4, Node::World, Kind::Fault, r#"{"fault":"crash","insideCommit":false}"#);
        trace.push(9, Node::Gateway, Kind::Process, r#"{"process":"started","start":2}"#);
        trace.push(3_000_000, Node::Gateway, Kind::Process, r#"{"process":"failed","error":"x"}"#);
        trace.push(4_000_000, Node::World, Kind::Fault, r#"{"clog":{"client":"viewer","for_ms":1000}}"#);
        trace.push(5_000_000, Node::World, Kind::Verdict, "{}");
        let told = |span: Span| (span.node, span.from_ns, span.to_ns, span.what);
        let all: Vec<_> = spans(&trace).into_iter().map(told).collect();
        let expected = [
            ("gateway", 1, 2, "starting"),
            ("venue-2", 3, 2_000_003, "venue_pause"),
            ("gateway", 4, 9, "down"),
            ("gateway", 9, 3_000_000, "starting"),
            ("gateway", 3_000_000, 5_000_000, "down"),
            ("viewer", 4_000_000, 5_000_000, "clog"),
        ];
        assert_eq!(all, expected.map(|(node, from, to, what)| (node, from, to, what.to_owned())));
    }
}
