//! Evaluates the expectations of a file at one moment.

use std::collections::BTreeMap;

use crate::checks::{Mismatch, Observed};
use crate::scenario::{Expect, NodeId, Scenario};
use crate::stage::Stage;
use crate::world::{NodeView, Process};

/// The views of all nodes at one moment, each read only when needed.
pub(super) struct Moment<'a> {
    scenario: &'a Scenario,
    stage: &'a dyn Stage,
    views: BTreeMap<NodeId, Option<NodeView>>,
}

/// An expectation that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Miss {
    /// Place of the check in the file.
    pub(super) place: String,
    pub(super) node: Option<NodeId>,
    pub(super) mismatch: Mismatch,
}

impl<'a> Moment<'a> {
    pub(super) fn new(scenario: &'a Scenario, stage: &'a dyn Stage) -> Self {
        Moment {
            scenario,
            stage,
            views: BTreeMap::new(),
        }
    }

    /// Checks that do not hold, at most `most`. `looks` counts how often each check was evaluated.
    pub(super) fn misses(&mut self, expect: &Expect, most: usize, looks: &mut [u64]) -> Vec<Miss> {
        let nodes = match self.subjects(expect) {
            Ok(nodes) => nodes,
            Err(miss) => return vec![miss],
        };
        let mut misses = Vec::new();
        for node in nodes {
            for ((loc, check), times) in expect.checks.iter().zip(looks.iter_mut()) {
                *times += 1;
                let mismatch = self.with(node, |observed| check.holds(observed));
                if let Err(mismatch) = mismatch {
                    let place = self.scenario.place(loc);
                    misses.push(Miss {
                        place,
                        node: Some(node),
                        mismatch,
                    });
                    if misses.len() == most {
                        return misses;
                    }
                }
            }
        }
        misses
    }

    /// The first subject for which every check holds. `looks` counts as in [`Moment::misses`].
    pub(super) fn holds_for(&mut self, expect: &Expect, looks: &mut [u64]) -> Option<NodeId> {
        let nodes = self.subjects(expect).ok()?;
        nodes.into_iter().find(|node| {
            let mut checks = expect.checks.iter().zip(looks.iter_mut());
            checks.all(|((_, check), times)| {
                *times += 1;
                self.with(*node, |observed| check.holds(observed)).is_ok()
            })
        })
    }

    fn subjects(&self, expect: &Expect) -> Result<Vec<NodeId>, Miss> {
        if !expect.on.running_only {
            return Ok(expect.on.nodes.clone());
        }
        let runs = |node: &NodeId| self.stage.process(*node) == Process::Running;
        let running: Vec<NodeId> = expect.on.nodes.iter().copied().filter(runs).collect();
        if running.is_empty() {
            let place = self.scenario.place(&expect.loc);
            let mismatch = Mismatch {
                expected: "at least one of the nodes runs".to_owned(),
                seen: "none does".to_owned(),
            };
            return Err(Miss {
                place,
                node: None,
                mismatch,
            });
        }
        Ok(running)
    }

    fn with<T>(&mut self, node: NodeId, read: impl FnOnce(&Observed<'_>) -> T) -> T {
        let stage = self.stage;
        let view = self
            .views
            .entry(node)
            .or_insert_with(|| stage.observe(node));
        read(&Observed {
            scenario: self.scenario,
            node,
            now: stage.now(),
            process: stage.process(node),
            view: view.as_ref(),
            events: stage.events(node),
            notices: stage.notices(node),
            app: stage.app(node),
            world: stage,
        })
    }
}
