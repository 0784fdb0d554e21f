//! `liar`: a member that breaks the protocol joins: `liar = { to = "a", lies = "numbers_twice" }`,
//! `liar = { to = ["a", "b"], lies = "another_name", as = "c", for = "30s" }`.

use core::time::Duration;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use lasso_core::name::{Identity, Incarnation, NodeName};
use lasso_core::plane::pubsub::TOPIC_BYTES_MAX;

use super::{Entry, Verb, keys, loads};
use crate::direct::EPOCH_MS;
use crate::liar::{Lying, lies};
use crate::scenario::{Diagnostic, NodeId, Reader, Scenario, Value, address};
use crate::world::{Ability, Refusal, World};

pub(super) const ENTRY: Entry = Entry {
    key: "liar",
    summary: "makes a liar, who holds the cookie, join and break the protocol",
    ranges: &[],
    parse,
};

/// The default address of a liar.
const FROM: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 99, 0, 2));
/// How long it lies by default.
const LASTS: Duration = Duration::from_secs(30);

#[derive(Debug)]
struct Joins {
    targets: Vec<NodeId>,
    lie: &'static lies::Entry,
    topic: Option<Arc<str>>,
    claims: Option<NodeId>,
    from: IpAddr,
    lasts: Duration,
}

fn parse(value: &Value, reader: &mut Reader<'_>) -> Option<Box<dyn Verb>> {
    let wanted = "a table such as `{ to = \"a\", lies = \"numbers_twice\" }`";
    let mut keys = reader.fields(value, wanted)?;
    let errors = reader.error_count();
    let targets = keys
        .need(reader, "to")
        .and_then(|value| reader.nodes(value));
    let choices: Vec<(&str, &'static lies::Entry)> =
        lies::ALL.iter().map(|entry| (entry.name, entry)).collect();
    let lie = keys
        .need(reader, "lies")
        .and_then(|value| reader.choice(value, &choices));
    let topic = keys.take("topic");
    let topic = topic.and_then(|value| loads::word(reader, value, "a topic", TOPIC_BYTES_MAX));
    let named = keys.take("as");
    let claims = named.and_then(|value| reader.node(value));
    if let Some(lie) = lie
        && lies::CLAIMS.contains(&lie.name) != named.is_some()
    {
        let span = named.map_or_else(|| keys.span(), |value| value.span.clone());
        let lies = lies::CLAIMS.join("` and `");
        let message = format!("`as` names the node that `{lies}` claim to be, and goes with them");
        reader.error(Diagnostic::new(span, message).label("here"));
    }
    let from = keys
        .take("from")
        .map_or(Some(FROM), |value| address(reader, value));
    let lasts = keys
        .take("for")
        .map_or(Some(LASTS), |value| reader.duration(value));
    keys.finish(reader, "`liar`");
    // From here on one more node may be linked.
    reader.counts_known &= named.is_some();
    if reader.error_count() > errors {
        return None;
    }
    Some(Box::new(Joins {
        targets: targets?,
        lie: lie?,
        topic,
        claims,
        from: from?,
        lasts: lasts?,
    }))
}

impl Joins {
    fn lying(&self, scenario: &Scenario, world: &dyn World, target: NodeId) -> Lying {
        let (spec, now) = (world.spec(target), world.now().since_start());
        let name = match self.claims {
            Some(node) => world.spec(node).name(),
            None => {
                let address = SocketAddr::new(self.from, spec.address.port());
                NodeName::new(spec.name().basename().clone(), address)
            }
        };
        Lying {
            to: target,
            from: self.from,
            identity: Identity {
                cluster: spec.cluster.clone(),
                name,
                // Later than that of any node that starts now.
                incarnation: Incarnation(EPOCH_MS + now.as_millis() as u64 + 1),
            },
            security: spec.config(scenario.null_cipher).security,
            lie: self.lie,
            topic: self.topic.clone(),
            lasts: self.lasts,
        }
    }
}

impl Verb for Joins {
    fn needs(&self) -> Vec<Ability> {
        vec![Ability::Liar]
    }

    fn apply(&self, scenario: &Scenario, world: &mut dyn World) -> Result<(), Refusal> {
        self.targets.iter().try_for_each(|target| {
            let lying = self.lying(scenario, world, *target);
            world.liar(&lying)
        })
    }

    fn describe(&self, scenario: &Scenario) -> String {
        let targets = keys(scenario, &self.targets);
        format!("liar {} lies to {targets}: {}", self.from, self.lie.name)
    }
}
