//! Exact arithmetic of the oracles: decimals as `i128` in units of 10^-8.

use serde_json::Value;

const DIGITS: u32 = 8;
/// One.
pub const ONE: i128 = 10_i128.pow(DIGITS);
/// A cent.
const CENT: i128 = ONE / 100;

/// Reads a decimal, as JSON string or number. `None` if it is none or finer than 10^-8.
pub fn units(value: &Value) -> Option<i128> {
    match value {
        Value::String(text) => parse(text),
        Value::Number(number) => parse(&number.to_string()),
        _ => None,
    }
}

/// Reads a decimal text.
pub fn parse(text: &str) -> Option<i128> {
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let fraction = fraction.trim_end_matches('0');
    let missing = (DIGITS as usize).checked_sub(fraction.len())?;
    let number: i128 = format!("{whole}{fraction}{}", "0".repeat(missing)).parse().ok()?;
    Some(if negative { -number } else { number })
}

/// For people.
pub fn show(units: i128) -> String {
    let sign = if units < 0 { "-" } else { "" };
    let (whole, fraction) =
        (units.unsigned_abs() / ONE.unsigned_abs(), units.unsigned_abs() % ONE.unsigned_abs());
    let text = format!("{sign}{whole}.{fraction:08}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The product of two, rounded to cents, halves away from zero.
pub const fn times_in_cents(a: i128, b: i128) -> i128 {
    in_cents(a * b)
}

/// A product of two, which is in units of 10^-16, rounded to cents, halves away from zero.
pub const fn in_cents(product: i128) -> i128 {
    let cent = CENT * ONE;
    let half = if product < 0 { -cent / 2 } else { cent / 2 };
    (product + half) / cent * CENT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_read_exactly() {
        for (text, expected) in
            [("1", ONE), ("-0.01", -CENT), ("64000.125", 64_000_125 * ONE / 1_000), ("0", 0)]
        {
            assert_eq!(parse(text), Some(expected), "{text}");
            assert_eq!(parse(&show(expected)), Some(expected), "{text}");
        }
        assert_eq!(parse("0.000000001"), None);
        assert_eq!(parse("1e3"), None);
    }

    #[test]
    fn halves_of_a_cent_go_away_from_zero() {
        let product = |a: &str, b: &str| {
            show(times_in_cents(parse(a).expect("a decimal"), parse(b).expect("a decimal")))
        };
        assert_eq!(product("0.5", "0.01"), "0.01");
        assert_eq!(product("-0.5", "0.01"), "-0.01");
        assert_eq!(product("0.49", "0.01"), "0");
        assert_eq!(product("3.5", "0.07"), "0.25");
    }
}
