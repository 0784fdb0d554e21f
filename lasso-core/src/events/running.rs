//! One profile of which live events are shown, and when something is due of it.

use super::StreamEvent;
use super::chains::Chains;
use super::stream::EventStream;
use super::topics::Segment;
use crate::time::{Instant, earliest};
use crate::timers::Timers;

/// The stream of one profile.
pub(super) struct Running<E> {
    pub(super) stream: EventStream<E>,
    /// The chains whose states are wanted.
    pub(super) chains: Chains,
    /// The deadline that is in the table.
    pub(super) scheduled: Option<Instant>,
}

impl<E: StreamEvent> Running<E> {
    pub(super) fn deadline(&self) -> Option<Instant> {
        earliest(self.stream.deadline(), self.chains.deadline())
    }
}

/// Sees to it that what is due of a stream is known, after something was done to it.
pub(super) fn schedule<E: StreamEvent>(
    timers: &mut Timers<Segment>,
    profile: &Segment,
    running: &mut Running<E>,
) {
    let due = running.deadline();
    if due == running.scheduled {
        return;
    }
    running.scheduled = due;
    match due {
        Some(due) => timers.set(profile.clone(), due),
        None => _ = timers.clear(profile),
    }
}
