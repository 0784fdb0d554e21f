//! What goes into a [`Node`](super::Node) and what comes out.

use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::discovery::{Family, QueryId};
use crate::event::{CloseReason, Notice, TopologyEvent};
use crate::frame::Frame;
use crate::name::Description;
use crate::plane::{PlaneCommand, PlaneOutput};

/// One connection, for as long as the process lives.
///
/// Numbers are never used again. The two directions count separately, since the node names the
/// connections that it dials and the driver those that it accepts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ConnId {
    /// Accepted; numbered by the driver.
    In(u64),
    /// Dialled; numbered by the node.
    Out(u64),
}

impl fmt::Debug for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnId::In(n) => write!(f, "in-{n}"),
            ConnId::Out(n) => write!(f, "out-{n}"),
        }
    }
}

impl fmt::Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Why a connection ended, as the network tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NetError {
    /// The other side closed its direction in good order.
    Eof,
    /// Reset, or any other error of the stream.
    Reset,
    /// A connect was refused: nobody listens there.
    Refused,
    /// A connect failed for another reason: no route, no socket.
    Unreachable,
}

/// What a resolver found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum DnsAnswer {
    /// Addresses, with the port where the record names one (SRV).
    Addresses {
        /// The addresses in the order of the answer.
        addresses: Vec<(IpAddr, Option<u16>)>,
        /// The answer was cut short.
        truncated: bool,
    },
    /// The name does not exist or has no record of that kind.
    Empty,
    /// No answer, or an error; the text says which.
    Failed(String),
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Input {
    /// A moment that `poll_timeout` named has come.
    Tick,
    /// A dial succeeded.
    Connected {
        /// The connection that `Output::Dial` named.
        conn: ConnId,
    },
    /// A peer connected.
    Accepted {
        /// A new number, of the kind [`ConnId::In`].
        conn: ConnId,
        /// Where it comes from.
        from: SocketAddr,
    },
    /// Bytes arrived, in order.
    Received {
        /// On this connection.
        conn: ConnId,
        /// At least one byte.
        bytes: Bytes,
    },
    /// The network took bytes of what `Output::Send` handed over.
    Written {
        /// On this connection.
        conn: ConnId,
        /// How many.
        bytes: usize,
    },
    /// A connection ended or could not be made. The last input that names it.
    Closed {
        /// Which one.
        conn: ConnId,
        /// How.
        error: NetError,
    },
    /// A query was answered.
    Resolved {
        /// Which one.
        query: QueryId,
        /// For which family.
        family: Family,
        /// With what.
        answer: DnsAnswer,
    },
    /// A frame came on a link whose halves were taken out.
    Frame {
        /// On this connection.
        conn: ConnId,
        /// What it says.
        frame: Frame,
    },
    /// What came on a link whose halves were taken out made no sense.
    Broken {
        /// On this connection.
        conn: ConnId,
        /// In which way.
        reason: CloseReason,
    },
    /// What the application wants.
    Command(Command),
}

/// What the application wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// The application is ready to work, or no longer.
    SetReady(bool),
    /// The application describes itself anew.
    Describe(Description),
    /// Publish, subscribe, call, answer.
    Plane(PlaneCommand),
    /// Take nothing more, send what was taken, say goodbye to every peer and stop. The last output is
    /// [`Output::Stopped`]; [`Node::unsent`](super::Node::unsent) says what did not go out.
    Leave {
        /// How long it may take to send what was taken; zero: nothing waits for anything.
        within: Duration,
    },
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Ask for the addresses of a name, and answer with [`Input::Resolved`], once.
    Resolve {
        /// Comes back in the answer.
        query: QueryId,
        /// The name.
        name: String,
        /// Which records.
        family: Family,
    },
    /// Connect, and answer with [`Input::Connected`] or [`Input::Closed`]. The node itself gives up
    /// a connect that takes too long.
    Dial {
        /// The new connection.
        conn: ConnId,
        /// Where to.
        to: SocketAddr,
    },
    /// Append to what the connection sends; report with [`Input::Written`] what the network took.
    Send {
        /// On which connection.
        conn: ConnId,
        /// What.
        bytes: Bytes,
    },
    /// Send what was handed over, then close, or give up a connect; wait no longer than a second
    /// for a peer that does not read. Nothing more is to be reported of this connection.
    Close {
        /// Which one.
        conn: ConnId,
        /// Why.
        reason: CloseReason,
    },
    /// A connection is a link from now on. Whoever wants it faster takes its halves out, see
    /// [`Node::detach`](super::Node::detach).
    Linked {
        /// Which one.
        conn: ConnId,
    },
    /// Tell the application what it gets from the data plane.
    Plane(PlaneOutput),
    /// Tell subscribers of the topology.
    Event(TopologyEvent),
    /// Tell the operator.
    Notice(Notice),
    /// The node has said goodbye; drive it no more.
    Stopped,
}
