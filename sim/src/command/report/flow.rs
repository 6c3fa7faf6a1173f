//! Messages: which record was sent, and which took it in. They are matched by ids, keys, names and offsets,
//! never by time alone; where the trace holds only one end, the other is a node.

use crate::{
    plan::Plan,
    trace::{Kind, Node, Record, Trace},
};
use serde::{Serialize, Serializer};
use serde_json::Value;
use std::collections::BTreeMap;

/// Where a message begins or ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// At this place in the trace.
    Record(usize),
    /// Somewhen on this node, of which the trace says nothing.
    Node(Node),
}

impl Serialize for End {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Record(seq) => seq.serialize(serializer),
            Self::Node(node) => serializer.serialize_str(node.name()),
        }
    }
}

/// All messages, each from where to where.
pub fn flows(plan: &Plan, trace: &Trace) -> Vec<[End; 2]> {
    let mut matcher = Matcher { accounts: accounts(plan), ..Matcher::default() };
    for record in trace.records() {
        matcher.read(&record);
    }
    let Matcher { heard, sent, taken, .. } = matcher;
    let left = sent.into_iter().map(|(seq, towards)| {
        [End::Record(seq), taken.get(&seq).map_or(End::Node(towards), |taker| End::Record(*taker))]
    });
    heard.into_iter().chain(left).collect()
}

/// By the gateway's name of an account, and by its venue's: the venue.
fn accounts(plan: &Plan) -> BTreeMap<String, Node> {
    let venues = plan.venues.iter().zip(Node::VENUES);
    venues
        .flat_map(|(venue, node)| {
            venue.accounts.iter().flat_map(move |a| [(a.id.clone(), node), (a.login.clone(), node)])
        })
        .collect()
}

/// What was read so far.
#[derive(Default)]
struct Matcher {
    accounts: BTreeMap<String, Node>,
    machines: BTreeMap<Node, Machine>,
    /// Since when a client is connected, or an account: what was let go before came later, and again.
    since: BTreeMap<String, usize>,
    /// Requests, by client and id.
    asked: BTreeMap<(Node, String), usize>,
    /// The machine's names of requests that it took in.
    commands: BTreeMap<usize, String>,
    /// To which venue the gateway's streams lead.
    streams: BTreeMap<u64, Node>,
    /// The gateway's names of orders, by the venue and its own.
    orders: BTreeMap<(Node, String), String>,
    /// What was sent and not taken in yet, by whom it is for and what it is.
    waiting: BTreeMap<(Node, String), Vec<usize>>,
    /// Messages that arrived, where the arrival says from where.
    heard: Vec<[End; 2]>,
    /// Everything that was sent, and to whom.
    sent: Vec<(usize, Node)>,
    taken: BTreeMap<usize, usize>,
}

/// The journal of a machine, as it is now: a crash takes back what was not durable.
#[derive(Default)]
struct Machine {
    /// The offsets of critical events; number n is at place n - 1.
    events: Vec<u64>,
    /// The offsets at which commands were answered.
    replies: BTreeMap<String, u64>,
    /// Offset and place.
    releases: Vec<(u64, usize)>,
}

impl Machine {
    /// When the outputs up to an offset left.
    fn released(&self, offset: u64) -> Option<usize> {
        self.releases.iter().find(|(released, _)| *released >= offset).map(|(_, seq)| *seq)
    }

    fn event_released(&self, number: u64) -> Option<usize> {
        let place = usize::try_from(number.checked_sub(1)?).ok()?;
        self.released(*self.events.get(place)?)
    }
}

impl Matcher {
    fn read(&mut self, record: &Record<'_>) {
        let body: Value = serde_json::from_str(record.body).unwrap_or_default();
        match (record.node, record.kind) {
            (Node::Gateway, Kind::Sent) => self.line(record.seq, &body),
            (client, Kind::Sent) => self.request(record.seq, client, &body),
            (client, Kind::Received) => self.received(record.seq, client, &body),
            (node, Kind::Input) => {
                let offset = body["offset"].as_u64().unwrap_or_default();
                let machine = self.machines.entry(node).or_default();
                machine.events.retain(|event| *event < offset);
                machine.replies.retain(|_, reply| *reply < offset);
                match node {
                    Node::Gateway => self.gateway_input(record.seq, &body["input"]),
                    venue => self.venue_input(record.seq, venue, &body["input"]["command"]["body"]),
                }
            }
            (node, Kind::Output) => self.output(node, &body),
            (node, Kind::Release) => {
                let offset = body["offset"].as_u64().unwrap_or_default();
                self.machines.entry(node).or_default().releases.push((offset, record.seq));
            }
            (Node::Relay, Kind::Fault) => self.lost(record.seq, &body),
            _ => {}
        }
    }

    /// A client asks.
    fn request(&mut self, seq: usize, client: Node, body: &Value) {
        self.sent.push((seq, Node::Gateway));
        self.asked.insert((client, word(&body["id"])), seq);
        if let Some(key) = body["params"]["idempotencyKey"].as_str() {
            self.wait(Node::Gateway, key.to_owned(), seq);
        }
    }

    /// A client hears an answer or an event.
    fn received(&mut self, seq: usize, client: Node, body: &Value) {
        let gateway = self.machines.entry(Node::Gateway).or_default();
        let mut released = match body["cursor"]["offset"].as_u64() {
            Some(number) if body["type"] == "event" => gateway.event_released(number),
            _ => {
                let asked = self.asked.get(&(client, word(&body["id"])));
                let command = asked.and_then(|asked| self.commands.get(asked));
                let offset = command.and_then(|command| gateway.replies.get(command));
                offset.and_then(|offset| gateway.released(*offset))
            }
        };
        if body["id"] == "connect" {
            self.since.insert(client.name().to_owned(), seq);
        }
        released = released.filter(|released| Some(released) > self.since.get(client.name()));
        self.heard.push([released.map_or(End::Node(Node::Gateway), End::Record), End::Record(seq)]);
    }

    /// The gateway writes a line to a venue.
    fn line(&mut self, seq: usize, body: &Value) {
        let (stream, frame) = (body["stream"].as_u64().unwrap_or_default(), &body["frame"]);
        if frame["type"] == "logon" {
            // one without an account is about quotes, which come from the first venue
            let venue = self.accounts.get(&word(&frame["account"])).copied().unwrap_or(Node::Venue1);
            self.streams.insert(stream, venue);
        }
        let venue = self.streams.get(&stream).copied().unwrap_or(Node::Venue1);
        self.sent.push((seq, venue));
        self.wait(Node::Relay, format!("{} {}", word(&frame["type"]), frame["seq"]), seq);
        let target = if frame["type"] == "modify" && frame["position"].is_string() {
            &frame["position"]
        } else {
            &frame["order"]
        };
        self.wait(venue, format!("{} {}", word(&frame["type"]), word(target)), seq);
    }

    /// The relay lets a line of the gateway get lost.
    fn lost(&mut self, seq: usize, body: &Value) {
        if matches!(body["fault"].as_str(), Some("order_lost" | "entry_lost")) {
            self.take(Node::Relay, &format!("{} {}", word(&body["type"]), body["frame"]), seq);
        }
    }

    fn gateway_input(&mut self, seq: usize, input: &Value) {
        let command = &input["command"];
        if let Some(key) = command["idempotency"]["key"].as_str()
            && let Some(sent) = self.take(Node::Gateway, key, seq)
        {
            self.commands.insert(sent, word(&command["id"]));
        }
        let (account, event) = (word(&input["link"]["account"]), &input["link"]["event"]);
        let Some(venue) = self.accounts.get(&account).copied() else { return };
        if event["up"].is_object() {
            self.since.insert(account.clone(), seq);
        }
        if event["down"].is_object() {
            return; // nobody said that
        }
        // a venue numbers its reports as its critical events
        let number = event["report"]["seq"].as_u64().unwrap_or_default();
        let released = self.machines.get(&venue).and_then(|machine| machine.event_released(number));
        let released = released.filter(|released| Some(released) > self.since.get(&account));
        self.heard.push([released.map_or(End::Node(venue), End::Record), End::Record(seq)]);
    }

    fn venue_input(&mut self, seq: usize, venue: Node, command: &Value) {
        let Some((name, details)) = command.as_object().and_then(|command| command.iter().next()) else {
            return;
        };
        let target = &details["target"];
        let (frame, target) = match name.as_str() {
            "place" => ("submit", word(&details["client_order_id"])),
            name if target["position"].is_string() => (name, word(&target["position"])),
            name if target["client_order"].is_string() => (name, word(&target["client_order"])),
            name => {
                let own = word(&target["order"]);
                (name, self.orders.get(&(venue, own.clone())).cloned().unwrap_or(own))
            }
        };
        self.take(venue, &format!("{frame} {target}"), seq);
    }

    fn output(&mut self, node: Node, body: &Value) {
        let offset = body["offset"].as_u64().unwrap_or_default();
        let machine = self.machines.entry(node).or_default();
        for event in body["events"].as_array().into_iter().flatten() {
            machine.events.push(offset);
            let order = &event[1]["order"];
            if let (Some(own), Some(name)) = (order["orderId"].as_str(), order["clientOrderId"].as_str()) {
                self.orders.insert((node, own.to_owned()), name.to_owned());
            }
        }
        for reply in body["replies"].as_array().into_iter().flatten() {
            machine.replies.insert(word(&reply["command"]), offset);
        }
    }

    fn wait(&mut self, taker: Node, what: String, seq: usize) {
        self.waiting.entry((taker, what)).or_default().push(seq);
    }

    /// What was sent last: what is sent again took the place of what got lost.
    fn take(&mut self, taker: Node, what: &str, seq: usize) -> Option<usize> {
        let sent = self.waiting.get_mut(&(taker, what.to_owned()))?.pop()?;
        self.taken.insert(sent, seq);
        Some(sent)
    }
}

fn word(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{plan::plan, run::run, scenario};
    use std::time::Duration;

    /// A real world, its whole messages, and how to read its bodies.
    fn world(name: &str, seed: u64) -> (Trace, Vec<[End; 2]>) {
        let scenario = &scenario::select(&scenario::folder(None), name).expect("it is there")[0];
        let plan = plan(seed, scenario);
        let trace = run(&plan, Duration::from_secs(120)).trace;
        let flows = flows(&plan, &trace);
        (trace, flows)
    }

    fn body(trace: &Trace, seq: usize) -> Value {
        serde_json::from_str(trace.get(seq).expect("there").body).expect("JSON")
    }

    fn check(name: &str, seed: u64) {
        let (trace, flows) = world(name, seed);
        let (mut requests, mut orders, mut fills, mut events) = (0, 0, 0, 0);
        let is_sent = |seq: usize| trace.get(seq).expect("there").kind == Kind::Sent;
        let begun =
            flows.iter().filter(|[from, _]| matches!(from, End::Record(seq) if is_sent(*seq))).count();
        let sent = trace.records().filter(|record| record.kind == Kind::Sent).count();
        assert_eq!(begun, sent, "each that was sent goes somewhere, once");
        for [from, to] in flows {
            let (End::Record(from), End::Record(to)) = (from, to) else { continue };
            assert!(from < to, "#{from} comes before #{to}");
            let (sent, taken) = (trace.get(from).expect("there"), trace.get(to).expect("there"));
            let (a, b) = (body(&trace, from), body(&trace, to));
            assert_ne!(sent.node, taken.node);
            match (sent.node, sent.kind, taken.node, taken.kind) {
                (Node::Operator | Node::Viewer, Kind::Sent, Node::Gateway, Kind::Input) => {
                    requests += 1;
                    assert_eq!(a["params"]["idempotencyKey"], b["input"]["command"]["idempotency"]["key"]);
                }
                (Node::Gateway, Kind::Sent, _, Kind::Input) => {
                    let command = &b["input"]["command"]["body"];
                    if a["frame"]["type"] == "submit" {
                        orders += 1;
                        assert_eq!(a["frame"]["order"], command["place"]["client_order_id"]);
                    } else {
                        assert!(command[a["frame"]["type"].as_str().expect("a type")].is_object(), "{b}");
                    }
                }
                (Node::Gateway, Kind::Sent, Node::Relay, Kind::Fault) => {
                    assert_eq!((&a["frame"]["type"], &a["frame"]["seq"]), (&b["type"], &b["frame"]));
                }
                (venue, Kind::Release, Node::Gateway, Kind::Input) => {
                    let report = &b["input"]["link"]["event"]["report"]["report"];
                    if report["kind"] == "fill" {
                        fills += 1;
                        let said = |r: &Record<'_>| {
                            let fill = format!(r#""fillId":{}"#, report["fill"]);
                            r.node == venue && r.kind == Kind::Output && r.body.contains(&fill)
                        };
                        let output = trace.records().find(said).expect("the venue said so");
                        assert!(
                            output.seq < from
                                && body(&trace, output.seq)["offset"].as_u64() <= a["offset"].as_u64()
                        );
                    }
                }
                (Node::Gateway, Kind::Release, Node::Operator | Node::Viewer, Kind::Received) => {
                    events += usize::from(b["type"] == "event");
                    assert!(a["events"].as_u64() > Some(0) || b["type"] == "res", "{a} {b}");
                }
                other => panic!("a message from {other:?}"),
            }
        }
        let counts = format!("{name}: {requests} requests, {orders} orders, {fills} fills, {events} events");
        assert!(requests > 10 && events > 50, "{counts}");
        assert!(trace.records().all(|r| r.node != Node::Venue1) || (orders > 2 && fills > 2), "{counts}");
    }

    #[test]
    fn messages_join_what_belongs_together() {
        check("venue_crash", 3);
        check("duplicate_and_reordered", 4);
        check("lost_ack", 1);
        check("gateway_crash", 5);
    }
}
