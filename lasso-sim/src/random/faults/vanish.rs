//! `vanish`: a machine loses power; it is started again.

use core::time::Duration;

use super::Fault;

pub(super) const FAULT: Fault = Fault {
    key: "vanish",
    summary: "a machine loses power and is started again",
    room: Duration::ZERO,
    nodes: 1,
    draw: |plan, dice, window| {
        let node = dice.one_of(&plan.cast.all());
        plan.away(node, "vanish", window.from, window.until)
    },
};
