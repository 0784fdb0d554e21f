//! What a node tells its operator: log lines with fields, on standard error.

use std::io::{self, IsTerminal};

use lasso::{Change, Coverage, DownReason, TopologyEvent};
use tracing::{info, warn};
use tracing_subscriber::EnvFilter;

/// What `RUST_LOG` calls the changes of the topology.
const TARGET: &str = "topology";

/// Logs go to standard error from here on; `RUST_LOG` says which, `info` and above by default.
pub(crate) fn start(json: bool) {
    let filter = EnvFilter::builder()
        .with_default_directive(tracing::Level::INFO.into())
        .from_env_lossy();
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr);
    if json {
        logs.json().flatten_event(true).init();
    } else {
        logs.init();
    }
}

/// A change of the topology.
pub(crate) fn event(event: &TopologyEvent) {
    let TopologyEvent {
        epoch,
        coverage,
        change,
    } = event;
    let coverage = short(coverage);
    match change {
        Change::NodeConnected { name, incarnation } => {
            info!(target: TARGET, peer = %name, incarnation = incarnation.0, epoch, coverage, "node_connected");
        }
        Change::NodeDisconnected { name, reason } => {
            let reason = reason_name(*reason);
            if reason == "left" {
                info!(target: TARGET, peer = %name, reason, epoch, coverage, "node_disconnected");
            } else {
                warn!(target: TARGET, peer = %name, reason, epoch, coverage, "node_disconnected");
            }
        }
        Change::NodeIdentified { name, description } => {
            let roles: Vec<&str> = description.roles.iter().map(|role| role.as_str()).collect();
            let roles = roles.join(",");
            info!(
                target: TARGET, peer = %name, id = %description.id, region = %description.region, roles,
                version = %description.version, epoch, coverage, "node_identified"
            );
        }
        Change::HealthUpdate { changed } => {
            for (name, state) in changed {
                info!(target: TARGET, peer = %name, state = state.name(), epoch, coverage, "health_update");
            }
        }
    }
}

/// "responding/expected".
pub(crate) fn short(coverage: &Coverage) -> String {
    format!("{}/{}", coverage.responding, coverage.expected)
}

/// The reason's name, as in JSON.
pub(crate) fn reason_name(reason: DownReason) -> &'static str {
    match reason {
        DownReason::Left => "left",
        DownReason::Down => "down",
        DownReason::Closed => "closed",
        DownReason::Replaced => "replaced",
    }
}
