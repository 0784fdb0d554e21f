//! What a node answers when it is asked how it is.
//!
//! The report is made from what the node knows at that moment; nothing is kept for it. Its JSON is
//! read by people, load balancers and dashboards, so the shape is fixed: fields are added, none is
//! renamed or taken away.
//!
//! 1. `nodes_total` is `nodes_connected` plus one; `nodes` has `nodes_connected` entries.
//! 2. The status depends on the numbers of connected and responding nodes and on the operator's number alone.
//! 3. The cookie is nowhere in it.
//!
//! ```
//! use lasso_core::health::HealthStatus;
//!
//! // Connected, responding, expected.
//! assert_eq!(HealthStatus::of(4, 4, 4), HealthStatus::Healthy);
//! assert_eq!(HealthStatus::of(4, 3, 4), HealthStatus::Degraded);
//! assert_eq!(HealthStatus::of(4, 1, 4), HealthStatus::Critical);
//! ```

use core::fmt;
use core::time::Duration;
use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::discovery::QueryStatus;
use crate::name::{Identity, Incarnation, Label, NodeName};
use crate::time::Instant;
use crate::topology::{Coverage, Member, NodeState, Partitions, Topology};

/// How well the cluster is, seen from one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthStatus {
    /// As many nodes are connected as the operator expects, or more, and each of them responds.
    Healthy,
    /// Neither of the other two.
    Degraded,
    /// Fewer nodes respond than half of those that the operator expects, the half rounded down.
    Critical,
}

impl HealthStatus {
    /// The status of a node to which `connected` nodes are linked, of which `responding` respond, self counted in
    /// both. The operator expects `expected_nodes` (`EXPECTED_NODE_COUNT`).
    ///
    /// One node of three and two of five are degraded, one of four is critical.
    pub fn of(connected: usize, responding: usize, expected_nodes: usize) -> Self {
        if responding < expected_nodes / 2 {
            HealthStatus::Critical
        } else if connected >= expected_nodes && responding >= connected {
            HealthStatus::Healthy
        } else {
            HealthStatus::Degraded
        }
    }

    /// The status of the node that this topology belongs to.
    pub fn seen_from(topology: &Topology) -> Self {
        let coverage = topology.coverage();
        HealthStatus::of(
            coverage.connected,
            coverage.responding,
            topology.expected_nodes(),
        )
    }
}

impl fmt::Display for HealthStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HealthStatus::Healthy => "healthy",
            HealthStatus::Degraded => "degraded",
            HealthStatus::Critical => "critical",
        })
    }
}

/// The answer to `GET /health`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HealthReport {
    /// How well the cluster is.
    pub status: HealthStatus,
    /// When the report was made: RFC 3339, UTC, with milliseconds.
    pub timestamp: String,
    /// Whole seconds since the node started.
    pub uptime_seconds: u64,
    /// Version of the application.
    pub version: String,
    /// The node itself.
    pub node: NodeHealth,
    /// Everybody else.
    pub cluster: ClusterHealth,
    /// What the log does not show.
    #[serde(default)]
    pub log: LogHealth,
}

/// Log lines that were not written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogHealth {
    /// Lines dropped by this process: their sink was full, gone or not read.
    pub lines_dropped: u64,
    /// Lines suppressed: others caused more of their kind than are logged.
    pub lines_suppressed: u64,
}

/// The node that answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeHealth {
    /// Its name.
    pub name: NodeName,
    /// Its id.
    pub id: Label,
    /// Its region.
    pub region: Label,
    /// Its roles.
    pub roles: BTreeSet<Label>,
    /// Which life of its name this is.
    pub incarnation: Incarnation,
}

/// The cluster, seen from one node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClusterHealth {
    /// False for a node that looks for nobody.
    pub enabled: bool,
    /// Other nodes with a link.
    pub nodes_connected: usize,
    /// These and the node itself.
    pub nodes_total: usize,
    /// The largest of `EXPECTED_NODE_COUNT`, the nodes that discovery names, and `nodes_total`.
    pub nodes_expected: usize,
    /// The regions of all connected nodes and of the node itself.
    pub regions: BTreeSet<Label>,
    /// The connected nodes, by name.
    pub nodes: Vec<PeerHealth>,
    /// How much of the cluster an answer speaks for.
    pub coverage: Coverage,
    /// How the cluster is split.
    pub partitions: PartitionsHealth,
    /// How each query is doing.
    pub discovery: Vec<QueryStatus>,
}

/// One connected node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PeerHealth {
    /// Its name.
    pub name: NodeName,
    /// Its id.
    pub id: Label,
    /// Its region; `unknown` until it has described itself.
    pub region: Label,
    /// Its roles.
    pub roles: BTreeSet<Label>,
    /// Its state.
    pub state: NodeState,
    /// Whole seconds that it has been in that state.
    pub since_seconds: u64,
    /// Milliseconds from the last health check to its answer; null until one has passed.
    pub rtt_ms: Option<f64>,
    /// Version of its application.
    pub version: Label,
}

/// How the cluster is split; both lists are empty while it is not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionsHealth {
    /// Groups of nodes that have lost each other; none or at least two.
    pub islands: Vec<IslandHealth>,
    /// Pairs that cannot reach each other though a third can reach both.
    pub pairs: Vec<PairHealth>,
}

/// One island.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IslandHealth {
    /// Its nodes, by name.
    pub nodes: Vec<NodeName>,
    /// Whole seconds since it was cut off.
    pub since_seconds: u64,
}

/// One pair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairHealth {
    /// The two nodes, by name.
    pub nodes: [NodeName; 2],
    /// Whole seconds since they lost each other.
    pub since_seconds: u64,
}

impl HealthReport {
    /// The report of node `me` at `now`, which is `unix_ms` milliseconds after 1970 by the wall
    /// clock. `enabled` says whether the node looks for others.
    pub fn new(
        now: Instant,
        unix_ms: u64,
        version: &str,
        me: &Identity,
        topology: &Topology,
        discovery: Vec<QueryStatus>,
        enabled: bool,
    ) -> Self {
        let own = topology.description();
        let linked = || topology.members().filter(|member| member.is_linked());
        let nodes: Vec<PeerHealth> = linked().map(|member| peer(now, member)).collect();
        let others = linked().map(|member| member.description().region.clone());
        let nodes_total = nodes.len() + 1;
        HealthReport {
            status: HealthStatus::seen_from(topology),
            timestamp: rfc3339(unix_ms),
            uptime_seconds: now.since_start().as_secs(),
            version: version.to_owned(),
            node: NodeHealth {
                name: me.name.clone(),
                id: own.id.clone(),
                region: own.region.clone(),
                roles: own.roles.clone(),
                incarnation: me.incarnation,
            },
            cluster: ClusterHealth {
                enabled,
                nodes_connected: nodes.len(),
                nodes_total,
                nodes_expected: topology.expected(),
                regions: others.chain([own.region.clone()]).collect(),
                nodes,
                coverage: topology.coverage(),
                partitions: partitions(now, topology.partitions()),
                discovery,
            },
            log: LogHealth::default(),
        }
    }
}

fn peer(now: Instant, member: &Member) -> PeerHealth {
    let description = member.description();
    PeerHealth {
        name: member.name().clone(),
        id: description.id.clone(),
        region: description.region.clone(),
        roles: description.roles.clone(),
        state: member.state(),
        since_seconds: (now - member.since()).as_secs(),
        rtt_ms: member.rtt().map(milliseconds),
        version: description.version.clone(),
    }
}

fn partitions(now: Instant, partitions: Partitions) -> PartitionsHealth {
    let seconds = |since: Instant| (now - since).as_secs();
    let islands = partitions.islands.into_iter();
    let pairs = partitions.pairs.into_iter();
    PartitionsHealth {
        islands: islands
            .map(|island| IslandHealth {
                nodes: island.nodes,
                since_seconds: seconds(island.since),
            })
            .collect(),
        pairs: pairs
            .map(|pair| PairHealth {
                nodes: [pair.a, pair.b],
                since_seconds: seconds(pair.since),
            })
            .collect(),
    }
}

/// Milliseconds with three decimals.
fn milliseconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}

/// A moment as text; what lies beyond the year 9999 reads as its end.
fn rfc3339(unix_ms: u64) -> String {
    let ms = i64::try_from(unix_ms).unwrap_or(i64::MAX);
    let timestamp = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX);
    format!("{timestamp:.3}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::NodeConfig;
    use crate::discovery::{Family, FamilyStatus, QueryState};
    use crate::event::DownReason;
    use crate::frame::TopologyFrame;
    use crate::name::Description;
    use crate::secure::Security;
    use crate::topology::Order;

    fn label(text: &str) -> Label {
        Label::new("label", text).unwrap()
    }

    fn seconds(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    fn described(host: &str, region: &str, roles: &[&str]) -> Description {
        Description {
            id: label(host),
            region: label(region),
            roles: roles.iter().map(|role| label(role)).collect(),
            version: label("0.1.0"),
        }
    }

    /// Answers what the topology asks of `from`, ready, 400 µs later.
    fn answer(topology: &mut Topology, now: Instant, orders: Vec<Order>, description: Description) {
        for order in orders {
            let Order::Send { to, frame } = order else {
                continue;
            };
            let later = now + Duration::from_micros(400);
            let answer = match frame {
                TopologyFrame::Describe { id } => TopologyFrame::Description {
                    id,
                    description: description.clone(),
                    ready: true,
                },
                TopologyFrame::Check { id, .. } => TopologyFrame::Health {
                    id,
                    ready: true,
                    view_hash: 0,
                    view: None,
                },
                _ => continue,
            };
            topology.receive(later, &to, answer);
        }
    }

    fn example() -> (Topology, Identity) {
        let mut config = NodeConfig::new("lasso@10.0.0.5".parse().unwrap(), Security::InsecureNull);
        config.description = described("10.0.0.5", "iad", &["web"]);
        config.expected_nodes = 3;
        let identity = |name: &str, incarnation| Identity {
            cluster: config.cluster.clone(),
            name: name.parse().unwrap(),
            incarnation: Incarnation(incarnation),
        };
        let (six, seven) = (identity("lasso@10.0.0.6", 6), identity("lasso@10.0.0.7", 7));
        let mut topology = Topology::new(&config);
        let orders = topology.link_up(seconds(10), &seven);
        answer(
            &mut topology,
            seconds(10),
            orders,
            described("10.0.0.7", "iad", &[]),
        );
        topology.link_down(seconds(11), &seven.name, DownReason::Left);
        let orders = topology.link_up(seconds(12), &six);
        answer(
            &mut topology,
            seconds(12),
            orders,
            described("10.0.0.6", "sjc", &[]),
        );
        (topology, identity("lasso@10.0.0.5", 1_769_248_800_000))
    }

    #[test]
    fn the_report_has_the_documented_shape_field_by_field() {
        let (topology, me) = example();
        let discovery = vec![QueryStatus {
            query: "lasso.internal".to_owned(),
            state: QueryState::Ok,
            addresses: 2,
            age_seconds: Some(3),
            families: vec![FamilyStatus {
                family: Family::A,
                state: QueryState::Ok,
                addresses: 2,
                age_seconds: Some(3),
                cause: None,
            }],
        }];
        let now = seconds(512) + Duration::from_millis(500);
        let report = HealthReport::new(
            now,
            1_769_248_800_123,
            "0.1.0",
            &me,
            &topology,
            discovery,
            true,
        );
        let expected = serde_json::json!(
            { "status": "degraded", "timestamp": "2026-01-24T10:00:00.123Z",
              "uptime_seconds": 512, "version": "0.1.0",
              "node": { "name": "lasso@10.0.0.5", "id": "10.0.0.5", "region": "iad",
                        "roles": ["web"], "incarnation": 1_769_248_800_000_u64 },
              "cluster": { "enabled": true, "nodes_connected": 1, "nodes_total": 2,
                "nodes_expected": 3, "regions": ["iad", "sjc"],
                "nodes": [ { "name": "lasso@10.0.0.6", "id": "10.0.0.6", "region": "sjc",
                             "roles": [], "state": "ready", "since_seconds": 500,
                             "rtt_ms": 0.4, "version": "0.1.0" } ],
                "coverage": { "expected": 3, "connected": 2, "responding": 2, "identified": 2,
                              "unresponsive": [], "disconnected": ["lasso@10.0.0.7"], "epoch": 7 },
                "partitions": { "islands": [], "pairs": [] },
                "discovery": [ { "query": "lasso.internal", "state": "ok", "addresses": 2,
                                 "age_seconds": 3, "families": [
                    { "family": "a", "state": "ok", "addresses": 2, "age_seconds": 3,
                      "cause": null } ] } ] },
              "log": { "lines_dropped": 0, "lines_suppressed": 0 } }
        );
        assert_eq!(serde_json::to_value(&report).unwrap(), expected);
        let text = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<HealthReport>(&text).unwrap(), report);
    }

    #[test]
    fn fields_come_in_the_documented_order() {
        let (topology, me) = example();
        let report = HealthReport::new(seconds(1), 0, "0.1.0", &me, &topology, Vec::new(), true);
        let text = serde_json::to_string(&report).unwrap();
        let keys = [
            "status",
            "timestamp",
            "uptime_seconds",
            "version",
            "node",
            "cluster",
        ];
        let at: Vec<usize> = keys
            .iter()
            .map(|key| text.find(&format!("\"{key}\":")).unwrap())
            .collect();
        assert!(at.is_sorted(), "{text}");
    }

    #[test]
    fn half_of_the_expected_nodes_rounded_down_are_degraded_and_fewer_are_critical() {
        let table = [
            (1, 1, HealthStatus::Healthy),
            (2, 1, HealthStatus::Healthy),
            (1, 2, HealthStatus::Degraded),
            (1, 3, HealthStatus::Degraded),
            (1, 4, HealthStatus::Critical),
            (2, 4, HealthStatus::Degraded),
            (1, 5, HealthStatus::Critical),
            (2, 5, HealthStatus::Degraded),
            (4, 5, HealthStatus::Degraded),
            (1, usize::MAX, HealthStatus::Critical),
        ];
        for (connected, expected, status) in table {
            assert_eq!(
                HealthStatus::of(connected, connected, expected),
                status,
                "{connected} of {expected}"
            );
        }
    }

    #[test]
    fn a_node_that_is_linked_and_does_not_respond_counts_as_missing() {
        let table = [
            (3, 3, HealthStatus::Healthy),
            (3, 2, HealthStatus::Degraded),
            (3, 1, HealthStatus::Degraded),
            (4, 1, HealthStatus::Critical),
        ];
        for (connected, responding, status) in table {
            assert_eq!(
                HealthStatus::of(connected, responding, connected),
                status,
                "{responding} of {connected}"
            );
        }
        // One more than the operator expects, and that one is frozen.
        assert_eq!(HealthStatus::of(4, 3, 3), HealthStatus::Degraded);
    }

    #[test]
    fn a_lone_node_is_healthy() {
        let config = NodeConfig::new("lasso@[fdaa::3]".parse().unwrap(), Security::InsecureNull);
        let me = Identity {
            cluster: config.cluster.clone(),
            name: config.name.clone(),
            incarnation: Incarnation(1),
        };
        let topology = Topology::new(&config);
        let report = HealthReport::new(seconds(1), 0, "1", &me, &topology, Vec::new(), false);
        assert_eq!(report.status, HealthStatus::Healthy);
        assert_eq!(
            (report.cluster.nodes_connected, report.cluster.nodes_total),
            (0, 1)
        );
        assert_eq!(report.timestamp, "1970-01-01T00:00:00.000Z");
        assert_eq!(report.cluster.regions, BTreeSet::from([Label::unknown()]));
    }

    #[test]
    fn a_clock_far_off_reads_as_the_end_of_time() {
        assert_eq!(rfc3339(u64::MAX), "9999-12-30T22:00:00.999Z");
    }
}
