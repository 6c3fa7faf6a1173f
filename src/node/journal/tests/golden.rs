//! Journals of the past, in `snapshots/journal-v1/`: this build must read them for ever, and the
//! engine that wrote one must make the same outputs from it.

use super::driver::script;
use crate::{
    domain::{
        instrument::{InstrumentId, Price},
        market::{Bar, Ohlc},
        message::{GatewayState, Input, Outputs},
        time::{MINUTE_NS, UnixNanos},
    },
    machine::Machine,
    node::journal::{
        ENGINE_VERSION, Record,
        record::{self, Link},
    },
};
use std::{fmt::Write, fs, path::PathBuf};

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("snapshots/journal-v1")
}

/// Every kind of input.
fn inputs() -> Vec<(UnixNanos, Input)> {
    let mut inputs = script();
    let end = inputs[inputs.len() - 1].0.plus(MINUTE_NS).floor(MINUTE_NS);
    let ohlc = |low: i64| Ohlc {
        open: Price(low + 5),
        high: Price(low + 90),
        low: Price(low),
        close: Price(low + 40),
    };
    let bar =
        Bar { instrument: InstrumentId(4), bid: ohlc(4_400_000), ask: ohlc(4_401_000), len_ns: MINUTE_NS };
    let later = end.plus(MINUTE_NS);
    inputs.extend([
        (end, Input::Bar(bar)),
        (later, Input::ClockSuspect { suspect: true }),
        (later, Input::ClockSuspect { suspect: false }),
        (later, Input::EndOfData),
        (later, Input::Gateway(GatewayState::Draining)),
    ]);
    inputs
}

/// One line for each record, as it is stored, and one for what the machine comes to.
fn write_journal(inputs: &[(UnixNanos, Input)]) -> String {
    let mut machine = Machine::new();
    let mut link = Link::genesis(machine.output_hash());
    let mut text = String::new();
    for (offset, (now, input)) in (1..).zip(inputs) {
        machine.step(*now, input, &mut Outputs::default());
        let record = Record { offset, now: *now, input: input.clone(), output_hash: machine.output_hash() };
        let bytes = record::frame(&record, ENGINE_VERSION, &mut link);
        let hex: String = bytes.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
        writeln!(text, "{hex}").expect("to memory");
    }
    let (version, events) = (Machine::STATE_VERSION, machine.event_count());
    writeln!(text, "state {version} {} events {events}", machine.state_hash()).expect("to memory");
    text
}

fn bytes_of(hex: &str) -> Vec<u8> {
    let digits = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal digits");
    (0..hex.len()).step_by(2).map(digits).collect()
}

/// Reads every record of a stored journal, and replays it.
fn replay_journal(name: &str, text: &str) {
    let (records, end) = text.trim_end().rsplit_once('\n').expect("records and an end");
    let mut machine = Machine::new();
    let mut link = Link::genesis(machine.output_hash());
    let mut engine = String::new();
    for (offset, hex) in (1..).zip(records.lines()) {
        let framed = record::unframe(offset, &bytes_of(hex), &mut link)
            .unwrap_or_else(|error| panic!("{name}: this build must read it for ever: {error}"));
        machine.step(framed.record.now, &framed.record.input, &mut Outputs::default());
        if framed.engine == ENGINE_VERSION {
            let made = machine.output_hash();
            assert_eq!(
                made, framed.record.output_hash,
                "{name}: record {offset} makes other outputs: raise the version"
            );
        }
        engine = framed.engine;
    }
    let state = format!("state {} {}", Machine::STATE_VERSION, machine.state_hash());
    if engine == ENGINE_VERSION && end.starts_with(&format!("state {} ", Machine::STATE_VERSION)) {
        assert_eq!(end, format!("{state} events {}", machine.event_count()), "{name}: raise STATE_VERSION");
    }
}

#[test]
fn dt03_journals_of_the_past_replay() {
    let mut count = 0;
    for entry in fs::read_dir(directory()).expect("snapshots/journal-v1") {
        let path = entry.expect("an entry").path();
        replay_journal(&path.display().to_string(), &fs::read_to_string(&path).expect("text"));
        count += 1;
    }
    assert!(count > 0);
}

#[test]
fn what_is_written_now_replays() {
    replay_journal("now", &write_journal(&inputs()));
}

/// Writes the journal of this version where there is none; a released one is never replaced.
#[test]
#[ignore = "writes to the source tree: cargo test -p lockstep --lib write_the_golden_journal -- --ignored"]
fn write_the_golden_journal() {
    let path = directory().join(format!("engine-{ENGINE_VERSION}.txt"));
    fs::create_dir_all(directory()).expect("created");
    assert!(!path.exists(), "{} exists: delete it only before its version is released", path.display());
    fs::write(path, write_journal(&inputs())).expect("written");
}
