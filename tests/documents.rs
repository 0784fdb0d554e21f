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

/// The names of all tests of the workspace.
fn tests() -> BTreeSet<String> {
    let mut files = Vec::new();
    sources(Path::new(env!("CARGO_MANIFEST_DIR")), &mut files);
    let texts = files.iter().map(fs::read_to_string);
    texts
        .flat_map(|text| tests_of(&text.expect("a source")))
        .collect()
}

/// The names of a source's tests: functions right under an attribute that makes them one, and those
/// inside `proptest!`, which have their attribute too. What is ignored shows nothing.
fn tests_of(text: &str) -> Vec<String> {
    let mut tests = Vec::new();
    let (mut is_test, mut is_ignored) = (false, false);
    for line in text.lines().map(str::trim) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if line.starts_with("#[ignore") {
            is_ignored = true;
        } else if let Some((_, rest)) = line.split_once("fn ") {
            if is_test && !is_ignored {
                let end = rest.find(['(', '<']).unwrap_or(rest.len());
                tests.push(rest[..end].to_owned());
            }
            (is_test, is_ignored) = (false, false);
        }
    }
    tests
}

/// What stands in `[`…`]`, but for links.
fn proofs(text: &str) -> Vec<&str> {
    let parts = text.split("[`").skip(1);
    let named = parts.filter_map(|part| part.split_once("`]"));
    named
        .filter(|(_, after)| !after.starts_with('('))
        .map(|(proof, _)| proof)
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
fn a_test_that_is_ignored_shows_nothing() {
    let text = "#[test]\nfn one() {}\n#[test]\n#[IGNORE]\nfn two() {}\n#[IGNORE = \"slow\"]
        #[tokio::test]\nasync fn three() {}\nfn four() {}\n#[test]\nfn five() {}";
    assert_eq!(tests_of(&text.replace("IGNORE", "ignore")), ["one", "five"]);
}

#[test]
fn a_proof_is_what_stands_in_brackets_and_is_no_link() {
    let text = "It holds. [`one`] [`two`]; see [`this`](that.md).";
    assert_eq!(proofs(text), ["one", "two"]);
}

#[test]
fn every_statement_about_messaging_names_a_test_or_scenario_that_exists() {
    every_statement_names_what_shows_it("docs/messaging.md", 31);
}

#[test]
fn every_statement_about_events_names_a_test_or_scenario_that_exists() {
    every_statement_names_what_shows_it("docs/events.md", 31);
}

#[test]
fn every_statement_about_metrics_names_a_test_or_scenario_that_exists() {
    every_statement_names_what_shows_it("docs/metrics.md", 31);
}

#[test]
fn every_statement_about_the_outbox_names_a_test_that_exists() {
    every_statement_names_what_shows_it("docs/outbox.md", 16);
}

#[test]
fn every_statement_about_ingest_names_a_test_that_exists() {
    every_statement_names_what_shows_it("docs/ingest.md", 7);
}

#[test]
fn every_statement_about_the_proxy_names_a_test_that_exists() {
    every_statement_names_what_shows_it("docs/proxy.md", 31);
}

#[test]
fn the_first_test_of_the_guide_is_a_test_of_the_example() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| fs::read_to_string(root.join(path)).expect("a file");
    let guide = read("docs/testing.md");
    let test = read("examples/tested-app/tests/numbers.rs");
    let (_, code) = test.split_once("\n\n").expect("a line about the file");
    assert!(guide.contains(&format!("```rust\n{code}```")));
    let scenario = read("examples/tested-app/tests/cut.toml");
    assert!(guide.contains(&format!("```toml\n{scenario}```")));
}

#[test]
fn the_client_of_the_guide_is_a_test_of_the_example() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| fs::read_to_string(root.join(path)).expect("a file");
    let guide = read("docs/testing.md");
    let test = read("examples/tested-app/tests/sums.rs");
    let (_, code) = test.split_once("\n\n").expect("a line about the file");
    assert!(guide.contains(&format!("```rust\n{code}```")));
    let scenario = read("examples/tested-app/tests/sums.toml");
    assert!(guide.contains(&format!("```toml\n{scenario}```")));
}

/// At least so many statements are found, so that a document that cannot be read does not pass.
fn every_statement_names_what_shows_it(document: &str, at_least: usize) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join(document)).expect("the document");
    let tests = tests();
    assert!(tests.contains("every_statement_about_messaging_names_a_test_or_scenario_that_exists"));
    let statements = statements(&text);
    assert!(
        statements.len() >= at_least,
        "{} statements",
        statements.len()
    );
    let mut wrong = Vec::new();
    for statement in &statements {
        if proofs(statement).is_empty() {
            wrong.push(format!("nothing shows: {statement}"));
        }
    }
    // Outside of lists, too: what is named there is as much of a promise.
    for proof in proofs(&text) {
        let exists = if proof.ends_with(".toml") {
            root.join(proof).is_file()
        } else {
            tests.contains(proof)
        };
        if !exists {
            wrong.push(format!("there is no {proof}, or it is ignored"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
