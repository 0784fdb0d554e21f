//! A liar with another name on each of its connections, which it closes at once.

use std::net::SocketAddr;

use lasso_core::name::{Identity, NodeName};

use super::{Entry, Lie};
use crate::liar::Says;

pub(super) const ENTRY: Entry = Entry {
    name: "many_names",
    summary: "has another name on each connection, which it closes at once",
    weight: 2,
    make: || Box::<ManyNames>::default(),
};

/// The port in its first name.
const FIRST_PORT: u16 = 20_000;

#[derive(Debug, Default)]
struct ManyNames {
    ticks: u32,
}

impl Lie for ManyNames {
    fn claim(&self, identity: &mut Identity, attempt: u32) {
        let (basename, address) = (identity.name.basename().clone(), identity.name.address());
        let port = FIRST_PORT.saturating_add(u16::try_from(attempt).unwrap_or(u16::MAX));
        identity.name = NodeName::new(basename, SocketAddr::new(address.ip(), port));
    }

    fn is_told_in_hello(&self) -> bool {
        true
    }

    fn tick(&mut self, _says: &mut Says<'_>) {
        self.ticks += 1;
    }

    fn hangs_up(&self) -> bool {
        self.ticks > 0
    }
}
