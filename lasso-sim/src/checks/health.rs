//! `health`: the status of the health answer: `health = "degraded"`.

use super::{Check, Entry, Mismatch, Observed};
use crate::scenario::{Reader, Value};

pub(super) const ENTRY: Entry = Entry {
    key: "health",
    summary: "the status of its health answer: healthy, degraded, critical",
    absent: false,
    parse,
};

#[derive(Debug)]
struct Health {
    status: &'static str,
}

fn parse(value: &Value, reader: &mut Reader<'_>) -> Option<Box<dyn Check>> {
    let choices = ["healthy", "degraded", "critical"].map(|status| (status, status));
    Some(Box::new(Health {
        status: reader.choice(value, &choices)?,
    }))
}

impl Check for Health {
    fn holds(&self, observed: &Observed<'_>) -> Result<(), Mismatch> {
        let expected = || format!("health = {}", self.status);
        let seen = observed.view(expected)?.health;
        if seen == self.status {
            return Ok(());
        }
        Err(Mismatch {
            expected: expected(),
            seen: format!("health = {seen}"),
        })
    }
}
