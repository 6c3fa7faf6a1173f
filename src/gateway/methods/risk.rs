//! `risk.*`: what would be allowed, the emergency stop, and the way out of it.

use super::{At, trades::PlaceParams};
use crate::{
    domain::{
        id::{AccountId, StopId},
        message::{
            Answer, CommandBody, EmergencyStop, ErrorCode, PreviewView, Query, Refusal, ResumeReply,
            ResumeTarget, ResumeTrading, RiskStatusView, StopAction, StopReply, StopScope,
        },
    },
    gateway::{
        context::{Context, wrong_answer},
        limits::TEXT_CHARS,
        registry::Method,
        visibility,
        wire::{check_text, conflict, exactly_one, invalid, missing},
    },
    node::tokens::{Accounts, Scope},
};
use schemars::JsonSchema;
use serde::Deserialize;

pub fn methods() -> Vec<Method> {
    vec![
        Method::detached(
            "risk.preview",
            &[Scope::Read],
            "What the risk gate would say to an order.",
            preview,
        ),
        Method::detached("risk.emergencyStop", &[Scope::Stop], "Latches a stop and clears up.", stop)
            .keyed()
            .control(),
        Method::detached("risk.resume", &[Scope::Admin], "Lifts latches.", resume).keyed(),
        Method::detached("risk.status", &[Scope::Read], "Latches and limits.", status),
    ]
}

async fn preview(context: Context, params: PlaceParams) -> Result<At<PreviewView>, Refusal> {
    context.check_account(params.account())?;
    let question = Query::Preview(Box::new(params.order()?));
    let (answer, cursor) = context.handle.query(question).await?;
    let Answer::Preview(snapshot) = answer else { return Err(wrong_answer("question")) };
    Ok(At { snapshot: *snapshot, cursor })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum WireScope {
    Global,
    Account,
    Agent,
    Follow,
}

impl WireScope {
    /// The machine's scope; `agent` and `follow` have nothing to stop in this build.
    fn with(self, id: Option<AccountId>) -> Result<StopScope, Refusal> {
        match (self, id) {
            (Self::Global, None) => Ok(StopScope::Global),
            (Self::Global, Some(_)) => Err(conflict("id", "a global scope has none")),
            (Self::Account, Some(account)) => Ok(StopScope::Account(account)),
            (Self::Account, None) => Err(missing("id")),
            (Self::Agent | Self::Follow, _) => Err(invalid(
                "SCOPE_UNAVAILABLE",
                "scope",
                "there is nothing of this scope: use global or account",
            )),
        }
    }
}

/// Whether the principal may act on this scope.
fn check_scope(context: &Context, scope: &StopScope) -> Result<(), Refusal> {
    match scope {
        StopScope::Global => context.check_all_accounts(),
        StopScope::Account(account) => context.check_account(account),
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
struct StopParams {
    scope: WireScope,
    /// The account of scope `account`.
    #[serde(default)]
    id: Option<AccountId>,
    /// `pause` and `cancel_all` unless told.
    #[serde(default)]
    actions: Option<Vec<StopAction>>,
    reason: String,
}

impl StopParams {
    fn command(self) -> Result<EmergencyStop, Refusal> {
        check_text("reason", &self.reason, TEXT_CHARS)?;
        let scope = self.scope.with(self.id)?;
        let mut actions = self.actions.unwrap_or_else(|| vec![StopAction::Pause, StopAction::CancelAll]);
        actions.sort_unstable();
        actions.dedup();
        if actions.is_empty() {
            return Err(missing("actions[0]"));
        }
        Ok(EmergencyStop { scope, actions, reason: self.reason })
    }
}

async fn stop(context: Context, params: StopParams) -> Result<StopReply, Refusal> {
    let command = params.command()?;
    check_scope(&context, &command.scope)?;
    context.command(CommandBody::EmergencyStop(command)).await
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ResumeParams {
    #[serde(default)]
    stop_id: Option<StopId>,
    #[serde(default)]
    scope: Option<WireScope>,
    /// The account of scope `account`.
    #[serde(default)]
    id: Option<AccountId>,
    reason: String,
}

impl ResumeParams {
    fn command(self) -> Result<ResumeTrading, Refusal> {
        check_text("reason", &self.reason, TEXT_CHARS)?;
        if self.scope.is_none() && self.id.is_some() {
            return Err(conflict("id", "belongs to scope: account"));
        }
        let scope = self.scope.map(|scope| scope.with(self.id)).transpose()?;
        let target = exactly_one([
            ("stopId", self.stop_id.map(ResumeTarget::Stop)),
            ("scope", scope.map(ResumeTarget::Scope)),
            ("", None),
        ])?;
        Ok(ResumeTrading { target, reason: self.reason })
    }
}

async fn resume(context: Context, params: ResumeParams) -> Result<ResumeReply, Refusal> {
    let command = params.command()?;
    match &command.target {
        ResumeTarget::Scope(scope) => check_scope(&context, scope)?,
        ResumeTarget::Stop(stop) => check_stop(&context, *stop).await?,
    }
    context.command(CommandBody::Resume(command)).await
}

/// Whether the principal may lift this stop: it must concern an account of theirs.
async fn check_stop(context: &Context, stop: StopId) -> Result<(), Refusal> {
    if context.principal.accounts == Accounts::All {
        return Ok(());
    }
    let (answer, _) = context.handle.query(Query::RiskStatus(None)).await?;
    let Answer::RiskStatus(status) = answer else { return Err(wrong_answer("question")) };
    let name = stop.to_string();
    let latch =
        visibility::risk_status(*status, &context.principal).latches.into_iter().find(|l| l.id == name);
    match latch {
        Some(latch) if latch.account_id.is_some() => Ok(()),
        Some(_) => context.check_all_accounts(),
        None => Err(Refusal::new(ErrorCode::NotFound, "STOP_UNKNOWN", format!("there is no stop `{stop}`"))),
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct StatusParams {
    #[serde(default)]
    account_id: Option<AccountId>,
}

async fn status(context: Context, params: StatusParams) -> Result<At<RiskStatusView>, Refusal> {
    if let Some(account) = &params.account_id {
        context.check_account(account)?;
    }
    let (answer, cursor) = context.handle.query(Query::RiskStatus(params.account_id)).await?;
    let Answer::RiskStatus(status) = answer else { return Err(wrong_answer("question")) };
    Ok(At { snapshot: visibility::risk_status(*status, &context.principal), cursor })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::wire::read;

    #[test]
    fn a_stop_pauses_and_cancels_unless_told() {
        let stop = |json: &str| read::<StopParams>(json).and_then(StopParams::command);
        let plain = stop(r#"{"scope":"global","reason":"r"}"#).expect("a stop");
        assert_eq!(plain.actions, [StopAction::Pause, StopAction::CancelAll]);
        let twice =
            stop(r#"{"scope":"account","id":"a","actions":["close_all","pause","pause"],"reason":"r"}"#);
        assert_eq!(twice.expect("a stop").actions, [StopAction::Pause, StopAction::CloseAll]);
        for (json, reason, path) in [
            (r#"{"scope":"global"}"#, "FIELD_MISSING", "reason"),
            (r#"{"scope":"global","reason":""}"#, "FIELD_LENGTH", "reason"),
            (r#"{"scope":"global","id":"a","reason":"r"}"#, "FIELD_CONFLICT", "id"),
            (r#"{"scope":"account","reason":"r"}"#, "FIELD_MISSING", "id"),
            (r#"{"scope":"agent","id":"a","reason":"r"}"#, "SCOPE_UNAVAILABLE", "scope"),
            (r#"{"scope":"follow","id":"f","reason":"r"}"#, "SCOPE_UNAVAILABLE", "scope"),
            (r#"{"scope":"global","actions":[],"reason":"r"}"#, "FIELD_MISSING", "actions[0]"),
            (r#"{"scope":"global","actions":["panic"],"reason":"r"}"#, "WRONG_TYPE", "actions[0]"),
        ] {
            let refusal = stop(json).expect_err(json);
            assert_eq!((refusal.reason(), refusal.details["path"].as_str()), (reason, Some(path)), "{json}");
        }
    }

    #[test]
    fn a_resume_names_a_stop_or_a_scope() {
        let resume = |json: &str| read::<ResumeParams>(json).and_then(ResumeParams::command);
        let by_id = resume(r#"{"stopId":"s3","reason":"r"}"#).expect("by id");
        assert_eq!(by_id.target, ResumeTarget::Stop(StopId(3)));
        let by_scope = resume(r#"{"scope":"account","id":"a","reason":"r"}"#).expect("by scope");
        assert!(matches!(by_scope.target, ResumeTarget::Scope(StopScope::Account(_))));
        assert_eq!(resume(r#"{"reason":"r"}"#).expect_err("neither").details["path"], "stopId");
        let both = resume(r#"{"stopId":"s3","scope":"global","reason":"r"}"#).expect_err("both");
        assert_eq!(both.reason(), "FIELD_CONFLICT");
    }
}
