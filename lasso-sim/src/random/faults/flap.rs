//! `flap`: the same path is cut and healed again and again.

use core::time::Duration;

use super::{Fault, SHORTEST, how, pair};

pub(super) const FAULT: Fault = Fault {
    key: "flap",
    summary: "the same pair is cut and healed 3 to 9 times",
    room: Duration::ZERO,
    nodes: 2,
    draw: |plan, dice, window| {
        let (a, b) = pair(plan, dice);
        let how = format!(", how = \"{}\"", how(dice));
        let times = dice.between(3, 9) as u32;
        let longest = ((window.until - window.from) / times).max(SHORTEST * 2);
        let mut from = window.from;
        let mut any = false;
        for _ in 0..times {
            let cut = dice.time(SHORTEST, longest);
            let until = plan.end(from, cut);
            if from >= until {
                break;
            }
            plan.hinder(("cut", &how), (&[a], &[b], true), (from, until));
            from = until + dice.time(SHORTEST, longest);
            any = true;
        }
        any
    },
};
