//! `emitted`: the results of the live events of the node's application, over all lives of its process: `emitted
//! = { profile = "premium", published = 50, left_out = 950 }`; `reached` counts copies and the nodes that each
//! was sent to. Several such tables in a list must all hold.

use super::tables::{Numbers, Window, all_of, numbers, refuse_nothing};
use super::{Check, Entry, Mismatch, Observed};
use crate::app::events::EmitLog;
use crate::scenario::{Deed, Reader, Value};

pub(super) const ENTRY: Entry = Entry {
    key: "emitted",
    summary: "how many live events of a profile it published, and left out by sampling",
    absent: false,
    parse,
};

type Count = fn(&EmitLog) -> usize;

const COUNTS: [(&str, Count); 3] = [
    ("published", |event| usize::from(event.is_published)),
    ("left_out", |event| usize::from(event.is_left_out)),
    ("reached", |event| event.nodes),
];

#[derive(Debug)]
struct Emitted {
    profile: String,
    window: Window,
    counts: Numbers,
}

fn parse(value: &Value, reader: &mut Reader<'_>) -> Option<Box<dyn Check>> {
    all_of(value, reader, read)
}

fn read(value: &Value, reader: &mut Reader<'_>) -> Option<Emitted> {
    let form = "a table such as `{ profile = \"premium\", published = 50 }`";
    let mut keys = reader.fields(value, form)?;
    let errors = reader.error_count();
    let profile = keys.need(reader, "profile");
    let profile = profile.and_then(|value| reader.used(value, Deed::Emit));
    let window = Window::read(&mut keys, reader);
    let names = COUNTS.iter().map(|(name, _)| *name);
    let counts = numbers(&mut keys, reader, names.clone());
    if counts.is_empty() {
        refuse_nothing(&keys, reader, errors, names);
    }
    keys.finish(reader, "`emitted`");
    if reader.error_count() > errors {
        return None;
    }
    Some(Emitted {
        profile: profile?,
        window,
        counts,
    })
}

impl Check for Emitted {
    fn holds(&self, observed: &Observed<'_>) -> Result<(), Mismatch> {
        let profile = &self.profile;
        let all = observed.app.events.emitted.iter();
        let of_profile = all.filter(|(key, _)| key.as_str() == profile);
        let events: Vec<&EmitLog> = of_profile
            .flat_map(|(_, events)| events)
            .filter(|event| self.window.contains(event.at))
            .collect();
        for (key, amount) in &self.counts {
            let count = COUNTS.iter().find(|(name, _)| name == key);
            let seen: usize = events
                .iter()
                .filter_map(|event| Some(count?.1(event)))
                .sum();
            if !amount.contains(seen) {
                let window = self.window;
                return Err(Mismatch {
                    expected: format!("{key} {amount} of events of {profile}{window}"),
                    seen: seen.to_string(),
                });
            }
        }
        Ok(())
    }
}
