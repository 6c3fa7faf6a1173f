//! The integration tests, as one binary: a module per topic.

mod backtest;
mod support;
mod tidy;
