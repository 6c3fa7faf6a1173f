//! Links to venues behind a wire.
pub mod lines;
mod outgoing;
pub mod wire;
