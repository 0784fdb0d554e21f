//! `sizes`: messages and calls whose sizes lie at the bounds of records, lanes and messages, on all
//! lanes at once.

use core::time::Duration;

use super::{Load, moment, size, some, subscribe};
use crate::random::dice::Dice;
use crate::random::plan::Plan;

pub(super) const LOAD: Load = Load {
    key: "sizes",
    summary: "messages and calls of sizes around every bound, at once",
    draw,
};

/// How often each node sends.
const TIMES: u64 = 3;

fn draw(plan: &mut Plan<'_>, dice: &mut Dice, index: u64) {
    let (topic, method) = (format!("size-{index}"), format!("size-{index}"));
    let from = plan.window.from.saturating_sub(Duration::from_secs(5));
    let takers = some(plan, dice, 3);
    let mut calls = Vec::new();
    for sender in some(plan, dice, 2) {
        for _ in 0..dice.between(1, TIMES) {
            let Some(at) = moment(plan, dice, sender) else {
                continue;
            };
            let on = plan.cast.name(sender);
            let (first, second) = (size(plan.cast, dice), size(plan.cast, dice));
            let count = dice.between(1, 4);
            plan.say(
                at,
                format!(
                    "publish = {{ on = {on}, topic = \"{topic}\", size = \"{first}\", \
                     count = {count} }}"
                ),
            );
            let to = plan.cast.name(dice.one_of(&takers));
            calls.push((
                at,
                format!(
                    "call = {{ on = {on}, to = {to}, method = \"{method}\", size = \"{second}\" }}"
                ),
            ));
        }
    }
    for node in takers {
        subscribe(plan, node, from, &topic, "");
        if !calls.is_empty() {
            let (on, answer) = (plan.cast.name(node), size(plan.cast, dice));
            let text =
                format!("serve = {{ on = {on}, method = \"{method}\", size = \"{answer}\" }}");
            plan.order_each_life(node, from, &text);
        }
    }
    for (at, text) in calls {
        plan.say(at, text);
    }
}
