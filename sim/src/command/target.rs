//! What a command is about: the world of a scenario's seed, or a plan file.

use super::CommandError;
use crate::{
    inputs::InputsPlan,
    plan::{Plan, plan},
    plan_file::{self, AnyPlan},
    scenario,
};
use std::path::Path;

/// The plan of a file that is one of inputs; `None`: it is about a world.
pub fn inputs_of(target: &str) -> Result<Option<InputsPlan>, CommandError> {
    if is_seed(target) || !is_file(target) {
        return Ok(None);
    }
    match plan_file::read(Path::new(target))? {
        AnyPlan::Inputs(plan) => Ok(Some(plan)),
        AnyPlan::World(_) => Ok(None),
    }
}

fn is_seed(target: &str) -> bool {
    target.rsplit_once(':').is_some_and(|(_, seed)| seed.parse::<u64>().is_ok())
}

fn is_file(target: &str) -> bool {
    Path::new(target).extension().is_some_and(|extension| extension == "json")
}

/// The plan of a world that `F:SEED` or a plan file names; F is a scenario's name or file.
pub fn plan_of(folder: &Path, target: &str) -> Result<Plan, CommandError> {
    if let Some((name, seed)) = target.rsplit_once(':')
        && let Ok(seed) = seed.parse()
    {
        return match scenario::select(folder, name)?.as_slice() {
            [one] => Ok(plan(seed, one)),
            _ => Err(CommandError::Target { target: target.to_owned() }),
        };
    }
    if is_file(target) {
        return match plan_file::read(Path::new(target))? {
            AnyPlan::World(plan) => Ok(*plan),
            AnyPlan::Inputs(_) => Err(CommandError::NotAWorld { target: target.to_owned() }),
        };
    }
    Err(CommandError::Target { target: target.to_owned() })
}
