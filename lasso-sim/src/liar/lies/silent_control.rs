//! A liar that never describes itself and answers no check, but sends heartbeats.

use lasso_core::frame::TopologyFrame;

use super::{Entry, Lie};

pub(super) const ENTRY: Entry = Entry {
    name: "silent_control",
    summary: "never describes itself and answers no check, but sends heartbeats",
    weight: 3,
    make: || Box::new(SilentControl),
};

#[derive(Debug)]
struct SilentControl;

impl Lie for SilentControl {
    fn ignores(&self, _frame: &TopologyFrame) -> bool {
        true
    }
}
