//! What can happen in a scenario: one file per verb, one line per verb in the registry.

use core::fmt;

use crate::scenario::Scenario;
use crate::world::{Ability, Refusal, World};

/// Something that happens at a step, with all names resolved.
pub trait Verb: fmt::Debug + Send + Sync {
    /// What a world must be able to do; a world that lacks one refuses the file.
    fn needs(&self) -> Vec<Ability>;

    /// Does it, now.
    ///
    /// # Errors
    /// What the world says.
    fn apply(&self, scenario: &Scenario, world: &mut dyn World) -> Result<(), Refusal>;

    /// A line for the trace: what is done to whom, in the file's words.
    fn describe(&self, scenario: &Scenario) -> String;

    /// True when a run in which this touched nothing has failed: what the step is for did not
    /// happen. False for what only ends another fault.
    fn must_take_effect(&self) -> bool {
        true
    }
}
