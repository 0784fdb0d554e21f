//! `described`: the descriptions of other nodes, as this one knows them: `described = { b = { region = "sjc",
//! version = "2.0.0", roles = ["web"], id = "b" } }`.

use std::collections::BTreeSet;

use lasso_core::name::Description;

use super::{Check, Entry, Mismatch, Observed};
use crate::scenario::{Kind, NodeId, Reader, Value};

pub(super) const ENTRY: Entry = Entry {
    key: "described",
    summary: "how other nodes have described themselves: id, region, version, roles",
    absent: false,
    parse,
};

#[derive(Debug, Clone, Default)]
struct Wanted {
    id: Option<String>,
    region: Option<String>,
    version: Option<String>,
    roles: Option<BTreeSet<String>>,
}

#[derive(Debug)]
struct Described {
    wanted: Vec<(NodeId, Wanted)>,
}

fn parse(value: &Value, reader: &mut Reader<'_>) -> Option<Box<dyn Check>> {
    let Kind::Table(table) = &value.kind else {
        return reader.wrong(value, "a table such as `{ b = { region = \"sjc\" } }`");
    };
    let mut wanted = Vec::new();
    let mut good = !table.entries.is_empty();
    if !good {
        reader.wrong::<()>(value, "the description of any node");
    }
    for (key, value) in &table.entries {
        let name = Value {
            span: key.span.clone(),
            kind: Kind::Text(key.text.clone()),
        };
        match (reader.nodes(&name), read_wanted(value, reader)) {
            (Some(nodes), Some(description)) => {
                wanted.extend(nodes.into_iter().map(|node| (node, description.clone())));
            }
            _ => good = false,
        }
    }
    good.then(|| Box::new(Described { wanted }) as Box<dyn Check>)
}

fn read_wanted(value: &Value, reader: &mut Reader<'_>) -> Option<Wanted> {
    let mut keys = reader.fields(value, "a table such as `{ region = \"sjc\" }`")?;
    let errors = reader.error_count();
    let mut text = |reader: &mut Reader<'_>, key| {
        keys.take(key)
            .and_then(|value| reader.text(value))
            .map(str::to_owned)
    };
    let (id, region) = (text(reader, "id"), text(reader, "region"));
    let version = text(reader, "version");
    let roles = keys.take("roles").map(|value| {
        let items = reader.items(value).iter();
        items
            .filter_map(|item| reader.text(item))
            .map(str::to_owned)
            .collect()
    });
    keys.finish(reader, "a description");
    let wanted = Wanted {
        id,
        region,
        version,
        roles,
    };
    let empty = wanted.id.is_none()
        && wanted.region.is_none()
        && wanted.version.is_none()
        && wanted.roles.is_none();
    if empty && reader.error_count() == errors {
        return reader.wrong(value, "a description: `id`, `region`, `version` or `roles`");
    }
    Some(wanted)
}

impl Wanted {
    /// The first difference: the expected and the actual value.
    fn difference(&self, description: &Description) -> Option<(String, String)> {
        for (what, wanted, seen) in [
            ("id", &self.id, &description.id),
            ("region", &self.region, &description.region),
            ("version", &self.version, &description.version),
        ] {
            if let Some(wanted) = wanted
                && wanted != seen.as_str()
            {
                return Some((format!("{what} = {wanted}"), format!("{what} = {seen}")));
            }
        }
        let roles: BTreeSet<String> = description
            .roles
            .iter()
            .map(|role| role.as_str().to_owned())
            .collect();
        match &self.roles {
            Some(wanted) if *wanted != roles => {
                Some((format!("roles = {wanted:?}"), format!("roles = {roles:?}")))
            }
            _ => None,
        }
    }
}

impl Check for Described {
    fn holds(&self, observed: &Observed<'_>) -> Result<(), Mismatch> {
        for (node, wanted) in self
            .wanted
            .iter()
            .filter(|(node, _)| *node != observed.node)
        {
            let key = &observed.scenario.node(*node).key;
            let name = observed.name(*node);
            let view = observed.view(|| format!("{key} has described itself"))?;
            let member = view.members.iter().find(|member| member.name == name);
            let Some(description) = member.and_then(|member| member.description.as_ref()) else {
                return Err(Mismatch {
                    expected: format!("{key} has described itself"),
                    seen: format!("{key} has not described itself"),
                });
            };
            if let Some((expected, seen)) = wanted.difference(description) {
                return Err(Mismatch {
                    expected: format!("{key} has {expected}"),
                    seen: format!("{key} has {seen}"),
                });
            }
        }
        Ok(())
    }
}
