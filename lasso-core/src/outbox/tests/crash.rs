//! A crash of either side between any two steps, and disks that fail at each write.

use proptest::prelude::*;

use super::small;
use super::world::{Step, World};
use crate::outbox::Recording;

/// Three events, one of which is rejected, without faults; how many steps that takes.
fn plain(world: &mut World, faults: &[(usize, Step)]) -> usize {
    let mut steps = 0;
    for good in [true, false, true, true] {
        world.step(Step::Send { good });
        // One comes while others are under way.
        steps += run(world, 3, steps, faults);
    }
    steps + run(world, 1_000, steps, faults)
}

fn run(world: &mut World, most: usize, before: usize, faults: &[(usize, Step)]) -> usize {
    for n in 0..most {
        for (_, fault) in faults.iter().filter(|(at, _)| *at == before + n) {
            world.step(*fault);
        }
        let enabled = world.enabled(false);
        let Some(step) = enabled.first() else {
            return n;
        };
        world.step(*step);
    }
    most
}

/// What is tried between any two steps.
const FAULTS: [Step; 11] = [
    Step::KillSender { stored: true },
    Step::KillSender { stored: false },
    Step::SyncFull,
    Step::SyncFails { stored: true },
    Step::SyncFails { stored: false },
    Step::KillNode(0),
    Step::KillNode(1),
    Step::StoreFails(0, true),
    Step::StoreFails(1, false),
    Step::TimeOut,
    Step::Link(1),
];

fn every_pair_of_faults(recording: Recording, shares: bool) {
    let mut world = World::new(small(), recording, shares);
    let steps = plain(&mut world, &[]);
    world.check();
    assert!(steps > 15, "{steps}");
    for first in 0..steps {
        for second in first..steps {
            for one in FAULTS {
                for other in FAULTS {
                    let mut world = World::new(small(), recording, shares);
                    plain(&mut world, &[(first, one), (second, other)]);
                    world.heal();
                    world.check();
                }
            }
        }
    }
}

#[test]
fn any_two_crashes_between_any_steps_lose_nothing_and_apply_nothing_twice() {
    every_pair_of_faults(Recording::Atomic, false);
}

#[test]
fn receivers_that_share_a_store_apply_nothing_twice_after_any_two_crashes() {
    every_pair_of_faults(Recording::Atomic, true);
}

#[test]
fn a_record_after_the_effect_loses_nothing_after_any_two_crashes() {
    every_pair_of_faults(Recording::After, false);
}

fn any_faults(recording: Recording, shares: bool, choices: &[u16]) {
    let mut world = World::new(small(), recording, shares);
    for choice in choices {
        let enabled = world.enabled(true);
        let step = enabled[usize::from(*choice) % enabled.len()];
        world.step(step);
        if world.sender.broken().is_some() && choice.is_multiple_of(3) {
            world.step(Step::KillSender { stored: false });
        }
    }
    world.heal();
    world.check();
}

proptest! {
    #[test]
    fn whatever_fails_nothing_accepted_is_lost_or_applied_twice(
        shares: bool,
        choices in prop::collection::vec(any::<u16>(), 0..400),
    ) {
        any_faults(Recording::Atomic, shares, &choices);
    }

    #[test]
    fn whatever_fails_a_record_after_the_effect_loses_nothing(
        choices in prop::collection::vec(any::<u16>(), 0..400),
    ) {
        any_faults(Recording::After, false, &choices);
    }
}
