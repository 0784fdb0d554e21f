//! The document of the language says what the language is.

use std::path::{Path, PathBuf};

use lasso_sim::scenario::{NODES_MAX, Scenario, setting_keys};
use lasso_sim::{checks, verbs};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn document() -> String {
    std::fs::read_to_string(root().join("docs/scenarios.md")).expect("the document is there")
}

/// The first two cells of each row of the table under a heading, without the backticks.
fn table(document: &str, head: &str) -> Vec<(String, String)> {
    let start = document
        .find(head)
        .unwrap_or_else(|| panic!("no table `{head}`"));
    let rows = document[start..]
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let mut cells = row.split('|').skip(1).map(|cell| cell.trim().to_owned());
        let key = cells.next().expect("a cell").trim_matches('`').to_owned();
        (key, cells.next().expect("a second cell"))
    })
    .collect()
}

#[test]
fn the_table_of_verbs_is_the_registry() {
    let registry: Vec<(String, String)> = verbs::ALL
        .iter()
        .map(|entry| (entry.key.to_owned(), entry.summary.to_owned()))
        .collect();
    assert_eq!(table(&document(), "| verb | does |"), registry);
}

#[test]
fn the_table_of_checks_is_the_registry() {
    let registry: Vec<(String, String)> = checks::ALL
        .iter()
        .map(|entry| (entry.key.to_owned(), entry.summary.to_owned()))
        .collect();
    assert_eq!(table(&document(), "| check | reads |"), registry);
}

#[test]
fn every_setting_is_named() {
    let document = document();
    for key in setting_keys() {
        assert!(
            document.contains(&format!("`{key}`")),
            "{key} is not in the document"
        );
    }
}

#[test]
fn every_example_that_is_a_whole_file_can_be_read() {
    let document = document();
    let examples: Vec<&str> = document
        .split("```toml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .filter(|text| text.starts_with("lasso"))
        .collect();
    assert!(!examples.is_empty());
    for text in examples {
        Scenario::parse("example.toml".as_ref(), text).unwrap_or_else(|bad| panic!("{bad}"));
    }
}

#[test]
fn the_tables_of_what_a_plan_may_draw_are_the_registries() {
    for (sort, head) in [
        ("faults", "| fault | what happens |"),
        ("load", "| load | what applications do |"),
        ("settings", "| settings | what differs |"),
    ] {
        let kinds = lasso_sim::random::kinds().filter(|kind| kind.sort == sort);
        let registry: Vec<(String, String)> = kinds
            .map(|kind| (kind.key.to_owned(), kind.summary.to_owned()))
            .collect();
        assert_eq!(table(&document(), head), registry);
    }
}

#[test]
fn the_bound_on_nodes_is_told() {
    let digits = NODES_MAX.to_string();
    let (thousands, rest) = digits.split_at(digits.len() - 3);
    assert!(document().contains(&format!("{thousands},{rest} nodes")));
}

#[test]
fn every_file_of_the_catalogue_can_be_read_and_has_a_story() {
    let mut folders = vec![root().join("scenarios")];
    let mut read = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("a readable file");
            let scenario = Scenario::parse(&path, &text).unwrap_or_else(|bad| panic!("{bad}"));
            assert!(
                !scenario.story.is_empty(),
                "{} has no story",
                path.display()
            );
            read += 1;
        }
    }
    assert!(read >= 30, "only {read} files");
}

#[test]
fn the_scenario_of_the_readme_holds() {
    let readme = std::fs::read_to_string(root().join("README.md")).expect("a README");
    let text = readme
        .split("```toml\n")
        .filter_map(|rest| rest.split("```").next())
        .find(|block| block.starts_with("lasso = 1"))
        .expect("the README shows a scenario");
    let scenario =
        Scenario::parse(Path::new("README.md"), text).unwrap_or_else(|bad| panic!("{bad}"));
    let outcome = lasso_sim::runner::run(&scenario, lasso_sim::world::WorldKind::Direct, 1, false);
    assert_eq!(
        outcome.verdict,
        lasso_sim::runner::Verdict::Held,
        "{:?}",
        outcome.failures
    );
}
