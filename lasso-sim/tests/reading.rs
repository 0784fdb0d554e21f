//! What a good file means, and that no file whatever stops the reader.

use core::time::Duration;
use std::path::{Path, PathBuf};

use lasso_sim::scenario::{Moment, NodeId, Scenario};
use lasso_sim::world::Path as WirePath;
use proptest::prelude::*;

fn read(text: &str) -> Scenario {
    Scenario::parse("good.toml".as_ref(), text).unwrap_or_else(|bad| panic!("{bad}"))
}

const GOOD: &str = r#"
lasso = 1
title = "A file with a bit of everything"

[all]
expected = 4
settings = { tick_time = "8s" }

[nodes]
web = { count = 3, every = "2s", region = "iad", starts = "1s" }
db = { region = "sjc", settings = { tick_time = "16s" }, peers = ["web-1"], starts = "later" }

[network]
latency = "1ms..5ms"

[[network.link]]
from = "sjc"
to = "iad"
loss = "1.5%"

[[step]]
at = "10s"
label = "first"
start = "db"

[[step]]
after = "first + 5s"
expect = { on = ["all", "!db"], connected = 4 }

[[step]]
when = { on = "web", connected = 4 }
by = "1m"
crash = "db"

[[step]]
after = "2s"
expect = { on = "web", connected = 3 }

[[always]]
from = "5s"
on = "web-1"
connected = ">= 2"
"#;

#[test]
fn nodes_of_a_count_start_one_after_another_and_form_a_group() {
    let scenario = read(GOOD);
    let starts: Vec<Option<u64>> = scenario
        .nodes
        .iter()
        .map(|node| node.starts.map(|at| at.as_secs()))
        .collect();
    assert_eq!(starts, [Some(1), Some(3), Some(5), None]);
    assert_eq!(
        scenario.groups["web"],
        [NodeId(0), NodeId(1), NodeId(2)].to_vec()
    );
}

#[test]
fn what_holds_for_all_gives_way_to_what_a_node_says() {
    let scenario = read(GOOD);
    let tick = |key: &str| {
        let id = scenario.find(key).expect("a node");
        scenario.node(id).settings.link.tick_time
    };
    assert_eq!(tick("web-2"), Duration::from_secs(8));
    assert_eq!(tick("db"), Duration::from_secs(16));
    let db = &scenario.nodes[3];
    assert_eq!(db.peers, [scenario.nodes[0].name()]);
    assert_eq!(db.expected_nodes, 4);
}

#[test]
fn a_link_that_is_named_one_way_is_shaped_one_way() {
    let scenario = read(GOOD);
    let (web, db) = (NodeId(0), NodeId(3));
    let loss = |from, to| scenario.network.shape(WirePath { from, to }).loss_ppm;
    assert_eq!(loss(db, web), 15_000);
    assert_eq!(loss(web, db), 0);
}

#[test]
fn a_step_after_a_time_has_a_time_and_one_after_a_wait_has_not() {
    let scenario = read(GOOD);
    assert!(matches!(scenario.steps[1].moment, Moment::At(at) if at == Duration::from_secs(15)));
    assert!(
        matches!(&scenario.steps[2].moment, Moment::When { by, .. } if *by == Duration::from_secs(60))
    );
    assert!(matches!(
        scenario.steps[3].moment,
        Moment::After { step: 2, delay } if delay == Duration::from_secs(2)
    ));
    assert_eq!(scenario.end, Duration::from_secs(62));
}

#[test]
fn a_step_and_its_verb_know_where_they_stand() {
    let scenario = read(GOOD);
    let step = &scenario.steps[0];
    assert_eq!(GOOD.lines().nth(step.loc.line - 1), Some("[[step]]"));
    let action = &step.actions[0];
    assert_eq!(
        scenario.place(&action.loc),
        format!("good.toml:{}:1", step.loc.line + 3)
    );
}

#[test]
fn the_expectation_of_all_but_one_leaves_that_one_out() {
    let scenario = read(GOOD);
    let expect = &scenario.steps[1].expect.as_ref().expect("expects").expect;
    assert_eq!(expect.on.nodes, [NodeId(0), NodeId(1), NodeId(2)]);
    assert!(expect.on.running_only);
    assert!(!scenario.rules[0].expect.on.running_only);
}

/// Every file of the catalogue and every bad one.
fn corpus() -> Vec<String> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders: Vec<PathBuf> = vec![here.join("tests/bad_files"), here.join("../scenarios")];
    let mut texts = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| extension == "toml")
            {
                texts.push(std::fs::read_to_string(path).expect("a readable file"));
            }
        }
    }
    texts.sort();
    texts
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_text_stops_the_reader(text in "\\PC{0,200}") {
        if let Err(bad) = Scenario::parse("any.toml".as_ref(), &text) {
            prop_assert!(!bad.render(false).is_empty());
        }
    }

    #[test]
    fn no_change_of_a_file_stops_the_reader(
        file in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), 0usize..12, "[\\[\\]{}=\"'\n ,.0-9aäé➜-]{0,3}"), 1..4),
    ) {
        let corpus = corpus();
        let mut text: Vec<char> = file.get(&corpus).chars().collect();
        for (at, cut, put) in changes {
            if text.is_empty() {
                break;
            }
            let at = at.index(text.len());
            let end = (at + cut).min(text.len());
            text.splice(at..end, put.chars());
        }
        let text: String = text.into_iter().collect();
        if let Err(bad) = Scenario::parse("any.toml".as_ref(), &text) {
            prop_assert!(!bad.diagnostics.is_empty());
            prop_assert!(!bad.render(false).is_empty());
        }
    }
}
