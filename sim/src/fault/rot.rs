//! What time does to a disk that is off: bits flip, files get lost. Whoever opens such a disk must notice, or
//! find everything that was there. The world itself goes on with the sound one.

use crate::{
    disk::Disk,
    plan::FaultKind,
    trace::Kind,
    world::{Machine, World},
};
use lockstep::node::journal::{JournalError, ReplayReport, verify};
use serde_json::json;
use std::sync::Arc;

/// The derived part of the journal.
const INDEX: &str = "index.redb";

/// Damages a copy of the machine's disk and lets the product verify it.
pub(super) fn strike(world: &World, machine: &Machine, kind: FaultKind) {
    let damaged = match kind {
        FaultKind::BitFlip { pick, .. } => {
            machine.disk.with_flipped_bit(pick).map(|found| ("bit_flip", found))
        }
        FaultKind::FileLost { pick, .. } => machine.disk.without_file(pick).map(|found| ("file_lost", found)),
        _ => None,
    };
    let Some((fault, (damaged, place))) = damaged else { return };
    let sound = check(&machine.disk.copy());
    let found = check(&damaged);
    let (mark, body) = match (&sound, &found) {
        (Ok(sound), Ok(found)) if is_whole(sound, found, &place) => {
            (format!("{fault}_harmless"), json!({ "fault": fault, "place": place, "found": null }))
        }
        // as after a deletion of what was kept long enough, which the report says
        (Ok(sound), Ok(found)) if found.first_offset > sound.first_offset => {
            (format!("{fault}_found"), json!({ "fault": fault, "place": place, "found": found.first_offset }))
        }
        (Ok(_), Err(error)) => {
            (format!("{fault}_found"), json!({ "fault": fault, "place": place, "found": error.to_string() }))
        }
        // before its first start there is no journal
        (Err(JournalError::Absent), _) => return,
        (Err(error), _) => return alarm(world, machine, "journal_unsound", &error.to_string()),
        (Ok(_), Ok(_)) => return alarm(world, machine, "damage_unnoticed", &place),
    };
    world.coverage.mark(&mark);
    world.tracer.record(machine.name, Kind::Fault, &body.to_string());
}

/// Whether everything that was there is there. The index is derived: without its file it is built again.
fn is_whole(sound: &ReplayReport, found: &ReplayReport, place: &str) -> bool {
    let archived_orders = if place == INDEX { sound.archived_orders } else { found.archived_orders };
    *sound == ReplayReport { archived_orders, ..found.clone() }
}

fn check(disk: &Disk) -> Result<ReplayReport, JournalError> {
    verify(Arc::new(disk.mount()))
}

fn alarm(world: &World, machine: &Machine, mark: &str, what: &str) {
    let body = json!({ "mark": mark, "what": what });
    world.tracer.record(machine.name, Kind::Alarm, &body.to_string());
}
