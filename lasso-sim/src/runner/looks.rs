//! How often each check of a file was evaluated in a run: a check that is never evaluated proves nothing.

use std::collections::BTreeMap;

use lasso_core::time::Instant;

use super::expect::Moment as Sight;
use super::outcome::Look;
use super::{Failure, Run, at};
use crate::scenario::{Expect, Loc, Moment, RuleKind, Scenario, show_duration};

/// One number per check, in the order of the file.
#[derive(Debug)]
pub(super) struct Looks {
    pub(super) steps: Vec<Vec<u64>>,
    pub(super) waits: Vec<Vec<u64>>,
    pub(super) rules: Vec<Vec<u64>>,
    pub(super) sometimes: Vec<Vec<u64>>,
}

impl Looks {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let blank =
            |expect: Option<&Expect>| vec![0; expect.map_or(0, |expect| expect.checks.len())];
        let steps = || scenario.steps.iter();
        Looks {
            steps: steps()
                .map(|step| blank(step.expect.as_ref().map(|expectation| &expectation.expect)))
                .collect(),
            waits: steps().map(|step| blank(condition(&step.moment))).collect(),
            rules: scenario
                .rules
                .iter()
                .map(|rule| blank(Some(&rule.expect)))
                .collect(),
            sometimes: scenario
                .sometimes
                .iter()
                .map(|one| blank(Some(&one.expect)))
                .collect(),
        }
    }

    /// All numbers, in the order of the file. A check at one place counts as one, however often its step is
    /// repeated.
    pub(super) fn told(&self, scenario: &Scenario) -> Vec<Look> {
        let mut told: BTreeMap<(usize, &'static str), Look> = BTreeMap::new();
        let mut add = |what: &'static str, expect: &Expect, looks: &[u64]| {
            for ((loc, _), times) in expect.checks.iter().zip(looks) {
                let key = (loc.span.start, what);
                let look = told.entry(key).or_insert_with(|| Look {
                    place: scenario.place(loc),
                    what,
                    check: word_at(scenario, loc),
                    times: 0,
                });
                look.times += times;
            }
        };
        for (index, step) in scenario.steps.iter().enumerate() {
            if let Some(condition) = condition(&step.moment) {
                add("when", condition, &self.waits[index]);
            }
            if let Some(expectation) = &step.expect {
                add("expect", &expectation.expect, &self.steps[index]);
            }
        }
        for (rule, looks) in scenario.rules.iter().zip(&self.rules) {
            let what = match rule.kind {
                RuleKind::Always => "always",
                RuleKind::Never => "never",
            };
            add(what, &rule.expect, looks);
        }
        for (one, looks) in scenario.sometimes.iter().zip(&self.sometimes) {
            add("sometimes", &one.expect, looks);
        }
        told.into_values().collect()
    }
}

fn condition(moment: &Moment) -> Option<&Expect> {
    match moment {
        Moment::When { condition, .. } => Some(condition),
        Moment::At(_) | Moment::After { .. } => None,
    }
}

/// The word of the file at a place.
fn word_at(scenario: &Scenario, loc: &Loc) -> String {
    let text = scenario.source.text.get(loc.span.start..).unwrap_or("");
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.chars().take_while(|c| is_word(*c)).collect()
}

impl Run<'_> {
    /// Checks whether any `[[sometimes]]` that was not reached before is reached now.
    pub(super) fn look_at_sometimes(&mut self, now: Instant) {
        let mut moment = Sight::new(self.scenario, &*self.stage);
        for (index, one) in self.scenario.sometimes.iter().enumerate() {
            let is_open = self.reached[index].is_none();
            if is_open && (at(one.from)..=at(one.until)).contains(&now) {
                let looks = &mut self.looks.sometimes[index];
                self.reached[index] = moment.holds_for(&one.expect, looks).map(|_| now);
            }
        }
    }

    /// Rules that were never evaluated, because none of their nodes ran: they cannot have failed.
    pub(super) fn idle_rules(&self) -> Vec<Failure> {
        let rules = self.scenario.rules.iter().zip(&self.looks.rules);
        let idle = rules.filter(|(_, looks)| looks.iter().all(|times| *times == 0));
        idle.map(|(rule, _)| {
            let (from, until) = (show_duration(rule.from), show_duration(rule.until));
            let seen = format!("none of its nodes ran between {from} and {until}");
            let place = self.scenario.place(&rule.loc);
            self.failure(place, None, "the rule is looked at", &seen)
        })
        .collect()
    }
}
