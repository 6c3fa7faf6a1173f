//! What several topics need: the real binary as a process, a client that knows only the wire, market data.

pub mod client;
pub mod process;

use std::{
    io::Read,
    path::{Path, PathBuf},
};

/// The folder of real market data: `$LOCKSTEP_DATA`, else `../shared/data` beside the repository.
/// Without it a test says that it skips and gets `None`; where `CI` is `true` it fails instead.
#[expect(clippy::disallowed_methods, reason = "where the data lie is the host's matter")]
pub fn data_folder() -> Option<PathBuf> {
    let folder = std::env::var("LOCKSTEP_DATA")
        .map_or_else(|_| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"), PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    let missing = format!("no market data in {}: set LOCKSTEP_DATA", folder.display());
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{missing}");
    eprintln!("skipped: {missing}");
    None
}

/// The text of a gzip file.
pub fn gunzip(path: &Path) -> String {
    let file = std::fs::File::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(file).read_to_string(&mut text).expect("a gzip file of text");
    text
}
