//! RK: the gate, the loss limit and the emergency stop.

use super::{
    rig::{Ask, Rig, account, account_id, at, buy, codes, dec, sell, symbol},
    world::{self, World},
};
use lockstep::{
    domain::{
        account::TradingState,
        config::Config,
        id::OrderId,
        instrument::Volume,
        message::{
            CloseTarget, Command, CommandBody, ErrorCode, Event, Input, Mark, OutcomeState, ResumeTarget,
            StopAction, StopPhase, StopScope, TrailBy, ViolationCode,
        },
        order::{Filling, OrderStatus, Origin, TimeInForce},
        time::{DAY_NS, MILLI_NS, SECOND_NS},
    },
    machine::Machine,
};
use proptest::prelude::*;

const MAIN: &str = "main";

fn on_main() -> StopScope {
    StopScope::Account(account_id(MAIN))
}

fn quoted(change: impl FnOnce(&mut Config)) -> Rig {
    let mut rig = Rig::with(change);
    rig.quote("EURUSD", "1.10000", "1.10010");
    rig
}

// ---- RK01 ------------------------------------------------------------------------------------------

proptest! {
    #![proptest_config(world::cases(200))]

    #[test]
    fn rk01_preview_and_place_decide_the_same_and_preview_consumes_nothing(
        acts in world::acts(60),
        drafts in prop::collection::vec(world::draft(), 12),
    ) {
        let mut world = World::new();
        for act in &acts {
            world.act(act);
        }
        world.rig.wake(); // a place brings time forward, so that deadlines fire before it
        for draft in &drafts {
            let order = world.order(draft);
            let before = world.rig.machine.state_hash();
            let preview = world.rig.preview(order.clone());
            prop_assert_eq!(world.rig.machine.state_hash(), before);
            let mut after = world.rig.clone();
            match after.send(CommandBody::Place(order.clone())).expect("a reply") {
                Ok(_) => prop_assert!(preview.allowed, "{order:?}: {:?}", preview.violations),
                Err(refusal) => {
                    prop_assert!(!preview.allowed, "{:?}: {:?}", order, refusal);
                    let listed = serde_json::to_value(&preview.violations).expect("a list");
                    prop_assert_eq!(refusal.details.get("violations"), Some(&listed));
                }
            }
        }
    }
}

// ---- RK02 ------------------------------------------------------------------------------------------

/// One code: an order that it alone stops, and one just inside the limit.
fn check_code(code: &str, change: impl FnOnce(&mut Config), outside: Ask, inside: Ask) {
    let mut rig = quoted(change);
    let seen = rig.preview(outside.clone());
    assert!(!seen.allowed, "{code}");
    assert_eq!(rig.denied(outside), [code]);
    let check = seen.checks.iter().find(|c| c.code.name() == code).expect("the failed check is listed");
    assert_eq!(check.passed, Some(false), "{code}");
    let seen = rig.preview(inside.clone());
    assert!(seen.checks.iter().all(|c| c.passed == Some(true)), "{code}: {:?}", seen.checks);
    assert_eq!(rig.denied(inside), [""; 0], "just inside {code}");
}

#[test]
fn rk02_each_code_on_both_sides_of_its_limit() {
    let euro = || buy("EURUSD", "0.10");
    let plain = |_: &mut Config| {};
    check_code("SYMBOL_UNKNOWN", plain, buy("EURUSDX", "0.10"), euro());
    let only_gold_and_euro = |config: &mut Config| {
        config.accounts[0].allowed_symbols = vec![symbol("XAUUSD"), symbol("EURUSD")];
    };
    let only_gold = |config: &mut Config| config.accounts[0].allowed_symbols = vec![symbol("XAUUSD")];
    assert_eq!(quoted(only_gold).denied(euro()), ["SYMBOL_NOT_ALLOWED"]);
    assert_eq!(quoted(only_gold_and_euro).denied(euro()), [""; 0]);
    let with = |filling| move |o: &mut lockstep::domain::message::PlaceOrder| o.filling = Some(filling);
    let resting = || euro().limit("1.09000");
    check_code("TIF_UNSUPPORTED", plain, euro().day(), resting().day());
    check_code(
        "FILLING_UNSUPPORTED",
        plain,
        euro().change(with(Filling::Return)),
        euro().change(with(Filling::Fok)),
    );
    check_code("FILLING_UNSUPPORTED", plain, euro().post_only(), resting().post_only());
    check_code(
        "FILLING_UNSUPPORTED",
        plain,
        resting().post_only().filling(Filling::Ioc),
        resting().filling(Filling::Ioc),
    );
    check_code(
        "EXPIRY_IN_PAST",
        plain,
        resting().until("2024-01-10T12:00:00Z"),
        resting().until("2024-01-10T12:00:00.000000001Z"),
    );
    check_code("EXPIRY_IN_PAST", plain, resting().change(|o| o.tif = TimeInForce::Gtd), resting());
    let trailing = |by: &str| euro().trailing(TrailBy::Distance(dec(by)));
    let percent = |by: &str| euro().trailing(TrailBy::Percent(dec(by)));
    check_code("PRICE_TICK", plain, trailing("0.000001"), trailing("0.00001"));
    check_code("PRICE_TICK", plain, percent("100"), percent("99.9"));
    check_code("PRICE_TICK", plain, trailing("0.001").change(|o| o.trail = None), trailing("0.001"));
    check_code("PRICE_TICK", plain, euro().stop("1.200001"), euro().stop("1.20001"));
    check_code("PRICE_TICK", plain, euro().stop("1.2").change(|o| o.stop_price = None), euro().stop("1.2"));
    check_code("STOPS_INVALID", plain, euro().stop("1.10010"), euro().stop("1.10011"));
    check_code("QUOTE_MISSING", plain, buy("XAUUSD", "0.10"), euro());
    check_code("VOLUME_STEP", plain, buy("EURUSD", "0.105"), buy("EURUSD", "0.11"));
    let least = |config: &mut Config| config.instruments[0].volume_min = Volume(10);
    check_code("VOLUME_MIN", least, buy("EURUSD", "0.09"), buy("EURUSD", "0.10"));
    let rich = |config: &mut Config| config.accounts[0].deposit = dec("1000000");
    check_code("VOLUME_MAX", rich, buy("EURUSD", "100.01"), buy("EURUSD", "100.00"));
    check_code("PRICE_TICK", plain, euro().limit("1.090001"), euro().limit("1.09001"));
    // levels: a market order's from the side that closes, a limit's from its own price
    for (outside, inside) in [
        (euro().sl("1.10001"), euro().sl("1.09999")),
        (euro().tp("1.09999"), euro().tp("1.10001")),
        (sell("EURUSD", "0.10").sl("1.10009"), sell("EURUSD", "0.10").sl("1.10011")),
        (sell("EURUSD", "0.10").tp("1.10011"), sell("EURUSD", "0.10").tp("1.10009")),
        (euro().limit("1.09000").sl("1.09001"), euro().limit("1.09000").sl("1.08999")),
        (euro().limit("1.09000").tp("1.08999"), euro().limit("1.09000").tp("1.09001")),
    ] {
        check_code("STOPS_INVALID", plain, outside, inside);
    }
    let two = |config: &mut Config| config.limits.max_positions = Some(2);
    let mut rig = quoted(two);
    rig.open(euro());
    rig.rest(resting());
    assert_eq!(rig.denied(euro()), ["MAX_POSITIONS"], "a position and a working order");
    assert_eq!(rig.denied(resting()), ["MAX_POSITIONS"]);
    rig.cancel(OrderId(2)).expect("cancelled");
    assert_eq!(rig.denied(euro()), [""; 0]);
    let mut rig = quoted(|config| config.limits.max_open_orders = Some(3));
    rig.open(euro());
    rig.rest(resting());
    rig.rest(resting());
    assert_eq!(rig.denied(resting()), ["MAX_OPEN_ORDERS"]);
    rig.cancel(OrderId(2)).expect("cancelled");
    assert_eq!(rig.denied(resting()), [""; 0]);
    let yen = |config: &mut Config| {
        config.accounts[0].currency = lockstep::domain::money::Currency::new("JPY").expect("a code");
        config.accounts[0].deposit = dec("100000");
    };
    let mut rig = quoted(yen);
    assert_eq!(rig.denied(euro()), ["CONVERSION_RATE_MISSING"]);
    rig.quote("USDJPY", "150.000", "150.010");
    assert_eq!(rig.denied(euro()), [""; 0]);
    // 0.10 lot takes 110.01
    let exactly = |config: &mut Config| config.accounts[0].deposit = dec("110.01");
    let less = |config: &mut Config| config.accounts[0].deposit = dec("110.00");
    assert_eq!(quoted(less).denied(euro()), ["MARGIN_INSUFFICIENT"]);
    assert_eq!(quoted(exactly).denied(euro()), [""; 0]);
}

#[test]
fn rk02_margin_counts_working_orders() {
    let mut rig = quoted(|config| config.accounts[0].deposit = dec("220.02"));
    rig.rest(buy("EURUSD", "0.10").limit("1.09000"));
    assert_eq!(rig.denied(buy("EURUSD", "0.11").limit("1.09000")), ["MARGIN_INSUFFICIENT"]);
    assert_eq!(rig.denied(buy("EURUSD", "0.10").limit("1.09000")), [""; 0]);
    assert_eq!(rig.denied(buy("EURUSD", "0.01").limit("1.09000")), ["MARGIN_INSUFFICIENT"]);
}

#[test]
fn rk02_quote_stale_and_market_closed_on_both_sides() {
    let mut rig = quoted(|config| config.quote_max_age_ms = 5_000);
    rig.wait(5_000 * MILLI_NS);
    assert_eq!(rig.denied(buy("EURUSD", "0.01")), [""; 0]);
    rig.wait(MILLI_NS);
    assert_eq!(rig.denied(buy("EURUSD", "0.01")), ["QUOTE_STALE"]);
    rig.step(&Input::EndOfData);
    assert_eq!(rig.denied(buy("EURUSD", "0.01")), [""; 0], "an ended feed does not go stale");

    let mut rig = Rig::starting("2024-01-12T21:59:59Z", |_| {});
    rig.quote("EURUSD", "1.10000", "1.10010");
    assert_eq!(rig.denied(buy("EURUSD", "0.01")), [""; 0]);
    rig.to("2024-01-12T22:00:00Z");
    let refusal = rig.place(buy("EURUSD", "0.01")).expect_err("closed");
    assert_eq!((refusal.code, codes(&refusal)), (ErrorCode::MarketClosed, vec!["MARKET_CLOSED".to_owned()]));
}

#[test]
fn rk02_a_client_order_id_serves_once_for_ever() {
    let mut rig = quoted(|_| {});
    rig.open(buy("EURUSD", "0.01").named("one"));
    assert_eq!(rig.denied(buy("EURUSD", "0.01").named("one")), ["DUPLICATE_ORDER"]);
    assert_eq!(rig.denied(buy("EURUSD", "0.01").named("two")), [""; 0]);
    let order = rig.rest(buy("EURUSD", "0.01").limit("1.09000").named("three"));
    rig.cancel(order).expect("cancelled");
    assert_eq!(rig.denied(buy("EURUSD", "0.01").named("three")), ["DUPLICATE_ORDER"], "ended ones too");
    // older than the engine remembers: the node names the order that bears it
    let place = Command {
        id: lockstep::domain::id::CommandId(99),
        principal: "tester".to_owned(),
        origin: Origin::User,
        idempotency: None,
        prior: Some(OrderId(1)),
        overtaken: false,
        body: CommandBody::Place(buy("EURUSD", "0.01").named("ancient").into()),
    };
    let out = rig.step(&Input::Command(Box::new(place)));
    let refusal = out.replies[0].result.as_ref().expect_err("denied");
    assert_eq!(codes(refusal), ["DUPLICATE_ORDER"]);
}

#[test]
fn rk02_all_failures_are_listed_in_order_and_the_first_decides() {
    let mut rig = Rig::starting("2024-01-13T12:00:00Z", |config| config.limits.max_positions = Some(0));
    rig.emergency_stop(on_main(), &[StopAction::Pause]);
    let order = buy("EURUSD", "0.105").limit("1.000001").post_only().filling(Filling::Ioc);
    let preview = rig.preview(order.clone());
    let refusal = rig.place(order).expect_err("denied");
    let expected = [
        "TRADING_HALTED",
        "FILLING_UNSUPPORTED",
        "MARKET_CLOSED",
        "QUOTE_MISSING",
        "VOLUME_STEP",
        "PRICE_TICK",
        "MAX_POSITIONS",
        "CONVERSION_RATE_MISSING",
    ];
    let listed: Vec<&str> = preview.violations.iter().map(|v| v.code.name()).collect();
    // USD needs no conversion of profit, but margin in euros does
    assert_eq!(listed, expected);
    assert_eq!(codes(&refusal), expected);
    assert_eq!((refusal.code, refusal.reason()), (ErrorCode::RiskBlocked, "TRADING_HALTED"));
    let of = |code: ViolationCode| preview.checks.iter().find(|c| c.code == code).expect("listed").passed;
    assert_eq!(of(ViolationCode::VolumeMin), None, "not evaluated without a volume on the grid");
    assert_eq!(of(ViolationCode::MarginInsufficient), None);
    assert_eq!(of(ViolationCode::SymbolUnknown), Some(true));
}

// ---- RK04 ------------------------------------------------------------------------------------------

/// A long of 0.10 lot from 1.10010: each point below costs 0.10.
fn losing(limit: &'static str) -> Rig {
    let mut rig = quoted(|config| config.accounts[0].limits.max_daily_loss = Some(dec(limit)));
    rig.open(buy("EURUSD", "0.10"));
    rig
}

#[test]
fn rk04_trips_at_the_limit_and_not_before() {
    let mut rig = losing("100");
    rig.wait(SECOND_NS).quote("EURUSD", "1.09011", "1.09021");
    assert_eq!(rig.risk().trading_state, TradingState::Active);
    assert_eq!(rig.risk().daily_loss[&account_id(MAIN)].amount(), dec("99.90"));
    assert_eq!(rig.denied(buy("EURUSD", "0.01").limit("1.00000")), [""; 0]);
    rig.wait(SECOND_NS).quote("EURUSD", "1.09010", "1.09020");
    assert_eq!(rig.count(Mark::DailyLossTripped), 1);
    assert_eq!(rig.risk().trading_state, TradingState::Reducing);
    assert_eq!(rig.denied(buy("EURUSD", "0.01")), ["TRADING_HALTED", "MAX_DAILY_LOSS"]);
    let alerts = rig.events.iter().filter(
        |e| matches!(e, Event::RiskAlert(a) if a.code == ViolationCode::MaxDailyLoss && a.blocked_action.is_none()),
    );
    assert_eq!(alerts.count(), 1, "told once");
}

#[test]
fn rk04_the_trip_cancels_what_would_open_and_spares_what_reduces() {
    let mut rig = losing("100");
    let id = rig.view().positions[0].position_id;
    let opening = rig.rest(buy("EURUSD", "0.01").limit("1.00000"));
    let closing = rig.rest(sell("EURUSD", "0.10").limit("1.20000").reduces(id));
    rig.wait(SECOND_NS).quote("EURUSD", "1.09000", "1.09010");
    assert_eq!(rig.order(opening).order.status, OrderStatus::Canceled);
    assert_eq!(rig.order(closing).order.status, OrderStatus::Accepted);
    rig.close(id).expect("a reduction passes");
}

#[test]
fn rk04_the_latch_holds_until_resume_and_a_loss_above_the_limit_holds_it() {
    let mut rig = losing("100");
    rig.wait(SECOND_NS).quote("EURUSD", "1.09010", "1.09020");
    let refusal = rig.resume(ResumeTarget::Scope(on_main())).expect_err("the loss is still there");
    assert_eq!(refusal.code, ErrorCode::Conflict);
    rig.wait(SECOND_NS).quote("EURUSD", "1.10000", "1.10010");
    assert_eq!(rig.denied(buy("EURUSD", "0.01")), ["TRADING_HALTED"], "a recovery does not unlatch");
    assert_eq!(rig.resume(ResumeTarget::Scope(StopScope::Global)).expect("nothing").cleared, [""; 0]);
    let cleared = rig.resume(ResumeTarget::Scope(on_main())).expect("resumed").cleared;
    assert_eq!(cleared, ["daily_loss:main"]);
    assert_eq!(rig.denied(buy("EURUSD", "0.01")), [""; 0]);
}

#[test]
fn rk04_the_day_rolls_at_five_in_new_york_and_the_latch_outlives_it() {
    let mut rig = losing("100");
    rig.wait(SECOND_NS).quote("EURUSD", "1.09010", "1.09020");
    rig.to("2024-01-10T21:59:59Z").wake();
    assert_eq!(rig.risk().daily_loss[&account_id(MAIN)].amount(), dec("100.00"));
    rig.to("2024-01-10T22:00:00Z").wake();
    assert_eq!(rig.risk().daily_loss[&account_id(MAIN)].amount(), dec("0"));
    assert_eq!(rig.denied(buy("EURUSD", "0.01")), ["TRADING_HALTED"]);
    rig.resume(ResumeTarget::Scope(on_main())).expect("a new day");
    assert_eq!(rig.denied(buy("EURUSD", "0.01")), [""; 0]);
    // the new day counts from the equity at the roll
    rig.wait(SECOND_NS).quote("EURUSD", "1.08200", "1.08210");
    assert_eq!(rig.risk().trading_state, TradingState::Active, "81 + 8 lost today, 181 in all");
    rig.wait(SECOND_NS).quote("EURUSD", "1.08000", "1.08010");
    assert_eq!(rig.risk().trading_state, TradingState::Reducing);
}

#[test]
fn rk04_accounts_that_trade_only_coins_roll_at_midnight_utc() {
    let mut rig = Rig::with(|config| {
        config.accounts[0].allowed_symbols = vec![symbol("BTCUSD"), symbol("ETHUSD")];
    });
    rig.quote("BTCUSD", "45000.00", "45010.00");
    rig.open(buy("BTCUSD", "1.00"));
    for (now, loss) in
        [("2024-01-10T22:00:00Z", "10"), ("2024-01-10T23:59:59.999Z", "10"), ("2024-01-11T00:00:00Z", "0")]
    {
        rig.to(now).wake();
        assert_eq!(rig.risk().daily_loss[&account_id(MAIN)].amount(), dec(loss), "{now}");
    }
}

#[test]
fn rk04_deposits_are_no_gain_and_the_stricter_limit_wins() {
    let mut rig = quoted(|config| {
        config.accounts[0].limits.max_daily_loss = Some(dec("100"));
        config.limits.max_daily_loss = Some(dec("50"));
    });
    assert_eq!(rig.risk().daily_loss[&account_id(MAIN)].amount(), dec("0"), "the first deposit is a flow");
    rig.open(buy("EURUSD", "0.10"));
    rig.wait(SECOND_NS).quote("EURUSD", "1.09510", "1.09520");
    assert_eq!(rig.risk().trading_state, TradingState::Reducing);
}

#[test]
fn rk04_a_loss_that_is_realised_at_once_trips_too() {
    let mut rig = quoted(|config| config.accounts[0].limits.max_daily_loss = Some(dec("10")));
    rig.open(buy("EURUSD", "1.00")); // the spread alone costs 10
    assert_eq!(rig.risk().trading_state, TradingState::Reducing);
}

// ---- RK05, RK06 ------------------------------------------------------------------------------------

#[test]
fn rk05_a_latched_stop_denies_all_new_risk_and_nothing_else() {
    let mut rig = quoted(|config| config.accounts.push(account("other")));
    let id = rig.open(buy("EURUSD", "0.10"));
    let opening = rig.rest(buy("EURUSD", "0.01").limit("1.00000"));
    let exit = rig.rest(sell("EURUSD", "0.10").limit("1.20000").reduces(id));
    let reply = rig.emergency_stop(on_main(), &[StopAction::Pause, StopAction::CancelAll]);
    assert!(reply.latched);
    let outcomes: Vec<(&str, OutcomeState)> =
        reply.outcomes.iter().map(|o| (o.id.as_str(), o.state)).collect();
    assert_eq!(outcomes, [(opening.to_string().as_str(), OutcomeState::Done)]);
    assert_eq!(rig.order(opening).order.status, OrderStatus::Canceled);
    assert_eq!(rig.order(exit).order.status, OrderStatus::Accepted, "what protects is spared");
    assert_eq!(rig.risk().trading_state, TradingState::Halted);
    for order in [buy("EURUSD", "0.01"), sell("EURUSD", "0.01"), buy("EURUSD", "0.01").limit("1.00000")] {
        assert!(!rig.preview(order.clone()).allowed);
        assert_eq!(rig.denied(order), ["TRADING_HALTED"]);
    }
    assert_eq!(rig.denied(buy("EURUSD", "0.01").on("other")), [""; 0], "another account goes on");
    rig.close(id).expect("a reduction passes");
    assert_eq!(rig.denied(buy("EURUSD", "0.01")), ["TRADING_HALTED"], "until somebody resumes");
}

#[test]
fn rk05_a_global_stop_covers_every_account_and_origin_and_survives_a_restart() {
    let mut rig = quoted(|config| config.accounts.push(account("other")));
    rig.emergency_stop(StopScope::Global, &[StopAction::Pause]);
    rig.machine = Machine::decode(Machine::STATE_VERSION, &rig.machine.encode()).expect("a state");
    for name in [MAIN, "other"] {
        assert_eq!(rig.denied(buy("EURUSD", "0.01").on(name)), ["TRADING_HALTED"], "{name}");
    }
    for origin in [Origin::User, Origin::Agent, Origin::Hook, Origin::Copytrade, Origin::Risk] {
        let out = rig.step(&Input::Command(Box::new(Command {
            id: lockstep::domain::id::CommandId(1_000),
            principal: "anyone".to_owned(),
            origin,
            idempotency: None,
            prior: None,
            overtaken: false,
            body: CommandBody::Place(buy("EURUSD", "0.01").into()),
        })));
        assert_eq!(
            codes(out.replies[0].result.as_ref().expect_err("halted")),
            ["TRADING_HALTED"],
            "{origin:?}"
        );
    }
    assert!(rig.trades().is_empty());
}

#[test]
fn rk05_repeating_a_stop_joins_it_and_adds_its_actions() {
    let mut rig = quoted(|_| {});
    rig.open(buy("EURUSD", "0.10"));
    let first = rig.emergency_stop(on_main(), &[StopAction::Pause]);
    let again = rig.emergency_stop(on_main(), &[StopAction::Pause]);
    assert_eq!(first.stop_id, again.stop_id);
    let more = rig.emergency_stop(on_main(), &[StopAction::CloseAll]);
    assert_eq!(first.stop_id, more.stop_id);
    assert!(rig.view().positions.is_empty(), "the added action is carried out");
    assert_eq!(rig.risk().latches.len(), 1);
    let other = rig.emergency_stop(StopScope::Global, &[StopAction::Pause]);
    assert_ne!(first.stop_id, other.stop_id, "another scope is another latch");
    rig.resume(ResumeTarget::Stop(first.stop_id)).expect("resumed");
    assert_eq!(rig.denied(buy("EURUSD", "0.01")), ["TRADING_HALTED"], "the global one still holds");
    rig.resume(ResumeTarget::Stop(other.stop_id)).expect("resumed");
    assert_eq!(rig.denied(buy("EURUSD", "0.01")), [""; 0]);
    let unknown = rig.resume(ResumeTarget::Stop(other.stop_id)).expect_err("it is lifted");
    assert_eq!(unknown.code, ErrorCode::NotFound);
}

fn phases(rig: &Rig) -> Vec<StopPhase> {
    let told = rig.events.iter().filter_map(|event| match event {
        Event::EmergencyStop(stop) => Some(stop.phase),
        _ => None,
    });
    told.collect()
}

#[test]
fn rk06_close_all_ends_flat_at_once_when_the_market_is_open() {
    let mut rig = quoted(|_| {});
    rig.quote("XAUUSD", "2000.00", "2000.30");
    rig.open(buy("EURUSD", "0.10"));
    rig.open(sell("XAUUSD", "0.10"));
    rig.rest(buy("EURUSD", "0.01").limit("1.00000"));
    let reply = rig.emergency_stop(on_main(), &[StopAction::CloseAll]);
    assert!(reply.outcomes.iter().all(|o| o.state == OutcomeState::Done), "{:?}", reply.outcomes);
    let view = rig.view();
    assert!(view.positions.is_empty() && view.orders.is_empty(), "{view:?}");
    assert_eq!(phases(&rig), [StopPhase::Latched, StopPhase::Completed]);
    rig.resume(ResumeTarget::Scope(on_main())).expect("complete");
    assert_eq!(phases(&rig).last(), Some(&StopPhase::Resumed));
}

#[test]
fn rk06_close_all_closes_what_a_resting_reduction_would_have_closed_some_day() {
    let mut rig = quoted(|_| {});
    let id = rig.open(buy("EURUSD", "0.10"));
    let exit = rig.rest(sell("EURUSD", "0.10").limit("1.20000").reduces(id));
    rig.emergency_stop(on_main(), &[StopAction::CloseAll]);
    assert!(rig.view().positions.is_empty(), "flat, whatever rests: {:?}", rig.view().orders);
    assert_eq!(rig.order(exit).order.status, OrderStatus::Canceled);
    rig.resume(ResumeTarget::Scope(on_main())).expect("complete");
}

#[test]
fn rk06_close_all_waits_for_the_market_and_then_ends_flat() {
    let mut rig = Rig::starting("2024-01-12T21:00:00Z", |_| {});
    rig.quote("EURUSD", "1.10000", "1.10010").quote("BTCUSD", "45000.00", "45010.00");
    rig.open(buy("EURUSD", "0.10"));
    rig.open(buy("BTCUSD", "0.10"));
    rig.trades();
    rig.to("2024-01-13T12:00:00Z");
    let reply = rig.emergency_stop(StopScope::Global, &[StopAction::CloseAll]);
    assert_eq!(rig.trades(), ["sell 0.10 45000.00 order"], "what can be closed is closed");
    let states: Vec<OutcomeState> = reply.outcomes.iter().map(|o| o.state).collect();
    assert_eq!(states, [OutcomeState::Pending, OutcomeState::Done]);
    let refusal = rig.resume(ResumeTarget::Scope(StopScope::Global)).expect_err("incomplete");
    assert_eq!((refusal.code, refusal.retryable), (ErrorCode::Conflict, true));
    rig.to("2024-01-14T12:00:00Z").quote("EURUSD", "1.08800", "1.08810");
    assert_eq!(rig.trades(), [""; 0], "quotes outside the session never fill");
    // the session opens: not before its first quote, and at that quote
    rig.to("2024-01-14T22:00:00Z").wake();
    assert_eq!(rig.trades(), [""; 0], "no price of the new session yet");
    rig.wait(SECOND_NS).quote("EURUSD", "1.09000", "1.09010");
    assert_eq!(rig.trades(), ["sell 0.10 1.09000 order"]);
    assert_eq!(phases(&rig), [StopPhase::Latched, StopPhase::Completed]);
    rig.resume(ResumeTarget::Scope(StopScope::Global)).expect("complete");
}

#[test]
fn or09_a_price_of_an_earlier_session_fills_nothing() {
    let mut rig = Rig::starting("2024-01-12T21:00:00Z", |_| {});
    rig.quote("EURUSD", "1.10000", "1.10010");
    let id = rig.open(buy("EURUSD", "0.10"));
    rig.trades();
    rig.to("2024-01-14T22:00:00Z");
    rig.close(id).expect("taken, waits for a price");
    rig.place(buy("EURUSD", "0.20")).expect("taken, waits for a price");
    assert_eq!(rig.trades(), [""; 0]);
    rig.wait(SECOND_NS).quote("EURUSD", "1.08000", "1.08010");
    assert_eq!(rig.trades(), ["sell 0.10 1.08000 order", "buy 0.20 1.08010 order"]);
}

#[test]
fn rk06_close_all_waits_for_a_fresh_quote() {
    let mut rig = quoted(|config| config.quote_max_age_ms = 5_000);
    rig.open(buy("EURUSD", "0.10"));
    rig.trades();
    rig.wait(6 * SECOND_NS);
    let reply = rig.emergency_stop(on_main(), &[StopAction::CloseAll]);
    assert_eq!(reply.outcomes[0].state, OutcomeState::Pending);
    rig.wait(SECOND_NS).quote("EURUSD", "1.09000", "1.09010");
    assert_eq!(rig.trades(), ["sell 0.10 1.09000 order"]);
    rig.resume(ResumeTarget::Scope(on_main())).expect("complete");
}

// ---- RK09 ------------------------------------------------------------------------------------------

#[test]
fn rk09_reductions_pass_what_stops_new_risk() {
    let mut rig = quoted(|config| {
        config.accounts[0].limits.max_positions = Some(1);
        config.accounts[0].deposit = dec("200");
    });
    let id = rig.open(buy("EURUSD", "0.10"));
    rig.step(&Input::ClockSuspect { suspect: true });
    rig.emergency_stop(on_main(), &[StopAction::Pause]);
    let outside = rig.denied(buy("EURUSD", "0.10"));
    assert_eq!(outside, ["TRADING_HALTED", "QUOTE_STALE", "MAX_POSITIONS", "MARGIN_INSUFFICIENT"]);
    rig.close_target(CloseTarget::Position(id), Some("0.04")).expect("a part");
    assert_eq!(rig.denied(sell("EURUSD", "0.03").reduces(id)), [""; 0]);
    rig.close(id).expect("the rest");
}

#[test]
fn rk09_reductions_meet_the_market_the_quote_and_the_grid() {
    let mut rig = quoted(|config| config.quote_max_age_ms = 5_000);
    let id = rig.open(buy("EURUSD", "0.10"));
    let refused = |rig: &mut Rig, lots: Option<&str>| {
        codes(&rig.close_target(CloseTarget::Position(id), lots).expect_err("refused"))
    };
    assert_eq!(refused(&mut rig, Some("0.015")), ["VOLUME_STEP"]);
    assert_eq!(refused(&mut rig, Some("0.11")), ["REDUCE_ONLY"]);
    rig.wait(5_001 * MILLI_NS);
    assert_eq!(refused(&mut rig, None), ["QUOTE_STALE"]);
    rig.wait(3 * DAY_NS);
    assert_eq!(at("2024-01-13T12:00:05.001Z"), rig.now);
    assert!(refused(&mut rig, None).contains(&"MARKET_CLOSED".to_owned()));
}

#[test]
fn rk09_cancels_pass_a_closed_market_and_a_stop() {
    let mut rig = quoted(|_| {});
    let order = rig.rest(buy("EURUSD", "0.10").limit("1.00000"));
    rig.emergency_stop(on_main(), &[StopAction::Pause]);
    rig.to("2024-01-13T12:00:00Z");
    assert_eq!(rig.cancel(order).expect("cancelled").outcomes[0].state, OutcomeState::Done);
}

#[test]
fn rk09_a_close_of_several_says_which_were_refused() {
    let mut rig = quoted(|_| {});
    let small = rig.open(buy("EURUSD", "0.05"));
    let large = rig.open(buy("EURUSD", "0.10"));
    let reply = rig.close_target(CloseTarget::Symbol("EURUSD".to_owned()), Some("0.08")).expect("one closes");
    let states: Vec<(String, OutcomeState, Option<String>)> =
        reply.outcomes.into_iter().map(|o| (o.id, o.state, o.reason)).collect();
    assert_eq!(
        states,
        [
            (small.to_string(), OutcomeState::Failed, Some("REDUCE_ONLY".to_owned())),
            (large.to_string(), OutcomeState::Done, None),
        ]
    );
}

#[test]
fn rk04_a_hedged_account_is_valued_at_one_quote() {
    let mut rig = quoted(|config| config.accounts[0].limits.max_daily_loss = Some(dec("200")));
    rig.open(buy("EURUSD", "1.00").sl("1.09900"));
    rig.open(sell("EURUSD", "1.00"));
    // the stop of the long realises 1,010; the short wins 1,000 at the same quote
    rig.wait(SECOND_NS).quote("EURUSD", "1.09000", "1.09000");
    assert_eq!(rig.risk().daily_loss[&account_id(MAIN)].amount(), dec("10.00"));
    assert_eq!(rig.count(Mark::DailyLossTripped), 0, "the loss was never more than 10");
}

#[test]
fn rk04_the_loss_is_looked_at_when_all_reports_of_a_quote_are_in() {
    let mut rig = Rig::with(|config| config.accounts[0].limits.max_daily_loss = Some(dec("250")));
    rig.bar("EURUSD", ["1.10000"; 4], 10);
    for _ in 0..2 {
        rig.place(buy("EURUSD", "1.00").sl("1.09900")).expect("taken");
    }
    rig.bar("EURUSD", ["1.10000"; 4], 10);
    let pending = rig.rest(buy("EURUSD", "0.01").limit("1.09800"));
    // each stop costs 110 at its price; at the low one position alone would be 1,010 down
    rig.bar("EURUSD", ["1.10000", "1.10000", "1.09000", "1.10000"], 10);
    assert_eq!(rig.count(Mark::DailyLossTripped), 0);
    assert_eq!(rig.order(pending).order.status, OrderStatus::Filled);
}

/// Sooner or later a loss trips while the venue has already filled what the trip cancels.
#[test]
fn or01_a_trip_and_a_fill_of_the_same_quote_do_not_collide() {
    let mut rig = losing("100");
    let pending = rig.rest(buy("EURUSD", "0.01").limit("1.09000"));
    let resting = rig.rest(buy("EURUSD", "0.01").limit("1.00000"));
    rig.wait(SECOND_NS).quote("EURUSD", "1.08000", "1.08010");
    assert_eq!(rig.order(pending).order.status, OrderStatus::Filled);
    assert_eq!(rig.order(resting).order.status, OrderStatus::Canceled);
    assert_eq!(rig.risk().trading_state, TradingState::Reducing);
}
