//! `bursts`: more messages at once than a lane or a queue holds, so that some are lost and reported.

use core::time::Duration;

use super::{Load, moment, some, subscribe};
use crate::random::dice::Dice;
use crate::random::plan::Plan;

pub(super) const LOAD: Load = Load {
    key: "bursts",
    summary: "more messages at once than a lane or a queue holds",
    draw,
};

/// The size of a burst, as a multiple of a lane's bound.
const TIMES: u64 = 2;
/// Most messages of one burst.
const COUNT: u64 = 3_000;

fn draw(plan: &mut Plan<'_>, dice: &mut Dice, index: u64) {
    let topic = format!("burst-{index}");
    let from = plan.window.from.saturating_sub(Duration::from_secs(5));
    for node in some(plan, dice, 3) {
        let reads = dice.one_of(&["at once", "at once", "100/s"]);
        let keys = format!(", reads = \"{reads}\"");
        subscribe(plan, node, from, &topic, &keys);
    }
    for node in some(plan, dice, 2) {
        let Some(at) = moment(plan, dice, node) else {
            continue;
        };
        let lane = plan.cast.nodes[node].settings.link.data_lane_bytes as u64;
        let size = dice.one_of(&[256, 1 << 10, 3_000, 16 << 10]);
        let count = (lane * TIMES / size).clamp(2, COUNT);
        let on = plan.cast.name(node);
        plan.say(
            at,
            format!(
                "publish = {{ on = {on}, topic = \"{topic}\", size = \"{size}B\", count = {count} }}"
            ),
        );
        if dice.chance(50) {
            // Receivers notice lost messages only when a later one arrives.
            plan.say(
                at,
                format!("publish = {{ on = {on}, topic = \"{topic}\" }}"),
            );
        }
    }
}
