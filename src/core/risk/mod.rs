//! The gate that every order passes, and the daily loss limit.
//!
//! May import the engine's state (`account`, `market`) and `domain`. Never imports `execution`, never
//! changes anything: it says yes, by handing out `RiskApproved`, or it says why not.

mod approved;
mod daily_loss;
mod facts;
mod groups;
mod modify;
mod table;

pub(crate) use approved::{RiskApproved, Ticket};
pub(crate) use daily_loss::{effective_limit as daily_loss_limit, tripped as daily_loss_tripped};
pub(crate) use facts::{Circumstances, Facts};

pub(crate) use modify::{Terms, assess as assess_modify};
pub use table::{CHECKS, CheckRow, Modify};

use crate::domain::{
    instrument::Instrument,
    market::Quote,
    message::{Check, Computed, Violation},
    order::Order,
};
use table::Verdict;

/// Whether a working order is too close to the market to be taken back (OR10).
pub(crate) fn frozen_order(order: &Order, spec: &Instrument, quote: Option<Quote>) -> Option<Violation> {
    table::frozen_violation(facts::at_stake_of_order(order), spec, quote?)
}

/// What the gate found. `approved` is there exactly when there are no violations.
pub(crate) struct Assessment {
    pub approved: Option<RiskApproved<Ticket>>,
    pub violations: Vec<Violation>,
    pub checks: Vec<Check>,
    pub computed: Computed,
}

/// Runs all checks in their order. One function for placing, closing and previewing (RK01).
pub(crate) fn assess(facts: &Facts<'_>) -> Assessment {
    let mut violations = Vec::new();
    let mut checks = Vec::new();
    for row in CHECKS.iter().filter(|row| row.reduce || !facts.is_reduction()) {
        let verdict = (row.test)(facts);
        let (passed, limit, actual) = match &verdict {
            Verdict::Off => continue,
            Verdict::Unknown => (None, None, None),
            Verdict::Pass { limit, actual } => (Some(true), *limit, *actual),
            Verdict::Fail(violation) => (Some(false), violation.limit, violation.actual),
        };
        checks.push(Check { code: row.code, passed, limit, actual });
        if let Verdict::Fail(violation) = verdict {
            violations.push(*violation);
        }
    }
    let ticket = facts.ticket().filter(|_| violations.is_empty());
    let approved = ticket.map(approved::approve);
    assert!(approved.is_some() || !violations.is_empty(), "an order without a ticket has a violation");
    Assessment { approved, violations, checks, computed: facts.computed() }
}
