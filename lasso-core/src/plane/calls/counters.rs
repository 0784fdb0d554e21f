//! What happened to calls, in numbers.

use super::CallError;

/// Everything since the start of the node.
///
/// `started` is the sum of all outcomes, of `cancelled`, and of the calls that wait.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallCounters {
    /// Questions of this node, one per node asked, those that failed at once included.
    pub started: u64,
    /// Outcomes: answers.
    pub answered: u64,
    /// Outcomes: [`CallError::NotConnected`].
    pub not_connected: u64,
    /// Outcomes: [`CallError::Timeout`].
    pub timeouts: u64,
    /// Outcomes: [`CallError::NoSuchMethod`].
    pub no_such_method: u64,
    /// Outcomes: [`CallError::Overloaded`].
    pub overloaded: u64,
    /// Outcomes: [`CallError::Disconnected`].
    pub disconnected: u64,
    /// Outcomes: [`CallError::Rejected`].
    pub rejected: u64,
    /// Outcomes: [`CallError::Malformed`].
    pub malformed: u64,
    /// Outcomes: [`CallError::TooLarge`].
    pub too_large: u64,
    /// Outcomes: [`CallError::Stopped`].
    pub stopped: u64,
    /// Calls that were given up before they had an outcome.
    pub cancelled: u64,
    /// Answers that came when nobody waited for them any more.
    pub late_answers: u64,
    /// Answers that came over another connection than their question went out on; not taken.
    pub stray_answers: u64,
    /// Nodes that came or went during a call to many and are not named in it, since it names as many
    /// as it may.
    pub members_unnoted: u64,
    /// Questions that came: those refused included, those of this node to itself as well.
    pub requests: u64,
    /// Questions that came over a connection that is no link; dropped.
    pub requests_unlinked: u64,
    /// Questions refused: no such method.
    pub requests_no_such_method: u64,
    /// Questions refused: as many are worked on as may.
    pub requests_overloaded: u64,
    /// Questions refused: the peer holds as many places as are free already, so that others find some.
    pub requests_over_share: u64,
    /// Questions refused: there are places, but handlers hold as many bytes of questions as they may, or as
    /// many of this peer's as are free.
    pub requests_over_bytes: u64,
    /// Questions refused: they were given up before they were all there, see
    /// [`Unfinished`](crate::link::Unfinished).
    pub requests_unfinished: u64,
    /// Questions refused: this node is about to stop.
    pub requests_stopping: u64,
    /// Refusals, of whatever kind, that the control lane did not take; whoever asked hears nothing.
    pub refusals_lost: u64,
    /// Answers that were sent, or handed to this node itself.
    pub answers: u64,
    /// Answers replaced by a rejection, since they were larger than a message may be.
    pub answers_too_large: u64,
    /// Answers replaced by [`CallError::Overloaded`], since the lane to the asker was full.
    pub answers_shed: u64,
    /// Questions whose asker's link was lost before they were answered: nobody works on them any more.
    pub answers_nowhere: u64,
    /// Questions whose handler gave up, since it was late; whoever asked has given up too.
    pub given_up: u64,
    /// Answers to a question that is not worked on: unknown, answered before, or its link was lost.
    pub answers_unknown: u64,
}

impl CallCounters {
    /// Outcomes of whatever kind.
    pub fn outcomes(&self) -> u64 {
        let failed = self.not_connected
            + self.timeouts
            + self.no_such_method
            + self.overloaded
            + self.disconnected
            + self.rejected
            + self.malformed
            + self.too_large
            + self.stopped;
        self.answered + failed
    }

    /// Counts outcomes that are no answer.
    pub(super) fn count_errors(&mut self, error: &CallError, how_many: u64) {
        let counter = match error {
            CallError::NotConnected(_) => &mut self.not_connected,
            CallError::Timeout(_) => &mut self.timeouts,
            CallError::NoSuchMethod => &mut self.no_such_method,
            CallError::Overloaded => &mut self.overloaded,
            CallError::Disconnected => &mut self.disconnected,
            CallError::Rejected(_) => &mut self.rejected,
            CallError::Malformed { .. } => &mut self.malformed,
            // What cannot be encoded never comes here.
            CallError::TooLarge { .. } | CallError::Unencodable(_) => &mut self.too_large,
            CallError::Stopped => &mut self.stopped,
        };
        *counter += how_many;
    }
}
