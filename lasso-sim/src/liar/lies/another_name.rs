//! A liar that claims the name of another node, in a later life.

use lasso_core::name::{Identity, Incarnation};

use super::{Entry, Lie};

pub(super) const ENTRY: Entry = Entry {
    name: "another_name",
    summary: "claims to be the node under `as`, in a later life",
    weight: 2,
    make: || Box::new(AnotherName),
};

#[derive(Debug)]
struct AnotherName;

impl Lie for AnotherName {
    fn is_told_in_hello(&self) -> bool {
        true
    }

    fn claim(&self, identity: &mut Identity, attempt: u32) {
        identity.incarnation = Incarnation(identity.incarnation.0 + u64::from(attempt));
    }
}
