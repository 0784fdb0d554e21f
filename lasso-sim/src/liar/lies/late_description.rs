//! A liar that answers checks at once, and describes itself much later.

use lasso_core::frame::TopologyFrame;

use super::{Entry, Lie};
use crate::liar::Says;

pub(super) const ENTRY: Entry = Entry {
    name: "late_description",
    summary: "answers checks, and describes itself after 20 s at the earliest",
    weight: 2,
    make: || Box::<LateDescription>::default(),
};

/// 20 s.
const LATE_TICKS: u32 = 200;

#[derive(Debug, Default)]
struct LateDescription {
    ticks: u32,
}

impl Lie for LateDescription {
    fn ignores(&self, frame: &TopologyFrame) -> bool {
        self.ticks < LATE_TICKS && matches!(frame, TopologyFrame::Describe { .. })
    }

    fn tick(&mut self, _says: &mut Says<'_>) {
        self.ticks += 1;
    }
}
