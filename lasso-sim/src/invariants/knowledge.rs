//! The queries of the invariants to a node and to the network.

use core::fmt;

use lasso_core::name::NodeName;
use lasso_core::node::{ConnId, LinkInfo, Node};
use lasso_core::time::Instant;
use lasso_core::topology::{Coverage, Unanswered};

use super::queues::LANES;
use super::{Audits, PlaneCounts, Rounds, Sizes, TableSizes};
use crate::scenario::NodeId;

/// When the last byte arrived on a connection of a node, as the network knows it.
pub trait Witness {
    /// `None`: none arrived, or the connection is unknown.
    fn last_byte(&self, node: NodeId, conn: ConnId) -> Option<Instant>;
}

/// The state of a node that the invariants read. Times are the world's.
pub trait Knowledge {
    /// A number that differs when the set of links may differ.
    fn links_version(&self) -> (u64, u64, u64);
    /// All present links.
    fn links(&self) -> Vec<LinkInfo>;
    /// The link to one node.
    fn link(&self, peer: &NodeName) -> Option<LinkInfo>;
    /// The node's present incarnation.
    fn incarnation(&self) -> u64;
    /// The incarnation of another node, as it knows it.
    fn known_incarnation(&self, peer: &NodeName) -> Option<u64>;
    /// Its coverage.
    fn coverage(&self) -> Coverage;
    /// The names of all members, and whether they are linked.
    fn members(&self) -> Vec<(NodeName, bool)>;
    /// A number that differs when its queues may have taken anything.
    fn queues_version(&self) -> u64;
    /// The audits of its queues.
    fn audits(&self) -> Audits;
    /// The counters of its data plane.
    fn plane_counts(&self) -> PlaneCounts;
    /// The sizes of its tables.
    fn sizes(&self) -> Sizes;
    /// The sizes of its tables of events and metrics, if the world can read them.
    fn table_sizes(&self) -> Option<TableSizes> {
        None
    }
    /// How often it has done its periodic work.
    fn rounds(&self) -> Rounds;
    /// Its unanswered checks of a peer, since the last answered one.
    fn unanswered(&self, peer: &NodeName) -> Option<Unanswered>;
    /// The nodes that it reports in islands other than its own.
    fn islands(&self) -> Vec<NodeName>;
    /// True for a node that it would dial.
    fn is_candidate(&self, name: &NodeName) -> bool;
}

/// A node and when its process started on the world's clock.
#[derive(Debug, Clone, Copy)]
pub struct Living<'a> {
    /// The machine.
    pub node: &'a Node,
    /// Its start.
    pub boot: Instant,
    /// Its tables of events and metrics, if the world can read them.
    pub tables: Option<&'a dyn Tables>,
}

/// Reads the sizes of the tables of events and metrics of a process.
pub trait Tables: fmt::Debug {
    /// The sizes.
    fn sizes(&self) -> TableSizes;
}

impl Knowledge for Living<'_> {
    fn links_version(&self) -> (u64, u64, u64) {
        let counters = self.node.counters();
        (
            counters.links,
            counters.links_replaced,
            self.node.topology().epoch(),
        )
    }

    fn links(&self) -> Vec<LinkInfo> {
        crate::inspect::links(self.node, self.boot)
    }

    fn link(&self, peer: &NodeName) -> Option<LinkInfo> {
        let link = self.node.link(peer)?;
        Some(LinkInfo {
            last_received: self.boot + link.last_received.since_start(),
            ..link
        })
    }

    fn incarnation(&self) -> u64 {
        self.node.identity().incarnation.0
    }

    fn known_incarnation(&self, peer: &NodeName) -> Option<u64> {
        self.node
            .topology()
            .known_incarnation(peer)
            .map(|known| known.0)
    }

    fn coverage(&self) -> Coverage {
        self.node.coverage()
    }

    fn members(&self) -> Vec<(NodeName, bool)> {
        let members = self.node.topology().members();
        members
            .map(|member| (member.name().clone(), member.is_linked()))
            .collect()
    }

    fn queues_version(&self) -> u64 {
        let plane = self.node.plane().lock();
        let (topics, calls, _) = plane.counters();
        let messages = topics.sent + topics.shed + topics.delivered;
        let refused = topics.unwanted + topics.stale + calls.late_answers + calls.stray_answers;
        messages + refused + calls.started + calls.requests + calls.answers + calls.outcomes()
    }

    fn audits(&self) -> Audits {
        let plane = self.node.plane().lock();
        let (topics, ..) = plane.counters();
        let lanes = self.node.links().flat_map(|link| {
            let counts = LANES.map(|lane| (lane, plane.lane(link.conn, lane)));
            counts.map(|(lane, count)| Some((link.peer.name.clone(), lane, count?)))
        });
        Audits {
            subscribers: plane.queues().map(|(id, queue)| (id.0, queue)).collect(),
            delivered: topics.delivered,
            overflowed: topics.overflowed,
            lanes: lanes.flatten().collect(),
        }
    }

    fn plane_counts(&self) -> PlaneCounts {
        let plane = self.node.plane().lock();
        let (topics, calls, _) = plane.counters();
        let (waiting, serving) = plane.calls_open();
        PlaneCounts {
            topics: *topics,
            calls: calls.clone(),
            waiting: waiting as u64,
            serving: serving as u64,
        }
    }

    fn sizes(&self) -> Sizes {
        let (hub, (waiting, serving)) = {
            let plane = self.node.plane().lock();
            (plane.sizes(), plane.calls_open())
        };
        Sizes {
            hub,
            waiting,
            serving,
            handshakes: self.node.handshakes(),
            dials: self.node.dials(),
            disconnected: self.node.topology().disconnected(),
            notices: self.node.notices(),
            links: self.node.links().count(),
            unfinished: self.node.unfinished_bytes(),
        }
    }

    fn table_sizes(&self) -> Option<TableSizes> {
        self.tables.map(Tables::sizes)
    }

    fn rounds(&self) -> Rounds {
        let (topology, discovery) = (self.node.topology(), self.node.discovery());
        Rounds {
            lookups: discovery.counters().lookups,
            lookups_failed: discovery.counters().failures,
            checks_sent: topology.counters().checks_sent,
            checks_failed: topology.counters().checks_failed,
            heartbeats: self.node.heartbeats(),
        }
    }

    fn unanswered(&self, peer: &NodeName) -> Option<Unanswered> {
        let unanswered = self.node.topology().unanswered(peer)?;
        let on_world = |at: Instant| self.boot + at.since_start();
        Some(Unanswered {
            first_sent: on_world(unanswered.first_sent),
            last_sent: on_world(unanswered.last_sent),
            ..unanswered
        })
    }

    fn islands(&self) -> Vec<NodeName> {
        let islands = self.node.topology().partitions().islands.into_iter();
        islands.skip(1).flat_map(|island| island.nodes).collect()
    }

    fn is_candidate(&self, name: &NodeName) -> bool {
        self.node.discovery().is_candidate(name)
    }
}
