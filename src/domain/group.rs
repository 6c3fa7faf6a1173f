//! Order groups: orders that know of each other (FIX tag 1385, ContingencyType).

use super::{
    id::{ClientOrderId, GroupId, OrderId},
    order::Side,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Orders of one group that may be open at once.
pub const GROUP_MEMBERS_MAX: usize = 8;

/// What the orders of a group are to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GroupKind {
    /// One cancels the others: a fill of one makes the others smaller by as much, or ends them (OR05).
    Oco,
    /// One triggers the others: they are held back until it fills, and enter as large as it was filled (OR06).
    Oto,
    /// An entry with its exits: they are held back like those of `oto`, reduce the position that it opened, and
    /// one cancels the other.
    Bracket,
}

impl GroupKind {
    /// Whether its first order holds the others back.
    pub const fn has_parent(self) -> bool {
        matches!(self, Self::Oto | Self::Bracket)
    }
}

/// The group that an order belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OrderGroup {
    pub kind: GroupKind,
    pub id: GroupId,
    /// The order whose fill lets this one in; absent: it waits for none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub parent: Option<OrderId>,
}

impl OrderGroup {
    /// Whether the order is an exit of what the group's first order opens.
    pub const fn exits(&self) -> bool {
        matches!(self.kind, GroupKind::Bracket) && self.parent.is_some()
    }
}

/// The group that an order is to belong to, as its caller names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinGroup {
    pub kind: GroupKind,
    pub id: GroupId,
    /// The order that must be there as the group's first. Whoever cannot say has the first order be the parent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub parent: Option<ClientOrderId>,
}

/// The two exits of a bracket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// A limit order beyond the entry, where it gains.
    Target,
    /// A stop on the other side of it.
    Protection,
}

impl Exit {
    /// Whether an exit of this side belongs above the entry.
    pub const fn is_above(self, side: Side) -> bool {
        matches!((self, side), (Self::Target, Side::Sell) | (Self::Protection, Side::Buy))
    }
}
