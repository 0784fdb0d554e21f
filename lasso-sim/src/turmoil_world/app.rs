//! The application of a node in the turmoil world.

use super::TurmoilWorld;
use crate::app::Order;
use crate::scenario::NodeId;
use crate::world::Refusal;

impl TurmoilWorld {
    pub(super) fn order_app(&mut self, _: NodeId, _: &Order) -> Result<(), Refusal> {
        Err(Refusal::Unsupported {
            world: crate::world::WorldKind::Turmoil,
            what: "applications",
        })
    }
}
