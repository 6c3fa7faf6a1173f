//! Order groups at work: one cancels the others (OR05), one lets the others in (OR06).
//!
//! They follow the broker's own reports: whatever made a fill or an end, it is treated alike, and once.

use super::{
    broker::{QuoteKind, Venue, VenueOut},
    orders::meets_the_next_quote,
};
use crate::domain::{
    group::{GroupKind, OrderGroup},
    id::{GroupId, OrderId},
    instrument::{InstrumentId, Volume},
    message::{ModifyTarget, VenueFill, VenueModify, VenueOrder, VenueReport},
    order::OrderType,
    time::UnixNanos,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Why an order ended, or never began, whose group's first order is not there any more.
pub(super) const GROUP_PARENT_ENDED: &str = "GROUP_PARENT_ENDED";
/// Why an order ended that another one cancels.
const OCO_FILLED: &str = "OCO_FILLED";
/// Why a reduction ended that had nothing left to reduce.
const POSITION_CLOSED: &str = "POSITION_CLOSED";

/// What is held back of an order until its parent fills.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Held {
    /// It is not in the book at all.
    Whole,
    /// It is there as large as its parent was filled, and may become larger by so much.
    Rest(Volume),
}

/// The groups of an account's open orders. Derived from them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Groups {
    members: BTreeMap<GroupId, BTreeSet<OrderId>>,
    of: BTreeMap<OrderId, OrderGroup>,
}

impl Groups {
    /// Takes an order in, if it belongs to a group.
    pub(super) fn add(&mut self, order: &VenueOrder) {
        if let Some(group) = &order.group {
            self.members.entry(group.id.clone()).or_default().insert(order.order);
            self.of.insert(order.order, group.clone());
        }
    }

    fn remove(&mut self, order: OrderId) {
        let Some(group) = self.of.remove(&order) else { return };
        if let Some(members) = self.members.get_mut(&group.id) {
            members.remove(&order);
            if members.is_empty() {
                self.members.remove(&group.id);
            }
        }
    }

    /// The other orders of a group, oldest first.
    fn others(&self, group: &GroupId, order: OrderId) -> Vec<OrderId> {
        let members = self.members.get(group).into_iter().flatten();
        members.copied().filter(|member| *member != order).collect()
    }

    /// The orders of each bracket that leave its position.
    pub(super) fn exits(&self) -> impl Iterator<Item = Vec<OrderId>> {
        let exits = |members: &BTreeSet<OrderId>| -> Vec<OrderId> {
            members.iter().copied().filter(|id| self.of[id].exits()).collect()
        };
        self.members.values().map(exits).filter(|exits| !exits.is_empty())
    }

    /// Whether a fill of one order concerns the other: one of both is cancelled by the other.
    fn cancel_each_other(&self, one: OrderId, other: OrderId) -> bool {
        match (self.of.get(&one), self.of.get(&other)) {
            (Some(one), Some(other)) => one.id == other.id && (one.kind == GroupKind::Oco || one.exits()),
            _ => false,
        }
    }
}

impl Venue {
    /// Takes a new order into its group. One that waits for another's fill is held back.
    pub(super) fn join_group(&mut self, index: usize, order: &VenueOrder) {
        let account = &mut self.accounts[index];
        account.groups.add(order);
        if order.group.as_ref().is_some_and(|group| group.parent.is_some()) {
            account.held.insert(order.order, Held::Whole);
        }
    }

    /// Whether the order that is to let this one in is not there.
    pub(super) fn lacks_parent(&self, index: usize, order: &VenueOrder) -> bool {
        let parent = order.group.as_ref().and_then(|group| group.parent);
        parent.is_some_and(|parent| !self.accounts[index].orders.contains_key(&parent))
    }

    /// Whether the order is not in the book yet.
    pub(super) fn is_held(&self, index: usize, order: OrderId) -> bool {
        self.accounts[index].held.get(&order) == Some(&Held::Whole)
    }

    /// Why a closing order ends whose position another one has closed.
    pub(super) fn reason_to_drop(
        &self,
        index: usize,
        order: OrderId,
        filling: Option<OrderId>,
    ) -> &'static str {
        let groups = &self.accounts[index].groups;
        let rival = filling.is_some_and(|filling| groups.cancel_each_other(filling, order));
        if rival { OCO_FILLED } else { POSITION_CLOSED }
    }

    /// What the reports from this place on mean to the groups of their orders.
    pub(super) fn follow_groups(&mut self, now: UnixNanos, from: usize, out: &mut VenueOut) {
        let (mut next, mut elsewhere) = (from, BTreeSet::new());
        while let Some(report) = out.reports.get(next) {
            next += 1;
            let (account, id, fill) = match report {
                VenueReport::Filled(fill) => match fill.order {
                    Some(order) => (&fill.account, order, Some(fill.clone())),
                    None => continue,
                },
                VenueReport::Canceled { account, order, .. } | VenueReport::Expired { account, order } => {
                    (account, *order, None)
                }
                _ => continue,
            };
            let index = self.index[account];
            let Some(group) = self.accounts[index].groups.of.get(&id).cloned() else { continue };
            if let Some(fill) = fill {
                // of an order that is filled in part, the rest is there, or reported as ended
                let ends = |report: &VenueReport| {
                    matches!(report, VenueReport::Canceled { account, order, .. }
                        if *order == id && *account == fill.account)
                };
                let in_part = self.accounts[index].orders.contains_key(&id);
                let whole = !in_part && !out.reports[next..].iter().any(ends);
                self.cancel_others(index, id, &group, fill.volume, whole, out);
                elsewhere.extend(self.let_others_in(index, id, &group, &fill, out));
            }
            if !self.accounts[index].orders.contains_key(&id) {
                self.leave_group(index, id, &group, out);
            }
        }
        // the market of the fill itself is being matched; others meet what has come, and follow their own reports
        for instrument in elsewhere {
            if !self.markets[instrument.index()].fed_by_bars {
                self.match_market(now, instrument, QuoteKind::Tick, out);
            }
        }
    }

    /// OR05: a fill of one makes the others smaller, and filled whole it ends them. An exit that has done its work
    /// ends what is left of its entry, too: nobody would protect what that opened.
    fn cancel_others(
        &mut self,
        index: usize,
        id: OrderId,
        group: &OrderGroup,
        filled: Volume,
        whole: bool,
        out: &mut VenueOut,
    ) {
        if group.kind != GroupKind::Oco && !group.exits() {
            return;
        }
        for other in self.accounts[index].groups.others(&group.id, id) {
            let Some(order) = self.accounts[index].orders.get(&other).cloned() else { continue };
            let is_entry = group.exits() && order.group.as_ref().is_some_and(|group| !group.exits());
            let rest = if whole { Volume::ZERO } else { order.volume.less(filled) };
            if rest.is_zero() && (whole || !is_entry) {
                if group.kind == GroupKind::Oco {
                    self.note_rival(&order);
                }
                self.end_order(index, other, OCO_FILLED, out);
            } else if !is_entry {
                self.resize(index, VenueOrder { volume: rest, ..order }, out);
            }
        }
    }

    /// OR06: what waits for this order's fill enters as large as it was filled, at most as large as it was to be.
    /// The other instruments that it comes to.
    fn let_others_in(
        &mut self,
        index: usize,
        id: OrderId,
        group: &OrderGroup,
        fill: &VenueFill,
        out: &mut VenueOut,
    ) -> BTreeSet<InstrumentId> {
        let mut elsewhere = BTreeSet::new();
        if !group.kind.has_parent() || group.parent.is_some() {
            return elsewhere;
        }
        let children = self.accounts[index].groups.others(&group.id, id);
        for child in &children {
            let account = &mut self.accounts[index];
            let Some(held) = account.held.remove(child) else { continue };
            let mut order = account.orders[child].clone();
            let asked = order.volume;
            let (waits, in_book) = match held {
                Held::Whole => (asked, Volume::ZERO),
                Held::Rest(rest) => (rest, asked),
            };
            let comes = waits.min(fill.volume);
            order.volume = Volume(in_book.0 + comes.0);
            if comes < waits {
                account.held.insert(*child, Held::Rest(waits.less(comes)));
            }
            if order.instrument != fill.instrument {
                elsewhere.insert(order.instrument);
            }
            if held == Held::Whole {
                self.enter_from_group(index, order, asked, fill, out);
            } else if order.volume != asked {
                self.resize(index, order, out);
            }
        }
        if group.kind == GroupKind::Bracket {
            self.restrict_exits(index, &children, true);
        }
        elsewhere
    }

    /// An order that was held back comes into the book. A trailing stop trails from the fill that let it in.
    fn enter_from_group(
        &mut self,
        index: usize,
        mut order: VenueOrder,
        asked: Volume,
        fill: &VenueFill,
        out: &mut VenueOut,
    ) {
        if let (OrderType::TrailingStop, Some(trail)) = (order.order_type, order.trail) {
            let quote = self.markets[order.instrument.index()].quote;
            let from = if order.instrument == fill.instrument {
                Some(fill.price)
            } else {
                quote.map(|quote| quote.price_for(order.side))
            };
            order.stop_price = from.map(|from| trail.trigger(order.side, from)).or(order.stop_price);
        }
        let was = &self.accounts[index].orders[&order.order];
        if order.volume != asked || order.stop_price != was.stop_price {
            out.reports.push(VenueReport::Modified(terms_of(&order)));
        }
        let waits = meets_the_next_quote(&order);
        self.enter(index, order, waits);
    }

    /// Makes an order larger or smaller where it is: its price, and so its place in the book, stays.
    fn resize(&mut self, index: usize, order: VenueOrder, out: &mut VenueOut) {
        out.reports.push(VenueReport::Modified(terms_of(&order)));
        self.accounts[index].orders.insert(order.order, order);
    }

    /// An order has ended. What waited for it, and never came, ends with it.
    fn leave_group(&mut self, index: usize, id: OrderId, group: &OrderGroup, out: &mut VenueOut) {
        let account = &mut self.accounts[index];
        account.groups.remove(id);
        account.held.remove(&id);
        if !group.kind.has_parent() || group.parent.is_some() {
            return;
        }
        for child in self.accounts[index].groups.others(&group.id, id) {
            if self.is_held(index, child) {
                self.end_order(index, child, GROUP_PARENT_ENDED, out);
            } else {
                self.accounts[index].held.remove(&child);
            }
        }
    }
}

/// An order's terms as they are.
fn terms_of(order: &VenueOrder) -> VenueModify {
    VenueModify {
        account: order.account.clone(),
        target: ModifyTarget::Order(order.order),
        instrument: order.instrument,
        volume: Some(order.volume),
        price: order.price,
        stop_price: order.stop_price,
        trail: order.trail,
        lifetime: None,
        stop_loss: order.stop_loss,
        take_profit: order.take_profit,
    }
}

#[cfg(test)]
mod tests;
