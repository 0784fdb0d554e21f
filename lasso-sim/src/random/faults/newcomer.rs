//! `newcomer`: a node starts while DNS tells it nothing.

use core::time::Duration;

use super::{Fault, GOODBYE};

pub(super) const FAULT: Fault = Fault {
    key: "newcomer",
    summary: "a node starts again while DNS tells it nothing",
    room: Duration::ZERO,
    nodes: 2,
    draw: |plan, dice, window| {
        let node = dice.one_of(&plan.cast.all());
        let names: Vec<String> = plan.cast.nodes[node].names.iter().cloned().collect();
        let verb = dice.one_of(&["stop", "crash", "vanish"]);
        let starts = window.from + dice.log_time(GOODBYE, GOODBYE * 8);
        let until = plan.end(starts, window.until - window.from);
        if names.is_empty() || until <= starts || !plan.away(node, verb, window.from, starts) {
            return false;
        }
        let mode = dice.one_of(&["fails", "silent", "empty"]);
        for name in names {
            let mode = format!("is = \"{mode}\"");
            plan.tell(&mode, (&name, &[node]), (window.from, until));
        }
        true
    },
};
