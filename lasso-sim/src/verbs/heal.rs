//! `heal`: the network works again: `heal = "all"`, `heal = { between = ["a", "b"] }`.

use super::{Entry, Verb, show_paths};
use crate::scenario::{Kind, Reader, Scenario, Value, one_way, read_paths};
use crate::world::{Ability, Path, Refusal, World};

pub(super) const ENTRY: Entry = Entry {
    key: "heal",
    summary: "ends partitions, cuts and holds, of `all` or of some paths",
    ranges: &[],
    parse,
};

#[derive(Debug)]
struct Heal {
    paths: Vec<Path>,
}

fn parse(value: &Value, reader: &mut Reader<'_>) -> Option<Box<dyn Verb>> {
    if matches!(&value.kind, Kind::Text(text) if text == "all") {
        let all: Vec<_> = reader.names.all().collect();
        let paths = one_way(&all, &all).into_iter().collect();
        return Some(Box::new(Heal { paths }));
    }
    let wanted = "`all`, or a table such as `{ between = [\"a\", \"b\"] }`";
    let mut keys = reader.fields(value, wanted)?;
    let paths = read_paths(reader, &mut keys);
    keys.finish(reader, "`heal`");
    Some(Box::new(Heal {
        paths: paths?.into_iter().collect(),
    }))
}

impl Verb for Heal {
    fn needs(&self) -> Vec<Ability> {
        vec![]
    }

    fn apply(&self, _: &Scenario, world: &mut dyn World) -> Result<(), Refusal> {
        world.heal(&self.paths)
    }

    fn describe(&self, scenario: &Scenario) -> String {
        format!("heal {}", show_paths(scenario, &self.paths))
    }

    fn must_take_effect(&self) -> bool {
        false
    }
}
