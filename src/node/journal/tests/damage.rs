//! Bits that flip at rest: noticed wherever they count, and records are named by their offset.

use super::{
    driver::{self, Driver, script},
    memory::Memory,
};
use crate::{
    machine::Machine,
    node::{
        journal::{
            ENGINE_VERSION, Epoch, Journal, JournalError, JournalOptions, ReplayReport,
            index::ORDERS,
            record::{self, Link},
            row,
            segment::{self, CANDLES, EVENTS, META, RECORDS, SNAPSHOT, open_database},
            verify,
        },
        services::Storage,
    },
};
use redb::{Key, ReadableTable, TableDefinition};
use std::sync::Arc;

fn journal(interval: u64) -> Memory {
    let storage = Memory::default();
    Driver::open(&storage, interval).run(&script(), 16);
    storage
}

fn check(storage: &Memory) -> Result<ReplayReport, JournalError> {
    verify(Arc::new(storage.clone()))
}

/// Rewrites one row of a table through redb, as a flip that its own checksums would not notice.
fn rewrite<K: Key + 'static>(
    storage: &Memory,
    file: &str,
    table: TableDefinition<K, &'static [u8]>,
    row: usize,
    change: impl FnOnce(&mut Vec<u8>),
) {
    let database = open_database(storage, file).expect("opens");
    let tx = database.begin_write().expect("a transaction");
    {
        let mut table = tx.open_table(table).expect("a table");
        let mut bytes = {
            let (_, value) = table.iter().expect("rows").nth(row).expect("that row").expect("readable");
            value.value().to_vec()
        };
        change(&mut bytes);
        let mut rows = table.extract_if(|_, _| true).expect("rows");
        let mut kept = Vec::new();
        for (number, found) in rows.by_ref().enumerate() {
            let (key, value) = found.expect("readable");
            kept.push((
                K::as_bytes(&key.value()).as_ref().to_vec(),
                if number == row { bytes.clone() } else { value.value().to_vec() },
            ));
        }
        drop(rows);
        for (key, value) in kept {
            table.insert(K::from_bytes(&key), value.as_slice()).expect("inserted");
        }
    }
    tx.commit().expect("committed");
}

#[test]
fn a_flip_anywhere_in_a_record_is_named_by_its_offset() {
    let sound = journal(u64::MAX);
    let file = segment::name_of(1);
    for offset in [1_u64, 2, 3, 100, script().len() as u64] {
        let mut length = 0;
        rewrite(&sound.after_kill(), &file, RECORDS, offset as usize - 1, |bytes| length = bytes.len());
        for at in (0..length).step_by(length.div_ceil(24)) {
            let storage = sound.after_kill();
            rewrite(&storage, &file, RECORDS, offset as usize - 1, |bytes| bytes[at] ^= 1 << (at % 8));
            let error = check(&storage).expect_err("a bit is wrong");
            assert_eq!(error.offset(), Some(offset), "byte {at}: {error}");
            assert!(error.is_integrity() && error.to_string().contains(&format!("journal record {offset} ")));
            let error = driver::open(&storage, u64::MAX).expect_err("recovery replays it too");
            assert_eq!(error.offset(), Some(offset), "byte {at}: {error}");
        }
    }
}

#[test]
fn a_flip_in_the_file_where_a_record_lies_is_named_closed_or_killed() {
    let file = segment::name_of(1);
    let storage = Memory::default();
    let mut driver = Driver::open(&storage, u64::MAX);
    driver.run(&script(), 16);
    let killed = storage.after_kill();
    drop(driver);
    let last = script().len() as u64;
    for (sound, offset) in [(&storage, 100), (&storage, last), (&killed, 100), (&killed, last)] {
        let mut row = Vec::new();
        rewrite(&sound.after_kill(), &file, RECORDS, offset as usize - 1, |bytes| row = bytes.clone());
        let image = sound.bytes(&file);
        // a page that was rewritten leaves its older copy behind
        let places: Vec<usize> = (0..image.len()).filter(|at| image[*at..].starts_with(&row)).collect();
        assert!(!places.is_empty(), "the record lies in the file");
        for at in (0..row.len()).step_by(7) {
            let damaged = sound.after_kill();
            let mut bytes = image.clone();
            for place in &places {
                bytes[place + at] ^= 0x10;
            }
            damaged.put(&file, bytes);
            let error = check(&damaged).expect_err("a bit is wrong");
            assert_eq!(error.offset(), Some(offset), "byte {at}: {error}");
            assert!(error.is_integrity());
        }
    }
}

#[test]
fn a_flip_in_any_other_row_is_noticed() {
    let sound = journal(50);
    let first = segment::name_of(1);
    let second = segment::name_of(65); // the snapshot is of record 50, the commit it came in ends at 64
    let flip = |bytes: &mut Vec<u8>| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    };
    type Damage<'a> = (&'a str, Box<dyn Fn(&Memory) + 'a>);
    let cases: [Damage; 6] = [
        ("event 4 (of journal record 4)", Box::new(|s| rewrite(s, &first, EVENTS, 3, flip))),
        ("candle", Box::new(|s| rewrite(s, &first, CANDLES, 1, flip))),
        ("the snapshot (of journal record 50)", Box::new(|s| rewrite(s, &second, SNAPSHOT, 0, flip))),
        ("header of journal-00000000000000000065", Box::new(|s| rewrite(s, &second, META, 1, flip))),
        ("index.redb", Box::new(|s| rewrite(s, "index.redb", META, 0, flip))),
        ("index.redb", Box::new(|s| rewrite(s, "index.redb", ORDERS, 2, flip))),
    ];
    for (named, damage) in cases {
        let storage = sound.after_kill();
        damage(&storage);
        let error = check(&storage).expect_err(named);
        assert!(error.to_string().contains(named), "{named}: {error}");
        assert!(error.is_integrity(), "{named}");
    }
}

#[test]
fn rows_that_are_gone_are_noticed() {
    let sound = journal(u64::MAX);
    let file = segment::name_of(1);
    let without = |table: TableDefinition<u64, &'static [u8]>, key: u64| {
        let storage = sound.after_kill();
        let database = open_database(&storage, &file).expect("opens");
        let tx = database.begin_write().expect("a transaction");
        tx.open_table(table).expect("a table").remove(key).expect("removed");
        tx.commit().expect("committed");
        drop(database);
        check(&storage).expect_err("a row is gone")
    };
    assert_eq!(without(RECORDS, 77).offset(), Some(77));
    assert!(without(EVENTS, 5).to_string().contains("event 5"));
    let last = check(&sound).expect("sound").event_head;
    assert!(without(EVENTS, last).to_string().contains("event"), "the last one");
}

#[test]
fn a_damaged_snapshot_is_passed_over_by_recovery() {
    let storage = journal(50);
    let newest = storage.list().expect("names").pop().expect("a segment");
    rewrite(&storage, &newest, SNAPSHOT, 0, |bytes| bytes[60] ^= 1);
    let opened = driver::open(&storage, 50).expect("an older snapshot serves");
    assert_eq!(opened.report.skipped_snapshots.len(), 1, "{:?}", opened.report);
    assert!(opened.report.snapshot_offset > 0 && opened.report.replayed > 50);
}

#[test]
fn outputs_that_the_machine_does_not_make_are_named() {
    let sound = journal(u64::MAX);
    let file = segment::name_of(1);
    for (engine, wrong_at) in [(ENGINE_VERSION, 60), ("0.0.9", 60)] {
        let storage = sound.after_kill();
        reframe(&storage, &file, engine, wrong_at);
        let error = check(&storage).expect_err("an output hash is wrong");
        match &error {
            JournalError::Diverged { offset } => assert_eq!((*offset, engine), (wrong_at, ENGINE_VERSION)),
            JournalError::Engine { offset, wrote, .. } => {
                assert_eq!((*offset, wrote.as_str()), (wrong_at, "0.0.9"))
            }
            other => panic!("{other}"),
        }
        assert!(driver::open(&storage, u64::MAX).is_err(), "start-up stops");
    }
}

/// Frames every record again, one of them with another output hash: checksums and chain hold.
fn reframe(storage: &Memory, file: &str, engine: &str, wrong_at: u64) {
    let genesis = Link::genesis(Machine::new().output_hash());
    let (mut reading, mut writing) = (genesis, genesis);
    let database = open_database(storage, file).expect("opens");
    let tx = database.begin_write().expect("a transaction");
    {
        let mut table = tx.open_table(RECORDS).expect("a table");
        let rows: Vec<(u64, Vec<u8>)> = table
            .iter()
            .expect("rows")
            .map(|row| row.map(|(k, v)| (k.value(), v.value().to_vec())).expect("readable"))
            .collect();
        for (offset, bytes) in rows {
            let mut record = record::unframe(offset, &bytes, &mut reading).expect("sound").record;
            if offset == wrong_at {
                record.output_hash = blake3::hash(b"something else");
            }
            let bytes = record::frame(&record, engine, &mut writing);
            table.insert(offset, bytes.as_slice()).expect("inserted");
        }
    }
    tx.commit().expect("committed");
}

#[test]
fn a_flip_anywhere_in_a_file_is_noticed_or_changes_nothing() {
    let sound = journal(60);
    let report = check(&sound).expect("sound");
    let mut noticed = 0;
    for file in sound.list().expect("names") {
        let image = sound.bytes(&file);
        // a prime step, so that every place within a page is met
        for at in (0..image.len()).step_by(4_099) {
            let damaged = sound.after_kill();
            let mut bytes = image.clone();
            bytes[at] ^= 1 << (at % 8);
            damaged.put(&file, bytes);
            match check(&damaged) {
                Ok(found) => assert_eq!(found, report, "{file} byte {at}"),
                Err(error) => {
                    assert!(!error.to_string().contains('\n'), "one line: {error}");
                    noticed += 1;
                }
            }
        }
    }
    assert!(noticed > 0);
}

#[test]
fn a_segment_of_another_journal_and_one_of_a_later_format_are_refused() {
    let sound = journal(60);
    let foreign = Memory::default();
    let options = JournalOptions { snapshot_interval: 60 };
    let opened = Journal::open(Arc::new(foreign.clone()), Epoch(1), options).expect("the journal opens");
    Driver::new(opened).run(&script(), 16);
    let names = sound.list().expect("names");
    let mixed = sound.after_kill();
    mixed.put(&names[1], foreign.bytes(&names[1]));
    let error = check(&mixed).expect_err("mixed");
    assert!(matches!(&error, JournalError::Foreign { .. }), "{error}");
    assert!(driver::open(&mixed, 60).is_err());
}

#[test]
fn a_snapshot_of_another_state_version_stops_the_start_and_names_the_engine() {
    let storage = journal(50);
    let newest = storage.list().expect("names").pop().expect("a segment");
    rewrite(&storage, &newest, SNAPSHOT, 0, |bytes| {
        let offset = 150;
        let (mut snapshot, _) = row::read_snapshot(offset, bytes).expect("sound");
        snapshot.state_version += 1;
        *bytes = row::snapshot(&snapshot, "9.9.9");
    });
    let error = driver::open(&storage, 50).expect_err("another version");
    assert!(matches!(&error, JournalError::State { wrote, .. } if wrote == "9.9.9"), "{error}");
}

#[test]
fn verifying_changes_no_byte() {
    let sound = journal(60);
    for storage in [sound.after_kill(), sound] {
        let (before, writes) = (storage.bytes(&segment::name_of(1)), storage.writes());
        check(&storage).expect("sound");
        assert_eq!(storage.writes(), writes);
        assert_eq!(storage.bytes(&segment::name_of(1)), before);
    }
}

#[test]
fn what_is_no_journal_is_one_clear_line() {
    let sound = journal(u64::MAX);
    let image = sound.bytes(&segment::name_of(1));
    for (what, bytes) in [
        ("text", b"this is not a database".to_vec()),
        ("zeros", vec![0; 8_192]),
        ("one byte", vec![b'r']),
        ("truncated to a page", image[..4_096].to_vec()),
        ("truncated in the middle", image[..image.len() / 2].to_vec()),
        ("without its last byte", image[..image.len() - 1].to_vec()),
        ("all ones after the header", [&image[..512], &vec![0xff; image.len() - 512]].concat()),
    ] {
        let storage = Memory::default();
        storage.put(&segment::name_of(1), bytes);
        let error = check(&storage).expect_err(what);
        assert!(!error.to_string().contains('\n'), "{what}: {error}");
    }
    assert!(matches!(check(&Memory::default()), Err(JournalError::Absent)));
}
