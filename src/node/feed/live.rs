//! The way of a live feed's quotes to the writer: the newest of a symbol, as soon as there is room.

use super::FeedContext;
use crate::{
    domain::{instrument::InstrumentId, market::Quote, message::Input},
    node::lanes::MarketInput,
};
use std::collections::BTreeMap;
use tokio::sync::mpsc::error::TrySendError;

/// The writer is gone.
pub(super) struct Gone;

/// Sends as many as there is room for.
pub(super) fn send(context: &FeedContext, waiting: &mut BTreeMap<InstrumentId, Quote>) -> Result<(), Gone> {
    while let Some((&instrument, quote)) = waiting.first_key_value() {
        let input = Input::Quote { instrument, bid: quote.bid, ask: quote.ask };
        match context.market.try_send(MarketInput { input, row: None }) {
            Ok(()) => drop(waiting.pop_first()),
            Err(TrySendError::Full(_)) => return Ok(()),
            Err(TrySendError::Closed(_)) => return Err(Gone),
        }
    }
    Ok(())
}
