//! Invariant 5, for answers: each node is counted once. Each node that was asked answered or failed; no
//! node joined or left twice during a call to many; a metrics answer covers no more nodes than exist.

use std::collections::BTreeSet;

use lasso_core::name::NodeName;

use super::invariant::{Entry, Invariant, Moment};
use crate::app::{MetricSaw, Saw};

pub(super) const ENTRY: Entry = Entry {
    number: 5,
    name: "answers",
    make: |_| Box::new(Answers),
};

/// See the module's text.
#[derive(Debug)]
struct Answers;

impl Invariant for Answers {
    fn saw(&mut self, at: &mut Moment<'_>, saw: &Saw) {
        match saw {
            Saw::CalledMany { tag, to, .. } => once(at, *tag, "asked", to),
            Saw::Gathered {
                tag,
                outcomes,
                joined,
                left,
            } => {
                let asked = outcomes.iter().map(|(name, _)| name);
                once(at, *tag, "have an outcome", asked.clone());
                once(at, *tag, "came", joined);
                once(at, *tag, "left", left);
                let both = asked.clone().find(|name| joined.contains(name));
                at.demand(both.is_none(), || {
                    format!("who was asked did not come during call {tag}: {both:?}")
                });
            }
            Saw::Metrics(saw) => covers(at, saw),
            _ => {}
        }
    }
}

fn once<'a>(
    at: &mut Moment<'_>,
    tag: u64,
    what: &str,
    names: impl IntoIterator<Item = &'a NodeName>,
) {
    let mut named = BTreeSet::new();
    let twice = names.into_iter().find(|name| !named.insert(*name));
    let name = &at.facts.cast.actor(at.node).name;
    at.demand(twice.is_none(), || {
        format!("everybody is counted once; of call {tag} of {name}, {twice:?} {what} twice")
    });
}

fn covers(at: &mut Moment<'_>, saw: &MetricSaw) {
    let sight = &saw.sight;
    let Some((responding, total)) = sight.coverage else {
        return;
    };
    let name = &at.facts.cast.actor(at.node).name;
    let failed: BTreeSet<_> = sight.failed.iter().map(|(name, _)| name).collect();
    at.demand(responding >= 1 && responding <= total, || {
        format!("no more answer than there are; {name} shows {responding} of {total}")
    });
    at.demand(
        failed.len() == sight.failed.len() && !failed.contains(name),
        || {
            format!(
                "everybody is counted once; at {name} these failed: {:?}",
                sight.failed
            )
        },
    );
}
