//! Changes of the topology as log lines.

use lasso_core::event::{Change, DownReason, TopologyEvent};
use lasso_core::name::{Description, NodeName};
use lasso_core::text::shown;

use crate::Cluster;

/// Logs a change of the topology as one line for each node that it is about, under the target `topology`,
/// within the bounds of [`bounded`](super::bounded) for that node: one that flips its readiness or its
/// description cannot fill a disk.
///
/// Every line has `peer`, `epoch` and `coverage` (responding/expected). A node that was lost is a warning,
/// unless it left in order.
pub fn topology(cluster: &Cluster, event: &TopologyEvent) {
    let epoch = event.epoch;
    let coverage = format!("{}/{}", event.coverage.responding, event.coverage.expected);
    let say = |kind, name: &NodeName, line: Box<dyn FnOnce(String, String) + Send>| {
        let (peer, coverage) = (name.to_string(), coverage.clone());
        super::bounded(cluster, kind, &peer.clone(), move || line(peer, coverage));
    };
    match &event.change {
        Change::NodeConnected { name, incarnation } => {
            let incarnation = incarnation.0;
            let line = move |peer: String, coverage| {
                tracing::info!(target: TARGET, peer, incarnation, epoch, coverage, "node_connected");
            };
            say("node_connected", name, Box::new(line));
        }
        Change::NodeDisconnected { name, reason } => {
            let reason = *reason;
            let line = move |peer: String, coverage: String| {
                let why = reason.name();
                if reason == DownReason::Left {
                    tracing::info!(target: TARGET, peer, reason = why, epoch, coverage, "node_disconnected");
                } else {
                    tracing::warn!(target: TARGET, peer, reason = why, epoch, coverage, "node_disconnected");
                }
            };
            say("node_disconnected", name, Box::new(line));
        }
        Change::NodeIdentified { name, description } => {
            let description = description.clone();
            let line = move |peer, coverage| identified(peer, &description, epoch, coverage);
            say("node_identified", name, Box::new(line));
        }
        Change::HealthUpdate { changed } => {
            for (name, state) in changed {
                let state = state.name();
                let line = move |peer: String, coverage| {
                    tracing::info!(target: TARGET, peer, state, epoch, coverage, "health_update");
                };
                say("health_update", name, Box::new(line));
            }
        }
    }
}

fn identified(peer: String, description: &Description, epoch: u64, coverage: String) {
    let roles: Vec<&str> = description.roles.iter().map(|role| role.as_str()).collect();
    let roles = roles.join(",");
    tracing::info!(
        target: TARGET, %peer, id = %shown(description.id.as_str()),
        region = %shown(description.region.as_str()), roles = %shown(&roles),
        version = %shown(description.version.as_str()), epoch, coverage, "node_identified"
    );
}

/// What `RUST_LOG` calls the changes of the topology.
const TARGET: &str = "topology";
