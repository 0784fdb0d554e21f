//! `rotation`: the secret is changed step by step, as in the operator's guide: all nodes accept the new one,
//! then all offer it, then all forget the old one. Each node is restarted three times.

use core::time::Duration;

use super::{Fault, GOODBYE};
use crate::random::dice::Dice;
use crate::random::plan::{Plan, Window};

pub(super) const FAULT: Fault = Fault {
    key: "rotation",
    summary: "the secret is changed in three steps, each a rolling restart",
    room: Duration::from_secs(120),
    nodes: 2,
    draw,
};

const NEW: &str = "the next secret, of 32 bytes....";
/// More nodes than this would take longer than a plan lasts.
const NODES: usize = 10;
/// How often the rotation postpones a busy node.
const TRIES: u32 = 4;

fn draw(plan: &mut Plan<'_>, dice: &mut Dice, window: Window) -> bool {
    let nodes = plan.cast.all();
    let (old, _) = plan.cast.nodes[0].cookie.clone();
    let alike = |node: &usize| plan.cast.nodes[*node].cookie == (old.clone(), false);
    if nodes.len() > NODES || old == NEW || !nodes.iter().all(alike) {
        return false;
    }
    let steps = [
        format!("cookie_previous = {NEW:?}"),
        format!("cookie = {NEW:?}, cookie_previous = {old:?}"),
        format!("cookie = {NEW:?}"),
    ];
    let verb = dice.one_of(&["stop", "crash"]);
    let down = dice.log_time(GOODBYE, GOODBYE * 2);
    let gap = dice.log_time(Duration::from_millis(100), Duration::from_secs(10));
    let mut from = window.from;
    let mut any = false;
    for keys in steps {
        for node in dice.some_of(&nodes, nodes.len()) {
            let mut done = false;
            for _ in 0..TRIES {
                done = plan.away(node, verb, from, from + down);
                if done {
                    plan.vary(node, from, &keys);
                }
                from += down + gap;
                if done {
                    break;
                }
            }
            any |= done;
            // The next step is safe only once every node has taken this one.
            if !done {
                return any;
            }
        }
    }
    any
}
