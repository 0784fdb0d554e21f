//! `events`: live events of a profile, some of them published by two nodes, with viewers of the profile or of
//! an account, some of them slow.

use core::time::Duration;

use super::{Load, moment, pace, some};
use crate::random::dice::Dice;
use crate::random::plan::Plan;

pub(super) const LOAD: Load = Load {
    key: "events",
    summary: "live events of a profile, with viewers",
    draw,
};

/// More viewers than all loads open at one node.
const VIEWERS: usize = 100;
/// How often nodes publish.
const TIMES: u64 = 4;

fn draw(plan: &mut Plan<'_>, dice: &mut Dice, index: u64) {
    let profile = format!("profile-{index}");
    let from = plan.window.from.saturating_sub(Duration::from_secs(5));
    for node in some(plan, dice, 3) {
        let who = dice.one_of(&["", ", account = \"acme\"", ", account = \"other\""]);
        let reads = dice.one_of(&["at once", "at once", "2/s", "never"]);
        let on = plan.cast.name(node);
        let text = format!(
            "view = {{ on = {on}, profile = \"{profile}\", called = \"{profile}\"{who}, \
             chains = [\"eth\"], reads = \"{reads}\" }}"
        );
        plan.order_each_life(node, from, &text);
    }
    for _ in 0..dice.between(1, TIMES) {
        let at = dice.time(plan.window.from, plan.window.until);
        let what = what(dice, &profile);
        for node in some(plan, dice, 2) {
            if plan.listens(node, at) {
                let on = plan.cast.name(node);
                let text = format!("emit = {{ on = {on}, profile = \"{profile}\", {what} }}");
                plan.say(at, text);
            }
        }
    }
    if dice.chance(50) {
        look_away(plan, dice, &profile);
    }
}

fn what(dice: &mut Dice, profile: &str) -> String {
    let short = Duration::from_secs(20);
    match dice.below(7) {
        0 => format!(
            "circuit = \"{}\"",
            dice.one_of(&["open", "closed", "half_open"])
        ),
        1 => format!(
            "height = {}, count = 5, rate = \"1/s\"",
            dice.between(1, 1_000)
        ),
        // More than a viewer gets in a second.
        2 => "errors = true, rate = \"200/s\", for = \"2s\"".to_owned(),
        // Two nodes report the same requests.
        3 => {
            let pace = pace(dice, &["5/s", "20/s"], short);
            format!("errors = true, ids = \"{profile}\", accounts = [\"acme\", \"other\"], {pace}")
        }
        4 => {
            let pace = pace(dice, &["5/s", "20/s"], short);
            format!("errors = \"20%\", failovers = \"10%\", ago = \"0s..90s\", {pace}")
        }
        _ => {
            let pace = pace(dice, &["5/s", "20/s"], short);
            format!("errors = \"5%\", accounts = [\"acme\"], takes = \"10ms..2s\", {pace}")
        }
    }
}

/// A viewer that comes and goes within one life.
fn look_away(plan: &mut Plan<'_>, dice: &mut Dice, profile: &str) {
    let node = dice.one_of(&plan.cast.all());
    // A viewer that was refused cannot look away.
    let viewers = plan.cast.nodes[node].settings.events.viewers_max;
    if viewers < VIEWERS {
        return;
    }
    let Some(at) = moment(plan, dice, node) else {
        return;
    };
    let ends = at + dice.log_time(Duration::from_millis(10), Duration::from_secs(60));
    let mut lives = plan.lives(node).into_iter();
    let same_life = lives.any(|life| life.from <= at && ends < life.until);
    if !same_life || !plan.listens(node, ends) {
        return;
    }
    let (on, called) = (plan.cast.name(node), format!("{profile}-guest"));
    plan.say(
        at,
        format!("view = {{ on = {on}, profile = \"{profile}\", called = \"{called}\" }}"),
    );
    plan.say(
        ends,
        format!("look_away = {{ on = {on}, called = \"{called}\" }}"),
    );
}
