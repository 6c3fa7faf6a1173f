//! One planted fault: a patch whose first lines say what it is.

use super::ZooError;
use std::{collections::BTreeMap, path::Path, path::PathBuf};

/// The patch that brings the macro; it is no fault.
const MACRO: u32 = 0;

/// A patch, `NN_name.patch`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// N of `zoo!(N)`; 0 is the macro itself.
    pub number: u32,
    pub name: String,
    /// The mistake, in one sentence.
    pub why: String,
    /// What is expected to notice it: any of these.
    pub expect: Vec<Finding>,
    /// Where it is looked for first.
    pub scenarios: Vec<String>,
    pub path: PathBuf,
}

/// Who noticed a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub oracle: String,
    pub rule: String,
}

impl Fault {
    /// All patches of a folder, by number; the first is the macro.
    pub fn all(folder: &Path) -> Result<Vec<Self>, ZooError> {
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(ZooError::io(folder))? {
            paths.push(entry.map_err(ZooError::io(folder))?.path());
        }
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "patch"));
        paths.sort();
        let mut faults: Vec<Self> = Vec::new();
        for path in paths {
            let text = std::fs::read_to_string(&path).map_err(ZooError::io(&path))?;
            let fault = Self::parse(&path, &text)?;
            if let Some(other) = faults.iter().find(|other| other.number == fault.number) {
                let why = format!("{} has that number, too", other.path.display());
                return Err(ZooError::Patch { patch: path.display().to_string(), why });
            }
            faults.push(fault);
        }
        faults.sort_by_key(|fault| fault.number);
        match faults.first() {
            Some(first) if first.number == MACRO => Ok(faults),
            _ => Err(ZooError::Patch {
                patch: folder.display().to_string(),
                why: "there is no 00_macro.patch, which all others need".into(),
            }),
        }
    }

    /// Reads a patch; `path` names it.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ZooError> {
        let wrong = |why: String| ZooError::Patch { patch: path.display().to_string(), why };
        let named = || {
            let (number, name) = path.file_stem()?.to_str()?.split_once('_')?;
            Some((number.parse::<u32>().ok()?, name.to_owned()))
        };
        let (number, name) =
            named().ok_or_else(|| wrong("its name must be NN_name.patch, such as 07_name.patch".into()))?;
        let mut head = BTreeMap::new();
        let mut lines = text.lines();
        for line in lines.by_ref().take_while(|line| !line.starts_with("diff ")) {
            match line.split_once(": ") {
                Some((key @ ("why" | "expect" | "scenarios"), value)) => {
                    head.insert(key, value.trim());
                }
                None if line.trim().is_empty() => {}
                _ => {
                    return Err(wrong(format!(
                        "before the diff there are lines `why: `, `expect: ` and `scenarios: `, not `{line}`"
                    )));
                }
            }
        }
        let needs = |key: &str| {
            head.get(key)
                .filter(|value| !value.is_empty())
                .copied()
                .ok_or_else(|| wrong(format!("it needs a line `{key}: ` before the diff")))
        };
        let why = needs("why")?.to_owned();
        if number == MACRO {
            let (expect, scenarios, path) = (Vec::new(), Vec::new(), path.to_owned());
            return Ok(Self { number, name, why, expect, scenarios, path });
        }
        let list = |value: &str| value.split(", ").map(str::to_owned).collect::<Vec<_>>();
        let finding = |text: String| {
            let (oracle, rule) = text.split_once(' ')?;
            Some(Finding { oracle: oracle.to_owned(), rule: rule.to_owned() })
        };
        let expect = list(needs("expect")?).into_iter().map(finding).collect::<Option<_>>();
        let expect = expect.ok_or_else(|| {
            wrong("`expect: ` names oracles and rules, such as `ledger AC01, stop RK05`".into())
        })?;
        let added = lines.filter(|line| line.starts_with('+')).collect::<Vec<_>>().join("\n");
        let chosen: Vec<&str> =
            added.split("zoo!(").skip(1).filter_map(|rest| rest.split(')').next()).collect();
        if chosen.is_empty() || chosen.iter().any(|of| *of != number.to_string()) {
            return Err(wrong(format!("what it adds must be behind `zoo!({number})`, and behind no other")));
        }
        Ok(Self { number, name, why, expect, scenarios: list(needs("scenarios")?), path: path.to_owned() })
    }

    /// Whether it is the macro and no fault.
    pub const fn is_macro(&self) -> bool {
        self.number == MACRO
    }
}

/// Those of these numbers.
pub fn only(faults: &[Fault], numbers: &[u32]) -> Result<Vec<Fault>, ZooError> {
    let find = |number: &u32| {
        let found = faults.iter().find(|fault| fault.number == *number && !fault.is_macro());
        found.cloned().ok_or_else(|| {
            let known: Vec<String> = faults.iter().skip(1).map(|fault| fault.number.to_string()).collect();
            ZooError::Unknown { number: *number, known: known.join(", ") }
        })
    };
    numbers.iter().map(find).collect()
}

/// So many in a row; where it begins is a function of the text, such as a commit.
pub fn pick(faults: &[Fault], count: usize, of: &str) -> Vec<Fault> {
    let faults: Vec<&Fault> = faults.iter().filter(|fault| !fault.is_macro()).collect();
    let hash = blake3::hash(of.as_bytes());
    let number = u64::from_le_bytes(hash.as_bytes()[..8].try_into().expect("a hash has 32 bytes"));
    let length = faults.len().max(1) as u64;
    let first = usize::try_from(number % length).expect("there are few faults");
    faults.iter().cycle().skip(first).take(count.min(faults.len())).map(|fault| (*fault).clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "why: It forgets.\nexpect: ledger AC01, stop RK05\nscenarios: quiet_day, lost_ack\n\n\
        diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+if zoo!(7) { b } else { a }\n";

    fn parse(name: &str, text: &str) -> Result<Fault, String> {
        Fault::parse(Path::new(name), text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_patch_says_what_it_is() {
        let fault = parse("07_forgets.patch", GOOD).expect("a good one");
        assert_eq!((fault.number, &*fault.name, &*fault.why), (7, "forgets", "It forgets."));
        assert_eq!(fault.scenarios, ["quiet_day", "lost_ack"]);
        let expected = [("ledger", "AC01"), ("stop", "RK05")];
        assert!(fault.expect.iter().map(|f| (&*f.oracle, &*f.rule)).eq(expected));
    }

    #[test]
    fn a_mistake_is_told_in_one_line() {
        let check = |name: &str, text: &str, told: &str| {
            let error = parse(name, text).expect_err("wrong");
            assert!(error.starts_with(name) && error.contains(told) && !error.contains('\n'), "{error}");
        };
        check("forgets.patch", GOOD, "NN_name.patch");
        check("07_forgets.patch", &GOOD.replace("why: It forgets.\n", ""), "needs a line `why: `");
        check("07_forgets.patch", &GOOD.replace("quiet_day, lost_ack", ""), "needs a line `scenarios: `");
        check("07_forgets.patch", &GOOD.replace("scenarios:", "scenario:"), "not `scenario: quiet_day");
        check("07_forgets.patch", &GOOD.replace(" AC01", ""), "oracles and rules");
        check("08_forgets.patch", GOOD, "behind `zoo!(8)`");
        check("07_forgets.patch", &GOOD.replace("zoo!(7)", "true"), "behind `zoo!(7)`");
    }

    #[test]
    fn the_repository_has_at_least_18_faults_whose_scenarios_there_are() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("zoo");
        let faults = Fault::all(&folder).expect("all can be read");
        assert!(faults.len() > 18, "{} patches", faults.len());
        let scenarios = crate::scenario::folder(None);
        for fault in &faults {
            for name in &fault.scenarios {
                assert!(scenarios.join(format!("{name}.toml")).exists(), "{}: {name}", fault.path.display());
            }
        }
        let error = only(&faults, &[1, 999]).expect_err("there is none").to_string();
        assert!(error.starts_with("there is no fault 999: `sim/zoo` has 1, "), "{error}");
        assert!(only(&faults, &[0]).is_err(), "the macro is no fault");
    }

    #[test]
    fn a_folder_without_patches_lacks_the_macro() {
        let folder = tempfile::tempdir().expect("a folder");
        let error = Fault::all(folder.path()).expect_err("nothing is there").to_string();
        assert!(error.contains("there is no 00_macro.patch"), "{error}");
        std::fs::write(folder.path().join("07_a.patch"), GOOD).expect("written");
        std::fs::write(folder.path().join("7_b.patch"), GOOD).expect("written");
        let error = Fault::all(folder.path()).expect_err("twice").to_string();
        assert!(error.contains("has that number, too"), "{error}");
    }

    #[test]
    fn what_is_picked_is_a_function_of_the_text_and_comes_round_to_all() {
        let fault = |number| Fault { number, ..parse("07_forgets.patch", GOOD).expect("a good one") };
        let faults: Vec<Fault> = (0..=5).map(fault).collect();
        let numbers = |count, of: &str| pick(&faults, count, of).iter().map(|f| f.number).collect::<Vec<_>>();
        assert_eq!(numbers(3, "abc"), numbers(3, "abc"));
        assert_eq!(numbers(9, "abc").len(), 5, "no more than there are, and never the macro");
        let mut seen: Vec<u32> = (0..100).flat_map(|commit| numbers(3, &commit.to_string())).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen, [1, 2, 3, 4, 5]);
    }
}
