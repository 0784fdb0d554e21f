//! `rolling`: all nodes are restarted one after the other, as a deployment does.

use core::time::Duration;

use super::{Fault, GOODBYE};
use crate::random::dice::Dice;
use crate::random::plan::{Plan, Window};

pub(super) const FAULT: Fault = Fault {
    key: "rolling",
    summary: "all nodes stop or crash and start again, one after the other",
    room: Duration::ZERO,
    nodes: 2,
    draw,
};

/// Most nodes that one rolling restart takes.
const NODES: usize = 10;

fn draw(plan: &mut Plan<'_>, dice: &mut Dice, window: Window) -> bool {
    let verb = dice.one_of(&["stop", "crash", "vanish"]);
    let count = plan.cast.nodes.len().min(NODES);
    let nodes = dice.some_of(&plan.cast.all(), count);
    let down = dice.log_time(GOODBYE, Duration::from_secs(30));
    let gap = dice.log_time(Duration::from_millis(100), Duration::from_secs(20));
    let mut from = window.from;
    let mut any = false;
    for node in nodes {
        let until = from + down;
        any |= plan.away(node, verb, from, until);
        from = until + gap;
    }
    any
}
