//! `diff`: the first record in which two traces differ, and where in it.

use super::CommandError;
use crate::{outcome::Outcome, trace::VERSION};
use serde_json::Value;
use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
};

/// Arguments of `diff`.
#[derive(Debug, clap::Args)]
pub struct Diff {
    /// A trace, as `run --trace` writes it
    first: PathBuf,
    /// Another
    second: PathBuf,
}

impl Diff {
    /// The exit code.
    pub fn execute(&self) -> Result<u8, CommandError> {
        let (mut first, mut second) = (Records::open(&self.first)?, Records::open(&self.second)?);
        let mut count = 0_usize;
        loop {
            let difference = match (first.next()?, second.next()?) {
                (None, None) => {
                    println!("equal: {count} records");
                    return Ok(Outcome::Ok.exit_code());
                }
                (Some(a), Some(b)) if a == b => {
                    count += 1;
                    continue;
                }
                (Some(a), Some(b)) => told(&a, &b),
                (Some(more), None) => format!("the second trace ends before\n  {}", short(&more)),
                (None, Some(more)) => format!("the first trace ends before\n  {}", short(&more)),
            };
            println!("record {count}: {difference}");
            return Ok(Outcome::Nondeterminism.exit_code());
        }
    }
}

/// What two records differ in.
fn told(first: &Value, second: &Value) -> String {
    let place = |record: &Value| {
        let (node, kind) = (record["node"].as_str().unwrap_or("?"), record["kind"].as_str().unwrap_or("?"));
        format!("{node} {kind} at {} ns", record["atNs"])
    };
    let (field, a, b) = difference(String::new(), first, second);
    let (a, b) = (short(&a), short(&b));
    format!("{}\n  field {field}\n  first  {a}\n  second {b}", place(first))
}

/// The first field that differs, and its two values.
fn difference(path: String, first: &Value, second: &Value) -> (String, Value, Value) {
    match (first, second) {
        (Value::Object(a), Value::Object(b)) => {
            let keys = a.keys().chain(b.keys().filter(|key| !a.contains_key(*key)));
            let null = Value::Null;
            for key in keys {
                let (left, right) = (a.get(key).unwrap_or(&null), b.get(key).unwrap_or(&null));
                if left != right {
                    let dot = if path.is_empty() { "" } else { "." };
                    return difference(format!("{path}{dot}{key}"), left, right);
                }
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            if let Some(at) = (0..a.len().min(b.len())).find(|at| a[*at] != b[*at]) {
                return difference(format!("{path}[{at}]"), &a[at], &b[at]);
            }
            let at = a.len().min(b.len());
            let item = |list: &[Value]| list.get(at).cloned().unwrap_or(Value::Null);
            return (format!("{path}[{at}]"), item(a), item(b));
        }
        _ => {}
    }
    (path, first.clone(), second.clone())
}

fn short(value: &Value) -> String {
    const WIDTH: usize = 300;
    let text = value.to_string();
    let cut: String = text.chars().take(WIDTH).collect();
    if cut.len() < text.len() { format!("{cut}…") } else { cut }
}

/// The records of a trace file, one by one.
struct Records {
    path: PathBuf,
    lines: std::io::Lines<BufReader<File>>,
    number: usize,
}

impl Records {
    fn open(path: &Path) -> Result<Self, CommandError> {
        let file = File::open(path).map_err(CommandError::io(path))?;
        let mut records = Self { path: path.to_owned(), lines: BufReader::new(file).lines(), number: 0 };
        let first = records.line()?.unwrap_or_default();
        match first["traceVersion"].as_u64() {
            Some(VERSION) => Ok(records),
            version => Err(CommandError::TraceVersion {
                path: path.display().to_string(),
                found: version
                    .map_or("no trace".to_owned(), |version| format!("a trace of version {version}")),
                expected: VERSION,
            }),
        }
    }

    /// The next line, whatever it holds.
    fn line(&mut self) -> Result<Option<Value>, CommandError> {
        let Some(line) = self.lines.next() else { return Ok(None) };
        let line = line.map_err(CommandError::io(&self.path))?;
        self.number += 1;
        serde_json::from_str(&line).map(Some).map_err(|error| self.wrong(error.to_string()))
    }

    fn next(&mut self) -> Result<Option<Value>, CommandError> {
        let Some(record) = self.line()? else { return Ok(None) };
        for field in ["seq", "atNs", "node", "kind", "body"] {
            if record.get(field).is_none() {
                return Err(self.wrong(format!("a record of this version has a `{field}`")));
            }
        }
        Ok(Some(record))
    }

    fn wrong(&self, message: String) -> CommandError {
        CommandError::Trace { path: self.path.display().to_string(), line: self.number, message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_first_field_that_differs_is_named_with_its_path() {
        let record =
            |body: Value| json!({ "seq": 3, "atNs": 7, "node": "gateway", "kind": "output", "body": body });
        let check = |a: Value, b: Value, expected: &str| {
            let text = told(&record(a), &record(b));
            assert!(text.contains("gateway output at 7 ns") && text.contains(expected), "{text}");
        };
        check(
            json!({ "a": [1, { "b": 2 }] }),
            json!({ "a": [1, { "b": 3 }] }),
            "field body.a[1].b\n  first  2\n",
        );
        check(json!({ "a": [1] }), json!({ "a": [1, 5] }), "field body.a[1]\n  first  null\n  second 5");
        check(json!({ "a": 1 }), json!({ "a": 1, "c": "x" }), "field body.c\n  first  null\n  second \"x\"");
        check(json!({ "a": 1 }), json!([]), "field body\n");
    }
}
