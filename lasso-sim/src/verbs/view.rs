//! `view`: applications open viewers of live events, for as long as their processes live: `view = { on = "a",
//! profile = "premium", called = "desk" }`, `view = { on = "a", profile = "premium", account = "acme", called =
//! "page", count = 50, reads = "1/s" }`. By default the viewer of a profile is an operator of it, and the
//! viewer of an account is that account; `as` changes this: `as = "other"`, `as = "operator"`.

use lasso_core::events::topics::Segment;
use lasso_core::events::{Pass, Scope};

use super::{Entry, Verb, keys, loads, subscribe};
use crate::app::events::{Looked, View};
use crate::app::{Order, Reads};
use crate::scenario::{Deed, Diagnostic, NodeId, OPERATOR, Reader, Scenario, Value};
use crate::world::{Ability, Refusal, World};

pub(super) const ENTRY: Entry = Entry {
    key: "view",
    summary: "makes applications open viewers of a profile's or an account's live events",
    ranges: &[],
    parse,
};

/// Most viewers of one order.
const COUNT_MAX: i64 = 10_000;

#[derive(Debug)]
struct Views {
    nodes: Vec<NodeId>,
    what: View,
}

fn parse(value: &Value, reader: &mut Reader<'_>) -> Option<Box<dyn Verb>> {
    let wanted = "a table such as `{ on = \"a\", profile = \"premium\", called = \"desk\" }`";
    let mut keys = reader.fields(value, wanted)?;
    let errors = reader.error_count();
    let nodes = loads::nodes(reader, &mut keys);
    let profile = keys.need(reader, "profile");
    let profile = profile.and_then(|value| segment(reader, value));
    let account = keys.take("account");
    let account = account.map(|value| segment(reader, value));
    let chains = keys.take("chains");
    let chains = chains.map_or(Some(Vec::new()), |value| segments(reader, value));
    let called_at = keys.need(reader, "called");
    let called = called_at.and_then(|value| reader.text(value));
    if let Some(Some(account)) = &account {
        reader.note_account(account.as_str());
    }
    let who = keys.take("as").map(|value| (value, reader.text(value)));
    if let Some((value, Some(_))) = who {
        reader.needs_account(value);
    }
    let count = keys.take("count");
    let count = count.map_or(Some(1), |value| reader.integer(value, 1, COUNT_MAX));
    let reads = keys.take("reads");
    let reads = reads.map_or(Some(Reads::AtOnce), |value| {
        subscribe::read_reads(value, reader)
    });
    let span = called_at.map_or_else(|| keys.span(), |value| value.span.clone());
    let names: Option<Vec<_>> = called.map(|called| vec![called.into()]);
    reader.note_use(Deed::View, names.as_deref(), nodes.as_deref(), called, span);
    keys.finish(reader, "`view`");
    let (profile, account) = (
        profile?,
        account.map_or(Some(None), |account| account.map(Some))?,
    );
    let pass = match who {
        None => match &account {
            None => Pass::operator(profile.clone()),
            Some(account) => Pass::account(profile.clone(), account.clone()),
        },
        Some((_, who)) if who? == OPERATOR => Pass::operator(profile.clone()),
        Some((value, _)) => Pass::account(profile.clone(), segment(reader, value)?),
    };
    if reader.error_count() > errors {
        return None;
    }
    Some(Box::new(Views {
        nodes: nodes?,
        what: View {
            name: called?.to_owned(),
            what: Looked {
                profile,
                scope: account.map_or(Scope::Profile, Scope::Account),
                chains: chains?,
                pass,
            },
            count: count? as u32,
            reads: reads?,
        },
    }))
}

/// An id that may be part of a topic.
pub(super) fn segment(reader: &mut Reader<'_>, value: &Value) -> Option<Segment> {
    let text = reader.text(value)?;
    match Segment::new(text) {
        Ok(segment) => Some(segment),
        Err(error) => {
            reader.error(Diagnostic::new(value.span.clone(), error.to_string()).label("here"));
            None
        }
    }
}

/// One or several of them.
pub(super) fn segments(reader: &mut Reader<'_>, value: &Value) -> Option<Vec<Segment>> {
    let items = reader.items(value).iter();
    let read: Vec<Option<Segment>> = items.map(|item| segment(reader, item)).collect();
    read.into_iter().collect()
}

impl Verb for Views {
    fn needs(&self) -> Vec<Ability> {
        vec![Ability::App]
    }

    fn apply(&self, _: &Scenario, world: &mut dyn World) -> Result<(), Refusal> {
        let order = Order::View(self.what.clone());
        let mut nodes = self.nodes.iter();
        nodes.try_for_each(|node| world.order(*node, &order))
    }

    fn describe(&self, scenario: &Scenario) -> String {
        let (view, nodes) = (&self.what, keys(scenario, &self.nodes));
        let scope = match &view.what.scope {
            Scope::Profile => String::new(),
            Scope::Account(account) => format!(", account {account}"),
        };
        let (profile, count) = (&view.what.profile, view.count);
        format!(
            "{nodes} open {count} viewers `{}` of {profile}{scope}",
            view.name
        )
    }
}
