//! A liar that wants messages, and is silent on the data lane: it never reports how much data it has taken, and sends
//! none. It answers everything else, so it keeps its link.

use super::{Entry, Lie};
use crate::liar::Says;

pub(super) const ENTRY: Entry = Entry {
    name: "silent_data",
    summary: "subscribes to `topic`, and never reports that it has taken any message",
    weight: 3,
    make: || Box::new(SilentData),
};

#[derive(Debug)]
struct SilentData;

impl Lie for SilentData {
    fn mutes_data(&self) -> bool {
        true
    }

    fn linked(&mut self, says: &mut Says<'_>) {
        says.want();
    }
}
