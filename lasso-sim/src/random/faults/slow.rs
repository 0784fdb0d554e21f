//! `slow`: paths lose packets, or have a high latency, jitter or a low bandwidth.

use core::time::Duration;

use super::{Fault, pair};
use crate::random::dice::Dice;

pub(super) const FAULT: Fault = Fault {
    key: "slow",
    summary: "paths lose packets, or have a high latency or a low bandwidth",
    room: Duration::ZERO,
    nodes: 2,
    draw: |plan, dice, window| {
        let (a, b) = pair(plan, dice);
        let to = if dice.chance(50) {
            vec![b]
        } else {
            plan.cast.others(a)
        };
        let shape = shape(dice);
        plan.slow(&shape, (&[a], &to), (window.from, window.until));
        true
    },
};

fn shape(dice: &mut Dice) -> String {
    let mut keys = Vec::new();
    if dice.chance(40) {
        let loss = dice.one_of(&["1%", "5%", "20%", "40%"]);
        keys.push(format!("loss = \"{loss}\""));
    }
    if dice.chance(40) {
        let latency = dice.one_of(&["20ms..80ms", "150ms", "400ms..900ms", "2s", "3100ms"]);
        keys.push(format!("latency = \"{latency}\""));
    }
    if dice.chance(25) {
        let jitter = dice.one_of(&["10ms", "200ms", "1s"]);
        keys.push(format!("jitter = \"{jitter}\""));
    }
    if dice.chance(30) || keys.is_empty() {
        let bandwidth = dice.one_of(&["8KiB/s", "64KiB/s", "256KiB/s", "1MiB/s"]);
        keys.push(format!("bandwidth = \"{bandwidth}\""));
    }
    keys.join(", ")
}
