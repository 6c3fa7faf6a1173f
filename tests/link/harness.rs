//! A gateway with accounts at venues.

use crate::support::{client::Client, process::Gateway};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

const PATIENCE: Duration = Duration::from_secs(20);

/// An account at a venue.
pub struct At<'a> {
    pub id: &'a str,
    pub address: &'a str,
    pub login: &'a str,
    pub token: &'a str,
}

/// A folder with a configuration of such accounts, and a data directory.
pub struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder") }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes the gateway's configuration; the tokens come from nowhere else.
    pub fn configure(&self, accounts: &[At<'_>]) -> PathBuf {
        let tables: Vec<String> = accounts
            .iter()
            .map(|at| {
                format!(
                    "[[accounts]]\nid = \"{}\"\nconnector = \"venue\"\nmode = \"demo\"\naddress = \"{}\"\n\
                     login = \"{}\"\ntoken = \"{}\"\n",
                    at.id, at.address, at.login, at.token
                )
            })
            .collect();
        let file = self.path("lockstep.toml");
        let rates =
            "[gateway]\ntrades_per_second = 100000\ntrades_burst = 100000\nrequests_per_second = 100000\n\n";
        fs::write(&file, format!("{rates}{}", tables.join("\n"))).expect("a writable folder");
        file
    }

    /// Starts the gateway.
    pub fn gateway(&self, config: &Path, args: &[&str]) -> Gateway {
        let config = config.to_str().expect("a UTF-8 path");
        Gateway::start(&self.path("gateway"), &[&["--config", config], args].concat())
    }
}

/// Waits until the account's link has this status; returns what `accounts.status` says.
pub async fn await_status(client: &mut Client, account: &str, status: &str) -> Value {
    let mut last = Value::Null;
    for _ in 0..PATIENCE.as_millis() / 20 {
        last = client.call("accounts.status", json!({ "accountId": account })).await.expect("a status");
        if last["status"] == status {
            return last;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{account} is not {status} but {last}");
}

/// Waits until an order has this status; returns the order.
pub async fn await_order(client: &mut Client, account: &str, order: &str, status: &str) -> Value {
    let mut last = Value::Null;
    for _ in 0..PATIENCE.as_millis() / 20 {
        let params = json!({ "accountId": account, "orderId": order });
        last = client.call("trades.get", params).await.expect("an order");
        if last["order"]["status"] == status {
            return last["order"].clone();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{order} is not {status} but {last}");
}

/// Places an order of BTCUSD, whose market never closes.
pub async fn place(client: &mut Client, account: &str, name: &str, limit: Option<&str>) -> Value {
    let mut params = json!({
        "accountId": account, "symbol": "BTCUSD", "side": "buy", "type": "market", "volume": "0.02",
        "clientOrderId": name, "idempotencyKey": name,
    });
    if let Some(price) = limit {
        params["type"] = json!("limit");
        params["price"] = json!(price);
    }
    client.call("trades.place", params).await.unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// What the gateway believes of the account.
pub async fn account(client: &mut Client, id: &str) -> Value {
    client.call("accounts.get", json!({ "accountId": id })).await.expect("an account")
}
