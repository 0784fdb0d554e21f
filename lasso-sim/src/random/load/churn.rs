//! `churn`: a topic that no node wants for a while. Meanwhile its publisher uses so many others that it may
//! forget it. Then a node wants it again.

use core::time::Duration;

use super::{Load, some, subscribe};
use crate::random::cast::Player;
use crate::random::dice::Dice;
use crate::random::plan::Plan;

pub(super) const LOAD: Load = Load {
    key: "churn",
    summary: "a topic that is forgotten for others, and then used again",
    draw,
};

/// The number of other topics: more than a node remembers if its drawn bound is low.
const OTHERS: u64 = 16;
/// A turn: publish, leave, publish on others, return, publish.
const STEPS: u32 = 6;

fn draw(plan: &mut Plan<'_>, dice: &mut Dice, index: u64) {
    let (topic, other) = (format!("churn-{index}"), format!("other-{index}"));
    let nodes = dice.some_of(&plan.cast.all(), 3);
    let &[source, guest, ..] = nodes.as_slice() else {
        return;
    };
    let mut any = false;
    for _ in 0..dice.between(1, 3) {
        any |= turn(plan, dice, (source, guest), (&topic, &other));
    }
    if !any {
        return;
    }
    let from = plan.window.from.saturating_sub(Duration::from_secs(5));
    let reader = dice.one_of(&nodes);
    // Some node wants one of the others.
    subscribe(plan, reader, from, &format!("{other}-0"), "");
    if let Some(&stays) = nodes.get(2)
        && dice.chance(50)
    {
        // A node whose links come and go with the faults wants it all the time.
        subscribe(plan, stays, from, &topic, "");
    }
    for node in some(plan, dice, 1) {
        let text = format!(
            "publish = {{ on = {}, topic = \"{topic}\", rate = \"12/m\", for = \"2m\" }}",
            plan.cast.name(node)
        );
        plan.order_each_life(node, plan.window.from, &text);
    }
}

fn turn(
    plan: &mut Plan<'_>,
    dice: &mut Dice,
    (source, guest): (Player, Player),
    (topic, other): (&str, &str),
) -> bool {
    let begins = dice.time(plan.window.from, plan.window.until);
    let step = dice.log_time(Duration::from_secs(1), Duration::from_secs(10));
    let at = |number: u32| begins + step * number;
    let lives = plan.lives(guest);
    let one_life = lives
        .iter()
        .any(|life| life.from <= begins && at(STEPS) < life.until);
    let listen = |node: Player| (0..=STEPS).all(|number| plan.listens(node, at(number)));
    if !one_life || !listen(source) || !listen(guest) || at(STEPS) >= plan.window.until {
        return false;
    }
    let (on, by) = (plan.cast.name(source), plan.cast.name(guest));
    let to = if dice.chance(30) {
        format!(", to = {by}")
    } else {
        String::new()
    };
    let called = format!("called = \"{topic}-{}\"", begins.as_millis());
    let wants = format!("{{ on = {by}, topic = \"{topic}\", {called} }}");
    let some_of_it = format!("publish = {{ on = {on}, topic = \"{topic}\", count = 5{to} }}");
    plan.say(at(0), format!("subscribe = {wants}"));
    plan.say(at(1), some_of_it.clone());
    plan.say(at(2), format!("unsubscribe = {wants}"));
    plan.say(
        at(3),
        format!("publish = {{ on = {on}, topic = \"{other}\", topics = {OTHERS} }}"),
    );
    plan.say(at(4), format!("subscribe = {wants}"));
    plan.say(at(5), some_of_it);
    plan.say(at(6), format!("unsubscribe = {wants}"));
    true
}
