//! `ramp`: a message or a call of each size around that of a record or a lane, so that one of them fills it exactly,
//! whatever precedes it.

use core::time::Duration;

use super::{Load, RECORD, moment, some, subscribe};
use crate::random::dice::Dice;
use crate::random::plan::Plan;

pub(super) const LOAD: Load = Load {
    key: "ramp",
    summary: "messages or calls of each size around that of a record or a lane",
    draw,
};

/// The sizes begin this many bytes below a bound: more than the head of any message.
const BELOW: u64 = 56;
/// They end this many bytes above it.
const ABOVE: u64 = 2;
/// Bounds above this would slow runs down.
const MOST: u64 = 256 << 10;
/// The pause between two: long enough for each to be sent alone.
const PAUSE: Duration = Duration::from_millis(50);

fn draw(plan: &mut Plan<'_>, dice: &mut Dice, index: u64) {
    let word = format!("ramp-{index}");
    let nodes = dice.some_of(&plan.cast.all(), 2);
    let (Some(sender), Some(taker)) = (nodes.first().copied(), nodes.last().copied()) else {
        return;
    };
    let Some(at) = moment(plan, dice, sender) else {
        return;
    };
    let link = &plan.cast.nodes[sender].settings.link;
    let (data, calls) = (link.data_lane_bytes as u64, link.calls_lane_bytes as u64);
    let calling = dice.chance(50);
    let lane = if calling { calls } else { data };
    let mut bounds = vec![RECORD, RECORD, 2 * RECORD, lane];
    bounds.retain(|bound| *bound <= MOST);
    let bound = dice.one_of(&bounds);
    let (on, to) = (plan.cast.name(sender), plan.cast.name(taker));
    let from = plan.window.from.saturating_sub(Duration::from_secs(5));
    let mut any = false;
    for (turn, size) in (bound.saturating_sub(BELOW).max(8)..=bound + ABOVE).enumerate() {
        let at = at + PAUSE * turn as u32;
        if at >= plan.window.until || !plan.listens(sender, at) {
            continue;
        }
        any = true;
        let text = if calling {
            format!("call = {{ on = {on}, to = {to}, method = \"{word}\", size = \"{size}B\" }}")
        } else {
            format!("publish = {{ on = {on}, topic = \"{word}\", size = \"{size}B\" }}")
        };
        plan.say(at, text);
    }
    if calling && any {
        let text = format!("serve = {{ on = {to}, method = \"{word}\" }}");
        plan.order_each_life(taker, from, &text);
    } else if any {
        for node in some(plan, dice, 2).into_iter().chain([taker]) {
            subscribe(plan, node, from, &word, "");
        }
    }
}
