//! Links to venues behind a wire.
pub mod lines;
pub mod wire;
