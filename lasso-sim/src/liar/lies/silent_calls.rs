//! A liar that takes calls and never answers them.

use super::{Entry, Lie};
use crate::liar::Says;

pub(super) const ENTRY: Entry = Entry {
    name: "silent_calls",
    summary: "takes calls and never answers them",
    make: || Box::new(SilentCalls),
};

#[derive(Debug)]
struct SilentCalls;

impl Lie for SilentCalls {
    fn called(&mut self, _call: u64, _says: &mut Says<'_>) {}
}
