//! `slow`: the network becomes worse, or better: `slow = { between = ["a", "b"], latency = "80ms" }`, `slow = {
//! node = "a", loss = "20%" }` for every path to and from a node; and back to the file's network: `slow = {
//! node = "a", back = true }`.

use std::collections::BTreeSet;

use super::{Entry, Verb, show_paths};
use crate::scenario::{
    Diagnostic, Reader, Scenario, Shape, Value, one_way, read_paths, read_shape,
};
use crate::world::{Ability, Path, Refusal, World};

pub(super) const ENTRY: Entry = Entry {
    key: "slow",
    summary: "gives paths another latency, jitter, loss or bandwidth, or those of `[network]` again",
    ranges: &["latency"],
    parse,
};

#[derive(Debug)]
struct Slow {
    paths: Vec<Path>,
    /// `None`: the shape in the file's network.
    shape: Option<Shape>,
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
    let any = read_shape(reader, &mut keys, &mut shape);
    let back = keys.take("back").and_then(|value| reader.flag(value));
    let back = back.unwrap_or_default();
    if back && any {
        let both = Diagnostic::new(keys.span(), "`back` says all of the shape");
        reader.error(both.label("`latency` and the like exclude it"));
    } else if !any && !back {
        let nothing = Diagnostic::new(keys.span(), "this changes nothing");
        reader.error(nothing.label("needs `latency`, `jitter`, `loss`, `bandwidth` or `back`"));
    }
    keys.finish(reader, "`slow`");
    Some(Box::new(Slow {
        paths: paths?.into_iter().collect(),
        shape: (!back).then_some(shape),
    }))
}

impl Verb for Slow {
    fn needs(&self) -> Vec<Ability> {
        vec![Ability::Shape]
    }

    fn apply(&self, scenario: &Scenario, world: &mut dyn World) -> Result<(), Refusal> {
        if let Some(shape) = &self.shape {
            return world.shape(&self.paths, shape);
        }
        let mut paths = self.paths.iter();
        paths.try_for_each(|path| world.shape(&[*path], scenario.network.shape(*path)))
    }

    fn describe(&self, scenario: &Scenario) -> String {
        let paths = show_paths(scenario, &self.paths);
        match &self.shape {
            Some(shape) => format!("slow {paths} ({shape:?})"),
            None => format!("slow {paths} no longer"),
        }
    }

    fn must_take_effect(&self) -> bool {
        self.shape.is_some()
    }
}
