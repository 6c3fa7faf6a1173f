//! `[feed]`, and the way to name a feed on the command line.

use super::{error::ConfigError, table::Table, whole};
use crate::{domain::id::Symbol, node::clock::Speed};
use std::{fmt, path::PathBuf};

/// Where quotes come from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum FeedSpec {
    /// A seeded market that follows the wall clock.
    #[default]
    Synthetic,
    /// Recorded bars or ticks, whose stamps are the clock.
    Replay(ReplaySpec),
}

/// A recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplaySpec {
    /// Bids, or both sides; of ticks one file after the other. Never empty.
    pub files: Vec<PathBuf>,
    pub ask: Option<PathBuf>,
    /// `None`: the first file's name begins with it.
    pub symbol: Option<Symbol>,
    /// IANA zone of stamps without an offset.
    pub zone: Option<String>,
}

/// Why a text does not name a feed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a feed: {reason}; use synthetic or replay:FILE[,FILE…][,ask=FILE][,symbol=S][,tz=Z]"
)]
pub struct SpecError {
    text: String,
    reason: String,
}

impl FeedSpec {
    /// Reads `synthetic` or `replay:FILE[,FILE…][,ask=FILE][,symbol=S][,tz=Z]`.
    pub fn parse(text: &str) -> Result<Self, SpecError> {
        let wrong = |reason: &str| SpecError { text: text.to_owned(), reason: reason.to_owned() };
        if text == "synthetic" {
            return Ok(Self::Synthetic);
        }
        let rest = text.strip_prefix("replay:").ok_or_else(|| wrong("no such kind"))?;
        let mut parts = rest.split(',');
        let file = parts.next().filter(|file| !file.is_empty()).ok_or_else(|| wrong("no file"))?;
        let mut replay = ReplaySpec { files: vec![file.into()], ask: None, symbol: None, zone: None };
        for part in parts {
            match part.split_once('=') {
                Some(("ask", file)) if !file.is_empty() => replay.ask = Some(file.into()),
                Some(("symbol", symbol)) => {
                    replay.symbol = Some(Symbol::new(symbol).map_err(|error| wrong(&error.to_string()))?);
                }
                Some(("tz", zone)) if !zone.is_empty() => replay.zone = Some(zone.to_owned()),
                None if !part.is_empty() => replay.files.push(part.into()),
                _ => return Err(wrong(&format!("`{part}` is not FILE, ask=FILE, symbol=S or tz=Z"))),
            }
        }
        Ok(Self::Replay(replay))
    }

    /// `synthetic` or `replay`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Synthetic => "synthetic",
            Self::Replay(_) => "replay",
        }
    }
}

impl fmt::Display for FeedSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Synthetic => f.write_str("synthetic"),
            Self::Replay(replay) => {
                f.write_str("replay:")?;
                for (index, file) in replay.files.iter().enumerate() {
                    let comma = if index == 0 { "" } else { "," };
                    write!(f, "{comma}{}", file.display())?;
                }
                Ok(())
            }
        }
    }
}

/// What the file says about the feed; the command line goes first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FeedSection {
    pub source: Option<FeedSpec>,
    pub speed: Option<Speed>,
    /// Of a live feed; 0: quotes never go stale.
    pub quote_max_age_ms: Option<u64>,
}

pub(super) fn read(table: &Table<'_>) -> Result<FeedSection, ConfigError> {
    let source = "synthetic or replay:FILE[,FILE…][,ask=FILE][,symbol=S][,tz=Z]";
    Ok(FeedSection {
        source: table.text("source", source, |text| FeedSpec::parse(text).ok())?,
        speed: table.number("speed", "a positive number or \"max\"", Speed::parse)?,
        quote_max_age_ms: whole(table, "quote_max_age_ms", 0, 86_400_000)?,
    })
}
