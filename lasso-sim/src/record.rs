//! What the nodes of a run have said: events and notices, kept for checks, and written into the
//! trace.

use core::fmt;
use core::net::IpAddr;

use lasso_core::event::{Change, Notice, TopologyEvent};
use lasso_core::node::{ConnId, DnsAnswer, Input};
use lasso_core::time::Instant;

use crate::scenario::{NodeId, NodeSpec};
use crate::trace::{Digest, Trace};
use crate::world::Timed;

/// See the module's text.
#[derive(Debug)]
pub struct Record {
    /// The trace of the run.
    pub trace: Trace,
    keys: Vec<String>,
    events: Vec<Vec<Timed<TopologyEvent>>>,
    notices: Vec<Vec<Timed<Notice>>>,
    keep: bool,
}

impl Record {
    /// Nothing was said yet. `keep_trace`: all lines are kept, not only the latest.
    pub fn new(nodes: &[NodeSpec], keep_trace: bool) -> Self {
        Record {
            trace: Trace::new(keep_trace),
            keys: nodes.iter().map(|spec| spec.key.clone()).collect(),
            events: vec![Vec::new(); nodes.len()],
            notices: vec![Vec::new(); nodes.len()],
            keep: true,
        }
    }

    /// Keeps nothing and writes no line, for measurements: only the digest of inputs goes on.
    pub fn set_quiet(&mut self) {
        self.keep = false;
        self.trace.set_quiet(true);
    }

    /// Writes a line about a node.
    pub fn line(&mut self, now: Instant, node: NodeId, what: fmt::Arguments<'_>) {
        self.trace.line(now, &self.keys[node.index()], what);
    }

    /// A node has told its subscribers something.
    pub fn event(&mut self, now: Instant, node: NodeId, event: TopologyEvent) {
        if !self.keep {
            return;
        }
        let (epoch, coverage) = (event.epoch, &event.coverage);
        let counts = (coverage.responding, coverage.connected, coverage.expected);
        let what = Told(&event.change);
        self.line(
            now,
            node,
            format_args!("epoch {epoch} {what}; coverage {counts:?}"),
        );
        self.events[node.index()].push(Timed {
            at: now,
            what: event,
        });
    }

    /// A node has told its operator something.
    pub fn notice(&mut self, now: Instant, node: NodeId, notice: Notice) {
        if !self.keep {
            return;
        }
        self.line(now, node, format_args!("notice {notice:?}"));
        self.notices[node.index()].push(Timed {
            at: now,
            what: notice,
        });
    }

    /// All events of a node so far.
    pub fn events(&self, node: NodeId) -> &[Timed<TopologyEvent>] {
        &self.events[node.index()]
    }

    /// All notices of a node so far.
    pub fn notices(&self, node: NodeId) -> &[Timed<Notice>] {
        &self.notices[node.index()]
    }
}

/// Mixes bytes that came into the digest, whoever takes them.
pub fn digest_received(digest: &mut Digest, conn: ConnId, bytes: &[u8]) {
    digest.word(4 << 56 | numbered(conn));
    digest.bytes(bytes);
}

fn numbered(conn: ConnId) -> u64 {
    match conn {
        ConnId::In(number) => number << 1,
        ConnId::Out(number) => number << 1 | 1,
    }
}

/// Mixes an input into the digest: its kind, its connection, its bytes.
pub fn digest_input(digest: &mut Digest, input: &Input) {
    let mut about = |kind: u64, conn: &ConnId| digest.word(kind << 56 | numbered(*conn));
    match input {
        Input::Tick => digest.word(1 << 56),
        Input::Connected { conn } => about(2, conn),
        Input::Accepted { conn, .. } => about(3, conn),
        Input::Received { conn, bytes } => digest_received(digest, *conn, bytes),
        Input::Written { conn, bytes } => {
            about(5, conn);
            digest.word(*bytes as u64);
        }
        Input::Closed { conn, error } => {
            about(6, conn);
            digest.word(*error as u64);
        }
        Input::Resolved {
            query,
            family,
            answer,
        } => {
            digest.word(7 << 56 | u64::from(query.0) << 8 | *family as u64);
            digest_answer(digest, answer);
        }
        Input::Frame { conn, frame } => {
            about(9, conn);
            digest.bytes(format!("{frame:?}").as_bytes());
        }
        Input::Broken { conn, reason } => {
            about(10, conn);
            digest.bytes(reason.name().as_bytes());
        }
        Input::Command(command) => {
            digest.word(8 << 56);
            digest.bytes(format!("{command:?}").as_bytes());
        }
    }
}

fn digest_answer(digest: &mut Digest, answer: &DnsAnswer) {
    match answer {
        DnsAnswer::Addresses {
            addresses,
            truncated,
        } => {
            digest.word(u64::from(*truncated));
            for (ip, port) in addresses {
                match ip {
                    IpAddr::V4(ip) => digest.word(u64::from(ip.to_bits())),
                    IpAddr::V6(ip) => digest.bytes(&ip.octets()),
                }
                digest.word(u64::from(port.unwrap_or(0)));
            }
        }
        DnsAnswer::Empty => digest.word(2),
        DnsAnswer::Failed(text) => digest.bytes(text.as_bytes()),
    }
}

struct Told<'a>(&'a Change);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Change::NodeConnected { name, incarnation } => {
                write!(f, "connected {name} incarnation {incarnation}")
            }
            Change::NodeDisconnected { name, reason } => {
                write!(f, "disconnected {name} {reason:?}")
            }
            Change::NodeIdentified { name, description } => {
                write!(
                    f,
                    "identified {name} as {} in {}",
                    description.id, description.region
                )
            }
            Change::HealthUpdate { changed } => {
                f.write_str("health")?;
                changed
                    .iter()
                    .try_for_each(|(name, state)| write!(f, " {name} {}", state.name()))
            }
        }
    }
}
