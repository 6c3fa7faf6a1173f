//! No rule that docs/RULES.md calls done without a test that bears its id.

use super::{Violation, assert_none, root, source::Source};
use std::{collections::BTreeSet, fs};

/// One row of the table: `| EX03 | … | done | test names |`.
struct Row<'a> {
    line: usize,
    id: &'a str,
    state: &'a str,
    tests: Vec<&'a str>,
}

fn rows(document: &str) -> Vec<Row<'_>> {
    document
        .lines()
        .enumerate()
        .filter_map(|(index, line)| {
            let cells: Vec<&str> = line.strip_prefix('|')?.split('|').map(str::trim).collect();
            let [id, _, state, shown_by, ..] = cells[..] else { return None };
            is_rule_id(id).then(|| Row { line: index + 1, id, state, tests: named(shown_by) })
        })
        .collect()
}

/// Two upper-case letters and two digits.
fn is_rule_id(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() == 4
        && bytes[..2].iter().all(u8::is_ascii_uppercase)
        && bytes[2..].iter().all(u8::is_ascii_digit)
}

/// The names in backquotes.
fn named(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// Names of all functions under `#[test]` or `#[tokio::test]`, also inside of `proptest!`.
fn test_functions(sources: &[Source]) -> BTreeSet<String> {
    sources
        .iter()
        .flat_map(|source| {
            let marks = ["#[test]", "#[tokio::test"].into_iter();
            marks.flat_map(|mark| source.code.match_indices(mark)).map(|(at, _)| &source.code[at..])
        })
        .filter_map(|after| {
            let name = after[after.find("fn ")? + 3..].split('(').next()?;
            Some(name.trim().to_owned())
        })
        .collect()
}

fn undone(document: &str, tests: &BTreeSet<String>) -> Vec<Violation> {
    let rows = rows(document);
    let violation = |line, what| Violation { path: "docs/RULES.md".to_owned(), line, what };
    let mut violations = Vec::new();
    for row in &rows {
        let bears = |test: &str| test.contains(&format!("{}_", row.id.to_lowercase()));
        match row.state {
            "done" | "part" => {
                if !tests.iter().any(|test| bears(test)) {
                    let what = format!(
                        "{} is called {} but no test's name holds `{}_`",
                        row.id,
                        row.state,
                        row.id.to_lowercase()
                    );
                    violations.push(violation(row.line, what));
                }
                if row.tests.is_empty() {
                    violations.push(violation(row.line, format!("{} names no test", row.id)));
                }
            }
            "planned" => {}
            other => violations.push(violation(row.line, format!("{}: unknown state `{other}`", row.id))),
        }
        for test in row.tests.iter().filter(|test| !tests.contains(**test)) {
            violations.push(violation(row.line, format!("{} names `{test}`, which is no test", row.id)));
        }
        if rows.iter().filter(|other| other.id == row.id).count() > 1 {
            violations.push(violation(row.line, format!("{} has two rows", row.id)));
        }
    }
    violations
}

#[test]
fn every_rule_that_is_done_has_its_test() {
    let document = fs::read_to_string(root().join("docs/RULES.md")).expect("docs/RULES.md");
    assert!(rows(&document).len() > 90, "docs/RULES.md lists every rule");
    assert_none(&undone(&document, &test_functions(&Source::all(&root()))));
}

#[test]
fn a_rule_without_its_test_is_found() {
    let code = Source::new("src/x.rs", "#[test]\nfn ex03_gap_fills_at_open() {}\nfn ex04_helper() {}");
    let tests = test_functions(&[code]);
    for (row, expected) in [
        ("| EX03 | gaps | done | `ex03_gap_fills_at_open` |", &[][..]),
        ("| EX04 | gaps | planned | |", &[]),
        ("| EX04 | gaps | done | `ex03_gap_fills_at_open` |", &["no test's name holds `ex04_`"]),
        ("| EX03 | gaps | done | |", &["EX03 names no test"]),
        ("| EX03 | gaps | done | `ex03_other` |", &["`ex03_other`, which is no test"]),
        ("| EX03 | gaps | finished | |", &["unknown state `finished`"]),
    ] {
        let found: Vec<String> = undone(row, &tests).iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), expected.len(), "{row}: {found:?}");
        assert!(found.iter().zip(expected).all(|(a, b)| a.contains(b)), "{row}: {found:?}");
    }
}
