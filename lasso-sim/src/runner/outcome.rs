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
    /// Something did not.
    Failed,
    /// This world cannot run the file; nothing was tried.
    Refused,
}

/// Something that did not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// `file:line:column` of what did not hold; the file alone where no line demands it.
    pub place: String,
    /// When, in seconds since the scenario began, with six decimals.
    pub at: String,
    /// On which node, as the file calls it.
    pub node: Option<String>,
    /// What must be so.
    pub expected: String,
    /// What was so.
    pub seen: String,
    /// How many more did not hold at that moment and are not listed after this one.
    pub more: usize,
    /// The last lines of the trace.
    pub trace: Vec<String>,
}

/// How often a check of the file was looked at in a run, for all nodes and moments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Look {
    /// `file:line:column` of the check.
    pub place: String,
    /// Where it belongs: `expect`, `when`, `always`, `never` or `sometimes`.
    pub what: &'static str,
    /// The check's key.
    pub check: String,
    /// How often.
    pub times: u64,
}

/// What became of one verb at one place of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Orders {
    /// `file:line:column` of the verb.
    pub place: String,
    /// The verb's key.
    pub verb: &'static str,
    /// How often it was ordered; more than once where a step is repeated.
    pub ordered: u64,
    /// Of these, how many took effect.
    pub took_effect: u64,
    /// How often they touched something, in sum.
    pub touched: u64,
}

/// Something that at least one run of a sweep must reach: a `[[sometimes]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Goal {
    /// `file:line:column` of the table.
    pub place: String,
    /// What is reached.
    pub title: String,
    /// A sweep of fewer runs need not reach it.
    pub seeds: u64,
    /// When this run first reached it, in seconds since the scenario began; `None`: it did not.
    pub at: Option<String>,
}

/// How one file went in one world with one seed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// The file.
    pub file: String,
    /// Its title.
    pub title: String,
    /// Where it ran.
    pub world: String,
    /// With which seed.
    pub seed: u64,
    /// How it went.
    pub verdict: Verdict,
    /// Why it was not tried, where it was not.
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
    /// How often each check was looked at.
    pub looks: Vec<Look>,
    /// How often what was ordered took effect.
    pub orders: Vec<Orders>,
    /// Faults that the seed asked `[random]` for, and those that found no room.
    pub asked: Vec<Asked>,
    /// What a sweep must reach, and whether this run did.
    pub goals: Vec<Goal>,
    /// What the machines of lasso have reached.
    pub reached: Reached,
    /// What did not hold; the run ends with the first moment at which something did not.
    pub failures: Vec<Failure>,
    /// The command that repeats this run.
    pub replay: String,
    /// The whole trace, where it was asked for.
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

/// Further lines stand beneath the first one.
const SEEN_GOES_ON: &str = "\n              ";

/// A moment in seconds since the scenario began, with six decimals.
pub(super) fn seconds(at: Instant) -> String {
    let micros = at.as_nanos() / 1_000;
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

/// A word as a shell reads it.
fn quoted(word: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_alphanumeric() || "-_./+,:=@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        Cow::Borrowed(word)
    } else {
        Cow::Owned(format!("'{}'", word.replace('\'', r"'\''")))
    }
}

impl Outcome {
    /// The report of a failed run. What came before a moment stands once, after all that did not
    /// hold at that moment.
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

/// The command that repeats a run, as a shell takes it: by cargo where this process was started so,
/// since the tool is then likely not installed; by its path where it was started by that.
pub(super) fn replay(file: &str, world: WorldKind, seed: u64) -> String {
    let by_cargo = std::env::var_os("CARGO").is_some();
    let program = std::env::args().next();
    let tool = tool_of(by_cargo, program.as_deref());
    let file = quoted(file);
    format!("{tool} run {file} --seed {seed} --world {world}")
}

/// How the tool is started: as this process was, where it is the tool.
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
