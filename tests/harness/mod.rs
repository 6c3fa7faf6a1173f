//! What tests over the real binary share: the process, and a client that knows only the wire.

pub mod client;
pub mod process;

use std::path::PathBuf;

/// The file of real market data, or `None` with a word on standard error where data may be missing.
///
/// # Panics
/// Where `CI=true`: there the data must be present.
pub fn market_data(name: &str) -> Option<PathBuf> {
    let folder = std::env::var("LOCKSTEP_DATA")
        .map(PathBuf::from)
        .unwrap_or_else(|_| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data"));
    let file = folder.join(name);
    if file.exists() {
        return Some(file);
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{} is missing", file.display());
    eprintln!("skipped: {} is missing; set LOCKSTEP_DATA to the folder that has it", file.display());
    None
}
