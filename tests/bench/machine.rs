//! Quotes per second through `Machine::step`: with nothing to do but mark and build candles, and with an
//! account that holds ten protected positions and gives an order at every hundredth quote.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use lockstep::{
    domain::{
        account::{AccountConfig, AccountMode, PositionMode},
        config::{Config, Limits},
        id::{AccountId, CommandId, PositionId},
        instrument::{InstrumentId, Price},
        message::{
            ClosePosition, CloseTarget, Command, CommandBody, Input, Outputs, PlaceOrder, ReplyBody,
            StopLevel,
        },
        money::Currency,
        order::{Origin, Side},
        time::{MILLI_NS, UnixNanos},
    },
    machine::Machine,
};
use rust_decimal::Decimal;
use std::hint::black_box;

const QUOTES: u64 = 100_000;
const START: UnixNanos = UnixNanos(1_704_067_200_000_000_000);
const SPREAD_TICKS: i64 = 1_000;

fn account() -> AccountId {
    AccountId::new("paper-1").expect("an id")
}

fn configured() -> (Machine, InstrumentId) {
    let mut config = Config::built_in();
    let btc = config.instruments.iter().position(|i| i.symbol.as_str() == "BTCUSD").expect("built in");
    config.accounts.push(AccountConfig {
        id: account(),
        label: "bench".to_owned(),
        mode: AccountMode::Paper,
        connector: "paper".to_owned(),
        currency: Currency::USD,
        leverage: 100,
        position_mode: PositionMode::Hedging,
        deposit: Decimal::from(1_000_000),
        commission_per_lot: Decimal::ZERO,
        allowed_symbols: Vec::new(),
        limits: Limits::default(),
        link: None,
        added: false,
    });
    let mut machine = Machine::new();
    machine.step(START, &Input::Config(Box::new(config)), &mut Outputs::default());
    (machine, InstrumentId(btc as u16))
}

/// A random walk around 50,000, ten quotes a second, by a linear congruential generator.
fn quotes(instrument: InstrumentId) -> Vec<(UnixNanos, Input)> {
    let (mut seed, mut bid) = (1_u64, 5_000_000_i64);
    (1..=QUOTES as i64)
        .map(|n| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            bid += (seed >> 33) as i64 % 201 - 100;
            let quote = Input::Quote { instrument, bid: Price(bid), ask: Price(bid + SPREAD_TICKS) };
            (START.plus(n * 100 * MILLI_NS), quote)
        })
        .collect()
}

fn command(id: u64, body: CommandBody) -> Input {
    Input::Command(Box::new(Command {
        id: CommandId(id),
        principal: "bench".to_owned(),
        origin: Origin::User,
        idempotency: None,
        prior: None,
        overtaken: false,
        body,
    }))
}

fn place(id: u64, side: Side) -> Input {
    let far = |percent| Some(StopLevel::Percent(Decimal::from(percent)));
    let order = PlaceOrder::market(account(), "BTCUSD".to_owned(), side, Decimal::new(1, 2));
    command(id, CommandBody::Place(PlaceOrder { stop_loss: far(20), take_profit: far(40), ..order }))
}

fn close(id: u64, position: PositionId) -> Input {
    command(
        id,
        CommandBody::Close(ClosePosition {
            account: account(),
            target: CloseTarget::Position(position),
            volume: None,
            reason: None,
        }),
    )
}

fn opened(out: &Outputs) -> PositionId {
    match out.replies.first().map(|reply| &reply.result) {
        Some(Ok(ReplyBody::Place(reply))) => reply.position_id.expect("a market order fills at the quote"),
        other => panic!("the order was not filled: {other:?}"),
    }
}

/// An order at every hundredth quote, in turn a buy, its close, a sell and its close.
struct Trader {
    machine: Machine,
    out: Outputs,
    orders: u64,
    open: Option<PositionId>,
}

impl Trader {
    /// Ten positions with stop loss and take profit.
    fn with_ten_positions(mut machine: Machine, first: &(UnixNanos, Input)) -> Self {
        let mut out = Outputs::default();
        machine.step(first.0, &first.1, &mut out);
        for n in 1..=10 {
            machine.step(first.0, &place(n, if n % 2 == 0 { Side::Buy } else { Side::Sell }), &mut out);
            opened(&out);
        }
        Self { machine, out, orders: 10, open: None }
    }

    fn order(&mut self, now: UnixNanos) {
        self.orders += 1;
        let closing = self.open.take();
        let input = match closing {
            Some(position) => close(self.orders, position),
            None => place(self.orders, if self.orders % 4 < 2 { Side::Buy } else { Side::Sell }),
        };
        self.machine.step(now, &input, &mut self.out);
        if closing.is_none() {
            self.open = Some(opened(&self.out));
        }
    }
}

fn through_the_machine(c: &mut Criterion) {
    let (machine, instrument) = configured();
    let quotes = quotes(instrument);
    let trader = || Trader::with_ten_positions(machine.clone(), &quotes[0]);
    let mut group = c.benchmark_group("machine");
    group.throughput(Throughput::Elements(QUOTES)).sample_size(10);

    group.bench_function("quotes without orders", |b| {
        b.iter_batched(
            || (machine.clone(), Outputs::default()),
            |(mut machine, mut out)| {
                for (now, quote) in &quotes {
                    machine.step(*now, black_box(quote), &mut out);
                }
                machine
            },
            BatchSize::LargeInput,
        );
    });

    group.bench_function("quotes with an order per 100 and 10 positions", |b| {
        b.iter_batched(
            trader,
            |mut trader| {
                for (n, (now, quote)) in quotes.iter().enumerate() {
                    trader.machine.step(*now, black_box(quote), &mut trader.out);
                    if n % 100 == 0 {
                        trader.order(*now);
                    }
                }
                trader.machine
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

criterion_group!(benches, through_the_machine);
criterion_main!(benches);
