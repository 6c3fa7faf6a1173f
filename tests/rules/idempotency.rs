//! GW03: the same idempotency key has one effect and one final response.

use super::rig::{Ask, Rig, account, account_id, buy, codes};
use lockstep::{
    domain::{
        id::PositionId,
        message::{
            ClosePosition, CloseTarget, CommandBody, ErrorCode, Mark, Refusal, ReplyBody, StopAction,
            StopScope,
        },
        time::HOUR_NS,
    },
    machine::Machine,
};

type Answer = Result<ReplyBody, Refusal>;

fn quoted() -> Rig {
    let mut rig = Rig::with(|config| config.accounts.push(account("other")));
    rig.quote("EURUSD", "1.10000", "1.10010");
    rig
}

fn keyed(rig: &mut Rig, principal: &str, key: (&str, &str), order: Ask) -> Answer {
    rig.send_as(principal, Some(key), CommandBody::Place(order.into())).expect("answered at once")
}

#[test]
fn gw03_a_repeated_key_is_answered_as_before_and_does_nothing() {
    let mut rig = quoted();
    let first = keyed(&mut rig, "alice", ("k", "p"), buy("EURUSD", "0.10"));
    let (events, state) = (rig.machine.event_count(), rig.view());
    rig.quote("EURUSD", "1.20000", "1.20010");
    let again = keyed(&mut rig, "alice", ("k", "p"), buy("EURUSD", "0.10"));
    assert_eq!(first, again);
    assert_eq!((rig.machine.event_count(), rig.view().positions.len()), (events, state.positions.len()));
    assert_eq!(rig.count(Mark::IdempotentReplay), 1);
}

#[test]
fn gw03_other_parameters_under_the_same_key_are_a_conflict() {
    let mut rig = quoted();
    let first = keyed(&mut rig, "alice", ("k", "p"), buy("EURUSD", "0.10"));
    let other = keyed(&mut rig, "alice", ("k", "q"), buy("EURUSD", "0.20")).expect_err("another request");
    assert_eq!((other.code, other.reason()), (ErrorCode::Conflict, "IDEMPOTENCY_MISMATCH"));
    assert_eq!(
        keyed(&mut rig, "alice", ("k", "p"), buy("EURUSD", "0.10")),
        first,
        "the key keeps its answer"
    );
    assert_eq!(rig.view().positions.len(), 1);
}

#[test]
fn gw03_keys_are_scoped_by_principal_method_and_account() {
    let mut rig = quoted();
    keyed(&mut rig, "alice", ("k", "p"), buy("EURUSD", "0.10")).expect("filled");
    keyed(&mut rig, "bob", ("k", "p"), buy("EURUSD", "0.10")).expect("another principal");
    keyed(&mut rig, "alice", ("k", "p"), buy("EURUSD", "0.10").on("other")).expect("another account");
    assert_eq!((rig.view().positions.len(), rig.view_of("other").positions.len()), (2, 1));
    let close = CommandBody::Close(ClosePosition {
        account: account_id("main"),
        target: CloseTarget::Position(PositionId(1)),
        volume: None,
        reason: None,
    });
    rig.send_as("alice", Some(("k", "p")), close).expect("answered").expect("another method");
    assert_eq!(rig.view().positions.len(), 1);
}

#[test]
fn gw03_a_denial_is_an_answer_too() {
    let mut rig = quoted();
    rig.emergency_stop(StopScope::Global, &[StopAction::Pause]);
    let first = keyed(&mut rig, "alice", ("k", "p"), buy("EURUSD", "0.10"));
    assert_eq!(codes(first.as_ref().expect_err("halted")), ["TRADING_HALTED"]);
    let target = lockstep::domain::message::ResumeTarget::Scope(StopScope::Global);
    rig.resume(target).expect("resumed");
    assert_eq!(keyed(&mut rig, "alice", ("k", "p"), buy("EURUSD", "0.10")), first);
    assert!(rig.view().positions.is_empty());
}

#[test]
fn gw03_a_refusal_that_asks_to_try_again_binds_nothing() {
    let mut rig = quoted();
    let early = keyed(&mut rig, "alice", ("k", "p"), buy("BTCUSD", "0.10")).expect_err("never quoted");
    assert_eq!(codes(&early), ["QUOTE_MISSING"]);
    assert!(early.retryable);
    assert_eq!(early.details["outcome"], "not_started");
    rig.quote("BTCUSD", "60000.00", "60010.00");
    let filled = keyed(&mut rig, "alice", ("k", "p"), buy("BTCUSD", "0.10"));
    filled.clone().expect("the same request under the same key, when it can be served");
    assert_eq!(keyed(&mut rig, "alice", ("k", "p"), buy("BTCUSD", "0.10")), filled);
    assert_eq!(rig.view().positions.len(), 1);
}

#[test]
fn gw03_what_names_nothing_binds_nothing() {
    let mut rig = quoted();
    let close = || {
        CommandBody::Close(ClosePosition {
            account: account_id("main"),
            target: CloseTarget::Position(PositionId(1)),
            volume: None,
            reason: None,
        })
    };
    let missing = rig.send_as("alice", Some(("k", "p")), close()).expect("answered").expect_err("not there");
    assert_eq!(missing.code, ErrorCode::NotFound);
    rig.open(buy("EURUSD", "0.10"));
    rig.send_as("alice", Some(("k", "p")), close()).expect("answered").expect("now it is there");
}

#[test]
fn gw03_keys_survive_a_restart_and_are_kept_for_a_day() {
    let mut rig = quoted();
    let first = keyed(&mut rig, "alice", ("k", "p"), buy("EURUSD", "0.10"));
    rig.wait(12 * HOUR_NS).wake();
    rig.machine = Machine::decode(Machine::STATE_VERSION, &rig.machine.encode()).expect("a state");
    rig.wait(12 * HOUR_NS - 1).wake();
    assert_eq!(keyed(&mut rig, "alice", ("k", "p"), buy("EURUSD", "0.10")), first);
    assert_eq!(rig.view().positions.len(), 1);
    let keys = |rig: &Rig| String::from_utf8(rig.machine.encode()).expect("JSON").matches("alice").count();
    assert!(keys(&rig) > 0);
    rig.wait(2 * HOUR_NS).wake();
    assert_eq!(keys(&rig), 0, "a day later it is forgotten");
}
