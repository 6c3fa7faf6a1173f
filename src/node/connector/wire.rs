//! The frames of the venue link (docs/VENUE_LINK.md): JSON objects, one to a line. Reading gives a frame
//! or an error that names what is wrong, whatever the bytes.

use crate::domain::{
    group::GroupKind,
    id::{GroupId, Symbol},
    market::Quote,
    message::{Capabilities, NumberedReport, OrderState, TriggerTerms, VenueSnapshot},
    order::{Filling, OrderType, Side},
    time::UnixNanos,
};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use std::fmt;

/// The protocol's version: the only one that this build speaks.
pub const PROTOCOL: u32 = 1;
/// Bytes of a line at most, its end not counted.
pub const LINE_MAX: usize = 4 << 20;
/// Characters of a name (order, position, fill, log) at most.
pub const NAME_MAX: usize = 128;

/// The first line that a gateway sends.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Logon {
    pub protocol: u32,
    /// The account whose orders this session carries, by the venue's name of it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub account: Option<String>,
    /// The symbols whose quotes this session carries.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub market_data: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub heartbeat_ms: Option<u64>,
    /// Program and version, for the venue's log.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub client: Option<String>,
}

impl fmt::Debug for Logon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let token = self.token.as_ref().map(|_| "***");
        f.debug_struct("Logon")
            .field("protocol", &self.protocol)
            .field("account", &self.account)
            .field("market_data", &self.market_data)
            .field("token", &token)
            .field("client", &self.client)
            .finish_non_exhaustive()
    }
}

/// What a gateway sends after its logon. Each carries a `seq` beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum GatewayFrame {
    Submit(Submit),
    Cancel {
        order: String,
    },
    Modify(Modify),
    Sync(Sync),
    Status {
        orders: Vec<String>,
    },
    Heartbeat,
    /// Frames up to this number are void.
    Skip {
        to: u64,
    },
    Logoff,
}

/// A new order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Submit {
    pub order: String,
    pub symbol: String,
    pub side: Side,
    pub order_type: OrderType,
    /// In lots.
    pub volume: Decimal,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub price: Option<Decimal>,
    #[serde(flatten)]
    pub trigger: TriggerTerms,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stop_loss: Option<Level>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub take_profit: Option<Level>,
    pub filling: Filling,
    /// It must not take liquidity.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub post_only: bool,
    /// The position to reduce, by the venue's name of it; absent: it opens one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub position: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub group: Option<Group>,
}

/// The group that an order belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    pub kind: GroupKind,
    pub id: GroupId,
    /// The order that holds this one back until it fills.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub parent: Option<String>,
}

/// New terms of an order or a position: all of them. An absent level is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Modify {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub order: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub position: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub volume: Option<Decimal>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub price: Option<Decimal>,
    #[serde(flatten)]
    pub trigger: TriggerTerms,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stop_loss: Option<Level>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub take_profit: Option<Level>,
}

/// A protective level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    Price(Decimal),
    /// From the fill price, as a difference of prices.
    Distance(Decimal),
    /// Of the fill price.
    Percent(Decimal),
}

/// The question with which a gateway begins: what happened while it was away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sync {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub log: Option<String>,
    pub after: u64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fills_after: Option<String>,
    #[serde(default)]
    pub orders: Vec<String>,
}

/// What a venue sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum VenueFrame {
    Logon(VenueLogon),
    /// The logon is refused.
    Reject {
        reason: String,
        #[serde(default)]
        message: String,
    },
    Report(NumberedReport),
    Snapshot {
        snapshot: Box<VenueSnapshot>,
    },
    Status {
        orders: Vec<OrderState>,
    },
    /// I live. `last` is the number of the newest report, if the venue says it.
    Heartbeat {
        #[serde(skip_serializing_if = "Option::is_none", default)]
        last: Option<u64>,
    },
    Resend {
        after: u64,
    },
    Quote(QuoteFrame),
    Logoff {
        #[serde(default)]
        reason: String,
    },
}

/// The venue's answer to a logon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VenueLogon {
    pub protocol: u32,
    /// Program and version, for the gateway's log.
    pub venue: String,
    /// Names the log of reports.
    #[serde(default)]
    pub log: String,
    #[serde(default)]
    pub capabilities: Capabilities,
    pub heartbeat_ms: u64,
}

/// Best bid and ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuoteFrame {
    pub symbol: Symbol,
    pub bid: Decimal,
    pub ask: Decimal,
    pub ts: UnixNanos,
}

impl QuoteFrame {
    /// The quote in the instrument's decimals.
    pub fn new(instrument: &crate::domain::instrument::Instrument, quote: Quote, ts: UnixNanos) -> Self {
        let (bid, ask) = (instrument.price(quote.bid), instrument.price(quote.ask));
        Self { symbol: instrument.symbol.clone(), bid, ask, ts }
    }
}

/// Why a line is no frame. The text quotes none of its content but names of fields.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct WireError(String);

/// A frame's line without its number: `numbered` or `line` completes it.
pub fn body(frame: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(frame).expect("frames are maps with text keys")
}

/// The line of a frame that bears no number.
pub fn line(frame: &impl Serialize) -> Vec<u8> {
    let mut line = body(frame);
    line.push(b'\n');
    line
}

/// The line of a body that bears this number.
pub fn numbered(seq: u64, body: &[u8]) -> Vec<u8> {
    let rest = body.strip_prefix(b"{").expect("a body is an object with a type");
    let mut line = format!("{{\"seq\":{seq},").into_bytes();
    line.extend_from_slice(rest);
    line.push(b'\n');
    line
}

/// A logon's line.
pub fn logon_line(logon: &Logon) -> Vec<u8> {
    #[derive(Serialize)]
    struct Typed<'a> {
        r#type: &'static str,
        #[serde(flatten)]
        logon: &'a Logon,
    }
    line(&Typed { r#type: "logon", logon })
}

/// Reads a gateway's first line.
pub fn read_logon(line: &[u8]) -> Result<Logon, WireError> {
    let object = object(line)?;
    match object.get("type").and_then(Value::as_str) {
        Some("logon") => decode(object),
        _ => Err(WireError("the first line is no logon".into())),
    }
}

/// Reads a line of a gateway after its logon: the frame and its number.
pub fn read_gateway(line: &[u8]) -> Result<(u64, GatewayFrame), WireError> {
    let mut object = object(line)?;
    let seq = object.remove("seq").as_ref().and_then(Value::as_u64).filter(|seq| *seq > 0);
    let seq = seq.ok_or_else(|| WireError("`seq` must be a whole number from 1 on".into()))?;
    Ok((seq, decode(object)?))
}

/// Reads a line of a venue.
pub fn read_venue(line: &[u8]) -> Result<VenueFrame, WireError> {
    decode(object(line)?)
}

/// Fields that hold a decimal wherever they stand.
const DECIMALS: [&str; 18] = [
    "volume",
    "filled",
    "avgPrice",
    "positionVolume",
    "price",
    "openPrice",
    "stopPrice",
    "trailDistance",
    "trailPercent",
    "stopLoss",
    "takeProfit",
    "bid",
    "ask",
    "distance",
    "percent",
    "commission",
    "realizedPnl",
    "balance",
];
/// Fields that hold a name.
const NAMES: [&str; 8] = ["order", "parent", "position", "fill", "log", "venueOrder", "fillsAfter", "symbol"];
/// Digits that a decimal holds exactly.
const DIGITS: usize = 28;

fn object(line: &[u8]) -> Result<Map<String, Value>, WireError> {
    if line.len() > LINE_MAX {
        return Err(WireError(format!("the line is longer than {LINE_MAX} bytes")));
    }
    match serde_json::from_slice(line) {
        Ok(Value::Object(object)) => {
            check(&object)?;
            Ok(object)
        }
        Ok(_) => Err(WireError("the line is not a JSON object".into())),
        Err(error) => Err(WireError(format!("the line is not JSON: {}", kind(&error)))),
    }
}

fn kind(error: &serde_json::Error) -> String {
    format!("{:?} at column {}", error.classify(), error.column())
}

fn decode<T: DeserializeOwned>(object: Map<String, Value>) -> Result<T, WireError> {
    let name = object.get("type").and_then(Value::as_str).unwrap_or("without a type");
    let name: String = name.chars().take(40).collect();
    serde_path_to_error::deserialize(Value::Object(object)).map_err(|error| {
        let text: String = error.inner().to_string().chars().take(200).collect();
        WireError(match error.path().to_string().as_str() {
            "." => format!("frame `{name}`: {text}"),
            path => format!("frame `{name}`: `{path}`: {text}"),
        })
    })
}

/// Decimals must be exact and names short, in every depth.
fn check(object: &Map<String, Value>) -> Result<(), WireError> {
    for (key, value) in object {
        check_value(key, value)?;
    }
    Ok(())
}

fn check_value(key: &str, value: &Value) -> Result<(), WireError> {
    let shown = || key.chars().take(40).collect::<String>();
    match value {
        Value::Object(object) => check(object),
        Value::Array(items) => items.iter().try_for_each(|item| check_value(key, item)),
        Value::Number(_) if DECIMALS.contains(&key) => {
            Err(WireError(format!("`{key}`: a decimal is written as a JSON string, such as \"1.25\"")))
        }
        Value::Number(number) if number.is_f64() => {
            Err(WireError(format!("`{}`: not a whole number of 64 bits", shown())))
        }
        Value::String(text) if DECIMALS.contains(&key) && !is_decimal(text) => {
            Err(WireError(format!("`{key}`: not a decimal of at most {DIGITS} digits, such as \"1.25\"")))
        }
        Value::String(text) if NAMES.contains(&key) && text.chars().count() > NAME_MAX => {
            Err(WireError(format!("`{key}`: longer than {NAME_MAX} characters")))
        }
        _ => Ok(()),
    }
}

/// Digits with at most one point between them, and few enough to be held exactly.
fn is_decimal(text: &str) -> bool {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = match unsigned.split_once('.') {
        Some((_, "")) => return false,
        Some(parts) => parts,
        None => (unsigned, ""),
    };
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    !whole.is_empty()
        && digits(whole)
        && digits(fraction)
        && whole.trim_start_matches('0').len() + fraction.len() <= DIGITS
}

#[cfg(test)]
mod tests;
