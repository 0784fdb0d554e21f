//! `aimed`: one node loses another. When some machine is about to act on that, a second fault follows: just
//! before, at, or just after that instant.

use core::time::Duration;

use super::{Fault, near, pair};
use crate::random::cast::Player;
use crate::random::dice::Dice;
use crate::random::plan::{Plan, Window};

pub(super) const FAULT: Fault = Fault {
    key: "aimed",
    summary: "a loss, and a second fault just when a machine acts on it",
    room: Duration::ZERO,
    nodes: 2,
    draw,
};

fn draw(plan: &mut Plan<'_>, dice: &mut Dice, window: Window) -> bool {
    let (a, b) = pair(plan, dice);
    let instants = plan.cast.instants(&[a, b]);
    let instant = dice.one_of(&instants);
    let second = window.from + near(dice, instant);
    let lasts = window.until - window.from;
    if second >= plan.window.until {
        return false;
    }
    match dice.below(4) {
        // The loss ends then, as usual.
        0 => lose(plan, dice, a, (window.from, second)),
        // The loss continues, and the other node dies.
        1 => {
            let until = plan.end(second, lasts);
            let lost = lose(plan, dice, a, (window.from, until));
            lost && until > second && plan.away(b, "crash", second, until)
        }
        // The loss ends, and the other direction is lost.
        2 => {
            let until = plan.end(second, lasts);
            let lost = lose(plan, dice, a, (window.from, second));
            let others = plan.cast.others(b);
            if lost && until > second {
                let span = (second, until);
                plan.hinder(("cut", ""), (&[b], &others, true), span);
            }
            lost
        }
        // The loss continues, and the other node is frozen for a moment.
        _ => {
            let until = plan.end(second, lasts);
            let lost = lose(plan, dice, a, (window.from, until));
            let thaws = plan.end(second, dice.log_time(lasts / 16, lasts));
            lost && thaws > second && plan.freeze(b, second, thaws)
        }
    }
}

/// A node is lost to the others in one of several ways.
fn lose(plan: &mut Plan<'_>, dice: &mut Dice, node: Player, span: (Duration, Duration)) -> bool {
    let (from, until) = span;
    match dice.below(4) {
        0 => plan.away(node, "vanish", from, until),
        1 => plan.freeze(node, from, until),
        way => {
            let how = if way == 2 { "stall" } else { "drop" };
            let how = format!(", how = \"{how}\"");
            let others = plan.cast.others(node);
            plan.hinder(("cut", &how), (&[node], &others, true), span);
            true
        }
    }
}
