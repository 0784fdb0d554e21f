//! Notices of the machine as log lines, with fields.

use lasso_core::discovery::QueryState;
use lasso_core::event::Notice;
use lasso_core::text::shown;

use super::Lines;

/// Writes a notice, within the bounds of its kind.
pub(crate) fn notice(lines: &Lines, told: Notice) {
    let peer = match &told {
        Notice::Refused { address, .. } => address.to_string(),
        Notice::BasenamePrefix { name }
        | Notice::Flapping { name, .. }
        | Notice::InterestRefused { name } => name.to_string(),
        Notice::Discovery { query, .. } => query.clone(),
        Notice::Renumbered { .. } | Notice::Stalled { .. } | Notice::Reconciled { .. } => {
            String::new()
        }
    };
    lines.say(told.name(), &peer, move || write(&told));
}

fn write(told: &Notice) {
    match told {
        Notice::Refused {
            address,
            name,
            reason,
            by_peer,
        } => {
            let name = name.as_ref().map(ToString::to_string);
            let by = if *by_peer { "peer" } else { "this node" };
            let reason = reason.to_string();
            let reason = shown(&reason);
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
            let (query, cause) = (shown(query), cause.as_deref().map(shown));
            let cause = cause.map(tracing::field::display);
            let family = family.map(|family| family.to_string());
            match state {
                QueryState::Ok | QueryState::Pending => {
                    tracing::info!(%query, family, %state, "discovery");
                }
                QueryState::Empty | QueryState::Truncated | QueryState::Failed => tracing::warn!(
                    %query, family, %state, cause, "discovery: nobody is removed because of this"
                ),
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
        Notice::InterestRefused { name } => tracing::warn!(
            %name,
            "a node refuses topics of this one, as its tables are full: what it publishes on them does not come"
        ),
    }
}
