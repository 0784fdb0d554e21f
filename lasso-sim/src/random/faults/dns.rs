//! `dns`: for a name, some nodes get an error, nothing, a part of the addresses, old addresses or wrong ones.

use core::time::Duration;

use super::Fault;
use crate::random::dice::Dice;
use crate::random::plan::Plan;

pub(super) const FAULT: Fault = Fault {
    key: "dns",
    summary: "DNS answers some nodes with an error, nothing, a part, old addresses or wrong ones",
    room: Duration::ZERO,
    nodes: 1,
    draw: |plan, dice, window| {
        let names: Vec<String> = plan
            .cast
            .dns_names()
            .into_iter()
            .map(str::to_owned)
            .collect();
        if names.is_empty() {
            return false;
        }
        let name = dice.one_of(&names);
        let asks = |node: &usize| plan.cast.nodes[*node].names.contains(&name);
        let askers: Vec<usize> = plan.cast.all().into_iter().filter(asks).collect();
        let askers = if dice.chance(40) {
            askers
        } else {
            let count = dice.between(1, askers.len() as u64) as usize;
            dice.some_of(&askers, count)
        };
        let mode = mode(plan, dice);
        plan.tell(&mode, (&name, &askers), (window.from, window.until));
        true
    },
};

fn mode(plan: &Plan<'_>, dice: &mut Dice) -> String {
    match dice.below(7) {
        0 => "is = \"fails\"".to_owned(),
        1 => "is = \"silent\"".to_owned(),
        2 => "is = \"empty\"".to_owned(),
        3 => "is = \"stale\"".to_owned(),
        4 => format!("truncated = {}", dice.between(0, 3)),
        5 => {
            let count = dice.between(1, 2) as usize;
            let some = dice.some_of(&plan.cast.all(), count);
            let names: Vec<String> = some.iter().map(|node| plan.cast.name(*node)).collect();
            format!("answers = [{}]", names.join(", "))
        }
        _ => "answers = [\"10.0.77.1\", \"10.0.77.2\"]".to_owned(),
    }
}
