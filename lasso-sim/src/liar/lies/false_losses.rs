//! A liar that reports more lost messages than there ever were.

use lasso_core::frame::{Frame, MissedRange, PubSubFrame};
use lasso_core::plane::pubsub::Row;

use super::{Entry, Lie, wants};
use crate::liar::Says;
use crate::liar::says::STREAM;

pub(super) const ENTRY: Entry = Entry {
    name: "false_losses",
    summary: "reports endless losses, reversed ranges, and losses of streams that do not exist",
    weight: 3,
    make: || Box::<FalseLosses>::default(),
};

#[derive(Debug, Default)]
struct FalseLosses {
    asked: bool,
}

impl Lie for FalseLosses {
    fn interest(&mut self, frame: &PubSubFrame, says: &mut Says<'_>) {
        if wants(frame, says.topic()) {
            self.asked = true;
            says.stream(0);
        }
    }

    fn tick(&mut self, says: &mut Says<'_>) {
        if !self.asked {
            return;
        }
        let range = |stream, from, to| MissedRange {
            stream,
            row: Row::All,
            from,
            to,
        };
        says.frame(&Frame::PubSub(PubSubFrame::Missed(vec![
            range(STREAM, 1, u64::MAX),
            range(STREAM, 9, 3),
            range(STREAM, 0, 0),
            range(u32::MAX, 1, u64::MAX),
        ])));
    }
}
