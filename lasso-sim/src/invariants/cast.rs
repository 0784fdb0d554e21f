//! The nodes and the faults that affect them. Part of the facts.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lasso_core::config::Settings;
use lasso_core::name::{Basename, Label, NodeName};
use lasso_core::time::Instant;

use crate::app::Saw;
use crate::liar::Lying;
use crate::scenario::{NodeId, NodeSpec};

/// A known name, as a small number: tables of a thousand nodes hold a million of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Who(u32);

/// One node of the scenario.
#[derive(Debug)]
pub(super) struct Actor {
    pub(super) who: Who,
    pub(super) name: NodeName,
    pub(super) cluster: Label,
    /// The cookie that it offers, and all cookies that it accepts; empty: it needs none.
    pub(super) secret: String,
    pub(super) secrets: BTreeSet<String>,
    pub(super) basenames: BTreeSet<Basename>,
    pub(super) tick_time: Duration,
    /// Its intervals and bounds.
    pub(super) settings: Arc<Settings>,
    /// The default deadline of a call.
    pub(super) call_timeout: Duration,
    pub(super) running: bool,
    pub(super) paused: bool,
    pub(super) incarnation: u64,
    /// When its present process started.
    pub(super) started: Instant,
    /// When its last process ended.
    pub(super) ended: Instant,
    /// When it was last thawed; zero: never in this life.
    pub(super) resumed: Instant,
    /// When its present process last took another incarnation.
    renumbered: Option<Instant>,
    /// When something last happened to it that its peers notice only by silence.
    disturbed: Option<Instant>,
    address: SocketAddr,
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct Cast {
    actors: Vec<Actor>,
    null_cipher: bool,
    /// Every identity that a process had, and its node.
    identities: BTreeMap<(Who, u64), NodeId>,
    /// Every identity that a lying member may claim.
    liars: BTreeSet<(NodeName, u64)>,
    /// Topics whose losses liars report.
    lied_about: BTreeSet<Arc<str>>,
    /// By node and subscriber, in this life: its topic.
    topics: BTreeMap<(NodeId, u32), Arc<str>>,
    /// Every known name.
    heard: BTreeMap<NodeName, Who>,
    names: Vec<NodeName>,
    hindered: BTreeSet<(u32, u32)>,
    /// When paths were last freed.
    freed: BTreeMap<(u32, u32), Instant>,
    /// When the last fault of any kind ended.
    last_change: Instant,
    /// The fewest topics that any node wants or remembers.
    pub(super) fewest_topics: usize,
    /// Some node may forget another one within a run.
    pub(super) forgets_nodes: bool,
    /// Nodes run applications whose publishes and calls are invisible to the invariants.
    strange_applications: bool,
}

impl Cast {
    pub(super) fn new(nodes: &[NodeSpec], null_cipher: bool) -> Self {
        let mut cast = Cast {
            actors: Vec::with_capacity(nodes.len()),
            null_cipher,
            identities: BTreeMap::new(),
            liars: BTreeSet::new(),
            lied_about: BTreeSet::new(),
            topics: BTreeMap::new(),
            heard: BTreeMap::new(),
            names: Vec::new(),
            hindered: BTreeSet::new(),
            freed: BTreeMap::new(),
            last_change: Instant::ZERO,
            fewest_topics: usize::MAX,
            forgets_nodes: false,
            strange_applications: false,
        };
        for spec in nodes {
            cast.has_settings(&spec.settings);
            let who = cast.who(&spec.name());
            cast.actors.push(actor(spec, who, null_cipher));
        }
        cast
    }

    fn has_settings(&mut self, settings: &Settings) {
        let topics = settings.pubsub.topics_max.min(settings.pubsub.interest_max);
        self.fewest_topics = self.fewest_topics.min(topics);
        let topology = &settings.topology;
        self.forgets_nodes |= topology.disconnected_max < self.actors.capacity()
            || topology.disconnected_keep < KEPT_FOR_A_RUN;
    }

    /// From now on nodes run applications whose publishes and calls are invisible to the invariants.
    pub(super) fn host_strange_applications(&mut self) {
        self.strange_applications = true;
    }

    /// Whether nodes run applications whose publishes and calls are invisible to the invariants.
    pub(super) fn has_strange_applications(&self) -> bool {
        self.strange_applications
    }

    /// The number of a name.
    pub(super) fn who(&mut self, name: &NodeName) -> Who {
        if let Some(who) = self.heard.get(name) {
            return *who;
        }
        let who = Who(self.names.len() as u32);
        self.heard.insert(name.clone(), who);
        self.names.push(name.clone());
        who
    }

    /// The name of a number.
    pub(super) fn name(&self, who: Who) -> &NodeName {
        &self.names[who.0 as usize]
    }

    pub(super) fn actor(&self, node: NodeId) -> &Actor {
        &self.actors[node.index()]
    }

    pub(super) fn nodes(&self) -> impl Iterator<Item = (NodeId, &Actor)> {
        self.actors
            .iter()
            .enumerate()
            .map(|(index, actor)| (NodeId(index as u32), actor))
    }

    /// Whether no other node has its name, its address or its machine's address.
    pub(super) fn is_alone(&self, node: NodeId) -> bool {
        let me = self.actor(node);
        let like = |actor: &Actor| {
            actor.who == me.who
                || actor.address == me.address
                || actor.address.ip() == me.address.ip()
        };
        self.actors.iter().filter(|actor| like(actor)).count() == 1
    }

    /// The node whose process has, or had, this identity.
    pub(super) fn whose(&self, who: Who, incarnation: u64) -> Option<NodeId> {
        self.identities.get(&(who, incarnation)).copied()
    }

    /// The same for a name that may be unknown.
    pub(super) fn whose_name(&self, name: &NodeName, incarnation: u64) -> Option<NodeId> {
        self.whose(*self.heard.get(name)?, incarnation)
    }

    /// A lying member begins.
    pub(super) fn lies(&mut self, lying: &Lying) {
        let identities = lying.identities();
        self.liars
            .extend(identities.map(|who| (who.name, who.incarnation.0)));
        self.lied_about.extend(lying.topic.clone());
    }

    /// Whether a lying member may have this identity.
    pub(super) fn is_liar(&self, name: &NodeName, incarnation: u64) -> bool {
        !self.liars.is_empty() && self.liars.contains(&(name.clone(), incarnation))
    }

    /// Whether some lying member may have this name and no node has it.
    pub(super) fn is_liars_name(&self, name: &NodeName) -> bool {
        let lowest = (name.clone(), 0);
        let mut claimed = self.liars.range(lowest..);
        claimed.next().is_some_and(|(liar, _)| liar == name)
            && self.actors.iter().all(|actor| actor.name != *name)
    }

    /// Whether the run has a liar.
    pub(super) fn has_liars(&self) -> bool {
        !self.liars.is_empty()
    }

    /// Whether the node takes another incarnation just now, in a run with a liar that may have claimed its
    /// name.
    pub(super) fn is_renumbered_by_lie(&self, now: Instant, node: NodeId) -> bool {
        self.has_liars() && self.actor(node).renumbered == Some(now)
    }

    /// Whether a liar reports losses of this topic.
    pub(super) fn is_lied_about(&self, topic: &str) -> bool {
        self.lied_about.contains(topic)
    }

    /// An application of a node has seen something.
    pub(super) fn saw(&mut self, node: NodeId, saw: &Saw) {
        if let Saw::Subscribed { sub, topic, .. } = saw {
            self.topics.insert((node, *sub), Arc::clone(topic));
        }
    }

    /// Whether an observation of an application is, or may be, a lie, so that no node is blamed for it.
    pub(super) fn is_lie(&self, node: NodeId, saw: &Saw) -> bool {
        match saw {
            Saw::Got { got, .. } => self.is_liar(&got.from, got.incarnation.0),
            Saw::Missed { sub, .. } => {
                let topic = self.topics.get(&(node, *sub));
                topic.is_some_and(|topic| self.lied_about.contains(topic))
            }
            _ => false,
        }
    }

    pub(super) fn started(
        &mut self,
        now: Instant,
        node: NodeId,
        spec: &NodeSpec,
        incarnation: u64,
    ) {
        let disturbed = self.actors[node.index()].disturbed;
        let who = self.who(&spec.name());
        let mut actor = actor(spec, who, self.null_cipher);
        (actor.running, actor.incarnation, actor.disturbed) = (true, incarnation, disturbed);
        actor.started = now;
        self.has_settings(&spec.settings);
        self.identities.insert((who, incarnation), node);
        self.actors[node.index()] = actor;
        self.last_change = now;
    }

    pub(super) fn renumbered(&mut self, now: Instant, node: NodeId, incarnation: u64) {
        let actor = &mut self.actors[node.index()];
        if actor.incarnation != incarnation {
            (actor.incarnation, actor.renumbered) = (incarnation, Some(now));
            self.identities.insert((actor.who, incarnation), node);
        }
    }

    pub(super) fn ended(&mut self, now: Instant, node: NodeId) {
        let actor = &mut self.actors[node.index()];
        actor.ended = now;
        (actor.running, actor.paused) = (false, false);
    }

    pub(super) fn set_paused(&mut self, node: NodeId, paused: bool) {
        self.actors[node.index()].paused = paused;
    }

    pub(super) fn resumed(&mut self, now: Instant, node: NodeId) {
        self.set_paused(node, false);
        self.actors[node.index()].resumed = now;
        self.disturb_node(now, node);
    }

    /// The number of a known name.
    pub(super) fn find(&self, name: &NodeName) -> Option<Who> {
        self.heard.get(name).copied()
    }

    /// The node whose process listens, or would listen, at an address.
    pub(super) fn at_address(&self, address: SocketAddr) -> Option<NodeId> {
        let at = |node: &(NodeId, &Actor)| node.1.address == address;
        let there = self.nodes().filter(at);
        there
            .max_by_key(|(_, actor)| actor.running)
            .map(|(node, _)| node)
    }

    pub(super) fn disturb_node(&mut self, now: Instant, node: NodeId) {
        self.actors[node.index()].disturbed = Some(now);
        self.last_change = now;
    }

    pub(super) fn paths(&mut self, now: Instant, paths: &[(u32, u32)], hindered: bool) {
        for path in paths {
            if hindered {
                self.hindered.insert(*path);
            } else if self.hindered.remove(path) {
                self.freed.insert(*path, now);
            }
        }
        self.last_change = now;
    }

    /// Whether two nodes may link up: same cluster, secret and basenames.
    pub(super) fn compatible(&self, a: NodeId, b: NodeId) -> bool {
        let (a, b) = (self.actor(a), self.actor(b));
        let admits = |x: &Actor, y: &Actor| x.basenames.contains(y.name.basename());
        share_secret(a, b) && a.cluster == b.cluster && admits(a, b) && admits(b, a)
    }

    /// Since when both ends of a pair have run with nothing hindering them.
    pub(super) fn undisturbed_since(&self, a: NodeId, b: NodeId) -> Option<Instant> {
        let well = |actor: &Actor| actor.running && !actor.paused;
        let (there, back) = ((a.0, b.0), (b.0, a.0));
        let hindered = self.hindered.contains(&there) || self.hindered.contains(&back);
        if hindered || !well(self.actor(a)) || !well(self.actor(b)) {
            return None;
        }
        let times = [
            self.actor(a).disturbed,
            self.actor(b).disturbed,
            self.freed.get(&there).copied(),
            self.freed.get(&back).copied(),
        ];
        Some(times.into_iter().flatten().max().unwrap_or(Instant::ZERO))
    }

    /// Since when nothing has hindered any two running nodes.
    pub(super) fn healed_since(&self) -> Option<Instant> {
        let paused = self.actors.iter().any(|actor| actor.paused);
        (self.hindered.is_empty() && !paused).then_some(self.last_change)
    }
}

/// A node with at least this retention time is not forgotten within a run with messages.
const KEPT_FOR_A_RUN: Duration = Duration::from_secs(24 * 3600);

/// Whether one of them accepts the secret that the other one offers.
pub(super) fn share_secret(a: &Actor, b: &Actor) -> bool {
    a.secrets.contains(&b.secret) || b.secrets.contains(&a.secret)
}

fn actor(spec: &NodeSpec, who: Who, null_cipher: bool) -> Actor {
    let secret = if null_cipher {
        String::new()
    } else {
        spec.cookie.clone()
    };
    let link = &spec.settings.link;
    let mut secrets = BTreeSet::from([secret.clone()]);
    secrets.extend(spec.cookie_previous.clone());
    Actor {
        who,
        name: spec.name(),
        cluster: spec.cluster.clone(),
        secret,
        secrets,
        basenames: spec.config(true).basenames(),
        tick_time: link.tick_time,
        settings: Arc::new(spec.settings.clone()),
        call_timeout: spec.settings.calls.timeout,
        running: false,
        paused: false,
        incarnation: 0,
        started: Instant::ZERO,
        ended: Instant::ZERO,
        resumed: Instant::ZERO,
        renumbered: None,
        disturbed: None,
        address: SocketAddr::new(spec.host, spec.address.port()),
    }
}
