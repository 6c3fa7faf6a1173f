//! The methods, one file per namespace: parameters in the wire's shape, turned into commands and
//! questions. Nothing is decided here that the machine could decide.

mod accounts;
mod connect_params;
mod events;
mod feeds;
mod gateway;
mod page;
mod risk;
mod trades;

use super::registry::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// All methods of this build.
pub fn all() -> Vec<Method> {
    [
        gateway::methods(),
        accounts::methods(),
        feeds::methods(),
        trades::methods(),
        risk::methods(),
        events::methods(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// No parameters.
#[derive(Debug, Deserialize, JsonSchema)]
struct NoParams {}

/// A snapshot and the place in the log at which it is true.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct At<T> {
    #[serde(flatten)]
    snapshot: T,
    cursor: crate::node::journal::Cursor,
}
