//! Opening again: after a close, after a kill at any commit, from any snapshot, with files missing.

use super::{
    driver::{self, Driver, EPOCH, account, client_order_id, script},
    memory::Memory,
};
use crate::{
    domain::{
        id::OrderId,
        instrument::InstrumentId,
        market::Timeframe,
        message::{CommandBody, Input, OrderKey},
        time::UnixNanos,
    },
    machine::Machine,
    node::{
        journal::{
            Batch, Epoch, Journal, JournalError, JournalOptions, JournalReader, ReplayReport, segment, verify,
        },
        services::Storage,
    },
};
use std::sync::Arc;

const NEVER: u64 = u64::MAX;

fn verified(storage: &Memory) -> ReplayReport {
    verify(Arc::new(storage.clone())).expect("the journal is sound")
}

#[test]
fn lv06_a_kill_after_any_commit_loses_nothing_of_it() {
    let storage = Memory::default();
    let mut driver = Driver::open(&storage, 40);
    for inputs in script().chunks(7) {
        driver.run(inputs, 7);
        let killed = storage.after_kill();
        let opened = driver::open(&killed, 40).expect("the journal opens");
        assert_eq!(opened.journal.head(), driver.journal.head());
        assert_eq!(opened.journal.event_head(), driver.journal.event_head());
        assert_eq!(opened.machine.state_hash(), driver.machine.state_hash());
        assert_eq!(opened.machine.output_hash(), driver.machine.output_hash());
        assert_eq!(opened.shadow.machine().state_hash(), driver.machine.state_hash());
    }
    assert!(driver.journal.event_head() > 20, "the script trades: {}", driver.journal.event_head());
}

#[test]
fn lv05_from_any_snapshot_the_same_state() {
    let inputs = script();
    let mut straight = Machine::new();
    for (now, input) in &inputs {
        straight.step(*now, input, &mut Default::default());
    }
    for interval in [1, 7, 60, NEVER] {
        let storage = Memory::default();
        Driver::open(&storage, interval).run(&inputs, 5);
        let opened = driver::open(&storage, interval).expect("the journal opens");
        assert_eq!(opened.machine.state_hash(), straight.state_hash(), "interval {interval}");
        assert_eq!(opened.machine.output_hash(), straight.output_hash(), "interval {interval}");
        assert_eq!(opened.report.snapshot_offset == 0, interval == NEVER);
        drop(opened);
        let report = verified(&storage);
        assert_eq!(report.records, inputs.len() as u64);
        assert_eq!(report.state_hash, straight.state_hash(), "interval {interval}");
        assert!(report.events > 20 && report.candles > 10 && report.archived_orders > 5, "{report:?}");
    }
}

#[test]
fn dt01_the_same_inputs_make_the_same_files() {
    let [one, other] = [(); 2].map(|()| {
        let storage = Memory::default();
        Driver::open(&storage, 40).run(&script(), 7);
        storage
    });
    let names = one.list().expect("names");
    assert_eq!(names, other.list().expect("names"));
    assert!(names.iter().all(|name| one.bytes(name) == other.bytes(name)));
}

#[test]
fn the_epoch_stays_and_a_drain_leaves_an_empty_tail() {
    let storage = Memory::default();
    let mut driver = Driver::open(&storage, NEVER);
    driver.run(&script(), 50);
    let snapshot = driver.shadow.snapshot().expect("a snapshot");
    driver.journal.put_snapshot(snapshot.clone()).expect("stored");
    driver.journal.put_snapshot(snapshot).expect("repeating it changes nothing");
    drop(driver);
    for _ in 0..2 {
        let options = JournalOptions::default();
        let opened = Journal::open(Arc::new(storage.clone()), Epoch(7), options).expect("the journal opens");
        assert_eq!(opened.journal.epoch(), EPOCH);
        assert_eq!(opened.report.replayed, 0);
        assert_eq!(opened.report.snapshot_offset, opened.report.head_offset);
    }
    assert_eq!(verified(&storage).segments, 2);
}

#[test]
fn readers_see_what_is_committed_across_segments() {
    let storage = Memory::default();
    let mut driver = Driver::open(&storage, 20);
    driver.run(&script(), 3);
    let reader = driver.journal.reader();
    let all = reader.events_after(0, 5_000).expect("events");
    assert_eq!(all.len() as u64, driver.journal.event_head());
    assert!(all.iter().zip(1..).all(|(event, number)| event.number == number));
    for after in [0, 1, 9, all.len() - 1, all.len()] {
        let page = reader.events_after(after as u64, 10).expect("events");
        assert_eq!(page, all[after..(after + 10).min(all.len())], "after {after}");
    }
    assert_eq!(reader.events_after(u64::MAX, 10).expect("events"), []);

    let btcusd = InstrumentId(4);
    let candles = |from, to, limit| reader.candles(btcusd, Timeframe::M1, from, to, limit).expect("candles");
    let minutes = candles(None, None, 5_000);
    assert!(minutes.len() >= 14 && minutes.is_sorted_by_key(|c| c.ts), "{minutes:?}");
    assert_eq!(candles(None, None, 3), minutes[minutes.len() - 3..]);
    assert_eq!(candles(Some(minutes[2].ts), Some(minutes[5].ts), 100), minutes[2..=5]);
    assert_eq!(candles(Some(UnixNanos(1)), Some(UnixNanos(0)), 100), []);
    assert_eq!(reader.candles(InstrumentId(0), Timeframe::M1, None, None, 9).expect("candles"), []);
}

#[test]
fn ended_orders_are_found_by_each_of_their_names_also_when_the_index_was_lost() {
    let storage = Memory::default();
    let mut driver = Driver::open(&storage, 30);
    driver.run(&script(), 8);
    let snapshot = driver.shadow.snapshot().expect("a snapshot");
    driver.journal.put_snapshot(snapshot).expect("stored");
    let placed = script().iter().zip(1..).find_map(|((_, input), offset)| match input {
        Input::Command(c) if matches!(c.body, CommandBody::Place(_)) => Some(client_order_id(offset)),
        _ => None,
    });
    let client_id = placed.expect("the script places orders");
    let reader = driver.journal.reader();
    let check = |reader: &JournalReader| {
        let id = reader.order_by_client_id(&account(), &client_id).expect("read").expect("archived");
        let by_id = reader.archived_order(&account(), &OrderKey::Order(id)).expect("read").expect("archived");
        let intent = by_id.order.intent_id;
        for key in [OrderKey::ClientOrder(client_id.clone()), OrderKey::Intent(intent)] {
            assert_eq!(reader.archived_order(&account(), &key).expect("read").as_ref(), Some(&by_id));
        }
        assert_eq!(reader.archived_order(&account(), &OrderKey::Order(OrderId(999))).expect("read"), None);
        by_id
    };
    let before = check(&reader);
    drop(driver);
    assert!(matches!(reader.events_after(0, 1), Err(JournalError::Closed)));
    assert!(matches!(reader.order_by_client_id(&account(), &client_id), Err(JournalError::Closed)));

    storage.remove("index.redb").expect("removed");
    let opened = driver::open(&storage, 30).expect("the index is built again");
    assert_eq!(opened.report.snapshot_offset, 0, "from the beginning");
    assert_eq!(check(&opened.journal.reader()), before);
    drop(opened);
    assert!(verified(&storage).archived_orders > 5);
}

#[test]
fn a_failed_commit_is_not_gone_on_from() {
    let storage = Memory::default();
    let mut driver = Driver::open(&storage, NEVER);
    let inputs = script();
    driver.run(&inputs[..20], 20);
    let state = driver.machine.state_hash();
    storage.break_disk();
    assert!(matches!(driver.commit(&inputs[20..21]), Err(JournalError::Storage { .. })));
    let batch = Batch::default();
    assert!(matches!(driver.journal.commit(&batch), Err(JournalError::Closed)));
    let opened = driver::open(&storage.after_kill(), NEVER).expect("the journal opens");
    assert_eq!(opened.journal.head(), 20);
    assert_eq!(opened.machine.state_hash(), state);
}

#[test]
fn a_commit_must_go_on_where_the_journal_ends() {
    let storage = Memory::default();
    let mut driver = Driver::open(&storage, NEVER);
    driver.run(&script()[..10], 10);
    let batch = driver.apply(&script()[10..20]);
    let refused = |journal: &mut Journal, change: &dyn Fn(&mut Batch)| {
        let mut batch = batch.clone();
        change(&mut batch);
        assert!(matches!(journal.commit(&batch), Err(JournalError::Sequence { .. })));
    };
    refused(&mut driver.journal, &|b| b.records[0].offset = 10);
    refused(&mut driver.journal, &|b| drop(b.records.remove(3)));
    refused(&mut driver.journal, &|b| b.events[0].number += 1);
    refused(&mut driver.journal, &|b| b.events[0].journal_offset = 1);
    driver.journal.commit(&batch).expect("nothing of the refused ones was stored");
    assert_eq!(driver.journal.head(), 20);
}

#[test]
fn two_gateways_cannot_use_one_directory() {
    let storage = Memory::default();
    let driver = Driver::open(&storage, NEVER);
    let error = driver::open(&storage, NEVER).expect_err("in use");
    assert!(matches!(error, JournalError::InUse { .. }), "{error}");
    assert!(error.to_string().contains("another gateway uses this directory"), "{error}");
    assert!(matches!(verify(Arc::new(storage.clone())), Err(JournalError::InUse { .. })));
    let reader = driver.journal.reader();
    drop(driver);
    drop(driver::open(&storage, NEVER).expect("a reader that is left does not keep the files"));
    drop(reader);
}

#[test]
fn a_segment_that_was_begun_and_never_committed_is_absent() {
    for leftover in [Vec::new(), fresh_database()] {
        let storage = Memory::default();
        Driver::open(&storage, NEVER).run(&script()[..30], 10);
        storage.put(&segment::name_of(31), leftover.clone());
        assert_eq!(verified(&storage).head_offset, 30);
        let mut driver = Driver::open(&storage, 10);
        assert_eq!(driver.journal.head(), 30);
        driver.run(&script()[30..60], 10);
        drop(driver);
        assert_eq!(verified(&storage).head_offset, 60);

        let storage = Memory::default();
        storage.put(&segment::name_of(1), leftover);
        assert!(matches!(verify(Arc::new(storage.clone())), Err(JournalError::Absent)));
        assert!(driver::open(&storage, NEVER).expect("the journal opens").report.created);
    }
}

/// What power failing inside redb's creation of a file leaves: the length, and perhaps a header.
#[test]
fn a_file_whose_creation_was_cut_short_is_made_again() {
    let mut headless = fresh_database();
    headless[..9].fill(0);
    headless[512..].fill(0);
    let mut blank = headless.clone();
    blank.fill(0);
    for unborn in [headless, blank] {
        let storage = Memory::default();
        storage.put(&segment::name_of(1), unborn.clone());
        assert!(driver::open(&storage, NEVER).expect("the journal opens").report.created);

        let storage = Memory::default();
        Driver::open(&storage, NEVER).run(&script()[..30], 10);
        storage.put(&segment::name_of(31), unborn.clone());
        storage.remove("index.redb").expect("removed");
        storage.put("index.redb", unborn);
        assert_eq!(Driver::open(&storage, 10).journal.head(), 30);
    }
    let storage = Memory::default();
    Driver::open(&storage, NEVER).run(&script()[..30], 10);
    let mut beheaded = storage.after_kill().bytes(&segment::name_of(1));
    beheaded[..512].fill(0);
    storage.put(&segment::name_of(1), beheaded);
    assert!(driver::open(&storage, NEVER).is_err(), "damage is not an unfinished creation");
}

/// What redb writes before the first transaction.
fn fresh_database() -> Vec<u8> {
    let storage = Memory::default();
    drop(segment::open_database(&storage, "fresh").expect("created"));
    storage.bytes("fresh")
}

#[test]
fn a_lost_segment_is_named_by_its_first_record() {
    let sound = Memory::default();
    Driver::open(&sound, 50).run(&script(), 10);
    assert_eq!(verified(&sound).segments, 4);
    for lost in [51, 101, 151] {
        let storage = sound.after_kill();
        storage.remove(&segment::name_of(lost)).expect("removed");
        let error = verify(Arc::new(storage.clone())).expect_err("a segment is gone");
        assert_eq!(error.offset(), Some(lost), "{error}");
        assert!(error.is_integrity());
    }
    let without_first = sound.after_kill();
    without_first.remove(&segment::name_of(1)).expect("removed");
    let rest = verified(&without_first);
    assert_eq!((rest.first_offset, rest.state_hash), (51, verified(&sound).state_hash), "from a snapshot");
    let emptied = sound.after_kill();
    emptied.put(&segment::name_of(151), Vec::new());
    let error = driver::open(&emptied, 50).expect_err("the newest segment is empty");
    assert_eq!(error.offset(), Some(151), "{error}");

    let index_alone = sound.after_kill();
    for first in [1, 51, 101, 151] {
        index_alone.remove(&segment::name_of(first)).expect("removed");
    }
    assert!(matches!(driver::open(&index_alone, 50), Err(JournalError::Missing { offset: 1, .. })));
}
