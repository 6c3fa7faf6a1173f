//! The simulated broker: matches orders against quotes, keeps positions and money, stops out.
//!
//! May import `core` and `domain`. It never knows who gives orders or why, nor any limit of the
//! operator: it is the other side. Requests in, reports out; the engine cannot tell it from a
//! broker behind a wire.

mod account;
mod bars;
mod broker;
mod deadlines;
mod fills;
mod groups;
mod matching;
mod modify;
mod orders;
mod played;
mod triggers;

pub use bars::BarLeg;
pub use broker::{QuoteKind, Venue, VenueOut};
pub use deadlines::VenueDeadline;
