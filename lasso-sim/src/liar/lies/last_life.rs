//! A liar that claims the name of another node, in the last possible life.

use lasso_core::name::{Identity, Incarnation};

use super::{Entry, Lie};

pub(super) const ENTRY: Entry = Entry {
    name: "last_life",
    summary: "claims to be the node under `as`, in the last possible life",
    weight: 1,
    make: || Box::new(LastLife),
};

#[derive(Debug)]
struct LastLife;

impl Lie for LastLife {
    fn claim(&self, identity: &mut Identity, _attempt: u32) {
        identity.incarnation = Incarnation::MAX;
    }

    fn is_told_in_hello(&self) -> bool {
        true
    }
}
