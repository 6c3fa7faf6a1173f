//! The gateway over a real loopback socket, asked by an independent WebSocket client.

mod connect;
mod conformance;
mod coverage;
mod feeds;
mod frames;
mod harness;
mod http;
mod resume;
mod rights;
mod risk;
mod trades;
