//! Which world a command is about: a scenario's seed, or a plan file.

use super::CommandError;
use crate::{
    plan::{Plan, plan},
    plan_file, scenario,
};
use std::path::Path;

/// The plan that `F:SEED` or a plan file names; F is a scenario's name or file.
pub fn plan_of(folder: &Path, target: &str) -> Result<Plan, CommandError> {
    if let Some((name, seed)) = target.rsplit_once(':')
        && let Ok(seed) = seed.parse()
    {
        return match scenario::select(folder, name)?.as_slice() {
            [one] => Ok(plan(seed, one)),
            _ => Err(CommandError::Target { target: target.to_owned() }),
        };
    }
    if Path::new(target).extension().is_some_and(|extension| extension == "json") {
        return Ok(plan_file::read(Path::new(target))?);
    }
    Err(CommandError::Target { target: target.to_owned() })
}
