//! What a program holds of its node's metrics.

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use lasso_core::metrics::queries::Query;
use lasso_core::metrics::recorder::{Call, RecorderCounters, SeriesKey};
use lasso_core::metrics::service::{AskError, RegisterError};
use lasso_core::metrics::store::{Reads, StoreCounters};
use lasso_core::time::Instant;

use super::Readout;
use super::boards::Board;
use super::state::State;
use super::watch::Watch;
use crate::Cluster;

impl Cluster {
    /// Counts a call that is over, of this node. Costs a look-up under a lock that is held for
    /// nothing but such look-ups and, now and then, for this node's part of an answer; it never waits
    /// for the network, and the state of the cluster changes nothing about it.
    pub fn record(&self, key: &SeriesKey<'_>, call: Call) {
        let state = &self.shared().metrics;
        state.recorder.record(state.now(), key, call);
    }

    /// What all nodes have recorded.
    pub fn metrics(&self) -> Metrics<'_> {
        Metrics {
            state: &self.shared().metrics,
        }
    }
}

/// The cluster's metrics, as this node has gathered them; see [`Cluster::metrics`].
#[derive(Clone, Copy)]
pub struct Metrics<'a> {
    state: &'a Arc<State>,
}

impl Metrics<'_> {
    /// The cluster's answer as it is known now; never waits. What is not fresh is gathered anew in the
    /// background, so that a later read gets it. While there is none, the readout is
    /// [`loading`](super::Freshness::Loading).
    ///
    /// Ages are by the system's clock as of its last tick, hence up to 10 ms too small. On Linux a clock
    /// that tests have paused (`tokio::time::pause`) is not followed.
    ///
    /// # Errors
    /// [`AskError`]: the query is not registered, or the key cannot be sent.
    pub fn get<Q: Query>(&self, key: &Q::Key) -> Result<Readout<Q::Answer>, AskError> {
        self.state.get::<Q>(key)
    }

    /// As [`Metrics::get`], but where there is no answer yet, waits for the first one: for as long as
    /// `timeout` at most, after which the readout is [`loading`](super::Freshness::Loading). However
    /// many wait, one refresh serves them. A refresh takes 5 s at most by default. Once the node has
    /// stopped nobody waits.
    ///
    /// # Errors
    /// As [`Metrics::get`].
    pub async fn get_or_wait<Q: Query>(
        &self,
        key: &Q::Key,
        timeout: Duration,
    ) -> Result<Readout<Q::Answer>, AskError> {
        // Before the read, so that no change is between the two.
        let mut shown = self.state.shown.subscribe();
        let board = self.state.board::<Q>()?;
        let (readout, wanted) = State::look(self.state.now(), &board, key);
        if !wanted {
            return Ok(readout);
        }
        let subject = self.state.subject::<Q>(key)?;
        if !readout.is_loading() {
            self.state.try_wish(subject);
            return Ok(readout);
        }
        let is_there = || !board.cache.peek(self.state.now(), key).is_loading();
        let wait = async {
            loop {
                if !self.state.wish(subject.clone()).await {
                    return;
                }
                // A wish comes to nothing when all places for keys are being refreshed.
                let again = tokio::time::timeout(WISH_AGAIN, async {
                    while !is_there() && shown.changed().await.is_ok() {}
                });
                if again.await.is_ok() {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(timeout, wait).await;
        self.state.read(self.state.now(), &board, key)
    }

    /// A reader of one query, for those who read often: it need not be looked up each time.
    ///
    /// # Errors
    /// [`AskError::NotRegistered`].
    pub fn reader<Q: Query>(&self) -> Result<Reader<Q>, AskError> {
        Ok(Reader {
            board: self.state.board::<Q>()?,
            state: Arc::clone(self.state),
        })
    }

    /// A stream of the cluster's answers to one key, as they change: nobody has to poll. It gives what there is, then each
    /// new answer, and each change of what the answer is worth: stale when a node came or went, and so on. One that reads
    /// late gets the newest only. While it is held, the key is gathered anew before its answer ceases to be fresh (10 s
    /// after the last gathering began, by default), and at once after a change of membership, whether anybody reads
    /// or not; all watchers of a key share that. It does not keep the node running.
    ///
    /// ```
    /// use lasso_net::Cluster;
    /// use lasso_net::metrics::{Leaderboard, ProviderKey};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let cluster = Cluster::builder().start().await?;
    /// let chain = ProviderKey { profile: "free".into(), chain: "ethereum".into() };
    /// let mut watch = cluster.metrics().watch::<Leaderboard>(&chain)?;
    /// let readout = watch.recv().await.expect("the node has not stopped");
    /// assert!(readout.value().expect("there is an answer").providers.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`AskError`]: the query is not registered, the key cannot be sent, or a quarter of
    /// [`keys_max`](super::StoreSettings::keys_max) other keys are watched already.
    pub fn watch<Q: Query>(&self, key: &Q::Key) -> Result<Watch<Q>, AskError> {
        Watch::new(self.state, key)
    }

    /// Lets the cluster answer a query of the application's own. To be done on every node, at its
    /// start: one where it was not is named in the answers' coverage, as having rejected the question.
    ///
    /// ```
    /// use lasso_net::Cluster;
    /// use lasso_net::metrics::Query;
    /// use lasso_core::name::NodeName;
    /// use lasso_core::time::Instant;
    ///
    /// /// How many sessions all nodes hold.
    /// struct Sessions(u64);
    ///
    /// impl Query for Sessions {
    ///     const NAME: &'static str = "app.sessions";
    ///     type Key = ();
    ///     type Partial = u64;
    ///     type Answer = u64;
    ///
    ///     fn collect(&self, _now: Instant, (): &()) -> u64 {
    ///         self.0
    ///     }
    ///
    ///     fn merge(&self, (): &(), parts: Vec<(NodeName, u64)>) -> u64 {
    ///         let sessions = parts.iter().map(|(_, sessions)| sessions);
    ///         sessions.fold(0, |all, sessions| all.saturating_add(*sessions))
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let cluster = Cluster::builder().start().await?;
    /// cluster.metrics().register(Sessions(3))?;
    /// let wait = std::time::Duration::from_secs(6);
    /// let readout = cluster.metrics().get_or_wait::<Sessions>(&(), wait).await?;
    /// assert_eq!(readout.value(), Some(&3));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`RegisterError`].
    pub fn register<Q: Query>(&self, query: Q) -> Result<(), RegisterError> {
        self.state.register(query)
    }

    /// How often what was read, and what that cost the cluster.
    pub fn stats(&self) -> MetricsStats {
        let (watched, watches_refused) = {
            let watches = self.state.watches.lock();
            (watches.keys(), watches.refused())
        };
        MetricsStats {
            enabled: self.state.settings.enabled,
            reads: self.state.reads(),
            keys: self.state.keys(),
            watched,
            watches_refused,
            generation: self.state.generation(),
            store: *self.state.counters.lock(),
            recorder: self.state.recorder.counters(),
            wishes_lost: self.state.wishes_lost(),
            changes_lost: self.state.changes_lost(),
        }
    }
}

impl fmt::Debug for Metrics<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics")
            .field("stats", &self.stats())
            .finish()
    }
}

/// Reads the answers of one query; see [`Metrics::reader`]. It does not keep the node running; when
/// that has stopped, what was gathered last ages.
pub struct Reader<Q: Query> {
    state: Arc<State>,
    board: Arc<Board<Q>>,
}

impl<Q: Query> Reader<Q> {
    /// As [`Metrics::get`].
    ///
    /// # Errors
    /// As [`Metrics::get`].
    pub fn get(&self, key: &Q::Key) -> Result<Readout<Q::Answer>, AskError> {
        self.get_at(self.now(), key)
    }

    /// The present, for [`Reader::get_at`]; late by a tick of the system's clock at most.
    pub fn now(&self) -> Instant {
        self.state.now()
    }

    /// As [`Reader::get`], at a moment that the caller has asked for: asking the system takes as long
    /// as the read, so whoever reads many keys in one go does better to ask once. Ages and freshness
    /// are as of `now`; one that is not of [`Reader::now`] makes them wrong, and does no other harm.
    ///
    /// # Errors
    /// As [`Metrics::get`].
    pub fn get_at(&self, now: Instant, key: &Q::Key) -> Result<Readout<Q::Answer>, AskError> {
        self.state.read(now, &self.board, key)
    }
}

impl<Q: Query> Clone for Reader<Q> {
    fn clone(&self) -> Self {
        Reader {
            state: Arc::clone(&self.state),
            board: Arc::clone(&self.board),
        }
    }
}

impl<Q: Query> fmt::Debug for Reader<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("query", &Q::NAME)
            .finish_non_exhaustive()
    }
}

/// What a node's metrics have done, as numbers that only grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricsStats {
    /// Whether other nodes are asked.
    pub enabled: bool,
    /// Reads, by what they got; their hit rate is [`Reads::hit_rate`].
    pub reads: Reads,
    /// Answers that are kept now.
    pub keys: usize,
    /// Keys that are watched now.
    pub watched: usize,
    /// Watchers that were refused, as too many other keys were watched.
    pub watches_refused: u64,
    /// Changes of membership so far, see [`Membership`](lasso_core::metrics::service::Membership).
    pub generation: u64,
    /// Refreshes, and what gave way to what.
    pub store: StoreCounters,
    /// Calls of this node.
    pub recorder: RecorderCounters,
    /// Reads that found nothing fresh when the task that refreshes had too much to do to hear of it.
    pub wishes_lost: u64,
    /// Changes of answers that no reader sees, as the code of a query's key panicked.
    pub changes_lost: u64,
}

/// How often whoever waits says so again.
const WISH_AGAIN: Duration = Duration::from_secs(1);
