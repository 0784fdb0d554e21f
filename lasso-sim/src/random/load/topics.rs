//! `topics`: a topic with publishers, and subscribers that come and go.

use core::time::Duration;

use super::{Load, moment, pace, some, subscribe};
use crate::random::cast::Player;
use crate::random::dice::Dice;
use crate::random::plan::Plan;

pub(super) const LOAD: Load = Load {
    key: "topics",
    summary: "a topic with publishers, and subscribers that come and go",
    draw,
};

/// Longest stretch of publishing.
const LONGEST: Duration = Duration::from_secs(60);
/// How many orders each publisher gets.
const STRETCHES: u64 = 3;

fn draw(plan: &mut Plan<'_>, dice: &mut Dice, index: u64) {
    let topic = format!("topic-{index}");
    let from = plan.window.from.saturating_sub(Duration::from_secs(5));
    for node in some(plan, dice, 5) {
        let count = dice.between(1, 3);
        let keys = format!(", count = {count}");
        subscribe(plan, node, from, &topic, &keys);
        if dice.chance(50) {
            come_and_go(plan, dice, node, &topic);
        }
    }
    for node in some(plan, dice, 3) {
        for _ in 0..dice.between(1, STRETCHES) {
            let Some(at) = moment(plan, dice, node) else {
                continue;
            };
            let to = audience(plan, dice);
            let pace = pace(dice, &["1/s", "5/s", "20/s"], LONGEST);
            let on = plan.cast.name(node);
            plan.say(
                at,
                format!("publish = {{ on = {on}, topic = \"{topic}\"{to}, {pace} }}"),
            );
        }
    }
}

/// Separate subscribers that end in the middle, and return.
fn come_and_go(plan: &mut Plan<'_>, dice: &mut Dice, node: Player, topic: &str) {
    let lives = plan.lives(node);
    let life = dice.one_of(&lives);
    let mut times: Vec<Duration> = (0..4).map(|_| dice.time(life.from, life.until)).collect();
    times.sort_unstable();
    times.dedup();
    let listens = |at: &Duration| plan.listens(node, *at) && *at < life.until;
    if times.len() < 4 || !times.iter().all(listens) {
        return;
    }
    let on = plan.cast.name(node);
    let keys = format!("on = {on}, topic = \"{topic}\", called = \"{topic}-guest\"");
    for (turn, at) in times.into_iter().enumerate() {
        let verb = if turn % 2 == 0 {
            "subscribe"
        } else {
            "unsubscribe"
        };
        plan.say(at, format!("{verb} = {{ {keys} }}"));
    }
}

/// The audience: mostly all nodes.
fn audience(plan: &Plan<'_>, dice: &mut Dice) -> String {
    let mut roles = plan.cast.nodes.iter().flat_map(|node| &node.roles);
    match (dice.below(6), roles.next()) {
        (0, _) => ", local = true".to_owned(),
        (1, _) => format!(", to = {}", plan.cast.name(dice.one_of(&plan.cast.all()))),
        (2, Some(role)) => format!(", role = \"{role}\""),
        _ => String::new(),
    }
}
