//! `pause`: a process is frozen, and is thawed, dies, or is told to stop while it is frozen.

use core::time::Duration;

use super::{Fault, GOODBYE, SHORTEST};
use crate::random::cast::Player;
use crate::random::dice::Dice;
use crate::random::plan::{Is, Plan, Window};

pub(super) const FAULT: Fault = Fault {
    key: "pause",
    summary: "a process is frozen, and then continues, dies, or stops when it thaws",
    room: Duration::ZERO,
    nodes: 1,
    draw,
};

/// The percentage of frozen processes that end while they are frozen.
const ENDS_PERCENT: u64 = 20;

fn draw(plan: &mut Plan<'_>, dice: &mut Dice, window: Window) -> bool {
    let node = dice.one_of(&plan.cast.all());
    if dice.chance(ENDS_PERCENT) {
        return ends_frozen(plan, dice, node, window);
    }
    plan.freeze(node, window.from, window.until)
}

fn ends_frozen(plan: &mut Plan<'_>, dice: &mut Dice, node: Player, window: Window) -> bool {
    let Window { from, until } = window;
    // From the beginning of the span it takes no orders of its application, and at the end it starts again.
    if until < from + SHORTEST * 2 || !plan.take(node, Is::Gone, from, until) {
        return false;
    }
    let name = plan.cast.name(node);
    plan.say(from, format!("pause = {name}"));
    let thaws = until.saturating_sub(GOODBYE);
    if thaws > from + SHORTEST && dice.chance(50) {
        // It says goodbye when it thaws.
        let told = dice.time(from, thaws - SHORTEST);
        plan.say(told, format!("stop = {name}"));
        plan.say(thaws, format!("resume = {name}"));
    } else {
        let verb = dice.one_of(&["crash", "vanish"]);
        plan.say(
            dice.time(from, until - SHORTEST),
            format!("{verb} = {name}"),
        );
    }
    plan.start(until, &[node]);
    true
}
