//! `gateway.*`: the handshake, and how the process is.

use super::NoParams;
use crate::{
    domain::{
        id::AccountId,
        message::{ErrorCode, Refusal},
        time::UnixNanos,
    },
    gateway::{
        PROTOCOL,
        context::Context,
        limits::{Policy, RELEASES, TEXT_CHARS},
        random_id,
        registry::{Method, registry},
        session::{Close, Session},
        wire::{Secret, check_text},
    },
    node::{
        journal::Cursor,
        tokens::{Accounts, Principal, Role, Scope},
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

pub fn methods() -> Vec<Method> {
    vec![
        Method::in_session("gateway.connect", &[], "Proves who speaks; the first request.", connect),
        Method::detached("gateway.ping", &[Scope::Read], "The machine's clock.", ping),
        Method::detached("gateway.status", &[Scope::Read], "How the gateway is.", status),
    ]
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ConnectParams {
    client: Client,
    protocol: Versions,
    #[serde(default)]
    auth: Option<Auth>,
    #[serde(default)]
    resume: Option<Resume>,
}

/// What a client says about itself. It grants nothing.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Client {
    name: String,
    /// `web`, `mobile`, `cli`, `channel` or `service`.
    kind: String,
    #[serde(default)]
    platform: Option<String>,
    #[serde(default)]
    version: Option<String>,
    #[serde(default)]
    device_id: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Versions {
    min: u32,
    max: u32,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Auth {
    /// `token`.
    mode: String,
    #[serde(default)]
    token: Option<Secret>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Resume {
    cursor: Cursor,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ConnectResult {
    protocol: Selected,
    session: SessionInfo,
    server: Server,
    features: Features,
    policy: Policy,
    /// Where this session's events begin: the first one that is sent comes after it.
    cursor: Cursor,
    /// The oldest cursor that can still be resumed from.
    oldest: Cursor,
    /// The newest critical event.
    head: Cursor,
    /// After `resume`: whether everything since that cursor is sent. If not, read snapshots.
    #[serde(skip_serializing_if = "Option::is_none")]
    recovered: Option<bool>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Selected {
    selected: u32,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct SessionInfo {
    session_id: String,
    role: Role,
    scopes: BTreeSet<Scope>,
    accounts: AccountsView,
}

/// `"*"`, or account ids.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
enum AccountsView {
    All(&'static str),
    Only(BTreeSet<AccountId>),
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Server {
    name: &'static str,
    version: &'static str,
    /// New at every start.
    boot_id: String,
    /// New when a journal is created or restored.
    server_id: String,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Features {
    methods: Vec<&'static str>,
    events: Vec<&'static str>,
}

fn connect(session: &mut Session, params: ConnectParams) -> Result<ConnectResult, Refusal> {
    if session.connected.is_some() {
        return Err(Refusal::new(ErrorCode::Conflict, "ALREADY_CONNECTED", "this connection has connected"));
    }
    check_client(&params.client)?;
    if !(params.protocol.min..=params.protocol.max).contains(&PROTOCOL) {
        session.close(Close::PROTOCOL_MISMATCH);
        return Err(Refusal::new(
            ErrorCode::Conflict,
            "PROTOCOL_MISMATCH",
            format!("this gateway speaks protocol {PROTOCOL} only"),
        )
        .with("supported", [PROTOCOL, PROTOCOL].to_vec()));
    }
    let principal = authenticate(session, params.auth.as_ref()).inspect_err(|_| {
        session.close(Close::AUTH_FAILED);
    })?;
    tracing::info!(principal = principal.name, client = params.client.name, "connected");

    // subscribed first, so that nothing can happen between the head that is told and the live events
    let releases = session.gateway.handle.subscribe(RELEASES);
    let status = session.gateway.handle.status();
    let epoch = session.gateway.handle.epoch();
    let at = |offset| Cursor { epoch, offset };
    let resumed =
        params.resume.map(|resume| status.can_resume(resume.cursor).then_some(resume.cursor.offset));
    let from = resumed.flatten().unwrap_or(status.head.offset);

    let result = ConnectResult {
        protocol: Selected { selected: PROTOCOL },
        session: SessionInfo {
            session_id: format!("sess_{}", random_id(&session.gateway.rt)),
            role: principal.role,
            scopes: principal.scopes.clone(),
            accounts: match &principal.accounts {
                Accounts::All => AccountsView::All("*"),
                Accounts::Only(ids) => AccountsView::Only(ids.clone()),
            },
        },
        server: Server {
            name: "lockstep",
            version: env!("CARGO_PKG_VERSION"),
            boot_id: session.gateway.boot_id.clone(),
            server_id: epoch.to_string(),
        },
        features: Features {
            methods: registry().methods().map(|method| method.name).collect(),
            events: registry().events().iter().map(|event| event.name).collect(),
        },
        policy: session.gateway.limits.policy(),
        cursor: at(from),
        oldest: status.oldest_cursor(),
        head: status.head,
        recovered: resumed.map(|from| from.is_some()),
    };
    session.connect(principal, releases, from, status.head.offset);
    Ok(result)
}

fn check_client(client: &Client) -> Result<(), Refusal> {
    check_text("client.name", &client.name, TEXT_CHARS)?;
    check_text("client.kind", &client.kind, TEXT_CHARS)?;
    let optional = [
        ("client.platform", &client.platform),
        ("client.version", &client.version),
        ("client.deviceId", &client.device_id),
    ];
    for (path, text) in optional {
        if let Some(text) = text {
            check_text(path, text, TEXT_CHARS)?;
        }
    }
    Ok(())
}

fn authenticate(session: &Session, auth: Option<&Auth>) -> Result<Principal, Refusal> {
    let required =
        || Refusal::new(ErrorCode::AuthRequired, "CREDENTIALS_MISSING", "give auth {mode: \"token\", token}");
    let auth = auth.ok_or_else(required)?;
    if auth.mode != "token" {
        return Err(Refusal::new(ErrorCode::AuthInvalid, "AUTH_MODE_UNSUPPORTED", "use auth mode \"token\"")
            .with("supported", vec!["token"]));
    }
    let token = auth.token.as_ref().filter(|token| !token.expose().is_empty()).ok_or_else(required)?;
    if let Some(principal) = session.gateway.tokens.find(token.expose()) {
        return Ok(principal);
    }
    let (guard, now_ns) = (&session.gateway.guard, session.gateway.rt.mono());
    if let Some(wait_ns) = guard.wait_ns(&session.address, now_ns) {
        return Err(Refusal::new(
            ErrorCode::RateLimited,
            "AUTH_FAILURES",
            "too many failed attempts from this address; a valid token is still accepted",
        )
        .retryable()
        .with("retryAfterMs", wait_ns.div_ceil(1_000_000)));
    }
    guard.failed(&session.address, now_ns);
    tracing::warn!(address = session.address, "an unknown token was refused");
    Err(Refusal::new(ErrorCode::AuthInvalid, "TOKEN_UNKNOWN", "this token is not known here"))
}

#[derive(Debug, Serialize, JsonSchema)]
struct PingResult {
    now: UnixNanos,
}

async fn ping(context: Context, _: NoParams) -> Result<PingResult, Refusal> {
    Ok(PingResult { now: context.handle.now() })
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct StatusResult {
    state: &'static str,
    uptime_ms: u64,
    subsystems: BTreeMap<&'static str, SubsystemView>,
    version: &'static str,
    head: Cursor,
    /// The last state that a second machine has computed and compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    checkpoint: Option<CheckpointView>,
    cursor: Cursor,
}

#[derive(Debug, Serialize, JsonSchema)]
struct SubsystemView {
    state: &'static str,
    details: Map<String, Value>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct CheckpointView {
    state_hash: String,
    journal_offset: u64,
}

async fn status(context: Context, _: NoParams) -> Result<StatusResult, Refusal> {
    let status = context.handle.status();
    let view = |(name, subsystem): (_, crate::node::status::Subsystem)| {
        (name, SubsystemView { state: subsystem.state, details: subsystem.details })
    };
    Ok(StatusResult {
        state: status.state.name(),
        uptime_ms: status.uptime_ms,
        subsystems: status.subsystems.into_iter().map(view).collect(),
        version: env!("CARGO_PKG_VERSION"),
        head: status.head,
        checkpoint: status.checkpoint.map(|checkpoint| CheckpointView {
            state_hash: checkpoint.state_hash.to_hex().to_string(),
            journal_offset: checkpoint.journal_offset,
        }),
        cursor: status.head,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::wire::read;

    #[test]
    fn the_contract_example_of_connect_is_read() {
        let params: ConnectParams = read(
            r#"{"client":{"name":"web","kind":"web","platform":"browser","version":"0.1.0",
                "deviceId":"optional-stable-device-id"},"protocol":{"min":1,"max":1},
                "auth":{"mode":"token","token":"gw_..."}}"#,
        )
        .expect("the contract's example");
        check_client(&params.client).expect("the contract's client");
        assert!((params.protocol.min..=params.protocol.max).contains(&PROTOCOL));
        assert_eq!(params.auth.and_then(|auth| auth.token).expect("a token").expose(), "gw_...");
    }

    #[test]
    fn gw11_a_token_is_in_no_error_and_no_debug_text() {
        let json = r#"{"client":{"name":"n","kind":"cli"},"protocol":{"min":1,"max":1},
            "auth":{"mode":"token","token":TOKEN}}"#;
        let refusal = read::<ConnectParams>(&json.replace("TOKEN", "[\"gw_secret\"]")).expect_err("a list");
        assert_eq!(refusal.details["path"], "auth.token");
        assert!(!format!("{refusal:?}").contains("secret"));
        let params = read::<ConnectParams>(&json.replace("TOKEN", "\"gw_secret\"")).expect("params");
        assert!(!format!("{params:?}").contains("secret"));
    }
}
