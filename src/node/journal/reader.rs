//! What is read beside the writer: events, candles, archived orders, inputs; committed data only.

use super::{
    StoredEvent,
    error::JournalError,
    index::{Dated, History, Index, Span},
    record, row,
    segments::Segments,
};
use crate::domain::{
    id::{AccountId, ClientOrderId, OrderId},
    instrument::InstrumentId,
    market::{Candle, Timeframe},
    message::{Input, OrderDetail, OrderKey},
    time::UnixNanos,
};
use std::{ops::ControlFlow, sync::Arc};

/// Events or candles that one call returns at most.
const ROWS_AT_MOST: usize = 5_000;

/// Segments that one call looks into for candles at most.
const SEGMENTS_AT_MOST: usize = 256;

/// Reads the journal beside the writer. Blocks on the disk.
#[derive(Debug, Clone)]
pub struct JournalReader {
    pub(super) segments: Arc<Segments>,
    pub(super) index: Arc<Index>,
}

impl JournalReader {
    /// Up to `limit` events after the one of that number, in order.
    pub fn events_after(&self, number: u64, limit: usize) -> Result<Vec<StoredEvent>, JournalError> {
        let rows = self.segments.events_after(number, limit.min(ROWS_AT_MOST))?;
        rows.iter().map(|(number, row)| row::read_event(*number, row)).collect()
    }

    /// The newest `limit` closed candles that open within `from ..= to`, oldest first.
    pub fn candles(
        &self,
        instrument: InstrumentId,
        timeframe: Timeframe,
        from: Option<UnixNanos>,
        to: Option<UnixNanos>,
        limit: usize,
    ) -> Result<Vec<Candle>, JournalError> {
        let limit = limit.min(ROWS_AT_MOST);
        let (from, to) = (from.unwrap_or(UnixNanos(i64::MIN)), to.unwrap_or(UnixNanos::MAX));
        if from > to {
            return Ok(Vec::new());
        }
        let mut found: Vec<Candle> = Vec::new();
        for header in self.segments.headers()?.iter().rev().take(SEGMENTS_AT_MOST) {
            let missing = limit - found.len();
            if missing == 0 {
                break;
            }
            let part =
                self.segments.with(header.first, |s| s.candles(instrument, timeframe, from..=to, missing))?;
            found.extend(part);
        }
        found.reverse();
        Ok(found)
    }

    /// A part of an account's history, oldest first: up to `limit` rows after a number.
    pub fn history<T: Dated>(
        &self,
        account: &AccountId,
        after: u64,
        span: Span,
        limit: usize,
    ) -> Result<History<T>, JournalError> {
        self.index.history(account, after, span, limit.min(ROWS_AT_MOST))
    }

    /// Visits what was entered, and when, from the newest back until the visitor breaks.
    pub fn inputs_from_newest(
        &self,
        mut visit: impl FnMut(UnixNanos, &Input) -> ControlFlow<()>,
    ) -> Result<(), JournalError> {
        let mut visit = |offset, bytes: &[u8]| {
            let (at, input) = record::input_of(offset, bytes)?;
            Ok(visit(at, &input))
        };
        for header in self.segments.headers()?.iter().rev() {
            if self.segments.with(header.first, |s| s.records_from_newest(&mut visit))?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// The order that bears this client order id, among those that ended.
    pub fn order_by_client_id(
        &self,
        account: &AccountId,
        id: &ClientOrderId,
    ) -> Result<Option<OrderId>, JournalError> {
        self.index.by_client_id(account, id)
    }

    /// An order that ended, with its fills.
    pub fn archived_order(
        &self,
        account: &AccountId,
        key: &OrderKey,
    ) -> Result<Option<OrderDetail>, JournalError> {
        self.index.order(account, key)
    }
}
