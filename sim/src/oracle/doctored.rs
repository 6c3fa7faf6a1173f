//! A good history passes every oracle; each doctored one is caught by the oracle it is meant for.
