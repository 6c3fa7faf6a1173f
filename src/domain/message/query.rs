//! Questions to the engine. They have no effect and are answered from committed state.

use super::{
    AccountStatusView, AccountSummary, AccountView, InstrumentView, OrderDetail, PlaceOrder, PreviewView,
    RiskStatusView,
};
use crate::domain::{
    id::{AccountId, ClientOrderId, IntentId, OrderId},
    instrument::InstrumentId,
    market::{Candle, Timeframe},
};

/// A question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Query {
    Accounts,
    Account(AccountId),
    AccountStatus(AccountId),
    /// What the account may trade, by symbol.
    Instruments(AccountId),
    Order(AccountId, OrderKey),
    Preview(Box<PlaceOrder>),
    RiskStatus(Option<AccountId>),
    /// The candle that is still open.
    OpenCandle(InstrumentId, Timeframe),
}

/// How an order is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrderKey {
    Order(OrderId),
    ClientOrder(ClientOrderId),
    Intent(IntentId),
}

/// The answer of the same name.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    Accounts(Vec<AccountSummary>),
    Account(Box<AccountView>),
    AccountStatus(Box<AccountStatusView>),
    Instruments(Vec<InstrumentView>),
    Order(Box<OrderDetail>),
    Preview(Box<PreviewView>),
    RiskStatus(Box<RiskStatusView>),
    OpenCandle(Option<Candle>),
}
