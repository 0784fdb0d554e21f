//! `hold`: bytes between nodes are held back, and arrive together when they are released.

use core::time::Duration;

use super::{Fault, pair, sides};

pub(super) const FAULT: Fault = Fault {
    key: "hold",
    summary: "bytes are held back, and arrive together later",
    room: Duration::ZERO,
    nodes: 2,
    draw: |plan, dice, window| {
        let span = (window.from, window.until);
        let (a, b) = if dice.chance(60) {
            let (a, b) = pair(plan, dice);
            (vec![a], vec![b])
        } else {
            sides(plan, dice)
        };
        let both = dice.chance(60);
        plan.hinder(("hold", ""), (&a, &b, both), span);
        true
    },
};
