//! What several topics need: the real binary as a process, a client that knows only the wire, market data.

pub mod client;
mod data;
pub mod process;
pub mod recordings;

use std::{
    io::Read,
    path::{Path, PathBuf},
};

/// The folder of real market data, or `None` and a word that the test skips.
pub fn data_folder() -> Option<PathBuf> {
    data::data_folder(Path::new(env!("CARGO_MANIFEST_DIR")))
}

/// The text of a gzip file.
pub fn gunzip(path: &Path) -> String {
    let file = std::fs::File::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(file).read_to_string(&mut text).expect("a gzip file of text");
    text
}
