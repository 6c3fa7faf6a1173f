//! `events.*`: the log of critical events, read without a subscription.

use crate::{
    domain::{
        id::AccountId,
        message::{ErrorCode, Event, Refusal},
        time::UnixNanos,
    },
    gateway::{
        context::Context,
        frame,
        limits::{CATCH_UP_PAGE, LOG_EVENTS, LOG_SCAN, LOG_TYPES},
        registry::Method,
        visibility,
        wire::invalid,
    },
    node::{
        journal::{Cursor, StoredEvent},
        status::NodeStatus,
        tokens::{Principal, Scope},
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{json, value::RawValue};
use std::sync::Arc;

pub fn methods() -> Vec<Method> {
    vec![Method::detached("events.fetch", &[Scope::Read], "Critical events after a cursor.", fetch)]
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct FetchParams {
    /// The last event that is known; offset 0 is before the first.
    after: Cursor,
    /// Names such as `event.trade.executed`; none: all.
    #[serde(default)]
    types: Vec<String>,
    /// Only what concerns this account.
    #[serde(default)]
    account_id: Option<AccountId>,
    /// 1 to 1,000; 500 unless told.
    #[serde(default)]
    limit: Option<usize>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Fetched {
    events: Vec<LoggedEvent>,
    /// Go on from here; equal to `head` when there is nothing more.
    next: Cursor,
    /// The newest critical event.
    head: Cursor,
    /// The oldest cursor that can still be given as `after`.
    oldest: Cursor,
}

/// An event as its frame has it, without a `seq`.
#[derive(Debug, Serialize, JsonSchema)]
struct LoggedEvent {
    event: Arc<str>,
    ts: UnixNanos,
    cursor: Cursor,
    #[schemars(with = "serde_json::Value")]
    payload: Box<RawValue>,
}

/// Room for the envelope around the events.
const ENVELOPE_BYTES: usize = 4 << 10;

async fn fetch(context: Context, params: FetchParams) -> Result<Fetched, Refusal> {
    let limit = params.limit.unwrap_or(LOG_EVENTS.0);
    if !(1..=LOG_EVENTS.1).contains(&limit) {
        return Err(invalid("OUT_OF_RANGE", "limit", &format!("must be 1 to {}", LOG_EVENTS.1)));
    }
    check_types(&params.types)?;
    if let Some(account) = &params.account_id {
        context.check_account(account)?;
    }
    let status = context.handle.status();
    if !status.can_resume(params.after) {
        return Err(expired(&status));
    }
    let room = context.frame_bytes.saturating_sub(ENVELOPE_BYTES);
    let mut page = Page { principal: &context.principal, params: &params, limit, room, events: Vec::new() };
    let mut after = params.after.offset;
    let scan_to = after.saturating_add(LOG_SCAN as u64).min(status.head.offset);
    while after < scan_to {
        let wanted = usize::try_from(scan_to - after).map_or(CATCH_UP_PAGE, |left| left.min(CATCH_UP_PAGE));
        let events = context.handle.events_after(after, wanted).await?;
        // the log's beginning may have been dropped since its bounds were read
        if events.first().is_none_or(|first| first.number != after + 1) {
            return Err(expired(&context.handle.status()));
        }
        for event in &events {
            if !page.takes(event) {
                return Ok(page.end(after, &status));
            }
            after = event.number;
        }
    }
    Ok(page.end(after, &status))
}

fn check_types(types: &[String]) -> Result<(), Refusal> {
    if types.len() > LOG_TYPES {
        return Err(invalid("OUT_OF_RANGE", "types", &format!("has more than {LOG_TYPES} entries")));
    }
    match types.iter().position(|name| !Event::NAMES.contains(&name.as_str())) {
        Some(index) => {
            let why = "is not a critical event; only those are in the log";
            let known: Vec<&str> = Event::NAMES.to_vec();
            Err(invalid("UNKNOWN_EVENT", &format!("types[{index}]"), why).with("types", known))
        }
        None => Ok(()),
    }
}

/// The log does not go on from that cursor.
fn expired(status: &NodeStatus) -> Refusal {
    let message = "the log does not go on from this cursor: start from snapshots and from their cursors";
    let shown = |cursor: Cursor| json!({"epoch": cursor.epoch, "offset": cursor.offset});
    Refusal::new(ErrorCode::Conflict, "CURSOR_EXPIRED", message)
        .with("oldest", shown(status.oldest_cursor()))
        .with("head", shown(status.head))
}

/// What is answered, as far as it has come.
struct Page<'a> {
    principal: &'a Principal,
    params: &'a FetchParams,
    limit: usize,
    /// Bytes that are left of the frame.
    room: usize,
    events: Vec<LoggedEvent>,
}

impl Page<'_> {
    /// Takes the event, or leaves it out because nobody asked for it; false if there is no more room.
    fn takes(&mut self, event: &StoredEvent) -> bool {
        let visible = event.account.as_ref().is_none_or(|id| self.principal.accounts.allows(id));
        let concerned = self.params.account_id.is_none() || self.params.account_id == event.account;
        let named =
            self.params.types.is_empty() || self.params.types.iter().any(|name| **name == *event.name);
        if !(visible && concerned && named) {
            return true;
        }
        let payload = visibility::payload(event, self.principal);
        let logged = LoggedEvent {
            event: Arc::clone(&event.name),
            ts: event.ts,
            cursor: Cursor { epoch: self.params.after.epoch, offset: event.number },
            payload: RawValue::from_string(payload.to_string()).expect("stored payloads are JSON"),
        };
        let bytes = frame::encode(&logged).len() + 1;
        // one that is too large alone must not hold up the reader for ever
        if !self.events.is_empty() && (self.events.len() == self.limit || bytes > self.room) {
            return false;
        }
        self.room = self.room.saturating_sub(bytes);
        self.events.push(logged);
        true
    }

    fn end(self, after: u64, status: &NodeStatus) -> Fetched {
        let next = Cursor { epoch: self.params.after.epoch, offset: after };
        Fetched { events: self.events, next, head: status.head, oldest: status.oldest_cursor() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        gateway::wire::read,
        node::{
            journal::Epoch,
            tokens::{Accounts, Role, TokenDigest},
        },
    };

    fn event(number: u64, payload: &str) -> StoredEvent {
        StoredEvent {
            number,
            journal_offset: number,
            ts: UnixNanos::ZERO,
            name: "event.gateway.status".into(),
            account: None,
            payload: payload.into(),
        }
    }

    /// How many of five events of `bytes` bytes, framing included, an answer takes that has `room`.
    fn check(limit: usize, room: usize, bytes: usize, taken: usize) {
        let principal = Principal {
            name: "a".into(),
            role: Role::Viewer,
            scopes: [].into(),
            accounts: Accounts::All,
            token: TokenDigest::of("gw_…"),
        };
        let params = read(r#"{"after":{"epoch":"0000000000000001","offset":0}}"#).expect("parameters");
        let mut page = Page { principal: &principal, params: &params, limit, room, events: Vec::new() };
        let framing = frame::encode(&LoggedEvent {
            event: "event.gateway.status".into(),
            ts: UnixNanos::ZERO,
            cursor: Cursor { epoch: Epoch(1), offset: 1 },
            payload: RawValue::from_string("\"\"".into()).expect("JSON"),
        });
        let payload = format!("\"{}\"", "x".repeat(bytes - framing.len() - 1));
        let count = (1..=5).take_while(|number| page.takes(&event(*number, &payload))).count();
        assert_eq!(count, taken, "limit {limit}, room {room}, {bytes} bytes each");
    }

    #[test]
    fn an_answer_ends_at_its_limit_and_at_the_size_of_a_frame_but_is_never_empty() {
        check(5, 10_000, 1_000, 5);
        check(3, 10_000, 1_000, 3);
        check(5, 4_000, 1_000, 4);
        check(5, 3_999, 1_000, 3);
        check(5, 10, 1_000, 1);
    }
}
