//! Where requests to venues outside of the machine leave the writer.

use crate::domain::message::VenueRequest;

/// The connectors, as the writer knows them.
pub(crate) trait Outlet: Send + Sync {
    /// Takes requests whose cause is durable, in their order. Never blocks.
    fn send(&self, requests: Vec<VenueRequest>);

    /// A commit failed and the machine went back: every session begins anew, and what was taken and is
    /// not on a wire yet is void.
    fn reset(&self, reason: &str);
}

/// No venues outside of the machine.
#[cfg(test)]
pub(crate) struct NoVenues;

#[cfg(test)]
impl Outlet for NoVenues {
    fn send(&self, requests: Vec<VenueRequest>) {
        assert!(requests.is_empty(), "there are paper accounts only");
    }

    fn reset(&self, _: &str) {}
}
