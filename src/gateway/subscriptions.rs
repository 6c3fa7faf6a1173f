//! One session's subscriptions: which market data and account happenings it asked for, and how they
//! are delivered as `event.feed.event`.

use super::{
    limits,
    outbox::{Class, Outbox, Outgoing},
    view::{CandleView, SessionView, TickView},
};
use crate::{
    domain::{
        id::{AccountId, Symbol},
        instrument::Instrument,
        market::Timeframe,
        message::{FeedEvent, OrderUpdated, TradeCanceled, TradeClosed, TradeExecuted},
        time::UnixNanos,
    },
    node::{
        handle::Handle,
        hub::{Release, TickInterest},
        journal::{Epoch, StoredEvent},
    },
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use std::{collections::BTreeMap, sync::Arc};

/// The event that carries everything that was subscribed to.
pub const FEED_EVENT: &str = "event.feed.event";

/// A topic, and the attributes by which it can be filtered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Topic {
    pub name: &'static str,
    timeframe: bool,
    account: bool,
}

macro_rules! topics {
    ($($name:ident = $text:literal $(, $attribute:ident)*;)+) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        enum On { $($name,)+ }

        /// Everything that can be subscribed to. All have a symbol.
        pub const TOPICS: &[Topic] = &[
            $(Topic { $($attribute: true,)* ..Topic { name: $text, timeframe: false, account: false } },)+
        ];
    };
}

topics! {
    Tick = "market.price.tick";
    CandleUpdated = "market.candle.updated", timeframe;
    CandleClosed = "market.candle.closed", timeframe;
    SessionOpen = "market.session.open";
    SessionClose = "market.session.close";
    OrderPlaced = "account.order.placed", account;
    OrderFilled = "account.order.filled", account;
    OrderCanceled = "account.order.canceled", account;
    PositionOpened = "account.position.opened", account;
    PositionClosed = "account.position.closed", account;
    TradeExecuted = "trade.executed", account;
}

/// The payload of `event.feed.event`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FeedEventPayload {
    pub subscription_id: String,
    /// The same for the same happening, whoever is told and whenever.
    pub event_id: Arc<str>,
    pub topic: &'static str,
    pub ts: UnixNanos,
    /// `feed` for market data, `gateway` for what accounts did.
    pub source: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub symbol: Option<Symbol>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeframe: Option<Timeframe>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_id: Option<AccountId>,
    pub partition_key: Arc<str>,
    /// From 1, contiguous per subscription and partition; an event that was dropped leaves its number out.
    pub sequence: u64,
    #[schemars(with = "serde_json::Value")]
    pub payload: Arc<RawValue>,
}

/// What a client asked for. Empty filters let everything through.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// By place in `TOPICS`.
    pub topics: Vec<usize>,
    pub symbols: Vec<Symbol>,
    pub timeframes: Vec<Timeframe>,
    pub account: Option<AccountId>,
}

impl Filter {
    fn wants(&self, about: &About<'_>) -> bool {
        let topic = &TOPICS[about.topic as usize];
        self.topics.contains(&(about.topic as usize))
            && (self.symbols.is_empty() || self.symbols.contains(about.symbol))
            && (!topic.timeframe
                || self.timeframes.is_empty()
                || about.timeframe.is_some_and(|t| self.timeframes.contains(&t)))
            && (!topic.account || self.account.is_none() || self.account.as_ref() == about.account)
    }

    /// Whether it is about prices that change between candles.
    fn wants_ticks(&self) -> bool {
        self.topics.contains(&(On::Tick as usize)) || self.topics.contains(&(On::CandleUpdated as usize))
    }
}

/// The topics that a pattern means: a name, or a prefix and `*` as the last segment. Empty if none.
pub fn matching(pattern: &str) -> Vec<usize> {
    let prefix = pattern.strip_suffix('*').filter(|p| p.is_empty() || p.ends_with('.'));
    let wanted = |name: &str| match prefix {
        Some(prefix) => name.starts_with(prefix),
        None => name == pattern,
    };
    TOPICS.iter().enumerate().filter(|(_, t)| wanted(t.name)).map(|(index, _)| index).collect()
}

/// All subscriptions of a session.
#[derive(Debug, Default)]
pub struct Subscriptions {
    by_id: BTreeMap<u64, Subscription>,
    issued: u64,
}

#[derive(Debug)]
struct Subscription {
    filter: Filter,
    sequences: BTreeMap<Arc<str>, u64>,
    _ticks: Option<TickInterest>,
}

/// What is told, before it is known to whom.
struct About<'a> {
    topic: On,
    event_id: Arc<str>,
    ts: UnixNanos,
    symbol: &'a Symbol,
    timeframe: Option<Timeframe>,
    account: Option<&'a AccountId>,
    /// Only the newest of this generation counts: of a candle, for one. `None`: each counts.
    newest: Option<(Class, i64)>,
}

impl Subscriptions {
    /// Adds one; `None` if there are too many.
    pub fn add(&mut self, filter: Filter, handle: &Handle) -> Option<String> {
        if self.by_id.len() >= limits::SUBSCRIPTIONS {
            return None;
        }
        self.issued += 1;
        let ticks = filter.wants_ticks().then(|| handle.tick_interest());
        self.by_id.insert(self.issued, Subscription { filter, sequences: BTreeMap::new(), _ticks: ticks });
        Some(format!("sub_{}", self.issued))
    }

    /// Ends one; false if there is none of this id.
    pub fn remove(&mut self, id: &str) -> bool {
        let number = id.strip_prefix("sub_").and_then(|n| n.parse().ok());
        number.is_some_and(|number: u64| self.by_id.remove(&number).is_some())
    }

    /// Tells the market data of a release.
    pub fn market(&mut self, release: &Release, instruments: &[Instrument], outbox: &mut Outbox) {
        if self.by_id.is_empty() {
            return;
        }
        for (index, event) in release.feed.iter().enumerate() {
            self.feed_event(event, (release.journal_offset, index), instruments, outbox);
        }
        for (id, candles) in &release.partials {
            let Some(instrument) = instruments.get(id.index()) else { continue };
            let ticked = release.feed.iter().rev().find_map(|event| match event {
                FeedEvent::Tick { instrument, ts, .. } if instrument == id => Some(*ts),
                _ => None,
            });
            for (timeframe, candle) in Timeframe::ALL.into_iter().zip(candles) {
                let Some(candle) = candle else { continue };
                let id = format!("candle.{}.{timeframe}.{}.{}", instrument.symbol, candle.ts.0, candle.ticks);
                let about = About {
                    topic: On::CandleUpdated,
                    event_id: id.into(),
                    ts: ticked.unwrap_or(candle.ts),
                    symbol: &instrument.symbol,
                    timeframe: Some(timeframe),
                    account: None,
                    newest: Some((Class::State, candle.ts.0)),
                };
                self.tell(&about, outbox, || raw(&CandleView::new(candle, instrument, false)));
            }
        }
    }

    fn feed_event(
        &mut self,
        event: &FeedEvent,
        (offset, index): (u64, usize),
        instruments: &[Instrument],
        outbox: &mut Outbox,
    ) {
        let (FeedEvent::Tick { instrument, .. }
        | FeedEvent::CandleClosed { instrument, .. }
        | FeedEvent::Session { instrument, .. }) = *event;
        let Some(instrument) = instruments.get(instrument.index()) else { return };
        let symbol = &instrument.symbol;
        let about = |topic, event_id: String, ts, timeframe, newest| About {
            topic,
            event_id: event_id.into(),
            ts,
            symbol,
            timeframe,
            account: None,
            newest,
        };
        match *event {
            FeedEvent::Tick { ts, quote, .. } => {
                let id = format!("tick.{symbol}.{offset}.{index}");
                let about = about(On::Tick, id, ts, None, Some((Class::Ticks, 0)));
                self.tell(&about, outbox, || raw(&TickView::new(ts, quote, instrument)));
            }
            FeedEvent::CandleClosed { timeframe, candle, .. } => {
                let id = format!("candle.{symbol}.{timeframe}.{}", candle.ts.0);
                let ts = candle.ts.plus(timeframe.len_ns());
                let about = about(On::CandleClosed, id, ts, Some(timeframe), None);
                self.tell(&about, outbox, || raw(&CandleView::new(&candle, instrument, true)));
            }
            FeedEvent::Session { ts, open, .. } => {
                let topic = if open { On::SessionOpen } else { On::SessionClose };
                let about = about(topic, format!("session.{symbol}.{}", ts.0), ts, None, None);
                self.tell(&about, outbox, || raw(&SessionView { symbol: symbol.clone(), open, ts }));
            }
        }
    }

    /// Tells what a critical event means to subscribers of account topics.
    pub fn account(&mut self, epoch: Epoch, event: &StoredEvent, outbox: &mut Outbox) {
        let concerned = TOPICS.iter().enumerate().filter(|(_, t)| t.account).map(|(index, _)| index);
        let concerned: Vec<_> = concerned.collect();
        if !self.by_id.values().any(|s| s.filter.topics.iter().any(|t| concerned.contains(t))) {
            return;
        }
        let (symbol, topics) = match &*event.name {
            "event.trade.executed" => match serde_json::from_str::<TradeExecuted>(&event.payload) {
                Ok(trade) => {
                    // a position bears the number of the order that opened it
                    let opened = trade.position_id.0 == trade.order_id.0;
                    let filled = trade.leaves_volume.is_zero();
                    let topics = [
                        Some(On::TradeExecuted),
                        filled.then_some(On::OrderFilled),
                        opened.then_some(On::PositionOpened),
                    ];
                    (trade.symbol, topics)
                }
                Err(_) => return,
            },
            "event.order.updated" => match serde_json::from_str::<OrderUpdated>(&event.payload) {
                Ok(updated) if updated.placed => (updated.order.symbol, [Some(On::OrderPlaced), None, None]),
                _ => return,
            },
            "event.trade.canceled" => match serde_json::from_str::<TradeCanceled>(&event.payload) {
                Ok(canceled) => (canceled.order.symbol, [Some(On::OrderCanceled), None, None]),
                Err(_) => return,
            },
            "event.trade.closed" => match serde_json::from_str::<TradeClosed>(&event.payload) {
                Ok(closed) if closed.position.volume.is_zero() => {
                    (closed.position.symbol, [Some(On::PositionClosed), None, None])
                }
                _ => return,
            },
            _ => return,
        };
        for topic in topics.into_iter().flatten() {
            let about = About {
                topic,
                event_id: format!("{epoch}.{}", event.number).into(),
                ts: event.ts,
                symbol: &symbol,
                timeframe: None,
                account: event.account.as_ref(),
                newest: None,
            };
            self.tell(&about, outbox, || {
                RawValue::from_string(event.payload.to_string()).expect("stored payloads are JSON").into()
            });
        }
    }

    fn tell(&mut self, about: &About<'_>, outbox: &mut Outbox, payload: impl Fn() -> Arc<RawValue>) {
        let mut made = None;
        for (number, subscription) in &mut self.by_id {
            if subscription.filter.wants(about) {
                let payload = Arc::clone(made.get_or_insert_with(&payload));
                subscription.tell(*number, about, payload, outbox);
            }
        }
    }
}

impl Subscription {
    fn tell(&mut self, number: u64, about: &About<'_>, payload: Arc<RawValue>, outbox: &mut Outbox) {
        let topic = TOPICS[about.topic as usize].name;
        let partition: Arc<str> = match (about.account, about.timeframe) {
            (Some(account), _) => account.as_str().into(),
            (None, Some(timeframe)) => format!("{}:{timeframe}", about.symbol).into(),
            (None, None) => about.symbol.as_str().into(),
        };
        let newest = about.newest.map(|(class, generation)| {
            let key = format!("{number} {topic} {partition} {generation}");
            (class, key)
        });
        let waiting = newest.as_ref().and_then(|(_, key)| outbox.waiting_sequence(key));
        let sequence = waiting.unwrap_or_else(|| {
            let last = self.sequences.entry(Arc::clone(&partition)).or_default();
            *last += 1;
            *last
        });
        let body = FeedEventPayload {
            subscription_id: format!("sub_{number}"),
            event_id: Arc::clone(&about.event_id),
            topic,
            ts: about.ts,
            source: if about.account.is_some() { "gateway" } else { "feed" },
            symbol: Some(about.symbol.clone()),
            timeframe: about.timeframe,
            account_id: about.account.cloned(),
            partition_key: partition,
            sequence,
            payload,
        };
        let event = Outgoing {
            name: FEED_EVENT.into(),
            ts: about.ts,
            cursor: None,
            payload: super::frame::encode(&body).into(),
        };
        match newest {
            Some((class, key)) => outbox.newest(class, key, sequence, event),
            None => outbox.feed(event),
        }
    }
}

fn raw(value: &impl Serialize) -> Arc<RawValue> {
    to_raw_value(value).expect("views have text keys only").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::outbox::Room;

    fn check(pattern: &str, names: &[&str]) {
        let found: Vec<_> = matching(pattern).into_iter().map(|index| TOPICS[index].name).collect();
        assert_eq!(found, names, "{pattern}");
    }

    #[test]
    fn a_star_stands_for_the_last_segments_only() {
        check("market.price.tick", &["market.price.tick"]);
        check("market.candle.*", &["market.candle.updated", "market.candle.closed"]);
        check("account.position.*", &["account.position.opened", "account.position.closed"]);
        assert_eq!(matching("*").len(), TOPICS.len());
        for unknown in
            ["", "market", "market.", "market.candle", "market.*.tick", "*.tick", "mark*", "**", "x.*"]
        {
            check(unknown, &[]);
        }
    }

    #[test]
    fn a_filter_applies_to_topics_that_have_its_attribute() {
        let btc = Symbol::new("BTCUSD").expect("a symbol");
        let paper = AccountId::new("paper").expect("an id");
        let other = AccountId::new("other").expect("an id");
        let filter = Filter {
            topics: matching("*"),
            symbols: vec![btc.clone()],
            timeframes: vec![Timeframe::M5],
            account: Some(paper.clone()),
        };
        let eth = Symbol::new("ETHUSD").expect("a symbol");
        for (topic, symbol, timeframe, account, wanted) in [
            (On::Tick, &btc, None, None, true),
            (On::Tick, &eth, None, None, false),
            (On::CandleClosed, &btc, Some(Timeframe::M5), None, true),
            (On::CandleClosed, &btc, Some(Timeframe::M1), None, false),
            (On::TradeExecuted, &btc, None, Some(&paper), true),
            (On::TradeExecuted, &btc, None, Some(&other), false),
        ] {
            let about = About {
                topic,
                event_id: "".into(),
                ts: UnixNanos::ZERO,
                symbol,
                timeframe,
                account,
                newest: None,
            };
            assert_eq!(filter.wants(&about), wanted, "{topic:?} {symbol} {timeframe:?} {account:?}");
        }
    }

    #[test]
    fn sequences_are_contiguous_per_partition_though_ticks_are_replaced() {
        let room = Room { frames: 100, bytes: 1 << 20 };
        let mut outbox = Outbox::new(room, room);
        let mut subscription = Subscription {
            filter: Filter { topics: matching("*"), ..Filter::default() },
            sequences: BTreeMap::new(),
            _ticks: None,
        };
        let btc = Symbol::new("BTCUSD").expect("a symbol");
        let mut tell = |topic, newest, outbox: &mut Outbox| {
            let about = About {
                topic,
                event_id: "id".into(),
                ts: UnixNanos::ZERO,
                symbol: &btc,
                timeframe: None,
                account: None,
                newest,
            };
            subscription.tell(7, &about, raw(&1), outbox);
        };
        tell(On::Tick, Some((Class::Ticks, 0)), &mut outbox);
        tell(On::SessionOpen, None, &mut outbox);
        tell(On::Tick, Some((Class::Ticks, 0)), &mut outbox);
        assert_eq!(outbox.waiting_sequence("7 market.price.tick BTCUSD 0"), Some(1));
        tell(On::SessionClose, None, &mut outbox);
        assert_eq!(subscription.sequences.values().copied().collect::<Vec<_>>(), [3]);
    }
}
