//! `viewed`: the deliveries to viewers of the node's application, snapshots included: `viewed = { called =
//! "desk", events = 100, lost = 0 }`, `viewed = { called = "desk", silence = "2s" }`, `viewed = { called =
//! "spy", refused = true }`. Each viewer of that name has to satisfy it. Several such tables in a list must all
//! hold.

use core::time::Duration;
use std::collections::BTreeSet;

use lasso_core::time::Instant;

use super::tables::{Numbers, Window, all_of, numbers, only_true, refuse, refuse_nothing};
use super::{Check, Entry, Mismatch, Observed};
use crate::app::events::{SightLog, ViewerLog};
use crate::scenario::{Deed, Fields, Reader, Value, show_duration};

pub(super) const ENTRY: Entry = Entry {
    key: "viewed",
    summary: "what each viewer of a name has got: events, losses, heartbeats, and the gaps between them",
    absent: false,
    parse,
};

/// The counts: events; distinct events; events reported as lost; snapshots, batches and heartbeats; events of
/// the largest delivery.
const COUNTS: [&str; 5] = ["events", "distinct", "lost", "deliveries", "largest"];

#[derive(Debug)]
struct Viewed {
    name: String,
    window: Window,
    counts: Numbers,
    /// The longest time without a delivery, the window's ends included.
    silence: Option<Duration>,
    stale: Option<bool>,
    refused: bool,
    newest_first: bool,
}

fn parse(value: &Value, reader: &mut Reader<'_>) -> Option<Box<dyn Check>> {
    all_of(value, reader, read)
}

/// The name of the selected viewers.
pub(super) fn called(keys: &mut Fields<'_>, reader: &mut Reader<'_>) -> Option<String> {
    let value = keys.need(reader, "called")?;
    reader.used(value, Deed::View)
}

fn read(value: &Value, reader: &mut Reader<'_>) -> Option<Viewed> {
    let form = "a table such as `{ called = \"desk\", events = 100 }`";
    let mut keys = reader.fields(value, form)?;
    let errors = reader.error_count();
    let name = called(&mut keys, reader);
    let window = Window::read(&mut keys, reader);
    let counts = numbers(&mut keys, reader, COUNTS);
    let silence_at = keys.take("silence");
    let silence = silence_at.and_then(|value| reader.duration(value));
    if let (Some(value), Some(most)) = (silence_at, silence)
        && most >= window.longest(reader.now)
    {
        let short = "this always holds: no silence lasts longer";
        refuse(reader, value, short, "as long as all of the time");
    }
    let (stale_at, refused_at) = (keys.take("stale"), keys.take("refused"));
    let stale = stale_at.and_then(|value| reader.flag(value));
    let refused = refused_at.and_then(|value| reader.flag(value));
    if let Some(value) = stale_at.filter(|_| !window.is_all()) {
        let now = "whether it is stale is known of now alone";
        refuse(
            reader,
            value,
            now,
            "needs a table without `since` and `until`",
        );
    }
    let newest_first = only_true(&mut keys, reader, "newest_first");
    let counts_anything = silence.is_some() || newest_first || !counts.is_empty();
    let looks = counts_anything || stale.is_some() || !window.is_all();
    if let Some(value) = refused_at.filter(|_| refused == Some(true) && looks) {
        let nothing = "who is refused gets nothing";
        refuse(reader, value, nothing, "needs a table of its own");
    }
    let says = silence.is_some() || stale.is_some() || refused.is_some() || newest_first;
    if !says && counts.is_empty() {
        let others = ["silence", "stale", "refused", "newest_first"];
        let needs = COUNTS.into_iter().chain(others);
        refuse_nothing(&keys, reader, errors, needs);
    }
    keys.finish(reader, "`viewed`");
    if reader.error_count() > errors {
        return None;
    }
    Some(Viewed {
        name: name?,
        window,
        counts,
        silence,
        stale,
        refused: refused.unwrap_or(false),
        newest_first,
    })
}

/// The viewers of that name, at least one: the refused ones if `refused`, else the others.
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

impl Viewed {
    fn sights<'a>(&self, viewer: &'a ViewerLog) -> impl Iterator<Item = &'a SightLog> + use<'a> {
        let window = self.window;
        let sights = viewer.sights.iter();
        sights.filter(move |sight| window.contains(sight.at))
    }

    fn count(&self, viewer: &ViewerLog, of: &str) -> usize {
        let sights = self.sights(viewer);
        match of {
            "events" => sights.map(|sight| sight.ids.len()).sum(),
            "distinct" => {
                let ids: BTreeSet<_> = sights.flat_map(|sight| &sight.ids).collect();
                ids.len()
            }
            "lost" => {
                let lost: u64 = sights.map(|sight| sight.lost).sum();
                usize::try_from(lost).unwrap_or(usize::MAX)
            }
            "deliveries" => sights.count(),
            _ => sights.map(|sight| sight.ids.len()).max().unwrap_or(0),
        }
    }

    /// The mistake in the order of the snapshot, if it must be newest first. Fewer than two events have no
    /// order.
    fn not_newest_first(&self, viewer: &ViewerLog) -> Option<&'static str> {
        let mut firsts = self.sights(viewer).filter(|sight| sight.is_first);
        match firsts.next() {
            _ if !self.newest_first => None,
            None => Some("no snapshot"),
            Some(first) if first.ids.len() < 2 => Some("a snapshot without any order"),
            Some(first) if !first.is_newest_first => Some("another order"),
            Some(_) => None,
        }
    }

    /// The longest time without a delivery, and its beginning; both ends of the window count as deliveries.
    fn longest_silence(&self, observed: &Observed<'_>, viewer: &ViewerLog) -> (Duration, Instant) {
        let mut last = viewer.since.max(self.window.start());
        let until = self.window.end().unwrap_or(observed.now);
        let end = viewer.left.map_or(until, |left| left.min(until));
        let mut longest = (Duration::ZERO, last);
        let times = self.sights(viewer).map(|sight| sight.at);
        for at in times.chain([end]) {
            longest = longest.max((at - last, last));
            last = at;
        }
        longest
    }
}

impl Check for Viewed {
    fn holds(&self, observed: &Observed<'_>) -> Result<(), Mismatch> {
        let (name, window) = (&self.name, self.window);
        let expected = || match self.refused {
            true => format!("viewers `{name}` are refused"),
            false => format!("viewers `{name}` are let in"),
        };
        for viewer in viewers(observed, name, self.refused, expected)? {
            let wrong = |what: String, seen: String| {
                let expected = format!("{what} of viewers `{name}`{window}");
                Err(Mismatch { expected, seen })
            };
            for (key, amount) in &self.counts {
                let count = self.count(viewer, key);
                if !amount.contains(count) {
                    let others = COUNTS.map(|of| format!("{of} {}", self.count(viewer, of)));
                    let seen = format!("{key} = {count}; all of it: {}", others.join(", "));
                    return wrong(format!("{key} {amount}"), seen);
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
            if let Some(seen) = self.not_newest_first(viewer) {
                return wrong("newest_first".to_owned(), seen.to_owned());
            }
        }
        Ok(())
    }
}
