//! `feeds.*`: live market data and account happenings, and candles.

use super::page::{Page, PageParams};
use crate::{
    domain::{
        id::{AccountId, Symbol},
        market::Timeframe,
        message::{Answer, ErrorCode, Query, Refusal},
    },
    gateway::{
        context::{Context, check_account, wrong_answer},
        limits::{CANDLES, FILTER_ENTRIES, SUBSCRIPTIONS},
        registry::Method,
        session::Session,
        subscriptions::{Filter, TOPICS, matching},
        view::CandleView,
        wire::{WireTime, conflict, invalid, missing},
    },
    node::{journal::Cursor, tokens::Scope},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub fn methods() -> Vec<Method> {
    vec![
        Method::detached("feeds.list", &[Scope::Read], "Where quotes come from.", list),
        Method::in_session("feeds.subscribe", &[Scope::Read], "Asks for live events by topic.", subscribe),
        Method::in_session("feeds.unsubscribe", &[Scope::Read], "Ends a subscription.", unsubscribe),
        Method::detached("feeds.getCandles", &[Scope::Read], "Candles of bids, ascending.", get_candles),
    ]
}

/// A source of quotes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct FeedView {
    feed_id: String,
    /// `synthetic`, `replay` or `venue`.
    kind: &'static str,
    symbols: Vec<Symbol>,
    /// Candles are made of its quotes for each of these.
    timeframes: Vec<Timeframe>,
    /// `starting`, `connecting`, `live`, `replaying`, `ended` or `failed`.
    state: &'static str,
}

async fn list(context: Context, params: PageParams) -> Result<Page<FeedView>, Refusal> {
    let status = context.handle.status();
    let feed = FeedView {
        feed_id: status.feed_kind.to_owned(),
        kind: status.feed_kind,
        symbols: status.feed_symbols.to_vec(),
        timeframes: Timeframe::ALL.to_vec(),
        state: status.feed.name(),
    };
    Page::cut(&params, vec![feed], |feed| feed.feed_id.clone(), status.head, context.frame_bytes)
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct SubscribeParams {
    /// Names such as `market.price.tick`; `*` stands for the last segments.
    topics: Vec<String>,
    #[serde(default)]
    symbols: Vec<String>,
    #[serde(default)]
    timeframes: Vec<Timeframe>,
    #[serde(default)]
    account_id: Option<AccountId>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Subscribed {
    subscription_id: String,
    cursor: Cursor,
}

fn subscribe(session: &mut Session, params: SubscribeParams) -> Result<Subscribed, Refusal> {
    let cursor = session.cursor();
    let handle = session.gateway.handle.clone();
    let Some(connected) = &mut session.connected else {
        return Err(Refusal::new(ErrorCode::AuthRequired, "CONNECT_FIRST", "connect first"));
    };
    if let Some(account) = &params.account_id {
        check_account(&connected.principal, account)?;
    }
    let instruments = handle.instruments();
    let filter = filter(params, |symbol| instruments.iter().any(|i| i.symbol == *symbol))?;
    let subscription_id = connected.subscriptions.add(filter, &handle).ok_or_else(|| {
        Refusal::new(
            ErrorCode::Conflict,
            "TOO_MANY_SUBSCRIPTIONS",
            format!("a session has at most {SUBSCRIPTIONS} subscriptions: end one"),
        )
    })?;
    Ok(Subscribed { subscription_id, cursor })
}

fn filter(params: SubscribeParams, is_known: impl Fn(&Symbol) -> bool) -> Result<Filter, Refusal> {
    if params.topics.is_empty() {
        return Err(missing("topics[0]"));
    }
    let lists = [
        ("topics", params.topics.len()),
        ("symbols", params.symbols.len()),
        ("timeframes", params.timeframes.len()),
    ];
    for (path, len) in lists {
        if len > FILTER_ENTRIES {
            return Err(invalid("OUT_OF_RANGE", path, &format!("has more than {FILTER_ENTRIES} entries")));
        }
    }
    let mut topics = Vec::new();
    for (index, pattern) in params.topics.iter().enumerate() {
        let found = matching(pattern);
        if found.is_empty() {
            let known: Vec<_> = TOPICS.iter().map(|topic| topic.name).collect();
            let why = "is not a topic; `*` may stand for the last segments only";
            return Err(invalid("UNKNOWN_TOPIC", &format!("topics[{index}]"), why).with("topics", known));
        }
        topics.extend(found);
    }
    topics.sort_unstable();
    topics.dedup();
    let mut symbols = Vec::new();
    for (index, text) in params.symbols.iter().enumerate() {
        let symbol = Symbol::new(text).ok().filter(&is_known);
        let unknown = || invalid("SYMBOL_UNKNOWN", &format!("symbols[{index}]"), "is not a known symbol");
        symbols.push(symbol.ok_or_else(unknown)?);
    }
    Ok(Filter { topics, symbols, timeframes: params.timeframes, account: params.account_id })
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct UnsubscribeParams {
    subscription_id: String,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Unsubscribed {
    subscription_id: String,
}

fn unsubscribe(session: &mut Session, params: UnsubscribeParams) -> Result<Unsubscribed, Refusal> {
    let subscriptions = session.connected.as_mut().map(|connected| &mut connected.subscriptions);
    if subscriptions.is_some_and(|subscriptions| subscriptions.remove(&params.subscription_id)) {
        return Ok(Unsubscribed { subscription_id: params.subscription_id });
    }
    Err(Refusal::new(ErrorCode::NotFound, "SUBSCRIPTION_UNKNOWN", "there is no such subscription"))
}

#[derive(Debug, Deserialize, JsonSchema)]
struct CandlesParams {
    symbol: String,
    timeframe: Timeframe,
    /// The first opening instant wanted.
    #[serde(default)]
    from: Option<WireTime>,
    /// The last opening instant wanted.
    #[serde(default)]
    to: Option<WireTime>,
    /// 1 to 5,000; 500 unless told. The newest are kept.
    #[serde(default)]
    limit: Option<usize>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Candles {
    candles: Vec<CandleView>,
    cursor: Cursor,
}

async fn get_candles(context: Context, params: CandlesParams) -> Result<Candles, Refusal> {
    let limit = params.limit.unwrap_or(CANDLES.0);
    if !(1..=CANDLES.1).contains(&limit) {
        return Err(invalid("OUT_OF_RANGE", "limit", &format!("must be 1 to {}", CANDLES.1)));
    }
    let (from, to) = (params.from.map(|at| at.0), params.to.map(|at| at.0));
    if from.zip(to).is_some_and(|(from, to)| from > to) {
        return Err(conflict("to", "lies before `from`"));
    }
    let (id, instrument) = context.instrument(&params.symbol)?;
    let question = Query::OpenCandle(id, params.timeframe);
    let (answer, cursor) = context.handle.query(question).await?;
    let Answer::OpenCandle(open) = answer else { return Err(wrong_answer("question")) };
    let candles = context.handle.candles(id, params.timeframe, from, to, limit).await?;
    // what was open at the cursor, or has opened since, is not complete there
    let is_complete = |ts| open.is_none_or(|open| ts < open.ts);
    let view = |candle| CandleView::new(candle, &instrument, is_complete(candle.ts));
    Ok(Candles { candles: candles.iter().map(view).collect(), cursor })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::wire::read;

    fn known(symbol: &Symbol) -> bool {
        ["BTCUSD", "ETHUSD"].contains(&symbol.as_str())
    }

    #[test]
    fn the_contract_example_of_subscribe_is_read() {
        let params = read(
            r#"{"topics":["market.candle.closed","trade.executed"],"symbols":["BTCUSD","ETHUSD"],
                "timeframes":["5m","1h"]}"#,
        )
        .expect("the contract's example");
        let filter = filter(params, known).expect("known topics and symbols");
        let names: Vec<_> = filter.topics.iter().map(|index| TOPICS[*index].name).collect();
        assert_eq!(names, ["market.candle.closed", "trade.executed"]);
        assert_eq!(filter.timeframes, [Timeframe::M5, Timeframe::H1]);
    }

    #[test]
    fn what_is_not_known_is_refused_by_path() {
        for (json, reason, path) in [
            (r#"{"topics":[]}"#, "FIELD_MISSING", "topics[0]"),
            (r#"{"topics":["market.price.tick","market.depth"]}"#, "UNKNOWN_TOPIC", "topics[1]"),
            (r#"{"topics":["market.*.tick"]}"#, "UNKNOWN_TOPIC", "topics[0]"),
            (r#"{"topics":["*"],"symbols":["NOPE"]}"#, "SYMBOL_UNKNOWN", "symbols[0]"),
            (r#"{"topics":["*"],"symbols":[""]}"#, "SYMBOL_UNKNOWN", "symbols[0]"),
        ] {
            let refusal = filter(read(json).expect(json), known).expect_err(json);
            assert_eq!((refusal.reason(), refusal.details["path"].as_str()), (reason, Some(path)), "{json}");
        }
        let refusal = read::<SubscribeParams>(r#"{"topics":["*"],"timeframes":["7m"]}"#).expect_err("7m");
        assert_eq!(refusal.details["path"], "timeframes[0]");
        assert!(read::<SubscribeParams>(r#"{"topics":["*"],"accountId":""}"#).is_err());
    }
}
