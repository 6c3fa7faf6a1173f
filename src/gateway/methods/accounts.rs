//! `accounts.*`: what there is, as the principal may see it.

use super::{
    At,
    page::{Page, PageParams},
};
use crate::{
    domain::{
        id::AccountId,
        message::{AccountSummary, AccountView, Answer, Query, Refusal},
    },
    gateway::{
        context::{Context, wrong_answer},
        registry::Method,
    },
    node::tokens::Scope,
};
use schemars::JsonSchema;
use serde::Deserialize;

pub fn methods() -> Vec<Method> {
    vec![
        Method::detached("accounts.list", &[Scope::Read], "All accounts, by id.", list),
        Method::detached("accounts.get", &[Scope::Read], "One account, its positions and orders.", get),
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

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct GetParams {
    account_id: AccountId,
}

async fn get(context: Context, params: GetParams) -> Result<At<AccountView>, Refusal> {
    context.check_account(&params.account_id)?;
    let (answer, cursor) = context.handle.query(Query::Account(params.account_id)).await?;
    let Answer::Account(snapshot) = answer else { return Err(wrong_answer("question")) };
    Ok(At { snapshot: *snapshot, cursor })
}
