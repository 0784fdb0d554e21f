//! `cut`: one pair does not reach each other, although others reach both.

use core::time::Duration;

use super::{Fault, how, pair};

pub(super) const FAULT: Fault = Fault {
    key: "cut",
    summary: "one pair does not reach each other",
    room: Duration::ZERO,
    nodes: 2,
    draw: |plan, dice, window| {
        let (a, b) = pair(plan, dice);
        let how = format!(", how = \"{}\"", how(dice));
        let span = (window.from, window.until);
        plan.hinder(("cut", &how), (&[a], &[b], true), span);
        true
    },
};
