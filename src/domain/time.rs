//! Time as the engine knows it: nanoseconds since the Unix epoch, always handed in, never read.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::fmt;

/// Nanoseconds in a millisecond, second, minute, hour and day.
pub const MILLI_NS: i64 = 1_000_000;
pub const SECOND_NS: i64 = 1_000 * MILLI_NS;
pub const MINUTE_NS: i64 = 60 * SECOND_NS;
pub const HOUR_NS: i64 = 60 * MINUTE_NS;
pub const DAY_NS: i64 = 24 * HOUR_NS;

/// An instant, in nanoseconds since 1970-01-01T00:00:00Z. On the wire: RFC 3339 in UTC with `Z`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UnixNanos(pub i64);

impl UnixNanos {
    /// The epoch itself.
    pub const ZERO: Self = Self(0);
    /// Later than any instant that a calendar or a feed can name.
    pub const MAX: Self = Self(i64::MAX);

    /// From whole milliseconds; saturates at the ends of the range.
    pub const fn from_millis(ms: i64) -> Self {
        Self(ms.saturating_mul(MILLI_NS))
    }

    /// From whole seconds; saturates at the ends of the range.
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(SECOND_NS))
    }

    /// Reads RFC 3339, with any offset. `None` if the text is not an instant of the range.
    pub fn parse(text: &str) -> Option<Self> {
        let at: Timestamp = text.parse().ok()?;
        i64::try_from(at.as_nanosecond()).ok().map(Self)
    }

    /// Whole milliseconds since the epoch, rounded down.
    pub const fn as_millis(self) -> i64 {
        self.0.div_euclid(MILLI_NS)
    }

    /// This instant and `ns` nanoseconds; saturates.
    #[must_use]
    pub const fn plus(self, ns: i64) -> Self {
        Self(self.0.saturating_add(ns))
    }

    /// Nanoseconds from `earlier` to this instant; saturates.
    pub const fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The last multiple of `len_ns` (counted from the epoch) at or before this instant; saturates.
    #[must_use]
    pub const fn floor(self, len_ns: i64) -> Self {
        Self(self.0.div_euclid(len_ns).saturating_mul(len_ns))
    }
}

impl fmt::Display for UnixNanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Timestamp::from_nanosecond(i128::from(self.0)) {
            Ok(at) => write!(f, "{at}"),
            Err(_) => write!(f, "{}ns", self.0),
        }
    }
}

impl fmt::Debug for UnixNanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for UnixNanos {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for UnixNanos {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom(format!("`{text}` is not an RFC 3339 instant")))
    }
}

impl schemars::JsonSchema for UnixNanos {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "date-time" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wire_form_round_trips() {
        for (ns, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (1_328_054_400_000_000_000, "2012-02-01T00:00:00Z"),
            (1_328_054_459_999_000_000, "2012-02-01T00:00:59.999Z"),
            (-1, "1969-12-31T23:59:59.999999999Z"),
        ] {
            assert_eq!(UnixNanos(ns).to_string(), text);
            assert_eq!(UnixNanos::parse(text), Some(UnixNanos(ns)));
        }
        assert_eq!(UnixNanos::parse("2012-02-01 00:00"), None);
    }

    #[test]
    fn floor_goes_down_before_the_epoch_too() {
        assert_eq!(UnixNanos(-1).floor(MINUTE_NS), UnixNanos(-MINUTE_NS));
        assert_eq!(UnixNanos(MINUTE_NS).floor(MINUTE_NS), UnixNanos(MINUTE_NS));
    }
}
