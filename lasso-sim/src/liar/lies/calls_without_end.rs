//! A liar that makes far more calls than any node could answer.

use super::{Entry, Lie};
use crate::liar::Says;

pub(super) const ENTRY: Entry = Entry {
    name: "calls_without_end",
    summary: "calls the method under `topic` far more often than any node could answer",
    weight: 1,
    make: || Box::<CallsWithoutEnd>::default(),
};

const AT_ONCE: u64 = 1_000;

#[derive(Debug, Default)]
struct CallsWithoutEnd {
    last: u64,
}

impl Lie for CallsWithoutEnd {
    fn tick(&mut self, says: &mut Says<'_>) {
        let method = says.topic().to_owned();
        for _ in 0..AT_ONCE {
            self.last += 1;
            says.call(self.last, &method, &self.last.to_be_bytes());
        }
    }
}
