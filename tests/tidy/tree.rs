//! Nothing joins the top level of the repository.

use super::root;
use std::fs;

const TOP_LEVEL: [&str; 12] = [
    "Cargo.toml",
    "Cargo.lock",
    "clippy.toml",
    "README.md",
    "CHANGELOG.md",
    "LICENSE",
    "docs",
    "scenarios",
    "sim",
    "snapshots",
    "src",
    "tests",
];

/// Entries that are neither on the list, nor hidden, nor ignored by version control.
fn strangers<'a>(entries: &[&'a str], ignored: &[&str]) -> Vec<&'a str> {
    entries
        .iter()
        .copied()
        .filter(|entry| !entry.starts_with('.') && !TOP_LEVEL.contains(entry) && !ignored.contains(entry))
        .collect()
}

#[test]
fn the_top_level_is_the_one_that_was_chosen() {
    let entries: Vec<String> = fs::read_dir(root())
        .expect("the repository")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    let entries: Vec<&str> = entries.iter().map(String::as_str).collect();
    let ignored = fs::read_to_string(root().join(".gitignore")).expect("a .gitignore");
    let ignored: Vec<&str> = ignored.lines().filter_map(|line| line.strip_prefix('/')).collect();
    assert_eq!(strangers(&entries, &ignored), Vec::<&str>::new(), "not on the list of tests/tidy/tree.rs");
}

#[test]
fn a_planted_entry_is_found() {
    let entries = ["src", "benches", ".git", "target", "TODO.md"];
    assert_eq!(strangers(&entries, &["target"]), ["benches", "TODO.md"]);
}
