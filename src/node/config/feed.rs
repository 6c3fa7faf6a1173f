//! `[feed]`, and the way to name a feed on the command line.

use super::{error::ConfigError, gateway::split_address, table::Table, whole};
use crate::{
    domain::id::Symbol,
    node::{clock::Speed, vault::Secret},
};
use std::{fmt, path::PathBuf};

/// Where quotes come from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum FeedSpec {
    /// A seeded market that follows the wall clock.
    #[default]
    Synthetic,
    /// Recorded bars or ticks, whose stamps are the clock.
    Replay(ReplaySpec),
    /// A market data session with a venue.
    Venue(VenueSpec),
}

/// How a feed is named.
pub const FEED_FORMS: &str = "synthetic, replay:FILE[,FILE…][,ask=FILE][,symbol=S][,tz=Z] or \
                              venue:HOST:PORT[,token-file=FILE][,symbol=S…]";

/// A venue whose quotes are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VenueSpec {
    /// `host:port`.
    pub address: String,
    /// A file that holds the token; without it the configuration's token is taken.
    pub token_file: Option<PathBuf>,
    /// Empty: every instrument.
    pub symbols: Vec<Symbol>,
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
#[error("`{text}` is not a feed: {reason}; use {FEED_FORMS}")]
pub struct SpecError {
    text: String,
    reason: String,
}

impl FeedSpec {
    /// Reads one of the `FEED_FORMS`.
    pub fn parse(text: &str) -> Result<Self, SpecError> {
        // what follows such a key may be a secret
        let shown = text.split_once("token=").map_or(text, |(before, _)| before);
        let wrong = |reason: &str| SpecError { text: shown.to_owned(), reason: reason.to_owned() };
        if text == "synthetic" {
            return Ok(Self::Synthetic);
        }
        if let Some(rest) = text.strip_prefix("venue:") {
            return venue(rest, wrong).map(Self::Venue);
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

    /// `synthetic`, `replay` or `venue`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Synthetic => "synthetic",
            Self::Replay(_) => "replay",
            Self::Venue(_) => "venue",
        }
    }

    /// Whether the wall clock is its clock, so that quotes can go stale.
    pub const fn is_live(&self) -> bool {
        !matches!(self, Self::Replay(_))
    }
}

fn venue(rest: &str, wrong: impl Fn(&str) -> SpecError) -> Result<VenueSpec, SpecError> {
    let mut parts = rest.split(',');
    let address = parts.next().unwrap_or_default();
    if split_address(address).is_none() {
        return Err(wrong("no HOST:PORT"));
    }
    let mut spec = VenueSpec { address: address.to_owned(), token_file: None, symbols: Vec::new() };
    for part in parts {
        match part.split_once('=') {
            Some(("token-file", file)) if !file.is_empty() => spec.token_file = Some(file.into()),
            Some(("symbol", symbol)) => {
                spec.symbols.push(Symbol::new(symbol).map_err(|error| wrong(&error.to_string()))?);
            }
            Some(("token", _)) => {
                return Err(wrong("a token is not for the command line: use token-file=FILE"));
            }
            _ => return Err(wrong(&format!("`{part}` is not token-file=FILE or symbol=S"))),
        }
    }
    Ok(spec)
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
            Self::Venue(venue) => write!(f, "venue:{}", venue.address),
        }
    }
}

/// What the file says about the feed; the command line goes first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FeedSection {
    pub source: Option<FeedSpec>,
    pub speed: Option<Speed>,
    /// What a venue is told about who we are.
    pub token: Option<Secret>,
    /// Of a live feed; 0: quotes never go stale.
    pub quote_max_age_ms: Option<u64>,
}

pub(super) fn read(table: &Table<'_>) -> Result<FeedSection, ConfigError> {
    Ok(FeedSection {
        token: super::token(table)?,
        source: table.text("source", FEED_FORMS, |text| FeedSpec::parse(text).ok())?,
        speed: table.number("speed", "a positive number or \"max\"", Speed::parse)?,
        quote_max_age_ms: whole(table, "quote_max_age_ms", 0, 86_400_000)?,
    })
}
