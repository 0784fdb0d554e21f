//! `gathers`: calls to all linked nodes, while nodes come and go.

use core::time::Duration;

use super::{Load, moment, pace, some};
use crate::random::dice::Dice;
use crate::random::plan::{Plan, quoted};

pub(super) const LOAD: Load = Load {
    key: "gathers",
    summary: "calls to all linked nodes",
    draw,
};

fn draw(plan: &mut Plan<'_>, dice: &mut Dice, index: u64) {
    let method = format!("gather-{index}");
    let from = plan.window.from.saturating_sub(Duration::from_secs(5));
    let mut any = false;
    for caller in some(plan, dice, 2) {
        for _ in 0..dice.between(1, 3) {
            let Some(at) = moment(plan, dice, caller) else {
                continue;
            };
            let on = plan.cast.name(caller);
            let pace = pace(dice, &["12/m", "1/s", "4/s"], Duration::from_secs(60));
            let timeout = dice.one_of(&["", ", timeout = \"500ms\"", ", timeout = \"10s\""]);
            plan.say(
                at,
                format!(
                    "call_many = {{ on = {on}, to = \"linked\", method = \"{method}\", \
                     {pace}{timeout} }}"
                ),
            );
            any = true;
        }
    }
    if !any {
        return;
    }
    for node in plan.cast.all() {
        let on = plan.cast.name(node);
        let takes = quoted(dice.log_time(Duration::from_millis(1), Duration::from_secs(6)));
        let text = format!("serve = {{ on = {on}, method = \"{method}\", takes = {takes} }}");
        plan.order_each_life(node, from, &text);
    }
}
