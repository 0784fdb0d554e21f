//! `process`: the state of the node's process: `process = "gone"`.

use super::{Check, Entry, Mismatch, Observed};
use crate::scenario::{Reader, Value};
use crate::world::Process;

pub(super) const ENTRY: Entry = Entry {
    key: "process",
    summary: "the state of its process: running, paused, gone",
    absent: true,
    parse,
};

const STATES: [(&str, Process); 3] = [
    ("running", Process::Running),
    ("paused", Process::Paused),
    ("gone", Process::Gone),
];

#[derive(Debug)]
struct Doing {
    process: Process,
}

fn parse(value: &Value, reader: &mut Reader<'_>) -> Option<Box<dyn Check>> {
    Some(Box::new(Doing {
        process: reader.choice(value, &STATES)?,
    }))
}

impl Check for Doing {
    fn holds(&self, observed: &Observed<'_>) -> Result<(), Mismatch> {
        if observed.process == self.process {
            return Ok(());
        }
        let show = |process: Process| {
            let word = STATES.iter().find(|(_, known)| *known == process);
            format!("process = {}", word.map_or("?", |(word, _)| word))
        };
        Err(Mismatch {
            expected: show(self.process),
            seen: show(observed.process),
        })
    }
}
