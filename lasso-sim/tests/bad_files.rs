//! What a researcher reads when a file is wrong: every file of `tests/bad_files` with exactly what
//! is said about it. `INSTA_UPDATE=always cargo test -p lasso-sim --test bad_files` writes the texts
//! anew, for a person to read.

use std::path::{Path, PathBuf};

use lasso_sim::scenario::Scenario;

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad_files");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("the folder is there")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .collect();
    files.sort();
    files
}

#[test]
fn every_mistake_is_told_with_its_place_and_what_would_be_right() {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("bad_files");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let files = files();
    assert!(files.len() >= 40, "only {} files", files.len());
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a readable file");
        let stem = file
            .file_stem()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        let name = format!("{stem}.toml");
        let bad = Scenario::parse(Path::new(&name), &text).expect_err(&name);
        settings.bind(|| insta::assert_snapshot!(stem.as_str(), bad.render(false)));
    }
}

#[test]
fn mistakes_come_in_the_order_of_the_file_with_line_and_column() {
    for file in files() {
        let text = std::fs::read_to_string(&file).expect("a readable file");
        let bad = Scenario::parse(&file, &text).expect_err("a bad file");
        let lines: Vec<usize> = bad.places().map(|(loc, _)| loc.line).collect();
        assert!(lines.is_sorted(), "{}: {lines:?}", file.display());
        for (loc, message) in bad.places() {
            assert!(loc.line >= 1 && loc.column >= 1 && !message.is_empty());
            assert!(
                loc.line <= text.lines().count().max(1),
                "{}",
                file.display()
            );
        }
    }
}
