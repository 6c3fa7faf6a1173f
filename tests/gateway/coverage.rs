//! What is advertised is tested: each method and event is named by a test over the socket.

use lockstep::gateway::registry;
use std::{fs, path::Path};

#[test]
fn every_method_and_event_of_the_registry_is_named_by_a_test() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gateway");
    let mut tests = String::new();
    for entry in fs::read_dir(folder).expect("the folder of these tests") {
        let path = entry.expect("an entry").path();
        if path.file_name().is_some_and(|name| name != "coverage.rs" && name != "harness.rs") {
            tests += &fs::read_to_string(path).expect("a test's source");
        }
    }
    let methods = registry().methods().map(|method| method.name);
    let events = registry().events().iter().map(|event| event.name);
    let untested: Vec<_> =
        methods.chain(events).filter(|name| !tests.contains(&format!("\"{name}\""))).collect();
    assert!(untested.is_empty(), "advertised, but named by no test: {untested:?}");
}

#[test]
fn every_method_that_touches_risk_or_execution_takes_an_idempotency_key() {
    for method in registry().methods() {
        let writes = !method.scopes.is_empty() && method.scopes.iter().all(|scope| scope.name() != "read");
        assert_eq!(method.keyed, writes, "{}", method.name);
    }
}
