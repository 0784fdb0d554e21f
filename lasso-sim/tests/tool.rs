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

fn sweep(files: &[&PathBuf], more: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lasso-sim"));
    let output = command.arg("sweep").args(files).args(more).output();
    let Output { status, stdout, .. } = output.expect("the tool");
    (status.code(), String::from_utf8(stdout).expect("text"))
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

/// Holds for a day.
const LONG: &str = "expect = { on = \"all\", connected = 3 }\n\
    [[always]]\nfrom = \"20s\"\nuntil = \"24h\"\non = \"all\"\nconnected = 3\n";

/// Something that holds, and two things that are reached or not.
const REACHES: &str = "[[sometimes]]\ntitle = \"all three\"\non = \"a\"\nconnected = 3\n";
const NEVER_REACHES: &str = "[[sometimes]]\ntitle = \"a meets four\"\nseeds = 3\non = \"a\"\nresponding = 2\nfrom = \"15s\"\n";

#[test]
fn a_sweep_tells_the_same_whatever_the_number_of_jobs() {
    let (holds, fails) = (
        file("sweep-holds.toml", HOLDS),
        file("sweep-fails.toml", FAILS),
    );
    for format in ["human", "json"] {
        let told = |jobs: &str| {
            let more = ["--seeds", "1..12", "--format", format, "--jobs", jobs];
            sweep(&[&holds, &fails], &more)
        };
        let (code, text) = told("1");
        assert_eq!(code, Some(1), "{text}");
        assert_eq!((code, text), told("4"), "{format}");
    }
}

#[test]
fn a_sweep_groups_what_failed_and_says_how_to_replay_it() {
    let (holds, fails) = (
        file("group-holds.toml", HOLDS),
        file("group-fails.toml", FAILS),
    );
    let (code, text) = sweep(&[&holds, &fails], &["--seeds", "1..12"]);
    assert_eq!(code, Some(1), "{text}");
    let count = |what: &str| text.matches(what).count();
    let group = "  12 runs (seeds 1, 2, 3, 4, 5, 6, 7, 8, …): ";
    assert_eq!(count(group), 1, "{text}");
    assert_eq!(
        count("group-fails.toml --seed 1 --world direct"),
        1,
        "{text}"
    );
    assert_eq!(count("    replay:   "), 1, "{text}");
    assert_eq!(count("\nheld  ") + count("\nFAILED"), 1, "{text}");
    assert!(
        text.contains("12 of 12 seeds  240 s  12 different runs"),
        "{text}"
    );
    assert!(text.contains("0 of 12 seeds"), "{text}");
    assert!(text.contains("coverage of the machines: "), "{text}");
    assert!(text.ends_with("\n24 runs: 12 held, 12 failed\n"), "{text}");
}

#[test]
fn a_sweep_fails_when_what_must_be_reached_never_is() {
    let reaches = file("reaches.toml", &format!("{HOLDS}{REACHES}"));
    let (code, text) = sweep(&[&reaches], &["--seeds", "1..3"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains(": all three: in 3 runs, first with seed 1\n"),
        "{text}"
    );
    let never = file("never-reaches.toml", &format!("{HOLDS}{NEVER_REACHES}"));
    let (code, text) = sweep(&[&never], &["--seeds", "1..3"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains(": a meets four: NOT REACHED by any of 3 runs\n"),
        "{text}"
    );
    // Fewer seeds than it asks for, and a single run, only note it.
    let (code, text) = sweep(&[&never], &["--seeds", "1..2"]);
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = run(&never, &["--format", "json"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains("\"title\":\"a meets four\",\"seeds\":3,\"at\":null"),
        "{text}"
    );
}

#[test]
fn a_sweep_tells_what_was_never_reached_and_fails_where_that_is_asked_for() {
    let holds = file("covers.toml", HOLDS);
    let table = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("coverage.json");
    let path = table.to_str().expect("a path that is text");
    let more = ["--seeds", "1..1", "--coverage", path];
    let (code, text) = sweep(&[&holds], &more);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("\n    garbage (close reasons)"), "{text}");
    let written = std::fs::read_to_string(&table).expect("the table was written");
    assert!(written.contains("\"name\": \"garbage\""), "{written}");
    let (code, _) = sweep(&[&holds], &["--seeds", "1..1", "--require-coverage"]);
    assert_eq!(code, Some(1));
}

#[test]
fn shards_of_a_sweep_share_its_seeds() {
    let holds = file("shards.toml", HOLDS);
    for (shard, runs) in [("1/2", 3), ("2/2", 2)] {
        let (code, text) = sweep(&[&holds], &["--seeds", "1..5", "--shard", shard]);
        assert_eq!(code, Some(0), "{text}");
        assert!(
            text.ends_with(&format!("\n{runs} runs: {runs} held, 0 failed\n")),
            "{text}"
        );
    }
}

/// Each shard reaches half, and the sum of them is judged.
#[test]
fn shards_together_are_judged_by_merge() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let never = file(
        "shards-never.toml",
        &format!("{HOLDS}{REACHES}{NEVER_REACHES}"),
    );
    let part = |number: u32| folder.join(format!("part-{number}.json"));
    for number in 1..=2 {
        let (shard, path) = (format!("{number}/2"), part(number));
        let path = path.to_str().expect("a path that is text");
        let more = ["--seeds", "1..4", "--shard", &shard, "--part", path];
        let (code, text) = sweep(&[&never], &more);
        assert_eq!(code, Some(0), "a shard does not judge: {text}");
        assert!(text.contains(": a meets four: in none so far\n"), "{text}");
        let (code, text) = sweep(
            &[&never],
            &["--seeds", "1..4", "--shard", &shard, "--require-coverage"],
        );
        assert_eq!(code, Some(2), "{text}");
    }
    let merge = |parts: &[PathBuf], more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lasso-sim"));
        let output = command.arg("merge").args(parts).args(more).output();
        let Output { status, stdout, .. } = output.expect("the tool");
        (status.code(), String::from_utf8(stdout).expect("text"))
    };
    let (code, text) = merge(&[part(2), part(1)], &[]);
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains(": a meets four: NOT REACHED by any of 4 runs\n"),
        "{text}"
    );
    assert!(
        text.contains(": all three: in 4 runs, first with seed 1\n"),
        "{text}"
    );
    assert!(
        text.contains("coverage of the machines: ") && text.contains(" in 4 runs\n"),
        "{text}"
    );
    assert!(text.ends_with("\n4 runs: 4 held, 0 failed\n"), "{text}");
    for wrong in [vec![part(1)], vec![part(1), part(1)], vec![never.clone()]] {
        let (code, text) = merge(&wrong, &[]);
        assert_eq!(code, Some(2), "{text}");
        assert!(text.starts_with("error: "), "{text}");
    }
}

/// The first file is done in no time, the second one takes long enough for somebody to lose patience.
#[cfg(unix)]
#[test]
fn an_interrupted_sweep_tells_of_the_runs_so_far() {
    use std::io::{BufRead, BufReader, Read};

    let (short, long) = (file("short.toml", HOLDS), file("long.toml", LONG));
    let mut command = Command::new(env!("CARGO_BIN_EXE_lasso-sim"));
    let command = command.arg("sweep").args([&short, &long]);
    let command = command.args(["--seeds", "1..100", "--jobs", "1"]);
    let command = command.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().expect("the tool");
    let mut out = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut text = String::new();
    out.read_line(&mut text).expect("a line");
    assert!(text.starts_with("held     "), "{text}");
    let pid = child.id().to_string();
    let sent = Command::new("kill").args(["-INT", &pid]).status();
    assert!(sent.expect("`kill`").success());
    out.read_to_string(&mut text).expect("text");
    assert_eq!(
        child.wait().expect("an exit code").code(),
        Some(130),
        "{text}"
    );
    assert!(text.contains("\ninterrupted: "), "{text}");
    let last = text.lines().last().unwrap_or_default();
    let runs = last
        .split(' ')
        .next()
        .and_then(|runs| runs.parse::<u32>().ok());
    assert!(
        runs.is_some_and(|runs| (100..200).contains(&runs)),
        "{text}"
    );
}

/// A liar claims losses without bound, so that a node counts as many as a number can hold.
#[test]
fn a_sweep_adds_up_counters_that_are_as_large_as_they_get() {
    let top = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let file = top.join("scenarios/strangers/lying-false-losses.toml");
    let (code, text) = sweep(&[&file], &["--seeds", "1..3", "--world", "direct"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("3 runs: 3 held"), "{text}");
}
