//! `calls`: a method that some nodes serve, promptly or slowly, with refusals and panics, and that others call
//! at a rate, or with a number of calls at once.

use core::time::Duration;

use super::{Load, moment, pace, some};
use crate::random::dice::Dice;
use crate::random::plan::{Plan, quoted};

pub(super) const LOAD: Load = Load {
    key: "calls",
    summary: "a method that some nodes serve and others call",
    draw,
};

/// Longest stretch of calling.
const LONGEST: Duration = Duration::from_secs(30);

fn draw(plan: &mut Plan<'_>, dice: &mut Dice, index: u64) {
    let method = format!("method-{index}");
    let from = plan.window.from.saturating_sub(Duration::from_secs(5));
    let servers = some(plan, dice, 3);
    let mut any = false;
    for caller in some(plan, dice, 3) {
        for _ in 0..dice.between(1, 3) {
            let Some(at) = moment(plan, dice, caller) else {
                continue;
            };
            let to = plan.cast.name(dice.one_of(&servers));
            let on = plan.cast.name(caller);
            let keys = how_many(dice);
            plan.say(
                at,
                format!("call = {{ on = {on}, to = {to}, method = \"{method}\", {keys} }}"),
            );
            any = true;
        }
    }
    if !any {
        return;
    }
    for node in servers {
        let (on, how) = (plan.cast.name(node), served(dice));
        let text = format!("serve = {{ on = {on}, method = \"{method}\"{how} }}");
        plan.order_each_life(node, from, &text);
    }
}

fn how_many(dice: &mut Dice) -> String {
    let timeout = dice.one_of(&["", ", timeout = \"50ms\"", ", timeout = \"30s\""]);
    match dice.below(3) {
        0 => format!("{}{timeout}", pace(dice, &["1/s", "10/s"], LONGEST)),
        1 => {
            let (at_once, count) = (dice.one_of(&[1, 4, 16]), dice.between(10, 100));
            format!("at_once = {at_once}, count = {count}{timeout}")
        }
        _ => format!("count = {}{timeout}", dice.between(1, 50)),
    }
}

fn served(dice: &mut Dice) -> String {
    let slow = quoted(dice.log_time(Duration::from_millis(1), Duration::from_secs(8)));
    match dice.below(5) {
        0 => format!(", takes = {slow}"),
        1 => ", takes = \"10ms..500ms\"".to_owned(),
        2 => ", rejects = \"20%\", panics = \"5%\"".to_owned(),
        3 => ", size = \"4096B\"".to_owned(),
        _ => String::new(),
    }
}
