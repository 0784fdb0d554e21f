//! A world with everything that a run needs besides what scenarios see of it: its record, its
//! invariants, and how many inputs its nodes have handled.

use crate::coverage::Reached;
use crate::direct::{DirectWorld, Options};
use crate::invariants::Invariants;
use crate::record::Record;
use crate::scenario::Scenario;
use crate::turmoil_world::TurmoilWorld;
use crate::world::{World, WorldKind};

/// See the module's text.
pub trait Stage: World {
    /// What the nodes have said, and the trace.
    fn record(&self) -> &Record;
    /// The same, to write lines into it.
    fn record_mut(&mut self) -> &mut Record;
    /// What watches the run.
    fn invariants(&self) -> &Invariants;
    /// The same, to report what only the end of a run shows.
    fn invariants_mut(&mut self) -> &mut Invariants;
    /// DNS tells somebody something wrong.
    fn names_disturbed(&self) -> bool;
    /// What the nodes have reached so far, the present lives of their processes included.
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
