//! What lies between a process and its peers: byte streams that split, stall and break, and a record of
//! what the gateway wrote to its venues.
//!
//! Knows bytes and lines, and no type of the product.

mod chaos;
mod tap;

pub use chaos::Chaos;
pub use tap::Tap;
