//! Who may hold a socket before it has proved anything, and what repeated failures cost.

use super::limits::{self, Limits, Window};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Counts sockets that have not authenticated, and failures, by address.
#[derive(Debug)]
pub struct Guard {
    state: Mutex<State>,
    max_sockets: usize,
    max_per_address: usize,
}

#[derive(Debug, Default)]
struct State {
    sockets: usize,
    per_address: BTreeMap<String, usize>,
    failures: BTreeMap<String, Failures>,
}

#[derive(Debug, Default)]
struct Failures {
    window: Window,
    last_ns: u64,
    wait_until_ns: u64,
}

/// A place among the sockets that have not authenticated. Dropping it frees the place.
#[derive(Debug)]
pub struct Place {
    guard: Arc<Guard>,
    address: String,
}

impl Guard {
    /// A guard with its bounds.
    pub fn new(limits: &Limits) -> Self {
        Self {
            state: Mutex::default(),
            max_sockets: limits.unauthenticated_sockets,
            max_per_address: limits.unauthenticated_sockets_per_address,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a new socket; `None` if there are too many, in all or from its address.
    pub fn admit(self: &Arc<Self>, address: &str) -> Option<Place> {
        let mut state = self.state();
        let here = state.per_address.get(address).copied().unwrap_or(0);
        if state.sockets >= self.max_sockets || here >= self.max_per_address {
            return None;
        }
        state.sockets += 1;
        state.per_address.insert(address.to_owned(), here + 1);
        Some(Place { guard: Arc::clone(self), address: address.to_owned() })
    }

    /// Nanoseconds that unknown tokens of this address still have to wait.
    pub fn wait_ns(&self, address: &str, now_ns: u64) -> Option<u64> {
        let state = self.state();
        let until = state.failures.get(address)?.wait_until_ns;
        until.checked_sub(now_ns).filter(|left| *left > 0)
    }

    /// A credential of this address was wrong.
    pub fn failed(&self, address: &str, now_ns: u64) {
        let mut state = self.state();
        if !state.failures.contains_key(address) && state.failures.len() >= limits::AUTH_ADDRESSES {
            let oldest = state.failures.iter().min_by_key(|(_, f)| f.last_ns).map(|(a, _)| a.clone());
            if let Some(oldest) = oldest {
                state.failures.remove(&oldest);
            }
        }
        let failures = state.failures.entry(address.to_owned()).or_default();
        failures.last_ns = now_ns;
        if failures.window.hit(now_ns, limits::AUTH_FAILURE_WINDOW, limits::AUTH_FAILURES) {
            failures.wait_until_ns = now_ns.saturating_add(limits::nanos(limits::AUTH_PENALTY));
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.guard.state();
        state.sockets = state.sockets.saturating_sub(1);
        match state.per_address.get_mut(&self.address) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                state.per_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn guard() -> Arc<Guard> {
        Arc::new(Guard::new(&Limits::default()))
    }

    #[test]
    fn sixteen_sockets_per_address_and_256_in_all() {
        let guard = guard();
        let mut places: Vec<_> = (0..16).filter_map(|_| guard.admit("10.0.0.1")).collect();
        assert_eq!(places.len(), 16);
        assert!(guard.admit("10.0.0.1").is_none());
        for host in 2..=16 {
            places.extend((0..16).filter_map(|_| guard.admit(&format!("10.0.0.{host}"))));
        }
        assert_eq!(places.len(), 256);
        assert!(guard.admit("10.0.1.1").is_none(), "256 in all");
        places.truncate(15);
        assert!(guard.admit("10.0.0.1").is_some(), "a freed place can be taken again");
        drop(places);
        assert!(guard.state().per_address.is_empty());
    }

    #[test]
    fn ten_failures_in_a_minute_make_unknown_tokens_wait_five_minutes() {
        let guard = guard();
        for n in 0..9 {
            guard.failed("a", n * SECOND);
        }
        assert_eq!(guard.wait_ns("a", 9 * SECOND), None);
        guard.failed("a", 9 * SECOND);
        assert_eq!(guard.wait_ns("a", 9 * SECOND), Some(300 * SECOND));
        assert_eq!(guard.wait_ns("b", 9 * SECOND), None, "another address is not concerned");
        assert_eq!(guard.wait_ns("a", 309 * SECOND), None);
    }

    #[test]
    fn remembered_addresses_are_bounded() {
        let guard = guard();
        for n in 0..limits::AUTH_ADDRESSES as u64 + 10 {
            guard.failed(&n.to_string(), n);
        }
        assert_eq!(guard.state().failures.len(), limits::AUTH_ADDRESSES);
    }
}
