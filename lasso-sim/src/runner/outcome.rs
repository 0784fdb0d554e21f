//! The outcome of a run, for people and for programs.

use core::fmt::{self, Write};
use std::borrow::Cow;
use std::path::Path;

use lasso_core::time::Instant;
use serde::Serialize;

use crate::coverage::Reached;
use crate::random::Asked;
use crate::world::WorldKind;

/// Whether everything held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Everything held.
    Held,
    /// A check failed.
    Failed,
    /// This world cannot run the file; nothing ran.
    Refused,
}

/// A check that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// `file:line:column` of the check that failed; the file alone if no line demands it.
    pub place: String,
    /// When, in seconds since the scenario began, with six decimals.
    pub at: String,
    /// The node, by its key in the file.
    pub node: Option<String>,
    /// The expectation.
    pub expected: String,
    /// The observation.
    pub seen: String,
    /// The number of further checks that failed at that moment and are not listed after this one.
    pub more: usize,
    /// The last lines of the trace.
    pub trace: Vec<String>,
}

/// How often a check of the file was evaluated in a run, over all nodes and moments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Look {
    /// `file:line:column` of the check.
    pub place: String,
    /// Its section: `expect`, `when`, `always`, `never` or `sometimes`.
    pub what: &'static str,
    /// The check's key.
    pub check: String,
    /// How often.
    pub times: u64,
}

/// The effects of one verb at one place of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Orders {
    /// `file:line:column` of the verb.
    pub place: String,
    /// The verb's key.
    pub verb: &'static str,
    /// How often it was ordered; more than once if its step is repeated.
    pub ordered: u64,
    /// Of these, how many took effect.
    pub took_effect: u64,
    /// How many effects they had, in total.
    pub touched: u64,
}

/// Something that at least one run of a sweep must reach: a `[[sometimes]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Goal {
    /// `file:line:column` of the table.
    pub place: String,
    /// Its title.
    pub title: String,
    /// A sweep with fewer runs need not reach it.
    pub seeds: u64,
    /// When this run first reached it, in seconds since the scenario began; `None` if it did not.
    pub at: Option<String>,
}

/// The outcome of one file in one world with one seed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// The file.
    pub file: String,
    /// Its title.
    pub title: String,
    /// The world.
    pub world: String,
    /// The seed.
    pub seed: u64,
    /// The verdict.
    pub verdict: Verdict,
    /// Why it did not run, if it did not.
    pub reason: Option<String>,
    /// SHA-256 of the trace.
    pub trace_hash: String,
    /// Lines of the trace.
    pub trace_lines: u64,
    /// Simulated time, in milliseconds.
    pub simulated_ms: u64,
    /// Inputs that the nodes have handled.
    pub inputs: u64,
    /// SHA-256 of each node's topology events, in order, without times: the same for two runs that differ only in
    /// times.
    pub membership_hash: String,
    /// How often each check was evaluated.
    pub looks: Vec<Look>,
    /// How often orders took effect.
    pub orders: Vec<Orders>,
    /// Faults that the seed asked `[random]` for, and how many found no room.
    pub asked: Vec<Asked>,
    /// The goals of a sweep, and whether this run reached them.
    pub goals: Vec<Goal>,
    /// The coverage of lasso's machines.
    pub reached: Reached,
    /// The checks that failed; the run ends at the first moment with a failure.
    pub failures: Vec<Failure>,
    /// The command that repeats this run.
    pub replay: String,
    /// The whole trace, if requested.
    #[serde(skip)]
    pub trace: Option<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_what(f)?;
        self.write_before(f)
    }
}

impl Failure {
    fn write_what(&self, out: &mut impl Write) -> fmt::Result {
        let on = self
            .node
            .as_ref()
            .map(|node| format!(" on {node}"))
            .unwrap_or_default();
        writeln!(out, "  {}: at {} s{on}", self.place, self.at)?;
        writeln!(out, "    expected: {}", self.expected)?;
        let seen = self.seen.replace('\n', SEEN_GOES_ON);
        writeln!(out, "    seen:     {seen}")?;
        if self.more > 0 {
            writeln!(out, "    and {} more", self.more)?;
        }
        Ok(())
    }

    fn write_before(&self, out: &mut impl Write) -> fmt::Result {
        if !self.trace.is_empty() {
            writeln!(out, "    before:")?;
        }
        self.trace
            .iter()
            .try_for_each(|line| writeln!(out, "      {line}"))
    }
}

/// Aligns further lines with the first one.
const SEEN_GOES_ON: &str = "\n              ";

/// A moment in seconds since the scenario began, with six decimals.
pub(super) fn seconds(at: Instant) -> String {
    let micros = at.as_nanos() / 1_000;
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

/// A word, quoted for a shell.
fn quoted(word: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_alphanumeric() || "-_./+,:=@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        Cow::Borrowed(word)
    } else {
        Cow::Owned(format!("'{}'", word.replace('\'', r"'\''")))
    }
}

impl Outcome {
    /// The report of a failed run. The lines before a moment appear once, after all failures of that moment.
    pub fn report(&self) -> String {
        let mut text = String::new();
        for moment in self.failures.chunk_by(|a, b| a.at == b.at) {
            for failure in moment {
                let _ = failure.write_what(&mut text);
            }
            if let Some(last) = moment.iter().rfind(|failure| !failure.trace.is_empty()) {
                let _ = last.write_before(&mut text);
            }
        }
        let _ = writeln!(text, "    replay:   {}", self.replay);
        text
    }
}

/// The command that repeats a run, for a shell: by cargo if this process was started by cargo, since the tool
/// is then likely not installed; by its path if it was started by its path.
pub(super) fn replay(file: &str, world: WorldKind, seed: u64) -> String {
    let by_cargo = std::env::var_os("CARGO").is_some();
    let program = std::env::args().next();
    let tool = tool_of(by_cargo, program.as_deref());
    let file = quoted(file);
    format!("{tool} run {file} --seed {seed} --world {world}")
}

/// How to start the tool: as this process was started, if this process is the tool.
fn tool_of(by_cargo: bool, program: Option<&str>) -> Cow<'_, str> {
    let stem = |program: &str| Path::new(program).file_stem().map(|stem| stem == TOOL);
    match program {
        _ if by_cargo => Cow::Borrowed("cargo run -p lasso-sim --"),
        Some(program) if stem(program) == Some(true) => quoted(program),
        _ => Cow::Borrowed(TOOL),
    }
}

/// The tool's name.
const TOOL: &str = "lasso-sim";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_to_replay_is_for_whoever_runs_the_tool() {
        let cases = [
            (
                true,
                Some("target/debug/lasso-sim"),
                "cargo run -p lasso-sim --",
            ),
            (false, Some("lasso-sim"), "lasso-sim"),
            (false, Some("./my bin/lasso-sim"), "'./my bin/lasso-sim'"),
            (false, Some("bin/lasso-sim"), "bin/lasso-sim"),
            (false, Some("target/debug/deps/scenarios-12"), "lasso-sim"),
            (false, None, "lasso-sim"),
        ];
        for (cargo, program, tool) in cases {
            assert_eq!(tool_of(cargo, program), tool, "{program:?}");
        }
    }

    #[test]
    fn a_shell_reads_a_path_as_one_word() {
        assert_eq!(quoted("scenarios/a-b_1.toml"), "scenarios/a-b_1.toml");
        assert_eq!(quoted("my files/a.toml"), "'my files/a.toml'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
