//! The account's books as the link tells them: a snapshot, and what became of orders.

use super::reports::{levels, trigger_terms};
use crate::{
    domain::{
        id::{AccountId, ClientOrderId, OrderId},
        message::{
            AccountView, Answer, ErrorCode, Levels, OrderKey, OrderState, OrderView, PositionState,
            PositionView, Query, Refusal, TriggerTerms, VenueOrderStatus, VenueSnapshot,
        },
        order::OrderStatus,
    },
    node::{handle::Handle, journal::Cursor},
};
use std::collections::BTreeSet;

/// The account and where that holds.
pub(super) async fn account(handle: &Handle, id: &AccountId) -> Result<(Box<AccountView>, Cursor), Refusal> {
    match handle.query(Query::Account(id.clone())).await? {
        (Answer::Account(view), cursor) => Ok((view, cursor)),
        _ => unreachable!("a question is answered by the answer of its name"),
    }
}

/// An order by the name that the gateway gave it; `None`: it is not known.
pub(super) async fn order(
    handle: &Handle,
    account: &AccountId,
    name: &str,
) -> Result<Option<OrderView>, Refusal> {
    let Ok(name) = ClientOrderId::new(name) else {
        return Ok(None);
    };
    by_key(handle, account, OrderKey::ClientOrder(name)).await
}

async fn by_key(handle: &Handle, account: &AccountId, key: OrderKey) -> Result<Option<OrderView>, Refusal> {
    match handle.order(account.clone(), key).await {
        Ok((Answer::Order(detail), _)) => Ok(Some(detail.order)),
        Ok(_) => unreachable!("a question is answered by the answer of its name"),
        Err(refusal) if refusal.code == ErrorCode::NotFound => Ok(None),
        Err(refusal) => Err(refusal),
    }
}

/// What became of orders, each by its name.
pub(super) async fn states(
    handle: &Handle,
    account: &AccountId,
    names: &[String],
) -> Result<Vec<OrderState>, Refusal> {
    let mut states = Vec::with_capacity(names.len());
    for name in names {
        states.push(match order(handle, account, name).await? {
            Some(order) => state(name.clone(), &order),
            None => unknown(name.clone()),
        });
    }
    Ok(states)
}

/// The books: what is open, and what became of the orders that are asked about. `seq` is the newest
/// report that `view` includes. With `origins` each position names the order that opened it.
pub(super) async fn snapshot(
    handle: &Handle,
    view: &AccountView,
    seq: u64,
    asked: &[String],
    origins: bool,
) -> Result<VenueSnapshot, Refusal> {
    let account = &view.summary.account_id;
    let mut orders: Vec<OrderState> = view.orders.iter().map(|order| state(name_of(order), order)).collect();
    let working: BTreeSet<String> = orders.iter().map(|state| state.order.clone()).collect();
    // what does not work in this view has ended before it, or has never come: neither changes any more
    let others: Vec<String> = asked.iter().filter(|name| !working.contains(*name)).cloned().collect();
    orders.extend(states(handle, account, &others).await?);
    let mut positions = Vec::with_capacity(view.positions.len());
    for position in &view.positions {
        let order = if origins { origin(handle, account, position).await? } else { None };
        positions.push(PositionState {
            position: position.position_id.to_string(),
            order,
            symbol: position.symbol.to_string(),
            side: position.side,
            volume: position.volume,
            open_price: position.open_price,
            levels: levels(position),
        });
    }
    Ok(VenueSnapshot {
        seq,
        balance: view.summary.balance.amount(),
        currency: view.summary.currency.to_string(),
        orders,
        positions,
        // the log of reports has them
        fills: None,
    })
}

/// The gateway's name of the order that opened a position: the two bear one number.
async fn origin(
    handle: &Handle,
    account: &AccountId,
    position: &PositionView,
) -> Result<Option<String>, Refusal> {
    let key = OrderKey::Order(OrderId(position.position_id.0));
    let order = by_key(handle, account, key).await?;
    Ok(order.and_then(|order| order.client_order_id).map(|id| id.to_string()))
}

/// The gateway's name of an order; ours for one that it did not give.
fn name_of(order: &OrderView) -> String {
    order.client_order_id.as_ref().map_or_else(|| order.order_id.to_string(), ToString::to_string)
}

/// The order's state under this name.
pub(super) fn state(name: String, order: &OrderView) -> OrderState {
    OrderState {
        order: name,
        status: match order.status {
            OrderStatus::Filled => VenueOrderStatus::Filled,
            OrderStatus::Canceled => VenueOrderStatus::Canceled,
            OrderStatus::Expired => VenueOrderStatus::Expired,
            OrderStatus::Rejected | OrderStatus::Denied => VenueOrderStatus::Rejected,
            _ => VenueOrderStatus::Working,
        },
        venue_order: Some(order.order_id.to_string()),
        volume: Some(order.volume),
        filled: Some(order.filled_volume),
        price: order.price,
        trigger: trigger_terms(order),
        triggered: order.status == OrderStatus::Triggered,
        avg_price: order.avg_price,
        levels: Levels { stop_loss: order.stop_loss, take_profit: order.take_profit },
        reason: order.reason.clone(),
    }
}

fn unknown(name: String) -> OrderState {
    OrderState {
        order: name,
        status: VenueOrderStatus::Unknown,
        venue_order: None,
        volume: None,
        filled: None,
        price: None,
        trigger: TriggerTerms::default(),
        triggered: false,
        avg_price: None,
        levels: Levels::default(),
        reason: None,
    }
}
