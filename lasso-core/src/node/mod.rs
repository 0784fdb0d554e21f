//! The outermost machine: composes discovery, mesh, links and topology behind one
//! `handle`, `poll_output`, `poll_timeout`. (Skeleton.)

mod io;

pub use io::{Command, ConnId, DnsAnswer, Input, NetError, Output};

use crate::name::Identity;
use crate::time::Instant;

/// A link that stands: one per pair of nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkInfo {
    /// The connection that carries it.
    pub conn: ConnId,
    /// The other side.
    pub peer: Identity,
    /// The same number at both ends, different for each connection.
    pub session: u64,
    /// When the last byte came.
    pub last_received: Instant,
}
