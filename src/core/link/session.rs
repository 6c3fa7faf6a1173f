//! What the engine keeps of an account's link.

use crate::domain::{
    id::{FillId, IntentId, OrderId, PositionId},
    message::Capabilities,
    time::UnixNanos,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The link of an account. Of paper accounts only the first three fields are used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Session {
    /// When the link got the status that it has.
    pub since: UnixNanos,
    /// Why it is not connected, or last was not.
    pub last_error: Option<String>,
    /// An operator disconnected it.
    pub disabled: bool,
    pub capabilities: Capabilities,
    /// The venue's log of reports that `last_report` counts in.
    pub log: Option<String>,
    /// The newest report that was taken in.
    pub last_report: u64,
    /// The newest order when the books were asked for: they need not tell of later ones.
    pub asked_up_to: u64,
    /// The newest intent at that time: the venue may not have had terms of later ones yet.
    #[serde(skip_serializing_if = "is_zero")]
    pub terms_up_to: u64,
    /// Questions for the books that are not answered: only the answer to the last is looked at.
    #[serde(skip_serializing_if = "is_unasked")]
    pub syncs: u32,
    /// Since when nothing has come of the last question.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked_at: Option<UnixNanos>,
    /// A position's new levels that the venue has not answered, and since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub levels_open: Option<(IntentId, UnixNanos)>,
    /// Reports were missing, and the venue was asked for them.
    pub resend_asked: bool,
    /// The venue's log is another one than before: what it had is gone, its books say what is.
    pub log_changed: bool,
    /// The balance was taken over from the venue's books once.
    pub opened: bool,
    /// A deadline waits for answers that are due.
    pub watched: bool,
    /// Orders that this session has refused in a way which proves nothing (LV03).
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub in_doubt: BTreeSet<OrderId>,
    /// Fills by the venue's names, as long as their orders are remembered (LV01).
    pub fills: BTreeMap<String, FillId>,
    pub last_fill: Option<String>,
    /// Open positions by the venue's names.
    pub positions: BTreeMap<String, PositionId>,
}

fn is_unasked(syncs: &u32) -> bool {
    *syncs == 0
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Default for Session {
    fn default() -> Self {
        Self {
            since: UnixNanos::ZERO,
            last_error: None,
            disabled: false,
            capabilities: Capabilities::default(),
            log: None,
            last_report: 0,
            asked_up_to: 0,
            terms_up_to: 0,
            syncs: 0,
            asked_at: None,
            levels_open: None,
            resend_asked: false,
            log_changed: false,
            opened: false,
            watched: false,
            in_doubt: BTreeSet::new(),
            fills: BTreeMap::new(),
            last_fill: None,
            positions: BTreeMap::new(),
        }
    }
}
