//! What the tool prints, and what its exit code says.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

const NODES: &str = "lasso = 1\ntitle = \"three\"\nworlds = [\"direct\"]\nbecause = \"a test\"\n\
    [nodes]\na = {}\nb = {}\nc = {}\n[[step]]\nat = \"20s\"\n";
/// Three nodes fail it at the same moment.
const FAILS: &str = "expect = { on = \"all\", connected = 2 }\n";
const HOLDS: &str = "expect = { on = \"all\", connected = 3 }\n";

fn file(name: &str, rest: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, format!("{NODES}{rest}")).expect("a folder for tests");
    path
}

fn command(file: &PathBuf, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lasso-sim"));
    command.arg("run").arg(file).args(more);
    command
}

fn run(file: &PathBuf, more: &[&str]) -> (Option<i32>, String) {
    let Output { status, stdout, .. } = command(file, more).output().expect("the tool");
    (status.code(), String::from_utf8(stdout).expect("text"))
}

#[test]
fn a_reader_that_leaves_does_not_change_the_exit_code() {
    let (fails, holds) = (file("left.toml", FAILS), file("stays.toml", HOLDS));
    for format in ["human", "json"] {
        for (file, code) in [(&fails, 1), (&holds, 0)] {
            let (reader, writer) = std::io::pipe().expect("a pipe");
            drop(reader);
            let more = ["--seeds", "1..3", "--world", "direct", "--format", format];
            let status = command(file, &more).stdout(Stdio::from(writer)).status();
            assert_eq!(status.expect("the tool").code(), Some(code), "{format}");
        }
    }
}

#[test]
fn a_run_in_which_nothing_ran_is_no_success() {
    let holds = file("nowhere.toml", HOLDS);
    let (code, text) = run(&holds, &["--world", "turmoil"]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.starts_with("refused  "), "{text}");
    assert!(
        text.ends_with("\n0 runs: 0 held, 0 failed; 1 refused\n"),
        "{text}"
    );
    let (code, text) = run(&holds, &["--world", "turmoil", "--format", "json"]);
    assert_eq!((code, text.lines().count()), (Some(2), 1), "{text}");
    assert_eq!(run(&holds, &[]).0, Some(0));
}

#[test]
fn the_command_that_is_printed_can_be_run_by_whoever_ran_the_tool() {
    let fails = file("again.toml", FAILS);
    for (cargo, tool) in [
        (Some("cargo"), "cargo run -p lasso-sim --"),
        (None, env!("CARGO_BIN_EXE_lasso-sim")),
    ] {
        let mut command = command(&fails, &[]);
        match cargo {
            Some(cargo) => command.env("CARGO", cargo),
            None => command.env_remove("CARGO"),
        };
        let output = command.output().expect("the tool");
        let text = String::from_utf8(output.stdout).expect("text");
        let line = format!(
            "    replay:   {tool} run {} --seed 1 --world direct\n",
            fails.display()
        );
        assert!(text.contains(&line), "{text}");
    }
}

#[test]
fn what_is_not_listed_of_what_failed_is_counted() {
    // Three nodes miss two checks each: four of them are listed.
    let fails = "expect = { on = \"all\", connected = 2, identified = 2 }\n";
    let (code, text) = run(&file("more.toml", fails), &["--world", "direct"]);
    assert_eq!(code, Some(1));
    assert_eq!(text.matches("    expected: ").count(), 4, "{text}");
    assert_eq!(text.matches("\n    and 2 more\n").count(), 1, "{text}");
}

#[test]
fn only_the_first_failed_seeds_are_told_in_full() {
    let (code, text) = run(&file("my three.toml", FAILS), &["--seeds", "1..5"]);
    assert_eq!(code, Some(1));
    let count = |what: &str| text.matches(what).count();
    assert_eq!(count(" seed "), 5, "{text}");
    assert_eq!(count("    expected: "), 9, "{text}");
    assert_eq!(count("    before:"), 3, "{text}");
    assert_eq!(count("my three.toml' --seed "), 3, "{text}");
    let fifth = text.lines().find(|line| line.contains(" seed 5: "));
    assert!(
        fifth.is_some_and(|line| line.ends_with("connected = 2")),
        "{text}"
    );
    assert!(text.ends_with("\n5 runs: 0 held, 5 failed\n"), "{text}");
}
