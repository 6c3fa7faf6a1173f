//! The one list of methods and the one list of events. Dispatch, rights, the feature lists and
//! `/schema.json` come from it, so none of them can disagree.

use super::{
    context::Context,
    limits::KEY_CHARS,
    methods,
    outbox::{GAP_EVENT, Gap},
    rates::Rate,
    session::{Session, TICK_EVENT, Tick},
    subscriptions::{FEED_EVENT, FeedEventPayload},
    wire::{check_text, parse_params},
};
use crate::{
    domain::message::{
        AccountStatusChanged, EmergencyStopChanged, Event, GatewayStatusChanged, OrderUpdated,
        PositionUpdated, Refusal, RiskAlert, TradeCanceled, TradeClosed, TradeExecuted, TradeIntent,
        TradeModified, TradeRejected,
    },
    node::tokens::Scope,
};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::{RawValue, to_raw_value};
use std::{collections::BTreeMap, fmt, future::Future, pin::Pin, sync::OnceLock};

/// What a method answers.
pub type Answer = Result<Box<RawValue>, Refusal>;

/// An answer that is being worked on.
pub type Pending = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// A method of the protocol.
pub struct Method {
    pub name: &'static str,
    pub summary: &'static str,
    /// Any one of these permits it; none: it comes before any right is known.
    pub scopes: &'static [Scope],
    /// Takes an `idempotencyKey`.
    pub keyed: bool,
    /// Lowers risk: it has a reserve where others are refused for their number or rate.
    pub control: bool,
    /// Counts as a trade: the engine limits its rate per account.
    per_account: bool,
    pub(super) handler: Handler,
    params: SchemaOf,
    result: SchemaOf,
}

type SchemaOf = fn(&mut SchemaGenerator) -> Schema;
type InSession = dyn Fn(&mut Session, &RawValue) -> Answer + Send + Sync;
type Detached = dyn Fn(Context, &RawValue) -> Result<Pending, Refusal> + Send + Sync;

/// Who works on a request.
pub(super) enum Handler {
    /// The session itself, at once.
    Session(Box<InSession>),
    /// A future beside the session.
    Detached(Box<Detached>),
}

impl Method {
    /// A method that concerns the session only and answers at once.
    pub(super) fn in_session<P, R>(
        name: &'static str,
        scopes: &'static [Scope],
        summary: &'static str,
        run: fn(&mut Session, P) -> Result<R, Refusal>,
    ) -> Self
    where
        P: DeserializeOwned + JsonSchema + 'static,
        R: Serialize + JsonSchema + 'static,
    {
        let handler = Handler::Session(Box::new(move |session, raw| {
            let params = parse_params(raw)?;
            Ok(json(&run(session, params)?))
        }));
        Self::new::<P, R>(name, scopes, summary, handler)
    }

    /// A method that asks the machine.
    pub(super) fn detached<P, R, F>(
        name: &'static str,
        scopes: &'static [Scope],
        summary: &'static str,
        run: fn(Context, P) -> F,
    ) -> Self
    where
        P: DeserializeOwned + JsonSchema + 'static,
        R: Serialize + JsonSchema + 'static,
        F: Future<Output = Result<R, Refusal>> + Send + 'static,
    {
        let handler = Handler::Detached(Box::new(move |context, raw| {
            let params = parse_params(raw)?;
            let answer = run(context, params);
            Ok(Box::pin(async move { Ok(json(&answer.await?)) }))
        }));
        Self::new::<P, R>(name, scopes, summary, handler)
    }

    fn new<P: JsonSchema, R: JsonSchema>(
        name: &'static str,
        scopes: &'static [Scope],
        summary: &'static str,
        handler: Handler,
    ) -> Self {
        Self {
            name,
            summary,
            scopes,
            keyed: false,
            control: false,
            per_account: false,
            handler,
            params: SchemaGenerator::subschema_for::<P>,
            result: SchemaGenerator::subschema_for::<R>,
        }
    }

    /// The method takes an idempotency key.
    #[must_use]
    pub(super) const fn keyed(mut self) -> Self {
        self.keyed = true;
        self
    }

    /// The method lowers risk.
    #[must_use]
    pub(super) const fn control(mut self) -> Self {
        self.control = true;
        self
    }

    /// The method is limited per account, by the engine.
    #[must_use]
    pub(super) const fn per_account(mut self) -> Self {
        self.per_account = true;
        self
    }

    /// How its calls are limited. A write about which nothing is said counts as a control write.
    pub const fn rate(&self) -> Rate {
        match self {
            Self { control: true, .. } => Rate::Reserved,
            Self { per_account: true, .. } => Rate::Account,
            Self { keyed: true, .. } => Rate::ControlWrites,
            _ => Rate::Requests,
        }
    }

    /// The idempotency key among the parameters of a method that takes one.
    pub(super) fn key(&self, params: &RawValue) -> Result<Option<String>, Refusal> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Keyed {
            #[serde(default)]
            idempotency_key: Option<String>,
        }
        if !self.keyed {
            return Ok(None);
        }
        let key = parse_params::<Keyed>(params)?.idempotency_key;
        if let Some(key) = &key {
            check_text("idempotencyKey", key, KEY_CHARS)?;
        }
        Ok(key)
    }
}

impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// An event of the protocol.
#[derive(Debug, Clone, Copy)]
pub struct EventKind {
    pub name: &'static str,
    /// Numbered, durable, resumable.
    pub critical: bool,
    payload: SchemaOf,
}

/// Methods and events.
#[derive(Debug)]
pub struct Registry {
    methods: BTreeMap<&'static str, Method>,
    events: Vec<EventKind>,
}

/// The registry of this build.
pub fn registry() -> &'static Registry {
    static REGISTRY: OnceLock<Registry> = OnceLock::new();
    REGISTRY.get_or_init(|| {
        let all = methods::all();
        let count = all.len();
        let methods: BTreeMap<_, _> = all.into_iter().map(|method| (method.name, method)).collect();
        assert_eq!(methods.len(), count, "every method has its own name");
        Registry { methods, events: events() }
    })
}

impl Registry {
    /// The method of this name.
    pub fn method(&self, name: &str) -> Option<&Method> {
        self.methods.get(name)
    }

    /// All methods, by name.
    pub fn methods(&self) -> impl Iterator<Item = &Method> {
        self.methods.values()
    }

    /// All events: the critical ones first.
    pub fn events(&self) -> &[EventKind] {
        &self.events
    }

    /// `GET /schema.json`: every method's parameters and result, every event's payload.
    pub fn schema(&self) -> String {
        let mut taken = schemars::generate::SchemaSettings::draft2020_12()
            .with(|s| s.definitions_path = "/$defs/in".into())
            .into_generator();
        let mut given = schemars::generate::SchemaSettings::draft2020_12()
            .for_serialize()
            .with(|s| s.definitions_path = "/$defs/out".into())
            .into_generator();
        let methods: serde_json::Map<_, _> = self
            .methods()
            .map(|method| {
                let entry = serde_json::json!({
                    "summary": method.summary,
                    "scopes": method.scopes,
                    "idempotent": method.keyed,
                    "control": method.control,
                    "rate": method.rate(),
                    "params": keyed_schema(method, (method.params)(&mut taken)),
                    "result": (method.result)(&mut given),
                });
                (method.name.to_owned(), entry)
            })
            .collect();
        let events: serde_json::Map<_, _> = self
            .events
            .iter()
            .map(|event| {
                let payload = (event.payload)(&mut given);
                (event.name.to_owned(), serde_json::json!({ "critical": event.critical, "payload": payload }))
            })
            .collect();
        let document = serde_json::json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "Lockstep gateway protocol",
            "protocol": { "min": super::PROTOCOL, "max": super::PROTOCOL },
            "methods": methods,
            "events": events,
            "error": given.subschema_for::<Refusal>(),
            "$defs": { "in": taken.take_definitions(true), "out": given.take_definitions(true) },
        });
        document.to_string()
    }
}

/// The parameters' schema; with the key, where the method takes one.
fn keyed_schema(method: &Method, params: Schema) -> serde_json::Value {
    let params = params.to_value();
    if !method.keyed {
        return params;
    }
    serde_json::json!({
        "allOf": [params],
        "properties": { "idempotencyKey": { "type": "string", "minLength": 1, "maxLength": KEY_CHARS } },
    })
}

fn json(value: &impl Serialize) -> Box<RawValue> {
    to_raw_value(value).expect("results have text keys only")
}

/// Every event that this build sends. The order and names of the critical ones are the engine's.
fn events() -> Vec<EventKind> {
    let critical: [SchemaOf; Event::NAMES.len()] = [
        SchemaGenerator::subschema_for::<TradeIntent>,
        SchemaGenerator::subschema_for::<TradeExecuted>,
        SchemaGenerator::subschema_for::<TradeRejected>,
        SchemaGenerator::subschema_for::<TradeModified>,
        SchemaGenerator::subschema_for::<TradeCanceled>,
        SchemaGenerator::subschema_for::<TradeClosed>,
        SchemaGenerator::subschema_for::<OrderUpdated>,
        SchemaGenerator::subschema_for::<PositionUpdated>,
        SchemaGenerator::subschema_for::<RiskAlert>,
        SchemaGenerator::subschema_for::<EmergencyStopChanged>,
        SchemaGenerator::subschema_for::<AccountStatusChanged>,
        SchemaGenerator::subschema_for::<GatewayStatusChanged>,
    ];
    let critical =
        Event::NAMES.iter().zip(critical).map(|(name, payload)| EventKind { name, critical: true, payload });
    let others: [(_, SchemaOf); 3] = [
        (FEED_EVENT, SchemaGenerator::subschema_for::<FeedEventPayload>),
        (GAP_EVENT, SchemaGenerator::subschema_for::<Gap>),
        (TICK_EVENT, SchemaGenerator::subschema_for::<Tick>),
    ];
    let others = others.map(|(name, payload)| EventKind { name, critical: false, payload });
    critical.chain(others).collect()
}
