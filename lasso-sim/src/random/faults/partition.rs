//! `partition`: the nodes are on two sides that do not reach each other.

use core::time::Duration;

use super::{Fault, how, sides};

pub(super) const FAULT: Fault = Fault {
    key: "partition",
    summary: "two sides do not reach each other",
    room: Duration::ZERO,
    nodes: 2,
    draw: |plan, dice, window| {
        let (left, right) = sides(plan, dice);
        let how = how(dice);
        plan.partition((&left, &right), how, (window.from, window.until));
        true
    },
};
