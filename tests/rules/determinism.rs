//! DT: the same inputs give the same bytes, today and in a year.

use super::{
    rig::{Rig, buy, dec, sell},
    world::{self, World},
};
use lockstep::domain::{
    message::{CloseTarget, ResumeTarget, StopAction, StopScope},
    time::SECOND_NS,
};
use proptest::prelude::*;
use std::fmt::Write;

proptest! {
    #![proptest_config(world::cases(60))]

    #[test]
    fn dt01_same_inputs_same_output_and_state_hash(acts in world::acts(80)) {
        let run = || {
            let mut world = World::new();
            acts.iter().for_each(|act| world.act(act));
            (world.rig.machine.output_hash(), world.rig.machine.state_hash(), world.rig.machine.event_count())
        };
        prop_assert_eq!(run(), run());
    }
}

#[test]
fn dt01_quiet_steps_leave_the_output_hash_alone_and_loud_ones_change_it() {
    let mut rig = Rig::new();
    let hash = rig.machine.output_hash();
    rig.quote("EURUSD", "1.10000", "1.10010").wait(SECOND_NS).wake();
    assert_eq!(rig.machine.output_hash(), hash);
    rig.open(buy("EURUSD", "0.10"));
    assert_ne!(rig.machine.output_hash(), hash);
}

#[test]
fn dt01_entering_the_configuration_again_changes_nothing() {
    let mut rig = Rig::new();
    rig.quote("EURUSD", "1.10000", "1.10010");
    rig.open(buy("EURUSD", "0.10").sl("1.09000"));
    let (state, output) = (rig.machine.state_hash(), rig.machine.output_hash());
    let config = rig.config().clone();
    rig.step(&lockstep::domain::message::Input::Config(Box::new(config)));
    assert_eq!((rig.machine.state_hash(), rig.machine.output_hash()), (state, output));
}

/// A session with one of everything. A change of this log is a change of what users have stored.
#[test]
fn dt01_the_event_log_of_a_scripted_session() {
    let mut rig = Rig::with(|config| {
        config.accounts[0].commission_per_lot = dec("7");
        config.accounts[0].limits.max_daily_loss = Some(dec("500"));
    });
    rig.quote("EURUSD", "1.10000", "1.10010").quote("USDJPY", "150.000", "150.010");
    let long = rig.open(buy("EURUSD", "0.30").sl("1.09500").tp("1.10500").named("entry-1"));
    let pending = rig.rest(sell("USDJPY", "0.10").limit("150.500").sl("151.000"));
    rig.wait(SECOND_NS).quote("EURUSD", "1.10110", "1.10120");
    rig.close_target(CloseTarget::Position(long), Some("0.10")).expect("a part");
    rig.denied(buy("EURUSD", "0.015"));
    rig.denied(buy("EURUSD", "0.10").named("entry-1"));
    rig.cancel(pending).expect("cancelled");
    rig.rest(sell("USDJPY", "0.10").limit("150.400").tp("150.100"));
    rig.wait(SECOND_NS).quote("USDJPY", "150.420", "150.430");
    rig.wait(SECOND_NS).quote("USDJPY", "150.080", "150.090");
    rig.wait(SECOND_NS).quote("EURUSD", "1.09490", "1.09500");
    rig.open(buy("EURUSD", "0.50"));
    rig.emergency_stop(StopScope::Global, &[StopAction::Pause, StopAction::CancelAll, StopAction::CloseAll]);
    rig.denied(buy("EURUSD", "0.10"));
    rig.resume(ResumeTarget::Scope(StopScope::Global)).expect("complete");
    rig.open(buy("EURUSD", "1.00"));
    rig.wait(SECOND_NS).quote("EURUSD", "1.09000", "1.09010");

    let mut log = String::new();
    for (number, event) in rig.events.iter().enumerate() {
        let payload = String::from_utf8(event.payload()).expect("JSON");
        writeln!(log, "{} {} {payload}", number + 1, event.name()).expect("a string takes it");
    }
    for entry in &rig.ledger {
        writeln!(log, "ledger {}", serde_json::to_string(entry).expect("an entry"))
            .expect("a string takes it");
    }
    writeln!(log, "outputs {}", rig.machine.output_hash()).expect("a string takes it");
    insta::with_settings!({ snapshot_path => "../../snapshots", prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("scripted_session", log);
    });
}
