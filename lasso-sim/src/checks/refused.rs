//! `refused`: connections that this node closed or refused, or that its peers closed with a reason,
//! by reason, since its process started: `refused = { wrong_cookie = ">= 1" }`,
//! `refused = { by = "peer", name_taken = ">= 1" }`.

use lasso_core::event::CloseReason;

use super::{Check, Entry, Mismatch, Observed, amount_within};
use crate::scenario::{Amount, Diagnostic, Kind, Reader, Value};

pub(super) const ENTRY: Entry = Entry {
    key: "refused",
    summary: "how many connections it closed, by reason; with `by = \"peer\"`, its peers",
    absent: false,
    parse,
};

/// The reasons as choices, for other checks that read one.
pub(super) fn reasons() -> Vec<(&'static str, &'static str)> {
    CloseReason::NAMES
        .iter()
        .map(|reason| (*reason, *reason))
        .collect()
}

#[derive(Debug)]
struct Refused {
    by_peer: bool,
    wanted: Vec<(&'static str, Amount)>,
}

fn parse(value: &Value, reader: &mut Reader<'_>) -> Option<Box<dyn Check>> {
    let wanted = "a table such as `{ wrong_cookie = \">= 1\" }`";
    let Kind::Table(table) = &value.kind else {
        return reader.wrong(value, wanted);
    };
    let mut by_peer = false;
    let mut amounts = Vec::new();
    let mut good = true;
    for (key, value) in &table.entries {
        if key.text == "by" {
            by_peer = reader.choice(value, &[("self", false), ("peer", true)])?;
            continue;
        }
        let name = Value {
            span: key.span.clone(),
            kind: Kind::Text(key.text.clone()),
        };
        let reason = reader.choice(&name, &reasons());
        match (reason, amount_within(value, reader, 0, usize::MAX)) {
            (Some(reason), Some(amount)) => amounts.push((reason, amount)),
            _ => good = false,
        }
    }
    if amounts.is_empty() && good {
        let nothing = Diagnostic::new(value.span.clone(), "no reason is named");
        reader.error(nothing.label(wanted));
        return None;
    }
    good.then(|| {
        Box::new(Refused {
            by_peer,
            wanted: amounts,
        }) as Box<dyn Check>
    })
}

impl Check for Refused {
    fn holds(&self, observed: &Observed<'_>) -> Result<(), Mismatch> {
        let by = if self.by_peer { " by peers" } else { "" };
        for (reason, amount) in &self.wanted {
            let expected = || format!("closed{by} as {reason} {amount}");
            let view = observed.view(expected)?;
            let counts = if self.by_peer {
                &view.closed_by_peer
            } else {
                &view.closed
            };
            let count = counts.get(reason).copied().unwrap_or(0);
            if !amount.contains(usize::try_from(count).unwrap_or(usize::MAX)) {
                let seen = format!("closed{by} as {reason} = {count} (all: {counts:?})");
                return Err(Mismatch {
                    expected: expected(),
                    seen,
                });
            }
        }
        Ok(())
    }
}
