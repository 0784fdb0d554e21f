//! The nodes that a plan is drawn for, with the facts that it needs about each.

use core::time::Duration;
use std::collections::BTreeSet;

use lasso_core::config::Settings;

use crate::scenario::NodeSpec;

/// A node, by its place in [`Cast::nodes`].
pub(crate) type Player = usize;

/// One node.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// Its name in the file.
    pub(crate) key: String,
    /// Its settings.
    pub(crate) settings: Settings,
    /// When its process starts; `None`: the plan starts it.
    pub(crate) starts: Option<Duration>,
    /// The DNS names that it queries.
    pub(crate) names: BTreeSet<String>,
    /// The secret that it offers, and whether it accepts a second one.
    pub(crate) cookie: (String, bool),
    /// Its roles.
    pub(crate) roles: BTreeSet<String>,
}

/// All nodes, in the order of the file.
#[derive(Debug, Clone)]
pub(crate) struct Cast {
    pub(crate) nodes: Vec<Node>,
}

impl Cast {
    /// The nodes of a file.
    pub(crate) fn new(specs: &[NodeSpec]) -> Self {
        let node = |spec: &NodeSpec| Node {
            key: spec.key.clone(),
            settings: spec.settings.clone(),
            starts: spec.starts,
            names: spec
                .queries
                .iter()
                .map(|query| query.name.clone())
                .collect(),
            cookie: (spec.cookie.clone(), spec.cookie_previous.is_some()),
            roles: spec
                .description
                .roles
                .iter()
                .map(|r| r.to_string())
                .collect(),
        };
        Cast {
            nodes: specs.iter().map(node).collect(),
        }
    }

    /// Every node.
    pub(crate) fn all(&self) -> Vec<Player> {
        (0..self.nodes.len()).collect()
    }

    /// Every node but one.
    pub(crate) fn others(&self, of: Player) -> Vec<Player> {
        self.all().into_iter().filter(|node| *node != of).collect()
    }

    /// The name of a node in quotes, as in a file.
    pub(crate) fn name(&self, node: Player) -> String {
        format!("{:?}", self.nodes[node].key)
    }

    /// Nodes as in a file: `"a"` or `["a", "b"]`, in the order of the file.
    pub(crate) fn list(&self, nodes: &[Player]) -> String {
        let nodes: BTreeSet<Player> = nodes.iter().copied().collect();
        let names: Vec<String> = nodes.iter().map(|node| self.name(*node)).collect();
        match names.as_slice() {
            [one] => one.clone(),
            several => format!("[{}]", several.join(", ")),
        }
    }

    /// Every DNS name that some node queries.
    pub(crate) fn dns_names(&self) -> BTreeSet<&str> {
        let names = self.nodes.iter().flat_map(|node| &node.names);
        names.map(String::as_str).collect()
    }

    /// The largest value of a setting.
    pub(crate) fn longest(&self, setting: impl Fn(&Settings) -> Duration) -> Duration {
        let all = self.nodes.iter().map(|node| setting(&node.settings));
        all.max().unwrap_or_default()
    }

    /// Times after a loss at which some machine of these nodes acts: it ends a wait, tests a link or gives it
    /// up, dials again, checks health, or queries DNS.
    pub(crate) fn instants(&self, nodes: &[Player]) -> Vec<Duration> {
        let mut instants = BTreeSet::new();
        for node in nodes {
            let settings = &self.nodes[*node].settings;
            let (link, dial, topology) = (&settings.link, &settings.dial, &settings.topology);
            let tick = link.tick_time;
            instants.extend([tick / 4, tick / 2, tick * 3 / 4, tick, tick * 5 / 4]);
            instants.extend([link.ask_timeout, link.handshake_timeout]);
            instants.extend([dial.connect_timeout, dial.second_delay, dial.stale_after]);
            instants.extend(backoffs(dial.backoff_min, dial.backoff_max));
            let round = topology.health_interval + topology.health_timeout;
            instants.extend([topology.health_interval, topology.health_timeout, round]);
            instants.extend([topology.describe_timeout, topology.reconcile_interval]);
            let discovery = &settings.discovery;
            instants.extend([discovery.poll_interval, discovery.forget_after]);
        }
        instants.into_iter().collect()
    }
}

/// When the first tries to dial happen if each fails at once.
fn backoffs(min: Duration, max: Duration) -> Vec<Duration> {
    const TRIES: usize = 5;
    let mut delay = min;
    let mut at = Duration::ZERO;
    let next = |_| {
        at += delay;
        delay = (delay * 2).min(max);
        at
    };
    (0..TRIES).map(next).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_to_dial_come_later_and_later() {
        let (half, five) = (Duration::from_millis(500), Duration::from_secs(5));
        let seconds: Vec<f64> = backoffs(half, five)
            .iter()
            .map(Duration::as_secs_f64)
            .collect();
        assert_eq!(seconds, [0.5, 1.5, 3.5, 7.5, 12.5]);
    }
}
