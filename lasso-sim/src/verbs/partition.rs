//! `partition`: sides that cannot reach each other: `partition = [["a", "b"], ["c"]]`, or `partition = { sides
//! = [["a"], ["b", "c"]], how = "reset" }`. A side may be a group or region: `partition = ["iad", "sjc"]`. A
//! node on no side still reaches all others.

use std::collections::BTreeSet;

use super::cut::{ability, read_how};
use super::{Entry, Verb, keys};
use crate::scenario::{Diagnostic, Kind, NodeId, Reader, Scenario, Value, one_way};
use crate::world::{Ability, Cut, Path, Refusal, World};

pub(super) const ENTRY: Entry = Entry {
    key: "partition",
    summary: "cuts every path between sides; streams stall, are reset or are forgotten",
    ranges: &[],
    parse,
};

#[derive(Debug)]
struct Partition {
    sides: Vec<Vec<NodeId>>,
    paths: Vec<Path>,
    how: Cut,
}

fn parse(value: &Value, reader: &mut Reader<'_>) -> Option<Box<dyn Verb>> {
    let (sides, how) = if let Kind::Table(_) = value.kind {
        let mut keys = reader.fields(value, "a table")?;
        let sides = keys
            .need(reader, "sides")
            .and_then(|value| read_sides(value, reader));
        let how = read_how(&mut keys, reader);
        keys.finish(reader, "`partition`");
        (sides?, how)
    } else {
        (read_sides(value, reader)?, Cut::Stall)
    };
    let mut paths = BTreeSet::new();
    for (index, side) in sides.iter().enumerate() {
        for other in &sides[index + 1..] {
            paths.extend(one_way(side, other));
            paths.extend(one_way(other, side));
        }
    }
    Some(Box::new(Partition {
        sides,
        paths: paths.into_iter().collect(),
        how,
    }))
}

fn read_sides(value: &Value, reader: &mut Reader<'_>) -> Option<Vec<Vec<NodeId>>> {
    let Kind::List(items) = &value.kind else {
        return reader.wrong(value, "a list of sides: `[[\"a\", \"b\"], [\"c\"]]`");
    };
    if items.len() < 2 {
        let message = format!(
            "a partition has two sides or more, and this has {}",
            items.len()
        );
        reader.error(Diagnostic::new(value.span.clone(), message).label("here"));
        return None;
    }
    let sides: Vec<Option<Vec<NodeId>>> = items.iter().map(|item| reader.nodes(item)).collect();
    let sides: Vec<Vec<NodeId>> = sides.into_iter().collect::<Option<_>>()?;
    for (index, side) in sides.iter().enumerate() {
        let twice = sides[..index]
            .iter()
            .flatten()
            .find(|node| side.contains(node));
        if let Some(twice) = twice {
            let message = format!("`{}` is on two sides", reader.names.key(*twice));
            reader.error(Diagnostic::new(items[index].span.clone(), message).label("here again"));
            return None;
        }
    }
    Some(sides)
}

impl Verb for Partition {
    fn needs(&self) -> Vec<Ability> {
        vec![ability(self.how)]
    }

    fn apply(&self, _: &Scenario, world: &mut dyn World) -> Result<(), Refusal> {
        world.cut(&self.paths, self.how)
    }

    fn describe(&self, scenario: &Scenario) -> String {
        let sides: Vec<String> = self.sides.iter().map(|side| keys(scenario, side)).collect();
        format!("partition {} ({:?})", sides.join(" | "), self.how)
    }
}
