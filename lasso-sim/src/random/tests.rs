//! Plans are valid by construction, the same for the same seed, and bring every kind.

use core::time::Duration;
use std::collections::BTreeMap;

use super::plan::Step;
use super::{cast, faults, load, settings, spec};
use crate::scenario::{Reader, Scenario, Table, Template, read_nodes};

const NODES: &str = r#"
[nodes]
a = { region = "iad" }
b = { settings = { tick_time = "8s" } }
c = { roles = ["web"] }
d = { starts = "later" }
e = {}
"#;
const EVERYTHING: &str = r#"
[random]
faults = { all = "0..3" }
load = { all = "0..2" }
settings = "all"
between = ["30s", "10m"]
"#;

fn file(random: &str) -> String {
    format!("lasso = 1\ntitle = \"drawn\"\n{NODES}{random}")
}

fn scenario(random: &str, seed: u64) -> Scenario {
    let template = Template::read("drawn.toml".as_ref(), &file(random));
    let template = template.unwrap_or_else(|bad| panic!("{bad}"));
    template
        .draw(seed)
        .unwrap_or_else(|bad| panic!("seed {seed}: {bad}"))
}

/// The draw of a table for the five nodes, without settings.
fn steps(random: &str, seed: u64) -> Vec<Step> {
    let tree = Table::fragment(&file(random), &(0..0)).expect("good TOML");
    let mut reader = Reader::blank(1);
    read_nodes(&mut reader, &tree);
    let read = spec::Spec::read(&mut reader, tree.get(super::KEY).expect("the table"));
    let (errors, specs) = reader.into_found();
    let read = read.unwrap_or_else(|| panic!("{errors:?}"));
    super::draw(&read, &cast::Cast::new(&specs), seed).0
}

/// Verb and nodes of a step that is about processes.
fn order(step: &Step) -> Option<(&str, Vec<String>)> {
    let (verb, rest) = step.text.split_once(" = ")?;
    let known = [
        "start", "stop", "crash", "vanish", "restart", "pause", "resume",
    ];
    let names = rest.split(", cookie").next().unwrap_or(rest);
    let names = names.split('"').skip(1).step_by(2).map(str::to_owned);
    known.contains(&verb).then(|| (verb, names.collect()))
}

#[test]
fn every_seed_draws_a_scenario_that_can_be_read() {
    for seed in 1..=60 {
        let scenario = scenario(EVERYTHING, seed);
        assert_eq!(scenario.nodes.len(), 5);
        assert!(scenario.end >= Duration::from_secs(600), "seed {seed}");
    }
}

/// The state of a process after an order; `None`: the order makes no sense.
fn next(now: &str, verb: &str) -> Option<&'static str> {
    Some(match (now, verb) {
        ("gone", "start") | ("running", "restart") | ("paused", "resume") => "running",
        ("running", "pause") => "paused",
        ("paused", "stop") => "leaves when it thaws",
        ("leaves when it thaws", "resume") | ("running", "stop") => "gone",
        ("running" | "paused", "crash" | "vanish") => "gone",
        _ => return None,
    })
}

#[test]
fn nodes_are_ordered_only_what_they_can_do() {
    for seed in 1..=200 {
        let mut is: BTreeMap<String, &str> = BTreeMap::new();
        for node in ["a", "b", "c", "d", "e"] {
            is.insert(
                node.to_owned(),
                if node == "d" { "gone" } else { "running" },
            );
        }
        for step in steps(EVERYTHING, seed) {
            let Some((verb, nodes)) = order(&step) else {
                continue;
            };
            for node in nodes {
                let now = is.get(&node).copied().unwrap_or("unknown");
                let then = next(now, verb);
                let then = then.unwrap_or_else(|| panic!("seed {seed}: {node} is {now}: {step:?}"));
                is.insert(node, then);
            }
        }
        let left: Vec<_> = is.iter().filter(|(_, now)| **now != "running").collect();
        assert!(left.is_empty(), "seed {seed}: {left:?} at the end");
    }
}

#[test]
fn applications_are_ordered_nothing_while_their_processes_are_gone_or_frozen() {
    const VERBS: [&str; 12] = [
        "subscribe",
        "unsubscribe",
        "publish",
        "serve",
        "call",
        "call_many",
        "view",
        "look_away",
        "emit",
        "record",
        "read_metrics",
        "ready",
    ];
    let mut orders = 0;
    for seed in 1..=100 {
        let mut is = BTreeMap::from([("d".to_owned(), "gone")]);
        for step in steps(EVERYTHING, seed) {
            if let Some((verb, nodes)) = order(&step) {
                for node in nodes {
                    let now = is.get(&node).copied().unwrap_or("running");
                    is.insert(node, next(now, verb).expect("shown by another test"));
                }
                continue;
            }
            let Some((verb, rest)) = step.text.split_once(" = { on = \"") else {
                continue;
            };
            if VERBS.contains(&verb) {
                let node = rest.split('"').next().unwrap_or_default();
                let now = is.get(node).copied().unwrap_or("running");
                assert_eq!(now, "running", "seed {seed}: {node}: {step:?}");
                orders += 1;
            }
        }
    }
    assert!(orders > 1_000, "only {orders} orders");
}

#[test]
fn everything_begins_and_ends_within_the_window() {
    for seed in 1..=100 {
        let steps = steps(EVERYTHING, seed);
        assert!(steps.is_sorted_by_key(|step| step.at), "seed {seed}");
        let last = steps
            .iter()
            .rposition(|step| !step.text.starts_with("expect"));
        let last = &steps[last.expect("a step")];
        assert_eq!(last.at, Duration::from_secs(600), "seed {seed}: {last:?}");
    }
}

#[test]
fn the_same_seed_draws_the_same_and_another_one_something_else() {
    let drawn: Vec<_> = (1..=20).map(|seed| steps(EVERYTHING, seed)).collect();
    for (index, one) in drawn.iter().enumerate() {
        assert_eq!(*one, steps(EVERYTHING, index as u64 + 1));
        assert!(drawn[index + 1..].iter().all(|other| other != one));
    }
}

#[test]
fn every_kind_of_fault_and_load_can_be_drawn() {
    let window = "between = [\"30s\", \"30m\"]\nlasts = \"1s..60s\"";
    let nothing = steps(&format!("[random]\nload = {{ words = 0 }}\n{window}"), 1).len();
    let faults = faults::ALL.iter().map(|fault| ("faults", fault.key));
    let kinds = faults.chain(load::ALL.iter().map(|load| ("load", load.key)));
    for (sort, key) in kinds {
        let random = format!("[random]\n{sort} = {{ {key} = 1 }}\n{window}");
        let mut drawn = (1..=5).map(|seed| steps(&random, seed).len());
        assert!(drawn.any(|count| count > nothing), "{key} draws nothing");
        for seed in 1..=5 {
            scenario(&random, seed);
        }
    }
}

#[test]
fn every_family_of_settings_is_accepted() {
    for family in settings::ALL {
        let random = format!(
            "[random]\nswarm = false\nload = {{ topics = 1 }}\nsettings = [\"{}\"]\n\
             between = [\"30s\", \"1m\"]",
            family.key
        );
        for seed in 1..=20 {
            let drawn = scenario(&random, seed);
            let tick = drawn.nodes[1].settings.link.tick_time;
            assert_eq!(
                tick,
                Duration::from_secs(8),
                "what a node says itself stays"
            );
        }
    }
}

#[test]
fn about_half_of_all_kinds_are_off_and_the_others_up() {
    let kinds = faults::ALL.len() as u64;
    let mut off = 0;
    for seed in 1..=100 {
        let random = "[random]\nfaults = { all = \"0..3\" }\nbetween = [\"30s\", \"30m\"]";
        let tree = Table::fragment(&file(random), &(0..0)).expect("good TOML");
        let mut reader = Reader::blank(1);
        read_nodes(&mut reader, &tree);
        let read = spec::Spec::read(&mut reader, tree.get(super::KEY).expect("the table"));
        let read = read.expect("no mistake");
        let on = super::turned_on(&read, &read.faults, "faults", |fault| fault.key, seed);
        assert!(on.iter().all(|(_, count)| (1..=3).contains(count)));
        off += kinds - on.len() as u64;
    }
    let share = off * 100 / (kinds * 100);
    assert!((40..=60).contains(&share), "{share} of a hundred are off");
}

#[test]
fn a_fault_that_goes_on_keeps_what_another_one_would_free() {
    let cast = {
        let tree = Table::fragment(&file(""), &(0..0)).expect("good TOML");
        let mut reader = Reader::blank(1);
        read_nodes(&mut reader, &tree);
        cast::Cast::new(&reader.into_found().1)
    };
    let second = Duration::from_secs(1);
    let window = super::Window {
        from: Duration::ZERO,
        until: second * 60,
    };
    let mut plan = super::Plan::new(&cast, window);
    plan.hinder(("cut", ""), (&[0], &[1, 2], false), (second, second * 5));
    plan.hinder(("hold", ""), (&[0], &[1], false), (second * 2, second * 9));
    let told: Vec<String> = plan.finish().into_iter().map(|step| step.text).collect();
    let wanted = [
        "cut = { from = \"a\", to = [\"b\", \"c\"] }",
        "hold = { from = \"a\", to = \"b\" }",
        "heal = { from = \"a\", to = \"c\" }",
        // `release` would leave the path cut.
        "heal = { from = \"a\", to = \"b\" }",
    ];
    assert_eq!(told, wanted);
}

#[test]
fn faults_that_find_no_room_are_counted() {
    // Within a second a node can be frozen for that second once.
    let random = "[random]\nswarm = false\nfaults = { pause = 9, cut = 2 }\n\
                  between = [\"30s\", \"31s\"]\nlasts = \"1s\"";
    let asked = scenario(random, 1).asked;
    let of = |kind: &str| asked.iter().find(|one| one.kind == kind).copied();
    let (pause, cut) = (of("pause").expect("asked"), of("cut").expect("asked"));
    assert_eq!((pause.asked, cut.asked), (9, 2));
    assert!((1..9).contains(&pause.no_room), "{pause:?}");
    assert_eq!(cut.no_room, 0);
}
