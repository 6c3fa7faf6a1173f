//! Random sessions: acts that are always well-formed, and inputs that are anything at all.

use super::rig::{Ask, Rig, account, account_id, ask, dec, symbol};
use lockstep::domain::{
    config::StrategyConfig,
    group::{GroupKind, JoinGroup},
    id::{AccountId, ClientOrderId, CommandId, GroupId, OrderId, PositionId, StopId},
    instrument::{InstrumentId, Price},
    market::{Bar, Ohlc, Timeframe},
    message::{
        CancelOrders, CancelTarget, ClosePosition, CloseTarget, Command, CommandBody, EmergencyStop,
        GatewayState, Idempotency, Input, OrderKey, PlaceOrder, Query, ResumeTarget, ResumeTrading,
        StopAction, StopLevel, StopScope,
    },
    money::Currency,
    order::{Filling, OrderType, Origin, Side, Stop, TimeInForce},
    time::{DAY_NS, HOUR_NS, MINUTE_NS, SECOND_NS, UnixNanos},
};
use proptest::{collection::vec, option, prelude::*};
use rust_decimal::Decimal;

pub const ACCOUNTS: [&str; 2] = ["main", "yen"];
const SYMBOLS: [&str; 4] = ["EURUSD", "USDJPY", "XAUUSD", "BTCUSD"];
/// Where each symbol begins, in ticks, and how far one step of a walk leads.
const STARTS: [(i64, i64); 4] = [(110_000, 150), (150_000, 200), (200_000, 400), (5_000_000, 60_000)];

/// So many cases unless PROPTEST_CASES, which proptest reads, says otherwise.
pub fn cases(default: u32) -> ProptestConfig {
    const WITHOUT_VARIABLE: u32 = 256;
    let config = ProptestConfig::default();
    let cases = if config.cases == WITHOUT_VARIABLE { default } else { config.cases };
    ProptestConfig { cases, failure_persistence: None, ..config }
}

/// One well-formed thing to do.
#[derive(Debug, Clone)]
pub enum Act {
    Wait(i64),
    Quote { symbol: usize, step: i64, spread: i64 },
    Crossed { symbol: usize },
    Bar { symbol: usize, high: i64, low: i64, close: i64, spread: i64 },
    Place { order: Draft, key: Option<u8> },
    Close { account: usize, nth: usize, part: bool },
    Cancel { account: usize, nth: usize },
    Stop { scope: usize, actions: Vec<StopAction> },
    Resume { scope: usize },
    Suspect(bool),
    Wake,
}

/// An order relative to the market.
#[derive(Debug, Clone)]
pub struct Draft {
    pub account: usize,
    pub symbol: usize,
    pub side: Side,
    /// Distance of a limit from the bid, in walk steps of a tenth; `None`: a market order.
    pub limit: Option<i64>,
    pub steps: i64,
    pub stop_loss: Option<u16>,
    pub take_profit: Option<u16>,
    pub reduces: Option<usize>,
    pub client_id: Option<u8>,
    /// Of a pending order: one of some groups of the hour.
    pub group: Option<usize>,
}

fn side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::Buy), Just(Side::Sell)]
}

pub fn draft() -> BoxedStrategy<Draft> {
    (
        (0..2_usize, 0..4_usize, side()),
        option::of(-30..30_i64),
        prop_oneof![8 => 1..60_i64, 2 => 60..3_000_i64, 1 => 0..20_000_i64],
        (option::of(0..40_u16), option::of(0..40_u16)),
        option::weighted(0.15, 0..4_usize),
        (option::weighted(0.3, 0..30_u8), option::weighted(0.4, 0..6_usize)),
    )
        .prop_map(|((account, symbol, side), limit, steps, levels, reduces, (client_id, group))| Draft {
            account,
            symbol,
            side,
            limit,
            steps,
            stop_loss: levels.0,
            take_profit: levels.1,
            reduces,
            client_id,
            group,
        })
        .boxed()
}

fn actions() -> impl Strategy<Value = Vec<StopAction>> {
    prop_oneof![
        Just(vec![StopAction::Pause]),
        Just(vec![StopAction::Pause, StopAction::CancelAll]),
        Just(vec![StopAction::CloseAll]),
    ]
}

fn act() -> BoxedStrategy<Act> {
    prop_oneof![
        6 => prop_oneof![0..SECOND_NS, 0..2 * MINUTE_NS].prop_map(Act::Wait),
        2 => prop_oneof![0..2 * HOUR_NS, 0..2 * DAY_NS].prop_map(Act::Wait),
        20 => (0..4_usize, -20..=20_i64, 0..30_i64).prop_map(|(symbol, step, spread)| Act::Quote { symbol, step, spread }),
        1 => (0..4_usize).prop_map(|symbol| Act::Crossed { symbol }),
        6 => (0..4_usize, 0..20_i64, 0..20_i64, 0..=20_i64, 0..30_i64).prop_map(|(symbol, high, low, close, spread)| Act::Bar { symbol, high, low, close, spread }),
        16 => (draft(), option::weighted(0.3, 0..6_u8)).prop_map(|(order, key)| Act::Place { order, key }),
        5 => (0..2_usize, 0..4_usize, any::<bool>()).prop_map(|(account, nth, part)| Act::Close { account, nth, part }),
        3 => (0..2_usize, 0..4_usize).prop_map(|(account, nth)| Act::Cancel { account, nth }),
        1 => (0..3_usize, actions()).prop_map(|(scope, actions)| Act::Stop { scope, actions }),
        6 => (0..3_usize).prop_map(|scope| Act::Resume { scope }),
        1 => prop_oneof![1 => Just(Act::Suspect(true)), 3 => Just(Act::Suspect(false))],
        2 => Just(Act::Wake),
    ]
    .boxed()
}

pub fn acts(most: usize) -> impl Strategy<Value = Vec<Act>> {
    vec(act(), most / 4..most)
}

/// Two accounts, four markets and a strategy, on the rig.
#[derive(Clone)]
pub struct World {
    pub rig: Rig,
    /// Present bids.
    bids: [i64; 4],
}

impl World {
    pub fn new() -> Self {
        let mut rig = Rig::with(|config| {
            config.accounts[0].commission_per_lot = dec("7");
            config.accounts[0].limits.max_daily_loss = Some(dec("400"));
            let mut yen = account("yen");
            yen.currency = Currency::new("JPY").expect("a code");
            yen.deposit = dec("500000");
            yen.leverage = 500;
            yen.limits.max_positions = Some(6);
            config.accounts.push(yen);
            config.strategies.push(StrategyConfig {
                name: "sma_cross".to_owned(),
                params: [("fast".to_owned(), "1".to_owned()), ("slow".to_owned(), "2".to_owned())].into(),
                account: account_id("main"),
                symbol: symbol("BTCUSD"),
                timeframe: Timeframe::M1,
                volume: dec("0.02"),
                stop_loss: Some(Stop::Ticks(60_000)),
                take_profit: Some(Stop::Percent(dec("2.5"))),
            });
        });
        for (name, (bid, step)) in SYMBOLS.iter().zip(STARTS) {
            rig.raw_quote(name, bid, bid + step / 10);
        }
        Self { rig, bids: STARTS.map(|(bid, _)| bid) }
    }

    fn instrument(&self, index: usize) -> InstrumentId {
        self.rig.find(SYMBOLS[index])
    }

    /// Does one thing.
    pub fn act(&mut self, act: &Act) {
        match act {
            Act::Wait(ns) => {
                self.rig.wait(*ns);
            }
            Act::Wake => {
                self.rig.wake();
            }
            Act::Suspect(suspect) => {
                self.rig.step(&Input::ClockSuspect { suspect: *suspect });
            }
            Act::Quote { symbol, step, spread } => {
                let (start, unit) = STARTS[*symbol];
                self.bids[*symbol] = (self.bids[*symbol] + step * unit / 10).max(start / 2);
                let bid = self.bids[*symbol];
                self.rig.raw_quote(SYMBOLS[*symbol], bid, bid + spread * unit / 100);
            }
            Act::Crossed { symbol } => {
                self.rig.raw_quote(SYMBOLS[*symbol], self.bids[*symbol], self.bids[*symbol] - 1);
            }
            Act::Bar { symbol, high, low, close, spread } => {
                self.bar(*symbol, [*high, *low, *close], *spread)
            }
            Act::Place { order, key } => {
                let body = CommandBody::Place(self.order(order));
                let key = key.map(|n| format!("key-{n}"));
                // some clients repeat a request, others change it under the same key
                let print =
                    if key.as_deref() < Some("key-3") { "same".to_owned() } else { format!("{body:?}") };
                self.rig.send_as("tester", key.as_deref().map(|k| (k, print.as_str())), body);
            }
            Act::Close { account, nth, part } => {
                let Some(position) = self.position(*account, *nth) else { return };
                self.rig.send(CommandBody::Close(ClosePosition {
                    account: account_id(ACCOUNTS[*account]),
                    target: CloseTarget::Position(position),
                    volume: part.then(|| dec("0.01")),
                    reason: None,
                }));
            }
            Act::Cancel { account, nth } => {
                let orders = self.rig.view_of(ACCOUNTS[*account]).orders;
                let target = match orders.get(*nth) {
                    Some(order) => CancelTarget::Order(order.order_id),
                    None => CancelTarget::All { symbol: None },
                };
                let account = account_id(ACCOUNTS[*account]);
                self.rig.send(CommandBody::Cancel(CancelOrders { account, target }));
            }
            Act::Stop { scope, actions } => {
                let (scope, actions) = (scope_of(*scope), actions.clone());
                let stop = EmergencyStop { scope, actions, reason: "random".to_owned() };
                self.rig.send(CommandBody::EmergencyStop(stop));
            }
            Act::Resume { scope } => {
                let target = ResumeTarget::Scope(scope_of(*scope));
                self.rig.send(CommandBody::Resume(ResumeTrading { target, reason: "random".to_owned() }));
            }
        }
    }

    fn bar(&mut self, index: usize, [high, low, close]: [i64; 3], spread: i64) {
        let (start, unit) = STARTS[index];
        let open = self.bids[index];
        let (high, low) = (open + high * unit / 5, (open - low * unit / 5).max(start / 2));
        let close = low + (high - low) * close / 20;
        let ohlc = |d: i64| Ohlc {
            open: Price(open + d),
            high: Price(high + d),
            low: Price(low + d),
            close: Price(close + d),
        };
        let bar = Bar {
            instrument: self.instrument(index),
            bid: ohlc(0),
            ask: ohlc(spread * unit / 100),
            len_ns: MINUTE_NS,
        };
        self.rig.step(&Input::Bar(bar));
        self.rig.wait(MINUTE_NS);
        self.bids[index] = close;
    }

    fn position(&self, account: usize, nth: usize) -> Option<PositionId> {
        self.rig.view_of(ACCOUNTS[account]).positions.get(nth).map(|p| p.position_id)
    }

    /// The order of a draft at the present market.
    pub fn order(&self, draft: &Draft) -> PlaceOrder {
        let group = draft.group.filter(|_| draft.limit.is_some());
        if let Some(nth) = group {
            // one account and one market, so that its orders fit together
            let alone = Draft { group: None, account: 0, symbol: nth % SYMBOLS.len(), ..draft.clone() };
            return self.grouped(nth, self.order(&alone));
        }
        let spec = &self.rig.config().instruments[self.instrument(draft.symbol).index()];
        let (_, unit) = STARTS[draft.symbol];
        let bid = self.bids[draft.symbol];
        let mut order = ask(draft.side, SYMBOLS[draft.symbol], "0.01").on(ACCOUNTS[draft.account]).0;
        order.volume = Decimal::new(draft.steps, 2);
        let base = draft.limit.map_or(bid, |d| bid + d * unit / 10);
        if draft.limit.is_some() {
            order.order_type = OrderType::Limit;
            order.price = Some(spec.price(Price(base)));
        }
        let level = |steps: u16, sign: i64| {
            let away = i64::from(steps) * unit / 10;
            match steps % 3 {
                0 => StopLevel::Ticks(away),
                1 => StopLevel::Percent(Decimal::new(i64::from(steps), 2)),
                _ => StopLevel::Price(spec.price(Price(base - sign * away))),
            }
        };
        order.stop_loss = draft.stop_loss.map(|n| level(n, draft.side.sign()));
        order.take_profit = draft.take_profit.map(|n| level(n, -draft.side.sign()));
        if let Some(position) = draft.reduces.and_then(|nth| self.position(draft.account, nth)) {
            order.reduce_only = true;
            order.position = Some(position);
        }
        order.client_order_id = draft.client_id.map(|n| ClientOrderId::new(&format!("c{n}")).expect("an id"));
        order
    }
}

impl World {
    /// The order as one of a group; beyond the market it is a stop.
    fn grouped(&self, nth: usize, mut order: PlaceOrder) -> PlaceOrder {
        let kind = [GroupKind::Oco, GroupKind::Oto, GroupKind::Bracket][nth % 3];
        let hour = self.rig.now.0 / HOUR_NS;
        let id = GroupId::new(&format!("g{nth}-{hour}")).expect("an id");
        order.group = Some(JoinGroup { kind, id, parent: None });
        let index = SYMBOLS.iter().position(|name| *name == order.symbol).expect("one of them");
        let spec = &self.rig.config().instruments[self.instrument(index).index()];
        let market = spec.price(Price(self.bids[index]));
        let beyond = order.price.is_some_and(|price| (price > market) == (order.side == Side::Buy));
        if beyond {
            order.order_type = OrderType::Stop;
            order.stop_price = order.price.take();
        }
        order
    }
}

fn scope_of(index: usize) -> StopScope {
    ACCOUNTS.get(index).map_or(StopScope::Global, |name| StopScope::Account(account_id(name)))
}

// ---- anything at all ---------------------------------------------------------------------------

fn wild_decimal() -> BoxedStrategy<Decimal> {
    prop_oneof![
        Just(Decimal::MAX),
        Just(Decimal::MIN),
        Just(Decimal::ZERO),
        Just(dec("-0.0000000000000000000000000001")),
        Just(dec("0.0000000000000000000000000001")),
        (any::<i64>(), 0..28_u32).prop_map(|(n, scale)| Decimal::new(n, scale)),
        (0..100_000_i64).prop_map(|n| Decimal::new(n, 2)),
        (0..i64::MAX).prop_map(Decimal::from),
    ]
    .boxed()
}

fn wild_ticks() -> BoxedStrategy<i64> {
    prop_oneof![
        Just(i64::MAX),
        Just(i64::MAX - 1),
        Just(i64::MIN),
        Just(-1),
        Just(0),
        Just(1),
        any::<i64>(),
        1..10_000_000_i64,
    ]
    .boxed()
}

fn wild_level() -> BoxedStrategy<StopLevel> {
    prop_oneof![
        wild_decimal().prop_map(StopLevel::Price),
        wild_ticks().prop_map(StopLevel::Ticks),
        wild_decimal().prop_map(StopLevel::Percent),
    ]
    .boxed()
}

fn wild_account() -> BoxedStrategy<AccountId> {
    prop_oneof![4 => Just("main"), 4 => Just("yen"), 1 => Just("nobody")].prop_map(account_id).boxed()
}

fn wild_symbol() -> BoxedStrategy<String> {
    prop_oneof![
        6 => prop::sample::select(SYMBOLS.to_vec()).prop_map(str::to_owned),
        1 => Just("GBPUSD".to_owned()),
        1 => ".{0,80}",
    ]
    .boxed()
}

fn wild_order() -> BoxedStrategy<PlaceOrder> {
    let types = prop::sample::select(vec![
        OrderType::Market,
        OrderType::Market,
        OrderType::Limit,
        OrderType::Limit,
        OrderType::Stop,
        OrderType::StopLimit,
        OrderType::TrailingStop,
    ]);
    let tifs = prop::sample::select(vec![TimeInForce::Gtc, TimeInForce::Day, TimeInForce::Gtd]);
    let fillings = option::of(prop::sample::select(vec![Filling::Fok, Filling::Ioc, Filling::Return]));
    (
        (wild_account(), wild_symbol(), side(), types),
        (wild_decimal(), option::of(wild_decimal()), option::of(wild_decimal())),
        (option::of(wild_level()), option::of(wild_level())),
        (tifs, fillings, option::weighted(0.1, any::<i64>().prop_map(UnixNanos))),
        (prop::bool::weighted(0.1), prop::bool::weighted(0.2), option::weighted(0.2, any::<u64>())),
        (option::weighted(0.2, "[A-Za-z0-9_.:-]{1,64}"), option::weighted(0.3, wild_group())),
    )
        .prop_map(|(who, numbers, levels, life, flags, (client, group))| PlaceOrder {
            group,
            volume: numbers.0,
            price: numbers.1,
            stop_price: numbers.2,
            stop_loss: levels.0,
            take_profit: levels.1,
            tif: life.0,
            filling: life.1,
            expires_at: life.2,
            post_only: flags.0,
            reduce_only: flags.1,
            position: flags.2.map(|n| PositionId(n % 20)),
            client_order_id: client.map(|id| ClientOrderId::new(&id).expect("an id")),
            ..Ask::from_parts(who)
        })
        .boxed()
}

impl Ask {
    fn from_parts((account, symbol, side, order_type): (AccountId, String, Side, OrderType)) -> PlaceOrder {
        PlaceOrder { account, symbol, order_type, ..ask(side, "EURUSD", "1").0 }
    }
}

fn wild_group() -> impl Strategy<Value = JoinGroup> {
    let kinds = prop::sample::select(vec![GroupKind::Oco, GroupKind::Oto, GroupKind::Bracket]);
    let parent =
        option::weighted(0.1, "[a-c]").prop_map(|id| id.map(|id| ClientOrderId::new(&id).expect("an id")));
    (kinds, "[a-c]", parent).prop_map(|(kind, id, parent)| JoinGroup {
        kind,
        id: GroupId::new(&id).expect("an id"),
        parent,
    })
}

fn wild_scope() -> BoxedStrategy<StopScope> {
    prop_oneof![Just(StopScope::Global), wild_account().prop_map(StopScope::Account)].boxed()
}

fn wild_command() -> BoxedStrategy<CommandBody> {
    let cancel = prop_oneof![
        any::<u64>().prop_map(|n| CancelTarget::Order(OrderId(n % 20))),
        "[A-Za-z0-9]{1,8}".prop_map(|id| CancelTarget::ClientOrder(ClientOrderId::new(&id).expect("an id"))),
        option::of(wild_symbol()).prop_map(|symbol| CancelTarget::All { symbol }),
    ];
    let close = prop_oneof![
        any::<u64>().prop_map(|n| CloseTarget::Position(PositionId(n % 20))),
        wild_symbol().prop_map(CloseTarget::Symbol),
    ];
    let resume = prop_oneof![
        any::<u64>().prop_map(|n| ResumeTarget::Stop(StopId(n % 5))),
        wild_scope().prop_map(ResumeTarget::Scope),
    ];
    prop_oneof![
        8 => wild_order().prop_map(CommandBody::Place),
        2 => (wild_account(), cancel)
            .prop_map(|(account, target)| CommandBody::Cancel(CancelOrders { account, target })),
        3 => (wild_account(), close, option::of(wild_decimal())).prop_map(|(account, target, volume)| {
            CommandBody::Close(ClosePosition { account, target, volume, reason: None })
        }),
        1 => (wild_scope(), actions()).prop_map(|(scope, actions)| {
            CommandBody::EmergencyStop(EmergencyStop { scope, actions, reason: String::new() })
        }),
        2 => resume.prop_map(|target| {
            CommandBody::Resume(ResumeTrading { target, reason: String::new() })
        }),
    ]
    .boxed()
}

fn wild_bar() -> BoxedStrategy<Bar> {
    let ohlc =
        || {
            (wild_ticks(), wild_ticks(), wild_ticks(), wild_ticks()).prop_map(|(open, high, low, close)| {
                Ohlc { open: Price(open), high: Price(high), low: Price(low), close: Price(close) }
            })
        };
    let len = prop_oneof![4 => Just(MINUTE_NS), 1 => Just(0), 1 => Just(1), 1 => any::<i64>()];
    (0..8_u16, ohlc(), ohlc(), len)
        .prop_map(|(id, bid, ask, len_ns)| Bar { instrument: InstrumentId(id), bid, ask, len_ns })
        .boxed()
}

/// An input that nothing was promised about, and how much later than the one before it comes.
pub fn wild_input() -> BoxedStrategy<(i64, Input)> {
    let quote = (0..8_u16, wild_ticks(), wild_ticks(), any::<bool>()).prop_map(|(id, a, b, sorted)| {
        let (bid, ask) = if sorted { (a.min(b), a.max(b)) } else { (a, b) };
        Input::Quote { instrument: InstrumentId(id), bid: Price(bid), ask: Price(ask) }
    });
    let command = (wild_command(), any::<u64>(), option::weighted(0.3, ("[a-c]", "[x-y]")), any::<bool>())
        .prop_map(|(body, id, idempotency, prior)| {
            Input::Command(Box::new(Command {
                id: CommandId(id),
                principal: "tester".to_owned(),
                origin: Origin::User,
                idempotency: idempotency.map(|(key, fingerprint)| Idempotency { key, fingerprint }),
                prior: (prior && id % 7 == 0).then_some(OrderId(id)),
                overtaken: prior && id % 7 == 1,
                body,
            }))
        });
    let input = prop_oneof![
        8 => quote,
        4 => wild_bar().prop_map(Input::Bar),
        12 => command,
        1 => Just(Input::Wake),
        1 => any::<bool>().prop_map(|suspect| Input::ClockSuspect { suspect }),
        1 => Just(Input::Gateway(GatewayState::Ready)),
        1 => Just(Input::Gateway(GatewayState::Draining)),
        1 => Just(Input::EndOfData),
    ];
    (prop_oneof![Just(0), Just(-HOUR_NS), 0..MINUTE_NS, 0..3 * DAY_NS], input).boxed()
}

/// What one might ask after an input.
pub fn questions(input: &Input) -> Vec<Query> {
    let mut questions = vec![
        Query::Accounts,
        Query::Account(account_id("main")),
        Query::RiskStatus(None),
        Query::OpenCandle(InstrumentId(7), Timeframe::W1),
        Query::Order(account_id("yen"), OrderKey::Order(OrderId(1))),
    ];
    if let Input::Command(command) = input
        && let CommandBody::Place(order) = &command.body
    {
        questions.push(Query::Preview(Box::new(order.clone())));
    }
    questions
}
