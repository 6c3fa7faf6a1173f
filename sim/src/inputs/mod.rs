//! Plans of kind `inputs`: what one machine was told and when, as the journal of a live gateway has it.
//! They replay without the directory that they came from.
//!
//! Reading order: `import` makes a plan of a journal, `replay` steps a machine through it and judges what
//! it says, `shrink` finds the smallest part that fails in the same way.

mod import;
mod replay;
mod shrink;

#[cfg(test)]
mod tests;

pub use import::import;
pub use replay::{Replayed, run};
pub use shrink::shrink;

use lockstep::{
    domain::{message::Input, time::UnixNanos},
    machine::{Hash, Machine, StateError},
    node::journal::ENGINE_VERSION,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::{fmt, sync::Arc};

/// The inputs of one machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputsPlan {
    /// The engine that the hashes are of.
    pub engine: String,
    /// Names the journal that it was taken from.
    pub epoch: String,
    pub beginning: Beginning,
    /// Ascending.
    pub records: Vec<Arc<InputRecord>>,
    /// What the machine must be and must have said after the last record. Absent, as are the records'
    /// hashes, where inputs were left out: of what is left nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<End>,
}

/// The machine before the first record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Beginning {
    /// It has done nothing.
    Genesis,
    Snapshot(State),
}

/// A machine's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// The record that it was taken after.
    pub offset: u64,
    pub version: u32,
    pub hash: Digest,
    /// Its canonical bytes, which are text.
    pub text: Arc<str>,
}

/// One input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputRecord {
    /// Its place in the journal.
    pub offset: u64,
    /// When it was applied, in nanoseconds since 1970.
    pub now_ns: i64,
    pub input: Input,
    /// Of all outputs up to it; absent if it changed nothing about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_hash: Option<Digest>,
}

/// The last word of a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct End {
    /// Absent where the journal went on: it has no state of that place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_hash: Option<Digest>,
    pub output_hash: Digest,
}

/// A hash; in files 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digest(pub Hash);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        Hash::from_hex(&text).map(Self).map_err(|_| D::Error::custom("a hash is 64 hexadecimal digits"))
    }
}

impl InputRecord {
    /// When it was applied.
    pub const fn now(&self) -> UnixNanos {
        UnixNanos(self.now_ns)
    }
}

impl Beginning {
    /// The machine there.
    ///
    /// # Errors
    /// The state is of a version that this build does not read, or no state.
    pub fn machine(&self) -> Result<Machine, StateError> {
        match self {
            Self::Genesis => Ok(Machine::new()),
            Self::Snapshot(state) => Machine::decode(state.version, state.text.as_bytes()),
        }
    }

    /// The record that it stands after; 0 is none.
    pub const fn offset(&self) -> u64 {
        match self {
            Self::Genesis => 0,
            Self::Snapshot(state) => state.offset,
        }
    }
}

impl InputsPlan {
    /// Its name in what is printed.
    pub fn title(&self) -> String {
        let last = self.records.last().map_or(self.beginning.offset(), |record| record.offset);
        format!("inputs of journal {}, records {}..{last}", self.epoch, self.beginning.offset() + 1)
    }

    /// The field that makes it impossible, and why; `None`: it can be replayed.
    pub fn flaw(&self) -> Option<(String, String)> {
        let flaw = |field: &str, why: String| Some((field.to_owned(), why));
        if self.end.is_some() && self.engine != ENGINE_VERSION {
            let why = format!(
                "its hashes are of engine {}, this program has engine {ENGINE_VERSION}: replay it with the \
                 version that it names, or import the journal again",
                self.engine
            );
            return flaw("plan.engine", why);
        }
        match self.beginning.machine() {
            Err(error) => return flaw("plan.beginning.snapshot.text", error.to_string()),
            Ok(machine) => {
                if let Beginning::Snapshot(state) = &self.beginning
                    && machine.state_hash() != state.hash.0
                {
                    let why = format!("the state's hash is {}: it was altered", machine.state_hash());
                    return flaw("plan.beginning.snapshot.hash", why);
                }
            }
        }
        let mut last = self.beginning.offset();
        for (place, record) in self.records.iter().enumerate() {
            let field = |name: &str| format!("plan.records[{place}].{name}");
            let follows = if self.end.is_some() { record.offset == last + 1 } else { record.offset > last };
            if !follows {
                return flaw(&field("offset"), format!("{} does not follow {last}", record.offset));
            }
            if self.end.is_none() && record.output_hash.is_some() {
                let why = "there is no `plan.end`: no hash holds where inputs were left out";
                return flaw(&field("output_hash"), why.to_owned());
            }
            last = record.offset;
        }
        None
    }
}
