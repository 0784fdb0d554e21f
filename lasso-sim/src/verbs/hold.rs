//! `hold`: delay without loss: `hold = { between = ["a", "b"] }`.

use super::{Entry, Verb, show_paths};
use crate::scenario::{Reader, Scenario, Value, read_paths};
use crate::world::{Ability, Path, Refusal, World};

pub(super) const ENTRY: Entry = Entry {
    key: "hold",
    summary: "holds back sent bytes and connects without losing any",
    ranges: &[],
    parse,
};

#[derive(Debug)]
struct Hold {
    paths: Vec<Path>,
}

fn parse(value: &Value, reader: &mut Reader<'_>) -> Option<Box<dyn Verb>> {
    let wanted = "a table such as `{ between = [\"a\", \"b\"] }`";
    let mut keys = reader.fields(value, wanted)?;
    let paths = read_paths(reader, &mut keys);
    keys.finish(reader, "`hold`");
    Some(Box::new(Hold {
        paths: paths?.into_iter().collect(),
    }))
}

impl Verb for Hold {
    fn needs(&self) -> Vec<Ability> {
        vec![Ability::Hold]
    }

    fn apply(&self, _: &Scenario, world: &mut dyn World) -> Result<(), Refusal> {
        world.hold(&self.paths)
    }

    fn describe(&self, scenario: &Scenario) -> String {
        format!("hold {}", show_paths(scenario, &self.paths))
    }
}
