//! Databases as files of one directory.

use crate::node::services::Storage;
use redb::{StorageBackend, backends::FileBackend};
use std::{
    fs::{self, OpenOptions},
    io,
    path::{Path, PathBuf},
};

const EXTENSION: &str = "redb";

/// The databases of a directory. redb locks each file that it opens, so that a second process is
/// told that the database is in use.
#[derive(Debug, Clone)]
pub struct FileStorage {
    directory: PathBuf,
}

impl FileStorage {
    /// In that directory, which is created with the first database.
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }
}

impl Storage for FileStorage {
    fn list(&self) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut names = Vec::new();
        for entry in entries {
            let name = entry?.file_name();
            if let Some(name) =
                name.to_str().filter(|n| Path::new(n).extension().is_some_and(|e| e == EXTENSION))
            {
                names.push(name.to_owned());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn StorageBackend>> {
        create_directory(&self.directory)?;
        let path = self.directory.join(name);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let existed = path.exists();
        let file = options.open(&path)?;
        if !existed {
            sync_directory(&self.directory)?;
        }
        FileBackend::new(file).map(|backend| Box::new(backend) as _).map_err(io::Error::other)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.directory.join(name))?;
        sync_directory(&self.directory)
    }
}

/// Creates the directory for its owner alone.
pub(super) fn create_directory(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)
}

/// Makes created, renamed and removed names durable.
pub(super) fn sync_directory(directory: &Path) -> io::Result<()> {
    if cfg!(unix) { fs::File::open(directory)?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_directory_has_no_databases_and_is_not_created_by_listing() {
        let parent = tempfile::tempdir().expect("a directory");
        let storage = FileStorage::new(&parent.path().join("data"));
        assert_eq!(storage.list().expect("a list"), Vec::<String>::new());
        assert!(!parent.path().join("data").exists());
    }

    #[test]
    fn databases_are_listed_in_order_and_other_files_are_not() {
        let parent = tempfile::tempdir().expect("a directory");
        let storage = FileStorage::new(parent.path());
        for name in ["b.redb", "a.redb"] {
            drop(storage.open(name).expect("a database"));
        }
        fs::write(parent.path().join("operator.token"), "secret").expect("a file");
        assert_eq!(storage.list().expect("a list"), ["a.redb", "b.redb"]);
        storage.remove("a.redb").expect("removed");
        assert_eq!(storage.list().expect("a list"), ["b.redb"]);
    }
}
