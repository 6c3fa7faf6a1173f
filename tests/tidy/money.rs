//! No multiplication, division or rounding of decimals outside `src/domain/money.rs` (DM02).

use super::{
    Violation, assert_clean, assert_finds,
    source::{Source, is_word, words},
};
use std::collections::BTreeSet;

const HOME: &str = "src/domain/money.rs";
/// Methods that only decimals have.
const DECIMAL_METHODS: [&str; 7] = [
    "round_dp",
    "round_dp_with_strategy",
    "round_sf",
    "trunc_with_scale",
    "rescale",
    "MathematicalOps",
    "RoundingStrategy",
];
/// Methods that integers have too; allowed in a statement that names an integer type.
const SHARED_METHODS: [&str; 4] = ["checked_mul", "checked_div", "checked_rem", "saturating_mul"];
const INTEGERS: [&str; 6] = ["i64", "u64", "i128", "u128", "u32", "usize"];

fn decimal_arithmetic(source: &Source) -> Vec<Violation> {
    let code = &source.production;
    if source.path == HOME || !source.path.starts_with("src/") || !words(code).any(|(_, w)| w == "Decimal") {
        return Vec::new();
    }
    let decimals = declared_decimals(code);
    let methods = words(code)
        .filter(|(at, word)| {
            DECIMAL_METHODS.contains(word) || SHARED_METHODS.contains(word) && !names_an_integer(code, *at)
        })
        .map(|(at, word)| source.violation(at, format!("`{word}` beside decimals belongs into {HOME}")));
    let operators = code.match_indices(['*', '/']).filter(|(at, _)| {
        let (left, right) = (code[..*at].trim_end(), code[at + 1..].trim_start_matches(['=', ' ', '\n']));
        // `&*x`, `(*x` and `use a::*` are no products
        let binary = left.ends_with(|c| is_word(c) || c == ')' || c == '?' || c == ']');
        binary && (ends_decimal(left, &decimals) || starts_decimal(right, &decimals))
    });
    let operators = operators
        .map(|(at, sign)| source.violation(at, format!("`{sign}` between decimals belongs into {HOME}")));
    methods.chain(operators).collect()
}

/// Whether the statement around a position names an integer type.
fn names_an_integer(code: &str, at: usize) -> bool {
    let ends = [';', '{', '}'];
    let start = code[..at].rfind(ends).map_or(0, |n| n + 1);
    let end = code[at..].find(ends).map_or(code.len(), |n| at + n);
    words(&code[start..end]).any(|(_, word)| INTEGERS.iter().any(|integer| word.ends_with(integer)))
}

/// Names that this file declares as `name: Decimal`.
fn declared_decimals(code: &str) -> BTreeSet<&str> {
    code.match_indices(": Decimal")
        .filter_map(|(at, _)| {
            let start = code[..at].rfind(|c| !is_word(c)).map_or(0, |n| n + 1);
            (start < at).then(|| &code[start..at])
        })
        .collect()
}

fn ends_decimal(left: &str, decimals: &BTreeSet<&str>) -> bool {
    let bare = left.trim_end_matches(['?', ')', '(']);
    let start = bare.rfind(|c| !is_word(c)).map_or(0, |n| n + 1);
    let constant = bare[..start].ends_with("Decimal::");
    let called = left.ends_with(')');
    constant || (called && &bare[start..] == "amount") || (!called && decimals.contains(&bare[start..]))
}

fn starts_decimal(right: &str, decimals: &BTreeSet<&str>) -> bool {
    let end = right.find(|c| !(is_word(c) || c == '.' || c == ':')).unwrap_or(right.len());
    let path = &right[..end];
    let last = path.rsplit(['.', ':']).next().unwrap_or(path);
    path.starts_with("Decimal::") || last == "amount" || decimals.contains(last)
}

#[test]
fn decimals_are_multiplied_in_one_module() {
    assert_clean(decimal_arithmetic);
}

#[test]
fn planted_decimal_arithmetic_is_found() {
    for (text, expected) in [
        ("fn f(a: Decimal, n: u8) { a * b }", &["`*` between decimals"][..]),
        ("fn f(a: Decimal, n: u8) { n / a }", &["`/` between decimals"]),
        ("fn f(a: Decimal) { x / self.a }", &["`/` between decimals"]),
        ("fn f(a: Decimal) { a /= 2 }", &["`/` between decimals"]),
        ("fn f() { x * Decimal::from(2) }", &["`*` between decimals"]),
        ("fn f() { Decimal::TEN * x }", &["`*` between decimals"]),
        ("use rust_decimal::Decimal; fn f() { money.amount() / 2 }", &["`/` between decimals"]),
        ("fn f(a: Decimal) { a.checked_div(b) }", &["`checked_div` beside decimals"]),
        ("fn f(a: Decimal) { a.round_dp(2) }", &["`round_dp` beside decimals"]),
        ("use rust_decimal::{Decimal, MathematicalOps};", &["`MathematicalOps` beside decimals"]),
        ("fn f(a: Decimal, n: i64) { n * 2; &*a; (*a).x; a + a } // a * b", &[]),
        ("fn f(n: i64) { n.checked_mul(2) }", &[]),
        ("fn f(a: Decimal) { i128::from(n).checked_mul(2) }", &[]),
        ("fn f(a: Decimal) { n.checked_mul(i128::from(2)) }", &[]),
        ("fn f(a: Decimal) { n.checked_mul(10_i128) }", &[]),
    ] {
        assert_finds(decimal_arithmetic, "src/venue/broker.rs", text, expected);
        assert_finds(decimal_arithmetic, HOME, text, &[]);
    }
}
