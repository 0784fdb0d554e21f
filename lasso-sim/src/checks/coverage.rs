//! `connected`, `responding`, `identified`, `expected`: the numbers of a coverage. Each includes the node
//! itself, so none is ever 0.

use super::{Check, Entry, Mismatch, Observed, amount_within};
use crate::scenario::{Amount, Reader, Value};
use crate::world::NodeView;

pub(super) const CONNECTED: Entry = Entry {
    key: "connected",
    summary: "how many nodes it is linked to, itself included",
    absent: false,
    parse: |value, reader| number(value, reader, "connected", |view| view.coverage.connected),
};

pub(super) const RESPONDING: Entry = Entry {
    key: "responding",
    summary: "how many nodes respond or are ready, itself included",
    absent: false,
    parse: |value, reader| number(value, reader, "responding", |view| view.coverage.responding),
};

pub(super) const IDENTIFIED: Entry = Entry {
    key: "identified",
    summary: "how many linked nodes have described themselves, itself included",
    absent: false,
    parse: |value, reader| number(value, reader, "identified", |view| view.coverage.identified),
};

pub(super) const EXPECTED: Entry = Entry {
    key: "expected",
    summary: "how many nodes there should be: by the operator's number, by discovery, or by the links",
    absent: false,
    parse: |value, reader| {
        let amount = amount_within(value, reader, 1, usize::MAX)?;
        Some(Box::new(Number {
            key: "expected",
            amount,
            of: |view| view.coverage.expected,
        }))
    },
};

#[derive(Debug)]
struct Number {
    key: &'static str,
    amount: Amount,
    of: fn(&NodeView) -> usize,
}

fn number(
    value: &Value,
    reader: &mut Reader<'_>,
    key: &'static str,
    of: fn(&NodeView) -> usize,
) -> Option<Box<dyn Check>> {
    let amount = amount_within(value, reader, 1, reader.names.len())?;
    Some(Box::new(Number { key, amount, of }))
}

impl Check for Number {
    fn holds(&self, observed: &Observed<'_>) -> Result<(), Mismatch> {
        let expected = || format!("{} {}", self.key, self.amount);
        let number = (self.of)(observed.view(expected)?);
        if self.amount.contains(number) {
            return Ok(());
        }
        Err(Mismatch {
            expected: expected(),
            seen: format!("{} = {number}", self.key),
        })
    }
}
