//! One connection, as the node sees it.

use core::net::SocketAddr;

use crate::frame::Hello;
use crate::link::Link;
use crate::name::{Identity, NodeName};
use crate::time::Instant;

/// How far a connection has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Phase {
    /// Handshake, until the other side's `Hello`.
    Handshake,
    /// The other side is authenticated and has said who it is.
    Met {
        /// What it said of itself.
        hello: Hello,
        /// How far the two sides have agreed that this connection is the link.
        step: Step,
    },
}

/// The way of one connection to being the link of its pair; `pairing` has the table of transitions.
///
/// The node with the smaller name decides for the pair, the other one follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// A link of that name stands, and was sent this ping; until then it may answer.
    Asking {
        /// When the standing link has failed to answer.
        until: Instant,
        /// The number of the ping.
        ping: u64,
        /// The other side's `Offer` is here.
        offered: bool,
    },
    /// Our checks passed. The follower has sent `Offer`; the decider waits for it.
    Passed {
        /// The ping that the standing link did not answer, where one stood.
        unanswered: Option<u64>,
        /// The other side's `Offer` is here.
        offered: bool,
    },
    /// The decider has sent `Adopt` and this ping, and waits for any answer.
    Proposed {
        /// The number of the ping.
        ping: u64,
    },
    /// The follower has received `Adopt`, and waits for the decider's first frame after it.
    Accepted {
        /// Grows from one `Adopt` to the next: of two adopted connections the later one counts.
        order: u64,
    },
    /// The link.
    Linked,
}

/// A connect that is under way.
pub(super) struct Connecting {
    /// Until when it may take.
    pub(super) until: Instant,
    pub(super) candidate: NodeName,
    /// It tests a silent link.
    pub(super) probe: bool,
}

/// One connection.
pub(super) struct Conn {
    pub(super) phase: Phase,
    pub(super) link: Link,
    pub(super) remote: SocketAddr,
    /// Whom we dialled.
    pub(super) candidate: Option<NodeName>,
    /// We dialled it to test a silent link.
    pub(super) probe: bool,
}

impl Conn {
    /// What the other side said of itself, and how far the pairing has come.
    pub(super) fn met(&self) -> Option<(&Hello, Step)> {
        match &self.phase {
            Phase::Met { hello, step } => Some((hello, *step)),
            Phase::Handshake => None,
        }
    }

    /// How far the pairing has come.
    pub(super) fn step(&self) -> Option<Step> {
        self.met().map(|(_, step)| step)
    }

    /// The other side, once it is authenticated.
    pub(super) fn peer(&self) -> Option<&Identity> {
        self.met().map(|(hello, _)| &hello.identity)
    }

    /// True for the link of a pair.
    pub(super) fn is_link(&self) -> bool {
        self.step() == Some(Step::Linked)
    }
}
