//! No import against the arrows of the layers.

use super::{
    Violation, assert_clean, assert_finds, root,
    source::{Source, is_word},
};

/// Each layer of `src` and what it may import besides itself. The order is the reading order.
const LAYERS: [(&str, &[&str]); 12] = [
    ("domain", &[]),
    ("strategy", &["domain"]),
    ("core", &["domain", "strategy"]),
    ("venue", &["domain", "strategy", "core"]),
    ("machine", &["domain", "strategy", "core", "venue"]),
    ("quotes", &["domain"]),
    ("backtest", &["domain", "strategy", "core", "venue", "machine", "quotes"]),
    ("node", &["domain", "strategy", "core", "venue", "machine", "quotes"]),
    ("gateway", &["domain", "strategy", "core", "venue", "machine", "node"]),
    ("broker", &["domain", "strategy", "core", "venue", "machine", "node"]),
    ("serve", &["domain", "strategy", "core", "venue", "machine", "quotes", "node", "gateway", "broker"]),
    // the command line: starts any driver
    (
        "cli",
        &["domain", "strategy", "core", "venue", "machine", "quotes", "backtest", "node", "gateway", "serve"],
    ),
];

/// Parts of the engine that never import each other; what they share lies beside them in `core`.
const STRANGERS: [&str; 4] = ["execution", "risk", "copytrade", "automation"];

/// A benchmark of the package `sim`; all benchmarks lie in one folder.
const SIM_BENCHMARK: &str = "tests/bench/scenarios.rs";

/// What an oracle must not share with what it judges.
const JUDGED: [&str; 9] =
    ["core", "venue", "machine", "backtest", "node", "gateway", "broker", "strategy", "serve"];

fn against_the_arrows(source: &Source) -> Vec<Violation> {
    let Some(module) = module_of(&source.path) else { return Vec::new() };
    let Some(layer) = module.first().copied() else { return Vec::new() };
    let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == layer) else {
        return vec![
            source.violation(0, format!("`{layer}` is in no layer: name it in tests/tidy/imports.rs")),
        ];
    };
    paths(&source.production, &module)
        .filter_map(|(at, path)| {
            let target = path.first().copied()?;
            let is_layer = LAYERS.iter().any(|(name, _)| *name == target);
            if is_layer && target != layer && !allowed.contains(&target) {
                return Some(source.violation(at, format!("`{layer}` imports `{target}`")));
            }
            let (own, other) = (module.get(1).copied()?, path.get(1).copied()?);
            let strangers = layer == "core" && target == "core" && own != other;
            (strangers && STRANGERS.contains(&own) && STRANGERS.contains(&other))
                .then(|| source.violation(at, format!("`core::{own}` imports `core::{other}`")))
        })
        .collect()
}

fn sim_is_imported(source: &Source) -> Vec<Violation> {
    if source.path.starts_with("sim/") || source.path == SIM_BENCHMARK {
        return Vec::new();
    }
    super::source::words(&source.code)
        .filter(|(_, word)| ["lockstep_sim", "madsim"].contains(word))
        .filter(|(at, word)| !(*word == "madsim" && source.code[..*at].ends_with("cfg(")))
        .map(|(at, word)| source.violation(at, format!("`{word}` outside of the simulator")))
        .collect()
}

fn oracle_shares_code(source: &Source) -> Vec<Violation> {
    let oracle = source.path.starts_with("sim/src/oracle/") || source.path == "sim/src/oracle.rs";
    if !oracle {
        return Vec::new();
    }
    paths_below("lockstep::", &source.production)
        .filter(|(_, path)| {
            path.first().is_some_and(|first| JUDGED.contains(first)) || path.starts_with(&["domain", "money"])
        })
        .map(|(at, path)| {
            source
                .violation(at, format!("an oracle imports `lockstep::{}`, which it judges", path.join("::")))
        })
        .collect()
}

/// The module of a file of the library, as a path: `src/core/risk/mod.rs` is `core::risk`.
fn module_of(path: &str) -> Option<Vec<&str>> {
    let mut parts: Vec<&str> = path.strip_prefix("src/")?.strip_suffix(".rs")?.split('/').collect();
    if parts.last() == Some(&"mod") {
        parts.pop();
    }
    (parts != ["lib"] && parts != ["main"]).then_some(parts)
}

/// Every path into this crate, from its root, with the position where it begins.
fn paths<'a>(code: &'a str, module: &'a [&'a str]) -> impl Iterator<Item = (usize, Vec<&'a str>)> {
    let relative =
        super::source::words(code).filter(|(_, word)| *word == "super").filter_map(move |(at, _)| {
            if code[..at].ends_with("super::") {
                return None;
            }
            let mut rest = &code[at..];
            let mut up = 0;
            while let Some(after) = rest.strip_prefix("super::") {
                (rest, up) = (after, up + 1);
            }
            let base = &module[..module.len().saturating_sub(up)];
            let tails = tree(rest);
            Some(tails.into_iter().map(move |tail| (at, [base, &tail[..]].concat())).collect::<Vec<_>>())
        });
    paths_below("crate::", code).chain(relative.flatten())
}

fn paths_below<'a>(prefix: &'a str, code: &'a str) -> impl Iterator<Item = (usize, Vec<&'a str>)> {
    code.match_indices(prefix)
        .filter(|(at, _)| !code[..*at].ends_with(is_word))
        .flat_map(move |(at, _)| tree(&code[at + prefix.len()..]).into_iter().map(move |path| (at, path)))
}

/// The paths of a use tree or of a plain path: `a::{b, c::d}` is `a::b` and `a::c::d`.
fn tree(code: &str) -> Vec<Vec<&str>> {
    let code = code.trim_start();
    let Some(inner) = code.strip_prefix('{') else {
        let end = code.find(|c| !is_word(c)).unwrap_or(code.len());
        let (head, rest) = code.split_at(end);
        if head.is_empty() {
            return Vec::new();
        }
        let Some(rest) = rest.strip_prefix("::") else { return vec![vec![head]] };
        let tails = tree(rest);
        if tails.is_empty() {
            return vec![vec![head]];
        }
        return tails.into_iter().map(|tail| [&[head], &tail[..]].concat()).collect();
    };
    branches(inner).into_iter().flat_map(tree).collect()
}

/// The comma-separated parts of a brace group, up to the brace that closes it.
fn branches(inner: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, c) in inner.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                parts.push(&inner[start..at]);
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&inner[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts
}

#[test]
fn imports_only_point_up() {
    assert_clean(against_the_arrows);
}

#[test]
fn nothing_imports_the_simulator() {
    assert_clean(sim_is_imported);
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).expect("a manifest");
    let package = manifest.split("[dependencies]").nth(1).expect("the root package has dependencies");
    assert!(!package.contains("madsim.") && !package.contains("lockstep-sim"), "the product depends on sim");
}

#[test]
fn oracles_share_nothing_with_what_they_judge() {
    assert_clean(oracle_shares_code);
}

#[test]
fn a_planted_import_is_found() {
    for (path, text, expected) in [
        ("src/domain/order.rs", "use crate::core::Engine;", &["`domain` imports `core`"][..]),
        (
            "src/core/engine.rs",
            "use crate::{domain::order::Order, venue::{Broker, x}};",
            &["`core` imports `venue`", "`core` imports `venue`"],
        ),
        ("src/core/engine.rs", "fn f() { crate::machine::Machine::new(); }", &["`core` imports `machine`"]),
        ("src/core/mod.rs", "use super::venue::Broker;", &["`core` imports `venue`"]),
        ("src/core/risk/mod.rs", "use super::super::gateway::x;", &["`core` imports `gateway`"]),
        ("src/core/risk/mod.rs", "use super::execution::x;", &["`core::risk` imports `core::execution`"]),
        (
            "src/core/execution.rs",
            "use crate::core::risk::Gate;",
            &["`core::execution` imports `core::risk`"],
        ),
        ("src/backtest/run.rs", "use crate::node::Handle;", &["`backtest` imports `node`"]),
        ("src/node/writer.rs", "use crate::gateway::run;", &["`node` imports `gateway`"]),
        ("src/quotes/csv.rs", "use crate::machine::Machine;", &["`quotes` imports `machine`"]),
        ("src/helpers.rs", "fn f() {}", &["`helpers` is in no layer"]),
        ("src/core/engine.rs", "use super::risk; use crate::{domain::{id, money}, strategy};", &[]),
        ("src/core/engine.rs", "#[cfg(test)] mod tests { use crate::machine::Machine; }", &[]),
        ("src/main.rs", "use lockstep::serve::serve;", &[]),
    ] {
        assert_finds(against_the_arrows, path, text, expected);
    }
    let planted = "use lockstep_sim::world; use madsim::time;";
    assert_finds(sim_is_imported, "src/node/feed.rs", planted, &["`lockstep_sim`", "`madsim`"]);
    assert_finds(sim_is_imported, "src/lib.rs", "#[cfg(madsim)] fn f() {}", &[]);
    assert_finds(sim_is_imported, "sim/src/world.rs", planted, &[]);
    for (text, expected) in [
        ("use lockstep::{domain::id::OrderId, core::Engine};", &["`lockstep::core::Engine`"][..]),
        ("use lockstep::domain::money::Exact;", &["`lockstep::domain::money::Exact`"]),
        ("use crate::trace::Record; use lockstep::domain::id::OrderId;", &[]),
    ] {
        assert_finds(oracle_shares_code, "sim/src/oracle/ledger.rs", text, expected);
        assert_finds(oracle_shares_code, "sim/src/world.rs", text, &[]);
    }
}
