//! The command `lockstep replay DATA_DIR`.

use super::{JournalError, ReplayReport, verify};
use crate::node::host::FileStorage;
use serde_json::json;
use std::{path::PathBuf, sync::Arc};

/// Proves a journal: re-runs it and compares every record, event, candle, snapshot and output hash.
#[derive(Debug, clap::Args)]
pub struct ReplayCommand {
    /// The gateway's data directory; the gateway must not be running.
    pub data_dir: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

const OK: u8 = 0;
const UNREADABLE: u8 = 1;
const INTEGRITY: u8 = 3;

/// Runs it and returns the exit code: 0 proved, 1 not readable, 3 something is not what was written.
pub fn run(command: &ReplayCommand) -> u8 {
    let result = replay(command);
    match &result {
        Ok(report) if command.json => println!("{}", with_ok(report)),
        Ok(report) => print!("{}", in_words(command, report)),
        Err(failure) if command.json => println!("{}", failure.json()),
        Err(failure) => eprintln!("lockstep replay: {}: {}", command.data_dir.display(), failure.text),
    }
    result.map_or_else(|failure| failure.code, |_| OK)
}

struct Failure {
    code: u8,
    text: String,
    offset: Option<u64>,
}

impl Failure {
    fn json(&self) -> serde_json::Value {
        let kind = if self.code == INTEGRITY { "integrity" } else { "unreadable" };
        json!({ "ok": false, "kind": kind, "journalOffset": self.offset, "error": self.text })
    }
}

impl From<JournalError> for Failure {
    fn from(error: JournalError) -> Self {
        let code = if error.is_integrity() { INTEGRITY } else { UNREADABLE };
        Self { code, text: error.to_string(), offset: error.offset() }
    }
}

fn replay(command: &ReplayCommand) -> Result<ReplayReport, Failure> {
    let unreadable = |text: &str| Failure { code: UNREADABLE, text: text.to_owned(), offset: None };
    match std::fs::metadata(&command.data_dir) {
        Err(error) => return Err(unreadable(&error.to_string())),
        Ok(found) if !found.is_dir() => {
            return Err(unreadable("this is not a directory: name the gateway's data directory"));
        }
        Ok(_) => {}
    }
    Ok(verify(Arc::new(FileStorage::new(&command.data_dir)))?)
}

fn with_ok(report: &ReplayReport) -> serde_json::Value {
    let mut value = serde_json::to_value(report).expect("a report is a map with text keys");
    value["ok"] = true.into();
    value
}

fn in_words(command: &ReplayCommand, report: &ReplayReport) -> String {
    let engines: Vec<&str> = report.engines.iter().map(String::as_str).collect();
    let rows = [
        ("journal", format!("{} (epoch {})", command.data_dir.display(), report.epoch)),
        (
            "records",
            format!(
                "{} of {}..{} in {} segments, written by engine {}",
                report.records,
                report.first_offset,
                report.head_offset,
                report.segments,
                if engines.is_empty() { "none".to_owned() } else { engines.join(", ") }
            ),
        ),
        ("events", format!("{}, the last is {}", report.events, report.event_head)),
        ("candles", report.candles.to_string()),
        ("snapshots", report.snapshots.to_string()),
        ("archive", format!("{} orders", report.archived_orders)),
        ("state", report.state_hash.to_string()),
        ("outputs", report.output_hash.to_string()),
    ];
    let gone = match report.first_offset {
        1 => String::new(),
        first => format!("note      records before {first} are gone: replayed from a snapshot\n"),
    };
    let lines: String = rows.iter().map(|(name, value)| format!("{name:<10}{value}\n")).collect();
    lines + &gone + "ok: everything stored is what was written, and replays to the same outputs\n"
}
