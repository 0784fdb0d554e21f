//! Families of intervals and time-outs.

use core::time::Duration;

use super::Draft;
use crate::random::dice::Dice;
use crate::random::plan::quoted;

/// The least and the greatest tick time that a node accepts.
const TICK: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(600));

/// Half, the same, or twice, within bounds and to the millisecond.
fn about(dice: &mut Dice, time: Duration, (low, high): (Duration, Duration)) -> Duration {
    let (number, of) = dice.one_of(&[(1, 2), (1, 1), (2, 1), (3, 4), (1, 1)]);
    let millis = (time * number / of).as_millis() as u64;
    Duration::from_millis(millis).clamp(low, high)
}

const ANY: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(3600));

pub(super) fn ticks(dice: &mut Dice, drafts: &mut [Draft]) {
    for draft in drafts {
        let tick = about(dice, draft.before.link.tick_time, TICK);
        draft.set("tick_time", quoted(tick));
    }
}

pub(super) fn health(dice: &mut Dice, drafts: &mut [Draft]) {
    for draft in drafts {
        let topology = draft.before.topology.clone();
        draft.set(
            "health_interval",
            quoted(about(dice, topology.health_interval, ANY)),
        );
        draft.set(
            "health_timeout",
            quoted(about(dice, topology.health_timeout, ANY)),
        );
        let suspect = about(dice, topology.health_suspect_interval, ANY);
        draft.set("health_suspect_interval", quoted(suspect));
        draft.set(
            "reconcile_interval",
            quoted(about(dice, topology.reconcile_interval, ANY)),
        );
    }
}

pub(super) fn dials(dice: &mut Dice, drafts: &mut [Draft]) {
    for draft in drafts {
        let dial = draft.before.dial.clone();
        draft.set("concurrent_dials_max", dice.one_of(&["1", "2", "64"]));
        draft.set(
            "backoff_min",
            quoted(about(dice, dial.backoff_min, ANY).min(dial.backoff_max)),
        );
        draft.set(
            "second_delay",
            quoted(dice.one_of(&[dial.second_delay, Duration::ZERO, dial.second_delay * 4])),
        );
    }
}

pub(super) fn polls(dice: &mut Dice, drafts: &mut [Draft]) {
    for draft in drafts {
        let discovery = draft.before.discovery.clone();
        draft.set(
            "poll_interval",
            quoted(about(dice, discovery.poll_interval, ANY)),
        );
        draft.set(
            "forget_after",
            quoted(about(dice, discovery.forget_after, ANY)),
        );
    }
}
