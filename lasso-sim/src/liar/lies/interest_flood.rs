//! A liar that declares interest in ever more topics.

use lasso_core::frame::{Frame, PubSubFrame};

use super::{Entry, Lie};
use crate::liar::Says;

pub(super) const ENTRY: Entry = Entry {
    name: "interest_flood",
    summary: "wants 2,000 more topics each second, of 250 bytes each",
    weight: 1,
    make: || Box::<InterestFlood>::default(),
};

/// In one frame, which may have 64 KiB.
const AT_ONCE: u64 = 200;
const TOPIC_BYTES: usize = 250;

#[derive(Debug, Default)]
struct InterestFlood {
    last: u64,
}

impl Lie for InterestFlood {
    fn tick(&mut self, says: &mut Says<'_>) {
        let topics = (self.last..self.last + AT_ONCE).map(|n| format!("{n:0>TOPIC_BYTES$}"));
        says.frame(&Frame::PubSub(PubSubFrame::Interest {
            add: topics.collect(),
            remove: Vec::new(),
        }));
        self.last += AT_ONCE;
    }
}
