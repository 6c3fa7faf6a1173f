//! A node without a gateway.

use crate::{
    domain::{
        account::AccountMode,
        config::Config,
        id::AccountId,
        instrument::{InstrumentId, Price},
        market::Timeframe,
        message::{
            Answer, CancelOrders, CancelTarget, CommandBody, EmergencyStop, GatewayState, Input, PlaceOrder,
            Query, Refusal, StopAction, StopScope,
        },
        order::{Origin, Side},
    },
    machine::Machine,
    node::{
        clock::Clock,
        config::FileConfig,
        feed::{Feed, FeedContext, FeedOptions},
        handle::{CommandRequest, Response},
        host::{PrivateFiles, TokioRuntime},
        journal::{Epoch, Journal, JournalOptions, Opened, tests::memory::Memory},
        lanes::MarketInput,
        runtime::Rt,
        services::{NoProbe, Services, SyntheticMarkets},
        vault::Vault,
        writer::{NoVenues, Node, Start, start},
    },
};
use rust_decimal::Decimal;
use std::{path::Path, sync::Arc, time::Duration};

/// The coin, whose market never closes.
pub const BTCUSD: InstrumentId = InstrumentId(4);

/// A running node and what it stands on.
pub struct Bench {
    pub rt: Rt,
    pub node: Node,
}

impl Bench {
    /// Starts on what the storage holds, with a live clock and no feed.
    pub async fn start(memory: &Memory) -> Self {
        let opened = open(memory);
        let rt: Rt = Arc::new(TokioRuntime::new());
        let clock = Clock::live(Arc::clone(&rt), opened.machine.now());
        Self::start_on(rt, memory, opened, clock, "synthetic").await
    }

    /// Starts with a feed, which the caller runs.
    pub async fn start_with(memory: &Memory, options: FeedOptions) -> (Self, Feed) {
        let opened = open(memory);
        let rt: Rt = Arc::new(TokioRuntime::new());
        let feed =
            Feed::open(&rt, options, &config(), &SyntheticMarkets, &opened).await.expect("the feed opens");
        let clock = feed.clock(&rt, &opened.machine);
        let kind = feed.kind();
        (Self::start_on(rt, memory, opened, clock, kind).await, feed)
    }

    /// Starts with this clock.
    pub async fn start_on(rt: Rt, memory: &Memory, opened: Opened, clock: Clock, kind: &'static str) -> Self {
        let files = Arc::new(PrivateFiles::new(Path::new("/nonexistent")));
        let vault = Vault::open(Arc::clone(&rt), files.clone()).expect("it has not been written yet");
        let services = Services {
            storage: Arc::new(memory.clone()),
            files,
            markets: Arc::new(SyntheticMarkets),
            probe: Arc::new(NoProbe),
        };
        let fresh = opened.machine.config().is_none();
        let instruments = config().instruments.into();
        let start_with = Start {
            services,
            opened,
            journal_options: JournalOptions::default(),
            clock,
            feed_kind: kind,
            instruments,
            outlet: Arc::new(NoVenues),
            vault: Arc::new(vault),
        };
        let node = start(&rt, start_with);
        let bench = Self { rt, node };
        if fresh {
            bench.node.handle.enter(Input::Config(Box::new(config()))).await.expect("the journal is new");
        }
        bench.node.handle.enter(Input::Gateway(GatewayState::Ready)).await.expect("the journal works");
        bench
    }

    /// What a feed needs.
    pub fn feed_context(&self) -> FeedContext {
        FeedContext {
            rt: Arc::clone(&self.rt),
            clock: Arc::clone(&self.node.clock),
            board: Arc::clone(&self.node.board),
            market: self.node.market.clone(),
        }
    }

    pub async fn quote(&self, bid: i64) {
        let input = Input::Quote { instrument: BTCUSD, bid: Price(bid), ask: Price(bid + 100) };
        assert!(self.node.market.send(MarketInput { input, row: None }).await.is_ok(), "the writer runs");
    }

    /// Quotes, and waits until the machine has it: a request overtakes what waits in the market lane.
    pub async fn price(&self, bid: i64) {
        self.quote(bid).await;
        let query = Query::OpenCandle(BTCUSD, Timeframe::M1);
        loop {
            let (answer, _) = self.node.handle.query(query.clone()).await.expect("candles can be asked for");
            if matches!(answer, Answer::OpenCandle(Some(candle)) if candle.close == Price(bid)) {
                return;
            }
        }
    }

    pub async fn buy(&self) -> Result<Response, Refusal> {
        self.command(Self::order()).await
    }

    /// A market order for 0.01 lots.
    pub fn order() -> CommandBody {
        let lots = Decimal::new(1, 2);
        CommandBody::Place(PlaceOrder::market(account(), "BTCUSD".into(), Side::Buy, lots))
    }

    pub async fn emergency_stop(&self) -> Result<Response, Refusal> {
        self.command(CommandBody::EmergencyStop(EmergencyStop {
            scope: StopScope::Global,
            actions: vec![StopAction::Pause],
            reason: "a test".into(),
        }))
        .await
    }

    /// Cancels everything of the account.
    pub async fn cancel_all(&self) -> Result<Response, Refusal> {
        let target = CancelTarget::All { symbol: None };
        self.command(CommandBody::Cancel(CancelOrders { account: account(), target })).await
    }

    /// What a tester asks for.
    pub fn request(body: CommandBody) -> CommandRequest {
        CommandRequest { principal: "tester".into(), origin: Origin::User, idempotency: None, body }
    }

    async fn command(&self, body: CommandBody) -> Result<Response, Refusal> {
        self.node.handle.command(Self::request(body)).await
    }

    /// Open positions, as told by the running node.
    pub async fn positions(&self) -> usize {
        let query = Query::Account(account());
        let (answer, _) = self.node.handle.query(query).await.expect("the account can be asked about");
        count_positions(&answer)
    }

    /// Ends it as a drain does.
    pub async fn stop(mut self) {
        self.node.handle.stop().await;
        self.node.ended.take().await.expect("the writer says how it ended").expect("it ended well");
    }

    /// Waits until it holds, or fails.
    pub async fn eventually(&self, what: &str, mut holds: impl FnMut() -> bool) {
        for _ in 0..1_000 {
            if holds() {
                return;
            }
            self.rt.sleep(Duration::from_millis(5)).await;
        }
        panic!("not within 5 s: {what}");
    }
}

/// Opens the journal of a storage.
pub fn open(memory: &Memory) -> Opened {
    Journal::open(Arc::new(memory.clone()), Epoch(7), JournalOptions::default()).expect("the journal opens")
}

/// Open positions of a machine.
pub fn positions(machine: &Machine) -> usize {
    count_positions(&machine.query(&Query::Account(account())).expect("the account exists"))
}

fn count_positions(answer: &Answer) -> usize {
    let Answer::Account(view) = answer else { panic!("{answer:?}") };
    assert_eq!(view.summary.mode, AccountMode::Paper);
    view.positions.len()
}

fn account() -> AccountId {
    AccountId::new("paper-1").expect("an id")
}

fn config() -> Config {
    FileConfig::default().to_config(Vec::new(), false)
}
