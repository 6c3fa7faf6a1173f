//! `[gateway]`.

use super::{error::ConfigError, table::Table, whole};
use std::{net::IpAddr, time::Duration};

/// Where and how the gateway listens. Unset limits are the gateway's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewaySection {
    /// `host:port`; port 0 lets the host choose.
    pub bind: String,
    /// Allows a bind beyond the loopback interface although there is no TLS.
    pub insecure: bool,
    /// Origins of browsers besides the gateway's own.
    pub allowed_origins: Vec<String>,
    /// Names in `Host` besides the bind address and `localhost`.
    pub allowed_hosts: Vec<String>,
    /// Sockets that have not yet said who they are: in all, and per address.
    pub unauthenticated_sockets: Option<usize>,
    pub unauthenticated_sockets_per_address: Option<usize>,
    /// Time for saying so.
    pub connect_timeout: Option<Duration>,
    /// Requests of one connection that may wait for their answer.
    pub requests_in_flight: Option<usize>,
    /// Answers and critical events that may wait for a client that reads slowly.
    pub outbound_frames: Option<usize>,
    /// Other events that may wait for it, per class.
    pub outbound_feed_frames: Option<usize>,
    /// Trade requests of one account that add risk: how many a second, and how many at once.
    pub trades_per_second: Option<u32>,
    pub trades_burst: Option<u32>,
    /// Requests of one connection: how many a second, and how many at once.
    pub requests_per_second: Option<u32>,
    pub requests_burst: Option<u32>,
    /// Calls of one method by one principal, of the methods that change more than a trade.
    pub control_writes_per_minute: Option<u32>,
    pub tick_interval: Option<Duration>,
    pub ping_interval: Option<Duration>,
    pub dead_after: Option<Duration>,
}

impl Default for GatewaySection {
    fn default() -> Self {
        Self {
            bind: "127.0.0.1:18789".into(),
            insecure: false,
            allowed_origins: Vec::new(),
            allowed_hosts: Vec::new(),
            unauthenticated_sockets: None,
            unauthenticated_sockets_per_address: None,
            connect_timeout: None,
            requests_in_flight: None,
            outbound_frames: None,
            outbound_feed_frames: None,
            trades_per_second: None,
            trades_burst: None,
            requests_per_second: None,
            requests_burst: None,
            control_writes_per_minute: None,
            tick_interval: None,
            ping_interval: None,
            dead_after: None,
        }
    }
}

pub(super) fn read(table: &Table<'_>) -> Result<GatewaySection, ConfigError> {
    let default = GatewaySection::default();
    let bind = table.text("bind", "an address such as \"127.0.0.1:18789\"", |text| {
        split_address(text).map(|_| text.to_owned())
    })?;
    let milliseconds = |key| {
        let value: Option<u64> = whole(table, key, 100, 3_600_000)?;
        Ok::<_, ConfigError>(value.map(Duration::from_millis))
    };
    Ok(GatewaySection {
        bind: bind.unwrap_or(default.bind),
        insecure: table.flag("insecure")?.unwrap_or(false),
        allowed_origins: table.texts(
            "allowed_origins",
            "an origin such as \"https://example.org\"",
            |text| {
                let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))?;
                (!rest.is_empty() && !rest.contains('/')).then(|| text.to_owned())
            },
        )?,
        allowed_hosts: table.texts("allowed_hosts", "a host such as \"gateway.local\"", |text| {
            (!text.is_empty() && !text.contains('/')).then(|| text.to_owned())
        })?,
        unauthenticated_sockets: whole(table, "unauthenticated_sockets", 1, 65_536)?,
        unauthenticated_sockets_per_address: whole(table, "unauthenticated_sockets_per_address", 1, 65_536)?,
        connect_timeout: milliseconds("connect_timeout_ms")?,
        requests_in_flight: whole(table, "requests_in_flight", 1, 4_096)?,
        outbound_frames: whole(table, "outbound_frames", 16, 1_000_000)?,
        outbound_feed_frames: whole(table, "outbound_feed_frames", 16, 1_000_000)?,
        trades_per_second: whole(table, "trades_per_second", 1, 1_000_000)?,
        trades_burst: whole(table, "trades_burst", 1, 1_000_000)?,
        requests_per_second: whole(table, "requests_per_second", 1, 1_000_000)?,
        requests_burst: whole(table, "requests_burst", 1, 1_000_000)?,
        control_writes_per_minute: whole(table, "control_writes_per_minute", 1, 1_000_000)?,
        tick_interval: milliseconds("tick_interval_ms")?,
        ping_interval: milliseconds("ping_interval_ms")?,
        dead_after: milliseconds("dead_after_ms")?,
    })
}

/// Host and port of `host:port`; an IPv6 address stands in brackets.
pub(super) fn split_address(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let host = host.strip_prefix('[').map_or(Some(host), |inner| inner.strip_suffix(']'))?;
    (!host.is_empty()).then_some((host, port.parse().ok()?))
}

impl GatewaySection {
    /// Whether only this machine can reach the bind address.
    pub fn is_loopback(&self) -> bool {
        split_address(&self.bind).is_some_and(|(host, _)| {
            host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
        })
    }

    /// Whether the bind address is one.
    pub fn has_valid_bind(&self) -> bool {
        split_address(&self.bind).is_some()
    }
}
