//! Order groups as the engine knows them: who belongs to which, and what they hold back together. What a fill of
//! one does to the others is the venue's work (OR05, OR06).

use super::{account::Account, market::Market};
use crate::domain::{
    config::Setup,
    group::{GroupKind, OrderGroup},
    id::{GroupId, OrderId},
    money::Money,
    order::Order,
};
use std::collections::BTreeMap;

impl Account {
    /// The orders of a group, oldest first; those that ended too, as long as they are remembered.
    pub(super) fn members<'a>(&'a self, group: &GroupId) -> impl Iterator<Item = &'a Order> {
        self.groups.get(group).into_iter().flatten().map(|id| &self.orders[id].order)
    }

    /// The order, if it can hold others back: it is open, and nothing of it is filled.
    pub(super) fn holder(&self, order: OrderId) -> Option<&Order> {
        let parent = self.orders.get(&order).map(|record| &record.order);
        parent.filter(|parent| !parent.status.is_terminal() && parent.filled.is_zero())
    }

    /// The order that holds this one back.
    pub(super) fn holder_of(&self, order: &Order) -> Option<&Order> {
        self.holder(order.group.as_ref()?.parent?)
    }

    /// Margin that working opening orders would take, by present quotes. Of those of which one cancels the others
    /// the largest counts (RK03).
    pub(crate) fn reserved_margin(&self, setup: &Setup, market: &Market) -> Money {
        let mut largest: BTreeMap<&GroupId, Money> = BTreeMap::new();
        let mut sum = Money::ZERO;
        for order in self.opening() {
            let margin = self.reserved_for(order, setup, market);
            match one_cancels_other(order) {
                Some(group) => {
                    let most = largest.entry(group).or_insert(Money::ZERO);
                    *most = margin.max(*most);
                }
                None => sum += margin,
            }
        }
        sum + largest.into_values().sum()
    }

    /// What a group of which one order cancels the others holds back.
    pub(super) fn reserved_for_group(&self, group: &GroupId, setup: &Setup, market: &Market) -> Money {
        let open = self.members(group).filter(|order| !order.status.is_terminal());
        open.map(|order| self.reserved_for(order, setup, market)).max().unwrap_or(Money::ZERO)
    }

    /// What is held back for an order, together with those that it cancels.
    pub(super) fn reserved_around(&self, order: &Order, setup: &Setup, market: &Market) -> Money {
        match one_cancels_other(order) {
            Some(group) => self.reserved_for_group(group, setup, market),
            None => self.reserved_for(order, setup, market),
        }
    }

    /// An order is forgotten; with its last one, its group is.
    pub(super) fn forget_member(&mut self, group: &GroupId, order: OrderId) {
        if let Some(members) = self.groups.get_mut(group) {
            members.retain(|id| *id != order);
            if members.is_empty() {
                self.groups.remove(group);
            }
        }
    }
}

fn one_cancels_other(order: &Order) -> Option<&GroupId> {
    let oco = |group: &&OrderGroup| group.kind == GroupKind::Oco;
    order.group.as_ref().filter(oco).map(|group| &group.id)
}
