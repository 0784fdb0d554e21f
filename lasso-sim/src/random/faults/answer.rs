//! `answer`: a node calls another, and just when the answer is due, one of the two is lost.

use core::time::Duration;

use super::{Fault, near, pair};
use crate::random::dice::Dice;
use crate::random::plan::{Is, Plan, Window, quoted};

pub(super) const FAULT: Fault = Fault {
    key: "answer",
    summary: "a node calls another, and one of them is lost just when the answer is due",
    room: Duration::ZERO,
    nodes: 2,
    draw,
};

/// How long the answer takes.
const TAKES: Duration = Duration::from_millis(400);

fn draw(plan: &mut Plan<'_>, dice: &mut Dice, window: Window) -> bool {
    let (a, b) = pair(plan, dice);
    let answered = window.from + near(dice, TAKES);
    let until = plan.end(answered, window.until - window.from);
    let served = window.from;
    if until <= answered {
        return false;
    }
    let (lost, kept) = if dice.chance(50) { (a, b) } else { (b, a) };
    let before = answered - Duration::from_millis(1);
    if !plan.take(kept, Is::Needed, served, answered) {
        return false;
    }
    // The span in which it is needed and the one in which it is lost must not touch.
    if !plan.take(lost, Is::Needed, served, before - Duration::from_millis(1)) {
        return false;
    }
    let (caller, server) = (plan.cast.name(a), plan.cast.name(b));
    let takes = quoted(TAKES);
    plan.say(
        served,
        format!("serve = {{ on = {server}, method = \"aimed\", takes = {takes} }}"),
    );
    plan.say(
        served,
        format!("call = {{ on = {caller}, to = {server}, method = \"aimed\", timeout = \"2s\" }}"),
    );
    match dice.below(3) {
        0 => plan.away(lost, "crash", answered, until),
        1 => plan.freeze(lost, answered, until),
        _ => {
            let how = dice.one_of(&[", how = \"reset\"", ", how = \"drop\""]);
            let span = (answered, until);
            plan.hinder(("cut", how), (&[a], &[b], true), span);
            true
        }
    }
}
