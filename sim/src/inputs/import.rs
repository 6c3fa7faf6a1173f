//! From the journal of a live gateway to a plan. The journal is proved on the way and not changed.

use super::{Beginning, Digest, End, InputRecord, InputsPlan, State};
use lockstep::{
    machine::Machine,
    node::{
        journal::{ENGINE_VERSION, JournalError, Passed, Record, ReplayReport, verify_watched},
        services::Storage,
    },
};
use std::sync::Arc;

/// Takes the journal's inputs from its beginning on, or from its oldest usable snapshot where the beginning
/// is gone. With `before`: from the newest snapshot that lies before the record of that offset.
///
/// # Errors
/// What keeps `lockstep replay` from proving it.
pub fn import(
    storage: Arc<dyn Storage>,
    before: Option<u64>,
) -> Result<(InputsPlan, ReplayReport), JournalError> {
    let mut taken: Option<Taken> = None;
    let report = verify_watched(storage, |passed| match (passed, &mut taken) {
        (Passed::State { offset, machine }, taken) => {
            if taken.is_none() || before.is_some_and(|before| offset < before) {
                *taken = Some(Taken::from(offset, machine));
            }
        }
        (Passed::Record(record), Some(taken)) => taken.add(record),
        (Passed::Record(_), None) => {}
    })?;
    let taken = taken.expect("a journal is proved from some state on");
    let end = End { state_hash: Some(Digest(report.state_hash)), output_hash: Digest(report.output_hash) };
    let plan = InputsPlan {
        engine: ENGINE_VERSION.to_owned(),
        epoch: report.epoch.to_string(),
        beginning: taken.beginning,
        records: taken.records,
        end: Some(end),
    };
    Ok((plan, report))
}

/// What was taken so far.
struct Taken {
    beginning: Beginning,
    records: Vec<Arc<InputRecord>>,
    /// The hash of all outputs so far.
    output: Digest,
}

impl Taken {
    fn from(offset: u64, machine: &Machine) -> Self {
        let beginning = match offset {
            0 => Beginning::Genesis,
            _ => Beginning::Snapshot(State {
                offset,
                // as this build writes it: an older state has been read by now
                version: Machine::STATE_VERSION,
                hash: Digest(machine.state_hash()),
                text: String::from_utf8(machine.encode()).expect("a state is JSON").into(),
            }),
        };
        Self { beginning, records: Vec::new(), output: Digest(machine.output_hash()) }
    }

    fn add(&mut self, record: &Record) {
        let output = Digest(record.output_hash);
        let changed = std::mem::replace(&mut self.output, output) != output;
        self.records.push(Arc::new(InputRecord {
            offset: record.offset,
            now_ns: record.now.0,
            input: record.input.clone(),
            output_hash: changed.then_some(output),
        }));
    }
}
