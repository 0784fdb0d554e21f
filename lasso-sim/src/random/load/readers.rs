//! `readers`: subscribers that never read, or read slower than messages arrive.

use core::time::Duration;

use super::{Load, moment, pace, some, subscribe};
use crate::random::dice::Dice;
use crate::random::plan::Plan;

pub(super) const LOAD: Load = Load {
    key: "readers",
    summary: "a topic with subscribers that read slowly or never",
    draw,
};

fn draw(plan: &mut Plan<'_>, dice: &mut Dice, index: u64) {
    let topic = format!("slow-{index}");
    let from = plan.window.from.saturating_sub(Duration::from_secs(5));
    for node in some(plan, dice, 3) {
        let reads = dice.one_of(&["never", "1/s", "10/s", "at once"]);
        let queue = dice.one_of(&[1, 2, 16, 1024]);
        let keys = format!(", reads = \"{reads}\", queue = {queue}");
        subscribe(plan, node, from, &topic, &keys);
    }
    for node in some(plan, dice, 2) {
        let Some(at) = moment(plan, dice, node) else {
            continue;
        };
        let pace = pace(dice, &["10/s", "50/s"], Duration::from_secs(20));
        let size = dice.one_of(&["64B", "1KiB", "4096B"]);
        let on = plan.cast.name(node);
        plan.say(
            at,
            format!("publish = {{ on = {on}, topic = \"{topic}\", size = \"{size}\", {pace} }}"),
        );
    }
}
