//! A world with everything else that a run needs besides the view of scenarios: its record, its invariants, and
//! the number of inputs that its nodes have handled.

use crate::coverage::Reached;
use crate::direct::{DirectWorld, Options};
use crate::invariants::Invariants;
use crate::record::Record;
use crate::scenario::Scenario;
use crate::turmoil_world::TurmoilWorld;
use crate::world::{World, WorldKind};

/// See the module's text.
pub trait Stage: World {
    /// The events and notices of the nodes, and the trace.
    fn record(&self) -> &Record;
    /// The same, to write lines into it.
    fn record_mut(&mut self) -> &mut Record;
    /// The invariants that watch the run.
    fn invariants(&self) -> &Invariants;
    /// The same, to report violations that only the end of a run shows.
    fn invariants_mut(&mut self) -> &mut Invariants;
    /// Whether DNS currently gives any node a wrong answer.
    fn names_disturbed(&self) -> bool;
    /// The coverage that the nodes have reached so far, including the present lives of their processes.
    fn reached(&self) -> Reached;
    /// Inputs that all nodes have handled so far.
    fn inputs_handled(&self) -> u64;
}

/// The world of that kind for one run.
pub fn stage(kind: WorldKind, scenario: &Scenario, seed: u64, options: Options) -> Box<dyn Stage> {
    match kind {
        WorldKind::Direct => Box::new(DirectWorld::new(scenario, seed, options)),
        WorldKind::Turmoil => Box::new(TurmoilWorld::new(scenario, seed, options)),
    }
}
