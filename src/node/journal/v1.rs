//! Version 1 of what a record holds: one kind per input. Market data are numbered fields; what a
//! person writes (configuration, commands) is its canonical JSON, so that the two formats of one
//! thing cannot drift apart.
//!
//! Whatever is not exactly what this version writes is refused: unknown kinds, unknown fields, other
//! spellings. This file never changes once released; what it cannot say needs a `v2` beside it.

use super::row;
use crate::domain::{
    instrument::{InstrumentId, Price},
    market::{Bar, Ohlc},
    message::{GatewayState, Input},
};
use minicbor::{CborLen, Decode, Encode};
use serde::{Serialize, de::DeserializeOwned};

/// The version of every payload written here.
pub(super) const VERSION: u8 = 1;

/// Why a payload is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PayloadError {
    #[error("this build does not know records of kind {0}")]
    Kind(u8),
    #[error("its payload is not a {kind}: {reason}")]
    Payload { kind: &'static str, reason: String },
}

const CONFIG: u8 = 1;
const GATEWAY: u8 = 2;
const QUOTE: u8 = 3;
const BAR: u8 = 4;
const COMMAND: u8 = 5;
const WAKE: u8 = 6;
const CLOCK: u8 = 7;
const END_OF_DATA: u8 = 8;
const LINK: u8 = 9;

#[derive(Encode, Decode, CborLen)]
#[cbor(array)]
struct QuotePayload {
    #[n(0)]
    instrument: u16,
    #[n(1)]
    bid: i64,
    #[n(2)]
    ask: i64,
}

#[derive(Encode, Decode, CborLen)]
#[cbor(array)]
struct OhlcPayload {
    #[n(0)]
    open: i64,
    #[n(1)]
    high: i64,
    #[n(2)]
    low: i64,
    #[n(3)]
    close: i64,
}

#[derive(Encode, Decode, CborLen)]
#[cbor(array)]
struct BarPayload {
    #[n(0)]
    instrument: u16,
    #[n(1)]
    bid: OhlcPayload,
    #[n(2)]
    ask: OhlcPayload,
    #[n(3)]
    len_ns: i64,
}

#[derive(Encode, Decode, CborLen)]
#[cbor(array)]
struct ClockPayload {
    #[n(0)]
    suspect: bool,
}

#[derive(Encode, Decode, CborLen)]
#[cbor(array)]
struct NoPayload {}

/// Kind and payload of an input.
pub(super) fn encode(input: &Input) -> (u8, Vec<u8>) {
    match input {
        Input::Config(config) => (CONFIG, to_json(config)),
        Input::Gateway(state) => (GATEWAY, to_json(state)),
        Input::Quote { instrument, bid, ask } => {
            let payload = QuotePayload { instrument: instrument.0, bid: bid.0, ask: ask.0 };
            (QUOTE, row::encode(&payload))
        }
        Input::Bar(bar) => {
            let payload = BarPayload {
                instrument: bar.instrument.0,
                bid: bar.bid.into(),
                ask: bar.ask.into(),
                len_ns: bar.len_ns,
            };
            (BAR, row::encode(&payload))
        }
        Input::Command(command) => (COMMAND, to_json(command)),
        Input::Link(link) => (LINK, to_json(link)),
        Input::Wake => (WAKE, row::encode(&NoPayload {})),
        Input::ClockSuspect { suspect } => (CLOCK, row::encode(&ClockPayload { suspect: *suspect })),
        Input::EndOfData => (END_OF_DATA, row::encode(&NoPayload {})),
    }
}

/// The input of a kind and payload.
pub(super) fn decode(kind: u8, payload: &[u8]) -> Result<Input, PayloadError> {
    Ok(match kind {
        CONFIG => Input::Config(Box::new(from_json("configuration", payload)?)),
        GATEWAY => Input::Gateway(from_json::<GatewayState>("gateway state", payload)?),
        QUOTE => {
            let quote: QuotePayload = fields("quote", payload)?;
            Input::Quote {
                instrument: InstrumentId(quote.instrument),
                bid: Price(quote.bid),
                ask: Price(quote.ask),
            }
        }
        BAR => {
            let bar: BarPayload = fields("bar", payload)?;
            Input::Bar(Bar {
                instrument: InstrumentId(bar.instrument),
                bid: bar.bid.into(),
                ask: bar.ask.into(),
                len_ns: bar.len_ns,
            })
        }
        COMMAND => Input::Command(Box::new(from_json("command", payload)?)),
        LINK => Input::Link(Box::new(from_json("link event", payload)?)),
        WAKE => fields::<NoPayload>("wake", payload).map(|_| Input::Wake)?,
        CLOCK => Input::ClockSuspect { suspect: fields::<ClockPayload>("clock state", payload)?.suspect },
        END_OF_DATA => fields::<NoPayload>("end of data", payload).map(|_| Input::EndOfData)?,
        other => return Err(PayloadError::Kind(other)),
    })
}

impl From<Ohlc> for OhlcPayload {
    fn from(o: Ohlc) -> Self {
        Self { open: o.open.0, high: o.high.0, low: o.low.0, close: o.close.0 }
    }
}

impl From<OhlcPayload> for Ohlc {
    fn from(o: OhlcPayload) -> Self {
        Self { open: Price(o.open), high: Price(o.high), low: Price(o.low), close: Price(o.close) }
    }
}

fn fields<'b, T>(kind: &'static str, payload: &'b [u8]) -> Result<T, PayloadError>
where
    T: Decode<'b, ()> + Encode<()> + CborLen<()>,
{
    row::decode(payload).map_err(|reason| PayloadError::Payload { kind, reason })
}

fn to_json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("inputs are maps with text keys")
}

/// JSON that is exactly what `to_json` writes; anything else would lose or change something.
fn from_json<T: Serialize + DeserializeOwned>(kind: &'static str, payload: &[u8]) -> Result<T, PayloadError> {
    let refuse = |reason: String| PayloadError::Payload { kind, reason };
    let value: T = serde_json::from_slice(payload).map_err(|e| refuse(e.to_string()))?;
    if to_json(&value) != payload {
        return Err(refuse("it holds fields that this version does not know".into()));
    }
    Ok(value)
}
