//! A liar that requests the node's description again and again, whatever the answer.

use lasso_core::frame::{Frame, TopologyFrame};

use super::{Entry, Lie};
use crate::liar::Says;

pub(super) const ENTRY: Entry = Entry {
    name: "questions_without_end",
    summary: "asks the node for its description 5,000 times a second",
    weight: 1,
    make: || Box::<QuestionsWithoutEnd>::default(),
};

const AT_ONCE: u64 = 500;

#[derive(Debug, Default)]
struct QuestionsWithoutEnd {
    last: u64,
}

impl Lie for QuestionsWithoutEnd {
    fn tick(&mut self, says: &mut Says<'_>) {
        for _ in 0..AT_ONCE {
            self.last += 1;
            let id = self.last;
            says.frame(&Frame::Topology(TopologyFrame::Describe { id }));
        }
    }
}
