//! `liar`: a member that breaks the protocol joins for a while, at one node or at several.

use core::time::Duration;

use super::Fault;
use crate::liar::lies;
use crate::random::dice::Dice;
use crate::random::plan::quoted;

pub(super) const FAULT: Fault = Fault {
    key: "liar",
    summary: "a member joins and breaks the protocol, until it leaves",
    room: Duration::ZERO,
    nodes: 2,
    draw: |plan, dice, window| {
        let all = plan.cast.all();
        let count = dice.between(1, 2.min(all.len() as u64 - 1)) as usize;
        let mut drawn = dice.some_of(&all, count + 1);
        let other = drawn.pop().expect("one more than it lies to");
        let lie = lie(dice);
        let mut keys = format!("to = {}, lies = \"{}\"", plan.cast.list(&drawn), lie.name);
        if lies::CLAIMS.contains(&lie.name) {
            keys += &format!(", as = {}", plan.cast.name(other));
        }
        // Half of them lie about a topic that others may use.
        if dice.chance(50) {
            keys += &format!(", topic = \"topic-{}\"", dice.below(2));
        }
        // Each has an address, and therefore a name, of its own.
        keys += &format!(
            ", from = \"10.98.{}.{}\"",
            dice.between(0, 255),
            dice.between(1, 254)
        );
        let lasts = quoted(window.until - window.from);
        plan.say(window.from, format!("liar = {{ {keys}, for = {lasts} }}"));
        true
    },
};

/// One of all lies, by their weights.
fn lie(dice: &mut Dice) -> &'static lies::Entry {
    let weight = |entry: &lies::Entry| u64::from(entry.weight);
    let sum: u64 = lies::ALL.iter().map(weight).sum();
    let mut left = dice.between(0, sum - 1);
    let found = lies::ALL.iter().find(|entry| {
        let is_it = left < weight(entry);
        left = left.saturating_sub(weight(entry));
        is_it
    });
    found.unwrap_or(&lies::ALL[0])
}
