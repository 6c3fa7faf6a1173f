//! The integration tests, as one binary: a module per topic.
#![allow(clippy::disallowed_methods, reason = "tests are hosts: they have clocks, threads and tasks")]

mod backtest;
mod calendars;
mod dt04;
mod gateway;
mod link;
mod process;
mod protocol_document;
mod rules;
mod support;
mod tidy;
