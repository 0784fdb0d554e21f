//! `letters`: messages to one node or to a role, on several topics, among messages to all. Some are sent in
//! bursts on all topics at once, of which a lane takes only a part, and nothing follows the last of them.

use core::time::Duration;

use super::{Load, moment, pace, some, subscribe};
use crate::random::cast::Player;
use crate::random::dice::Dice;
use crate::random::plan::Plan;

pub(super) const LOAD: Load = Load {
    key: "letters",
    summary: "messages for one node or a role on several topics, one by one and in bursts",
    draw,
};

/// The longest stretch of publishing.
const LONGEST: Duration = Duration::from_secs(60);
/// How often each node publishes.
const TIMES: u64 = 3;
/// The size of a burst, as a multiple of a lane's bound, and its most messages of one topic.
const LANES: u64 = 2;
const COUNT: u64 = 400;

fn draw(plan: &mut Plan<'_>, dice: &mut Dice, index: u64) {
    let topic = format!("letter-{index}");
    let topics = dice.between(2, 4);
    let from = plan.window.from.saturating_sub(Duration::from_secs(5));
    let takers = some(plan, dice, 4);
    for node in &takers {
        let reads = dice.one_of(&["at once", "at once", "at once", "1/s"]);
        let keys = format!(", topics = {topics}, reads = \"{reads}\"");
        subscribe(plan, *node, from, &topic, &keys);
    }
    for node in some(plan, dice, 2) {
        for _ in 0..dice.between(1, TIMES) {
            let Some(at) = moment(plan, dice, node) else {
                continue;
            };
            let to = to_whom(plan, dice, &takers);
            let on = plan.cast.name(node);
            let what = format!("on = {on}, topic = \"{topic}\", topics = {topics}");
            if dice.chance(50) {
                let pace = pace(dice, &["1/s", "5/s"], LONGEST);
                plan.say(at, format!("publish = {{ {what}{to}, {pace} }}"));
                continue;
            }
            let lane = plan.cast.nodes[node].settings.link.data_lane_bytes as u64;
            let size = dice.one_of(&[256, 1 << 10, 3_000, 16 << 10]);
            let count = (lane * LANES / size / topics).clamp(2, COUNT);
            let burst = format!("{what}, size = \"{size}B\", count = {count}");
            plan.say(at, format!("publish = {{ {burst}{to} }}"));
            if dice.chance(50) {
                // Losses of both sequences of a topic.
                plan.say(at, format!("publish = {{ {burst} }}"));
            }
        }
    }
}

fn to_whom(plan: &Plan<'_>, dice: &mut Dice, takers: &[Player]) -> String {
    let roles = plan.cast.nodes.iter().flat_map(|node| &node.roles);
    let roles: Vec<&String> = roles.collect();
    if !roles.is_empty() && dice.chance(50) {
        return format!(", role = \"{}\"", dice.one_of(&roles));
    }
    format!(", to = {}", plan.cast.name(dice.one_of(takers)))
}
