//! `blackout`: all nodes lose power at once, and start again one by one.

use core::time::Duration;

use super::Fault;

pub(super) const FAULT: Fault = Fault {
    key: "blackout",
    summary: "all processes end at once and start again one by one",
    room: Duration::ZERO,
    nodes: 2,
    draw: |plan, dice, window| {
        let verb = dice.one_of(&["crash", "vanish"]);
        let spread = dice.log_time(Duration::from_millis(1), Duration::from_secs(30));
        let mut any = false;
        for node in plan.cast.all() {
            let late = dice.time(Duration::ZERO, spread);
            let until = plan.end(window.until, late);
            any |= plan.away(node, verb, window.from, until);
        }
        any
    },
};
