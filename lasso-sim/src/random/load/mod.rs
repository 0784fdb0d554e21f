//! The loads of applications during a plan's faults, each kind in a file of its own with a constant `LOAD`: a
//! new one is a file and a line in [`ALL`]. Load is drawn after the faults: only nodes that run and are not
//! frozen get orders, and orders that last as long as a process are given again to each later process.

mod answers;
mod bursts;
mod calls;
mod churn;
mod events;
mod gathers;
mod letters;
mod metrics;
mod ramp;
mod readers;
mod sizes;
mod topics;
mod words;

use core::time::Duration;

use super::cast::{Cast, Player};
use super::dice::Dice;
use super::plan::{Plan, quoted};

/// A kind of load.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    /// Its key under `load`.
    pub(crate) key: &'static str,
    /// What it does, in one line.
    pub(crate) summary: &'static str,
    /// Draws one; the number distinguishes those of one kind.
    pub(crate) draw: fn(&mut Plan<'_>, &mut Dice, u64),
}

/// Every kind.
pub(crate) const ALL: &[Load] = &[
    topics::LOAD,
    readers::LOAD,
    sizes::LOAD,
    bursts::LOAD,
    calls::LOAD,
    gathers::LOAD,
    events::LOAD,
    metrics::LOAD,
    words::LOAD,
    letters::LOAD,
    ramp::LOAD,
    churn::LOAD,
    answers::LOAD,
];

/// The text of one full record, in bytes.
const RECORD: u64 = 65_519;

/// At least one of the nodes, and at most `most`.
fn some(plan: &Plan<'_>, dice: &mut Dice, most: u64) -> Vec<Player> {
    let all = plan.cast.all();
    let count = dice.between(1, most.min(all.len() as u64));
    dice.some_of(&all, count as usize)
}

/// A moment at which a node takes orders; `None`: the drawn moment is not one.
fn moment(plan: &Plan<'_>, dice: &mut Dice, node: Player) -> Option<Duration> {
    let at = dice.time(plan.window.from, plan.window.until);
    plan.listens(node, at).then_some(at)
}

/// How fast, and for how long: `rate = "5/s", for = "20s"`.
fn pace(dice: &mut Dice, rates: &[&str], longest: Duration) -> String {
    let rate = dice.one_of(rates);
    let lasts = quoted(dice.log_time(Duration::from_secs(1), longest));
    format!("rate = \"{rate}\", for = {lasts}")
}

/// Subscribers of a topic at a node for each of its processes, from some moment on.
fn subscribe(plan: &mut Plan<'_>, node: Player, from: Duration, topic: &str, keys: &str) {
    let on = plan.cast.name(node);
    let text = format!("subscribe = {{ on = {on}, topic = \"{topic}\"{keys} }}");
    plan.order_each_life(node, from, &text);
}

/// Sizes at every bound that applies to a message or a call, in bytes.
fn sizes(cast: &Cast) -> Vec<u64> {
    /// Larger sizes would slow runs down. To reach a bound, a file lowers it.
    const MOST: u64 = 1 << 20;
    let mut bounds = vec![64, 1 << 10, 4 << 10, RECORD - 100, RECORD, 2 * RECORD];
    for node in &cast.nodes {
        let link = &node.settings.link;
        bounds.extend([
            link.message_bytes_max as u64,
            link.data_lane_bytes as u64,
            link.calls_lane_bytes as u64,
            link.data_lane_bytes as u64 / 2,
        ]);
        bounds.push(node.settings.pubsub.queue_bytes_max as u64);
    }
    bounds.retain(|bytes| *bytes <= MOST);
    bounds.sort_unstable();
    bounds.dedup();
    bounds
}

/// A size at a bound, or a little below or above it.
fn size(cast: &Cast, dice: &mut Dice) -> String {
    let bound = dice.one_of(&sizes(cast));
    let off = dice.one_of(&[0, 1, 2, 8, 32, 100]);
    let bytes = if dice.chance(50) {
        bound.saturating_sub(off).max(8)
    } else {
        bound + off
    };
    format!("{bytes}B")
}
