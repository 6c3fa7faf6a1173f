//! The one way out.

use super::{Event, FillView, Mark, OrderView, Reply, VenueRequest};
use crate::domain::{
    id::{AccountId, ClientOrderId, OrderId},
    instrument::InstrumentId,
    ledger::LedgerEntry,
    market::{Candle, Quote, Timeframe},
    time::UnixNanos,
};
use serde::{Deserialize, Serialize};

/// What one step produced, in order of production within each list. Reused between steps.
#[derive(Debug, Default)]
pub struct Outputs {
    /// Critical events: numbered, stored, delivered. Hashed.
    pub events: Vec<Event>,
    /// Postings. Hashed.
    pub ledger: Vec<LedgerEntry>,
    /// Requests to venues outside the machine. Hashed.
    pub venue: Vec<VenueRequest>,
    /// Answers. Hashed.
    pub replies: Vec<Reply>,
    /// Orders that became terminal, for the archive. Not hashed: the events tell the same.
    pub archived: Vec<ArchivedOrder>,
    /// Fills, for the archive. Not hashed: the events tell the same.
    pub fills: Vec<FillView>,
    /// Market data for subscribers. Not hashed.
    pub feed: Vec<FeedEvent>,
    /// Rare things. Not hashed.
    pub marks: Vec<Mark>,
}

impl Outputs {
    /// Empties all lists and keeps their memory.
    pub fn clear(&mut self) {
        self.events.clear();
        self.ledger.clear();
        self.venue.clear();
        self.replies.clear();
        self.archived.clear();
        self.fills.clear();
        self.feed.clear();
        self.marks.clear();
    }

    /// Whether anything that is hashed, stored or answered is in it.
    pub const fn is_quiet(&self) -> bool {
        self.events.is_empty() && self.ledger.is_empty() && self.venue.is_empty() && self.replies.is_empty()
    }
}

/// An order at its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchivedOrder {
    pub account: AccountId,
    pub order_id: OrderId,
    pub client_order_id: Option<ClientOrderId>,
    pub order: OrderView,
    pub fills: Vec<FillView>,
}

/// Market data as it happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeedEvent {
    Tick { instrument: InstrumentId, ts: UnixNanos, quote: Quote },
    CandleClosed { instrument: InstrumentId, timeframe: Timeframe, candle: Candle },
    Session { instrument: InstrumentId, ts: UnixNanos, open: bool },
}
