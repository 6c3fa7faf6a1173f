//! LV05: replaying a prefix and then the rest is replaying the whole, from any snapshot.

use super::world::{self, World};
use lockstep::machine::{Machine, StateError};
use proptest::prelude::*;

proptest! {
    #![proptest_config(world::cases(120))]

    #[test]
    fn lv05_a_decoded_machine_goes_on_as_the_one_that_was_encoded(
        acts in world::acts(80),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 3),
    ) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(acts.len())).collect();
        cuts.sort_unstable();
        let mut whole = World::new();
        let mut restarted = whole.clone();
        for (index, act) in acts.iter().enumerate() {
            if cuts.contains(&index) {
                let bytes = restarted.rig.machine.encode();
                let read = Machine::decode(Machine::STATE_VERSION, &bytes).expect("what was encoded");
                prop_assert!(read.encode() == bytes, "encoding is canonical");
                prop_assert_eq!(read.state_hash(), whole.rig.machine.state_hash());
                restarted.rig.machine = read;
            }
            whole.act(act);
            restarted.act(act);
            prop_assert_eq!(whole.rig.machine.output_hash(), restarted.rig.machine.output_hash(), "{:?}", act);
        }
        prop_assert_eq!(whole.rig.machine.state_hash(), restarted.rig.machine.state_hash());
        prop_assert_eq!(whole.rig.machine.next_deadline(), restarted.rig.machine.next_deadline());
        prop_assert_eq!(&whole.rig.events, &restarted.rig.events);
        prop_assert_eq!(&whole.rig.feed, &restarted.rig.feed);
        prop_assert_eq!(&whole.rig.marks, &restarted.rig.marks);
    }
}

#[test]
fn lv05_a_state_of_another_version_or_damaged_is_refused() {
    let bytes = World::new().rig.machine.encode();
    let version = Machine::STATE_VERSION + 1;
    assert!(matches!(Machine::decode(version, &bytes), Err(StateError::Version { .. })));
    for damaged in [&bytes[..bytes.len() - 1], b"", b"{}", b"null"] {
        let read = Machine::decode(Machine::STATE_VERSION, damaged);
        assert!(matches!(read, Err(StateError::Malformed(_))));
    }
}
