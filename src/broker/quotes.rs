//! The session of a market data reader: the newest quote of each symbol, as fast as the peer reads.

use super::{
    Broker,
    clerk::Stop,
    ended,
    outbox::Outbox,
    peer::{Peer, Watch},
};
use crate::{
    domain::{instrument::InstrumentId, market::Quote, message::FeedEvent, time::UnixNanos},
    node::{
        connector::wire::{self, GatewayFrame, QuoteFrame, VenueFrame},
        hub::Release,
    },
};
use std::{collections::BTreeMap, future::poll_fn, sync::Arc, task::Poll};
use tokio::sync::mpsc;

/// Releases that may wait; quotes beyond them are replaced by newer ones.
const RELEASES: usize = 256;

/// What one turn of the loop brought.
enum Turn {
    Ended(Option<()>),
    Timer,
    Released(Option<Arc<Release>>),
    Line(Result<Vec<u8>, String>),
}

/// Tells the quotes of these symbols until something ends the session.
pub(super) async fn talk(
    broker: &Broker,
    symbols: &[InstrumentId],
    peer: &mut Peer,
    ending: &mut mpsc::Receiver<()>,
) -> (Outbox, Stop) {
    let _interest = broker.handle.tick_interest();
    let mut releases = broker.handle.subscribe(RELEASES);
    let instruments = broker.handle.instruments();
    let mut watch = Watch::new(peer);
    let mut outbox = Outbox::default();
    let mut newest: BTreeMap<InstrumentId, (Quote, UnixNanos)> = BTreeMap::new();
    loop {
        if outbox.is_empty() {
            while let Some((id, (quote, ts))) = newest.pop_first() {
                outbox.push(&VenueFrame::Quote(QuoteFrame::new(&instruments[id.index()], quote, ts)));
            }
        }
        let turn = tokio::select! {
            biased;
            word = ending.recv() => Turn::Ended(word),
            () = watch.ring() => Turn::Timer,
            line = poll_fn(|cx| {
                let waited = !outbox.is_empty();
                match outbox.poll_write(cx, &mut *peer.stream) {
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error.to_string())),
                    // there is room again for what was conflated
                    Poll::Ready(Ok(())) if waited && !newest.is_empty() => return Poll::Ready(Ok(Vec::new())),
                    _ => {}
                }
                peer.lines.poll_next(cx, &mut *peer.stream).map_err(|error| error.to_string())
            }) => Turn::Line(line),
            release = releases.recv() => Turn::Released(release),
        };
        let stop = match turn {
            Turn::Ended(word) => Some(ended(word)),
            Turn::Timer => match watch.tick(&outbox, false) {
                Err(stop) => Some(stop),
                Ok(quiet) => {
                    if quiet {
                        outbox.push(&VenueFrame::Heartbeat { last: None });
                    }
                    None
                }
            },
            Turn::Released(None) => {
                releases = broker.handle.subscribe(RELEASES);
                None
            }
            Turn::Released(Some(release)) => {
                for event in &release.feed {
                    if let FeedEvent::Tick { instrument, ts, quote } = event
                        && symbols.contains(instrument)
                    {
                        newest.insert(*instrument, (*quote, *ts));
                    }
                }
                None
            }
            Turn::Line(Err(error)) => Some(Stop::new(error)),
            Turn::Line(Ok(line)) if line.is_empty() => None,
            Turn::Line(Ok(line)) => {
                watch.heard();
                heard(&line).err()
            }
        };
        if let Some(stop) = stop {
            return (outbox, stop);
        }
    }
}

fn heard(line: &[u8]) -> Result<(), Stop> {
    match wire::read_gateway(line) {
        Ok((_, GatewayFrame::Heartbeat)) => Ok(()),
        Ok((_, GatewayFrame::Logoff)) => Err(Stop::new("LOGOFF")),
        Ok(_) => Err(Stop::new("BAD_FRAME: a market data session takes heartbeats only")),
        Err(error) => Err(Stop::new(format!("BAD_FRAME: {error}"))),
    }
}
