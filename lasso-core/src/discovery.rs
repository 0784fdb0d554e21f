//! The nodes that might exist: candidates from DNS answers, static peers and nodes that dialled us.
//!
//! Each query runs for each family on its own schedule, so that a failing or slow one delays no other. Only
//! good answers count: they alone can make a candidate absent, and it is forgotten only if it is absent for a
//! while without a link.
//!
//! 1. A failed, empty or truncated answer removes no candidate.
//! 2. A static peer is never forgotten.
//! 3. A linked node is never forgotten.
//! 4. Own addresses are never candidates, nor are addresses that nobody can dial.
//! 5. Without queries, a node that only dialled us is forgotten like one that good answers do not name.
//!
//! It does not resolve names, and it does not dial: see [`crate::mesh`].

mod found;
mod own;
mod query;
mod telling;

use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

pub use found::{DiscoveryCounters, Found, Lookup};
pub use query::{Family, FamilyStatus, Query, QueryError, QueryId, QueryState, QueryStatus};

use crate::config::{DiscoverySettings, NodeConfig};
use crate::name::{NodeName, undialable};
use crate::node::DnsAnswer;
use crate::time::{Instant, earliest, part};
use own::Own;

/// One query and family: its schedule, and the names in its last good answer.
struct Source {
    query: QueryId,
    family: Family,
    next_poll: Instant,
    /// When the unanswered question was asked.
    asked_at: Option<Instant>,
    state: QueryState,
    /// Why the last try failed; only while the state is `Failed`.
    cause: Option<String>,
    /// Tries in a row that failed.
    failures: u32,
    /// The operator was told that this family fails while the other one works.
    told_failing: bool,
    named: BTreeSet<NodeName>,
    last_good: Option<Instant>,
}

/// One node that might exist.
struct Candidate {
    /// From the configuration: never forgotten.
    fixed: bool,
    /// The sources, by position, whose last good answer named it.
    named_by: BTreeSet<usize>,
    /// Since when good answers have not named it; `None` while one names it, or if there was no good answer
    /// since.
    absent_since: Option<Instant>,
    /// The identity that answered at this candidate's address, if it is another one.
    alias_of: Option<NodeName>,
}

/// The machine. See the module's text.
pub struct Discovery {
    settings: DiscoverySettings,
    /// From the first question to the second: at most an interval.
    first: Duration,
    me: NodeName,
    queries: Vec<Query>,
    /// The state of each query as last reported to the operator.
    told: Vec<QueryState>,
    sources: Vec<Source>,
    candidates: BTreeMap<NodeName, Candidate>,
    /// Names that turned out to be this node's own.
    own: Own,
    /// Candidates that neither a source nor the configuration names.
    unnamed: BTreeSet<NodeName>,
    /// Whether the number of named nodes changed since the last [`Discovery::take_named`].
    named_changed: bool,
    counters: DiscoveryCounters,
}

impl Discovery {
    /// Starts with the static peers as candidates and every query due at once.
    pub fn new(config: &NodeConfig) -> Self {
        let mut sources = Vec::new();
        for (position, query) in config.queries.iter().enumerate() {
            let families: &[Family] = if query.srv {
                &[Family::Srv]
            } else {
                &[Family::A, Family::Aaaa]
            };
            sources.extend(families.iter().map(|&family| Source {
                query: QueryId(position as u32),
                family,
                next_poll: Instant::ZERO,
                asked_at: None,
                state: QueryState::Pending,
                cause: None,
                failures: 0,
                told_failing: false,
                named: BTreeSet::new(),
                last_good: None,
            }));
        }
        let fixed = |peer: &NodeName| (peer.clone(), Candidate::new(true));
        Discovery {
            settings: config.settings.discovery.clone(),
            first: config.settings.discovery.poll_interval,
            me: config.name.clone(),
            told: vec![QueryState::Pending; config.queries.len()],
            queries: config.queries.clone(),
            sources,
            candidates: config
                .peers
                .iter()
                .filter(|&peer| *peer != config.name)
                .map(fixed)
                .collect(),
            own: Own::new(config.name.clone()),
            unnamed: BTreeSet::new(),
            named_changed: true,
            counters: DiscoveryCounters::default(),
        }
    }

    /// Draws when each query runs for the second time, after at least half an interval, so that nodes that started
    /// together do not query together.
    #[must_use]
    pub(crate) fn out_of_phase(mut self, second: u32) -> Self {
        self.first = part(self.settings.poll_interval, second);
        self
    }

    /// Sends due questions, gives up on unanswered ones, and forgets candidates that have been absent for long.
    pub fn tick(&mut self, now: Instant, is_linked: impl Fn(&NodeName) -> bool) -> Found {
        let mut found = Found::default();
        for position in 0..self.sources.len() {
            let limit = self.limit(self.sources[position].family);
            let source = &mut self.sources[position];
            if source.asked_at.is_some_and(|at| now >= at + limit) {
                source.asked_at = None;
                source.fails(format!("no answer within {limit:?}"));
                self.counters.failures += 1;
                self.tell(position, &mut found);
            }
            let source = &mut self.sources[position];
            if now >= source.next_poll && source.asked_at.is_none() {
                source.asked_at = Some(now);
                source.next_poll = if source.next_poll == Instant::ZERO {
                    now + self.first
                } else {
                    now + self.settings.poll_interval
                };
                self.counters.lookups += 1;
                found.lookups.push(Lookup {
                    query: source.query,
                    name: self.queries[source.query.0 as usize].name.clone(),
                    family: source.family,
                });
            }
        }
        self.forget(now, is_linked, &mut found);
        found
    }

    /// Handles an answer. An unrequested one is handled like any other; one for a query that is not configured
    /// is ignored.
    pub fn answered(
        &mut self,
        now: Instant,
        query: QueryId,
        family: Family,
        answer: DnsAnswer,
    ) -> Found {
        let mut found = Found::default();
        let this = |s: &Source| s.query == query && s.family == family;
        let Some(position) = self.sources.iter().position(this) else {
            return found;
        };
        self.sources[position].asked_at = None;
        match answer {
            DnsAnswer::Failed(cause) => {
                self.sources[position].fails(cause);
                self.counters.failures += 1;
            }
            DnsAnswer::Empty => self.sources[position].succeeds(QueryState::Empty),
            DnsAnswer::Addresses {
                addresses,
                truncated,
            } => {
                let cut = truncated || addresses.len() > self.settings.addresses_max;
                let names = self.names(query, &addresses);
                let state = match names.is_empty() {
                    _ if cut => QueryState::Truncated,
                    // An answer without an address that can be dialled does not list nodes.
                    true => QueryState::Empty,
                    false => QueryState::Ok,
                };
                self.sources[position].succeeds(state);
                if state != QueryState::Empty {
                    self.named(now, position, names, cut, &mut found);
                }
            }
        }
        self.tell(position, &mut found);
        found
    }

    /// A node dialled us, or answered at another one's address: adds it as a candidate of its own.
    pub fn met(&mut self, now: Instant, name: &NodeName) -> bool {
        // Its identity is proven: its address no longer leads back to this node, if it ever did.
        self.own.remove(name);
        if self.own.contains(name) || self.candidates.contains_key(name) {
            return false;
        }
        if self.unnamed.len() >= LEARNED_MAX {
            self.counters.learned_shed += 1;
            return false;
        }
        let mut candidate = Candidate::new(false);
        candidate.absent_since = self.sources.is_empty().then_some(now);
        self.candidates.insert(name.clone(), candidate);
        self.unnamed.insert(name.clone());
        true
    }

    /// The link with a node is gone. If no source names the node, it is forgotten after the usual time from now
    /// on. If it also said goodbye, it is forgotten at once, and this returns `true`.
    pub fn lost(&mut self, now: Instant, name: &NodeName, left: bool) -> bool {
        if !self.unnamed.contains(name) {
            return false;
        }
        if left {
            self.candidates.remove(name);
            self.unnamed.remove(name);
            self.counters.forgotten += 1;
            return true;
        }
        if let Some(candidate) = self.candidates.get_mut(name)
            && candidate.absent_since.is_some()
        {
            candidate.absent_since = Some(now);
        }
        false
    }

    /// `identity` answered at the address of `candidate`. Both count as one node.
    pub fn answers_as(&mut self, candidate: &NodeName, identity: &NodeName) {
        if let Some(entry) = self.candidates.get_mut(candidate) {
            let alias_of = (candidate != identity).then(|| identity.clone());
            self.named_changed |= entry.alias_of != alias_of;
            entry.alias_of = alias_of;
        }
    }

    /// The address of `candidate` is this node's own: it is not a candidate while anything names it.
    pub fn is_own(&mut self, candidate: &NodeName) {
        let Some(was) = self.candidates.remove(candidate) else {
            return;
        };
        self.unnamed.remove(candidate);
        self.named_changed = true;
        self.counters.learned_shed += u64::from(!self.own.insert(candidate, was));
    }

    /// The next deadline.
    pub fn deadline(&self) -> Option<Instant> {
        let of_source = |s: &Source| match s.asked_at {
            Some(at) => at + self.limit(s.family),
            None => s.next_poll,
        };
        let polls = self.sources.iter().map(of_source).min();
        let absent = |name: &NodeName| self.candidates.get(name).and_then(|c| c.absent_since);
        // Absent but linked nodes are checked once per interval.
        let forget = self.unnamed.iter().filter_map(absent).min();
        let forget = earliest(forget, self.own.absent_since());
        earliest(polls, forget.map(|since| self.next_forget(since)))
    }

    /// The number of distinct nodes that discovery names: static peers, all nodes in the last good answers, and
    /// this node. Several addresses of one identity count once.
    pub fn nodes_named(&self) -> usize {
        let named = self
            .candidates
            .iter()
            .filter(|(_, c)| c.fixed || !c.named_by.is_empty())
            .map(|(name, c)| c.alias_of.as_ref().unwrap_or(name))
            .filter(|name| !self.own.contains(name));
        named.collect::<BTreeSet<_>>().len() + 1
    }

    /// [`Discovery::nodes_named`], if it may have changed since this was last called.
    pub fn take_named(&mut self) -> Option<usize> {
        core::mem::take(&mut self.named_changed).then(|| self.nodes_named())
    }

    /// True when the node is a candidate.
    pub fn is_candidate(&self, name: &NodeName) -> bool {
        self.candidates.contains_key(name)
    }

    /// The identity that answered at the candidate's address, if it is another one.
    pub fn alias_of(&self, candidate: &NodeName) -> Option<&NodeName> {
        self.candidates.get(candidate)?.alias_of.as_ref()
    }

    /// All candidates, in the order of their names.
    pub fn candidates(&self) -> impl Iterator<Item = &NodeName> {
        self.candidates.keys()
    }

    /// The counters.
    pub fn counters(&self) -> DiscoveryCounters {
        self.counters
    }

    /// The names in an answer, own ones included, as far as they can be dialled.
    fn names(&mut self, query: QueryId, addresses: &[(IpAddr, Option<u16>)]) -> BTreeSet<NodeName> {
        let query = &self.queries[query.0 as usize];
        let basename = query.basename.as_ref().unwrap_or(self.me.basename());
        let mut names = BTreeSet::new();
        for &(ip, port) in addresses.iter().take(self.settings.addresses_max) {
            // All nodes of a deployment listen on one port: this node's own, if DNS names none.
            let address = SocketAddr::new(ip, port.unwrap_or(self.me.address().port()));
            if undialable(address).is_some() {
                self.counters.refused += 1;
            } else {
                names.insert(NodeName::new(basename.clone(), address));
            }
        }
        names
    }

    /// How long a question may take. Services need two questions, one after the other.
    fn limit(&self, family: Family) -> Duration {
        match family {
            Family::A | Family::Aaaa => self.settings.lookup_timeout,
            Family::Srv => self.settings.lookup_timeout.saturating_mul(2),
        }
    }

    fn named(
        &mut self,
        now: Instant,
        position: usize,
        mut names: BTreeSet<NodeName>,
        cut: bool,
        found: &mut Found,
    ) {
        self.counters.truncated += u64::from(cut);
        self.own.named(position, &names, cut);
        names.retain(|name| !self.own.contains(name));
        let names = self.admitted(names);
        if !cut && self.sources[position].named == names {
            // The usual case: nothing changed.
            self.sources[position].last_good = Some(now);
            self.mark_absent(now);
            return;
        }
        self.named_changed = true;
        for name in &names {
            let candidate = self.candidates.entry(name.clone()).or_insert_with(|| {
                found.added.push(name.clone());
                Candidate::new(false)
            });
            candidate.named_by.insert(position);
            candidate.absent_since = None;
            self.unnamed.remove(name);
        }
        let source = &mut self.sources[position];
        if cut {
            source.named.extend(names);
            return;
        }
        source.last_good = Some(now);
        let before = core::mem::replace(&mut source.named, names);
        for name in before.difference(&self.sources[position].named) {
            let Some(candidate) = self.candidates.get_mut(name) else {
                continue;
            };
            candidate.named_by.remove(&position);
            if candidate.named_by.is_empty() && !candidate.fixed {
                self.unnamed.insert(name.clone());
            }
        }
        self.mark_absent(now);
    }

    /// Adds the names that are candidates already, and new ones as far as there is room.
    fn admitted(&mut self, mut names: BTreeSet<NodeName>) -> BTreeSet<NodeName> {
        let mut room = CANDIDATES_MAX.saturating_sub(self.candidates.len());
        let found = names.len();
        names.retain(|name| {
            if self.candidates.contains_key(name) {
                return true;
            }
            let fits = room > 0;
            room = room.saturating_sub(1);
            fits
        });
        self.counters.named_shed += (found - names.len()) as u64;
        names
    }

    /// After a good answer: candidates that no source names are absent from now on.
    fn mark_absent(&mut self, now: Instant) {
        self.own.mark_absent(now);
        for name in &self.unnamed {
            if let Some(candidate) = self.candidates.get_mut(name) {
                candidate.absent_since.get_or_insert(now);
            }
        }
    }

    fn next_forget(&self, since: Instant) -> Instant {
        since + self.settings.forget_after
    }

    fn forget(&mut self, now: Instant, is_linked: impl Fn(&NodeName) -> bool, found: &mut Found) {
        self.own.forget(now, self.settings.forget_after);
        let mut gone = Vec::new();
        for name in &self.unnamed {
            let Some(candidate) = self.candidates.get_mut(name) else {
                continue;
            };
            let Some(since) = candidate.absent_since else {
                continue;
            };
            if now < since + self.settings.forget_after {
                continue;
            }
            if is_linked(name) {
                candidate.absent_since = Some(now);
            } else {
                gone.push(name.clone());
            }
        }
        for name in gone {
            self.candidates.remove(&name);
            self.unnamed.remove(&name);
            self.counters.forgotten += 1;
            found.forgotten.push(name);
        }
    }
}

impl Source {
    fn fails(&mut self, cause: String) {
        self.state = QueryState::Failed;
        self.cause = Some(cause);
        self.failures = self.failures.saturating_add(1);
    }

    fn succeeds(&mut self, state: QueryState) {
        self.state = state;
        self.cause = None;
        self.failures = 0;
    }
}

impl Candidate {
    fn new(fixed: bool) -> Self {
        Candidate {
            fixed,
            named_by: BTreeSet::new(),
            absent_since: None,
            alias_of: None,
        }
    }
}

impl fmt::Debug for Discovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Discovery")
            .field("candidates", &self.candidates.len())
            .field("unnamed", &self.unnamed.len())
            .finish_non_exhaustive()
    }
}

/// The most candidates, four times the largest tested cluster: truncated answers name other nodes each time and
/// remove none, and forged DNS answers must not fill memory.
const CANDIDATES_MAX: usize = 4096;
/// The most candidates that only dialled us; the same as the bound on remembered disconnected nodes.
const LEARNED_MAX: usize = 1024;

#[cfg(test)]
mod tests;
