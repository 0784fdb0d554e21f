//! `events`: counts the topology events that the node has reported to its subscribers: `events = { of =
//! "node_disconnected", about = "c", reason = "left", since = "60s", count = 1 }`. Several such tables in a
//! list must all hold.

use lasso_core::event::{Change, DownReason, TopologyEvent};
use lasso_core::name::NodeName;

use super::reason::{REASONS, word};
use super::tables::{Window, all_of};
use super::{Check, Entry, Mismatch, Observed, amount_within};
use crate::scenario::{Amount, Diagnostic, NodeId, Reader, Value};
use crate::world::Timed;

pub(super) const ENTRY: Entry = Entry {
    key: "events",
    summary: "how many topology events of a kind it has reported to its subscribers",
    absent: true,
    parse,
};

/// A kind of event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    Connected,
    Disconnected,
    Identified,
    Health,
}

const KINDS: [(&str, Of); 4] = [
    ("node_connected", Of::Connected),
    ("node_disconnected", Of::Disconnected),
    ("node_identified", Of::Identified),
    ("health_update", Of::Health),
];

#[derive(Debug)]
struct Events {
    of: Option<Of>,
    about: Option<Vec<NodeId>>,
    reason: Option<DownReason>,
    window: Window,
    count: Amount,
}

fn parse(value: &Value, reader: &mut Reader<'_>) -> Option<Box<dyn Check>> {
    all_of(value, reader, read)
}

fn read(value: &Value, reader: &mut Reader<'_>) -> Option<Events> {
    let form = "a table such as `{ of = \"node_disconnected\", about = \"c\", count = 1 }`";
    let mut keys = reader.fields(value, form)?;
    let errors = reader.error_count();
    let of = keys
        .take("of")
        .and_then(|value| reader.choice(value, &KINDS));
    let about = keys.take("about").and_then(|value| reader.nodes(value));
    let reason_at = keys.take("reason");
    let reason = reason_at.and_then(|value| reader.choice(value, &REASONS));
    if let Some(value) = reason_at
        && of != Some(Of::Disconnected)
    {
        let only = Diagnostic::new(value.span.clone(), "only `node_disconnected` has a reason");
        reader.error(only.label("needs `of = \"node_disconnected\"`"));
    }
    let window = Window::read(&mut keys, reader);
    let count = keys
        .need(reader, "count")
        .and_then(|v| amount_within(v, reader, 0, usize::MAX));
    keys.finish(reader, "`events`");
    if reader.error_count() > errors {
        return None;
    }
    Some(Events {
        of,
        about,
        reason,
        window,
        count: count?,
    })
}

impl Events {
    fn counts(&self, observed: &Observed<'_>, event: &Timed<TopologyEvent>) -> bool {
        if !self.window.contains(event.at) {
            return false;
        }
        let change = &event.what.change;
        let (of, reason) = match change {
            Change::NodeConnected { .. } => (Of::Connected, None),
            Change::NodeDisconnected { reason, .. } => (Of::Disconnected, Some(*reason)),
            Change::NodeIdentified { .. } => (Of::Identified, None),
            Change::HealthUpdate { .. } => (Of::Health, None),
        };
        self.of.is_none_or(|wanted| wanted == of)
            && self.reason.is_none_or(|wanted| Some(wanted) == reason)
            && self.about.as_ref().is_none_or(|nodes| {
                nodes
                    .iter()
                    .any(|node| names(change).any(|name| *name == observed.name(*node)))
            })
    }

    fn describe(&self, observed: &Observed<'_>) -> String {
        let kind = KINDS.iter().find(|(_, of)| Some(*of) == self.of);
        let mut text = format!("{} events", kind.map_or("topology", |(word, _)| word));
        if let Some(nodes) = &self.about {
            let names: Vec<NodeName> = nodes.iter().map(|node| observed.name(*node)).collect();
            text = format!("{text} about {}", observed.keys(&names));
        }
        if let Some(reason) = self.reason {
            text = format!("{text} with reason {}", word(reason));
        }
        format!("{text}{}", self.window)
    }
}

fn names(change: &Change) -> impl Iterator<Item = &NodeName> {
    let (one, many) = match change {
        Change::NodeConnected { name, .. }
        | Change::NodeDisconnected { name, .. }
        | Change::NodeIdentified { name, .. } => (Some(name), &[][..]),
        Change::HealthUpdate { changed } => (None, changed.as_slice()),
    };
    one.into_iter().chain(many.iter().map(|(name, _)| name))
}

/// One event in a few words, for messages.
fn show(observed: &Observed<'_>, event: &Timed<TopologyEvent>) -> String {
    let key = |name: &NodeName| observed.key_of(name);
    let what = match &event.what.change {
        Change::NodeConnected { name, .. } => format!("{} connected", key(name)),
        Change::NodeDisconnected { name, reason } => {
            format!("{} disconnected ({})", key(name), word(*reason))
        }
        Change::NodeIdentified { name, .. } => format!("{} identified", key(name)),
        Change::HealthUpdate { changed } => {
            let changed: Vec<String> = changed
                .iter()
                .map(|(name, state)| format!("{} {}", key(name), state.name()))
                .collect();
            changed.join(", ")
        }
    };
    format!("{} {what}", event.at)
}

impl Check for Events {
    fn holds(&self, observed: &Observed<'_>) -> Result<(), Mismatch> {
        const SHOWN: usize = 6;
        let found: Vec<_> = observed
            .events
            .iter()
            .filter(|event| self.counts(observed, event))
            .collect();
        if self.count.contains(found.len()) {
            return Ok(());
        }
        let newest = found.iter().skip(found.len().saturating_sub(SHOWN));
        let shown: Vec<String> = newest.map(|event| show(observed, event)).collect();
        let list = if shown.is_empty() {
            String::new()
        } else {
            format!(": {}", shown.join("; "))
        };
        Err(Mismatch {
            expected: format!("number of {} {}", self.describe(observed), self.count),
            seen: format!("{}{list}", found.len()),
        })
    }
}
