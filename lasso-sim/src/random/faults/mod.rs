//! The faults that a plan may draw, each in a file of its own with a constant `FAULT`: a new one is
//! a file and a line in [`ALL`].

mod aimed;
mod answer;
mod blackout;
mod clock;
mod crash;
mod cut;
mod dns;
mod flap;
mod hold;
mod liar;
mod newcomer;
mod one_way;
mod outage;
mod partition;
mod pause;
mod peel;
mod restart;
mod rolling;
mod rotation;
mod slow;
mod stop;
mod stranger;
mod vanish;

use core::time::Duration;

use super::cast::Player;
use super::dice::Dice;
use super::plan::{Plan, Window};

/// A kind of fault.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fault {
    /// Its key under `faults`.
    pub(crate) key: &'static str,
    /// What it does, in one line.
    pub(crate) summary: &'static str,
    /// The shortest window that it fits into.
    pub(crate) room: Duration,
    /// The number of nodes that it needs.
    pub(crate) nodes: usize,
    /// Draws one that begins and ends with the window, or ends later if it has several parts. False: there was
    /// no room for it.
    pub(crate) draw: fn(&mut Plan<'_>, &mut Dice, Window) -> bool,
}

/// Every kind.
pub(crate) const ALL: &[Fault] = &[
    crash::FAULT,
    vanish::FAULT,
    restart::FAULT,
    stop::FAULT,
    pause::FAULT,
    partition::FAULT,
    cut::FAULT,
    one_way::FAULT,
    hold::FAULT,
    slow::FAULT,
    dns::FAULT,
    clock::FAULT,
    stranger::FAULT,
    liar::FAULT,
    flap::FAULT,
    peel::FAULT,
    rolling::FAULT,
    rotation::FAULT,
    blackout::FAULT,
    outage::FAULT,
    newcomer::FAULT,
    aimed::FAULT,
    answer::FAULT,
];

/// The shortest fault within a pattern.
const SHORTEST: Duration = Duration::from_millis(1);
/// The greatest distance between an aimed action and its instant.
const MISS: Duration = Duration::from_millis(50);
/// A leaving node may need this long to say goodbye to all others.
const GOODBYE: Duration = Duration::from_secs(5);

/// How a path is cut.
fn how(dice: &mut Dice) -> &'static str {
    dice.one_of(&["stall", "stall", "reset", "drop"])
}

/// Two different nodes.
fn pair(plan: &Plan<'_>, dice: &mut Dice) -> (Player, Player) {
    let two = dice.some_of(&plan.cast.all(), 2);
    (two[0], two[1])
}

/// All nodes on two sides, none of which is empty.
fn sides(plan: &Plan<'_>, dice: &mut Dice) -> (Vec<Player>, Vec<Player>) {
    let all = plan.cast.all();
    let count = dice.between(1, all.len() as u64 - 1) as usize;
    let left = dice.some_of(&all, count);
    let right = all.into_iter().filter(|node| !left.contains(node));
    let right = right.collect();
    (left, right)
}

/// Just before, at, or just after an instant.
pub(crate) fn near(dice: &mut Dice, instant: Duration) -> Duration {
    let miss = match dice.below(3) {
        0 => Duration::from_millis(1),
        1 => dice.time(Duration::ZERO, MISS),
        _ => Duration::ZERO,
    };
    if dice.chance(50) {
        instant.saturating_sub(miss).max(SHORTEST)
    } else {
        instant + miss
    }
}
