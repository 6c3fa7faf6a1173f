//! `accounts.*`: what there is, as the principal may see it; accounts are added, connected and
//! disconnected.

use super::{
    At,
    connect_params::ConnectParams,
    page::{Page, PageParams},
};
use crate::{
    domain::{
        id::AccountId,
        ledger::LedgerEntry,
        message::{
            AccountReply, AccountStatusView, AccountSummary, AccountView, Answer, CommandBody,
            ConnectAccount, DisconnectAccount, DisconnectReply, FillView, InstrumentView, OrderView, Query,
            Refusal,
        },
        time::UnixNanos,
    },
    gateway::{
        context::{Context, wrong_answer},
        registry::Method,
        wire::{WireTime, conflict},
    },
    node::{journal::Dated, tokens::Scope},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub fn methods() -> Vec<Method> {
    let read = &[Scope::Read];
    vec![
        Method::detached("accounts.list", read, "All accounts, by id.", list),
        Method::detached("accounts.get", read, "One account, its positions and orders.", get),
        Method::detached("accounts.status", read, "An account's link to its venue.", status),
        Method::detached("accounts.history", read, "Fills, ended orders or postings, oldest first.", history),
        Method::detached("accounts.instruments", read, "What the account may trade.", instruments),
        Method::detached(
            "accounts.connect",
            &[Scope::Admin],
            "Adds an account, or connects one that is there.",
            connect,
        )
        .keyed(),
        Method::detached("accounts.disconnect", &[Scope::Admin], "Ends an account's link.", disconnect)
            .keyed(),
    ]
}

async fn list(context: Context, params: PageParams) -> Result<Page<AccountSummary>, Refusal> {
    let (answer, cursor) = context.handle.query(Query::Accounts).await?;
    let Answer::Accounts(mut accounts) = answer else { return Err(wrong_answer("question")) };
    accounts.retain(|account| context.principal.accounts.allows(&account.account_id));
    accounts.sort_by(|a, b| a.account_id.cmp(&b.account_id));
    let key = |account: &AccountSummary| account.account_id.to_string();
    Page::cut(&params, accounts, key, cursor, context.frame_bytes)
}

/// An account.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct AccountParams {
    account_id: AccountId,
}

async fn get(context: Context, params: AccountParams) -> Result<At<AccountView>, Refusal> {
    context.check_account(&params.account_id)?;
    let (answer, cursor) = context.handle.query(Query::Account(params.account_id)).await?;
    let Answer::Account(snapshot) = answer else { return Err(wrong_answer("question")) };
    Ok(At { snapshot: *snapshot, cursor })
}

async fn status(context: Context, params: AccountParams) -> Result<At<AccountStatusView>, Refusal> {
    context.check_account(&params.account_id)?;
    let (answer, cursor) = context.handle.query(Query::AccountStatus(params.account_id)).await?;
    let Answer::AccountStatus(snapshot) = answer else { return Err(wrong_answer("question")) };
    Ok(At { snapshot: *snapshot, cursor })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum HistoryKind {
    Fills,
    /// Orders that ended; working ones are in `accounts.get`.
    Orders,
    Ledger,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct HistoryParams {
    account_id: AccountId,
    kind: HistoryKind,
    /// The first instant wanted.
    #[serde(default)]
    from: Option<WireTime>,
    /// The last instant wanted.
    #[serde(default)]
    to: Option<WireTime>,
    /// 1 to 500; 100 unless told.
    #[serde(default)]
    limit: Option<usize>,
    /// `nextCursor` of the page before.
    #[serde(default)]
    cursor: Option<String>,
}

/// One row of a history.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
enum HistoryItem {
    Fill(Box<FillView>),
    Order(Box<OrderView>),
    Entry(Box<LedgerEntry>),
}

async fn history(context: Context, params: HistoryParams) -> Result<Page<HistoryItem>, Refusal> {
    context.check_account(&params.account_id)?;
    // an account that does not exist has no empty history
    context.handle.query(Query::AccountStatus(params.account_id.clone())).await?;
    match params.kind {
        HistoryKind::Fills => rows(context, params, |fill| HistoryItem::Fill(Box::new(fill))).await,
        HistoryKind::Orders => rows(context, params, |order| HistoryItem::Order(Box::new(order))).await,
        HistoryKind::Ledger => rows(context, params, |entry| HistoryItem::Entry(Box::new(entry))).await,
    }
}

async fn rows<T: Dated + Send + 'static>(
    context: Context,
    params: HistoryParams,
    item: fn(T) -> HistoryItem,
) -> Result<Page<HistoryItem>, Refusal> {
    let from = params.from.map_or(UnixNanos(i64::MIN), |at| at.0);
    let to = params.to.map_or(UnixNanos::MAX, |at| at.0);
    if from > to {
        return Err(conflict("to", "lies before `from`"));
    }
    let page = PageParams { limit: params.limit, cursor: params.cursor };
    let (after, limit) = (page.after_number()?, page.limit()?);
    let (history, cursor) = context.handle.history::<T>(params.account_id, after, (from, to), limit).await?;
    let items = history.items.into_iter().map(|(number, row)| (number, item(row))).collect();
    Ok(Page::numbered(items, history.next, cursor, context.frame_bytes))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct InstrumentsParams {
    account_id: AccountId,
    /// 1 to 500; 100 unless told.
    #[serde(default)]
    limit: Option<usize>,
    /// `nextCursor` of the page before.
    #[serde(default)]
    cursor: Option<String>,
}

async fn instruments(context: Context, params: InstrumentsParams) -> Result<Page<InstrumentView>, Refusal> {
    context.check_account(&params.account_id)?;
    let (answer, cursor) = context.handle.query(Query::Instruments(params.account_id)).await?;
    let Answer::Instruments(views) = answer else { return Err(wrong_answer("question")) };
    let page = PageParams { limit: params.limit, cursor: params.cursor };
    Page::cut(&page, views, |view| view.symbol.to_string(), cursor, context.frame_bytes)
}

async fn connect(context: Context, params: ConnectParams) -> Result<Box<AccountReply>, Refusal> {
    let account = params.account_id()?;
    context.check_account(&account)?;
    let settings = params.settings(&context).await?.map(Box::new);
    context.command(CommandBody::Connect(ConnectAccount { account, settings })).await
}

async fn disconnect(context: Context, params: AccountParams) -> Result<DisconnectReply, Refusal> {
    context.check_account(&params.account_id)?;
    let command = DisconnectAccount { account: params.account_id };
    context.command(CommandBody::Disconnect(command)).await
}
