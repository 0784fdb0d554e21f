//! Invariant 14, for discovery: a node goes on dialling an address for as long as its settings say after good answers of
//! DNS last named it, however often it was absent before.
//!
//! This file keeps what the last good answer to each question named. An answer that fails or is empty says nothing; one that
//! was cut short only adds names.

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

/// What one life of a node was told.
#[derive(Debug, Default)]
struct Row {
    queries: Vec<lasso_core::discovery::Query>,
    own: Option<NodeName>,
    addresses_max: usize,
    /// By question, what its last good answer named.
    named: BTreeMap<(QueryId, Family), BTreeSet<NodeName>>,
    /// Until when some answer named it.
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
        // One that says goodbye, and that nobody names by then, may be forgotten at once.
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
        // Addresses of its own are none to dial.
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
