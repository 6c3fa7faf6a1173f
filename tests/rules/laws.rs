//! What holds after every step, whatever the step was. `hold` runs in the rig, so every test of this
//! folder checks it; the property tests here look for steps that break it.

use super::{
    rig::Rig,
    world::{self, Act, World},
};
use lockstep::{
    domain::{
        group::GroupKind,
        id::{GroupId, OrderId},
        instrument::{InstrumentId, Price},
        message::{AccountView, Answer, OrderKey, OrderView, PositionView, Query},
        money::Currency,
        order::{OrderStatus, Side},
    },
    machine::Machine,
};
use proptest::prelude::*;
use rust_decimal::{Decimal, RoundingStrategy};
use std::collections::{BTreeMap, BTreeSet};

/// Panics if a law is broken.
pub fn hold(rig: &Rig) {
    for config in &rig.config().accounts {
        let view = rig.view_of(config.id.as_str());
        let summary = &view.summary;
        let posted = rig.posted.get(&config.id).copied().unwrap_or_default();
        assert_eq!(summary.balance.amount(), posted, "AC01: the balance is the sum of the postings");
        let floating = floating(rig, &view, config.currency);
        assert_eq!(
            summary.equity.amount(),
            posted + floating,
            "AC01, AC12: equity of {} with {:?} at {:?}",
            config.id,
            view.positions,
            rig.quotes
        );
        assert_eq!(rig.machine.equity(&config.id), Some(summary.equity));
        let margin: Decimal = view.positions.iter().map(|p| p.margin.amount()).sum();
        assert_eq!(summary.margin.amount(), margin);
        assert_eq!(summary.free_margin.amount(), summary.equity.amount() - margin);
        for position in &view.positions {
            assert!(position.volume > Decimal::ZERO, "a position without volume: {position:?}");
        }
        for order in &view.orders {
            assert_eq!(order.filled_volume + order.leaves_volume, order.volume, "OR02: {order:?}");
            let executed = rig.executed.get(&(config.id.clone(), order.order_id));
            assert_eq!(executed.copied().unwrap_or_default(), order.filled_volume, "OR02: {order:?}");
        }
    }
}

/// Floating profit, worked out ticket by ticket from the wire's numbers: exact sums per profit currency,
/// each converted and rounded once.
fn floating(rig: &Rig, view: &AccountView, currency: Currency) -> Decimal {
    let mut sums: BTreeMap<Currency, Decimal> = BTreeMap::new();
    for position in &view.positions {
        let id = rig.find(position.symbol.as_str());
        let spec = &rig.config().instruments[id.index()];
        *sums.entry(spec.quote_currency).or_default() += profit(rig, id, position);
    }
    sums.into_iter().map(|(from, sum)| posted(rig, sum, from, currency)).sum()
}

fn profit(rig: &Rig, id: InstrumentId, position: &PositionView) -> Decimal {
    let spec = &rig.config().instruments[id.index()];
    let quote = rig.quotes[&id];
    let (mark, sign) = match position.side {
        Side::Buy => (quote.bid, Decimal::ONE),
        Side::Sell => (quote.ask, Decimal::NEGATIVE_ONE),
    };
    let mark = Decimal::from(mark.0) * spec.tick;
    assert_eq!(position.current_price, mark, "AC12: longs at bid, shorts at ask");
    (mark - position.open_price) * sign * position.volume * spec.contract_size
}

/// AC02, in the words of the rule: a gain by bid(PA) or / ask(AP), a loss by ask(PA) or / bid(AP), one pivot.
pub fn posted(rig: &Rig, amount: Decimal, from: Currency, to: Currency) -> Decimal {
    let loss = amount < Decimal::ZERO;
    let pair = |base: Currency, quote: Currency| {
        let all = &rig.config().instruments;
        let index = all.iter().position(|i| i.base_currency == base && i.quote_currency == quote)?;
        let (quote, tick) = (rig.quotes.get(&InstrumentId(index as u16))?, all[index].tick);
        Some((Decimal::from(quote.bid.0) * tick, Decimal::from(quote.ask.0) * tick))
    };
    // as a fraction: what to multiply by, what to divide by
    let leg = |from: Currency, to: Currency| match (pair(from, to), pair(to, from)) {
        _ if from == to => Some((Decimal::ONE, Decimal::ONE)),
        (Some((bid, ask)), _) => Some((if loss { ask } else { bid }, Decimal::ONE)),
        (None, Some((bid, ask))) => Some((Decimal::ONE, if loss { bid } else { ask })),
        (None, None) => None,
    };
    let (times, over) = leg(from, to).unwrap_or_else(|| {
        let (first, second) = (leg(from, Currency::USD), leg(Currency::USD, to));
        let ((a, b), (c, d)) = first.zip(second).expect("the gate admits only what converts");
        (a * c, b * d)
    });
    (amount * times / over).round_dp_with_strategy(to.digits(), RoundingStrategy::MidpointAwayFromZero)
}

proptest! {
    #![proptest_config(world::cases(200))]

    #[test]
    fn ac01_or01_or02_ac12_hold_over_valid_random_steps(acts in world::acts(80)) {
        let mut world = World::new();
        for act in &acts {
            world.act(act); // the rig checks the laws after each step
        }
        for (account, positions) in world.rig.config().accounts.clone().iter().map(|a| {
            (a.id.clone(), world.rig.view_of(a.id.as_str()).positions)
        }) {
            for position in positions {
                let executed = world.rig.executed.iter().filter(|((a, _), _)| *a == account);
                prop_assert!(executed.map(|(_, volume)| *volume).sum::<Decimal>() >= position.volume);
            }
        }
    }

    #[test]
    fn or05_or06_hold_over_valid_random_steps(acts in world::acts(120)) {
        let mut world = World::new();
        acts.iter().for_each(|act| world.act(act));
        groups(&world.rig);
    }

    #[test]
    fn gw10_no_input_panics_the_machine(inputs in prop::collection::vec(world::wild_input(), 1..40)) {
        let mut machine = World::new().rig.machine;
        let mut out = lockstep::domain::message::Outputs::default();
        for (ahead, input) in &inputs {
            let now = machine.now().plus(*ahead);
            machine.step(now, input, &mut out);
            for query in world::questions(input) {
                let _ = machine.query(&query);
            }
        }
        let bytes = machine.encode();
        let read = Machine::decode(Machine::STATE_VERSION, &bytes).expect("what was encoded");
        prop_assert_eq!(read.encode(), bytes);
    }
}

/// Of orders of which one cancels the others one is filled whole at most; children are filled no more than what let
/// them in, and the exits of a bracket together no more than that. The kinds of groups that have a fill.
fn groups(rig: &Rig) -> BTreeSet<GroupKind> {
    let mut members: BTreeMap<GroupId, Vec<OrderView>> = BTreeMap::new();
    for id in (1..=1_000).map(OrderId) {
        let key = Query::Order(rig.config().accounts[0].id.clone(), OrderKey::Order(id));
        let Ok(Answer::Order(detail)) = rig.machine.query_at(rig.now, &key) else { continue };
        if let Some(group) = &detail.order.group {
            members.entry(group.id.clone()).or_default().push(detail.order);
        }
    }
    let mut filled = BTreeSet::new();
    for (id, orders) in members {
        let kind = orders[0].group.as_ref().expect("of a group").kind;
        let of = |order: &OrderView| order.filled_volume;
        let parent = orders.iter().find(|order| order.group.as_ref().is_some_and(|g| g.parent.is_none()));
        let Some(parent) = parent else { continue }; // forgotten after a day
        let children = || orders.iter().filter(|order| order.order_id != parent.order_id);
        if orders.iter().any(|order| of(order) > Decimal::ZERO) {
            filled.insert(kind);
        }
        match kind {
            GroupKind::Oco => {
                let whole = orders.iter().filter(|order| order.status == OrderStatus::Filled).count();
                assert!(whole <= 1, "OR05: {id} {orders:?}");
            }
            GroupKind::Oto => {
                assert!(children().all(|child| of(child) <= of(parent)), "OR06: {id} {orders:?}");
            }
            GroupKind::Bracket => {
                let exits: Decimal = children().map(of).sum();
                assert!(exits <= of(parent), "OR06: {id} {orders:?}");
            }
        }
    }
    filled
}

/// After a plain start every act does what its name says, or the property tests prove nothing.
#[test]
fn random_acts_reach_fills_stops_denials_and_stop_outs() {
    use lockstep::domain::message::Mark;
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let mut seen = BTreeSet::new();
    let mut filled = BTreeSet::new();
    for _ in 0..32 {
        let acts: Vec<Act> = world::acts(80).new_tree(&mut runner).expect("acts").current();
        let mut world = World::new();
        acts.iter().for_each(|act| world.act(act));
        filled.extend(groups(&world.rig));
        seen.extend(world.rig.marks.iter().copied());
        if !world.rig.executed.is_empty() {
            seen.insert(Mark::OrderRejected); // stands for "something was executed"
        }
    }
    for mark in [
        Mark::OrderDenied,
        Mark::OrderRejected,
        Mark::StopLossHit,
        Mark::TakeProfitHit,
        Mark::StoppedOut,
        Mark::MarketClosedDenied,
        Mark::HaltedDenied,
        Mark::DailyLossTripped,
        Mark::EmergencyStopLatched,
        Mark::EmergencyStopCompleted,
        Mark::Resumed,
        Mark::IdempotentReplay,
        Mark::QuoteQuarantined,
        Mark::AmbiguousBar,
        Mark::MarketOrderWaited,
    ] {
        assert!(seen.contains(&mark), "the random acts never reach {mark:?}: {seen:?}");
    }
    assert_eq!(filled.len(), 3, "groups of every kind have fills: {filled:?}");
}

#[test]
fn gw10_the_ends_of_time_do_no_harm() {
    use lockstep::domain::{message::Input, time::UnixNanos};
    let mut rig = Rig::starting("2262-04-10T00:00:00Z", |_| {});
    rig.quote("EURUSD", "1.10000", "1.10010").quote("BTCUSD", "45000.00", "45010.00");
    rig.now = UnixNanos::MAX;
    rig.wake();
    rig.quote("BTCUSD", "45001.00", "45011.00");
    let config = rig.config().clone();
    let mut machine = Machine::new();
    let mut out = lockstep::domain::message::Outputs::default();
    for now in [UnixNanos(i64::MIN), UnixNanos(i64::MIN + 1)] {
        machine.step(now, &Input::Config(Box::new(config.clone())), &mut out);
        machine.step(
            now,
            &Input::Quote { instrument: InstrumentId(4), bid: Price(1), ask: Price(1) },
            &mut out,
        );
        machine = Machine::decode(Machine::STATE_VERSION, &machine.encode()).expect("a state");
    }
}
