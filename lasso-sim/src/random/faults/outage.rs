//! `outage`: two sides do not reach each other for more than ten minutes, twice in a row, so that nodes have
//! slowed down their dialling when the second outage begins.

use core::time::Duration;

use super::{Fault, how, sides};

/// After this long without success nodes dial more rarely, so an outage must last longer.
const STALE: Duration = Duration::from_secs(600);
/// An outage lasts longer than that by at most this.
const LONGER: Duration = Duration::from_secs(60);
/// The longest time between the two.
const GAP: Duration = Duration::from_secs(60);

pub(super) const FAULT: Fault = Fault {
    key: "outage",
    summary: "two sides are apart for more than ten minutes, twice in a row",
    room: Duration::from_secs(2 * 660 + 60),
    nodes: 2,
    draw: |plan, dice, window| {
        let (left, right) = sides(plan, dice);
        let how = how(dice);
        let latest = plan.window.until - (STALE + LONGER) * 2 - GAP;
        let mut from = window.from.min(latest);
        for _ in 0..2 {
            let until = from + STALE + dice.time(Duration::from_secs(1), LONGER);
            plan.partition((&left, &right), how, (from, until));
            from = until + dice.log_time(Duration::from_millis(100), GAP);
        }
        true
    },
};
