//! Statements of the documents name what shows them, and that exists.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Every Rust source of the workspace.
fn sources(under: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(under).expect("a folder of the workspace") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str());
        match name {
            Some("target" | ".git") | None => {}
            Some(_) if path.is_dir() => sources(&path, found),
            Some(name) if name.ends_with(".rs") => found.push(path),
            Some(_) => {}
        }
    }
}

/// The names of all tests: functions right under an attribute that makes them one, and those inside
/// `proptest!`, which have their attribute too.
fn tests() -> BTreeSet<String> {
    let mut files = Vec::new();
    sources(Path::new(env!("CARGO_MANIFEST_DIR")), &mut files);
    let mut tests = BTreeSet::new();
    for file in files {
        let text = fs::read_to_string(&file).expect("a source");
        let mut is_test = false;
        for line in text.lines().map(str::trim) {
            if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
                is_test = true;
            } else if let Some((_, rest)) = line.split_once("fn ").filter(|_| is_test) {
                let end = rest.find(['(', '<']).unwrap_or(rest.len());
                tests.insert(rest[..end].to_owned());
                is_test = false;
            }
        }
    }
    tests
}

/// What stands in `[`…`]`.
fn proofs(statement: &str) -> Vec<&str> {
    let parts = statement.split("[`").skip(1);
    parts
        .filter_map(|part| part.split_once("`]").map(|(proof, _)| proof))
        .collect()
}

/// The list items of a document, each with the lines that belong to it.
fn statements(text: &str) -> Vec<String> {
    let mut statements: Vec<String> = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        if line.starts_with("- ") {
            statements.push(line.to_owned());
            inside = true;
        } else if inside && line.starts_with("  ") {
            let last = statements.last_mut().expect("a statement has begun");
            last.push_str(line);
        } else {
            inside = false;
        }
    }
    statements
}

#[test]
fn every_statement_about_messaging_names_a_test_or_scenario_that_exists() {
    every_statement_names_what_shows_it("docs/messaging.md");
}

#[test]
fn every_statement_about_events_names_a_test_or_scenario_that_exists() {
    every_statement_names_what_shows_it("docs/events.md");
}

#[test]
fn every_statement_about_metrics_names_a_test_or_scenario_that_exists() {
    every_statement_names_what_shows_it("docs/metrics.md");
}

#[test]
fn every_statement_about_the_proxy_names_a_test_that_exists() {
    every_statement_names_what_shows_it("docs/proxy.md");
}

fn every_statement_names_what_shows_it(document: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join(document)).expect("the document");
    let tests = tests();
    assert!(tests.contains("every_statement_about_messaging_names_a_test_or_scenario_that_exists"));
    let statements = statements(&text);
    assert!(statements.len() > 30, "{} statements", statements.len());
    let mut wrong = Vec::new();
    for statement in &statements {
        let proofs = proofs(statement);
        if proofs.is_empty() {
            wrong.push(format!("nothing shows: {statement}"));
        }
        for proof in proofs {
            let exists = if proof.ends_with(".toml") {
                root.join(proof).is_file()
            } else {
                tests.contains(proof)
            };
            if !exists {
                wrong.push(format!("there is no {proof}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
