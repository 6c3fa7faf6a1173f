//! Gateways and venues as they meet: real processes, real sockets, and venues that are not ours.

mod broker;
mod doctored;
mod harness;
mod kills;
mod python;
mod raw;
mod venue;
