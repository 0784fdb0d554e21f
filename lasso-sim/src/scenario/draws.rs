//! Puts a value in the place of each range that the file leaves to the seed.
//!
//! Each place has its own generator, derived from its path in the file and the repetition of its step. So adding a
//! range to a file does not change the other draws.

use super::errors::Diagnostic;
use super::range::{Pick, Range};
use super::value::{Kind, Table, Value};
use super::{each, timeline};
use crate::random;
use crate::seed::{self, Purpose};

/// Sections without ranges to draw: texts, groups, expectations, and sections that another pass draws.
const UNTOUCHED: &[&str] = &[
    "lasso",
    "title",
    "story",
    "worlds",
    "because",
    "cipher",
    "groups",
    "nodes",
    "step",
    "always",
    "never",
    "sometimes",
];
/// Ranges of the network that are drawn for each packet, not once for the file.
const OF_PACKETS: &[&str] = &["latency"];

/// The results of drawing.
#[derive(Debug)]
pub(super) struct Draws {
    pub(super) pick: Pick,
    pub(super) errors: Vec<Diagnostic>,
    /// The file leaves something to the seed.
    pub(super) any: bool,
    /// Keeps labels that no step needs once times are drawn, because a test may refer to them.
    pub(super) keeps_labels: bool,
    /// Faults that the seed asked for.
    pub(super) asked: Vec<random::Asked>,
}

/// Draws a whole tree; the result is a plain scenario.
pub(super) fn draw(tree: &mut Table, pick: Pick, keeps_labels: bool) -> Draws {
    let mut draws = Draws {
        pick,
        errors: Vec::new(),
        any: false,
        keeps_labels,
        asked: Vec::new(),
    };
    let is_random = tree.get(random::KEY).is_some();
    draws.any |= is_random;
    let seed = match pick {
        Pick::Low => 1,
        Pick::High => 2,
        Pick::Seed(seed) => seed,
    };
    each::draw_nodes(&mut draws, tree);
    draws.asked = random::expand(tree, seed, &mut draws.errors);
    timeline::draw_steps(&mut draws, tree, is_random);
    for (key, value) in &mut tree.entries {
        if !UNTOUCHED.contains(&key.text.as_str()) {
            draws.walk(value, &key.text, 0, OF_PACKETS);
        }
    }
    draws
}

impl Draws {
    /// Draws every range in a value, except under the keys of `skip`. `path` is the path of the value.
    pub(super) fn walk(&mut self, value: &mut Value, path: &str, repetition: u64, skip: &[&str]) {
        match &mut value.kind {
            Kind::Text(text) => match Range::read(text) {
                None => {}
                Some(Ok(range)) => {
                    self.any = true;
                    value.kind = range.pick(self.pick, |seed| {
                        seed::generator(seed, Purpose::Draw, seed::key(path), repetition)
                    });
                }
                Some(Err(none)) => {
                    let error = Diagnostic::new(value.span.clone(), none.message);
                    self.errors.push(error.label(none.label));
                }
            },
            Kind::List(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    self.walk(item, &format!("{path}.{index}"), repetition, skip);
                }
            }
            Kind::Table(table) => {
                for (key, value) in &mut table.entries {
                    if !skip.contains(&key.text.as_str()) {
                        self.walk(value, &format!("{path}.{}", key.text), repetition, skip);
                    }
                }
            }
            _ => {}
        }
    }
}
