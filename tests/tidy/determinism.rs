//! No clock, thread, task, file, socket, randomness, float or hash order in the deterministic layers.

use super::{
    Violation, assert_clean, assert_finds,
    source::{Source, is_word, words},
};

/// Layers whose results may depend on nothing but their arguments.
const DETERMINISTIC: [&str; 5] = ["src/domain", "src/strategy", "src/core", "src/venue", "src/machine"];
/// Layers that stay free of an asynchronous runtime.
const BLOCKING: [&str; 2] = ["src/quotes", "src/backtest"];
/// The one place where floats decide: `+ - * /` and `sqrt` only, so equal on every host.
const FLOATS_ALLOWED: &str = "src/strategy/indicators";

const FORBIDDEN: [(&str, &str); 25] = [
    ("SystemTime", "a clock"),
    ("Instant", "a clock"),
    ("Zoned", "a clock"),
    ("thread", "a thread"),
    ("thread_local", "a thread"),
    ("async", "a task"),
    ("await", "a task"),
    ("tokio", "a task"),
    ("madsim", "a task"),
    ("Mutex", "a lock"),
    ("RwLock", "a lock"),
    ("OnceLock", "state outside the machine"),
    ("LazyLock", "state outside the machine"),
    ("atomic", "state outside the machine"),
    ("HashMap", "hash order"),
    ("HashSet", "hash order"),
    ("RandomState", "hash order"),
    ("getrandom", "randomness"),
    ("rand", "randomness"),
    ("fs", "a file"),
    ("net", "a socket"),
    ("env", "the environment"),
    ("println", "output"),
    ("eprintln", "output"),
    ("unsafe", "unsafe code"),
];
const FLOATS: [&str; 2] = ["f32", "f64"];

fn within(source: &Source, layers: &[&str]) -> bool {
    layers.iter().any(|layer| {
        source.path.strip_prefix(layer).is_some_and(|rest| rest.starts_with('/') || rest == ".rs")
    })
}

fn nondeterminism(source: &Source) -> Vec<Violation> {
    if !within(source, &DETERMINISTIC) {
        return Vec::new();
    }
    let code = &source.production;
    let mut violations: Vec<Violation> = words(code)
        .filter_map(|(at, word)| {
            let (_, what) = FORBIDDEN.iter().find(|(forbidden, _)| *forbidden == word)?;
            // a word that is a field, method or variable of ours, not a path of the standard library
            let path = word.starts_with(char::is_uppercase)
                || matches!(word, "async" | "await" | "unsafe" | "tokio" | "madsim")
                || code[at + word.len()..].starts_with("::")
                || code[at + word.len()..].starts_with('!')
                || code[..at].ends_with("std::");
            path.then(|| source.violation(at, format!("`{word}` is {what} in a deterministic layer")))
        })
        .collect();
    violations.extend(
        code.match_indices("Timestamp::now")
            .map(|(at, _)| source.violation(at, "`Timestamp::now` is a clock")),
    );
    if !source.path.starts_with(FLOATS_ALLOWED) {
        violations.extend(
            floats(code).map(|(at, word)| {
                source.violation(at, format!("`{word}` is a float in a deterministic layer"))
            }),
        );
    }
    violations
}

/// Float types and float literals such as `1.5`; not ranges (`0..5`) and not tuple fields (`a.0.1`).
fn floats(code: &str) -> impl Iterator<Item = (usize, &str)> {
    words(code).filter(|(at, word)| {
        if FLOATS.contains(word) {
            return true;
        }
        let digits = word.starts_with(|c: char| c.is_ascii_digit());
        let after = &code[at + word.len()..];
        let fraction = after.strip_prefix('.').is_some_and(|rest| {
            rest.starts_with(|c: char| c.is_ascii_digit()) || !rest.starts_with(|c| is_word(c) || c == '.')
        });
        digits && !code[..*at].ends_with('.') && (fraction || word.ends_with("f64") || word.ends_with("f32"))
    })
}

fn runtime_in_blocking_layers(source: &Source) -> Vec<Violation> {
    if !within(source, &BLOCKING) {
        return Vec::new();
    }
    words(&source.production)
        .filter(|(_, word)| ["tokio", "madsim", "async", "await"].contains(word))
        .map(|(at, word)| source.violation(at, format!("`{word}` in a layer without a runtime")))
        .collect()
}

#[test]
fn the_deterministic_layers_are_pure() {
    assert_clean(nondeterminism);
}

#[test]
fn quotes_and_backtest_know_no_runtime() {
    assert_clean(runtime_in_blocking_layers);
}

#[test]
fn a_planted_impurity_is_found() {
    for (text, expected) in [
        ("let t = std::time::Instant::now();", &["`Instant` is a clock"][..]),
        ("use std::time::SystemTime;", &["`SystemTime` is a clock"]),
        ("let t = jiff::Timestamp::now();", &["`Timestamp::now` is a clock"]),
        ("std::thread::sleep(d);", &["`thread` is a thread"]),
        ("use std::collections::{BTreeMap, HashMap};", &["`HashMap` is hash order"]),
        ("let x: f64;", &["`f64` is a float"]),
        ("let x = 1.5;", &["`1` is a float"]),
        ("let x = 2.;", &["`2` is a float"]),
        ("let x = 1f64;", &["`1f64` is a float"]),
        ("use std::fs::File;", &["`fs` is a file"]),
        ("use tokio::sync::mpsc;", &["`tokio` is a task"]),
        ("fn x(thread: u8, rand: u8) { for i in 0..5 { a.0.1; 1.max(2); } } // HashMap f64 1.5", &[]),
        ("#[cfg(test)] mod tests { use std::collections::HashMap; }", &[]),
    ] {
        for path in ["src/core/engine.rs", "src/machine.rs", "src/strategy/sma_cross.rs"] {
            assert_finds(nondeterminism, path, text, expected);
        }
        assert_finds(nondeterminism, "src/node/writer.rs", text, &[]);
    }
    assert_finds(nondeterminism, "src/strategy/indicators/sma.rs", "let x: f64 = 1.5;", &[]);
    assert_finds(nondeterminism, "src/strategy/indicators.rs", "let x: f64 = 1.5;", &[]);
}

#[test]
fn a_planted_runtime_is_found() {
    let found = "in a layer without a runtime";
    assert_finds(runtime_in_blocking_layers, "src/backtest/run.rs", "use tokio::sync::mpsc;", &[found]);
    assert_finds(runtime_in_blocking_layers, "src/quotes/csv.rs", "async fn x() {}", &[found]);
    assert_finds(runtime_in_blocking_layers, "src/node/feed.rs", "use tokio::sync::mpsc;", &[]);
}
