//! `crash`: a process dies, and its kernel closes its connections; it is started again.

use core::time::Duration;

use super::Fault;

pub(super) const FAULT: Fault = Fault {
    key: "crash",
    summary: "a process dies and is started again",
    room: Duration::ZERO,
    nodes: 1,
    draw: |plan, dice, window| {
        let node = dice.one_of(&plan.cast.all());
        plan.away(node, "crash", window.from, window.until)
    },
};
