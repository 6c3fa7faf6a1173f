//! The market of a node: the product's synthetic one, as often as the plan wants it, and what befalls it.

use crate::{
    plan::MarketEvent,
    probe::Coverage,
    runtime::Clock,
    trace::{Kind, Node, Tracer},
};
use lockstep::{
    domain::{
        config::Config,
        instrument::{InstrumentId, Price},
        market::Quote,
        time::UnixNanos,
    },
    node::services::Markets,
    quotes::{LiveMarket, SyntheticFeed},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

const MILLI_NS: i64 = 1_000_000;

/// A node's market. Clones are the same; it outlives the processes of the node.
#[derive(Clone)]
pub struct Market(Arc<Shared>);

struct Shared {
    /// What is quoted.
    symbols: BTreeSet<String>,
    /// An instrument quotes once in so long; 0: as often as it does.
    every_ns: i64,
    node: Node,
    clock: Clock,
    tracer: Tracer,
    coverage: Coverage,
    befallen: Mutex<Vec<Befallen>>,
}

/// An event that lasts.
struct Befallen {
    event: MarketEvent,
    until_ns: u64,
    /// Whether it changed a quote.
    took_effect: bool,
}

impl Market {
    /// An undisturbed market of these symbols.
    pub fn new(
        symbols: &[String],
        every_ms: u64,
        node: Node,
        clock: Clock,
        tracer: Tracer,
        coverage: Coverage,
    ) -> Self {
        let symbols = symbols.iter().cloned().collect();
        let every_ns = i64::try_from(every_ms).expect("plans are checked") * MILLI_NS;
        let befallen = Mutex::default();
        Self(Arc::new(Shared { symbols, every_ns, node, clock, tracer, coverage, befallen }))
    }

    /// From now on, for so long.
    pub fn befall(&self, event: MarketEvent, for_ms: u64) {
        let until_ns = self.0.clock.elapsed_ns() + for_ms * MILLI_NS.unsigned_abs();
        self.befallen().push(Befallen { event, until_ns, took_effect: false });
    }

    fn befallen(&self) -> MutexGuard<'_, Vec<Befallen>> {
        self.0.befallen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What becomes of a quote that is drawn now; `None`: nobody hears it.
    fn shape(&self, at: UnixNanos, quote: Quote) -> Option<Quote> {
        let now_ns = self.0.clock.elapsed_ns();
        let ahead_ns = u64::try_from(at.since(self.0.clock.wall())).unwrap_or(0);
        let mut befallen = self.befallen();
        befallen.retain(|b| b.until_ns > now_ns);
        let mut shaped = Some(quote);
        for Befallen { event, until_ns, took_effect } in &mut *befallen {
            if now_ns + ahead_ns >= *until_ns {
                continue; // it will be over
            }
            shaped = shaped.and_then(|quote| shape(*event, quote));
            if !std::mem::replace(took_effect, true) {
                self.receipt(*event);
            }
        }
        shaped
    }

    fn receipt(&self, event: MarketEvent) {
        let name = event.name();
        self.0.coverage.mark(name);
        let body = format!(r#"{{"fault":"{name}"}}"#);
        self.0.tracer.record(self.0.node, Kind::Fault, &body);
    }
}

/// A quote as it is under the event.
fn shape(event: MarketEvent, Quote { bid, ask }: Quote) -> Option<Quote> {
    let moved = |price: Price, permille: i64| Price((price.0 * (1_000 + permille) / 1_000).max(1));
    Some(match event {
        MarketEvent::Gap => return None,
        MarketEvent::Jump { permille } => {
            let spread = ask.0 - bid.0;
            let bid = moved(bid, permille);
            Quote { bid, ask: Price(bid.0 + spread) }
        }
        MarketEvent::Wide { times } => {
            let extra = (ask.0 - bid.0) * (times - 1).max(0);
            Quote { bid: Price((bid.0 - extra / 2).max(1)), ask: Price(ask.0 + extra - extra / 2) }
        }
        MarketEvent::Crossed => Quote { bid: ask, ask: bid },
    })
}

impl Markets for Market {
    fn open(&self, seed: u64, config: &Config, last: &BTreeMap<InstrumentId, Quote>) -> Box<dyn LiveMarket> {
        let is_quoted = |symbol: &str| self.0.symbols.contains(symbol);
        let ids = (0..).zip(&config.instruments).filter(|(_, i)| is_quoted(i.symbol.as_str()));
        let ids = ids.map(|(id, _)| InstrumentId(id)).collect();
        let inner = SyntheticFeed::new(seed, &config.instruments, &config.calendars, last).only(&ids);
        Box::new(Shaped { market: self.clone(), inner, quoted: BTreeMap::new() })
    }
}

struct Shaped {
    market: Market,
    inner: SyntheticFeed,
    /// When each instrument was last quoted.
    quoted: BTreeMap<InstrumentId, UnixNanos>,
}

impl Shaped {
    fn is_due(&mut self, at: UnixNanos, id: InstrumentId) -> bool {
        let every_ns = self.market.0.every_ns;
        if every_ns == 0 {
            return true;
        }
        let is_due = self.quoted.get(&id).is_none_or(|last| last.floor(every_ns) < at.floor(every_ns));
        if is_due {
            self.quoted.insert(id, at);
        }
        is_due
    }
}

impl LiveMarket for Shaped {
    fn next(&mut self, mut after: UnixNanos) -> Option<(UnixNanos, InstrumentId, Quote)> {
        loop {
            let (at, id, quote) = self.inner.next(after)?;
            after = at;
            if self.is_due(at, id)
                && let Some(quote) = self.market.shape(at, quote)
            {
                return Some((at, id, quote));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_befalls_a_market_shows_in_its_quotes() {
        let quote = Quote { bid: Price(10_000), ask: Price(10_010) };
        let of = |bid, ask| Some(Quote { bid: Price(bid), ask: Price(ask) });
        for (event, expected) in [
            (MarketEvent::Gap, None),
            (MarketEvent::Jump { permille: -100 }, of(9_000, 9_010)),
            (MarketEvent::Jump { permille: 50 }, of(10_500, 10_510)),
            (MarketEvent::Wide { times: 5 }, of(9_980, 10_030)),
            (MarketEvent::Crossed, of(10_010, 10_000)),
        ] {
            assert_eq!(shape(event, quote), expected, "{event:?}");
        }
    }
}
