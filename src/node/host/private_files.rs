//! Small files that only their owner reads, replaced whole.

use super::file_storage::{create_directory, sync_directory};
use crate::node::services::Files;
use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// Files of a directory. A write goes to a temporary file, which then takes the name: a crash leaves
/// the old content or the new.
#[derive(Debug, Clone)]
pub struct PrivateFiles {
    directory: PathBuf,
}

impl PrivateFiles {
    /// In that directory, which is created with the first file.
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// Takes a lock of that name, which holds until the file is dropped; `None` if another process has it.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn lock(&self, name: &str) -> io::Result<Option<File>> {
        create_directory(&self.directory)?;
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(self.directory.join(name))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl Files for PrivateFiles {
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.directory.join(name)) {
            Ok(content) => Ok(Some(content)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn write_private(&self, name: &str, content: &[u8]) -> io::Result<()> {
        create_directory(&self.directory)?;
        let temporary = self.directory.join(format!("{name}.new"));
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // created anew, so that the mode holds from its first byte on
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&temporary, self.directory.join(name))?;
        sync_directory(&self.directory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_replaced_whole_and_is_private() {
        let parent = tempfile::tempdir().expect("a directory");
        let files = PrivateFiles::new(&parent.path().join("data"));
        assert_eq!(files.read("tokens.json").expect("readable"), None);
        files.write_private("tokens.json", b"first, and longer").expect("written");
        files.write_private("tokens.json", b"second").expect("written");
        assert_eq!(files.read("tokens.json").expect("readable").as_deref(), Some(&b"second"[..]));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let path = parent.path().join("data/tokens.json");
            assert_eq!(fs::metadata(&path).expect("metadata").permissions().mode() & 0o777, 0o600);
            let directory = fs::metadata(parent.path().join("data")).expect("metadata");
            assert_eq!(directory.permissions().mode() & 0o777, 0o700);
        }
    }

    #[test]
    fn a_lock_is_held_once_and_as_long_as_its_file() {
        let parent = tempfile::tempdir().expect("a directory");
        let files = PrivateFiles::new(&parent.path().join("data"));
        let held = files.lock("tokens.lock").expect("the file can be made").expect("nobody has it");
        assert!(files.lock("tokens.lock").expect("the file is there").is_none());
        drop(held);
        assert!(files.lock("tokens.lock").expect("the file is there").is_some());
    }

    #[test]
    fn what_a_crash_left_behind_does_not_stand_in_the_way() {
        let parent = tempfile::tempdir().expect("a directory");
        fs::write(parent.path().join("operator.token.new"), "half").expect("written");
        let files = PrivateFiles::new(parent.path());
        files.write_private("operator.token", b"whole").expect("written");
        assert_eq!(files.read("operator.token").expect("readable").as_deref(), Some(&b"whole"[..]));
    }
}
