//! `restart`: some processes die, and are started again at the same moment.

use core::time::Duration;

use super::{Fault, SHORTEST};
use crate::random::plan::Is;

pub(super) const FAULT: Fault = Fault {
    key: "restart",
    summary: "up to three processes die and are started again at once",
    room: Duration::ZERO,
    nodes: 1,
    draw: |plan, dice, window| {
        let count = dice.between(1, 3) as usize;
        let nodes = dice.some_of(&plan.cast.all(), count);
        let until = window.from + SHORTEST;
        let mut taken = Vec::new();
        for node in nodes {
            if plan.take(node, Is::Gone, window.from, until) {
                taken.push(node);
            }
        }
        if taken.is_empty() {
            return false;
        }
        // The applications get their orders again one millisecond later, when the span ends. The node starts as
        // it was, with its changes to the file.
        let text = format!("restart = {}", plan.cast.list(&taken));
        plan.say(window.from, text);
        true
    },
};
