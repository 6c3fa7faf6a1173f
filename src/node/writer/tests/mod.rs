//! Tests of the writer on tokio, with a storage in memory that can break.

mod bench;
mod commits;
mod replay;
