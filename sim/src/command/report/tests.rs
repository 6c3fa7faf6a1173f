//! The page of a real world, and of one that tries to break out of it.

use super::page::page;
use crate::{
    fault,
    oracle::{Severity, Violation},
    outcome::Outcome,
    panics::{self, Panics},
    plan::{Plan, plan},
    probe::{Counts, Coverage},
    process::{LINK_TOKEN, OPERATOR_TOKEN, VIEWER_TOKEN},
    run::{Report, run},
    runtime::Clock,
    scenario,
    trace::{Kind, Node, Trace, Tracer},
    world::World,
};
use lockstep::domain::time::UnixNanos;
use madsim::{runtime::Runtime, time::sleep};
use serde_json::Value;
use std::{sync::Arc, time::Duration};

const LIMIT: Duration = Duration::from_secs(120);

fn some() -> Plan {
    let scenario = &scenario::select(&scenario::folder(None), "venue_crash").expect("it is there")[0];
    plan(3, scenario)
}

fn page_of(plan: &Plan, world: &Report) -> String {
    page(plan, world, "cargo sim replay x", "abc")
}

/// What the page's script reads.
fn story(page: &str) -> Value {
    let (_, rest) = page.split_once(r#"<script type="application/json" id="story">"#).expect("a story");
    let (json, _) = rest.split_once("</script>").expect("its end");
    serde_json::from_str(json).expect("JSON")
}

fn assert_tells_all(page: &str, trace: &Trace) {
    let story = story(page);
    let records = story["records"].as_array().expect("records");
    assert_eq!(records.len(), trace.len());
    for (told, record) in records.iter().zip(trace.records()) {
        assert_eq!(told["atNs"], record.at_ns);
        assert_eq!(
            (told["node"].as_str(), told["kind"].as_str()),
            (Some(record.node.name()), Some(record.kind.name()))
        );
        assert_eq!(told["body"].as_str(), Some(record.body));
        assert!(story["lanes"].as_array().expect("lanes").contains(&told["node"]));
    }
}

#[test]
fn every_record_of_a_world_is_in_its_page() {
    let plan = some();
    let world = run(&plan, LIMIT);
    let page = page_of(&plan, &world);
    assert_tells_all(&page, &world.trace);
    assert!(page.contains(&world.trace_hash()) && page.contains("cargo sim replay x"));
    for record in world.trace.records().filter(|record| record.kind == Kind::Fault) {
        assert!(page.contains(&format!(r##"<tr><td><a href="#r{}">"##, record.seq)), "{}", record.line());
    }
}

#[test]
fn nothing_of_a_world_breaks_out_of_its_page() {
    const EVIL: &str =
        "</script></title><script>alert(1)</script><!--<img src=x onerror='a'>\"{{story}}&amp;";
    let mut trace = Trace::default();
    for kind in [Kind::Sent, Kind::Received, Kind::Input, Kind::Output, Kind::Fault, Kind::Link, Kind::Alarm]
    {
        let body =
            serde_json::json!({ "fault": EVIL, EVIL: EVIL, "method": EVIL, "id": EVIL, "input": EVIL });
        trace.push(7, Node::Operator, kind, &body.to_string());
    }
    let message = EVIL.to_owned();
    let violation = Violation { oracle: "alarm", rule: "OR01", severity: Severity::Safety, seq: 2, message };
    let world = Report {
        outcome: Outcome::Safety,
        trace,
        violations: vec![violation],
        notes: vec![EVIL.to_owned()],
        counts: Counts { marks: [(EVIL.to_owned(), 1)].into(), ..Counts::default() },
        simulated: Duration::from_secs(1),
    };
    let evil = Plan { scenario: EVIL.to_owned(), start: EVIL.to_owned(), ..some() };
    let page = page(&evil, &world, EVIL, EVIL);
    let harmless = page_of(&some(), &Report { notes: Vec::new(), ..run(&some(), LIMIT) });
    for tag in ["<script", "</script", "<title", "</title", "<!--", "<img", "<style", "</style"] {
        assert_eq!(page.matches(tag).count(), harmless.matches(tag).count(), "{tag}");
    }
    assert_tells_all(&page, &world.trace);
    assert_eq!(story(&page)["violations"][0]["message"], EVIL);
}

/// The tokens of the plan's world, taken from its disks; and what happened until then.
fn tokens(plan: &Plan) -> (Vec<String>, Trace) {
    let plan = plan.clone();
    let world = std::thread::Builder::new().name("tokens".to_owned()).spawn(move || {
        panics::enter_world();
        let runtime = Runtime::with_seed_and_config(plan.schedule_seed, madsim::Config::default());
        runtime.block_on(async {
            let clock = Clock::new(UnixNanos::parse(&plan.start).expect("an instant"), 0);
            let tracer = Tracer::new(clock.clone());
            let (panics, _fatal) = Panics::new();
            let world = Arc::new(World::start(&plan, tracer.clone(), Coverage::default(), panics));
            let supervisor = madsim::task::spawn(world.clone().supervise());
            drop(madsim::task::spawn(fault::carry_out(world.clone(), plan.faults.clone(), clock)));
            sleep(Duration::from_secs(10)).await;
            let clients = [OPERATOR_TOKEN, VIEWER_TOKEN].map(|file| world.gateway().disk.small_file(file));
            let venues = world.venues().iter().map(|venue| venue.disk.small_file(LINK_TOKEN));
            let tokens = clients.into_iter().chain(venues).map(|token| token.expect("it was issued"));
            let tokens =
                tokens.map(|token| String::from_utf8(token).expect("text").trim().to_owned()).collect();
            let trace = tracer.take();
            supervisor.abort();
            world.end().await;
            (tokens, trace)
        })
    });
    world.expect("the host can start a thread").join().expect("nothing panics")
}

#[test]
fn no_token_of_a_world_is_in_its_page() {
    let plan = some();
    let world = run(&plan, LIMIT);
    let page = page_of(&plan, &world);
    let (tokens, trace) = tokens(&plan);
    assert_eq!(tokens.len(), 2 + plan.venues.len());
    assert!(
        trace.len() > 100 && trace.records().zip(world.trace.records()).all(|(a, b)| a == b),
        "another world"
    );
    for token in tokens {
        assert!(token.len() >= 16, "{token} is no token");
        assert!(!page.contains(&token), "{token} is in the page");
    }
    assert!(page.contains(r#"\"token\":\"***\""#), "the tokens were sent, and struck out");
}
