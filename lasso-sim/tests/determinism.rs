//! A file, a world and a seed are one trace: in this process, in this process again after unrelated
//! work, and in another process. One test per file and world.

mod common;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::OnceLock;

use lasso_sim::runner;
use lasso_sim::world::WorldKind;
use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::Value;

const SEED: u64 = 11;

/// The hash of a trace, by file and world.
type Hashes = BTreeMap<(String, String), String>;

/// What another process says, by file and world; it runs once for all tests.
static ELSEWHERE: OnceLock<Result<Hashes, String>> = OnceLock::new();

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    for file in common::files() {
        for world in common::worlds(&file) {
            let file = file.clone();
            trials.push(Trial::test(common::name(&file, world), move || {
                is_one_trace(file, world)
            }));
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn is_one_trace(file: PathBuf, world: WorldKind) -> Result<(), Failed> {
    let template = common::read(&file)?;
    let here = runner::run_file(&template, world, SEED, true);
    unrelated_work();
    let again = runner::run_file(&template, world, SEED, true);
    if here.trace_hash.is_empty() {
        return Err(here.report().into());
    }
    if here.trace != again.trace {
        return Err(first_difference(here.trace.as_deref(), again.trace.as_deref()).into());
    }
    let elsewhere = ELSEWHERE
        .get_or_init(run_elsewhere)
        .as_ref()
        .map_err(Clone::clone)?;
    let key = (file.display().to_string(), world.to_string());
    match elsewhere.get(&key) {
        Some(hash) if *hash == here.trace_hash => Ok(()),
        Some(hash) => {
            let here = here.trace_hash;
            Err(format!("another process has trace {hash}, this one {here}").into())
        }
        None => Err("another process did not run this".into()),
    }
}

fn run_elsewhere() -> Result<Hashes, String> {
    let output = Command::new(env!("CARGO_BIN_EXE_lasso-sim"))
        .current_dir(common::root())
        .args([
            "run",
            "scenarios",
            "--format",
            "json",
            "--seed",
            &SEED.to_string(),
        ])
        .output()
        .map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut hashes = BTreeMap::new();
    for line in text.lines() {
        let outcome: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
        let field = |name: &str| outcome[name].as_str().unwrap_or_default().to_owned();
        hashes.insert((field("file"), field("world")), field("trace_hash"));
    }
    Ok(hashes)
}

/// What moves process-wide counters and hash seeds: tasks, hash maps, allocations.
fn unrelated_work() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    let runtime = runtime.expect("a runtime");
    let mut counts: HashMap<u64, usize> = HashMap::new();
    runtime.block_on(async {
        let tasks: Vec<_> = (0..37_u64)
            .map(|number| tokio::spawn(async move { vec![number; number as usize % 7].len() }))
            .collect();
        for (number, task) in (0..).zip(tasks) {
            counts.insert(number, task.await.unwrap_or_default());
        }
    });
    assert_eq!(counts.len(), 37);
}

fn first_difference(first: Option<&str>, second: Option<&str>) -> String {
    let (first, second) = (first.unwrap_or_default(), second.unwrap_or_default());
    let mut lines = first.lines().zip(second.lines());
    match lines.find(|(first, second)| first != second) {
        Some((first, second)) => format!("the first run says\n  {first}\nthe second\n  {second}"),
        None => "one run is longer than the other".to_owned(),
    }
}
