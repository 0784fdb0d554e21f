//! `events`: what the node has told its subscribers, counted:
//! `events = { of = "node_disconnected", about = "c", reason = "left", since = "60s", count = 1 }`.
//! Several such tables in a list must all hold.

use core::time::Duration;

use lasso_core::event::{Change, DownReason, TopologyEvent};
use lasso_core::name::NodeName;
use lasso_core::time::Instant;

use super::reason::{REASONS, word};
use super::{Check, Entry, Mismatch, Observed, amount_within};
use crate::scenario::{Amount, Diagnostic, NodeId, Reader, Value, show_duration};
use crate::world::Timed;

pub(super) const ENTRY: Entry = Entry {
    key: "events",
    summary: "how many topology events of a kind it has told its subscribers",
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
struct Wanted {
    of: Option<Of>,
    about: Option<Vec<NodeId>>,
    reason: Option<DownReason>,
    since: Duration,
    until: Option<Duration>,
    count: Amount,
}

#[derive(Debug)]
struct Events {
    wanted: Vec<Wanted>,
}

fn parse(value: &Value, reader: &mut Reader<'_>) -> Option<Box<dyn Check>> {
    let items = reader.items(value);
    let wanted: Vec<Option<Wanted>> = items.iter().map(|item| read(item, reader)).collect();
    let wanted: Vec<Wanted> = wanted.into_iter().collect::<Option<_>>()?;
    if wanted.is_empty() {
        return reader.wrong(value, "a list of events that must hold");
    }
    Some(Box::new(Events { wanted }))
}

fn read(value: &Value, reader: &mut Reader<'_>) -> Option<Wanted> {
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
    let (since, until) = window(&mut keys, reader);
    let count = keys
        .need(reader, "count")
        .and_then(|v| amount_within(v, reader, 0, usize::MAX));
    keys.finish(reader, "`events`");
    if reader.error_count() > errors {
        return None;
    }
    Some(Wanted {
        of,
        about,
        reason,
        since,
        until,
        count: count?,
    })
}

/// `since` and `until`: both ends are part of the window.
pub(super) fn window(
    keys: &mut crate::scenario::Fields<'_>,
    reader: &mut Reader<'_>,
) -> (Duration, Option<Duration>) {
    let since_at = keys.take("since");
    let since = since_at
        .and_then(|value| reader.duration(value))
        .unwrap_or_default();
    let until_at = keys.take("until");
    let until = until_at.and_then(|value| reader.duration(value));
    let now = reader.now;
    for (value, time) in [(since_at, Some(since)), (until_at, until)] {
        if let (Some(value), Some(time)) = (value, time)
            && time > now
        {
            let message = format!(
                "{} lies after {}, when this is checked at the latest",
                show_duration(time),
                show_duration(now)
            );
            reader.error(Diagnostic::new(value.span.clone(), message).label("still to come"));
        }
    }
    if let (Some(value), Some(until)) = (until_at, until)
        && until < since
    {
        let empty = Diagnostic::new(
            value.span.clone(),
            "nothing lies between `since` and `until`",
        );
        reader.error(empty.label("before `since`"));
    }
    (since, until)
}

impl Wanted {
    fn counts(&self, observed: &Observed<'_>, event: &Timed<TopologyEvent>) -> bool {
        let at = event.at;
        if at < Instant::ZERO + self.since
            || self.until.is_some_and(|until| at > Instant::ZERO + until)
        {
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
        if !self.since.is_zero() {
            text = format!("{text} since {}", show_duration(self.since));
        }
        if let Some(until) = self.until {
            text = format!("{text} until {}", show_duration(until));
        }
        text
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
    let key = |name: &NodeName| observed.scenario.key_of(name);
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
        for wanted in &self.wanted {
            let found: Vec<_> = observed
                .events
                .iter()
                .filter(|event| wanted.counts(observed, event))
                .collect();
            if wanted.count.contains(found.len()) {
                continue;
            }
            let expected = format!("number of {} {}", wanted.describe(observed), wanted.count);
            let shown: Vec<String> = found
                .iter()
                .rev()
                .take(SHOWN)
                .rev()
                .map(|event| show(observed, event))
                .collect();
            let list = if shown.is_empty() {
                String::new()
            } else {
                format!(": {}", shown.join("; "))
            };
            return Err(Mismatch {
                expected,
                seen: format!("{}{list}", found.len()),
            });
        }
        Ok(())
    }
}
