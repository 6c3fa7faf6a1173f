//! The gateway over a real loopback socket, asked by an independent WebSocket client.

mod conformance;
mod connect;
mod coverage;
mod events;
mod feeds;
mod frames;
mod harness;
mod http;
mod outbound;
mod rates;
mod resume;
mod rights;
mod risk;
mod trades;
