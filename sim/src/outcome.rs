//! How a world ended, and the exit codes.

use serde::{Deserialize, Serialize};
use std::fmt;

/// How a world ended. Declared from the gravest on: with several failures the first counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Something happened that must never happen.
    Safety,
    /// Something did not happen in time.
    Liveness,
    Panic,
    /// Two runs of one plan differ.
    Nondeterminism,
    /// It did not come to an end.
    Hang,
    Ok,
}

/// The exit code of wrong usage.
pub const USAGE: u8 = 1;
/// The exit code of a sweep in which an expected mark never fired.
pub const MARK_MISSING: u8 = 15;

impl Outcome {
    /// The process's exit code.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Safety => 10,
            Self::Liveness => 11,
            Self::Panic => 12,
            Self::Nondeterminism => 13,
            Self::Hang => 14,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::Safety => "safety",
            Self::Liveness => "liveness",
            Self::Panic => "panic",
            Self::Nondeterminism => "nondeterminism",
            Self::Hang => "hang",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gravest_outcome_has_the_lowest_code() {
        use Outcome::{Hang, Liveness, Nondeterminism, Ok, Panic, Safety};
        let all = [Safety, Liveness, Panic, Nondeterminism, Hang];
        assert!(all.is_sorted() && all.iter().all(|o| *o < Ok));
        assert_eq!(all.map(Outcome::exit_code), [10, 11, 12, 13, 14]);
    }
}
