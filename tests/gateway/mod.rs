//! The gateway over a real loopback socket, asked by an independent WebSocket client.

mod accounts;
mod conformance;
mod connect;
mod coverage;
mod events;
mod feeds;
mod frames;
mod harness;
mod http;
mod idempotency;
mod outbound;
mod rates;
mod resume;
mod resume_proof;
mod rights;
mod risk;
mod trades;
