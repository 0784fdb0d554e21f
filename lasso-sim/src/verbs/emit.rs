//! `emit`: applications publish live events, subject to sampling: `emit = { on = "a", profile = "premium", rate
//! = "100/s", for = "10s", errors = "5%" }`, `emit = { on = "a", profile = "premium", accounts = ["acme",
//! "other"], count = 100 }`, `emit = { on = "a", profile = "premium", circuit = "open" }`, `emit = { on = "a",
//! profile = "premium", height = 100, count = 5, rate = "1/s" }`.

use core::time::Duration;

use lasso_core::events::routing::CircuitState;
use lasso_core::events::topics::Segment;
use lasso_core::name::Label;

use super::view::{segment, segments};
use super::{Entry, Verb, keys, loads};
use crate::app::events::{Decisions, Emit, What};
use crate::app::{Load, Order};
use crate::scenario::{Deed, Diagnostic, Fields, NodeId, Reader, Scenario, Value};
use crate::world::{Ability, Refusal, World};

pub(super) const ENTRY: Entry = Entry {
    key: "emit",
    summary: "makes applications publish live events: requests, circuits, block heights",
    ranges: &["takes", "ago"],
    parse,
};

const CIRCUITS: [(&str, CircuitState); 3] = [
    ("closed", CircuitState::Closed),
    ("open", CircuitState::Open),
    ("half_open", CircuitState::HalfOpen),
];

#[derive(Debug)]
struct Emits {
    nodes: Vec<NodeId>,
    profile: Segment,
    chain: Segment,
    providers: Vec<Label>,
    what: What,
    load: Load,
}

fn parse(value: &Value, reader: &mut Reader<'_>) -> Option<Box<dyn Verb>> {
    let wanted = "a table such as `{ on = \"a\", profile = \"premium\", count = 100 }`";
    let mut keys = reader.fields(value, wanted)?;
    let errors = reader.error_count();
    let nodes = loads::nodes(reader, &mut keys);
    let profile_at = keys.need(reader, "profile");
    let profile = profile_at.and_then(|value| segment(reader, value));
    let span = profile_at.map_or_else(|| keys.span(), |value| value.span.clone());
    let names: Option<Vec<_>> = profile.as_ref().map(|p| vec![p.as_str().into()]);
    reader.note_use(Deed::Emit, names.as_deref(), nodes.as_deref(), None, span);
    let chain = keys.take("chain");
    let chain = chain.map_or_else(|| Segment::new("eth").ok(), |value| segment(reader, value));
    let providers = keys.take("provider");
    let providers = providers.map_or_else(
        || Label::new("provider", "alchemy").ok().map(|one| vec![one]),
        |value| labels(reader, value),
    );
    let load = loads::load(reader, &mut keys, false);
    let what = match read_state(reader, &mut keys) {
        Some(state) => state,
        None => {
            let words = providers.iter().flatten().map(|one| one.as_str().into());
            let (words, span): (Vec<_>, _) = (words.collect(), keys.span());
            reader.note_use(Deed::Route, Some(&words), nodes.as_deref(), None, span);
            read_requests(reader, &mut keys)
        }
    };
    keys.finish(reader, "`emit`");
    if reader.error_count() > errors {
        return None;
    }
    Some(Box::new(Emits {
        nodes: nodes?,
        profile: profile?,
        chain: chain?,
        providers: providers?,
        what: what?,
        load: load?,
    }))
}

/// Providers, at least one.
fn labels(reader: &mut Reader<'_>, value: &Value) -> Option<Vec<Label>> {
    let items = reader.items(value).iter();
    let read: Vec<Option<Label>> = items
        .map(|item| {
            let label = Label::new("provider", reader.text(item)?);
            label
                .map_err(|error| {
                    reader.error(Diagnostic::new(item.span.clone(), error.to_string()));
                })
                .ok()
        })
        .collect();
    let labels: Vec<Label> = read.into_iter().collect::<Option<_>>()?;
    if labels.is_empty() {
        return reader.wrong(value, "a provider or a list of them");
    }
    Some(labels)
}

/// The state in the table, if there is one, valid or not.
fn read_state(reader: &mut Reader<'_>, keys: &mut Fields<'_>) -> Option<Option<What>> {
    if let Some(value) = keys.take("circuit") {
        return Some(reader.choice(value, &CIRCUITS).map(What::Circuit));
    }
    let height = reader.integer(keys.take("height")?, 0, i64::MAX / 2);
    Some(height.map(|height| What::Height(height as u64)))
}

fn read_requests(reader: &mut Reader<'_>, keys: &mut Fields<'_>) -> Option<What> {
    let accounts = keys.take("accounts");
    let accounts = accounts.map_or(Some(Vec::new()), |value| segments(reader, value));
    for account in accounts.iter().flatten() {
        reader.note_account(account.as_str());
    }
    let mut share = |key| {
        let value = keys.take(key);
        value.map_or(Some(0), |value| reader.share(value))
    };
    let (errors_ppm, failovers_ppm) = (share("errors"), share("failovers"));
    let mut range = |key, otherwise| {
        let value = keys.take(key);
        value.map_or(Some((otherwise, otherwise)), |value| {
            reader.duration_range(value)
        })
    };
    let takes = range("takes", Duration::from_millis(100));
    let ago = range("ago", Duration::ZERO);
    let ids = keys.take("ids").map(|value| reader.text(value));
    Some(What::Decisions(Decisions {
        accounts: accounts?,
        errors_ppm: errors_ppm?,
        failovers_ppm: failovers_ppm?,
        takes: takes?,
        ago: ago?,
        ids: match ids {
            None => None,
            Some(ids) => Some(ids?.to_owned()),
        },
    }))
}

impl Verb for Emits {
    fn needs(&self) -> Vec<Ability> {
        vec![Ability::App]
    }

    fn apply(&self, _: &Scenario, world: &mut dyn World) -> Result<(), Refusal> {
        let mut nodes = self.nodes.iter();
        nodes.try_for_each(|id| {
            let spec = world.spec(*id);
            let order = Order::Emit(Emit {
                source: spec.name(),
                region: spec.description.region.clone(),
                profile: self.profile.clone(),
                chain: self.chain.clone(),
                providers: self.providers.clone(),
                what: self.what.clone(),
                load: self.load,
            });
            world.order(*id, &order)
        })
    }

    fn describe(&self, scenario: &Scenario) -> String {
        let what = match &self.what {
            What::Decisions(_) => "requests".to_owned(),
            What::Circuit(state) => format!("a circuit that is {}", <&str>::from(*state)),
            What::Height(first) => format!("heights from {first} on"),
        };
        let (nodes, load) = (keys(scenario, &self.nodes), loads::show(&self.load));
        format!("{nodes} emit {what} of {} {load}", self.profile)
    }
}
