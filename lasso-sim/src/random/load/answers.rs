//! `answers`: many calls at once whose answers are ready at the same moment, and together exceed the calls lane
//! and the buffers of the network.

use core::time::Duration;

use super::{Load, moment, some};
use crate::random::dice::Dice;
use crate::random::plan::Plan;

pub(super) const LOAD: Load = Load {
    key: "answers",
    summary: "calls whose answers together exceed the calls lane",
    draw,
};

fn draw(plan: &mut Plan<'_>, dice: &mut Dice, index: u64) {
    let method = format!("large-{index}");
    let from = plan.window.from.saturating_sub(Duration::from_secs(5));
    let servers = some(plan, dice, 2);
    let mut any = false;
    for caller in some(plan, dice, 2) {
        for _ in 0..dice.between(1, 2) {
            let Some(at) = moment(plan, dice, caller) else {
                continue;
            };
            let (on, to) = (
                plan.cast.name(caller),
                plan.cast.name(dice.one_of(&servers)),
            );
            let count = dice.one_of(&[8, 16, 32]);
            plan.say(
                at,
                format!(
                    "call = {{ on = {on}, to = {to}, method = \"{method}\", count = {count} }}"
                ),
            );
            any = true;
        }
    }
    if !any {
        return;
    }
    let size = dice.one_of(&["16KiB", "64KiB", "128KiB"]);
    let takes = dice.one_of(&["10ms", "200ms", "1s"]);
    for node in servers {
        let on = plan.cast.name(node);
        let text = format!(
            "serve = {{ on = {on}, method = \"{method}\", takes = \"{takes}\", size = \"{size}\" }}"
        );
        plan.order_each_life(node, from, &text);
    }
}
