//! What a viewer's states say of each provider, put together over regions and nodes.
//!
//! States come one by one, each as one node has it. A viewer that wants to know how a provider is doing
//! hands them in here, and reads rows: its heights by region with the lag of each and the worst, what
//! each node had in a row of failures and successes, and its ten busiest methods over all nodes.
//!
//! The lag of a region is what it is behind the newest block that any region takes for its chain's; where none says, behind
//! the provider's own newest.
//!
//! 1. A row is there exactly while a state of its provider is.
//! 2. It holds what deliveries hold, and not more than [`STATES_MAX`] states: beyond that it begins anew, counted.
//!
//! ```
//! use lasso_core::events::changes::Changes;
//! use lasso_core::events::providers::Providers;
//!
//! // Of each delivery: `providers.apply(&delivery.states)`.
//! let mut providers = Providers::new();
//! let whole = providers.apply(&Changes { whole: true, changed: Vec::new(), gone: Vec::new() });
//! assert!(whole.is_empty() && providers.rows().is_empty());
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;

use super::busiest::{MethodCalls, most};
use super::changes::Changes;
use super::routing::{ProviderHealth, ProviderStatus, RoutingEvent};
use super::{Group, StateKey};
use crate::name::{Label, NodeName};

/// Most states that are held. With the default settings a stream holds 500 of each group.
pub const STATES_MAX: usize = 4_096;

/// One provider of a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProviderRow {
    /// The chain.
    pub chain: Label,
    /// The provider.
    pub provider: Label,
    /// Its newest block by region.
    pub heights: Vec<RegionHeight>,
    /// The greatest lag of a region; `None` without heights.
    pub worst_lag: Option<u64>,
    /// What each node has of it.
    pub nodes: Vec<NodeRow>,
    /// Its busiest methods over all nodes in the last minute, most first. What is not among a node's ten
    /// counts as none of that node's.
    pub methods: Vec<MethodCalls>,
}

/// A provider's newest block, seen from one region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RegionHeight {
    /// The region.
    pub region: Label,
    /// The block.
    pub height: u64,
    /// Blocks that it is behind.
    pub lag: u64,
}

/// A provider, as one node has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NodeRow {
    /// The node.
    pub source: NodeName,
    /// That node's region.
    pub region: Label,
    /// How it is doing.
    pub status: ProviderStatus,
    /// Requests that failed since the last one that did not.
    pub failures_in_row: u32,
    /// Requests that were answered since the last one that was not.
    pub successes_in_row: u32,
}

/// The view. See the module's text.
#[derive(Debug, Clone, Default)]
pub struct Providers {
    /// By chain and provider.
    held: BTreeMap<(Label, Label), BTreeMap<StateKey, Arc<RoutingEvent>>>,
    states: usize,
    restarts: u64,
}

impl Providers {
    /// Nothing was told.
    pub fn new() -> Self {
        Providers::default()
    }

    /// States changed: the rows that may be different now. A row without heights and nodes is gone.
    pub fn apply(&mut self, changes: &Changes<StateKey, Arc<RoutingEvent>>) -> Vec<ProviderRow> {
        let (mut touched, mut chains) = (BTreeSet::new(), BTreeSet::new());
        if changes.whole {
            touched.extend(core::mem::take(&mut self.held).into_keys());
            self.states = 0;
        }
        for key in &changes.gone {
            let place = (key.chain.clone(), key.subject.clone());
            let Some(held) = self.held.get_mut(&place) else {
                continue;
            };
            self.states -= usize::from(held.remove(key).is_some());
            if held.is_empty() {
                self.held.remove(&place);
            }
            if key.group == Group::Height {
                chains.insert(key.chain.clone());
            }
            touched.insert(place);
        }
        for (key, event) in &changes.changed {
            if !matches!(**event, RoutingEvent::Health(_) | RoutingEvent::Height(_)) {
                continue;
            }
            let place = (key.chain.clone(), key.subject.clone());
            let held = self.held.get(&place);
            let is_held = held.is_some_and(|held| held.contains_key(key));
            if !is_held && self.states >= STATES_MAX {
                touched.extend(core::mem::take(&mut self.held).into_keys());
                self.states = 0;
                self.restarts = self.restarts.saturating_add(1);
            }
            if matches!(**event, RoutingEvent::Height(_)) {
                chains.insert(key.chain.clone());
            }
            let held = self.held.entry(place.clone()).or_default();
            let is_new = held.insert(key.clone(), event.clone()).is_none();
            self.states += usize::from(is_new);
            touched.insert(place);
        }
        // With the newest block, all providers of a chain may lag by another number.
        let places = self.held.keys().filter(|(chain, _)| chains.contains(chain));
        touched.extend(places.cloned());
        touched.iter().map(|place| self.row(place)).collect()
    }

    /// All rows.
    pub fn rows(&self) -> Vec<ProviderRow> {
        self.held.keys().map(|place| self.row(place)).collect()
    }

    /// How often it began anew as there were too many states.
    pub fn restarts(&self) -> u64 {
        self.restarts
    }

    fn row(&self, place: &(Label, Label)) -> ProviderRow {
        let (chain, provider) = place.clone();
        let heights = self.heights(place);
        ProviderRow {
            worst_lag: heights.iter().map(|one| one.lag).max(),
            heights,
            nodes: self.health(place).map(NodeRow::of).collect(),
            methods: self.methods(place),
            chain,
            provider,
        }
    }

    fn states(&self, place: &(Label, Label)) -> impl Iterator<Item = &RoutingEvent> {
        let held = self.held.get(place).into_iter();
        held.flat_map(|held| held.values().map(|event| &**event))
    }

    fn health(&self, place: &(Label, Label)) -> impl Iterator<Item = &ProviderHealth> {
        self.states(place).filter_map(|event| match event {
            RoutingEvent::Health(health) => Some(health),
            _ => None,
        })
    }

    fn heights(&self, place: &(Label, Label)) -> Vec<RegionHeight> {
        let of = |place| {
            self.states(place).filter_map(|event| match event {
                RoutingEvent::Height(height) => Some(height),
                _ => None,
            })
        };
        let chain = self.held.keys().filter(|(chain, _)| *chain == place.0);
        let newest = chain.flat_map(of).filter_map(|height| height.consensus);
        let own = || of(place).map(|height| height.height).max();
        let newest = newest.max().or_else(own).unwrap_or_default();
        let heights = of(place).map(|height| RegionHeight {
            region: height.region.clone(),
            height: height.height,
            lag: newest.saturating_sub(height.height),
        });
        heights.collect()
    }

    fn methods(&self, place: &(Label, Label)) -> Vec<MethodCalls> {
        let mut sums: BTreeMap<&Label, u64> = BTreeMap::new();
        for one in self.health(place).flat_map(|health| &health.methods) {
            let sum = sums.entry(&one.method).or_default();
            *sum = sum.saturating_add(one.calls);
        }
        let calls = sums.into_iter();
        most(calls.map(|(method, calls)| MethodCalls {
            method: method.clone(),
            calls,
        }))
    }
}

impl NodeRow {
    fn of(health: &ProviderHealth) -> Self {
        NodeRow {
            source: health.source.clone(),
            region: health.region.clone(),
            status: health.status,
            failures_in_row: health.failures_in_row,
            successes_in_row: health.successes_in_row,
        }
    }
}

#[cfg(test)]
mod tests;
