//! `log`: counts the log lines that the node has written for its operator: `log = { of = "refused", reason =
//! "wrong_cookie", about = "x", count = "1..3", apart = "60s" }`. Several such tables in a list must all hold.
//! `apart` demands that long between any two of them.

use core::time::Duration;
use std::net::IpAddr;

use lasso_core::event::Notice;

use super::refused::reasons;
use super::tables::{Window, all_of, refuse};
use super::{Check, Entry, Mismatch, Observed, amount_within};
use crate::scenario::{Amount, NodeId, Reader, Value, address, one_of, show_duration};
use crate::world::Timed;

pub(super) const ENTRY: Entry = Entry {
    key: "log",
    summary: "how many log lines of a kind it has written for its operator",
    absent: true,
    parse,
};

/// A kind of line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    Refused,
    BasenamePrefix,
    Discovery,
    Renumbered,
    Stalled,
    Reconciled,
    Flapping,
    InterestRefused,
}

const KINDS: [(&str, Of); 8] = [
    ("refused", Of::Refused),
    ("basename_prefix", Of::BasenamePrefix),
    ("discovery", Of::Discovery),
    ("renumbered", Of::Renumbered),
    ("stalled", Of::Stalled),
    ("reconciled", Of::Reconciled),
    ("flapping", Of::Flapping),
    ("interest_refused", Of::InterestRefused),
];

#[derive(Debug)]
struct Log {
    of: Option<Of>,
    reason: Option<&'static str>,
    about: Option<Vec<NodeId>>,
    from: Option<IpAddr>,
    window: Window,
    apart: Option<Duration>,
    count: Amount,
}

fn parse(value: &Value, reader: &mut Reader<'_>) -> Option<Box<dyn Check>> {
    all_of(value, reader, read)
}

fn read(value: &Value, reader: &mut Reader<'_>) -> Option<Log> {
    let form = "a table such as `{ of = \"refused\", reason = \"wrong_cookie\", count = 1 }`";
    let mut keys = reader.fields(value, form)?;
    let errors = reader.error_count();
    let of = keys
        .take("of")
        .and_then(|value| reader.choice(value, &KINDS));
    let reason_at = keys.take("reason");
    let reason = reason_at.and_then(|value| reader.choice(value, &reasons()));
    let from_at = keys.take("from");
    let from = from_at.and_then(|value| address(reader, value));
    for (at, has) in [(reason_at, "a reason"), (from_at, "another side")] {
        if let Some(value) = at.filter(|_| of != Some(Of::Refused)) {
            let only = format!("only `refused` lines have {has}");
            refuse(reader, value, &only, "needs `of = \"refused\"`");
        }
    }
    let about_at = keys.take("about");
    let about = about_at.and_then(|value| reader.nodes(value));
    if let (Some(value), Some(of)) = (about_at, of)
        && !of.names_somebody()
    {
        let naming = KINDS.iter().filter(|(_, of)| of.names_somebody());
        let needs = one_of(naming.map(|(word, _)| *word));
        let nobody = "lines of this kind are about no node";
        refuse(reader, value, nobody, &format!("needs `of` {needs}"));
    }
    let apart_at = keys.take("apart");
    let apart = apart_at.and_then(|value| reader.duration(value));
    let window = Window::read(&mut keys, reader);
    let count = keys
        .need(reader, "count")
        .and_then(|v| amount_within(v, reader, 0, usize::MAX));
    if let (Some(value), Some(apart), Some(count)) = (apart_at, apart, count)
        && (apart.is_zero() || !count.is_possible(2, usize::MAX))
    {
        let lone = "this always holds: no two lines are less apart";
        let needs = "needs a time, and a `count` of two or more";
        refuse(reader, value, lone, needs);
    }
    keys.finish(reader, "`log`");
    if reader.error_count() > errors {
        return None;
    }
    Some(Log {
        of,
        reason,
        about,
        from,
        window,
        apart,
        count: count?,
    })
}

impl Of {
    /// Whether its lines are about a node.
    fn names_somebody(self) -> bool {
        matches!(
            self,
            Of::Refused | Of::BasenamePrefix | Of::Flapping | Of::InterestRefused
        )
    }
}

fn kind(notice: &Notice) -> Of {
    match notice {
        Notice::Refused { .. } => Of::Refused,
        Notice::BasenamePrefix { .. } => Of::BasenamePrefix,
        Notice::Discovery { .. } => Of::Discovery,
        Notice::Renumbered { .. } => Of::Renumbered,
        Notice::Stalled { .. } => Of::Stalled,
        Notice::Reconciled { .. } => Of::Reconciled,
        Notice::Flapping { .. } => Of::Flapping,
        Notice::InterestRefused { .. } => Of::InterestRefused,
    }
}

impl Log {
    fn counts(&self, observed: &Observed<'_>, line: &Timed<Notice>) -> bool {
        if !self.window.contains(line.at) {
            return false;
        }
        let about = |node: &NodeId| {
            let spec = observed.world.spec(*node);
            match &line.what {
                Notice::Refused { address, name, .. } => {
                    *address == spec.host || name.as_ref() == Some(&spec.name())
                }
                Notice::BasenamePrefix { name }
                | Notice::Flapping { name, .. }
                | Notice::InterestRefused { name } => *name == spec.name(),
                _ => false,
            }
        };
        let (reason, from) = match &line.what {
            Notice::Refused {
                reason, address, ..
            } => (Some(reason.name()), Some(*address)),
            _ => (None, None),
        };
        self.of.is_none_or(|of| of == kind(&line.what))
            && (self.reason.is_none() || self.reason == reason)
            && (self.from.is_none() || self.from == from)
            && self
                .about
                .as_ref()
                .is_none_or(|nodes| nodes.iter().any(about))
    }

    fn describe(&self, observed: &Observed<'_>) -> String {
        let kind = KINDS.iter().find(|(_, of)| Some(*of) == self.of);
        let mut text = kind.map_or("log lines".to_owned(), |(word, _)| {
            format!("`{word}` lines")
        });
        if let Some(reason) = self.reason {
            text = format!("{text} with reason {reason}");
        }
        if let Some(from) = self.from {
            text = format!("{text} from {from}");
        }
        if let Some(nodes) = &self.about {
            let names: Vec<_> = nodes.iter().map(|node| observed.name(*node)).collect();
            text = format!("{text} about {}", observed.keys(&names));
        }
        format!("{text}{}", self.window)
    }
}

impl Check for Log {
    fn holds(&self, observed: &Observed<'_>) -> Result<(), Mismatch> {
        const SHOWN: usize = 6;
        let found: Vec<_> = observed
            .notices
            .iter()
            .filter(|line| self.counts(observed, line))
            .collect();
        let show = |lines: &[&Timed<Notice>]| {
            let shown = lines.iter().take(SHOWN);
            let shown: Vec<String> = shown
                .map(|line| format!("{} {:?}", line.at, line.what))
                .collect();
            shown.join("; ")
        };
        if !self.count.contains(found.len()) {
            return Err(Mismatch {
                expected: format!("number of {} {}", self.describe(observed), self.count),
                seen: format!("{} {}", found.len(), show(&found))
                    .trim_end()
                    .to_owned(),
            });
        }
        let close = |apart| {
            let mut pairs = found.windows(2);
            pairs.find(|two| two[1].at - two[0].at < apart)
        };
        if let Some(apart) = self.apart
            && let Some(two) = close(apart)
        {
            let apart = show_duration(apart);
            return Err(Mismatch {
                expected: format!("{} at least {apart} apart", self.describe(observed)),
                seen: show(two),
            });
        }
        Ok(())
    }
}
