//! `peel`: nodes are cut off from all others one by one, and return in another order.

use core::time::Duration;

use super::{Fault, how};

pub(super) const FAULT: Fault = Fault {
    key: "peel",
    summary: "nodes are cut off one by one, and healed in another order",
    room: Duration::ZERO,
    nodes: 3,
    draw: |plan, dice, window| {
        let all = plan.cast.all();
        let count = dice.between(2, all.len().min(5) as u64) as usize;
        let nodes = dice.some_of(&all, count);
        let middle = window.from + (window.until - window.from) / 2;
        let mut starts: Vec<Duration> =
            (0..count).map(|_| dice.time(window.from, middle)).collect();
        starts.sort_unstable();
        let how = format!(", how = \"{}\"", how(dice));
        for (node, from) in nodes.into_iter().zip(starts) {
            let until = dice.time(middle, window.until).max(from + super::SHORTEST);
            let others = plan.cast.others(node);
            let until = until.min(plan.window.until);
            plan.hinder(("cut", &how), (&[node], &others, true), (from, until));
        }
        true
    },
};
