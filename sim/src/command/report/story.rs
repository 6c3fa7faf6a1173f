//! What the page's script draws, as JSON: every record of the trace with a few words, the messages between
//! them, and what was the matter with a node for a while.

use super::{
    flow::{self, End},
    saying::Teller,
    span::{self, Span},
};
use crate::{
    oracle::Violation,
    plan::Plan,
    run::Report,
    trace::{Node, Trace},
};
use serde::Serialize;

/// Lanes from left to right, so that those who talk to each other are neighbours.
const LANES: [Node; 8] = [
    Node::World,
    Node::Viewer,
    Node::Operator,
    Node::Gateway,
    Node::Relay,
    Node::Venue1,
    Node::Venue2,
    Node::Venue3,
];

#[derive(Serialize)]
struct Story<'a> {
    lanes: Vec<&'static str>,
    records: Vec<Line<'a>>,
    flows: Vec<[End; 2]>,
    spans: Vec<Span>,
    violations: Vec<Finding<'a>>,
}

/// A record.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    at_ns: u64,
    node: &'static str,
    kind: &'static str,
    says: String,
    /// It is of no interest among others of its like.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    quiet: bool,
    /// As text: its numbers can be greater than those of a script.
    body: &'a str,
}

/// A violation, and the record that it names.
#[derive(Serialize)]
struct Finding<'a> {
    seq: usize,
    rule: &'static str,
    message: &'a str,
}

impl<'a> Finding<'a> {
    fn of(violation: &'a Violation) -> Self {
        Self { seq: violation.seq, rule: violation.rule, message: &violation.message }
    }
}

/// JSON that may stand inside a `script` element: nothing in it can end one, or begin a comment.
pub fn json(plan: &Plan, world: &Report) -> String {
    let trace = &world.trace;
    let mut teller = Teller::default();
    let records = trace.records().map(|record| {
        let saying = teller.tell(&record);
        Line {
            at_ns: record.at_ns,
            node: record.node.name(),
            kind: record.kind.name(),
            says: saying.words,
            quiet: saying.is_quiet,
            body: record.body,
        }
    });
    let story = Story {
        lanes: lanes(trace),
        records: records.collect(),
        flows: flow::flows(plan, trace),
        spans: span::spans(trace),
        violations: world.violations.iter().map(Finding::of).collect(),
    };
    // `<` can stand in texts only
    serde_json::to_string(&story).expect("a story is data").replace('<', "\\u003c")
}

/// The nodes of which there are records.
pub fn lanes(trace: &Trace) -> Vec<&'static str> {
    let mut nodes: Vec<Node> = Vec::new();
    for record in trace.records() {
        if !nodes.contains(&record.node) {
            nodes.push(record.node);
        }
    }
    nodes.sort_by_key(|node| LANES.iter().position(|lane| lane == node).unwrap_or(LANES.len()));
    nodes.into_iter().map(Node::name).collect()
}
