//! `index.redb`: orders that ended, by order id, client order id and intent id, and every fill and posting
//! of an account, for ever. Derived from the segments: if it is lost or damaged, delete it, and recovery
//! builds it again.

use super::{
    Epoch, FORMAT_VERSION,
    error::JournalError,
    row,
    segment::{guarded, open_database, read, table, write},
};
use crate::{
    domain::{
        id::{AccountId, ClientOrderId, OrderId},
        ledger::LedgerEntry,
        message::{ArchivedOrder, FillView, OrderDetail, OrderKey, OrderView},
        time::UnixNanos,
    },
    node::services::Storage,
};
use minicbor::{CborLen, Decode, Encode};
use redb::{Database, TableDefinition};
use serde::Serialize;
use std::sync::{PoisonError, RwLock};

/// The file's name.
pub(super) const NAME: &str = "index.redb";

const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
pub(super) const ORDERS: TableDefinition<(&str, u64), &[u8]> = TableDefinition::new("orders");
const CLIENT_IDS: TableDefinition<(&str, &str), &[u8]> = TableDefinition::new("client_order_ids");
const INTENTS: TableDefinition<(&str, u64), &[u8]> = TableDefinition::new("intents");
const FILLS: TableDefinition<(&str, u64), &[u8]> = TableDefinition::new("fills");
const LEDGER: TableDefinition<(&str, u64), &[u8]> = TableDefinition::new("ledger");
const META_ROW: &str = "index";

#[derive(Debug, Encode, Decode, CborLen)]
#[cbor(array)]
struct MetaRow {
    #[n(0)]
    format: u32,
    #[n(1)]
    epoch: u64,
    /// The last record whose ended orders are in.
    #[n(2)]
    offset: u64,
    /// Orders that are in.
    #[n(3)]
    orders: u64,
}

/// What enters together.
#[derive(Debug, Default)]
pub(super) struct Archive {
    pub orders: Vec<ArchivedOrder>,
    pub fills: Vec<FillView>,
    pub ledger: Vec<LedgerEntry>,
}

impl Archive {
    /// How many rows it makes.
    pub fn len(&self) -> usize {
        self.orders.len() + self.fills.len() + self.ledger.len()
    }
}

/// The archive.
#[derive(Debug)]
pub(super) struct Index {
    epoch: Epoch,
    /// `None` once closed.
    database: RwLock<Option<Database>>,
}

impl Index {
    /// Opens or creates it.
    pub fn open(storage: &dyn Storage, epoch: Epoch) -> Result<Self, JournalError> {
        let database = open_database(storage, NAME).map_err(derived)?;
        let index = Self { epoch, database: RwLock::new(Some(database)) };
        if index.meta()?.is_none() {
            index.append(0, &Archive::default())?;
        }
        let meta = index.meta()?.ok_or_else(|| damaged("its header is missing"))?;
        if meta.format != FORMAT_VERSION {
            let (expected, found) = (FORMAT_VERSION, meta.format);
            return Err(JournalError::Format { name: NAME.into(), expected, found });
        }
        if meta.epoch != epoch.0 {
            let (expected, found) = (epoch, Epoch(meta.epoch));
            return Err(JournalError::Foreign { name: NAME.into(), expected, found });
        }
        Ok(index)
    }

    /// The last record whose ended orders are in.
    pub fn offset(&self) -> Result<u64, JournalError> {
        Ok(self.meta()?.map_or(0, |meta| meta.offset))
    }

    /// How many orders it says are in, and how many there are.
    pub fn counts(&self) -> Result<(u64, u64), JournalError> {
        let stated = self.meta()?.map_or(0, |meta| meta.orders);
        let found = self.with(|database| {
            let tx = read(NAME, database)?;
            let Some(orders) = table(NAME, tx.open_table(ORDERS))? else { return Ok(0) };
            redb::ReadableTableMetadata::len(&orders).map_err(|e| JournalError::storage(NAME, e))
        })?;
        Ok((stated, found))
    }

    /// Takes in what happened up to and including record `offset`. Repeating it changes nothing.
    pub fn append(&self, offset: u64, archive: &Archive) -> Result<(), JournalError> {
        let (mut count, offset) =
            self.meta()?.map_or((0, offset), |meta| (meta.orders, offset.max(meta.offset)));
        self.with(|database| {
            write(NAME, database, |tx| {
                let mut by_id = tx.open_table(ORDERS)?;
                let mut by_client_id = tx.open_table(CLIENT_IDS)?;
                let mut by_intent = tx.open_table(INTENTS)?;
                for order in &archive.orders {
                    let (account, number) = (order.account.as_str(), order.order_id.0);
                    let sealed = row::seal(&order_key(account, number), &content(order));
                    if by_id.insert((account, number), sealed.as_slice())?.is_none() {
                        count += 1;
                    }
                    let number_bytes = number.to_be_bytes();
                    let intent = order.order.intent_id.0;
                    let sealed = row::seal(&order_key(account, intent), &number_bytes);
                    by_intent.insert((account, intent), sealed.as_slice())?;
                    if let Some(id) = &order.client_order_id {
                        let sealed = row::seal(&client_key(account, id.as_str()), &number_bytes);
                        by_client_id.insert((account, id.as_str()), sealed.as_slice())?;
                    }
                }
                insert(tx, FILLS, &archive.fills, |fill| (&fill.account_id, fill.fill_id.0))?;
                insert(tx, LEDGER, &archive.ledger, |entry| (&entry.account_id, entry.entry_id.0))?;
                let meta = MetaRow { format: FORMAT_VERSION, epoch: self.epoch.0, offset, orders: count };
                let sealed = row::seal(META_ROW.as_bytes(), &row::encode(&meta));
                tx.open_table(META)?.insert(META_ROW, sealed.as_slice())?;
                Ok(())
            })
        })
    }

    /// The order that bears a client order id.
    pub fn by_client_id(
        &self,
        account: &AccountId,
        id: &ClientOrderId,
    ) -> Result<Option<OrderId>, JournalError> {
        let account = account.as_str();
        self.with(|database| {
            let tx = read(NAME, database)?;
            let Some(ids) = table(NAME, tx.open_table(CLIENT_IDS))? else { return Ok(None) };
            let row = ids.get((account, id.as_str())).map_err(|e| JournalError::storage(NAME, e))?;
            row.map(|row| order_id(&client_key(account, id.as_str()), row.value())).transpose()
        })
    }

    /// An order by any of its names.
    pub fn order(&self, account: &AccountId, key: &OrderKey) -> Result<Option<OrderDetail>, JournalError> {
        let number = match key {
            OrderKey::Order(id) => Some(*id),
            OrderKey::ClientOrder(id) => self.by_client_id(account, id)?,
            OrderKey::Intent(intent) => self.by_intent(account.as_str(), intent.0)?,
        };
        number.map_or(Ok(None), |id| self.by_id(account.as_str(), id.0))
    }

    /// The account's history of a kind after a number, oldest first: rows that lie within the span, until
    /// `limit` of them or a bounded number of rows that do not. `next` is where to go on, if there is more.
    pub fn history<T: Dated>(
        &self,
        account: &AccountId,
        after: u64,
        span: Span,
        limit: usize,
    ) -> Result<History<T>, JournalError> {
        self.with(|database| {
            let tx = read(NAME, database)?;
            let mut history = History { items: Vec::new(), next: None };
            let Some(rows) = table(NAME, tx.open_table(T::TABLE))? else { return Ok(history) };
            let (account, failed) = (account.as_str(), |e| JournalError::storage(NAME, e));
            let from = (account, after.saturating_add(1));
            let range = rows.range(from..=(account, u64::MAX)).map_err(failed)?;
            for (seen, row) in range.enumerate() {
                let (key, row) = row.map_err(failed)?;
                let number = key.value().1;
                if history.items.len() == limit || seen == HISTORY_ROWS_AT_MOST {
                    history.next = Some(number - 1);
                    break;
                }
                let broken = |reason: &str| damaged(format!("row {number} of {account}: {reason}"));
                let content = row::unseal(&order_key(account, number), row.value())
                    .ok_or_else(|| broken("its checksum does not match"))?;
                let item = T::read(content).map_err(|e| broken(&e.to_string()))?;
                if (span.0..=span.1).contains(&item.ts()) {
                    history.items.push((number, item));
                }
            }
            Ok(history)
        })
    }

    /// Whether the order is in, exactly like this, under all its names.
    pub fn holds(&self, order: &ArchivedOrder) -> Result<bool, JournalError> {
        let account = &order.account;
        let detail = OrderDetail { order: order.order.clone(), fills: order.fills.clone() };
        let by_client_id = match &order.client_order_id {
            Some(id) => self.by_client_id(account, id)? == Some(order.order_id),
            None => true,
        };
        let stored = self.by_id(account.as_str(), order.order_id.0)?;
        // a fill that came after its end made a later version of it
        let later = stored.as_ref().is_some_and(|stored| stored.order.version > detail.order.version);
        Ok(by_client_id
            && self.by_intent(account.as_str(), order.order.intent_id.0)?.is_some()
            && (later || stored == Some(detail)))
    }

    /// Closes the file; whoever still holds the index gets `Closed`.
    pub fn close(&self) {
        *self.database.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn by_id(&self, account: &str, number: u64) -> Result<Option<OrderDetail>, JournalError> {
        self.with(|database| {
            let tx = read(NAME, database)?;
            let Some(orders) = table(NAME, tx.open_table(ORDERS))? else { return Ok(None) };
            let Some(row) = orders.get((account, number)).map_err(|e| JournalError::storage(NAME, e))? else {
                return Ok(None);
            };
            let broken = |reason: &str| damaged(format!("order o{number} of {account}: {reason}"));
            let content = row::unseal(&order_key(account, number), row.value())
                .ok_or_else(|| broken("its checksum does not match"))?;
            serde_json::from_slice(content).map(Some).map_err(|e| broken(&e.to_string()))
        })
    }

    fn by_intent(&self, account: &str, intent: u64) -> Result<Option<OrderId>, JournalError> {
        self.with(|database| {
            let tx = read(NAME, database)?;
            let Some(intents) = table(NAME, tx.open_table(INTENTS))? else { return Ok(None) };
            let row = intents.get((account, intent)).map_err(|e| JournalError::storage(NAME, e))?;
            row.map(|row| order_id(&order_key(account, intent), row.value())).transpose()
        })
    }

    fn meta(&self) -> Result<Option<MetaRow>, JournalError> {
        self.with(|database| {
            let tx = read(NAME, database)?;
            let Some(meta) = table(NAME, tx.open_table(META))? else { return Ok(None) };
            let Some(row) = meta.get(META_ROW).map_err(|e| JournalError::storage(NAME, e))? else {
                return Ok(None);
            };
            let content = row::unseal(META_ROW.as_bytes(), row.value())
                .ok_or_else(|| damaged("its header's checksum does not match"))?;
            row::decode(content).map(Some).map_err(damaged)
        })
    }

    fn with<T>(&self, work: impl FnOnce(&Database) -> Result<T, JournalError>) -> Result<T, JournalError> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let database = database.as_ref().ok_or(JournalError::Closed)?;
        guarded(NAME, || work(database)).map_err(derived)
    }
}

/// From and to, both included.
pub type Span = (UnixNanos, UnixNanos);

/// Rows that one call looks at, at the most.
const HISTORY_ROWS_AT_MOST: usize = 20_000;

/// A part of an account's history, with the numbers of its rows.
#[derive(Debug)]
pub struct History<T> {
    pub items: Vec<(u64, T)>,
    /// Go on after this one.
    pub next: Option<u64>,
}

/// What an account has a history of.
pub trait Dated: Sized {
    #[doc(hidden)]
    const TABLE: TableDefinition<'static, (&'static str, u64), &'static [u8]>;

    /// Reads a row's content.
    fn read(content: &[u8]) -> serde_json::Result<Self>;

    /// When it happened; of an order, when it was created.
    fn ts(&self) -> UnixNanos;
}

impl Dated for FillView {
    const TABLE: TableDefinition<'static, (&'static str, u64), &'static [u8]> = FILLS;

    fn read(content: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(content)
    }

    fn ts(&self) -> UnixNanos {
        self.ts
    }
}

impl Dated for LedgerEntry {
    const TABLE: TableDefinition<'static, (&'static str, u64), &'static [u8]> = LEDGER;

    fn read(content: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(content)
    }

    fn ts(&self) -> UnixNanos {
        self.ts
    }
}

impl Dated for OrderView {
    const TABLE: TableDefinition<'static, (&'static str, u64), &'static [u8]> = ORDERS;

    fn read(content: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice::<OrderDetail>(content).map(|detail| detail.order)
    }

    fn ts(&self) -> UnixNanos {
        self.created_at
    }
}

fn insert<T: Serialize>(
    tx: &redb::WriteTransaction,
    table: TableDefinition<'_, (&'static str, u64), &'static [u8]>,
    items: &[T],
    key: impl Fn(&T) -> (&AccountId, u64),
) -> Result<(), redb::Error> {
    if items.is_empty() {
        return Ok(());
    }
    let mut rows = tx.open_table(table)?;
    for item in items {
        let (account, number) = key(item);
        let content = serde_json::to_vec(item).expect("views are maps with text keys");
        let sealed = row::seal(&order_key(account.as_str(), number), &content);
        rows.insert((account.as_str(), number), sealed.as_slice())?;
    }
    Ok(())
}

/// A file that cannot be read needs no backup here: it can be built again.
fn derived(error: JournalError) -> JournalError {
    match error {
        JournalError::Unreadable { reason, .. } => damaged(reason),
        other => other,
    }
}

fn damaged(reason: impl Into<String>) -> JournalError {
    JournalError::Index { reason: reason.into() }
}

fn content(order: &ArchivedOrder) -> Vec<u8> {
    let detail = OrderDetail { order: order.order.clone(), fills: order.fills.clone() };
    serde_json::to_vec(&detail).expect("views are maps with text keys")
}

fn order_id(key: &[u8], row: &[u8]) -> Result<OrderId, JournalError> {
    row::unseal(key, row)
        .and_then(|content| content.try_into().ok())
        .map(|bytes| OrderId(u64::from_be_bytes(bytes)))
        .ok_or_else(|| damaged("a checksum does not match"))
}

fn order_key(account: &str, number: u64) -> Vec<u8> {
    [account.as_bytes(), &number.to_be_bytes()].concat()
}

fn client_key(account: &str, id: &str) -> Vec<u8> {
    [account.as_bytes(), b"/", id.as_bytes()].concat()
}
