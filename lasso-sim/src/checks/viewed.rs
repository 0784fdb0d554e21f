//! `viewed`: what viewers of the node's application have got, snapshots included:
//! `viewed = { called = "desk", events = 100, lost = 0 }`, `viewed = { called = "desk", silence = "2s" }`,
//! `viewed = { called = "spy", refused = true }`. Each viewer of that name has to satisfy it. Several
//! such tables in a list must all hold.

use core::time::Duration;
use std::collections::BTreeSet;

use lasso_core::time::Instant;

use super::events::window;
use super::{Check, Entry, Mismatch, Observed, amount_within};
use crate::app::events::{SightLog, ViewerLog};
use crate::scenario::{Amount, Deed, Diagnostic, Fields, Reader, Value, show_duration};

pub(super) const ENTRY: Entry = Entry {
    key: "viewed",
    summary: "what each viewer of a name has got: events, losses, heartbeats, at what distances",
    absent: false,
    parse,
};

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    /// Events.
    Events,
    /// Different events.
    Distinct,
    /// Events that it was told it had lost.
    Lost,
    /// Snapshots, batches and heartbeats.
    Deliveries,
    /// Events of the largest delivery.
    Largest,
}

const COUNTS: [(&str, Of); 5] = [
    ("events", Of::Events),
    ("distinct", Of::Distinct),
    ("lost", Of::Lost),
    ("deliveries", Of::Deliveries),
    ("largest", Of::Largest),
];

#[derive(Debug)]
struct Wanted {
    name: String,
    since: Duration,
    until: Option<Duration>,
    counts: Vec<(&'static str, Of, Amount)>,
    /// Longest time without a delivery, its window's ends included.
    silence: Option<Duration>,
    stale: Option<bool>,
    refused: bool,
    newest_first: bool,
}

#[derive(Debug)]
struct Viewed(Vec<Wanted>);

fn parse(value: &Value, reader: &mut Reader<'_>) -> Option<Box<dyn Check>> {
    let items = reader.items(value).iter();
    let wanted: Vec<Option<Wanted>> = items.map(|item| read(item, reader)).collect();
    let wanted: Vec<Wanted> = wanted.into_iter().collect::<Option<_>>()?;
    if wanted.is_empty() {
        return reader.wrong(value, "a list of tables that must hold");
    }
    Some(Box::new(Viewed(wanted)))
}

/// The name of the viewers that are meant.
pub(super) fn called(keys: &mut Fields<'_>, reader: &mut Reader<'_>) -> Option<String> {
    let value = keys.need(reader, "called")?;
    reader.used(value, Deed::View)
}

fn read(value: &Value, reader: &mut Reader<'_>) -> Option<Wanted> {
    let form = "a table such as `{ called = \"desk\", events = 100 }`";
    let mut keys = reader.fields(value, form)?;
    let errors = reader.error_count();
    let name = called(&mut keys, reader);
    let (since, until) = window(&mut keys, reader);
    let mut counts = Vec::new();
    for (key, of) in COUNTS {
        let value = keys.take(key);
        let amount = value.and_then(|value| amount_within(value, reader, 0, usize::MAX));
        counts.extend(amount.map(|amount| (key, of, amount)));
    }
    let silence = keys.take("silence");
    let silence = silence.and_then(|value| reader.duration(value));
    let mut flag = |key| keys.take(key).and_then(|value| reader.flag(value));
    let (stale, refused, newest_first) = (flag("stale"), flag("refused"), flag("newest_first"));
    let says = silence.is_some() || stale.is_some() || refused.is_some() || newest_first.is_some();
    if !says && counts.is_empty() && reader.error_count() == errors && !keys.has_unknown() {
        let nothing = Diagnostic::new(keys.span(), "this expects nothing");
        reader.error(nothing.label("needs `events`, `lost`, `silence` or another"));
    }
    keys.finish(reader, "`viewed`");
    if reader.error_count() > errors {
        return None;
    }
    Some(Wanted {
        name: name?,
        since,
        until,
        counts,
        silence,
        stale,
        refused: refused.unwrap_or(false),
        newest_first: newest_first.unwrap_or(false),
    })
}

/// The viewers of that name, at least one; those that were refused where `refused` says so, and else
/// none that was.
pub(super) fn viewers<'a>(
    observed: &Observed<'a>,
    name: &str,
    refused: bool,
    expected: impl FnOnce() -> String,
) -> Result<Vec<&'a ViewerLog>, Mismatch> {
    let all = observed.app.events.viewers.values();
    let found: Vec<&ViewerLog> = all.filter(|viewer| viewer.name == name).collect();
    let wrong = found
        .iter()
        .find(|viewer| viewer.error.is_some() != refused);
    let seen = match (found.is_empty(), wrong) {
        (true, _) => "there is no such viewer".to_owned(),
        (_, Some(viewer)) => match &viewer.error {
            Some(error) => format!("a viewer was refused: {error}"),
            None => "a viewer was let in".to_owned(),
        },
        _ => return Ok(found),
    };
    Err(Mismatch {
        expected: expected(),
        seen,
    })
}

impl Wanted {
    fn sights<'a>(&self, viewer: &'a ViewerLog) -> impl Iterator<Item = &'a SightLog> {
        let (from, until) = (Instant::ZERO + self.since, self.until);
        viewer.sights.iter().filter(move |sight| {
            sight.at >= from && until.is_none_or(|until| sight.at <= Instant::ZERO + until)
        })
    }

    fn count(&self, viewer: &ViewerLog, of: Of) -> usize {
        let sights = self.sights(viewer);
        match of {
            Of::Events => sights.map(|sight| sight.ids.len()).sum(),
            Of::Distinct => {
                let ids: BTreeSet<_> = sights.flat_map(|sight| &sight.ids).collect();
                ids.len()
            }
            Of::Lost => {
                let lost: u64 = sights.map(|sight| sight.lost).sum();
                usize::try_from(lost).unwrap_or(usize::MAX)
            }
            Of::Deliveries => sights.count(),
            Of::Largest => sights.map(|sight| sight.ids.len()).max().unwrap_or(0),
        }
    }

    /// The longest time without a delivery, and since when; both ends of the window count as one.
    fn longest_silence(&self, observed: &Observed<'_>, viewer: &ViewerLog) -> (Duration, Instant) {
        let mut last = viewer.since.max(Instant::ZERO + self.since);
        let until = self
            .until
            .map_or(observed.now, |until| Instant::ZERO + until);
        let end = viewer.left.map_or(until, |left| left.min(until));
        let mut longest = (Duration::ZERO, last);
        let times = self.sights(viewer).map(|sight| sight.at);
        for at in times.chain([end]) {
            longest = longest.max((at - last, last));
            last = at;
        }
        longest
    }

    fn holds(&self, observed: &Observed<'_>) -> Result<(), Mismatch> {
        let name = &self.name;
        let mut window = String::new();
        if !self.since.is_zero() {
            window = format!(" since {}", show_duration(self.since));
        }
        if let Some(until) = self.until {
            window = format!("{window} until {}", show_duration(until));
        }
        let expected = || match self.refused {
            true => format!("viewers `{name}` are refused"),
            false => format!("viewers `{name}` are let in"),
        };
        for viewer in viewers(observed, name, self.refused, expected)? {
            let wrong = |what: String, seen: String| {
                let expected = format!("{what} of viewers `{name}`{window}");
                Err(Mismatch { expected, seen })
            };
            for (key, of, amount) in &self.counts {
                let count = self.count(viewer, *of);
                if !amount.contains(count) {
                    return wrong(format!("{key} {amount}"), count.to_string());
                }
            }
            if let Some(most) = self.silence {
                let (silence, since) = self.longest_silence(observed, viewer);
                if silence > most {
                    let seen = format!("{} from {since} on", show_duration(silence));
                    return wrong(format!("silence <= {}", show_duration(most)), seen);
                }
            }
            if self
                .stale
                .is_some_and(|stale| stale != viewer.is_stale(observed.now))
            {
                let seen = viewer.is_stale(observed.now).to_string();
                return wrong(format!("stale = {}", self.stale == Some(true)), seen);
            }
            let mut firsts = self.sights(viewer).filter(|sight| sight.is_first);
            if self.newest_first && !firsts.all(|sight| sight.is_newest_first) {
                return wrong("newest_first".to_owned(), "another order".to_owned());
            }
        }
        Ok(())
    }
}

impl Check for Viewed {
    fn holds(&self, observed: &Observed<'_>) -> Result<(), Mismatch> {
        self.0.iter().try_for_each(|wanted| wanted.holds(observed))
    }
}
