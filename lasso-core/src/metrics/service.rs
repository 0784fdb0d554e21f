//! A node's metrics as a whole: its queries, whom to ask for their answers, and what is kept.
//!
//! [`Registry`] holds the queries, [`Service`] decides what is gathered when, an [`Errand`] is one
//! gathering. Whoever drives them calls [`METHOD`] at the nodes that an errand names, and serves that
//! method by [`Registry::answer`].
//!
//! 1. A refresh asks every node that is responding when it starts, and this one's part is taken
//!    without a call.
//! 2. With [`MetricsSettings::enabled`] off nobody else is asked, and the coverage shows one node of
//!    those that there should be.
//! 3. A node that cannot answer, for whatever reason, is named with it and spoils nothing.
//! 4. An [`Errand`] needs nothing of the service: parts are read and merged outside of every lock.
//!
//! It neither calls nor waits, and does not know threads: the [`Store`]'s text says how many of them
//! read at once.
//!
//! ```
//! use core::time::Duration;
//! use lasso_core::metrics::SharedRecorder;
//! use lasso_core::metrics::queries::{Leaderboard, ProviderKey};
//! use lasso_core::metrics::recorder::{Call, Limits, Outcome, SeriesKey};
//! use lasso_core::metrics::service::{MetricsSettings, Registry, Responders, Service};
//! use lasso_core::plane::Answer;
//! use lasso_core::time::Instant;
//!
//! let now = Instant::ZERO;
//! let node = || {
//!     let recorder = SharedRecorder::new(1, Limits::default());
//!     let registry = Registry::shipped(&recorder);
//!     (recorder, registry)
//! };
//! let ((here, registry), (there, other)) = (node(), node());
//! let key = SeriesKey {
//!     profile: "free",
//!     provider: "alchemy",
//!     chain: "ethereum",
//!     method: "eth_call",
//!     region: "iad",
//! };
//! here.record(now, &key, Call::new(Outcome::Success, Duration::from_millis(100)));
//! there.record(now, &key, Call::new(Outcome::Success, Duration::from_millis(200)));
//!
//! let mut service = Service::new(MetricsSettings::default());
//! let mut changes = Vec::new();
//! let chain = ProviderKey { profile: "free".into(), chain: "ethereum".into() };
//! let subject = registry.subject::<Leaderboard>(&chain)?;
//! assert!(service.read::<Leaderboard>(now, &subject, &mut changes).value().is_none());
//!
//! let responders = || Responders {
//!     me: "app@10.0.0.1".parse().expect("a name"),
//!     others: vec!["app@10.0.0.2".parse().expect("a name")],
//!     total: 2,
//! };
//! let errand = service.poll_refresh(now, responders).expect("it was read");
//! let Answer::Done(part) = other.answer(now, &errand.question()) else {
//!     panic!("it knows the query")
//! };
//! let brought = errand.merge(now, vec![(errand.to()[0].clone(), Ok(part))]);
//! service.finish(now, errand.id(), brought, &mut changes);
//!
//! let readout = service.read::<Leaderboard>(now, &subject, &mut changes);
//! assert_eq!(readout.value().expect("it is there").providers[0].figures.calls, 2);
//! assert_eq!(readout.coverage().expect("it is there").responding, 2);
//! # Ok::<(), lasso_core::metrics::service::AskError>(())
//! ```

mod errand;
mod registry;
mod settings;
mod watches;

pub use errand::{Errand, Responders};
pub use registry::{
    AskError, CODE_NOT_REGISTERED, KEY_BYTES_MAX, QUERIES_MAX, QUERY_NAME_BYTES_MAX, RegisterError,
    Registry, Subject, Value,
};
pub use settings::MetricsSettings;
pub use watches::Watches;

use std::collections::BTreeSet;
use std::sync::Arc;

use super::queries::Query;
use super::store::{Ages, Brought, Change, Entry, Reading, Reads, RefreshId, Store, StoreCounters};
use crate::event::{self, TopologyEvent};
use crate::name::NodeName;
use crate::time::Instant;
use crate::topology::NodeState;

/// The method that every node serves for the others' refreshes.
pub const METHOD: &str = "lasso.metrics";

/// An answer of a query as it is now, and what it is worth.
pub type Readout<A> = Reading<Arc<Entry<A>>>;

/// Tells which topology events change whom a refresh asks.
///
/// These are nodes that connect or disconnect, and those that begin or cease to respond: a node that
/// has just connected is asked only once it responds. Who counts, not how many: as one ceases another
/// may begin.
#[derive(Debug, Clone, Default)]
pub struct Membership {
    /// The coverage's number, which this node itself is part of.
    count: Option<usize>,
    /// Others that respond. No more than there are members.
    responding: BTreeSet<NodeName>,
}

impl Membership {
    /// Notes an event; true when answers from before it are not the cluster's any more. Events are
    /// to be told in their order.
    pub fn changes_with(&mut self, event: &TopologyEvent) -> bool {
        let count = Some(event.coverage.responding);
        let mut differs = self.count != count;
        self.count = count;
        match &event.change {
            event::Change::NodeConnected { name, .. }
            | event::Change::NodeDisconnected { name, .. } => {
                self.responding.remove(name);
                differs = true;
            }
            event::Change::HealthUpdate { changed } => {
                for (name, state) in changed {
                    differs |= if matches!(state, NodeState::Responding | NodeState::Ready) {
                        self.responding.insert(name.clone())
                    } else {
                        self.responding.remove(name)
                    };
                }
            }
            event::Change::NodeIdentified { .. } => {}
        }
        differs
    }
}

/// See the module.
#[derive(Debug)]
pub struct Service {
    settings: MetricsSettings,
    store: Store<Subject, Value>,
}

impl Service {
    /// A service that keeps nothing yet.
    ///
    /// # Panics
    /// When the store's settings contradict each other; a node's settings are checked before.
    pub fn new(settings: MetricsSettings) -> Self {
        Service {
            store: Store::new(settings.store.clone()),
            settings,
        }
    }

    /// What is there, for readers in the service's own thread; see [`Store::read`].
    ///
    /// # Panics
    /// When `subject` is one of another query than `Q`.
    pub fn read<Q: Query>(
        &mut self,
        now: Instant,
        subject: &Subject,
        changes: &mut Vec<Change<Subject, Value>>,
    ) -> Readout<Q::Answer> {
        assert!(subject.key::<Q>().is_some(), "{subject:?} as {}", Q::NAME);
        let reading = self.store.read(now, subject, changes);
        Readout {
            entry: reading.entry.and_then(|entry| entry.typed().map(Arc::new)),
            age: reading.age,
            freshness: reading.freshness,
        }
    }

    /// See [`Store::want`].
    pub fn want(
        &mut self,
        now: Instant,
        subject: &Subject,
        changes: &mut Vec<Change<Subject, Value>>,
    ) {
        self.store.want(now, subject, changes);
    }

    /// See [`Store::watch_only`]; [`Watches`] counts who watches what.
    pub fn watch_only(
        &mut self,
        now: Instant,
        subjects: impl IntoIterator<Item = Subject>,
        changes: &mut Vec<Change<Subject, Value>>,
    ) {
        self.store.watch_only(now, subjects, changes);
    }

    /// The next gathering, if any is due: it is under way from now on. `responders` is called only
    /// then.
    pub fn poll_refresh(
        &mut self,
        now: Instant,
        responders: impl FnOnce() -> Responders,
    ) -> Option<Errand> {
        let refresh = self.store.poll_refresh(now)?;
        let mut responders = responders();
        if !self.settings.enabled {
            responders.others.clear();
        }
        self.store.expect(refresh.id, responders.total);
        Some(Errand::new(refresh, responders, &self.settings))
    }

    /// Takes what an errand has brought; see [`Store::finish`].
    pub fn finish(
        &mut self,
        now: Instant,
        id: RefreshId,
        brought: Brought<Value>,
        changes: &mut Vec<Change<Subject, Value>>,
    ) {
        self.store.finish(now, id, brought, changes);
    }

    /// See [`Store::membership_changed`], and [`Membership`] for when.
    pub fn membership_changed(&mut self, now: Instant) {
        self.store.membership_changed(now);
    }

    /// See [`Store::tick`].
    pub fn tick(&mut self, now: Instant, changes: &mut Vec<Change<Subject, Value>>) {
        self.store.tick(now, changes);
    }

    /// When [`Service::tick`] or [`Service::poll_refresh`] has something to do next.
    pub fn deadline(&self) -> Option<Instant> {
        self.store.deadline()
    }

    /// See [`Store::generation`].
    pub fn generation(&self) -> u64 {
        self.store.generation()
    }

    /// Until when an answer is good for what.
    pub fn ages(&self) -> &Ages {
        self.store.ages()
    }

    /// Keys of all queries that have an answer or wait for one.
    pub fn keys(&self) -> usize {
        self.store.keys()
    }

    /// What went through [`Service::read`].
    pub fn reads(&self) -> &Reads {
        self.store.reads()
    }

    /// What happened so far.
    pub fn counters(&self) -> &StoreCounters {
        self.store.counters()
    }
}

#[cfg(test)]
mod tests;
