//! Whether an order may join the group that it names (OR05, OR06).

use super::{
    super::account::Account,
    facts::Facts,
    table::{Verdict, fail, limited, when},
};
use crate::domain::{
    group::{Exit, GROUP_MEMBERS_MAX, GroupKind, JoinGroup, OrderGroup},
    message::{PlaceOrder, ViolationCode as Code},
    order::{Filling, Order, OrderType},
};
use rust_decimal::Decimal;

/// The group that an order is to belong to, as its account knows it.
pub(super) struct Joining<'a> {
    pub group: &'a JoinGroup,
    /// All that are remembered, oldest first.
    members: Vec<&'a Order>,
    /// The order that holds this one back.
    pub parent: Option<&'a Order>,
}

impl<'a> Joining<'a> {
    pub(super) fn new(group: &'a JoinGroup, account: &'a Account) -> Self {
        let members: Vec<&Order> = account.members(&group.id).collect();
        let first = members.iter().find(|order| {
            order.group.as_ref().is_some_and(|known| known.kind == group.kind && known.parent.is_none())
        });
        let parent = first.filter(|_| group.kind.has_parent()).and_then(|first| account.holder(first.id));
        Self { group, members, parent }
    }

    /// Whether it leaves what its group's first order opens.
    pub(super) fn exits(&self) -> bool {
        self.group.kind == GroupKind::Bracket && self.parent.is_some()
    }

    /// The order's place in the group.
    pub(super) fn place(&self) -> OrderGroup {
        let parent = self.parent.map(|parent| parent.id);
        OrderGroup { kind: self.group.kind, id: self.group.id.clone(), parent }
    }

    fn open(&self) -> impl Iterator<Item = &'a Order> {
        self.members.iter().copied().filter(|order| !order.status.is_terminal())
    }

    /// The kind that the group has, if it has begun.
    fn kind(&self) -> Option<GroupKind> {
        self.members.first().and_then(|order| order.group.as_ref()).map(|group| group.kind)
    }
}

pub(super) fn supported(f: &Facts<'_>) -> Verdict {
    let (Some(joins), account) = (&f.joins, f.around.account) else { return Verdict::Off };
    let kind = joins.group.kind;
    let offered = account.config.is_paper() || account.session.capabilities.groups.contains(&kind);
    when(offered, Code::GroupUnsupported, || {
        "this account's venue does not take groups of this kind: accounts.instruments lists what it takes"
            .to_owned()
    })
}

/// An order that comes too late must not begin a group of its own: it would open what it was to cancel or to close.
pub(super) fn alive(f: &Facts<'_>) -> Verdict {
    let Some(joins) = &f.joins else { return Verdict::Off };
    let id = &joins.group.id;
    if !joins.members.is_empty() && joins.open().next().is_none() {
        return fail(Code::GroupEnded, format!("the orders of group `{id}` have ended: use another id"));
    }
    let same_kind = joins.kind().is_none_or(|kind| kind == joins.group.kind);
    if joins.group.kind.has_parent() && !joins.members.is_empty() && same_kind && joins.parent.is_none() {
        let message = format!("the first order of group `{id}` is filled or has ended: use another id");
        return fail(Code::GroupEnded, message);
    }
    let wanted = joins.group.parent.as_ref();
    let known = joins.parent.and_then(|parent| parent.client_order_id.as_ref());
    when(wanted.is_none() || wanted == known, Code::GroupEnded, || {
        format!("the order that is to hold this one back in group `{id}` is not there")
    })
}

pub(super) fn fits(f: &Facts<'_>) -> Verdict {
    let Some(joins) = &f.joins else { return Verdict::Off };
    let Some((instrument, _)) = f.instrument else { return Verdict::Unknown };
    let (id, mismatch) = (&joins.group.id, |message: String| fail(Code::GroupMismatch, message));
    if !rests(f.order) {
        return mismatch(
            "the orders of a group rest: limits with filling return, stops, stop-limits and trailing stops"
                .to_owned(),
        );
    }
    if joins.kind().is_some_and(|kind| kind != joins.group.kind) {
        return mismatch(format!("the orders of group `{id}` are of another kind: use another id"));
    }
    let Some(first) = joins.members.first() else {
        let opens = joins.group.kind != GroupKind::Bracket || !f.is_reduction();
        return when(opens, Code::GroupMismatch, || {
            "the first order of a bracket opens a position: leave reduceOnly out".to_owned()
        });
    };
    match joins.group.kind {
        GroupKind::Oco => when(first.instrument == instrument, Code::GroupMismatch, || {
            format!("the orders of group `{id}` are of one instrument, and this is of another")
        }),
        GroupKind::Oto => Verdict::PASS,
        GroupKind::Bracket => fits_as_exit(f, joins),
    }
}

/// A group's order waits: what fills at once has nobody to cancel or to hold back.
fn rests(order: &PlaceOrder) -> bool {
    match order.order_type {
        OrderType::Market => false,
        OrderType::Limit => matches!(order.filling, None | Some(Filling::Return)),
        OrderType::Stop | OrderType::StopLimit | OrderType::TrailingStop => true,
    }
}

/// A bracket has a target and a protection, on either side of its entry.
fn fits_as_exit(f: &Facts<'_>, joins: &Joining<'_>) -> Verdict {
    let (Some(parent), Some((instrument, spec)), Some(exit)) =
        (joins.parent, f.instrument, f.order.order_type.as_exit())
    else {
        return Verdict::Unknown;
    };
    let mismatch = |message: &str| fail(Code::GroupMismatch, message);
    if parent.instrument != instrument || parent.side == f.order.side {
        return mismatch("an exit of a bracket is of its entry's instrument and of the other side");
    }
    if f.order.position.is_some() {
        return mismatch("an exit of a bracket reduces what its entry opens: leave positionId out");
    }
    let is_child = |order: &Order| order.group.as_ref().is_some_and(OrderGroup::exits);
    if joins.open().any(|order| is_child(order) && order.order_type.as_exit() == Some(exit)) {
        return mismatch(
            "a bracket has one target, a limit, and one protection, a stop: there is one already",
        );
    }
    let price = match exit {
        Exit::Target => f.price,
        Exit::Protection => f.trigger_price(),
    };
    let (Some(price), Some(entry)) = (price, parent.entry_price()) else { return Verdict::Unknown };
    let (above, name) =
        (exit.is_above(f.order.side), if exit == Exit::Target { "price" } else { "stopPrice" });
    let (place, fits) = if above { ("above", price > entry) } else { ("below", price < entry) };
    let (limit, actual) = (spec.price(entry), spec.price(price));
    let message = format!("{name} {actual} of this exit belongs {place} its entry's {limit}");
    limited(Code::GroupMismatch, fits, message, limit, actual, None)
}

pub(super) fn has_room(f: &Facts<'_>) -> Verdict {
    let Some(joins) = &f.joins else { return Verdict::Off };
    let after = joins.open().count() + 1;
    let message = format!("this would be order {after} of the group; {GROUP_MEMBERS_MAX} may be open");
    let (limit, actual) = (Decimal::from(GROUP_MEMBERS_MAX), Decimal::from(after));
    limited(Code::GroupFull, actual <= limit, message, limit, actual, None)
}
