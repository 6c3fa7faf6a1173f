//! Which pages and host names may talk to the gateway (GW06): a browser states the page's origin, and
//! a name that was rebound to this address shows in `Host`.

use axum::http::{HeaderMap, header};
use std::collections::BTreeSet;

/// Allowed origins, and with them the allowed hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowlist {
    /// (scheme, host, port)
    origins: BTreeSet<(String, String, u16)>,
    hosts: BTreeSet<(String, u16)>,
}

/// An entry of a configured list is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an origin such as `https://desk.example.com`, or not a host such as `gateway.local`")]
pub struct OriginError(pub String);

impl Allowlist {
    /// The address that the gateway listens on, this machine's own names with that port, and what is
    /// configured. A configured host without a port may be reached at the bound port or at 80.
    pub fn new(bind: &str, origins: &[String], hosts: &[String]) -> Result<Self, OriginError> {
        let mut list = Self { origins: BTreeSet::new(), hosts: BTreeSet::new() };
        let (host, port) = split(bind, 80).ok_or_else(|| OriginError(bind.to_owned()))?;
        for host in [host.as_str(), "localhost", "127.0.0.1", "[::1]"] {
            list.add("http", host, port);
        }
        for entry in origins {
            let (scheme, host, port) = origin(entry).ok_or_else(|| OriginError(entry.clone()))?;
            list.add(&scheme, &host, port);
        }
        for entry in hosts {
            for default in [port, 80] {
                list.hosts.insert(split(entry, default).ok_or_else(|| OriginError(entry.clone()))?);
            }
        }
        Ok(list)
    }

    fn add(&mut self, scheme: &str, host: &str, port: u16) {
        self.origins.insert((scheme.to_owned(), host.to_owned(), port));
        self.hosts.insert((host.to_owned(), port));
        if (scheme, port) == ("https", 443) {
            // behind a proxy that ends TLS, `Host` states no port
            self.hosts.insert((host.to_owned(), 80));
        }
    }

    /// Whether a request with these headers may go on. Programs send no `Origin`; browsers always do.
    pub fn allows(&self, headers: &HeaderMap) -> bool {
        let host = single(headers, header::HOST).and_then(|host| split(host?, 80));
        let host_ok = host.is_some_and(|host| self.hosts.contains(&host));
        let origin_ok = match single(headers, header::ORIGIN) {
            Some(None) => true,
            Some(Some(text)) => origin(text).is_some_and(|origin| self.origins.contains(&origin)),
            None => false,
        };
        host_ok && origin_ok
    }
}

/// The header's only value: `Some(None)` without one, `None` if it is repeated or not text.
fn single(headers: &HeaderMap, name: header::HeaderName) -> Option<Option<&str>> {
    let mut values = headers.get_all(name).iter();
    let Some(first) = values.next() else { return Some(None) };
    if values.next().is_some() { None } else { first.to_str().ok().map(Some) }
}

fn origin(text: &str) -> Option<(String, String, u16)> {
    let (scheme, rest) = text.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let default = match scheme.as_str() {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    let (host, port) = split(rest.strip_suffix('/').unwrap_or(rest), default)?;
    Some((scheme, host, port))
}

/// Host and port; a bracketed address keeps its brackets.
fn split(text: &str, default: u16) -> Option<(String, u16)> {
    let end = if text.starts_with('[') { text.find(']')? + 1 } else { text.find(':').unwrap_or(text.len()) };
    let (host, rest) = text.split_at(end);
    let port = match rest.strip_prefix(':') {
        Some(port) => port.parse().ok()?,
        None if rest.is_empty() => default,
        None => return None,
    };
    let plain = host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_[]:".contains(&b));
    (!host.is_empty() && plain).then(|| (host.to_ascii_lowercase(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(host: Option<&str>, origin: Option<&str>, allowed: bool) {
        let origins = ["https://Desk.example.com".into()];
        let list = Allowlist::new("127.0.0.1:18789", &origins, &["gateway.local".into()]).expect("a list");
        let mut headers = HeaderMap::new();
        for (name, value) in [(header::HOST, host), (header::ORIGIN, origin)] {
            if let Some(value) = value {
                headers.insert(name, value.parse().expect("a header value"));
            }
        }
        assert_eq!(list.allows(&headers), allowed, "Host {host:?}, Origin {origin:?}");
    }

    #[test]
    fn gw06_origin_and_host_must_be_on_the_list() {
        let own = Some("127.0.0.1:18789");
        check(own, None, true);
        check(Some("LOCALHOST:18789"), Some("http://localhost:18789"), true);
        check(Some("[::1]:18789"), Some("http://127.0.0.1:18789"), true);
        check(Some("desk.example.com"), Some("https://desk.example.com"), true);
        check(Some("desk.example.com:443"), Some("https://desk.example.com"), true);
        check(Some("gateway.local:18789"), None, true);
        check(Some("gateway.local"), None, true);
        check(Some("gateway.local:8080"), None, false);
        check(Some("gateway.local"), Some("http://gateway.local"), false);
        check(None, None, false);
        check(Some("127.0.0.1"), None, false);
        check(Some("evil.example.com:18789"), None, false);
        check(Some("localhost:18789@evil.example.com"), None, false);
        check(own, Some("null"), false);
        check(own, Some(""), false);
        check(own, Some("http://evil.example.com"), false);
        check(own, Some("https://localhost:18789"), false);
        check(own, Some("http://localhost"), false);
        check(own, Some("http://localhost:18789.evil.example.com"), false);
        check(own, Some("file://localhost:18789"), false);
    }

    #[test]
    fn repeated_headers_are_refused() {
        let list = Allowlist::new("127.0.0.1:18789", &[], &[]).expect("a list");
        let mut headers = HeaderMap::new();
        headers.append(header::HOST, "127.0.0.1:18789".parse().expect("a value"));
        headers.append(header::ORIGIN, "http://localhost:18789".parse().expect("a value"));
        assert!(list.allows(&headers));
        headers.append(header::ORIGIN, "http://evil.example.com".parse().expect("a value"));
        assert!(!list.allows(&headers));
    }

    #[test]
    fn a_configured_entry_must_be_an_origin() {
        for entry in ["desk.example.com", "ftp://x", "https://", "https://a:b", "https://a/b"] {
            assert!(Allowlist::new("127.0.0.1:1", &[entry.into()], &[]).is_err(), "{entry}");
        }
    }
}
