//! Refusals: why something was not done, in the protocol's error shape.

use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The protocol's error codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ErrorCode {
    AuthRequired,
    AuthInvalid,
    AuthForbidden,
    InvalidParams,
    NotFound,
    Conflict,
    RateLimited,
    ConnectorUnavailable,
    ConnectorError,
    RiskBlocked,
    MarketClosed,
    Timeout,
    InternalError,
}

macro_rules! violation_codes {
    ($($(#[$doc:meta])* $name:ident = $wire:literal),+ $(,)?) => {
        /// Risk violations, in check order (PROTOCOL section 6).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        pub enum ViolationCode {
            $($(#[$doc])* #[serde(rename = $wire)] $name,)+
        }

        impl ViolationCode {
            /// All of them, in check order.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The wire name.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $wire,)+ }
            }
        }
    };
}

violation_codes! {
    /// An emergency stop or a loss limit is latched.
    TradingHalted = "TRADING_HALTED",
    /// The account's link is not up.
    AccountNotConnected = "ACCOUNT_NOT_CONNECTED",
    /// The account is being compared with its venue.
    Reconciling = "RECONCILING",
    /// No such instrument.
    SymbolUnknown = "SYMBOL_UNKNOWN",
    /// The account may not trade this instrument.
    SymbolNotAllowed = "SYMBOL_NOT_ALLOWED",
    /// The venue does not offer this order type.
    OrderTypeUnsupported = "ORDER_TYPE_UNSUPPORTED",
    /// The venue does not offer this lifetime.
    TifUnsupported = "TIF_UNSUPPORTED",
    /// The venue does not offer this filling.
    FillingUnsupported = "FILLING_UNSUPPORTED",
    /// The venue does not offer groups of this kind.
    GroupUnsupported = "GROUP_UNSUPPORTED",
    /// An order would end before it begins.
    ExpiryInPast = "EXPIRY_IN_PAST",
    /// The instrument's session is closed.
    MarketClosed = "MARKET_CLOSED",
    /// No quote has been seen.
    QuoteMissing = "QUOTE_MISSING",
    /// The last quote is too old, or the clock is suspect.
    QuoteStale = "QUOTE_STALE",
    /// Not a whole number of volume steps.
    VolumeStep = "VOLUME_STEP",
    /// Below the least volume.
    VolumeMin = "VOLUME_MIN",
    /// Above the greatest volume.
    VolumeMax = "VOLUME_MAX",
    /// A price is not a whole number of ticks.
    PriceTick = "PRICE_TICK",
    /// A stop loss or take profit lies on the wrong side of the price.
    StopsInvalid = "STOPS_INVALID",
    /// A protective level or a pending price lies closer to the market than the stops level.
    StopsTooClose = "STOPS_TOO_CLOSE",
    /// What lies within the freeze level of the market can not be changed.
    Frozen = "FROZEN",
    /// A reduction that would not reduce.
    ReduceOnly = "REDUCE_ONLY",
    /// The client order id was used before.
    DuplicateOrder = "DUPLICATE_ORDER",
    /// The orders of the group, or the one that lets the others in, have ended.
    GroupEnded = "GROUP_ENDED",
    /// The order does not fit to its group.
    GroupMismatch = "GROUP_MISMATCH",
    /// Too many orders of the group are open.
    GroupFull = "GROUP_FULL",
    /// Too many orders and positions are open.
    MaxOpenOrders = "MAX_OPEN_ORDERS",
    /// Too many positions.
    MaxPositions = "MAX_POSITIONS",
    /// The day's loss has reached its limit.
    MaxDailyLoss = "MAX_DAILY_LOSS",
    /// No rate converts the instrument's currency into the account's.
    ConversionRateMissing = "CONVERSION_RATE_MISSING",
    /// Not enough free margin.
    MarginInsufficient = "MARGIN_INSUFFICIENT",
}

/// One failed check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Violation {
    pub code: ViolationCode,
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub limit: Option<Decimal>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub actual: Option<Decimal>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub would_satisfy: Option<Decimal>,
}

/// An error answer: `{code, message, retryable, details}`; `details.reason` is stable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Refusal {
    pub code: ErrorCode,
    pub message: String,
    pub retryable: bool,
    pub details: Map<String, Value>,
}

impl Refusal {
    /// A refusal with a stable `details.reason`; not retryable.
    pub fn new(code: ErrorCode, reason: &str, message: impl Into<String>) -> Self {
        let mut details = Map::new();
        details.insert("reason".into(), reason.into());
        Self { code, message: message.into(), retryable: false, details }
    }

    /// The same, and the caller may try again.
    #[must_use]
    pub fn retryable(mut self) -> Self {
        self.retryable = true;
        self
    }

    /// Adds a detail.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.details.insert(key.into(), value.into());
        self
    }

    /// The stable reason.
    pub fn reason(&self) -> &str {
        self.details.get("reason").and_then(Value::as_str).unwrap_or_default()
    }

    /// From failed checks: the first decides the code, all are listed.
    pub fn from_violations(violations: &[Violation]) -> Self {
        let first = violations.first();
        let (code, reason, message) = match first {
            Some(v) => {
                let code = match v.code {
                    ViolationCode::MarketClosed => ErrorCode::MarketClosed,
                    ViolationCode::AccountNotConnected | ViolationCode::Reconciling => {
                        ErrorCode::ConnectorUnavailable
                    }
                    _ => ErrorCode::RiskBlocked,
                };
                (code, v.code.name(), v.message.clone())
            }
            None => (ErrorCode::InternalError, "NO_VIOLATION", "refused without a violation".to_owned()),
        };
        let list = serde_json::to_value(violations).unwrap_or_default();
        let refusal = Self::new(code, reason, message).with("violations", list);
        let waits_for_a_quote =
            first.is_some_and(|v| matches!(v.code, ViolationCode::QuoteMissing | ViolationCode::QuoteStale));
        let may_pass_later =
            waits_for_a_quote || matches!(code, ErrorCode::MarketClosed | ErrorCode::ConnectorUnavailable);
        // whoever is asked to try again may do so under the same key
        if may_pass_later { refusal.retryable().with("outcome", "not_started") } else { refusal }
    }
}
