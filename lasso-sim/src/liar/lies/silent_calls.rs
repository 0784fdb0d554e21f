//! A liar that takes calls and never answers them.

use super::{Entry, Lie};
use crate::liar::Says;

pub(super) const ENTRY: Entry = Entry {
    name: "silent_calls",
    summary: "takes calls and never answers them",
    weight: 3,
    make: || Box::new(SilentCalls),
};

#[derive(Debug)]
struct SilentCalls;

impl Lie for SilentCalls {
    fn called(&mut self, _call: u64, says: &mut Says<'_>) {
        says.nothing();
    }
}
