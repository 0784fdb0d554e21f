//! A liar that sends each message twice, under the same number.

use lasso_core::frame::PubSubFrame;

use super::{Entry, Lie, wants};
use crate::liar::Says;

pub(super) const ENTRY: Entry = Entry {
    name: "numbers_twice",
    summary: "sends each of 100 messages twice, under the same number",
    weight: 3,
    make: || Box::<NumbersTwice>::default(),
};

const MESSAGES: u64 = 100;

#[derive(Debug, Default)]
struct NumbersTwice {
    asked: bool,
    last: u64,
}

impl Lie for NumbersTwice {
    fn interest(&mut self, frame: &PubSubFrame, says: &mut Says<'_>) {
        if wants(frame, says.topic()) {
            self.asked = true;
            says.stream(self.last);
        }
    }

    fn tick(&mut self, says: &mut Says<'_>) {
        if self.asked && self.last < MESSAGES {
            self.last += 1;
            says.message(self.last);
            says.message(self.last);
        }
    }
}
