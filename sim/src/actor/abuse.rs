//! What a protocol abuser does, as data.

use crate::draw::Draw;
use serde::{Deserialize, Serialize};

/// One abuse, on a connection of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AbuseStep {
    pub at_ms: u64,
    pub guise: Guise,
    pub abuse: Abuse,
}

/// As whom it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Guise {
    /// Without a token.
    Nobody,
    /// With a token that may read.
    Viewer,
    /// With a token that may do everything.
    Operator,
}

/// What it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Abuse {
    /// So many arbitrary bytes instead of a request.
    Garbage {
        bytes: u64,
    },
    /// Half an upgrade, and then nothing.
    HalfUpgrade,
    /// A socket that says nothing.
    Silence,
    /// An HTTP request that must not become a WebSocket.
    WrongRequest {
        request: WrongRequest,
    },
    /// A WebSocket that says nothing.
    NeverConnects,
    WrongToken,
    WrongProtocol,
    /// Another method before `gateway.connect`.
    TooEarly,
    ConnectTwice,
    /// Texts that are no request, so many of them.
    BadText {
        text: BadText,
        times: u64,
    },
    /// A binary message.
    Binary,
    ParamsNotObject,
    UnknownMethod,
    /// Parameters of wrong types.
    WrongTypes,
    /// A text parameter that is far too long.
    LongText,
    /// A message of so many bytes; beyond 1 MiB only its head and some of them.
    Oversized {
        bytes: u64,
    },
    /// A frame that RFC 6455 forbids.
    WrongFrame {
        frame: WrongFrame,
    },
    /// A good request in so many fragments.
    Fragmented {
        pieces: u64,
    },
    /// A second request under the id of the first.
    IdReused,
    /// So many good requests at once.
    Flood {
        requests: u64,
    },
    /// So many sockets that say nothing, at once.
    ManySockets {
        count: u64,
    },
    /// An order, and the same bytes again: on the same connection, and on another one.
    Replayed,
    /// What only an operator may do.
    Forbidden {
        method: ForbiddenMethod,
    },
}

/// See `Abuse::WrongRequest`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WrongRequest {
    ForeignOrigin,
    ForeignHost,
    NoKey,
    OldVersion,
    NoUpgrade,
    UnknownPath,
    SchemaWithoutToken,
    /// A head of more than 16 KiB.
    HugeHead,
}

/// See `Abuse::BadText`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BadText {
    NotJson,
    Truncated,
    NotAnObject,
    UnknownType,
    NoId,
    IdOfAnotherType,
    LongId,
    FieldTwice,
    NoMethod,
    /// Nested deeper than a frame may be.
    Deep,
    /// Nested deeper than a parser's stack.
    VeryDeep,
}

/// See `Abuse::WrongFrame`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WrongFrame {
    Unmasked,
    ReservedBits,
    ReservedOpcode,
    LongControl,
    FragmentedControl,
    /// A new message inside a fragmented one.
    Interleaved,
    LoneContinuation,
    NotUtf8,
}

/// See `Abuse::Forbidden`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ForbiddenMethod {
    Place,
    CancelAll,
    Stop,
    Resume,
    Disconnect,
}

impl AbuseStep {
    /// Any abuse.
    pub fn draw(at_ms: u64, draw: &mut Draw) -> Self {
        let abuse = Abuse::draw(draw);
        let guises: &[Guise] = match abuse {
            Abuse::Garbage { .. }
            | Abuse::HalfUpgrade
            | Abuse::Silence
            | Abuse::WrongRequest { .. }
            | Abuse::NeverConnects
            | Abuse::WrongToken
            | Abuse::WrongProtocol
            | Abuse::TooEarly
            | Abuse::ManySockets { .. } => &[Guise::Nobody],
            Abuse::ConnectTwice
            | Abuse::UnknownMethod
            | Abuse::WrongTypes
            | Abuse::LongText
            | Abuse::IdReused => &[Guise::Viewer, Guise::Operator],
            Abuse::Replayed => &[Guise::Operator],
            Abuse::Forbidden { .. } => &[Guise::Viewer],
            Abuse::BadText { .. }
            | Abuse::Binary
            | Abuse::ParamsNotObject
            | Abuse::Oversized { .. }
            | Abuse::WrongFrame { .. }
            | Abuse::Fragmented { .. }
            | Abuse::Flood { .. } => &[Guise::Nobody, Guise::Viewer, Guise::Operator],
        };
        Self { at_ms, guise: *draw.pick(guises).expect("each abuse has one"), abuse }
    }
}

impl Abuse {
    fn draw(draw: &mut Draw) -> Self {
        // what takes long is rare
        const WEIGHTS: [u64; 23] = [4, 1, 1, 6, 1, 5, 3, 4, 3, 10, 2, 3, 3, 4, 3, 4, 8, 4, 4, 4, 3, 6, 4];
        match draw.weighted(&WEIGHTS).expect("some are not zero") {
            0 => Self::Garbage { bytes: draw.within(1..=4_000) },
            1 => Self::HalfUpgrade,
            2 => Self::Silence,
            3 => Self::WrongRequest { request: one_of(&WRONG_REQUESTS, draw) },
            4 => Self::NeverConnects,
            5 => Self::WrongToken,
            6 => Self::WrongProtocol,
            7 => Self::TooEarly,
            8 => Self::ConnectTwice,
            9 => Self::BadText { text: one_of(&BAD_TEXTS, draw), times: draw.within(1..=7) },
            10 => Self::Binary,
            11 => Self::ParamsNotObject,
            12 => Self::UnknownMethod,
            13 => Self::WrongTypes,
            14 => Self::LongText,
            15 => Self::Oversized { bytes: [70_000, 1_100_000, 1 << 40][draw.within(0..=2) as usize] },
            16 => Self::WrongFrame { frame: one_of(&WRONG_FRAMES, draw) },
            17 => Self::Fragmented { pieces: draw.within(2..=12) },
            18 => Self::IdReused,
            19 => Self::Flood { requests: draw.within(110..=400) },
            20 => Self::ManySockets { count: draw.within(17..=40) },
            21 => Self::Replayed,
            _ => Self::Forbidden { method: one_of(&FORBIDDEN, draw) },
        }
    }

    /// Its name in marks and receipts.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Garbage { .. } => "garbage",
            Self::HalfUpgrade => "half_upgrade",
            Self::Silence => "silence",
            Self::WrongRequest { .. } => "wrong_request",
            Self::NeverConnects => "never_connects",
            Self::WrongToken => "wrong_token",
            Self::WrongProtocol => "wrong_protocol",
            Self::TooEarly => "too_early",
            Self::ConnectTwice => "connect_twice",
            Self::BadText { .. } => "bad_text",
            Self::Binary => "binary",
            Self::ParamsNotObject => "params_not_object",
            Self::UnknownMethod => "unknown_method",
            Self::WrongTypes => "wrong_types",
            Self::LongText => "long_text",
            Self::Oversized { .. } => "oversized",
            Self::WrongFrame { .. } => "wrong_frame",
            Self::Fragmented { .. } => "fragmented",
            Self::IdReused => "id_reused",
            Self::Flood { .. } => "flood",
            Self::ManySockets { .. } => "many_sockets",
            Self::Replayed => "replayed",
            Self::Forbidden { .. } => "forbidden",
        }
    }
}

fn one_of<T: Copy>(items: &[T], draw: &mut Draw) -> T {
    *draw.pick(items).expect("the lists have items")
}

const WRONG_REQUESTS: [WrongRequest; 8] = [
    WrongRequest::ForeignOrigin,
    WrongRequest::ForeignHost,
    WrongRequest::NoKey,
    WrongRequest::OldVersion,
    WrongRequest::NoUpgrade,
    WrongRequest::UnknownPath,
    WrongRequest::SchemaWithoutToken,
    WrongRequest::HugeHead,
];

const BAD_TEXTS: [BadText; 11] = [
    BadText::NotJson,
    BadText::Truncated,
    BadText::NotAnObject,
    BadText::UnknownType,
    BadText::NoId,
    BadText::IdOfAnotherType,
    BadText::LongId,
    BadText::FieldTwice,
    BadText::NoMethod,
    BadText::Deep,
    BadText::VeryDeep,
];

const WRONG_FRAMES: [WrongFrame; 8] = [
    WrongFrame::Unmasked,
    WrongFrame::ReservedBits,
    WrongFrame::ReservedOpcode,
    WrongFrame::LongControl,
    WrongFrame::FragmentedControl,
    WrongFrame::Interleaved,
    WrongFrame::LoneContinuation,
    WrongFrame::NotUtf8,
];

const FORBIDDEN: [ForbiddenMethod; 5] = [
    ForbiddenMethod::Place,
    ForbiddenMethod::CancelAll,
    ForbiddenMethod::Stop,
    ForbiddenMethod::Resume,
    ForbiddenMethod::Disconnect,
];
