//! What must never be in this repository, checked over its source text.
//!
//! Each check is a function from source text to violations; beside it stands a test that plants a
//! violation and sees it found. Length and naming are judgement and are not checked.

mod determinism;
mod imports;
mod money;
mod rules;
mod selects;
mod source;
mod tree;

use source::Source;
use std::{
    fmt,
    path::{Path, PathBuf},
};

/// One place that breaks a rule of the house.
#[derive(Debug, PartialEq, Eq)]
struct Violation {
    path: String,
    line: usize,
    what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}

/// Runs one check over every Rust file of the repository and lists all that it finds.
#[track_caller]
fn assert_clean(check: impl Fn(&Source) -> Vec<Violation>) {
    let sources = Source::all(&root());
    assert!(sources.len() > 20, "only {} Rust files found below {}", sources.len(), root().display());
    assert_none(&sources.iter().flat_map(check).collect::<Vec<_>>());
}

#[track_caller]
fn assert_none(violations: &[Violation]) {
    let list: Vec<String> = violations.iter().map(ToString::to_string).collect();
    assert!(list.is_empty(), "{} violations:\n{}", list.len(), list.join("\n"));
}

/// Plants `text` as the file `path` and expects exactly the violations whose text holds `found`.
#[track_caller]
fn assert_finds(check: impl Fn(&Source) -> Vec<Violation>, path: &str, text: &str, found: &[&str]) {
    let violations = check(&Source::new(path, text));
    let list: Vec<String> = violations.iter().map(ToString::to_string).collect();
    assert_eq!(list.len(), found.len(), "{path}: {text}\nfound: {list:?}");
    for (violation, expected) in list.iter().zip(found) {
        assert!(violation.contains(expected), "`{violation}` does not name `{expected}`");
    }
}
