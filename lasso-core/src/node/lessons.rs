//! What a node does with what the end of a dial teaches it (see [`Lesson`]), and what it tells the other side.

use crate::event::{CloseReason, Lesson};
use crate::name::{Identity, NodeName};
use crate::time::Instant;

use super::{ConnId, Miss, Node};

impl Node {
    /// A dial ended without a link, unless it had its end before: draws the consequences for the
    /// candidate. `met`: the other side has said who it is.
    pub(super) fn dial_ended(
        &mut self,
        now: Instant,
        id: ConnId,
        candidate: &NodeName,
        reason: &CloseReason,
        met: bool,
    ) {
        if self.dials.get(candidate) != Some(&id) {
            return;
        }
        self.dials.remove(candidate);
        let miss = match reason.lesson() {
            Lesson::OwnAddress => {
                self.discovery.is_own(candidate);
                self.mesh.remove(candidate);
                return self.topology_expects();
            }
            Lesson::OwnName => {
                // A process that bears the name refuses before it says who it is.
                if !met {
                    self.discovery.answers_as(candidate, &self.identity.name);
                    self.topology_expects();
                }
                Miss::Failed
            }
            Lesson::Wait => Miss::Wait,
            Lesson::NoFailure => Miss::Duplicate,
            // `gone` renumbers, which dials everybody anew.
            Lesson::Renumber | Lesson::Again => Miss::Failed,
        };
        self.mesh.missed(now, candidate, miss);
    }
}

/// A reason as the other side should read it: what is theirs to us is ours to them.
pub(super) fn mirrored(reason: &CloseReason, me: &Identity) -> CloseReason {
    match reason {
        CloseReason::OtherCluster { .. } => CloseReason::OtherCluster {
            theirs: me.cluster.clone(),
        },
        CloseReason::OtherBasename { .. } => CloseReason::OtherBasename {
            theirs: me.name.basename().clone(),
        },
        other => other.clone(),
    }
}
