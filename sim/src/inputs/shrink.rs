//! Shrinking of inputs: by prefix, then by whole principals, accounts and instruments, then by ever smaller
//! pieces.
//!
//! The hashes of the time say nothing of a part, so a part fails if the same oracle names the same rule, or
//! if it panics. Other outputs than those of the time can only be seen with everything before them: such a
//! plan ends with the record that gives them, and is not shrunk further.

use super::{Digest, End, InputRecord, InputsPlan};
use crate::{
    outcome::Outcome,
    run::Report,
    shrink::{Budget, Search, Shrunk},
};
use lockstep::domain::message::Input;
use serde_json::Value;
use std::{collections::BTreeMap, sync::Arc};

/// The smallest plan found that fails as `plan` did, which gave `report`.
pub fn shrink(
    plan: &InputsPlan,
    report: &Report,
    fails: &(dyn Fn(&InputsPlan) -> bool + Sync),
    budget: &Budget<'_>,
) -> Shrunk<InputsPlan> {
    let mut search = Search { best: plan.clone(), fails, budget, runs: 0 };
    let failed_at = failing_offset(report);
    if report.outcome == Outcome::Nondeterminism {
        search.take_first(&[until(plan, failed_at)]);
        return search.end();
    }
    let bare = without_hashes(plan);
    let prefix = prefix(&bare, failed_at);
    if search.take_first(&[prefix, bare]).is_none() {
        return search.end();
    }
    loop {
        let before = search.best.records.len();
        drop_groups(&mut search);
        search.thin(|plan| &mut plan.records);
        if search.best.records.len() == before || !(budget.goes_on)() {
            return search.end();
        }
    }
}

/// The offset of the record at which the gravest failure showed; the last one where a panic ended it.
fn failing_offset(report: &Report) -> u64 {
    let gravest = report.violations.iter().min_by_key(|violation| violation.severity);
    let until = gravest.map_or(usize::MAX, |violation| violation.seq);
    let offsets = report.trace.records().filter(|record| record.seq <= until).filter_map(|record| {
        let body: Value = serde_json::from_str(record.body).ok()?;
        body["offset"].as_u64()
    });
    offsets.last().unwrap_or(u64::MAX)
}

fn without_hashes(plan: &InputsPlan) -> InputsPlan {
    let bare = |record: &Arc<InputRecord>| match record.output_hash {
        None => Arc::clone(record),
        Some(_) => Arc::new(InputRecord { output_hash: None, ..InputRecord::clone(record) }),
    };
    InputsPlan { records: plan.records.iter().map(bare).collect(), end: None, ..plan.clone() }
}

fn prefix(plan: &InputsPlan, last: u64) -> InputsPlan {
    let mut plan = plan.clone();
    plan.records.retain(|record| record.offset <= last);
    plan
}

/// The prefix with the hashes of the time.
fn until(plan: &InputsPlan, last: u64) -> InputsPlan {
    let mut shorter = prefix(plan, last);
    if shorter.records.len() < plan.records.len() {
        let stated = shorter.records.iter().rev().find_map(|record| record.output_hash);
        let machine = plan.beginning.machine().expect("a plan with a flaw is not replayed");
        let output_hash = stated.unwrap_or(Digest(machine.output_hash()));
        shorter.end = Some(End { state_hash: None, output_hash });
    }
    shorter
}

/// Leaves out all that one principal asked for, that concerns one account, that one instrument was quoted at.
fn drop_groups(search: &mut Search<'_, InputsPlan>) {
    let mut sizes: BTreeMap<String, usize> = BTreeMap::new();
    for group in search.best.records.iter().flat_map(|record| groups(&record.input)) {
        *sizes.entry(group).or_default() += 1;
    }
    let mut names: Vec<_> = sizes.into_iter().collect();
    names.sort_by_key(|(_, size)| std::cmp::Reverse(*size));
    for (name, _) in names {
        let mut without = search.best.clone();
        without.records.retain(|record| !groups(&record.input).contains(&name));
        search.take_first(&[without]);
    }
}

/// What an input belongs to.
fn groups(input: &Input) -> Vec<String> {
    match input {
        Input::Command(command) => {
            let account = command.body.account().map(|account| format!("account {account}"));
            std::iter::once(format!("principal {}", command.principal)).chain(account).collect()
        }
        Input::Link(link) => vec![format!("account {}", link.account)],
        Input::Quote { instrument, .. } => vec![format!("instrument {}", instrument.0)],
        Input::Bar(bar) => vec![format!("instrument {}", bar.instrument.0)],
        Input::Wake => vec!["wake".to_owned()],
        Input::Config(_) | Input::Gateway(_) | Input::ClockSuspect { .. } | Input::EndOfData => Vec::new(),
    }
}
