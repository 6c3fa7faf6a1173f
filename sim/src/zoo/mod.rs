//! Planted faults: proof that the simulator finds bugs.
//!
//! Each is a patch of `sim/zoo` against the product's source, which wraps one spot in `if zoo!(N)`. All of
//! them are applied to one scratch tree, which is built once; N is chosen when the binary starts. The
//! product's own code knows nothing of it.

mod fault;
mod tree;

pub use fault::{Fault, Finding, only, pick};
pub use tree::Tree;

use std::{io, path::Path};

/// The environment variable in which the scratch binary reads which fault is in force.
pub const VARIABLE: &str = "LOCKSTEP_ZOO";

/// Why planted faults cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ZooError {
    #[error("{path}: {source}")]
    Io { path: String, source: io::Error },
    #[error("{patch}: {why}")]
    Patch { patch: String, why: String },
    #[error("there is no fault {number}: `sim/zoo` has {known}")]
    Unknown { number: u32, known: String },
    #[error("{patch} does not apply ({why}): make it anew against the source as it is")]
    DoesNotApply { patch: String, why: String },
    #[error("`git {command}`: {why}; the zoo needs git, and runs inside the repository")]
    Git { command: String, why: String },
    #[error("the patched tree in {tree} does not build: {why}")]
    Build { tree: String, why: String },
}

impl ZooError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| Self::Io { path: path.display().to_string(), source }
    }
}
