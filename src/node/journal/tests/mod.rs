//! Tests of the journal on a storage in memory.
