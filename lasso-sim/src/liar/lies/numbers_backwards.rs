//! A liar that sends messages out of order and restarts its numbers.

use lasso_core::frame::PubSubFrame;

use super::{Entry, Lie, wants};
use crate::liar::Says;

pub(super) const ENTRY: Entry = Entry {
    name: "numbers_backwards",
    summary: "numbers its messages out of order, and restarts its stream",
    weight: 3,
    make: || Box::<NumbersBackwards>::default(),
};

#[derive(Debug, Default)]
struct NumbersBackwards {
    asked: bool,
    last: u64,
}

impl Lie for NumbersBackwards {
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
        for number in [3, 1, 2] {
            says.message(self.last + number);
        }
        self.last += 3;
        if self.last.is_multiple_of(30) {
            says.stream(self.last / 2);
        }
    }
}
