//! `slow`: the network becomes worse, or better: `slow = { between = ["a", "b"], latency = "80ms" }`,
//! `slow = { node = "a", loss = "20%" }` for every path to and from a node.

use std::collections::BTreeSet;

use super::{Entry, Verb, show_paths};
use crate::scenario::{
    Diagnostic, Reader, Scenario, Shape, Value, one_way, read_paths, read_shape,
};
use crate::world::{Ability, Path, Refusal, World};

pub(super) const ENTRY: Entry = Entry {
    key: "slow",
    summary: "gives paths another latency, jitter, loss or bandwidth",
    ranges: &["latency"],
    parse,
};

#[derive(Debug)]
struct Slow {
    paths: Vec<Path>,
    shape: Shape,
}

fn parse(value: &Value, reader: &mut Reader<'_>) -> Option<Box<dyn Verb>> {
    let mut keys = reader.fields(value, "a table such as `{ node = \"a\", loss = \"20%\" }`")?;
    let paths: Option<BTreeSet<Path>> = match keys.take("node") {
        None => read_paths(reader, &mut keys),
        Some(value) => reader.nodes(value).map(|nodes| {
            let all: Vec<_> = reader.names.all().collect();
            let mut paths = one_way(&nodes, &all);
            paths.extend(one_way(&all, &nodes));
            paths
        }),
    };
    let mut shape = Shape::default();
    if !read_shape(reader, &mut keys, &mut shape) {
        let nothing = Diagnostic::new(keys.span(), "this changes nothing");
        reader.error(nothing.label("needs `latency`, `jitter`, `loss` or `bandwidth`"));
    }
    keys.finish(reader, "`slow`");
    Some(Box::new(Slow {
        paths: paths?.into_iter().collect(),
        shape,
    }))
}

impl Verb for Slow {
    fn needs(&self) -> Vec<Ability> {
        vec![Ability::Shape]
    }

    fn apply(&self, _: &Scenario, world: &mut dyn World) -> Result<(), Refusal> {
        world.shape(&self.paths, &self.shape)
    }

    fn describe(&self, scenario: &Scenario) -> String {
        format!(
            "slow {} ({:?})",
            show_paths(scenario, &self.paths),
            self.shape
        )
    }
}
