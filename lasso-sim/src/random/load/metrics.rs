//! `metrics`: nodes record calls, and read the cluster's metrics while others come and go.

use core::time::Duration;

use super::{Load, moment, pace, some};
use crate::random::dice::Dice;
use crate::random::plan::Plan;

pub(super) const LOAD: Load = Load {
    key: "metrics",
    summary: "nodes record calls and read the cluster's metrics",
    draw,
};

fn draw(plan: &mut Plan<'_>, dice: &mut Dice, index: u64) {
    let chain = format!("chain-{index}");
    for node in some(plan, dice, 4) {
        for _ in 0..dice.between(1, 3) {
            let Some(at) = moment(plan, dice, node) else {
                continue;
            };
            let on = plan.cast.name(node);
            let provider = dice.one_of(&["alchemy", "infura", "ankr"]);
            let latency = dice.one_of(&["100ms", "10ms..2s"]);
            let count = dice.one_of(&[1, 9, 10, 100]);
            plan.say(
                at,
                format!(
                    "record = {{ on = {on}, provider = \"{provider}\", chain = \"{chain}\", \
                     latency = \"{latency}\", errors = \"10%\", count = {count} }}"
                ),
            );
        }
    }
    for node in some(plan, dice, 3) {
        for _ in 0..dice.between(1, 3) {
            let Some(at) = moment(plan, dice, node) else {
                continue;
            };
            let on = plan.cast.name(node);
            let how_many = match dice.below(3) {
                0 => "count = 50".to_owned(),
                1 => "wait = \"6s\"".to_owned(),
                _ => pace(dice, &["30/m", "2/s"], Duration::from_secs(60)),
            };
            plan.say(
                at,
                format!(
                    "read_metrics = {{ on = {on}, page = \"{chain}\", chain = \"{chain}\", \
                     {how_many} }}"
                ),
            );
        }
    }
}
