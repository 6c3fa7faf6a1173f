//! A writer in small: steps the machine and commits what it puts out.

use super::memory::Memory;
use crate::{
    domain::{
        account::{AccountConfig, AccountMode, PositionMode},
        config::{Config, Limits},
        id::{AccountId, ClientOrderId, CommandId, OrderId},
        instrument::{InstrumentId, Price},
        message::{
            CancelOrders, CancelTarget, ClosePosition, CloseTarget, Command, CommandBody, EmergencyStop,
            FeedEvent, GatewayState, Input, Outputs, PlaceOrder, StopAction, StopLevel, StopScope,
        },
        money::Currency,
        order::{OrderType, Origin, Side, TimeInForce},
        time::{SECOND_NS, UnixNanos},
    },
    machine::Machine,
    node::journal::{
        Batch, Epoch, Journal, JournalError, JournalOptions, Opened, Record, Shadow, StoredEvent,
    },
};
use rust_decimal::Decimal;
use std::sync::Arc;

pub const EPOCH: Epoch = Epoch(0x0123_4567_89ab_cdef);
const BTCUSD: InstrumentId = InstrumentId(4);

pub fn account() -> AccountId {
    AccountId::new("paper-1").expect("an identifier")
}

/// Journal, machine and second machine over one storage.
pub struct Driver {
    pub journal: Journal,
    pub machine: Machine,
    pub shadow: Shadow,
    outputs: Outputs,
}

impl Driver {
    /// With a snapshot each `interval` records.
    pub fn open(storage: &Memory, interval: u64) -> Self {
        Self::new(open(storage, interval).expect("the journal opens"))
    }

    pub fn new(opened: Opened) -> Self {
        let Opened { journal, machine, shadow, .. } = opened;
        Self { journal, machine, shadow, outputs: Outputs::default() }
    }

    /// Applies inputs, `batch` at a time, from the journal's head on.
    pub fn run(&mut self, inputs: &[(UnixNanos, Input)], batch: usize) {
        for inputs in inputs.chunks(batch) {
            self.commit(inputs).expect("committed");
        }
    }

    /// Applies inputs and commits them; then the second machine follows.
    pub fn commit(&mut self, inputs: &[(UnixNanos, Input)]) -> Result<(), JournalError> {
        let batch = self.apply(inputs);
        self.journal.commit(&batch)?;
        for record in &batch.records {
            if let Some(snapshot) = self.shadow.apply(record)? {
                self.journal.put_snapshot(snapshot)?;
            }
        }
        Ok(())
    }

    /// Applies inputs in memory.
    pub fn apply(&mut self, inputs: &[(UnixNanos, Input)]) -> Batch {
        let mut batch = Batch::default();
        for (offset, (now, input)) in (self.journal.head() + 1..).zip(inputs) {
            let before = self.machine.event_count();
            self.machine.step(*now, input, &mut self.outputs);
            let output_hash = self.machine.output_hash();
            batch.records.push(Record { offset, now: *now, input: input.clone(), output_hash });
            for (number, event) in (before + 1..).zip(&self.outputs.events) {
                batch.events.push(StoredEvent {
                    number,
                    journal_offset: offset,
                    ts: *now,
                    name: event.name().into(),
                    account: event.account().cloned(),
                    payload: String::from_utf8(event.payload()).expect("JSON is text").into(),
                });
            }
            for event in &self.outputs.feed {
                if let FeedEvent::CandleClosed { instrument, timeframe, candle } = event {
                    batch.candles.push((*instrument, *timeframe, *candle));
                }
            }
        }
        batch
    }
}

pub fn open(storage: &Memory, interval: u64) -> Result<Opened, JournalError> {
    let options = JournalOptions { snapshot_interval: interval };
    Journal::open(Arc::new(storage.clone()), EPOCH, options)
}

/// A quarter of an hour of BTCUSD: quotes each ten seconds, and in between all that a user can ask for.
pub fn script() -> Vec<(UnixNanos, Input)> {
    let start = UnixNanos::parse("2024-01-08T12:00:00Z").expect("an instant");
    let mut inputs =
        vec![(start, Input::Config(Box::new(config()))), (start, Input::Gateway(GatewayState::Ready))];
    for step in 0..90_i64 {
        let now = start.plus((step + 1) * 10 * SECOND_NS);
        let bid = 4_400_000 + (step * 7_919) % 9_001;
        let quote = Input::Quote { instrument: BTCUSD, bid: Price(bid), ask: Price(bid + 1_000) };
        inputs.push((now, quote));
        let offset = inputs.len() as u64 + 1;
        inputs.push((now, command(step, offset).map_or(Input::Wake, |body| at(offset, body))));
    }
    inputs
}

fn command(step: i64, offset: u64) -> Option<CommandBody> {
    Some(match step % 9 {
        0 => CommandBody::Place(order(offset, OrderType::Market, None)),
        3 => CommandBody::Place(order(offset, OrderType::Limit, Some(Decimal::from(30_000)))),
        5 => CommandBody::Cancel(CancelOrders {
            account: account(),
            target: CancelTarget::All { symbol: None },
        }),
        7 => CommandBody::Close(ClosePosition {
            account: account(),
            target: CloseTarget::Symbol("BTCUSD".into()),
            volume: None,
            reason: Some("the script closes".into()),
        }),
        8 if step == 80 => CommandBody::EmergencyStop(EmergencyStop {
            scope: StopScope::Account(account()),
            actions: vec![StopAction::CancelAll, StopAction::CloseAll],
            reason: "the script ends".into(),
        }),
        _ => return None,
    })
}

fn order(offset: u64, order_type: OrderType, price: Option<Decimal>) -> PlaceOrder {
    PlaceOrder {
        trail: None,
        account: account(),
        symbol: "BTCUSD".into(),
        side: Side::Buy,
        order_type,
        volume: Decimal::new(10, 2),
        price,
        stop_price: None,
        stop_loss: Some(StopLevel::Percent(Decimal::from(20))),
        take_profit: None,
        tif: TimeInForce::Gtc,
        filling: None,
        expires_at: None,
        post_only: false,
        reduce_only: false,
        position: None,
        group: None,
        client_order_id: Some(client_order_id(offset)),
        reason: None,
    }
}

/// The client order id of the order that the script's command at that journal offset places.
pub fn client_order_id(offset: u64) -> ClientOrderId {
    ClientOrderId::new(&format!("script-{offset}")).expect("an identifier")
}

fn at(offset: u64, body: CommandBody) -> Input {
    let command = Command {
        id: CommandId(offset),
        principal: "operator".into(),
        origin: Origin::User,
        idempotency: None,
        prior: None::<OrderId>,
        overtaken: false,
        body,
    };
    Input::Command(Box::new(command))
}

fn config() -> Config {
    let mut config = Config::built_in();
    config.accounts.push(AccountConfig {
        id: account(),
        label: "Paper".into(),
        mode: AccountMode::Paper,
        connector: "paper".into(),
        currency: Currency::USD,
        leverage: 100,
        position_mode: PositionMode::Hedging,
        deposit: Decimal::from(10_000),
        commission_per_lot: Decimal::from(3),
        allowed_symbols: Vec::new(),
        limits: Limits::default(),
        link: None,
        added: false,
    });
    config
}
