//! Where the real market data lie.

use std::path::{Path, PathBuf};

/// The folder of real market data: `$LOCKSTEP_DATA`, else `../shared/data` beside the repository.
/// Without it a test says that it skips and gets `None`; where `CI` is `true` it fails instead.
#[expect(clippy::disallowed_methods, reason = "where the data lie is the host's matter")]
pub fn data_folder(repository: &Path) -> Option<PathBuf> {
    let folder =
        std::env::var("LOCKSTEP_DATA").map_or_else(|_| repository.join("../shared/data"), PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    let missing = format!("no market data in {}: set LOCKSTEP_DATA", folder.display());
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{missing}");
    eprintln!("skipped: {missing}");
    None
}
