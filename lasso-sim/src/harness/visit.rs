//! Runs the hooks of a test while its scenario runs.

use core::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::Arc;

use lasso_core::time::{Instant, earliest};

use super::hooks::{Begin, Check, Deed, GRACE, Hook, When, node_of};
use super::node::Node;
use super::snapshot::{NodeSnapshot, Snapshot};
use crate::runner::{Guest, Scene};
use crate::scenario::{NodeId, Scenario};
use crate::stage::Stage;
use crate::turmoil_world::panics;
use crate::turmoil_world::site::{Complaint, Site};

/// See the module's text.
pub(super) struct Visit<'a, S> {
    hooks: &'a [Hook<S>],
    /// The hooks that have run.
    done: Vec<bool>,
    states: Arc<[Arc<S>]>,
    site: Arc<Site>,
    seed: u64,
}

impl<'a, S: Send + Sync + 'static> Visit<'a, S> {
    pub(super) fn new(
        hooks: &'a [Hook<S>],
        states: Arc<[Arc<S>]>,
        site: Arc<Site>,
        seed: u64,
    ) -> Self {
        Visit {
            hooks,
            done: vec![false; hooks.len()],
            states,
            site,
            seed,
        }
    }

    fn pending(&self) -> impl Iterator<Item = (usize, &'a Hook<S>)> {
        let hooks = self.hooks.iter().enumerate();
        hooks.filter(|(index, hook)| !self.done[*index] && hook.when != When::End)
    }

    /// The next hook that is due now, the earliest first.
    fn next(&self, scene: &Scene<'_>) -> Option<usize> {
        let due = |(index, hook): (usize, &Hook<S>)| Some((hook.due(scene)?, index));
        let next = self.pending().filter_map(due).min();
        next.filter(|(due, _)| *due <= scene.now)
            .map(|(_, index)| index)
    }

    /// The time by which acts must have ended.
    fn last_call(&self, scene: &Scene<'_>) -> Instant {
        let hooks = self.hooks.iter().filter_map(|hook| hook.due(scene)).max();
        let end = Instant::ZERO + scene.scenario.end;
        hooks.map_or(end, |hooks| hooks.max(end)) + GRACE
    }

    fn does(&self, hook: &Hook<S>, scene: &Scene<'_>, stage: &mut dyn Stage) -> Option<Complaint> {
        match &hook.deed {
            Deed::Check(check) => self.checks(hook, check, scene, stage),
            Deed::Act { node, begin } => self.acts(hook, (node, begin), scene),
        }
    }

    fn checks(
        &self,
        hook: &Hook<S>,
        check: &Check<S>,
        scene: &Scene<'_>,
        stage: &mut dyn Stage,
    ) -> Option<Complaint> {
        let snapshot = self.snapshot(scene, stage);
        let result = catch_unwind(AssertUnwindSafe(|| check(&snapshot)));
        let (place, seen) = match result {
            Ok(Ok(())) => {
                let trace = &mut stage.record_mut().trace;
                trace.line(scene.now, "test", format_args!("{} holds", hook.title));
                return None;
            }
            Ok(Err(seen)) => (hook.place.clone(), seen),
            Err(panic) => {
                let place = panics::take().pop().and_then(|panic| panic.place);
                let text = panics::text(panic.as_ref());
                (place.unwrap_or_else(|| hook.place.clone()), text)
            }
        };
        let expected = format!("{} holds", hook.title);
        Some(complaint(scene, None, (place, expected, seen)))
    }

    fn acts(
        &self,
        hook: &Hook<S>,
        (key, begin): (&str, &Begin<S>),
        scene: &Scene<'_>,
    ) -> Option<Complaint> {
        let node = node_of(scene.scenario, key);
        let state = node.map(|node| Arc::clone(&self.states[node.index()]));
        let begin = Arc::clone(begin);
        let begun = node.zip(state).is_some_and(|(node, state)| {
            self.site.act(
                node,
                &hook.title,
                &hook.place,
                Box::new(move |cluster, tenant| begin(cluster, Node::new(tenant, state))),
            )
        });
        (!begun).then(|| {
            let expected = format!("{} begins", hook.title);
            let seen = format!("`{key}` does not run");
            complaint(scene, node, (hook.place.clone(), expected, seen))
        })
    }

    /// Acts that have not ended in time.
    fn overdue(&self, scene: &Scene<'_>) -> Vec<Complaint> {
        if scene.now < self.last_call(scene) {
            return Vec::new();
        }
        let overdue = |(node, title): (NodeId, String)| {
            let hook = self.hooks.iter().find(|hook| hook.title == title);
            let place = hook.map(|hook| hook.place.clone()).unwrap_or_default();
            let expected = format!("{title} ends within {GRACE:?} of the scenario's end");
            complaint(
                scene,
                Some(node),
                (place, expected, "it goes on".to_owned()),
            )
        };
        self.site.acts().into_iter().map(overdue).collect()
    }

    fn snapshot(&self, scene: &Scene<'_>, stage: &dyn Stage) -> Snapshot<S> {
        let node = |node: NodeId| {
            let spec = scene.scenario.node(node);
            NodeSnapshot {
                key: spec.key.clone(),
                name: spec.name(),
                process: stage.process(node),
                starts: self.site.starts(node),
                cluster: self.site.cluster(node),
                state: Arc::clone(&self.states[node.index()]),
            }
        };
        Snapshot {
            seed: self.seed,
            now: scene.now.since_start(),
            nodes: scene.scenario.node_ids().map(node).collect(),
        }
    }
}

impl<S: Send + Sync + 'static> Guest for Visit<'_, S> {
    fn is_due(&self, scene: &Scene<'_>) -> Option<Instant> {
        let hooks = self.pending().filter_map(|(_, hook)| hook.due(scene)).min();
        let acts = (!self.site.acts().is_empty()).then(|| self.last_call(scene));
        earliest(hooks, acts)
    }

    fn looks(&mut self, scene: &Scene<'_>, stage: &mut dyn Stage) -> Vec<Complaint> {
        self.site.set_now(scene.now);
        let mut complaints = self.site.take_complaints();
        while complaints.is_empty()
            && let Some(index) = self.next(scene)
        {
            self.done[index] = true;
            complaints.extend(self.does(&self.hooks[index], scene, stage));
        }
        if complaints.is_empty() {
            complaints = self.overdue(scene);
        }
        complaints
    }

    fn is_done(&self, _: &Scene<'_>) -> bool {
        self.pending().next().is_none() && self.site.acts().is_empty()
    }

    fn leaves(&mut self, scene: &Scene<'_>, stage: &mut dyn Stage) -> Vec<Complaint> {
        self.site.count_loose();
        let mut complaints = self.looks(scene, stage);
        for hook in self.hooks.iter().filter(|hook| hook.when == When::End) {
            if complaints.is_empty() {
                complaints.extend(self.does(hook, scene, stage));
            }
        }
        complaints
    }
}

fn complaint(
    scene: &Scene<'_>,
    node: Option<NodeId>,
    (place, expected, seen): (String, String, String),
) -> Complaint {
    Complaint {
        at: scene.now,
        node,
        place,
        expected,
        seen,
    }
}

/// The state of each node of a scenario.
pub(super) fn states<S>(scenario: &Scenario, make: &dyn Fn() -> S) -> Arc<[Arc<S>]> {
    scenario.nodes.iter().map(|_| Arc::new(make())).collect()
}
