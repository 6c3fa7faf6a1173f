//! `lockstep replay` on real files: exit codes, and that it leaves a directory as it was.

use super::driver::{Driver, EPOCH, script};
use crate::node::{
    host::FileStorage,
    journal::{Journal, JournalError, JournalOptions, ReplayCommand, run_replay, segment, verify},
};
use std::{fs, path::Path, sync::Arc};

fn write_journal(directory: &Path) -> Driver {
    let options = JournalOptions { snapshot_interval: 60 };
    let opened =
        Journal::open(Arc::new(FileStorage::new(directory)), EPOCH, options).expect("the journal opens");
    let mut driver = Driver::new(opened);
    driver.run(&script(), 16);
    driver
}

fn replay(directory: &Path) -> u8 {
    let [words, json] =
        [false, true].map(|json| run_replay(&ReplayCommand { data_dir: directory.to_owned(), json }));
    assert_eq!(words, json);
    words
}

fn contents(directory: &Path) -> Vec<(std::ffi::OsString, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(directory)
        .expect("a directory")
        .map(|entry| entry.expect("an entry"))
        .map(|entry| (entry.file_name(), fs::read(entry.path()).expect("readable")))
        .collect();
    files.sort();
    files
}

#[test]
fn dt03_a_sound_journal_replays_and_is_left_as_it_was() {
    let directory = tempfile::tempdir().expect("a directory");
    let driver = write_journal(directory.path());
    assert_eq!(replay(directory.path()), 1, "a gateway uses it");
    drop(driver);
    let before = contents(directory.path());
    assert_eq!(replay(directory.path()), 0);
    assert_eq!(contents(directory.path()), before);
}

#[test]
fn a_flipped_byte_of_a_record_exits_3() {
    let directory = tempfile::tempdir().expect("a directory");
    drop(write_journal(directory.path()));
    let path = directory.path().join(segment::name_of(1));
    let mut bytes = fs::read(&path).expect("readable");
    let text = b"\"script-4\"";
    let places: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(text)).collect();
    assert!(!places.is_empty(), "the command is stored as it was given");
    for place in places {
        bytes[place + 8] = b'5';
    }
    fs::write(&path, bytes).expect("written");
    assert_eq!(replay(directory.path()), 3);
    let error = verify(Arc::new(FileStorage::new(directory.path()))).expect_err("a byte is wrong");
    assert!(
        matches!(error, JournalError::Record { offset: 4, .. }),
        "before the event that repeats it: {error}"
    );
}

#[test]
fn what_is_no_journal_exits_1_and_nothing_is_created() {
    let parent = tempfile::tempdir().expect("a directory");
    let missing = parent.path().join("missing");
    assert_eq!(replay(&missing), 1);
    assert!(!missing.exists());

    let empty = parent.path().join("empty");
    fs::create_dir(&empty).expect("created");
    assert_eq!(replay(&empty), 1);
    assert_eq!(contents(&empty), []);

    let file = parent.path().join("file");
    fs::write(&file, "text").expect("written");
    assert_eq!(replay(&file), 1);

    for (number, content) in [&b""[..], b"text", &[0; 10_000]].into_iter().enumerate() {
        let damaged = parent.path().join(format!("damaged-{number}"));
        fs::create_dir(&damaged).expect("created");
        fs::write(damaged.join(segment::name_of(1)), content).expect("written");
        let before = contents(&damaged);
        assert_eq!(replay(&damaged), 1);
        assert_eq!(contents(&damaged), before);
    }

    let directory_as_file = parent.path().join("nested");
    fs::create_dir_all(directory_as_file.join(segment::name_of(1))).expect("created");
    assert_eq!(replay(&directory_as_file), 1);
}
