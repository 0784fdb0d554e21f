//! `cut`: one pair or one direction: `cut = { between = ["a", "b"] }`,
//! `cut = { from = "a", to = "b", how = "reset" }`.

use super::{Entry, Verb, show_paths};
use crate::scenario::{Fields, Reader, Scenario, Value, read_paths};
use crate::world::{Ability, Cut, Path, Refusal, World};

pub(super) const ENTRY: Entry = Entry {
    key: "cut",
    summary: "cuts a pair (`between`) or one direction (`from`, `to`)",
    ranges: &[],
    parse,
};

#[derive(Debug)]
struct CutPaths {
    paths: Vec<Path>,
    how: Cut,
}

fn parse(value: &Value, reader: &mut Reader<'_>) -> Option<Box<dyn Verb>> {
    let mut keys = reader.fields(value, "a table such as `{ between = [\"a\", \"b\"] }`")?;
    let paths = read_paths(reader, &mut keys);
    let how = read_how(&mut keys, reader);
    keys.finish(reader, "`cut`");
    Some(Box::new(CutPaths {
        paths: paths?.into_iter().collect(),
        how,
    }))
}

/// The key `how`; `stall` by default.
pub(super) fn read_how(keys: &mut Fields<'_>, reader: &mut Reader<'_>) -> Cut {
    let choices = [
        ("stall", Cut::Stall),
        ("reset", Cut::Reset),
        ("drop", Cut::Drop),
    ];
    keys.take("how")
        .and_then(|value| reader.choice(value, &choices))
        .unwrap_or(Cut::Stall)
}

/// The ability that a cut of that kind needs.
pub(super) fn ability(how: Cut) -> Ability {
    match how {
        Cut::Stall => Ability::Stall,
        Cut::Reset => Ability::Reset,
        Cut::Drop => Ability::Drop,
    }
}

impl Verb for CutPaths {
    fn needs(&self) -> Vec<Ability> {
        let back = |path: &Path| {
            self.paths.contains(&Path {
                from: path.to,
                to: path.from,
            })
        };
        let mut needs = vec![ability(self.how)];
        if !self.paths.iter().all(back) {
            needs.push(Ability::OneWay);
        }
        needs
    }

    fn apply(&self, _: &Scenario, world: &mut dyn World) -> Result<(), Refusal> {
        world.cut(&self.paths, self.how)
    }

    fn describe(&self, scenario: &Scenario) -> String {
        format!("cut {} ({:?})", show_paths(scenario, &self.paths), self.how)
    }
}
