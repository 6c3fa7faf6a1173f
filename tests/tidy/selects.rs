//! No unbiased `select!`: its order would come from a process-wide random number.

use super::{Violation, assert_clean, assert_finds, source::Source};

fn unbiased_select(source: &Source) -> Vec<Violation> {
    source
        .code
        .match_indices("select!")
        .filter(|(at, _)| {
            let after = source.code[at + "select!".len()..].trim_start();
            // tidy's own text and `use tokio::select` have no body
            let body = after.strip_prefix('{').or_else(|| after.strip_prefix('('));
            body.is_some_and(|body| !body.trim_start().starts_with("biased;"))
        })
        .map(|(at, _)| source.violation(at, "`select!` without `biased;` as its first token"))
        .collect()
}

#[test]
fn every_select_is_biased() {
    assert_clean(unbiased_select);
}

#[test]
fn an_unbiased_select_is_found() {
    let found = "without `biased;`";
    for (text, expected) in [
        ("tokio::select! { a = b => {}, }", &[found][..]),
        ("select! {\n  // biased;\n  a = b => {}, }", &[found]),
        ("select! {\n    biased;\n    a = b => {}, }", &[]),
        ("use tokio::select;", &[]),
    ] {
        assert_finds(unbiased_select, "src/node/writer.rs", text, expected);
        assert_finds(unbiased_select, "sim/src/world.rs", text, expected);
    }
}
