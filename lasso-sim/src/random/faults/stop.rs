//! `stop`: a node says goodbye, stops and is started again.

use super::{Fault, GOODBYE};

pub(super) const FAULT: Fault = Fault {
    key: "stop",
    summary: "a node says goodbye, stops and is started again",
    room: GOODBYE,
    nodes: 1,
    draw: |plan, dice, window| {
        let node = dice.one_of(&plan.cast.all());
        let until = window.until.max(window.from + GOODBYE);
        plan.away(node, "stop", window.from, until)
    },
};
