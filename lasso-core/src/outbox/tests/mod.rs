//! Tests of the outbox.

mod crash;
mod receiver;
mod sender;
mod stored;
mod wire;
mod world;

use crate::name::NodeName;
use crate::outbox::{OutboxId, OutboxSettings};

const OUTBOX: OutboxId = OutboxId::from_u128(7);

fn node(name: &str) -> NodeName {
    name.parse().expect("a node name")
}

/// Small bounds, so that tests reach them.
fn small() -> OutboxSettings {
    OutboxSettings {
        queue_max: 6,
        queue_bytes_max: 60,
        event_bytes_max: 20,
        batch_max: 3,
        batch_bytes_max: 40,
        dead_bytes_max: 2_000,
        ..OutboxSettings::default()
    }
}
