//! Whether a gateway's journal and its venue's agree: every order, fill and position of the accounts that
//! the one has at the other, and their balances.

use crate::{
    domain::{
        account::{AccountConfig, VENUE},
        id::{AccountId, OrderId, PositionId},
        message::{AccountView, Answer, FillView, OrderKey, OrderView, Query},
        order::OrderStatus,
        time::UnixNanos,
    },
    node::{
        host::FileStorage,
        journal::{Dated, Epoch, Journal, JournalError, JournalOptions, Opened},
    },
};
use rust_decimal::Decimal;
use serde::Serialize;
use std::{collections::BTreeMap, path::Path, sync::Arc};

/// Rows of history that are read at once.
const PAGE: usize = 1_000;

/// Why nothing can be compared.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    #[error("{directory}: {source}")]
    Journal { directory: String, source: JournalError },
    #[error("{0}: there is no journal here: name a data directory")]
    NoJournal(String),
    #[error("the gateway has no account of connector `venue`, so there is nothing to compare")]
    NoAccount,
}

/// What a comparison found.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Comparison {
    /// Accounts of the gateway that the venue has.
    pub accounts: u64,
    /// Orders that both know.
    pub orders: u64,
    /// Fills that both know.
    pub fills: u64,
    /// Open positions that both know.
    pub positions: u64,
    /// Orders of unknown fate at the gateway; the venue does not know them either.
    pub unknown: u64,
    /// In words, one line each. None: they agree.
    pub differences: Vec<String>,
}

/// Compares two data directories whose processes do not run.
///
/// # Errors
/// A journal that cannot be opened, or nothing to compare.
pub fn compare(gateway: &Path, venue: &Path) -> Result<Comparison, CompareError> {
    let (gateway, venue) = (Side::open(gateway)?, Side::open(venue)?);
    let mut comparison = Comparison::default();
    let accounts = gateway.accounts().into_iter().filter(|account| account.connector == VENUE);
    let mut any = false;
    for account in accounts {
        any = true;
        let login = account.link.as_ref().map(|link| link.login.as_str()).unwrap_or_default();
        let at_venue = AccountId::new(login).ok().filter(|id| venue.accounts().iter().any(|a| a.id == *id));
        let Some(at_venue) = at_venue else {
            comparison.differ(&account.id, format!("the venue has no account `{login}`"));
            continue;
        };
        comparison.accounts += 1;
        let epoch = gateway.opened.journal.epoch();
        let ours = gateway.books(&account.id)?;
        let theirs = venue.books(&at_venue)?;
        comparison.account(&account.id, epoch, &ours, &theirs);
    }
    if any { Ok(comparison) } else { Err(CompareError::NoAccount) }
}

/// One data directory.
struct Side {
    directory: String,
    opened: Opened,
}

/// Everything that one side knows of an account.
struct Books {
    view: AccountView,
    /// Ended and working ones.
    orders: BTreeMap<OrderId, OrderView>,
    fills: Vec<FillView>,
}

impl Side {
    fn open(path: &Path) -> Result<Self, CompareError> {
        let directory = path.display().to_string();
        let has_journal = std::fs::read_dir(path).is_ok_and(|mut entries| {
            entries.any(|e| e.is_ok_and(|e| e.file_name().to_string_lossy().starts_with("journal-")))
        });
        if !has_journal {
            return Err(CompareError::NoJournal(directory));
        }
        let storage = Arc::new(FileStorage::new(path));
        match Journal::open(storage, Epoch(0), JournalOptions::default()) {
            Ok(opened) => Ok(Self { directory, opened }),
            Err(source) => Err(CompareError::Journal { directory, source }),
        }
    }

    fn accounts(&self) -> Vec<AccountConfig> {
        self.opened.machine.config().map(|config| config.accounts.clone()).unwrap_or_default()
    }

    fn books(&self, account: &AccountId) -> Result<Books, CompareError> {
        let view = match self.opened.machine.query(&Query::Account(account.clone())) {
            Ok(Answer::Account(view)) => *view,
            _ => unreachable!("the configuration has the account"),
        };
        let mut orders: BTreeMap<OrderId, OrderView> =
            self.history::<OrderView>(account)?.into_iter().map(|order| (order.order_id, order)).collect();
        for order in &view.orders {
            orders.insert(order.order_id, order.clone());
        }
        // what ended within the day may have got a fill after its end
        for (id, order) in &mut orders {
            let key = OrderKey::Order(*id);
            if let Ok(Answer::Order(detail)) = self.opened.machine.query(&Query::Order(account.clone(), key))
            {
                *order = detail.order;
            }
        }
        Ok(Books { view, orders, fills: self.history(account)? })
    }

    fn history<T: Dated>(&self, account: &AccountId) -> Result<Vec<T>, CompareError> {
        let reader = self.opened.journal.reader();
        let (mut all, mut after) = (Vec::new(), 0);
        loop {
            let page = reader
                .history::<T>(account, after, (UnixNanos(i64::MIN), UnixNanos::MAX), PAGE)
                .map_err(|source| CompareError::Journal { directory: self.directory.clone(), source })?;
            all.extend(page.items.into_iter().map(|(_, item)| item));
            match page.next {
                Some(next) => after = next,
                None => return Ok(all),
            }
        }
    }
}

/// What of a fill must be the same on both sides.
type Facts = (OrderId, bool, Decimal, Decimal, Decimal, Decimal);

impl Comparison {
    fn differ(&mut self, account: &AccountId, what: String) {
        self.differences.push(format!("{account}: {what}"));
    }

    fn account(&mut self, id: &AccountId, epoch: Epoch, ours: &Books, theirs: &Books) {
        let prefix = format!("{epoch}.");
        let mut named: BTreeMap<OrderId, &OrderView> = BTreeMap::new();
        for order in theirs.orders.values() {
            let name = order.client_order_id.as_ref().and_then(|name| name.as_str().strip_prefix(&prefix));
            let Some(ours) = name.and_then(|name| OrderId::parse(name).ok()) else { continue };
            if let Some(other) = named.insert(ours, order) {
                let (a, b) = (other.order_id, order.order_id);
                self.differ(id, format!("order {ours} became two orders at the venue: {a} and {b}"));
            }
        }
        for (order_id, order) in &named {
            match ours.orders.get(order_id) {
                Some(known) => self.order(id, known, order),
                None => self.differ(id, format!("order {order_id} is known to the venue only")),
            }
        }
        for order in ours.orders.values().filter(|o| !named.contains_key(&o.order_id)) {
            self.order_of_ours_only(id, order);
        }
        self.fills(id, &named, ours, theirs);
        self.positions(id, &named, ours, theirs);
        let (here, there) = (ours.view.summary.balance, theirs.view.summary.balance);
        if here != there {
            self.differ(id, format!("the balance is {here:?} here and {there:?} at the venue"));
        }
    }

    fn order(&mut self, id: &AccountId, ours: &OrderView, theirs: &OrderView) {
        self.orders += 1;
        let name = ours.order_id;
        let terms = |o: &OrderView| (o.symbol.clone(), o.side, o.order_type, o.volume, o.price);
        if terms(ours) != terms(theirs) {
            self.differ(id, format!("order {name} has other terms at the venue: {:?}", terms(theirs)));
        }
        if (ours.filled_volume, ours.avg_price) != (theirs.filled_volume, theirs.avg_price) {
            let (here, there) = (ours.filled_volume, theirs.filled_volume);
            self.differ(id, format!("{here} lots of order {name} are filled here, {there} at the venue"));
        }
        let stage = |status: OrderStatus| match status {
            status if !status.is_terminal() => "works",
            OrderStatus::Filled => "is filled",
            _ => "ended",
        };
        if stage(ours.status) != stage(theirs.status) {
            let (here, there) = (stage(ours.status), stage(theirs.status));
            self.differ(id, format!("order {name} {here} here, and {there} at the venue"));
        }
    }

    /// An order that the venue has not: one that it made itself when it closed, or that never reached it.
    fn order_of_ours_only(&mut self, id: &AccountId, order: &OrderView) {
        let name = order.order_id;
        let venue_made = matches!(
            order.reason.as_deref(),
            Some("stop_loss" | "take_profit" | "stop_out" | "reconciled" | "order")
        );
        match order.status {
            OrderStatus::Unknown => self.unknown += 1,
            OrderStatus::Filled if venue_made => {} // its fill is compared
            _ if !order.filled_volume.is_zero() => {
                self.differ(id, format!("order {name} is filled here, and the venue does not know it"));
            }
            status if !status.is_terminal() => {
                self.differ(id, format!("order {name} works here, and the venue does not know it"));
            }
            _ => {}
        }
    }

    fn fills(&mut self, id: &AccountId, named: &BTreeMap<OrderId, &OrderView>, ours: &Books, theirs: &Books) {
        let here: Vec<Facts> = ours.fills.iter().map(|fill| facts(fill, fill.position_id.0)).collect();
        let mut there: Vec<Facts> = Vec::new();
        for fill in &theirs.fills {
            match here_named(named, fill.position_id) {
                Some(position) => there.push(facts(fill, position.0)),
                None => self.differ(id, format!("fill {} of the venue is of no order of ours", fill.fill_id)),
            }
        }
        for fact in &here {
            match there.iter().position(|other| other == fact) {
                Some(place) => {
                    there.swap_remove(place);
                    self.fills += 1;
                }
                None => self.differ(id, format!("a fill here is not at the venue: {}", in_words(fact))),
            }
        }
        for fact in there {
            self.differ(id, format!("a fill at the venue is not here: {}", in_words(&fact)));
        }
    }

    fn positions(
        &mut self,
        id: &AccountId,
        named: &BTreeMap<OrderId, &OrderView>,
        ours: &Books,
        theirs: &Books,
    ) {
        let facts = |p: &crate::domain::message::PositionView| {
            (p.symbol.clone(), p.side, p.volume, p.open_price, p.stop_loss, p.take_profit)
        };
        let mut there: BTreeMap<PositionId, _> = BTreeMap::new();
        for position in &theirs.view.positions {
            match here_named(named, position.position_id) {
                Some(ours) => drop(there.insert(PositionId(ours.0), facts(position))),
                None => {
                    self.differ(id, format!("position {} of the venue is not ours", position.position_id))
                }
            }
        }
        for position in &ours.view.positions {
            let name = position.position_id;
            match there.remove(&name) {
                Some(other) if other == facts(position) => self.positions += 1,
                Some(other) => self.differ(id, format!("position {name} is {other:?} at the venue")),
                None => self.differ(id, format!("position {name} is open here only")),
            }
        }
        for name in there.keys() {
            self.differ(id, format!("position {name} is open at the venue only"));
        }
    }
}

/// Our name of the order that opened a position of the venue, which bears that order's number there.
fn here_named(named: &BTreeMap<OrderId, &OrderView>, position: PositionId) -> Option<OrderId> {
    named.iter().find(|(_, order)| order.order_id.0 == position.0).map(|(ours, _)| *ours)
}

/// A fill by our name of its position.
fn facts(fill: &FillView, position: u64) -> Facts {
    let is_buy = fill.side == crate::domain::order::Side::Buy;
    let (commission, profit) = (fill.commission.amount(), fill.realized_pnl.amount());
    (OrderId(position), is_buy, fill.volume, fill.price, commission, profit)
}

fn in_words((position, is_buy, volume, price, commission, profit): &Facts) -> String {
    let side = if *is_buy { "buy" } else { "sell" };
    format!("p{} {side} {volume} at {price}, commission {commission}, profit {profit}", position.0)
}
