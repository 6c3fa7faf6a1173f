//! docs/PROTOCOL.md lists exactly the methods and events of the registry.

use lockstep::gateway::registry;
use serde_json::Value;
use std::{collections::BTreeMap, fs, path::Path};

const BEGIN: &str =
    "<!-- generated from the registry: BLESS=1 cargo test --test main protocol_document -->\n";
const END: &str = "<!-- end of what is generated -->\n";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn schema() -> Value {
    serde_json::from_str(&registry().schema()).expect("the schema is JSON")
}

/// The fields of an object's schema and whether each must be there; references and flattened parts included.
fn fields<'a>(document: &'a Value, schema: &'a Value, found: &mut BTreeMap<&'a str, bool>) {
    if let Some(path) = schema["$ref"].as_str() {
        fields(document, document.pointer(path.trim_start_matches('#')).expect("a definition"), found);
    }
    for part in ["allOf", "anyOf", "oneOf"] {
        for alternative in schema[part].as_array().into_iter().flatten() {
            let mut inner = BTreeMap::new();
            fields(document, alternative, &mut inner);
            let sure = part == "allOf";
            found.extend(inner.into_iter().map(|(name, required)| (name, required && sure)));
        }
    }
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for name in schema["properties"].as_object().into_iter().flat_map(|map| map.keys()) {
        found.insert(name, required.contains(&name.as_str()));
    }
}

fn cell(document: &Value, schema: &Value) -> String {
    let mut found = BTreeMap::new();
    fields(document, schema, &mut found);
    let (must, may): (Vec<_>, Vec<_>) = found.into_iter().partition(|(_, required)| *required);
    let names = must.into_iter().map(|(name, _)| name.to_owned());
    names.chain(may.into_iter().map(|(name, _)| format!("{name}?"))).collect::<Vec<_>>().join(", ")
}

/// The two tables of the document.
fn tables() -> String {
    let schema = schema();
    let mut text = "| method | any of the scopes | parameters | result |\n|---|---|---|---|\n".to_owned();
    for (name, method) in schema["methods"].as_object().expect("methods") {
        let scopes: Vec<&str> =
            method["scopes"].as_array().expect("scopes").iter().filter_map(Value::as_str).collect();
        let (params, result) = (cell(&schema, &method["params"]), cell(&schema, &method["result"]));
        text += &format!("| `{name}` | {} | {params} | {result} |\n", scopes.join(", "));
    }
    text += "\n| event | critical | payload |\n|---|---|---|\n";
    for (name, event) in schema["events"].as_object().expect("events") {
        let critical = if event["critical"] == true { "yes" } else { "" };
        text += &format!("| `{name}` | {critical} | {} |\n", cell(&schema, &event["payload"]));
    }
    text
}

#[test]
fn the_protocol_document_is_generated_from_the_registry() {
    let path = root().join("docs/PROTOCOL.md");
    let document = fs::read_to_string(&path).expect("docs/PROTOCOL.md");
    let (before, rest) = document.split_once(BEGIN).expect("the mark where the generated part begins");
    let (found, after) = rest.split_once(END).expect("the mark where it ends");
    let expected = tables();
    if std::env::var("BLESS").is_ok() {
        fs::write(&path, format!("{before}{BEGIN}{expected}{END}{after}")).expect("a writable document");
    } else {
        assert!(found == expected, "docs/PROTOCOL.md is behind the registry; it should say\n{expected}");
    }
}
