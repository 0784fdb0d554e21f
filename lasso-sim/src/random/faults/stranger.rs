//! `stranger`: a stranger connects, once or many times.

use core::time::Duration;

use super::Fault;
use crate::random::plan::quoted;

pub(super) const FAULT: Fault = Fault {
    key: "stranger",
    summary: "a stranger connects, up to 300 times at once",
    room: Duration::ZERO,
    nodes: 1,
    draw: |plan, dice, window| {
        let node = dice.one_of(&plan.cast.all());
        let sends = dice.one_of(&[
            "nothing",
            "garbage",
            "half",
            "other_version",
            "wrong_cookie",
            "first_only",
            "too_long",
            "bad_record",
            "replay",
        ]);
        let connections = dice.one_of(&[1, 1, 3, 16, 64, 65, 300]);
        let from = dice.one_of(&["10.99.0.1", "10.99.0.2", "10.99.0.3"]);
        let leaves = if dice.chance(50) {
            format!(", leaves_after = {}", quoted(window.until - window.from))
        } else {
            String::new()
        };
        let to = plan.cast.name(node);
        let text = format!(
            "stranger = {{ to = {to}, sends = \"{sends}\", from = \"{from}\", \
             connections = {connections}{leaves} }}"
        );
        plan.say(window.from, text);
        true
    },
};
