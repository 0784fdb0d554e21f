//! Invariant 14, for discovery: after good answers of DNS last named an address, a node goes on dialling it for the
//! time in its settings, however often the address was absent before.
//!
//! This file keeps the names in the last good answer to each question. A failed or empty answer changes nothing; a
//! truncated one only adds names.

use core::net::SocketAddr;
use std::collections::{BTreeMap, BTreeSet};

use lasso_core::discovery::{Family, QueryId};
use lasso_core::event::{Change, DownReason, TopologyEvent};
use lasso_core::name::{NodeName, undialable};
use lasso_core::node::DnsAnswer;
use lasso_core::time::Instant;

use super::invariant::{Changes, Entry, Invariant, Moment};
use super::{Knowledge, Witness};
use crate::scenario::NodeSpec;

pub(super) const ENTRY: Entry = Entry {
    number: 14,
    name: "candidates",
    make: |nodes| Box::new(Candidates((0..nodes).map(|_| Row::default()).collect())),
};

/// By node.
#[derive(Debug)]
struct Candidates(Vec<Row>);

/// The answers that one life of a node got.
#[derive(Debug, Default)]
struct Row {
    queries: Vec<lasso_core::discovery::Query>,
    own: Option<NodeName>,
    addresses_max: usize,
    /// By question, the names in its last good answer.
    named: BTreeMap<(QueryId, Family), BTreeSet<NodeName>>,
    /// When an answer last named it.
    last: BTreeMap<NodeName, Instant>,
}

impl Invariant for Candidates {
    fn started(&mut self, at: &mut Moment<'_>, spec: &NodeSpec) {
        let config = spec.config(true);
        self.0[at.node.index()] = Row {
            addresses_max: config.settings.discovery.addresses_max,
            queries: config.queries,
            own: Some(config.name),
            ..Row::default()
        };
    }

    fn event(&mut self, at: &mut Moment<'_>, event: &TopologyEvent, _: &dyn Witness) {
        // A node that says goodbye, and that no answer names by then, may be forgotten at once.
        if let Change::NodeDisconnected {
            name,
            reason: DownReason::Left,
        } = &event.change
        {
            self.0[at.node.index()].last.remove(name);
        }
    }

    fn resolved(&mut self, at: &mut Moment<'_>, question: (QueryId, Family), answer: &DnsAnswer) {
        let now = at.now;
        self.0[at.node.index()].answered(now, question, answer);
    }

    fn after(&mut self, at: &mut Moment<'_>, known: &dyn Knowledge, changes: &Changes<'_>) {
        if !changes.resolved {
            return;
        }
        let (now, node) = (at.now, at.node);
        let actor = at.facts.cast.actor(node);
        let keeps = actor.settings.discovery.forget_after;
        let row = &mut self.0[node.index()];
        for names in row.named.values() {
            for name in names {
                row.last.insert(name.clone(), now);
            }
        }
        // A node does not dial addresses of its own.
        let own = |name: &NodeName| at.facts.cast.at_address(name.address()) == Some(node);
        row.last
            .retain(|name, last| *last + keeps > now && !own(name));
        let lost = row.last.iter().find(|(name, _)| !known.is_candidate(name));
        at.demand(lost.is_none(), || {
            format!(
                "an address is kept for {keeps:?} after DNS last named it; {} has forgotten {lost:?} at {now:?}",
                actor.name
            )
        });
    }
}

impl Row {
    fn answered(&mut self, now: Instant, question: (QueryId, Family), answer: &DnsAnswer) {
        let DnsAnswer::Addresses {
            addresses,
            truncated,
        } = answer
        else {
            return;
        };
        let (Some(query), Some(own)) = (self.queries.get(question.0.0 as usize), &self.own) else {
            return;
        };
        let basename = query.basename.as_ref().unwrap_or(own.basename());
        let port = own.address().port();
        let names = addresses.iter().take(self.addresses_max);
        let names = names.map(|(ip, with)| {
            let address = SocketAddr::new(*ip, with.unwrap_or(port));
            NodeName::new(basename.clone(), address)
        });
        let mut names: BTreeSet<NodeName> = names
            .filter(|name| undialable(name.address()).is_none())
            .collect();
        let cut = *truncated || addresses.len() > self.addresses_max;
        if names.is_empty() && !cut {
            return;
        }
        names.remove(own);
        let before = self.named.entry(question).or_default();
        for name in before.iter() {
            self.last.insert(name.clone(), now);
        }
        if !cut {
            before.clear();
        }
        before.extend(names);
    }
}
