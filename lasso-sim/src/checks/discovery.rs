//! `discovery`: the states of the queries: `discovery = "failed"` for each of them, or `discovery = {
//! "lasso.internal" = "ok" }`.

use lasso_core::discovery::QueryState;

use super::{Check, Entry, Mismatch, Observed};
use crate::scenario::{Diagnostic, Kind, Reader, Value};

pub(super) const ENTRY: Entry = Entry {
    key: "discovery",
    summary: "the state of its queries: pending, ok, empty, truncated, failed",
    absent: false,
    parse,
};

const STATES: [(&str, QueryState); 5] = [
    ("pending", QueryState::Pending),
    ("ok", QueryState::Ok),
    ("empty", QueryState::Empty),
    ("truncated", QueryState::Truncated),
    ("failed", QueryState::Failed),
];

#[derive(Debug)]
struct Discovery {
    /// A query by its name, or all.
    wanted: Vec<(Option<String>, QueryState)>,
}

fn parse(value: &Value, reader: &mut Reader<'_>) -> Option<Box<dyn Check>> {
    let Kind::Table(table) = &value.kind else {
        let state = reader.choice(value, &STATES)?;
        return Some(Box::new(Discovery {
            wanted: vec![(None, state)],
        }));
    };
    let mut wanted = Vec::new();
    for (key, value) in &table.entries {
        let asked = reader.nodes.iter().flat_map(|node| node.queries.iter());
        if !asked.into_iter().any(|query| query.name == key.text) {
            let message = format!("no node asks for `{}`", key.text);
            reader.error(Diagnostic::new(key.span.clone(), message).label("unknown name"));
        }
        wanted.push((Some(key.text.clone()), reader.choice(value, &STATES)?));
    }
    Some(Box::new(Discovery { wanted }))
}

impl Check for Discovery {
    fn holds(&self, observed: &Observed<'_>) -> Result<(), Mismatch> {
        for (name, state) in &self.wanted {
            let what = name.as_deref().unwrap_or("every query");
            let expected = || format!("discovery of {what} = {state}");
            let view = observed.view(expected)?;
            // A status shows the query as it was configured: `srv:` before, `=basename` behind.
            let means = |query: &str, name: &str| {
                let query = query.strip_prefix("srv:").unwrap_or(query);
                query.split('=').next() == Some(name)
            };
            let mut asked = view
                .discovery
                .iter()
                .filter(|status| {
                    name.as_deref()
                        .is_none_or(|name| means(&status.query, name))
                })
                .peekable();
            if asked.peek().is_none() {
                let seen = format!("it does not ask for {what}");
                return Err(Mismatch {
                    expected: expected(),
                    seen,
                });
            }
            if let Some(other) = asked.find(|status| status.state != *state) {
                let seen = format!("discovery of {} = {}", other.query, other.state);
                return Err(Mismatch {
                    expected: expected(),
                    seen,
                });
            }
        }
        Ok(())
    }
}
