//! What readers, recorders and peers find of a node's metrics, without the node and without whoever
//! refreshes.

use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

use arc_swap::ArcSwap;
use lasso_core::metrics::SharedRecorder;
use lasso_core::metrics::queries::{AllMethods, Leaderboard, MethodPerformance, Query, Realtime};
use lasso_core::metrics::service::{
    AskError, MetricsSettings, RegisterError, Registry, Subject, Value, Watches,
};
use lasso_core::metrics::store::{Change, Reads, StoreCounters};
use lasso_core::time::Instant;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, watch};

use super::Readout;
use super::boards::{Board, Boards};
use crate::log::Lines;

/// Wishes of readers that may wait for the refresher. What is lost is wished again: by the next
/// reader, or a second later.
const WISHES_MAX: usize = 1_024;

/// See the module.
pub(crate) struct State {
    pub(super) settings: MetricsSettings,
    pub(super) recorder: SharedRecorder,
    clock: Box<dyn Fn() -> Instant + Send + Sync>,
    registry: ArcSwap<Registry>,
    /// Held by whoever registers a query.
    registering: Mutex<()>,
    boards: Boards,
    lines: Arc<Lines>,
    /// Grows with each change of membership: what was shown before is fresh no more, at once.
    generation: Arc<AtomicU64>,
    /// Which keys are watched. Under its lock no other is taken, and nobody is woken.
    pub(super) watches: Mutex<Watches>,
    /// Tells the refresher that the generation has grown, or that other keys are watched.
    pub(super) stirred: Notify,
    wishes: mpsc::Sender<Subject>,
    wishes_lost: AtomicU64,
    changes_lost: AtomicU64,
    /// Tells whoever waits that boards have changed.
    pub(super) shown: watch::Sender<()>,
    /// What the store has done, as of its last turn.
    pub(super) counters: Mutex<StoreCounters>,
}

impl State {
    /// A node's metrics, and where their refresher hears what is wished. The clock is the node's,
    /// and may be late by a tick of the system's.
    pub(crate) fn new(
        settings: MetricsSettings,
        seed: u64,
        clock: Box<dyn Fn() -> Instant + Send + Sync>,
        lines: Arc<Lines>,
    ) -> (Arc<Self>, mpsc::Receiver<Subject>) {
        let recorder = SharedRecorder::new(seed, settings.recorder.clone());
        let generation = Arc::new(AtomicU64::new(0));
        let boards = Boards::new(settings.store.ages, &generation);
        boards.add::<Leaderboard>();
        boards.add::<Realtime>();
        boards.add::<MethodPerformance>();
        boards.add::<AllMethods>();
        let watches = Watches::new(settings.store.watched_max());
        let (wishes, wished) = mpsc::channel(WISHES_MAX);
        let state = State {
            registry: ArcSwap::from_pointee(Registry::shipped(&recorder)),
            recorder,
            settings,
            clock,
            registering: Mutex::new(()),
            boards,
            lines,
            generation,
            watches: Mutex::new(watches),
            stirred: Notify::new(),
            wishes,
            wishes_lost: AtomicU64::new(0),
            changes_lost: AtomicU64::new(0),
            shown: watch::Sender::new(()),
            counters: Mutex::default(),
        };
        (Arc::new(state), wished)
    }

    pub(crate) fn lines(&self) -> &Arc<Lines> {
        &self.lines
    }

    pub(super) fn now(&self) -> Instant {
        (self.clock)()
    }

    pub(super) fn registry(&self) -> Arc<Registry> {
        self.registry.load_full()
    }

    pub(super) fn register<Q: Query>(&self, query: Q) -> Result<(), RegisterError> {
        let _registering = self.registering.lock();
        let mut registry = Registry::clone(&self.registry.load());
        registry.register(query)?;
        // Before anybody can ask.
        self.boards.add::<Q>();
        self.registry.store(Arc::new(registry));
        Ok(())
    }

    pub(super) fn board<Q: Query>(&self) -> Result<Arc<Board<Q>>, AskError> {
        self.boards
            .of::<Q>()
            .ok_or(AskError::NotRegistered(Q::NAME))
    }

    pub(super) fn get<Q: Query>(&self, key: &Q::Key) -> Result<Readout<Q::Answer>, AskError> {
        let board = self.boards.look::<Q>();
        self.read(
            self.now(),
            board.ok_or(AskError::NotRegistered(Q::NAME))?,
            key,
        )
    }

    #[inline]
    pub(super) fn read<Q: Query>(
        &self,
        now: Instant,
        board: &Board<Q>,
        key: &Q::Key,
    ) -> Result<Readout<Q::Answer>, AskError> {
        let (readout, wanted) = Self::look(now, board, key);
        if wanted {
            self.try_wish(self.subject::<Q>(key)?);
        }
        Ok(readout)
    }

    /// What is there, and whether the refresher is to be told of it.
    #[inline]
    pub(super) fn look<Q: Query>(
        now: Instant,
        board: &Board<Q>,
        key: &Q::Key,
    ) -> (Readout<Q::Answer>, bool) {
        let mut wanted = false;
        let reading = board.cache.read(now, key, || wanted = true);
        (reading, wanted)
    }

    /// Waits for nobody.
    #[cold]
    pub(super) fn try_wish(&self, subject: Subject) {
        let lost = self.wishes.try_send(subject).is_err();
        self.wishes_lost
            .fetch_add(u64::from(lost), Ordering::Relaxed);
    }

    #[cold]
    pub(super) fn subject<Q: Query>(&self, key: &Q::Key) -> Result<Subject, AskError> {
        self.registry.load().subject::<Q>(key)
    }

    /// Waits for room where [`State::try_wish`] does not. False when the node has stopped, so that
    /// nobody hears anything any more.
    pub(super) async fn wish(&self, subject: Subject) -> bool {
        self.wishes.send(subject).await.is_ok()
    }

    /// A node came, went, or began or ceased to respond.
    pub(crate) fn membership_changed(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        self.stirred.notify_one();
    }

    /// Has the answer renewed until [`State::unwatch`].
    pub(super) fn watch(&self, subject: &Subject) -> Result<(), AskError> {
        self.watches.lock().add(subject)?;
        self.stirred.notify_one();
        Ok(())
    }

    pub(super) fn unwatch(&self, subject: &Subject) {
        self.watches.lock().remove(subject);
        self.stirred.notify_one();
    }

    /// Waits until nobody refreshes any more, as the node has stopped.
    pub(super) async fn stopped(&self) {
        self.wishes.closed().await;
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Shows what the store has changed.
    pub(super) fn show(&self, changes: &mut Vec<Change<Subject, Value>>) {
        if !changes.is_empty() {
            let lost = self.boards.follow(changes.drain(..), &self.lines);
            self.changes_lost.fetch_add(lost, Ordering::Relaxed);
            self.shown.send_replace(());
        }
    }

    pub(super) fn reads(&self) -> Reads {
        self.boards.reads()
    }

    pub(super) fn keys(&self) -> usize {
        self.boards.keys()
    }

    pub(super) fn changes_lost(&self) -> u64 {
        self.changes_lost.load(Ordering::Relaxed)
    }

    pub(super) fn wishes_lost(&self) -> u64 {
        self.wishes_lost.load(Ordering::Relaxed)
    }
}
