//! Who may use whom: the order of the crates, read from the manifests.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

/// Our own crates that each package depends upon, tests and benches included.
fn siblings() -> BTreeMap<String, Vec<String>> {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version",
            "1",
        ])
        .args(["--manifest-path", manifest])
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    let text = |value: &Value| value.as_str().expect("a name").to_owned();
    let packages = metadata["packages"].as_array().expect("a list of packages");
    let depends = |package: &Value| {
        let all = package["dependencies"]
            .as_array()
            .expect("a list of dependencies");
        all.iter().map(|d| text(&d["name"])).collect::<Vec<_>>()
    };
    packages
        .iter()
        .map(|package| (text(&package["name"]), depends(package)))
        .collect()
}

fn ours(packages: &BTreeMap<String, Vec<String>>, name: &str) -> Vec<String> {
    let mut ours: Vec<String> = packages[name]
        .iter()
        .filter(|d| packages.contains_key(*d))
        .cloned()
        .collect();
    ours.sort();
    ours.dedup();
    ours
}

#[test]
fn nobody_imports_against_the_order_of_the_crates() {
    let packages = siblings();
    assert_eq!(packages.len(), 5, "{:?}", packages.keys());
    assert_eq!(ours(&packages, "lasso-core"), [""; 0]);
    assert_eq!(ours(&packages, "lasso-net"), ["lasso-core"]);
    assert_eq!(ours(&packages, "lasso-sim"), ["lasso-core", "lasso-net"]);
    assert_eq!(
        ours(&packages, "lasso-cluster"),
        ["lasso-core", "lasso-net", "lasso-sim"]
    );
    assert_eq!(
        ours(&packages, "tested-app"),
        ["lasso-cluster", "lasso-sim"]
    );
}

#[test]
fn the_core_depends_on_nothing_that_does_io_or_reads_a_clock() {
    let packages = siblings();
    for banned in ["tokio", "getrandom", "rand", "hickory-resolver", "chrono"] {
        assert!(
            !packages["lasso-core"].iter().any(|d| d == banned),
            "lasso-core uses {banned}"
        );
    }
}

#[test]
fn a_release_of_the_core_checks_its_arithmetic() {
    let manifest = include_str!("../Cargo.toml");
    let manifest: toml::Table = manifest.parse().expect("a manifest");
    let core = &manifest["profile"]["release"]["package"]["lasso-core"];
    assert_eq!(core["overflow-checks"].as_bool(), Some(true));
}

#[test]
fn no_line_of_the_log_is_written_by_a_task_of_the_library() {
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("lasso-net/src");
    let mut folders = vec![source];
    let mut calls = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                // What is written there is written for the others, on a thread of its own.
                if !path.ends_with("log") {
                    folders.push(path);
                }
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("a source");
            let lines: Vec<&str> = text.lines().collect();
            for (n, line) in lines.iter().enumerate() {
                if line.contains("tracing::") && !line.contains("//") {
                    calls += 1;
                    let before = &lines[n.saturating_sub(4)..=n];
                    let aside = before.iter().any(|line| line.contains(".say("));
                    assert!(aside, "{}:{}", path.display(), n + 1);
                }
            }
        }
    }
    assert!(calls > 5, "{calls}");
}
