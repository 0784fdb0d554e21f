//! `counters`: the node's counters since its process started: `counters = { messages_unwanted = 0, links = ">=
//! 2" }`.

use super::{Check, Entry, Mismatch, Observed, amount_within};
use crate::inspect::counter_names;
use crate::scenario::{Amount, Diagnostic, Kind, Reader, Value};

pub(super) const ENTRY: Entry = Entry {
    key: "counters",
    summary: "its counters since its process started",
    absent: false,
    parse,
};

#[derive(Debug)]
struct Counters(Vec<(&'static str, Amount)>);

fn parse(value: &Value, reader: &mut Reader<'_>) -> Option<Box<dyn Check>> {
    let form = "a table such as `{ links = \">= 2\" }`";
    let Kind::Table(table) = &value.kind else {
        return reader.wrong(value, form);
    };
    let choices: Vec<(&str, &'static str)> = counter_names().map(|name| (name, name)).collect();
    let errors = reader.error_count();
    let mut wanted = Vec::new();
    for (key, value) in &table.entries {
        let name = Value {
            span: key.span.clone(),
            kind: Kind::Text(key.text.clone()),
        };
        let name = reader.choice(&name, &choices);
        let amount = amount_within(value, reader, 0, usize::MAX);
        wanted.extend(name.zip(amount));
    }
    if wanted.is_empty() && reader.error_count() == errors {
        let nothing = Diagnostic::new(value.span.clone(), "no counter is named");
        reader.error(nothing.label(form));
    }
    (reader.error_count() == errors).then(|| Box::new(Counters(wanted)) as Box<dyn Check>)
}

impl Check for Counters {
    fn holds(&self, observed: &Observed<'_>) -> Result<(), Mismatch> {
        for (name, amount) in &self.0 {
            let expected = || format!("{name} {amount}");
            let view = observed.view(expected)?;
            let count = view.counters.get(name).copied().unwrap_or(0);
            if !amount.contains(usize::try_from(count).unwrap_or(usize::MAX)) {
                return Err(Mismatch {
                    expected: expected(),
                    seen: format!("{name} = {count}"),
                });
            }
        }
        Ok(())
    }
}
