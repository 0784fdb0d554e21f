//! The events and notices of the nodes of a run, kept for checks and written into the trace.

use core::fmt;
use core::net::IpAddr;

use lasso_core::event::{Change, Notice, TopologyEvent};
use lasso_core::name::NodeName;
use lasso_core::node::{Command, ConnId, DnsAnswer, Input};
use lasso_core::plane::PlaneCommand;
use lasso_core::time::Instant;
use lasso_core::topology::NodeState;
use sha2::{Digest as _, Sha256};

use crate::app::events::EventSaw;
use crate::app::{AppLog, Outcome, Saw};
use crate::coverage::Reached;
use crate::scenario::{NodeId, NodeSpec};
use crate::trace::{Digest, Trace};
use crate::world::Timed;

/// See the module's text.
#[derive(Debug)]
pub struct Record {
    /// The trace of the run.
    pub trace: Trace,
    /// The coverage reached by lives of processes that have ended.
    pub reached: Reached,
    keys: Vec<String>,
    events: Vec<Vec<Timed<TopologyEvent>>>,
    notices: Vec<Vec<Timed<Notice>>>,
    apps: Vec<AppLog>,
    keep: bool,
}

impl Record {
    /// An empty record. `keep_trace`: keeps all lines, not only the latest.
    pub fn new(nodes: &[NodeSpec], keep_trace: bool) -> Self {
        Record {
            trace: Trace::new(keep_trace),
            reached: Reached::default(),
            keys: nodes.iter().map(|spec| spec.key.clone()).collect(),
            events: vec![Vec::new(); nodes.len()],
            notices: vec![Vec::new(); nodes.len()],
            apps: vec![AppLog::default(); nodes.len()],
            keep: true,
        }
    }

    /// Keeps nothing and writes no line, for measurements: only the digest of inputs continues.
    pub fn set_quiet(&mut self) {
        self.keep = false;
        self.trace.set_quiet(true);
    }

    /// Writes a line about a node.
    pub fn line(&mut self, now: Instant, node: NodeId, what: fmt::Arguments<'_>) {
        self.trace.line(now, &self.keys[node.index()], what);
    }

    /// Writes a minor line about a node, such as one about an attempt that recurs often.
    pub fn faint_line(&mut self, now: Instant, node: NodeId, what: fmt::Arguments<'_>) {
        self.trace.faint_line(now, &self.keys[node.index()], what);
    }

    /// A node has reported an event to its subscribers.
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

    /// A node has given a notice to its operator.
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

    /// The application of a node starts again.
    pub fn new_life(&mut self, node: NodeId) {
        self.apps[node.index()].new_life();
    }

    /// The application of a node has seen something. Rare observations get a line; frequent ones are only mixed
    /// into the digest.
    pub fn saw(&mut self, now: Instant, node: NodeId, saw: &Saw) {
        let digest = self.trace.digest();
        digest.word(now.as_nanos() << 10 | u64::from(node.0 & 0x3ff));
        digest_saw(digest, saw);
        if !self.keep {
            return;
        }
        let whose = self.viewers_name(node, saw);
        match self.note_of(node, saw) {
            Note::None => {}
            Note::Faint => self.faint_line(now, node, format_args!("{whose}{}", Seen(saw))),
            Note::Line => self.line(now, node, format_args!("{whose}{}", Seen(saw))),
        }
        self.apps[node.index()].note(now, saw);
    }

    /// The observations of the applications of a node.
    pub fn app(&self, node: NodeId) -> &AppLog {
        &self.apps[node.index()]
    }

    /// All events of a node so far.
    pub fn events(&self, node: NodeId) -> &[Timed<TopologyEvent>] {
        &self.events[node.index()]
    }

    /// All events of each node so far.
    pub(crate) fn all_events(&self) -> impl Iterator<Item = &[Timed<TopologyEvent>]> {
        self.events.iter().map(Vec::as_slice)
    }

    /// SHA-256 of the membership events of each node, in order: which peer, what and why, without times.
    pub(crate) fn membership_hash(&self) -> String {
        let mut hash = Sha256::new();
        for (key, events) in self.keys.iter().zip(&self.events) {
            hash.update(format!("{key}\n"));
            for event in events {
                hash.update(match &event.what.change {
                    Change::NodeConnected { name, .. } => format!("connected {name}\n"),
                    Change::NodeDisconnected { name, reason } => {
                        format!("{name} {}\n", reason.name())
                    }
                    Change::NodeIdentified { name, .. } => format!("identified {name}\n"),
                    Change::HealthUpdate { changed } => {
                        let one = |(name, state): &(NodeName, NodeState)| {
                            format!("{name} {}\n", state.name())
                        };
                        changed.iter().map(one).collect()
                    }
                });
            }
        }
        hash.finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    /// All notices of each node so far.
    pub(crate) fn all_notices(&self) -> impl Iterator<Item = &[Timed<Notice>]> {
        self.notices.iter().map(Vec::as_slice)
    }

    /// All notices of a node so far.
    pub fn notices(&self, node: NodeId) -> &[Timed<Notice>] {
        &self.notices[node.index()]
    }
}

/// Mixes received bytes into the digest, whether a node or a link task receives them.
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
        Input::Command(Command::Plane(command)) => digest_plane(digest, command),
        Input::Command(command) => {
            digest.word(8 << 56);
            digest.bytes(format!("{command:?}").as_bytes());
        }
    }
}

/// Mixes in a command of an application; messages by their bytes.
fn digest_plane(digest: &mut Digest, command: &PlaneCommand) {
    match command {
        PlaneCommand::Publish { tag, payload, .. }
        | PlaneCommand::Call { tag, payload, .. }
        | PlaneCommand::CallMany { tag, payload, .. } => {
            digest.word(13 << 56 | *tag);
            digest.bytes(payload);
        }
        PlaneCommand::Read { id } => digest.word(14 << 56 | id.0),
        PlaneCommand::Answer { id, .. } => digest.word(15 << 56 | id.0),
        rare => digest.bytes(format!("{rare:?}").as_bytes()),
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

/// Mixes in an observation of an application.
fn digest_saw(digest: &mut Digest, saw: &Saw) {
    match saw {
        Saw::Got { sub, got } => {
            digest.word(16 << 56 | u64::from(*sub));
            digest.word(got.number << 1 | got.row as u64);
            digest.word(got.tag.unwrap_or(0));
            digest.word(got.incarnation.0);
        }
        Saw::Answered { tag, outcome } => digest.word(17 << 56 | (*outcome as u64) << 48 | *tag),
        Saw::Called { tag, .. } => digest.word(11 << 56 | *tag),
        Saw::Published {
            tag,
            result: Ok(reach),
            ..
        } => {
            digest.word(12 << 56 | *tag);
            digest.word((reach.subscribers << 32 | reach.nodes << 16 | reach.shed) as u64);
        }
        rare => {
            digest.bytes(Seen(rare).to_string().as_bytes());
            match rare {
                Saw::Events(EventSaw::Seen { sight, .. }) => {
                    digest.bytes(sight.details().as_bytes());
                }
                Saw::Metrics(saw) => digest.bytes(saw.sight.details().as_bytes()),
                _ => {}
            }
        }
    }
}

/// How an observation appears in the trace.
enum Note {
    None,
    Faint,
    Line,
}

impl Record {
    /// As in "desk's viewer 1 gets …"; `None` for anything but a viewer.
    fn viewers_name(&self, node: NodeId, saw: &Saw) -> String {
        let Saw::Events(EventSaw::Seen { viewer, .. }) = saw else {
            return String::new();
        };
        let viewer = self.app(node).events.viewers.get(viewer);
        viewer.map_or(String::new(), |viewer| format!("{}'s ", viewer.name))
    }

    /// Heartbeats are faint, and so are reads with the same result as the previous read.
    fn note_of(&self, node: NodeId, saw: &Saw) -> Note {
        let is_noted = match saw {
            Saw::Got { got, .. } => got.tag.is_none(),
            Saw::Answered { outcome, .. } => *outcome != Outcome::Ok,
            Saw::Called { .. } => false,
            Saw::Events(saw) if saw.is_heartbeat() => return Note::Faint,
            Saw::Events(saw) => saw.is_noted(),
            Saw::Metrics(saw) => {
                let mut reads = self.app(node).reads.iter();
                let before = reads.rfind(|read| read.page == saw.page);
                match before.is_some_and(|read| read.sight.is_alike(&saw.sight)) {
                    true => return Note::Faint,
                    false => true,
                }
            }
            Saw::Published { result, .. } => !matches!(result, Ok(reach) if reach.shed == 0),
            _ => true,
        };
        if is_noted { Note::Line } else { Note::None }
    }
}

struct Seen<'a>(&'a Saw);

impl fmt::Display for Seen<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Saw::Subscribed {
                sub, name, topic, ..
            } => write!(f, "subscriber {sub} ({name}) of {topic}"),
            Saw::NotSubscribed { sub, error } => write!(f, "subscriber {sub} is none: {error}"),
            Saw::Unsubscribed { sub } => write!(f, "subscriber {sub} ends"),
            Saw::Got { sub, got } => {
                let (from, number, row) = (&got.from, got.number, got.row);
                write!(f, "subscriber {sub} got {row:?} {number} of {from}")?;
                match got.tag {
                    Some(tag) => write!(f, ", the {tag}th"),
                    None => f.write_str(", spoilt"),
                }
            }
            Saw::Metrics(saw) => saw.fmt(f),
            Saw::Missed { sub, count } => write!(f, "subscriber {sub} missed {count}"),
            Saw::Events(saw) => saw.fmt(f),
            Saw::Published {
                topic, tag, result, ..
            } => match result {
                Ok(reach) => write!(f, "published {tag} on {topic}: {reach:?}"),
                Err(error) => write!(f, "could not publish {tag} on {topic}: {error}"),
            },
            Saw::Called {
                tag, to, method, ..
            } => write!(f, "call {tag} of {method} at {to}"),
            Saw::Answered { tag, outcome } => write!(f, "call {tag} ends: {}", outcome.name()),
            Saw::CalledMany {
                tag, to, method, ..
            } => {
                write!(f, "call {tag} of {method} at {} nodes", to.len())
            }
            Saw::Gathered {
                tag,
                outcomes,
                joined,
                left,
            } => {
                write!(f, "call {tag} ends:")?;
                for (node, outcome) in outcomes {
                    write!(f, " {node} {}", outcome.name())?;
                }
                write!(f, "; joined {joined:?}, left {left:?}")
            }
        }
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
