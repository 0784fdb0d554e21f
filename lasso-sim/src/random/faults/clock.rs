//! `clock`: the wall clock of a node jumps, and later jumps back or stays wrong.

use core::time::Duration;

use super::Fault;

pub(super) const FAULT: Fault = Fault {
    key: "clock",
    summary: "the wall clock of a node jumps, and perhaps back",
    room: Duration::ZERO,
    nodes: 1,
    draw: |plan, dice, window| {
        let node = dice.one_of(&plan.cast.all());
        let name = plan.cast.name(node);
        let far = dice.one_of(&["1ms", "500ms", "3s", "90s", "1h", "240h"]);
        let (there, back) = dice.one_of(&[("+", "-"), ("-", "+")]);
        let jump = |sign: &str| format!("clock = {{ on = {name}, jump = \"{sign}{far}\" }}");
        plan.say(window.from, jump(there));
        if dice.chance(50) {
            plan.say(window.until, jump(back));
        }
        true
    },
};
