//! What lies between a process and its peers: byte streams that split, stall and break, a relay that
//! loses and repeats frames, and a record of what the gateway wrote to its venues.
//!
//! Knows bytes and lines, and no type of the product.

mod chaos;
mod relay;
mod tap;
mod window;

pub use chaos::Chaos;
pub use relay::Relay;
pub use tap::Tap;
pub use window::{Windowed, Windows};
