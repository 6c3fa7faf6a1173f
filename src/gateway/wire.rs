//! Values as clients write them: decimals exactly as spelled, instants in two forms, and parameters
//! whose errors name the JSON path.

use crate::domain::{
    message::{ErrorCode, Refusal},
    time::UnixNanos,
};
use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de::DeserializeOwned, de::Error as _};
use serde_json::value::RawValue;

/// A decimal, written as a JSON string or number and read from the very characters: no binary
/// floating point on the way. Trailing zeros are dropped, so that equal values are equal bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WireDecimal(pub Decimal);

impl<'de> Deserialize<'de> for WireDecimal {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(d)?;
        let lexeme = raw.get();
        let text = match lexeme.as_bytes().first() {
            Some(b'"') => serde_json::from_str::<String>(lexeme).map_err(D::Error::custom)?,
            Some(b'-' | b'0'..=b'9') => lexeme.to_owned(),
            _ => return Err(D::Error::custom("expected a decimal as a JSON string or number")),
        };
        parse_decimal(&text).map(Self).ok_or_else(|| {
            D::Error::custom("not a decimal of at most 28 digits: write it such as \"1.25\" or 1.25")
        })
    }
}

impl JsonSchema for WireDecimal {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "WireDecimal".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": ["string", "number"],
            "pattern": r"^-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?$",
            "description": "A decimal, read exactly from its characters.",
        })
    }
}

/// Reads JSON's number grammar exactly. `None` if it is not a number or does not fit.
fn parse_decimal(text: &str) -> Option<Decimal> {
    const DIGITS: usize = 28;
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (negative, unsigned) = match mantissa.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, mantissa),
    };
    let (whole, fraction) = match unsigned.split_once('.') {
        Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
        Some(_) => return None,
        None => (unsigned, ""),
    };
    if whole.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
        return None;
    }
    let digits: String = whole.chars().chain(fraction.chars()).collect();
    let significant = digits.trim_start_matches('0').trim_end_matches('0');
    if significant.is_empty() {
        return Some(Decimal::ZERO);
    }
    if significant.len() > DIGITS {
        return None;
    }
    let dropped = digits.len() - digits.trim_end_matches('0').len();
    let scale = i64::try_from(fraction.len()).ok()? - i64::from(exponent) - i64::try_from(dropped).ok()?;
    let zeros = usize::try_from((-scale).max(0)).ok().filter(|zeros| significant.len() + zeros <= DIGITS)?;
    let value: i128 = format!("{significant}{}", "0".repeat(zeros)).parse().ok()?;
    let scale = u32::try_from(scale.max(0)).ok()?;
    let signed = if negative { -value } else { value };
    Decimal::try_from_i128_with_scale(signed, scale).ok()
}

/// A field that may be absent, `null`, or a decimal: three different wishes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WireChange {
    /// Absent: as it is.
    #[default]
    Keep,
    /// `null`: none.
    Remove,
    Set(Decimal),
}

impl<'de> Deserialize<'de> for WireChange {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Ok(Option::<WireDecimal>::deserialize(d)?.map_or(Self::Remove, |decimal| Self::Set(decimal.0)))
    }
}

impl JsonSchema for WireChange {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "WireChange".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let decimal = generator.subschema_for::<WireDecimal>();
        schemars::json_schema!({ "anyOf": [decimal, { "type": "null" }] })
    }
}

/// An instant, written as RFC 3339 or as epoch milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WireTime(pub UnixNanos);

impl<'de> Deserialize<'de> for WireTime {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected RFC 3339 or epoch milliseconds")]
        enum Form {
            Millis(i64),
            Text(String),
        }
        match Form::deserialize(d)? {
            Form::Millis(ms) => Ok(Self(UnixNanos::from_millis(ms))),
            Form::Text(text) => UnixNanos::parse(&text)
                .map(Self)
                .ok_or_else(|| D::Error::custom("not an instant: write it such as \"2026-02-17T02:55:00Z\"")),
        }
    }
}

impl JsonSchema for WireTime {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "WireTime".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "anyOf": [{ "type": "string", "format": "date-time" }, { "type": "integer" }],
            "description": "RFC 3339, or milliseconds since the epoch.",
        })
    }
}

/// A credential. It is in no message, not even in that of its own error.
#[derive(JsonSchema)]
#[schemars(transparent)]
pub struct Secret(String);

impl Secret {
    /// The credential itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(d)?;
        serde_json::from_str(raw.get()).map(Self).map_err(|_| D::Error::custom("expected a string"))
    }
}

/// Reads parameters. What is missing or of the wrong type is named by its JSON path.
pub fn parse_params<P: DeserializeOwned>(raw: &RawValue) -> Result<P, Refusal> {
    let mut json = serde_json::Deserializer::from_str(raw.get());
    serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let text = error.inner().to_string();
        // serde states the field of a missing one in its message only
        match text.strip_prefix("missing field `").and_then(|rest| rest.split('`').next()) {
            Some(field) if path == "." => missing(field),
            Some(field) => missing(&format!("{path}.{field}")),
            None => invalid("WRONG_TYPE", &path, &shown(&text)),
        }
    })
}

/// An error without its position, which means nothing to the sender of a frame, and not longer than
/// a person reads: it may quote what was sent.
fn shown(text: &str) -> String {
    const CHARS: usize = 300;
    text.rfind(" at line ").map_or(text, |end| &text[..end]).chars().take(CHARS).collect()
}

/// `INVALID_PARAMS` about one parameter.
pub fn invalid(reason: &str, path: &str, why: &str) -> Refusal {
    Refusal::new(ErrorCode::InvalidParams, reason, format!("`{path}`: {why}")).with("path", path)
}

/// A parameter that is required here is missing.
pub fn missing(path: &str) -> Refusal {
    invalid("FIELD_MISSING", path, "is required")
}

/// Two parameters contradict each other.
pub fn conflict(path: &str, why: &str) -> Refusal {
    invalid("FIELD_CONFLICT", path, why)
}

/// A text that a person wrote, if it is short enough.
pub fn check_text(path: &str, text: &str, chars: usize) -> Result<(), Refusal> {
    if text.is_empty() || text.chars().count() > chars {
        return Err(invalid("FIELD_LENGTH", path, &format!("must have 1 to {chars} characters")));
    }
    Ok(())
}

/// The values of a field that is exactly one of several.
pub fn exactly_one<T>(choices: [(&'static str, Option<T>); 3]) -> Result<T, Refusal> {
    let names: Vec<_> = choices.iter().map(|(name, _)| *name).filter(|name| !name.is_empty()).collect();
    let mut given = choices.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let (_, first) = given.next().ok_or_else(|| {
        invalid("FIELD_MISSING", names[0], &format!("one of {} is required", names.join(", ")))
    })?;
    match given.next() {
        Some((name, _)) => Err(conflict(name, &format!("give only one of {}", names.join(", ")))),
        None => Ok(first),
    }
}

/// Reads parameters from text.
#[cfg(test)]
pub fn read<P: DeserializeOwned>(json: &str) -> Result<P, Refusal> {
    parse_params(&RawValue::from_string(json.to_owned()).expect("JSON"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "camelCase")]
    #[expect(dead_code, reason = "some fields are only there to be refused")]
    struct Params {
        volume: WireDecimal,
        #[serde(default)]
        expires_at: Option<WireTime>,
        #[serde(default)]
        client: Option<Client>,
        #[serde(default)]
        symbols: Vec<String>,
    }

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only its absence matters")]
    struct Client {
        name: String,
    }

    fn parse(json: &str) -> Result<Params, Refusal> {
        read(json)
    }

    #[test]
    fn decimals_are_exact_from_string_and_number() {
        for (lexeme, exact) in [
            ("0.1", "0.1"),
            ("\"0.1\"", "0.1"),
            ("0.10000000000000000000000001", "0.10000000000000000000000001"),
            ("100000", "100000"),
            ("1.10", "1.1"),
            ("1e-5", "0.00001"),
            ("1.25E3", "1250"),
            ("\"2.5e+1\"", "25"),
            ("-0.0", "0"),
            ("0e999999", "0"),
            ("9007199254740993", "9007199254740993"),
            ("9999999999999999999999999999", "9999999999999999999999999999"),
        ] {
            let params = parse(&format!("{{\"volume\":{lexeme}}}")).expect(lexeme);
            assert_eq!(params.volume.0.to_string(), exact, "{lexeme}");
        }
    }

    #[test]
    fn what_is_not_an_exact_decimal_is_refused_by_path() {
        for lexeme in [
            "\"\"",
            "\"1,5\"",
            "\".5\"",
            "\"5.\"",
            "\"+1\"",
            "\" 1\"",
            "\"1e\"",
            "\"NaN\"",
            "\"1_000\"",
            "true",
            "null",
            "{}",
            "[1]",
            "1e29",
            "1e-29",
            "99999999999999999999999999999",
            "1e99999999999",
        ] {
            let refusal = parse(&format!("{{\"volume\":{lexeme}}}")).expect_err(lexeme);
            assert_eq!(refusal.code, ErrorCode::InvalidParams, "{lexeme}");
            assert_eq!(refusal.details["path"], "volume", "{lexeme}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_decimal_is_what_an_independent_parser_reads(
            text in "-?[0-9]{1,14}(\\.[0-9]{1,14})?", exponent in -5_i32..5
        ) {
            let expected = Decimal::from_str_exact(&text).ok().map(|d| d.normalize());
            proptest::prop_assert_eq!(parse_decimal(&text), expected, "{}", &text);
            // the same value, its point moved
            let moved = parse_decimal(&format!("{text}e{exponent}")).map(|d| d.to_string());
            let back = moved.and_then(|moved| parse_decimal(&format!("{moved}e{}", -exponent)));
            if let Some(back) = back {
                proptest::prop_assert_eq!(Some(back), expected);
            }
        }
    }

    #[test]
    fn instants_are_rfc_3339_or_epoch_milliseconds() {
        for json in ["\"2026-02-17T02:55:00Z\"", "\"2026-02-17T03:55:00+01:00\"", "1771296900000"] {
            let params = parse(&format!("{{\"volume\":1,\"expiresAt\":{json}}}")).expect(json);
            assert_eq!(params.expires_at.expect("given").0.to_string(), "2026-02-17T02:55:00Z");
        }
        let refusal = parse("{\"volume\":1,\"expiresAt\":\"tomorrow\"}").expect_err("not an instant");
        assert_eq!(refusal.details["path"], "expiresAt");
    }

    #[test]
    fn errors_name_the_path() {
        for (json, reason, path) in [
            ("{}", "FIELD_MISSING", "volume"),
            ("{\"volume\":1,\"client\":{}}", "FIELD_MISSING", "client.name"),
            ("{\"volume\":1,\"client\":{\"name\":7}}", "WRONG_TYPE", "client.name"),
            ("{\"volume\":1,\"symbols\":[\"A\",2]}", "WRONG_TYPE", "symbols[1]"),
            ("{\"volume\":1,\"symbols\":\"A\"}", "WRONG_TYPE", "symbols"),
        ] {
            let refusal = parse(json).expect_err(json);
            assert_eq!((refusal.reason(), refusal.details["path"].as_str()), (reason, Some(path)), "{json}");
        }
        assert!(parse("{\"volume\":1,\"unknown\":[{}]}").is_ok(), "unknown parameters are ignored");
    }

    #[test]
    fn exactly_one_of_several() {
        let one = |a, b| exactly_one([("orderId", a), ("clientOrderId", b), ("", None::<u8>)]);
        assert_eq!(one(Some(1), None), Ok(1));
        assert_eq!(one(None, None).expect_err("none").reason(), "FIELD_MISSING");
        assert_eq!(one(Some(1), Some(2)).expect_err("both").details["path"], "clientOrderId");
    }
}
