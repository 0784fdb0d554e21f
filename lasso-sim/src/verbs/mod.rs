//! The verbs of scenarios: one file per verb, one line per verb in [`ALL`].
//!
//! To add a verb, write a file like `crash.rs` with a struct that implements [`Verb`] and a
//! constant [`Entry`], and add its line to the registry. No other verb's file changes.

mod call;
mod call_many;
mod clock;
mod crash;
mod cut;
mod describe;
mod dns;
mod emit;
mod heal;
mod hold;
mod liar;
mod loads;
mod look_away;
mod partition;
mod pause;
mod publish;
mod read_metrics;
mod ready;
mod record;
mod release;
mod restart;
mod resume;
mod serve;
mod slow;
mod start;
mod stop;
mod stranger;
mod subscribe;
mod unsubscribe;
mod vanish;
mod view;

use core::fmt;

use crate::scenario::{NodeId, Reader, Scenario, Value};
use crate::world::{Ability, Path, Refusal, World};

/// Every verb, by its key.
pub const ALL: &[Entry] = &[
    start::ENTRY,
    stop::ENTRY,
    crash::ENTRY,
    vanish::ENTRY,
    restart::ENTRY,
    pause::ENTRY,
    resume::ENTRY,
    partition::ENTRY,
    cut::ENTRY,
    hold::ENTRY,
    release::ENTRY,
    heal::ENTRY,
    slow::ENTRY,
    dns::ENTRY,
    clock::ENTRY,
    stranger::ENTRY,
    liar::ENTRY,
    ready::ENTRY,
    describe::ENTRY,
    subscribe::ENTRY,
    unsubscribe::ENTRY,
    publish::ENTRY,
    serve::ENTRY,
    call::ENTRY,
    call_many::ENTRY,
    view::ENTRY,
    look_away::ENTRY,
    emit::ENTRY,
    record::ENTRY,
    read_metrics::ENTRY,
];

/// One line of the registry.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// The key in a step.
    pub key: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
    /// Keys whose ranges the verb reads itself; ranges under all others are drawn before it sees them.
    pub ranges: &'static [&'static str],
    /// Reads the key's value; `None` when a mistake was found and reported to the reader.
    pub parse: fn(&Value, &mut Reader<'_>) -> Option<Box<dyn Verb>>,
}

/// An action of a step, with all names resolved.
pub trait Verb: fmt::Debug + Send + Sync {
    /// The abilities that a world needs; a world that lacks one refuses the file.
    fn needs(&self) -> Vec<Ability>;

    /// Performs it now.
    ///
    /// # Errors
    /// The refusal of the world.
    fn apply(&self, scenario: &Scenario, world: &mut dyn World) -> Result<(), Refusal>;

    /// A line for the trace: the action and its nodes, in the file's words.
    fn describe(&self, scenario: &Scenario) -> String;

    /// True when a run in which this took no effect has failed, because the step did nothing. False for a verb
    /// that only ends another fault.
    fn must_take_effect(&self) -> bool {
        true
    }
}

/// The keys of some nodes, for a trace.
fn keys(scenario: &Scenario, nodes: &[NodeId]) -> String {
    if nodes.len() > 1 && nodes.len() == scenario.nodes.len() {
        return "all".to_owned();
    }
    let keys: Vec<&str> = nodes
        .iter()
        .map(|id| scenario.node(*id).key.as_str())
        .collect();
    keys.join(", ")
}

/// Paths, for a trace: `a->b`, and `a<->b` for both directions.
fn show_paths(scenario: &Scenario, paths: &[Path]) -> String {
    const SHOWN: usize = 12;
    let key = |id: NodeId| scenario.node(id).key.as_str();
    let both = |path: &Path| {
        paths.contains(&Path {
            from: path.to,
            to: path.from,
        })
    };
    let mut shown: Vec<String> = paths
        .iter()
        .filter(|path| path.from < path.to || !both(path))
        .map(|path| {
            let arrow = if both(path) { "<->" } else { "->" };
            format!("{}{arrow}{}", key(path.from), key(path.to))
        })
        .collect();
    let more = shown.len().saturating_sub(SHOWN);
    shown.truncate(SHOWN);
    if more > 0 {
        shown.push(format!("and {more} more"));
    }
    shown.join(" ")
}

#[cfg(test)]
mod tests {
    use super::ALL;

    #[test]
    fn every_key_is_registered_once() {
        let mut keys: Vec<&str> = ALL.iter().map(|entry| entry.key).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), ALL.len());
    }
}
