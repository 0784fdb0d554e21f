//! The checks at the end of a run: each ordered fault took effect. If no fault affects any node any more, all
//! nodes agree on the members, and each message has arrived or was reported as missed.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use lasso_core::time::Instant;

use super::outcome::seconds;
use super::{Failure, Goal, Orders, Outcome, Run, fault, panic_of};
use crate::invariants::Member;
use crate::scenario::Sometimes;

/// After everything has healed and each node had time to notice silent links, nodes agree within this.
const SETTLE: Duration = Duration::from_secs(10);

impl Run<'_> {
    /// Orders that should have taken effect, and did not.
    pub(super) fn idle_faults(&self) -> Vec<Failure> {
        let mut failures = Vec::new();
        let steps = self.scenario.steps.iter().enumerate();
        for (index, step) in steps.filter(|(_, step)| !step.optional) {
            for (number, action) in step.actions.iter().enumerate() {
                let effects = self.stage.effects(fault(index, number));
                if action.verb.must_take_effect() && effects == 0 {
                    let expected =
                        format!("`{}` takes effect", action.verb.describe(self.scenario));
                    let place = self.scenario.place(&action.loc);
                    failures.push(self.failure(place, None, &expected, "it touched nothing"));
                }
            }
        }
        failures
    }

    /// How often the orders so far took effect, by place, without those that only end another fault.
    fn orders(&self) -> Vec<Orders> {
        let mut all: BTreeMap<(usize, &'static str), Orders> = BTreeMap::new();
        let happened = self.scenario.steps.iter().take(self.happened.len());
        for (index, step) in happened.enumerate() {
            let actions = step.actions.iter().enumerate();
            for (number, action) in actions.filter(|(_, action)| action.verb.must_take_effect()) {
                let key = (action.loc.span.start, action.key);
                let orders = all.entry(key).or_insert_with(|| Orders {
                    place: self.scenario.place(&action.loc),
                    verb: action.key,
                    ordered: 0,
                    took_effect: 0,
                    touched: 0,
                });
                let touched = self.stage.effects(fault(index, number));
                orders.ordered += 1;
                orders.took_effect += u64::from(touched > 0);
                orders.touched += touched;
            }
        }
        all.into_values().collect()
    }

    fn goals(&self) -> Vec<Goal> {
        let sometimes = self.scenario.sometimes.iter().zip(&self.reached);
        let goal = |(one, at): (&Sometimes, &Option<Instant>)| Goal {
            place: self.scenario.place(&one.loc),
            title: one.title.clone(),
            seeds: one.seeds,
            at: at.map(seconds),
        };
        sometimes.map(goal).collect()
    }

    /// If no fault affects any node, all nodes must come to agree on the members.
    pub(super) fn settle(&mut self) -> Vec<Failure> {
        let Some(healed) = self.stage.invariants().healed_since() else {
            return Vec::new();
        };
        if self.stage.names_disturbed() {
            return Vec::new();
        }
        let specs = self.scenario.nodes.iter();
        let tick_time = specs
            .map(|spec| spec.settings.link.tick_time)
            .max()
            .unwrap_or_default();
        let bound = (healed + tick_time * 5 / 4 + SETTLE).max(self.stage.now() + SETTLE);
        loop {
            let (now, members) = (self.stage.now(), self.members());
            let invariants = self.stage.invariants_mut();
            let Some(unsettled) = invariants.unsettled(now, &members) else {
                break;
            };
            if now >= bound {
                invariants.report(unsettled);
                break;
            }
            self.stage.advance(bound);
        }
        self.new_violations()
    }

    fn members(&self) -> Vec<Member> {
        let observed = |node| {
            let view = self.stage.observe(node)?;
            let candidates: BTreeSet<_> = view.candidates.into_iter().collect();
            Some(Member {
                node,
                links: view.links,
                candidates,
            })
        };
        self.scenario.node_ids().filter_map(observed).collect()
    }

    /// A panic as a failure, with the preceding trace if the world can still give it.
    pub(super) fn panicked(&self, panic: &(dyn core::any::Any + Send)) -> Failure {
        let mut failure = panic_of(self.scenario.source.path.display().to_string(), panic);
        let seen = failure.seen.clone();
        let told = catch_unwind(AssertUnwindSafe(|| {
            self.failure(failure.place.clone(), None, &failure.expected, &seen)
        }));
        if let Ok(told) = told {
            failure = told;
        }
        failure
    }

    /// Writes the last lines of the trace, and drops the world.
    pub(super) fn close(mut self, outcome: &mut Outcome) {
        let now = self.stage.now();
        let verdict = outcome.verdict;
        let trace = &mut self.stage.record_mut().trace;
        trace.checkpoint(now);
        trace.line(now, "run", format_args!("{verdict:?}"));
        outcome.trace_hash = trace.hash();
        outcome.trace_lines = trace.lines();
        outcome.trace = trace.text().map(str::to_owned);
        outcome.simulated_ms = now.as_nanos() / 1_000_000;
        outcome.inputs = self.stage.inputs_handled();
        outcome.membership_hash = self.stage.record().membership_hash();
        outcome.looks = self.looks.told(self.scenario);
        outcome.orders = self.orders();
        outcome.goals = self.goals();
        outcome.reached = self.stage.reached();
    }
}
