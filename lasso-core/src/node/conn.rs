//! One connection, as the node sees it.

use core::net::SocketAddr;

use crate::frame::Hello;
use crate::link::Link;
use crate::name::NodeName;
use crate::time::Instant;

/// How far a connection has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Phase {
    /// Handshake, until the other side's `Hello`.
    Handshake,
    /// The other side bears the name of a linked node, which is being asked, until then.
    Asking { until: Instant, ping: u64 },
    /// Our checks passed; the decision is open.
    Greeted,
    /// The link.
    Linked,
    /// Another connection is the link now; the other side closes this one, or we do then.
    Retiring(Instant),
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
    /// What the other side said of itself.
    pub(super) hello: Option<Hello>,
    /// The other side has said `Offer`.
    pub(super) offered: bool,
    /// We dialled it to test a silent link.
    pub(super) probe: bool,
}

impl Conn {
    /// The name of the other side, once it is authenticated.
    pub(super) fn peer(&self) -> Option<&NodeName> {
        self.hello.as_ref().map(|hello| &hello.identity.name)
    }
}
