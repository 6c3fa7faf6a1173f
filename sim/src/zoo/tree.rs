//! The scratch tree: the repository's tracked files with every patch applied, and the binary built of it.

use super::{Fault, ZooError};
use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Where patches are; they are not part of the tree.
const PATCHES: &str = "sim/zoo";

/// Where everything lies.
#[derive(Debug)]
pub struct Tree {
    /// The repository.
    root: PathBuf,
    /// Cargo's folder for the repository.
    target: PathBuf,
}

impl Tree {
    /// Of the repository that we are in.
    pub fn here() -> Result<Self, ZooError> {
        let output = git(Path::new("."), ["rev-parse", "--show-toplevel"])?;
        let root = PathBuf::from(output.trim_end());
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
        Ok(Self { target: root.join(target), root })
    }

    /// The folder with the patches.
    pub fn patches(&self) -> PathBuf {
        self.root.join(PATCHES)
    }

    /// The scenarios that the tree has.
    pub fn scenarios(&self) -> PathBuf {
        self.folder().join("tree/scenarios")
    }

    /// Where plans and results of this kind go.
    pub fn results(&self) -> PathBuf {
        self.folder().join("results")
    }

    fn folder(&self) -> PathBuf {
        self.target.join("zoo")
    }

    /// Applies all patches, in order, to the tracked files as they stand, and builds; returns the binary.
    pub fn make(&self, faults: &[Fault]) -> Result<PathBuf, ZooError> {
        let (fresh, tree) = (self.folder().join("fresh"), self.folder().join("tree"));
        let results = self.results();
        fs::create_dir_all(&results).map_err(ZooError::io(&results))?;
        let files = tracked(&self.root)?;
        remove(&fresh)?;
        copy_changed(&self.root, &fresh, &files)?;
        faults.iter().try_for_each(|fault| apply(&fresh, &fault.path))?;
        // what did not change keeps its time, so that cargo does not build it again
        copy_changed(&fresh, &tree, &all_below(&fresh)?)?;
        remove(&fresh)?;
        self.build(&tree)
    }

    fn build(&self, tree: &Path) -> Result<PathBuf, ZooError> {
        let failed = |why: String| ZooError::Build { tree: tree.display().to_string(), why };
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built = self.folder().join("build");
        self.take_over_others(&built.join("release"))?;
        // from the repository's folder: a configuration that cargo found twice would be another one
        let output = Command::new(cargo)
            .current_dir(&self.root)
            .args(["build", "--release", "--locked", "-p", "lockstep-sim", "--bin", "lockstep-sim"])
            .arg("--manifest-path")
            .arg(tree.join("Cargo.toml"))
            .env("CARGO_TARGET_DIR", &built)
            .output()
            .map_err(|error| failed(error.to_string()))?;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr);
            let (mut lines, is_error) = (text.lines(), |line: &&str| line.starts_with("error"));
            let what = lines.find(is_error).unwrap_or("cargo says no more");
            let place = lines.find(|line| line.trim_start().starts_with("--> ")).unwrap_or_default();
            return Err(failed(format!("{what}{}", place.replace("-->", "at").trim_end())));
        }
        Ok(built.join("release/lockstep-sim"))
    }
}

/// How cargo's files of the packages of this workspace are called; those of the patched ones must be others.
const OURS: &str = "lockstep";

impl Tree {
    /// What was built of other packages need not be built twice. It is copied: one folder for both trees would
    /// confuse cargo, to which a package of the same place in its workspace is the same package.
    fn take_over_others(&self, built: &Path) -> Result<(), ZooError> {
        let known = self.target.join("release");
        if built.exists() || !known.exists() {
            return Ok(());
        }
        for kind in [".fingerprint", "build", "deps"] {
            let folder = known.join(kind);
            let ours = |path: &Path| {
                let first = path.iter().next().and_then(OsStr::to_str).unwrap_or_default();
                first.starts_with(OURS) || first.starts_with(&format!("lib{OURS}"))
            };
            for file in all_below(&folder)?.into_iter().filter(|path| !ours(path)) {
                copy_with_time(&folder.join(&file), &built.join(kind).join(&file))?;
            }
        }
        Ok(())
    }
}

/// Copies a file that will seem as old as it is: cargo compares times.
fn copy_with_time(from: &Path, to: &Path) -> Result<(), ZooError> {
    let folder = to.parent().unwrap_or(to);
    fs::create_dir_all(folder).map_err(ZooError::io(folder))?;
    fs::copy(from, to).map_err(ZooError::io(to))?;
    let time = fs::metadata(from).and_then(|data| data.modified()).map_err(ZooError::io(from))?;
    let copy = fs::File::options().write(true).open(to).map_err(ZooError::io(to))?;
    copy.set_modified(time).map_err(ZooError::io(to))
}

/// Applies a patch to the files below a folder, which is in no repository as far as git is to know.
fn apply(folder: &Path, patch: &Path) -> Result<(), ZooError> {
    let patch_name = patch.display().to_string();
    git(folder, [OsStr::new("apply"), OsStr::new("--whitespace=nowarn"), patch.as_os_str()])
        .map(drop)
        .map_err(|error| match error {
            ZooError::Git { why, .. } => ZooError::DoesNotApply { patch: patch_name, why },
            other => other,
        })
}

/// Runs git in a folder and returns what it printed.
fn git(folder: &Path, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<String, ZooError> {
    let mut command = Command::new("git");
    command.current_dir(folder).args(arguments);
    let named = command.get_args().next().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let failed = |why: String| ZooError::Git { command: named.clone(), why };
    if named == "apply" {
        // inside a repository it would pass over files that lie elsewhere than its patch says
        let above = folder.parent().unwrap_or(folder);
        command.env("GIT_CEILING_DIRECTORIES", above);
        for variable in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
            command.env_remove(variable);
        }
    }
    let output = command.output().map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        let first = text.lines().next().unwrap_or("it failed without a word");
        return Err(failed(first.trim_start_matches("error: ").trim_start_matches("fatal: ").to_owned()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The files that git tracks and that are there, without the patches.
fn tracked(root: &Path) -> Result<BTreeSet<PathBuf>, ZooError> {
    let output = git(root, ["ls-files", "-z"])?;
    let paths = output.split('\0').filter(|path| !path.is_empty() && !path.starts_with(PATCHES));
    Ok(paths.map(PathBuf::from).filter(|path| root.join(path).is_file()).collect())
}

/// All files below a folder.
fn all_below(folder: &Path) -> Result<BTreeSet<PathBuf>, ZooError> {
    let (mut files, mut folders) = (BTreeSet::new(), vec![folder.to_owned()]);
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).map_err(ZooError::io(&next))? {
            let path = entry.map_err(ZooError::io(&next))?.path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(path) = path.strip_prefix(folder) {
                files.insert(path.to_owned());
            }
        }
    }
    Ok(files)
}

/// Makes `to` hold exactly these files of `from`; what is the same already is not touched.
fn copy_changed(from: &Path, to: &Path, files: &BTreeSet<PathBuf>) -> Result<(), ZooError> {
    fs::create_dir_all(to).map_err(ZooError::io(to))?;
    for gone in all_below(to)?.difference(files) {
        let path = to.join(gone);
        fs::remove_file(&path).map_err(ZooError::io(&path))?;
    }
    for file in files {
        let (source, copy) = (from.join(file), to.join(file));
        let content = fs::read(&source).map_err(ZooError::io(&source))?;
        if fs::read(&copy).is_ok_and(|known| known == content) {
            continue;
        }
        let folder = copy.parent().unwrap_or(to);
        fs::create_dir_all(folder).map_err(ZooError::io(folder))?;
        fs::write(&copy, content).map_err(ZooError::io(&copy))?;
    }
    Ok(())
}

fn remove(folder: &Path) -> Result<(), ZooError> {
    if folder.exists() { fs::remove_dir_all(folder).map_err(ZooError::io(folder)) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATCH: &str =
        "why: x\n\ndiff --git a/b/x b/b/x\n--- a/b/x\n+++ b/b/x\n@@ -1,3 +1,3 @@\n one\n-two\n+TWO\n three\n";

    #[test]
    fn a_patch_applies_exactly_or_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let (tree, patch) = (folder.path().join("tree"), folder.path().join("03_x.patch"));
        fs::create_dir_all(tree.join("b")).expect("made");
        fs::write(&patch, PATCH).expect("written");
        fs::write(tree.join("b/x"), "one\ntwo\nthree\n").expect("written");
        apply(&tree, &patch).expect("it fits");
        assert_eq!(fs::read_to_string(tree.join("b/x")).expect("there"), "one\nTWO\nthree\n");
        let error = apply(&tree, &patch).expect_err("it does not fit twice").to_string();
        assert!(error.contains("03_x.patch does not apply (patch failed: b/x:1)"), "{error}");
        assert!(!error.contains('\n'), "{error}");
        let missing = apply(&tree, &folder.path().join("04_y.patch")).expect_err("not there").to_string();
        assert!(missing.contains("04_y.patch does not apply (can't open patch"), "{missing}");
        fs::write(&patch, "why: only words\n").expect("written");
        assert!(apply(&tree, &patch).is_err(), "a patch without a change is none");
    }

    #[test]
    fn a_folder_becomes_the_other_and_what_is_the_same_is_not_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        for (file, content) in [("from/a/same", "1"), ("from/new", "2"), ("to/a/same", "1"), ("to/old", "3")]
        {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().expect("it has one")).expect("made");
            fs::write(path, content).expect("written");
        }
        let written =
            |file: &str| fs::metadata(to.join(file)).and_then(|data| data.modified()).expect("there");
        let before = written("a/same");
        copy_changed(&from, &to, &all_below(&from).expect("read")).expect("copied");
        assert_eq!(all_below(&to).expect("read"), all_below(&from).expect("read"));
        assert_eq!(written("a/same"), before);
    }
}
