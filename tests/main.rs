//! The integration tests, as one binary: a module per topic.

mod tidy;
