//! `words`: applications report that they are no longer ready, report that they are ready again, and describe
//! their nodes anew.

use core::time::Duration;

use super::{Load, moment, some};
use crate::random::dice::Dice;
use crate::random::plan::Plan;

pub(super) const LOAD: Load = Load {
    key: "words",
    summary: "applications report that they are not ready, or describe their nodes anew",
    draw,
};

fn draw(plan: &mut Plan<'_>, dice: &mut Dice, _: u64) {
    for node in some(plan, dice, 3) {
        let Some(at) = moment(plan, dice, node) else {
            continue;
        };
        let on = plan.cast.name(node);
        if dice.chance(50) {
            let region = dice.one_of(&["iad", "sjc", "lhr"]);
            plan.say(
                at,
                format!("describe = {{ on = {on}, region = \"{region}\" }}"),
            );
            continue;
        }
        plan.say(at, format!("ready = {{ on = {on}, is = false }}"));
        let again = at + dice.log_time(Duration::from_millis(1), Duration::from_secs(60));
        if again < plan.window.until && plan.listens(node, again) {
            plan.say(again, format!("ready = {{ on = {on}, is = true }}"));
        }
    }
}
