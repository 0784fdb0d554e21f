//! Notices of the machine as log lines, with fields.

use lasso_core::discovery::QueryState;
use lasso_core::event::Notice;

pub(crate) fn log(notice: &Notice) {
    match notice {
        Notice::Refused {
            address,
            name,
            reason,
            by_peer,
        } => {
            let name = name.as_ref().map(ToString::to_string);
            let by = if *by_peer { "peer" } else { "this node" };
            tracing::warn!(%address, name, %reason, by, "connection refused");
        }
        Notice::BasenamePrefix { name } => tracing::warn!(
            %name,
            "a peer's basename shares a prefix with ours: basenames must not hold deploy hashes"
        ),
        Notice::Discovery {
            query,
            family,
            state,
            cause,
        } => {
            let family = family.map(|family| family.to_string());
            match state {
                QueryState::Ok | QueryState::Pending => {
                    tracing::info!(query, family, %state, "discovery");
                }
                QueryState::Empty | QueryState::Truncated | QueryState::Failed => {
                    tracing::warn!(
                        query,
                        family,
                        %state,
                        cause,
                        "discovery: nobody is removed because of this"
                    );
                }
            }
        }
        Notice::Renumbered { incarnation } => tracing::warn!(
            %incarnation,
            "a peer knows a later life of this node's name: the clock has gone back; starting over"
        ),
        Notice::Stalled { late } => {
            tracing::warn!(?late, "this process was not run for a while");
        }
        Notice::Reconciled { differences } => {
            tracing::error!(
                differences,
                "the topology differed from the links and was set right"
            );
        }
        Notice::Flapping { name, cycles } => {
            tracing::warn!(%name, cycles, "a node goes down and up too often");
        }
    }
}
