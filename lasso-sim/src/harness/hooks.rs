//! The acts and checks of a test at moments of its scenario.

use core::fmt;
use core::panic::Location;
use core::time::Duration;
use std::sync::Arc;

use lasso_core::time::Instant;
use lasso_net::Cluster;

use super::node::Node;
use super::snapshot::Snapshot;
use crate::runner::Scene;
use crate::scenario::{DURATION_FORM, NodeId, Scenario, read_duration};
use crate::turmoil_world::site::Work;

/// Begins an application or an act.
pub(super) type Begin<S> = Arc<dyn Fn(Cluster, Node<S>) -> Work + Send + Sync>;
/// Inspects all nodes.
pub(super) type Check<S> = Arc<dyn Fn(&Snapshot<S>) -> Result<(), String> + Send + Sync>;

/// One check or act.
pub(super) struct Hook<S> {
    pub(super) when: When,
    pub(super) deed: Deed<S>,
    /// As in the user's code: `check_at("60s")`.
    pub(super) title: String,
    /// `file:line:column` of the user's code.
    pub(super) place: String,
}

/// When a hook is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum When {
    /// At a time since the start.
    At(String),
    /// A delay after a labelled step.
    After { label: String, delay: String },
    /// When everything has settled.
    End,
}

/// The action of a hook.
pub(super) enum Deed<S> {
    Check(Check<S>),
    Act { node: String, begin: Begin<S> },
}

impl<S> Hook<S> {
    /// The mistakes of this hook: a bad time, or a label or node that the scenario lacks.
    pub(super) fn mistakes(&self, scenario: &Scenario) -> Vec<String> {
        let mut mistakes = Vec::new();
        let mut time = |text: &str| {
            if read_duration(text).is_none() {
                mistakes.push(format!("`{text}` is no time, such as {DURATION_FORM}"));
            }
        };
        match &self.when {
            When::At(text) => time(text),
            When::After { label, delay } => {
                time(delay);
                if step_of(scenario, label).is_none() {
                    mistakes.push(format!("no step has the label `{label}`"));
                }
            }
            When::End => {}
        }
        if let Deed::Act { node, .. } = &self.deed
            && node_of(scenario, node).is_none()
        {
            mistakes.push(format!("the scenario has no node `{node}`"));
        }
        let at = |mistake| format!("{}: {}: {mistake}", self.place, self.title);
        mistakes.into_iter().map(at).collect()
    }

    /// The moment at which it is due, once that is known.
    pub(super) fn due(&self, scene: &Scene<'_>) -> Option<Instant> {
        match &self.when {
            When::At(text) => Some(Instant::ZERO + read_duration(text)?),
            When::After { label, delay } => {
                let step = step_of(scene.scenario, label)?;
                Some(*scene.happened.get(step)? + read_duration(delay)?)
            }
            When::End => None,
        }
    }
}

fn step_of(scenario: &Scenario, label: &str) -> Option<usize> {
    let mut steps = scenario.steps.iter();
    steps.position(|step| step.label.as_deref() == Some(label))
}

/// The node that the file calls `key`.
pub(super) fn node_of(scenario: &Scenario, key: &str) -> Option<NodeId> {
    let mut ids = scenario.node_ids();
    ids.find(|node| scenario.node(*node).key == key)
}

impl<S> fmt::Debug for Hook<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.title)
    }
}

/// `file:line:column`.
pub(super) fn place(location: &Location<'_>) -> String {
    location.to_string()
}

/// How long an act may continue after the end of a scenario.
pub(super) const GRACE: Duration = Duration::from_secs(60);
