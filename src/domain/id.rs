//! Identifiers. Numbers count up per account (stops and alerts: per gateway), so an id is a pure
//! function of the account's history; on the wire each carries a prefix that names its kind.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::{fmt, sync::Arc};

/// Why a text is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Text identifiers are 1 to 64 of `A-Z a-z 0-9 _ . : -`.
    #[error("`{0}` is not an identifier: use 1 to 64 of A-Z a-z 0-9 _ . : -")]
    Text(String),
    /// Numbered identifiers are a prefix and a positive number, such as `o17`.
    #[error("`{text}` is not an id of this kind: expected `{prefix}` and a number, such as `{prefix}17`")]
    Number { text: String, prefix: &'static str },
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks length (1 to 64) and alphabet.
            pub fn new(text: &str) -> Result<Self, IdError> {
                let fits = (1..=64).contains(&text.len())
                    && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.:-".contains(&b));
                if fits { Ok(Self(text.into())) } else { Err(IdError::Text(text.chars().take(80).collect())) }
            }

            /// The identifier's text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "pattern": "^[A-Za-z0-9_.:-]{1,64}$" })
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = String::deserialize(d)?;
                Self::new(&text).map_err(D::Error::custom)
            }
        }
    };
}

text_id! {
    /// An account, named by its operator (`paper-1`).
    AccountId
}
text_id! {
    /// The client's own name for an order (FIX tag 11, ClOrdID); unique per account for ever.
    ClientOrderId
}
text_id! {
    /// The client's name for a group of orders; one that has been is not taken again for a day.
    GroupId
}
text_id! {
    /// An instrument's symbol (FIX tag 55), such as `EURUSD`.
    Symbol
}

text_id! {
    /// A secret in the vault; the secret itself enters no input, event or log.
    SecretId
}

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl $name {
            /// Reads the wire form, prefix and number.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                text.strip_prefix($prefix)
                    .filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))
                    .and_then(|digits| digits.parse().ok())
                    .map(Self)
                    .ok_or_else(|| IdError::Number { text: text.chars().take(80).collect(), prefix: $prefix })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "pattern": concat!("^", $prefix, "[0-9]+$") })
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                Self::parse(&String::deserialize(d)?).map_err(D::Error::custom)
            }
        }
    };
}

number_id! {
    /// An order of one account (FIX tag 37, OrderID).
    OrderId, "o"
}
number_id! {
    /// A position of one account; its number is that of the order that opened it, as MT5's tickets.
    PositionId, "p"
}
number_id! {
    /// An execution of one account (FIX tag 17, ExecID; MT5: deal).
    FillId, "f"
}
number_id! {
    /// One request to trade, whatever became of it.
    IntentId, "i"
}
number_id! {
    /// A posting in one account's ledger.
    EntryId, "e"
}
number_id! {
    /// An emergency stop.
    StopId, "s"
}
number_id! {
    /// A risk alert.
    AlertId, "a"
}
number_id! {
    /// A command, named by the journal offset at which it entered.
    CommandId, "c"
}
