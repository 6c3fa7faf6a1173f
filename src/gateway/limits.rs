//! Every limit of the gateway in one place. A client is told them in `gateway.connect`'s `policy`.

use super::rates::Refill;
use schemars::JsonSchema;
use serde::Serialize;
use std::time::Duration;

/// Brackets and braces that may be open at once in a frame.
pub const NESTING: usize = 32;
/// Characters of a request's `id`.
pub const ID_CHARS: usize = 128;
/// Characters of an idempotency key.
pub const KEY_CHARS: usize = 64;
/// Ids per connection that may not be used again.
pub const RECENT_IDS: usize = 1_024;
/// Requests in flight beyond `requests_in_flight` that only the control methods may use.
pub const CONTROL_RESERVE: usize = 16;
/// Releases that a session may lie behind the hub.
pub const RELEASES: usize = 1_024;
/// Events that are read from the log at once when a session catches up.
pub const CATCH_UP_PAGE: usize = 500;
/// Bad frames within their window that close a connection.
pub const BAD_FRAMES: usize = 5;
/// The window of `BAD_FRAMES`.
pub const BAD_FRAME_WINDOW: Duration = Duration::from_secs(10);
/// Failed authentications of one address within their window after which unknown tokens wait.
pub const AUTH_FAILURES: usize = 10;
/// The window of `AUTH_FAILURES`.
pub const AUTH_FAILURE_WINDOW: Duration = Duration::from_secs(60);
/// How long unknown tokens of such an address wait.
pub const AUTH_PENALTY: Duration = Duration::from_secs(300);
/// Addresses whose failures are remembered; the oldest is forgotten.
pub const AUTH_ADDRESSES: usize = 4_096;
/// A request head must have arrived after this time.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// A peer has this long to take a close frame.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// All sessions have ended this long after the gateway began to close them.
pub const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);
/// A command that has no answer after this time is answered `TIMEOUT`.
pub const COMMAND_TIMEOUT: Duration = Duration::from_secs(5);
/// Subscriptions of one session.
pub const SUBSCRIPTIONS: usize = 64;
/// Entries of one of a subscription's filters.
pub const FILTER_ENTRIES: usize = 256;
/// Items of a page: default and greatest.
pub const PAGE_ITEMS: (usize, usize) = (100, 500);
/// Candles of one answer: default and greatest.
pub const CANDLES: (usize, usize) = (500, 5_000);
/// Events of one answer of the log: default and greatest.
pub const LOG_EVENTS: (usize, usize) = (500, 1_000);
/// Events of the log that one request looks at, whatever its filters let through.
pub const LOG_SCAN: usize = 5_000;
/// Event names of one filter of the log.
pub const LOG_TYPES: usize = 64;
/// Characters of a free text such as a reason or a client's name.
pub const TEXT_CHARS: usize = 500;

/// The limits that tests and small hosts narrow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a frame before `gateway.connect` succeeded.
    pub unauthenticated_frame_bytes: usize,
    /// Bytes of a frame after it, in either direction.
    pub frame_bytes: usize,
    /// Time to finish `gateway.connect`.
    pub connect_timeout: Duration,
    /// Sockets that have not connected yet, in all and per address.
    pub unauthenticated_sockets: usize,
    pub unauthenticated_sockets_per_address: usize,
    /// Requests that may wait for their answer on one connection.
    pub requests_in_flight: usize,
    /// Answers and critical events that may wait in a connection's outbound queue.
    pub outbound_frames: usize,
    pub outbound_bytes: usize,
    /// What may wait of each class of other events.
    pub outbound_feed_frames: usize,
    pub outbound_feed_bytes: usize,
    /// Requests of one connection: how many a second, and how many at once.
    pub requests_per_second: u32,
    pub requests_burst: u32,
    /// Calls of one method by one principal, of the methods that change more than a trade.
    pub control_writes_per_minute: u32,
    /// `event.gateway.tick` is sent this often.
    pub tick_interval: Duration,
    /// A WebSocket ping is sent this often.
    pub ping_interval: Duration,
    /// A peer that was silent for this long is dead.
    pub dead_after: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            unauthenticated_frame_bytes: 64 << 10,
            frame_bytes: 1 << 20,
            connect_timeout: Duration::from_secs(15),
            unauthenticated_sockets: 256,
            unauthenticated_sockets_per_address: 16,
            requests_in_flight: 64,
            outbound_frames: 8_192,
            outbound_bytes: 16 << 20,
            outbound_feed_frames: 4_096,
            outbound_feed_bytes: 4 << 20,
            requests_per_second: 50,
            requests_burst: 100,
            control_writes_per_minute: 30,
            tick_interval: Duration::from_secs(15),
            ping_interval: Duration::from_secs(20),
            dead_after: Duration::from_secs(60),
        }
    }
}

/// The limits as a client is told them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    pub max_frame_bytes: usize,
    pub max_nesting: usize,
    pub max_id_chars: usize,
    pub recent_ids: usize,
    pub max_requests_in_flight: usize,
    pub max_outbound_frames: usize,
    pub max_outbound_bytes: usize,
    pub max_outbound_feed_frames: usize,
    pub max_outbound_feed_bytes: usize,
    pub requests_per_second: u32,
    pub requests_burst: u32,
    pub control_writes_per_minute: u32,
    pub max_subscriptions: usize,
    pub max_page_items: usize,
    pub max_candles: usize,
    pub max_log_events: usize,
    pub tick_interval_ms: u64,
    pub ping_interval_ms: u64,
    pub dead_after_ms: u64,
    pub command_timeout_ms: u64,
}

impl Limits {
    /// The bucket of a connection's requests.
    pub const fn requests(&self) -> Refill {
        let (tokens, burst) = (self.requests_per_second, self.requests_burst);
        Refill { tokens, period: Duration::from_secs(1), burst }
    }

    /// The bucket of one method's control writes.
    pub const fn control_writes(&self) -> Refill {
        let tokens = self.control_writes_per_minute;
        Refill { tokens, period: Duration::from_secs(60), burst: tokens }
    }

    /// What `gateway.connect` answers.
    pub fn policy(&self) -> Policy {
        Policy {
            max_frame_bytes: self.frame_bytes,
            max_nesting: NESTING,
            max_id_chars: ID_CHARS,
            recent_ids: RECENT_IDS,
            max_requests_in_flight: self.requests_in_flight,
            max_outbound_frames: self.outbound_frames,
            max_outbound_bytes: self.outbound_bytes,
            max_outbound_feed_frames: self.outbound_feed_frames,
            max_outbound_feed_bytes: self.outbound_feed_bytes,
            requests_per_second: self.requests_per_second,
            requests_burst: self.requests_burst,
            control_writes_per_minute: self.control_writes_per_minute,
            max_subscriptions: SUBSCRIPTIONS,
            max_page_items: PAGE_ITEMS.1,
            max_candles: CANDLES.1,
            max_log_events: LOG_EVENTS.1,
            tick_interval_ms: millis(self.tick_interval),
            ping_interval_ms: millis(self.ping_interval),
            dead_after_ms: millis(self.dead_after),
            command_timeout_ms: millis(COMMAND_TIMEOUT),
        }
    }
}

/// Whole milliseconds, for an answer.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Nanoseconds, to be added to a monotonic instant.
pub fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Counts occurrences within a sliding window of monotonic nanoseconds.
#[derive(Debug, Clone, Default)]
pub struct Window {
    seen_ns: std::collections::VecDeque<u64>,
}

impl Window {
    /// Counts one more at `now_ns`; true if that makes `limit` or more within `window`.
    pub fn hit(&mut self, now_ns: u64, window: Duration, limit: usize) -> bool {
        let is_old = |seen: &u64| now_ns.saturating_sub(*seen) >= nanos(window);
        while self.seen_ns.front().is_some_and(is_old) {
            self.seen_ns.pop_front();
        }
        self.seen_ns.push_back(now_ns);
        if self.seen_ns.len() > limit {
            self.seen_ns.pop_front();
        }
        self.seen_ns.len() >= limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_forgets_what_is_older_than_it() {
        let second = 1_000_000_000;
        let mut window = Window::default();
        for at in 0..4 {
            assert!(!window.hit(at * 2 * second, BAD_FRAME_WINDOW, BAD_FRAMES));
        }
        assert!(window.hit(9 * second, BAD_FRAME_WINDOW, BAD_FRAMES), "five in nine seconds");
        assert!(!window.hit(13 * second, BAD_FRAME_WINDOW, BAD_FRAMES), "those of 0 s and 2 s are forgotten");
    }
}
