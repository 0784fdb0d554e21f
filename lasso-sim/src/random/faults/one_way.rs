//! `one_way`: the bytes of one node do not reach another node, or do not reach any.

use core::time::Duration;

use super::{Fault, how, pair};

pub(super) const FAULT: Fault = Fault {
    key: "one_way",
    summary: "one direction is cut, from a node to one other or to all",
    room: Duration::ZERO,
    nodes: 2,
    draw: |plan, dice, window| {
        let (a, b) = pair(plan, dice);
        let to = if dice.chance(50) {
            vec![b]
        } else {
            plan.cast.others(a)
        };
        let how = format!(", how = \"{}\"", how(dice));
        let span = (window.from, window.until);
        if dice.chance(50) {
            plan.hinder(("cut", &how), (&[a], &to, false), span);
        } else {
            plan.hinder(("cut", &how), (&to, &[a], false), span);
        }
        true
    },
};
