//! What a file leaves to the seed: what is drawn, what a plan says, and what is refused.

mod common;

use core::time::Duration;
use std::path::Path;
use std::process::Command;

use lasso_sim::runner::{self, Verdict};
use lasso_sim::scenario::{Moment, Scenario, Template};
use lasso_sim::world::WorldKind;

/// A file with draws in all sections.
const DRAWN: &str = r#"
lasso = 1
title = "Draws everywhere"
story = """
A line with "quotes" and \\.
"""

[all]
starts = "0s..3s"
settings = { tick_time = "8s..16s", poll_interval = "1s" }

[nodes]
a = { starts = "2s" }
web = { count = 3, every = "0s..2s" }
late = { starts = "later" }

[network]
latency = "1ms..5ms"
loss = "0%..1%"

[[step]]
at = "20s"
subscribe = { on = "all", topic = "t" }

[[step]]
at = "20s..25s"
label = "crash"
crash = "web-2"

[[step]]
after = "crash + 5s..10s"
start = "web-2"

[[step]]
at = "8s..12s"
start = { nodes = "late", version = "2.0.0", settings = { tick_time = "10s..12s" } }

[[step]]
at = "21s..30s"
repeat = { every = "500ms..1s", times = "10..30" }
publish = { on = "a", topic = "t", count = "1..5", size = "64B..64KiB" }

[[step]]
at = "26s..28s"
optional = true
cut = { from = "late", to = "web" }

[[step]]
at = "29s"
heal = "all"

[[step]]
at = "1m30s"
expect = { on = ["a", "web", "late"], connected = 5 }

[[step]]
at = "1m40s"
pause = "web-1"
repeat = { every = "1s", times = 1 }

[[step]]
at = "1m41s"
stop = "web-1"

[[step]]
at = "1m42s"
resume = "web-1"

[[step]]
at = "1m43s"
expect = { on = "a", disconnected = "web-1", reason = { web-1 = "left" } }
"#;

fn template(text: &str) -> Template {
    Template::read("drawn.toml".as_ref(), text).unwrap_or_else(|bad| panic!("{bad}"))
}

fn times(scenario: &Scenario) -> Vec<Duration> {
    let at = |moment: &Moment| match moment {
        Moment::At(at) => *at,
        other => panic!("{other:?}"),
    };
    scenario.steps.iter().map(|step| at(&step.moment)).collect()
}

#[test]
fn what_is_drawn_lies_in_its_range_and_differs_by_seed_and_node() {
    let template = template(DRAWN);
    let mut crashes = Vec::new();
    for seed in 1..=40 {
        let scenario = template.draw(seed).expect("every seed can be drawn");
        let times = times(&scenario);
        assert!(times.is_sorted(), "{times:?}");
        assert!((21..=41).contains(&times.len()), "{} steps", times.len());
        let crash = scenario
            .steps
            .iter()
            .position(|s| s.actions.iter().any(|a| a.key == "crash"));
        let at = times[crash.expect("a crash")];
        assert!(at >= Duration::from_secs(20) && at <= Duration::from_secs(25));
        crashes.push(at);
        let of = |key| scenario.node(scenario.find(key).expect("a node"));
        assert_eq!(of("a").starts, Some(Duration::from_secs(2)));
        let ticks = ["a", "web-1", "web-2", "web-3"].map(|key| of(key).settings.link.tick_time);
        assert!(ticks.iter().all(|tick| (8..=16).contains(&tick.as_secs())));
        assert!(ticks.windows(2).any(|two| two[0] != two[1]));
        assert_eq!(
            of("web-1").settings.discovery.poll_interval,
            Duration::from_secs(1)
        );
        assert_eq!(scenario.groups["web"].len(), 3);
    }
    crashes.sort_unstable();
    crashes.dedup();
    assert!(crashes.len() > 35, "{} different times", crashes.len());
}

#[test]
fn a_draw_more_shifts_no_other() {
    let (before, after) = (
        template(DRAWN),
        template(&DRAWN.replace("1m40s", "1m40s..1m40500ms")),
    );
    for seed in 1..=5 {
        let times = |template: &Template| {
            let mut times = times(&template.draw(seed).expect("a scenario"));
            times.retain(|at| at.as_secs() < 100);
            times
        };
        assert_eq!(times(&before), times(&after));
    }
}

#[test]
fn nodes_that_do_not_say_when_start_apart_within_a_second() {
    let text = "lasso = 1\ntitle = \"t\"\n[nodes]\na = {}\nb = { count = 3, every = \"1s\" }\n\
        c = { starts = \"0s\" }\n[[step]]\nat = \"5s\"\nexpect = { on = \"all\", connected = 5 }\n";
    let template = template(text);
    assert!(!template.has_draws());
    let starts = |seed| -> Vec<u64> {
        let scenario = template.draw(seed).expect("a scenario");
        let starts = scenario.nodes.iter().filter_map(|node| node.starts);
        starts.map(|at| at.as_millis() as u64).collect()
    };
    for seed in 1..=20 {
        let starts = starts(seed);
        assert!(starts[0] <= 1_000, "{starts:?}");
        for (later, start) in starts[1..4].iter().enumerate() {
            let later = later as u64 * 1_000;
            assert!((later..=later + 1_000).contains(start), "{starts:?}");
        }
        assert_eq!(starts[4], 0);
    }
    assert_ne!(starts(1), starts(2));
}

/// A plan is a plain file, and gives the same trace as the file with the seed.
fn plan_has_the_same_trace(name: &str, template: &Template, world: WorldKind, seed: u64) {
    let plan = template.plan(seed).unwrap_or_else(|bad| panic!("{bad}"));
    let plain = Template::read(name.as_ref(), &plan).unwrap_or_else(|bad| panic!("{bad}\n{plan}"));
    assert!(!plain.has_draws(), "{plan}");
    let drawn = runner::run_file(template, world, seed, true);
    let planned = runner::run_file(&plain, world, seed, true);
    assert_eq!(drawn.verdict, planned.verdict, "{name} seed {seed}");
    let lines = |text: &Option<String>| -> Vec<String> {
        let lines = text.iter().flat_map(|text| text.lines());
        lines.map(str::to_owned).collect()
    };
    let (drawn_lines, planned_lines) = (lines(&drawn.trace), lines(&planned.trace));
    let mut both = drawn_lines.iter().zip(&planned_lines);
    if let Some((drawn, planned)) = both.find(|(drawn, planned)| drawn != planned) {
        panic!("{name} seed {seed}: the file says\n{drawn}\nthe plan\n{planned}");
    }
    assert_eq!(drawn.trace_hash, planned.trace_hash, "{name} seed {seed}");
}

#[test]
fn a_plan_has_the_same_trace_as_the_file_it_was_drawn_from() {
    let template = template(DRAWN);
    for seed in 1..=3 {
        let outcome = runner::run_file(&template, WorldKind::Direct, seed, false);
        assert_eq!(outcome.verdict, Verdict::Held, "{}", outcome.report());
        for world in [WorldKind::Direct, WorldKind::Turmoil] {
            plan_has_the_same_trace("plan.toml", &template, world, seed);
        }
    }
}

/// The one whose plan runs in the turmoil world too: drawing knows no world, and that one is slow.
const IN_TURMOIL: &str = "scenarios/random/quiet.toml";

#[test]
fn every_file_with_draws_has_plans_with_the_same_trace() {
    for file in common::files() {
        let template = common::read(&file).unwrap_or_else(|bad| panic!("{bad}"));
        if !template.has_draws() {
            continue;
        }
        let is_one = file == Path::new(IN_TURMOIL);
        let worlds = common::worlds(&file).into_iter();
        for world in worlds.filter(|world| *world == WorldKind::Direct || is_one) {
            plan_has_the_same_trace(&common::name(&file, world), &template, world, 1);
        }
    }
}

#[test]
fn every_plain_file_is_its_own_plan() {
    for file in common::files() {
        let template = common::read(&file).unwrap_or_else(|bad| panic!("{bad}"));
        let plan = template.plan(1).unwrap_or_else(|bad| panic!("{bad}"));
        let again = Template::read(&file, &plan).unwrap_or_else(|bad| panic!("{bad}\n{plan}"));
        let (one, other) = (template.draw(1), again.draw(1));
        let (one, other) = (one.expect("a scenario"), other.expect("a scenario"));
        // Without places, which differ.
        let steps = |scenario: &Scenario| -> Vec<String> {
            let describe = |step: &lasso_sim::scenario::Step| {
                let actions = step.actions.iter().map(|a| a.verb.describe(scenario));
                let checks = step.expect.iter().map(|e| e.expect.checks.len());
                format!(
                    "{:?} {:?}",
                    actions.collect::<Vec<_>>(),
                    checks.collect::<Vec<_>>()
                )
            };
            scenario.steps.iter().map(describe).collect()
        };
        assert_eq!(steps(&one), steps(&other), "{}", file.display());
        assert_eq!(one.story, other.story, "{}", file.display());
        assert_eq!(one.end, other.end, "{}", file.display());
    }
}

#[test]
fn the_tool_writes_a_plan_that_runs() {
    let folder = std::path::PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let (file, plan) = (folder.join("drawn.toml"), folder.join("drawn-plan.toml"));
    std::fs::write(&file, DRAWN).expect("a folder for tests");
    let tool = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_lasso-sim"))
            .args(arguments)
            .output();
        let output = output.expect("the tool");
        (
            output.status.code(),
            String::from_utf8(output.stdout).expect("text"),
        )
    };
    let (file, plan) = (file.display().to_string(), plan.display().to_string());
    let (code, text) = tool(&["plan", &file, "--seed", "4"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.starts_with("# Drawn from "), "{text}");
    assert_eq!(
        tool(&["plan", &file, "--seed", "4", "-o", &plan]),
        (Some(0), String::new())
    );
    assert_eq!(std::fs::read_to_string(&plan).expect("the plan"), text);
    let hash = |file: &str| {
        let (code, text) = tool(&["run", file, "--seed", "4", "--world", "direct"]);
        assert_eq!(code, Some(0), "{text}");
        let line = text.lines().next().expect("a line").to_owned();
        line.split("trace ").nth(1).expect("a hash").to_owned()
    };
    assert_eq!(hash(&file), hash(&plan));
}

#[test]
fn steps_that_wait_stay_where_they_are() {
    let text = |first: &str, last: &str| {
        format!(
            "lasso = 1\ntitle = \"t\"\nnodes = {{ a = {{}}, b = {{}} }}\n[[step]]\nat = \"{first}\"\ncrash = \"b\"\n\
            [[step]]\nat = \"5s..6s\"\nready = {{ on = \"a\", is = false }}\n\
            [[step]]\nwhen = {{ on = \"a\", disconnected = \"b\" }}\nby = \"30s\"\n\
            [[step]]\nafter = \"5s\"\nexpect = {{ on = \"a\", connected = 1 }}\n\
            [[step]]\nat = \"{last}\"\nstart = \"b\"\n"
        )
    };
    let scenario = template(&text("8s..9s", "41s..42s"))
        .draw(1)
        .expect("a scenario");
    let keys: Vec<&str> = scenario
        .steps
        .iter()
        .map(|step| step.actions.first().map_or("waits", |action| action.key))
        .collect();
    assert_eq!(keys, ["ready", "crash", "waits", "waits", "start"]);
    let early = Template::read("t.toml".as_ref(), &text("8s..9s", "10s..50s"));
    let text = early
        .expect_err("a step may lie before one that waits")
        .to_string();
    assert!(
        text.contains("when the step above may still happen"),
        "{text}"
    );
}

#[test]
fn a_file_whose_draws_only_sometimes_fit_is_refused() {
    let text = DRAWN.replace("count = 3", "count = \"1..3\"");
    let Err(bad) = Template::read("t.toml".as_ref(), &text) else {
        panic!("with one node there is no `web-2` to crash");
    };
    assert!(bad.to_string().contains("unknown node `web-2`"), "{bad}");
    let places: Vec<usize> = bad.places().map(|(loc, _)| loc.line).collect();
    assert!(!places.is_empty() && places.is_sorted(), "{bad}");
}
