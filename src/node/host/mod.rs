//! The production host: tokio, a directory of files, the operating system's clock and randomness.
//!
//! The only place of the library that reads a clock or draws a random number.

mod file_storage;
mod private_files;
mod tokio_runtime;

pub use file_storage::FileStorage;
pub use private_files::PrivateFiles;
pub use tokio_runtime::TokioRuntime;
