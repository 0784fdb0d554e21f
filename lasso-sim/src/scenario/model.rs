//! A scenario as it was read: the nodes, the network, the steps and the checks.
//!
//! Every step, action and check keeps its place in the file, so that a failure at run time can point there.
//! Names are resolved: a node is a [`NodeId`], the index of its [`NodeSpec`].

use core::fmt;
use core::ops::Range;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use lasso_core::config::{NodeConfig, Settings};
use lasso_core::discovery::Query;
use lasso_core::name::{Basename, Description, Label, NodeName};
use lasso_core::secure::{Cookie, Security};

use super::sometimes::Sometimes;
use crate::checks::Check;
use crate::random::Asked;
use crate::verbs::Verb;
use crate::world::{Path, WorldKind};

/// The text of a file, and its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// As it was given by the user.
    pub path: PathBuf,
    /// All of it.
    pub text: String,
    /// A test in Rust runs it, and may use its labels and check more than the file.
    pub tested: bool,
}

/// A place in a scenario's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loc {
    /// Bytes of the text.
    pub span: Range<usize>,
    /// Line of the first byte, from 1.
    pub line: usize,
    /// Column of the first byte in characters, from 1.
    pub column: usize,
}

/// A node of the scenario: the index of its [`NodeSpec`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u32);

impl NodeId {
    /// As an index into [`Scenario::nodes`].
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node-{}", self.0)
    }
}

/// A whole file.
#[derive(Debug)]
pub struct Scenario {
    /// The file.
    pub source: Arc<Source>,
    /// One line.
    pub title: String,
    /// Its description.
    pub story: String,
    /// Where it can run; [`WorldKind::ALL`] unless the file says otherwise.
    pub worlds: Vec<WorldKind>,
    /// Why it cannot run in the others.
    pub because: Option<String>,
    /// Connections are framed and not sealed; for large scenarios.
    pub null_cipher: bool,
    /// The nodes, in the order of the file.
    pub nodes: Vec<NodeSpec>,
    /// Groups by name: those that the file names, those of a `count`, regions and roles.
    pub groups: BTreeMap<String, Vec<NodeId>>,
    /// Latency, loss and bandwidth at the start.
    pub network: Network,
    /// The steps, in the order of the file, which is the order of time.
    pub steps: Vec<Step>,
    /// The checks that must always or never hold.
    pub rules: Vec<Rule>,
    /// The goals that at least one run of a sweep must reach.
    pub sometimes: Vec<Sometimes>,
    /// Faults that a seed asked `[random]` for.
    pub asked: Vec<Asked>,
    /// The end of each run.
    pub end: Duration,
}

/// One node of the scenario, before it runs.
#[derive(Debug, Clone)]
pub struct NodeSpec {
    /// Its name in the file.
    pub key: String,
    /// Where it is defined.
    pub loc: Loc,
    /// Basename: the application that it belongs to.
    pub basename: Basename,
    /// The address that it announces: part of its name.
    pub address: SocketAddr,
    /// The real address of its machine: it listens there, on the port of `address`, and dials from there. It
    /// differs from `address` only if the node is wrong about itself. DNS answers with this one.
    pub host: IpAddr,
    /// The DNS name under which [`DnsMode::Truth`](crate::world::DnsMode::Truth) answers its host:
    /// `<basename>.internal` unless the file says otherwise.
    pub dns_name: String,
    /// The name of its cluster.
    pub cluster: Label,
    /// Its description.
    pub description: Description,
    /// Its secret; offered and accepted.
    pub cookie: String,
    /// A second secret, accepted only.
    pub cookie_previous: Option<String>,
    /// Its DNS queries.
    pub queries: Vec<Query>,
    /// Further nodes that it dials.
    pub peers: Vec<NodeName>,
    /// How many nodes its operator expects.
    pub expected_nodes: u32,
    /// Its settings.
    pub settings: Settings,
    /// When it starts; `None`: a step starts it.
    pub starts: Option<Duration>,
    /// Its application says that it is ready as soon as it runs.
    pub ready: bool,
    /// The error of its wall clock, in milliseconds.
    pub clock_offset_ms: i64,
}

impl NodeSpec {
    /// Its name as a member of a cluster.
    pub fn name(&self) -> NodeName {
        NodeName::new(self.basename.clone(), self.address)
    }

    /// The DNS name under which [`DnsMode::Truth`](crate::world::DnsMode::Truth) answers its host.
    pub fn dns_name(&self) -> String {
        self.dns_name.clone()
    }

    /// The configuration of its process. `null_cipher` as in the [`Scenario`].
    pub fn config(&self, null_cipher: bool) -> NodeConfig {
        let security = if null_cipher {
            Security::InsecureNull
        } else {
            Security::Cookie {
                current: Cookie::new(self.cookie.as_bytes()),
                previous: self
                    .cookie_previous
                    .as_ref()
                    .map(|text| Cookie::new(text.as_bytes())),
            }
        };
        let mut config = NodeConfig::new(self.name(), security);
        config.cluster = self.cluster.clone();
        config.description = self.description.clone();
        config.queries = self.queries.clone();
        config.peers = self.peers.clone();
        config.expected_nodes = self.expected_nodes;
        config.settings = self.settings.clone();
        config
    }
}

/// The conditions on one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// One way, drawn anew for each piece of a stream; a stream stays in order.
    pub latency: Latency,
    /// Additional latency up to this much, drawn evenly.
    pub jitter: Duration,
    /// Packets lost, in millionths; TCP sends them again, so that streams see delay.
    pub loss_ppm: u32,
    /// Bytes per second; `None`: no limit.
    pub bandwidth: Option<u64>,
}

impl Default for Shape {
    /// Half a millisecond to one millisecond, no loss, no limit.
    fn default() -> Self {
        Shape {
            latency: Latency::Range(Duration::from_micros(500), Duration::from_millis(1)),
            jitter: Duration::ZERO,
            loss_ppm: 0,
            bandwidth: None,
        }
    }
}

/// How long a packet takes, one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Latency {
    /// Evenly between the two.
    Range(Duration, Duration),
    /// Half below `median`, one in a hundred above `p99`.
    Quantiles {
        /// The median.
        median: Duration,
        /// The 99th percentile.
        p99: Duration,
    },
}

/// The network at the start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Network {
    /// The shape of paths that no rule names.
    pub default: Shape,
    /// Shapes of some paths; the last rule that names a path holds.
    pub rules: Vec<(BTreeSet<Path>, Shape)>,
    /// How long DNS takes to answer.
    pub dns_latency: Duration,
}

impl Network {
    /// The shape of one path in the file.
    pub fn shape(&self, path: Path) -> &Shape {
        let rule = self
            .rules
            .iter()
            .rev()
            .find(|(paths, _)| paths.contains(&path));
        rule.map_or(&self.default, |(_, shape)| shape)
    }
}

/// When a step happens.
#[derive(Debug)]
pub enum Moment {
    /// At this time since the start.
    At(Duration),
    /// A delay after an earlier step that waits for a condition.
    After {
        /// The index of that step.
        step: usize,
        /// The delay.
        delay: Duration,
    },
    /// When a condition first holds, once the step before it in the file has happened.
    When {
        /// The checks.
        condition: Expect,
        /// The run fails if the condition does not hold by this time since the start.
        by: Duration,
    },
}

/// One step of the story. Its actions come first, then its expectation.
#[derive(Debug)]
pub struct Step {
    /// Its place in the file.
    pub loc: Loc,
    /// Its name, if it has one.
    pub label: Option<String>,
    /// When.
    pub moment: Moment,
    /// Its actions.
    pub actions: Vec<Action>,
    /// Its expectation, if it has one.
    pub expect: Option<Expectation>,
    /// A fault of this step that takes no effect is not a failure.
    pub optional: bool,
}

/// One verb with its arguments.
#[derive(Debug)]
pub struct Action {
    /// Its place in the file.
    pub loc: Loc,
    /// The key, as `partition`.
    pub key: &'static str,
    /// The verb.
    pub verb: Box<dyn Verb>,
}

/// The expectation of a step.
#[derive(Debug)]
pub struct Expectation {
    /// The checks.
    pub expect: Expect,
    /// They must hold at some moment at most this long after the step; zero: at the step.
    pub within: Duration,
}

/// The nodes that an expectation is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subjects {
    /// These, in the order of the file.
    pub nodes: Vec<NodeId>,
    /// Only those whose process runs at that moment; at least one must run. Otherwise all of them must run.
    pub running_only: bool,
}

/// Checks that must hold at the same moment for each of some nodes.
#[derive(Debug)]
pub struct Expect {
    /// Its place in the file.
    pub loc: Loc,
    /// The nodes.
    pub on: Subjects,
    /// The checks, each with its place.
    pub checks: Vec<(Loc, Box<dyn Check>)>,
}

/// The kind of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleKind {
    /// Holds after every event.
    Always,
    /// Holds after no event.
    Never,
}

/// Checks that must always or never hold, for a while.
#[derive(Debug)]
pub struct Rule {
    /// Its place in the file.
    pub loc: Loc,
    /// Its kind.
    pub kind: RuleKind,
    /// From this time on.
    pub from: Duration,
    /// Until this time, inclusive.
    pub until: Duration,
    /// Every moment of [`RuleKind::Always`] must satisfy all checks for each subject; no moment of
    /// [`RuleKind::Never`] may satisfy them for any.
    pub expect: Expect,
}

impl Scenario {
    /// One node.
    ///
    /// # Panics
    /// When the id is not from this scenario.
    pub fn node(&self, id: NodeId) -> &NodeSpec {
        &self.nodes[id.index()]
    }

    /// The ids of all nodes, in the order of the file.
    pub fn node_ids(&self) -> impl Iterator<Item = NodeId> + use<> {
        (0..self.nodes.len() as u32).map(NodeId)
    }

    /// The file's key of the node with that name; the name itself if it is not a node of the file.
    pub fn key_of(&self, name: &NodeName) -> String {
        let spec = self.nodes.iter().find(|spec| spec.name() == *name);
        spec.map_or_else(|| name.to_string(), |spec| spec.key.clone())
    }

    /// `file:line:column`.
    pub fn place(&self, loc: &Loc) -> String {
        format!("{}:{}:{}", self.source.path.display(), loc.line, loc.column)
    }
}
