//! What is known of one scope, and who is looking at it.
//!
//! A feed composes the other machines of [`events`](super). It begins with its first viewer. While it
//! has viewers it has deadlines; between its last viewer and its end it goes on taking in what comes,
//! so that a page that is loaded anew finds everything, but nothing runs.
//!
//! 1. A viewer gets an event either in its snapshot or in a batch, never in both, and not twice.
//! 2. Without viewers nothing is due but the end.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::batch::{Batch, Flush};
use super::changes::Changes;
use super::dedup::{Dedup, DedupCounters};
use super::figures::{Board, Figures, Row};
use super::recent::Recent;
use super::settings::EventSettings;
use super::sizes::LiveSizes;
use super::states::States;
use super::viewer::{Scope, Viewer, ViewerId};
use super::windows::{WindowCounters, Windows};
use super::{Kind, StateKey, StreamEvent, supersedes};
use crate::time::{Instant, earliest};
use crate::topology::Coverage;

/// What a viewer gets at a time: a snapshot, a batch, or a heartbeat, in which nothing is but that it
/// came.
#[derive(Debug, Clone)]
pub struct Delivery<E> {
    /// Events that the viewer did not get, before or between those that follow: it reads too slowly, or
    /// there were more than its rate, and of each batch it lost the oldest; or they, or states, did not
    /// come to this node, and nobody knows which.
    pub lost: u64,
    /// Events: in a snapshot the newest by time, newest first; else in the order in which they came.
    pub events: Vec<Arc<E>>,
    /// States that changed.
    pub states: Changes<StateKey, Arc<E>>,
    /// Figures that changed by what matters; rows that are gone, such as those of a region whose events
    /// have all aged out.
    pub figures: Changes<Row, Figures>,
    /// How much of the cluster this speaks for, where that changed.
    pub coverage: Option<Arc<Coverage>>,
}

impl<E> Delivery<E> {
    /// True when it says nothing but that the stream lives.
    pub fn is_heartbeat(&self) -> bool {
        self.lost == 0
            && self.events.is_empty()
            && self.states.is_empty()
            && self.figures.is_empty()
            && self.coverage.is_none()
    }
}

/// What a feed has done, as numbers that only grow, unless it says that they are of now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FeedCounters {
    /// What became of ids.
    pub dedup: DedupCounters,
    /// How far back duplicates are known, now; of several feeds the shortest, of none zero.
    pub dedup_reach: Duration,
    /// What became of calls.
    pub windows: WindowCounters,
    /// Batches that went.
    pub batches: u64,
    /// Heartbeats that went.
    pub heartbeats: u64,
    /// States dropped since their group was full.
    pub states_shed: u64,
    /// States dropped by age.
    pub states_expired: u64,
    /// States that came after a newer value.
    pub states_outdated: u64,
    /// Events handed to viewers, once for each.
    pub delivered: u64,
    /// Events that viewers were told they had lost.
    pub lost: u64,
    /// Events that viewers would have been given that were not theirs: a bug, if it is not 0.
    pub withheld: u64,
    /// Events and states that wait for their batch, now.
    pub pending: u64,
    /// Events that wait for viewers to read them, now.
    pub waiting: u64,
}

impl FeedCounters {
    /// Adds what another feed counted; of the two reaches the shorter one stays.
    pub(super) fn add(&mut self, other: &FeedCounters) {
        self.dedup.fresh += other.dedup.fresh;
        self.dedup.duplicates += other.dedup.duplicates;
        self.dedup.unnamed += other.dedup.unnamed;
        self.dedup.cut_short += other.dedup.cut_short;
        self.dedup_reach = match (self.dedup_reach, other.dedup_reach) {
            (Duration::ZERO, reach) | (reach, Duration::ZERO) => reach,
            (one, other) => one.min(other),
        };
        self.windows.recorded += other.windows.recorded;
        self.windows.late += other.windows.late;
        self.windows.shed += other.windows.shed;
        self.batches += other.batches;
        self.heartbeats += other.heartbeats;
        self.states_shed += other.states_shed;
        self.states_expired += other.states_expired;
        self.states_outdated += other.states_outdated;
        self.delivered += other.delivered;
        self.lost += other.lost;
        self.withheld += other.withheld;
        self.pending += other.pending;
        self.waiting += other.waiting;
    }

    /// Without what was of the moment.
    pub(super) fn of_the_past(self) -> FeedCounters {
        FeedCounters {
            dedup_reach: Duration::ZERO,
            pending: 0,
            waiting: 0,
            ..self
        }
    }
}

/// The machine. See the module's text.
pub(super) struct Feed<E> {
    settings: EventSettings,
    scope: Scope,
    dedup: Dedup,
    batch: Batch<StateKey, Arc<E>>,
    recent: Recent<Arc<E>>,
    windows: Windows,
    board: Board,
    states: States<Arc<E>>,
    coverage: Option<Arc<Coverage>>,
    /// Grows with every coverage.
    coverage_version: u64,
    viewers: BTreeMap<ViewerId, Viewer<E>>,
    /// Until when it is kept without viewers: for the linger after the last that has looked.
    kept_until: Instant,
    /// The deadline that whoever holds it knows of.
    pub(super) scheduled: Option<Instant>,
    /// When the figures were last looked at.
    looked_at: Option<Instant>,
    /// Calls came since.
    unseen: bool,
    cleaned_at: Instant,
    counters: FeedCounters,
}

impl<E: StreamEvent> Feed<E> {
    pub(super) fn new(now: Instant, scope: Scope, settings: EventSettings, key: [u64; 2]) -> Self {
        let s = &settings;
        Feed {
            dedup: Dedup::new(s.dedup_window, s.dedup_max, key),
            batch: Batch::new(s.batch_interval, s.batch_max, s.heartbeat),
            recent: Recent::new(s.recent_max),
            windows: Windows::new(now, s.series_max, s.samples_max),
            board: Board::new(s.thresholds.clone()),
            states: States::new(s.state_age_max, s.states_max),
            coverage: None,
            coverage_version: 0,
            viewers: BTreeMap::new(),
            kept_until: now,
            scheduled: None,
            looked_at: None,
            unseen: false,
            cleaned_at: now,
            counters: FeedCounters::default(),
            scope,
            settings,
        }
    }

    /// A viewer comes. What it gets first is all that is known; what waits for a batch comes with it.
    pub(super) fn enter(&mut self, now: Instant, id: ViewerId) -> Delivery<E> {
        self.batch.start(now);
        self.clean(now);
        self.look(now);
        let scope = self.scope.clone();
        let (rate, queue) = (self.settings.viewer_rate, self.settings.viewer_queue);
        let mut viewer = Viewer::new(now, scope, rate, queue);
        viewer.states_seen = self.states.version();
        viewer.figures_seen = self.board.version();
        viewer.coverage_seen = self.coverage_version;
        let mut snapshot = Delivery {
            lost: 0,
            events: self.newest_of_each_id(),
            states: self.states.all(),
            figures: self.board.all(),
            coverage: self.coverage.clone(),
        };
        self.counters.withheld += withhold(&viewer, &mut snapshot);
        self.counters.delivered += snapshot.events.len() as u64;
        self.viewers.insert(id, viewer);
        snapshot
    }

    /// The newest events. An id that came again after the dedup had forgotten it is there once.
    fn newest_of_each_id(&self) -> Vec<Arc<E>> {
        let mut ids = BTreeSet::new();
        let newest = self.recent.newest_first();
        let newest = newest.filter(|event| event.id().is_none_or(|id| ids.insert(id)));
        newest.cloned().collect()
    }

    /// A viewer goes. With the last one everything that is due is put off.
    pub(super) fn leave(&mut self, now: Instant, now_unix_ms: u64, id: ViewerId) {
        self.kept_until = now + self.settings.linger;
        self.dismiss(now, now_unix_ms, id);
    }

    /// The same for one that has not looked: nothing is kept for it.
    pub(super) fn dismiss(&mut self, now: Instant, now_unix_ms: u64, id: ViewerId) {
        let was_there = self.viewers.remove(&id).is_some();
        if was_there && self.viewers.is_empty() {
            let rest = self.batch.stop();
            self.settle(now, now_unix_ms, rest);
        }
    }

    pub(super) fn viewers(&self) -> usize {
        self.viewers.len()
    }

    /// An event or a state of this scope, or a state of the whole profile.
    pub(super) fn push(
        &mut self,
        now: Instant,
        now_unix_ms: u64,
        event: Arc<E>,
        readable: &mut Vec<ViewerId>,
    ) {
        match event.kind() {
            Kind::State(key) => self.push_state(now, now_unix_ms, key, event),
            Kind::Event => {
                if !self.dedup.is_new(now, event.id()) {
                    return;
                }
                if let Some(call) = event.call() {
                    let age_ms = now_unix_ms.saturating_sub(event.unix_ms());
                    self.windows.record(now, age_ms, event.region(), call);
                    self.unseen = true;
                }
                self.batch.push_event(now, event);
            }
        }
        if self.viewers.is_empty() {
            let flush = self.batch.stop();
            self.settle(now, now_unix_ms, flush);
        } else {
            self.flush(now, now_unix_ms, readable);
        }
    }

    fn push_state(&mut self, now: Instant, now_unix_ms: u64, key: StateKey, state: Arc<E>) {
        let newest = self.batch.waiting_state(&key).or(self.states.get(&key));
        if newest.is_some_and(|newest| !supersedes(&*state, newest, now_unix_ms)) {
            self.counters.states_outdated += 1;
            return;
        }
        self.batch.push_state(now, key, state);
    }

    /// So many events or states did not come; told with the next batch.
    pub(super) fn miss(&mut self, now: Instant, missed: u64) {
        for viewer in self.viewers.values_mut() {
            viewer.miss(missed);
        }
        if !self.viewers.is_empty() {
            self.batch.open(now);
        }
    }

    /// How much of the cluster is there; told with the next batch.
    pub(super) fn set_coverage(&mut self, now: Instant, coverage: Arc<Coverage>) {
        self.coverage = Some(coverage);
        self.coverage_version += 1;
        if !self.viewers.is_empty() {
            self.batch.open(now);
        }
    }

    /// Does what is due.
    pub(super) fn tick(&mut self, now: Instant, now_unix_ms: u64, readable: &mut Vec<ViewerId>) {
        if self.viewers.is_empty() {
            return;
        }
        if now - self.cleaned_at >= self.settings.clean_every {
            self.clean(now);
        }
        self.flush(now, now_unix_ms, readable);
    }

    /// Sends what waits for its batch before it is due, with the figures of now.
    pub(super) fn hurry(&mut self, now: Instant, now_unix_ms: u64, readable: &mut Vec<ViewerId>) {
        if let Some(flush) = self.batch.hurry(now) {
            self.looked_at = None;
            self.send(now, now_unix_ms, flush, readable);
        }
    }

    /// True when there is no viewer, and the last that has looked has been gone for long enough.
    pub(super) fn has_ended(&self, now: Instant) -> bool {
        self.viewers.is_empty() && now >= self.kept_until
    }

    /// When something is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        if self.viewers.is_empty() {
            return Some(self.kept_until);
        }
        earliest(
            self.batch.deadline(),
            Some(self.cleaned_at + self.settings.clean_every),
        )
    }

    /// What this viewer has coming, if anything has come since it last read.
    pub(super) fn read(&mut self, id: ViewerId) -> Option<Delivery<E>> {
        let viewer = self.viewers.get_mut(&id)?;
        let (lost, events) = viewer.take()?;
        let news = viewer.coverage_seen < self.coverage_version;
        let mut delivery = Delivery {
            lost,
            events,
            states: self.states.since(viewer.states_seen),
            figures: self.board.since(viewer.figures_seen),
            coverage: self.coverage.clone().filter(|_| news),
        };
        viewer.states_seen = self.states.version();
        viewer.figures_seen = self.board.version();
        viewer.coverage_seen = self.coverage_version;
        self.counters.withheld += withhold(viewer, &mut delivery);
        self.counters.delivered += delivery.events.len() as u64;
        self.counters.lost += lost;
        Some(delivery)
    }

    pub(super) fn sizes(&self) -> LiveSizes {
        let waiting = self.viewers.values().map(Viewer::waiting);
        LiveSizes {
            ids: self.dedup.len(),
            series: self.windows.len(),
            waiting: waiting.max().unwrap_or(0),
            ..LiveSizes::default()
        }
    }

    pub(super) fn counters(&self) -> FeedCounters {
        FeedCounters {
            dedup: self.dedup.counters(),
            dedup_reach: self.dedup.reach(),
            windows: self.windows.counters(),
            states_shed: self.states.shed(),
            states_expired: self.states.expired(),
            pending: self.batch.waiting() as u64,
            waiting: self
                .viewers
                .values()
                .map(|viewer| viewer.waiting() as u64)
                .sum(),
            ..self.counters
        }
    }

    /// Sends the batch or the heartbeat that is due.
    fn flush(&mut self, now: Instant, now_unix_ms: u64, readable: &mut Vec<ViewerId>) {
        if let Some(flush) = self.batch.poll(now) {
            self.send(now, now_unix_ms, flush, readable);
        }
    }

    fn send(
        &mut self,
        now: Instant,
        now_unix_ms: u64,
        flush: Flush<StateKey, Arc<E>>,
        readable: &mut Vec<ViewerId>,
    ) {
        self.counters.heartbeats += u64::from(flush.is_heartbeat);
        self.counters.batches += u64::from(!flush.is_heartbeat);
        for (id, viewer) in &mut self.viewers {
            if viewer.offer(now, &flush.events) {
                readable.push(*id);
            }
        }
        self.settle(now, now_unix_ms, flush);
        self.states.expire(now);
        if !self.look(now) {
            self.batch.open(now);
        }
    }

    /// What was sent, or need not be, becomes part of what is known.
    fn settle(&mut self, now: Instant, now_unix_ms: u64, flush: Flush<StateKey, Arc<E>>) {
        for event in flush.events {
            self.recent.insert(event.unix_ms(), now_unix_ms, event);
        }
        for (key, state) in flush.states {
            let new = Arc::clone(&state);
            self.states.renew(now, key, state, |told| new.matters(told));
        }
    }

    /// Looks at the figures, unless that was done within the interval: full batches may follow each
    /// other within microseconds. True when viewers know the figures of now.
    fn look(&mut self, now: Instant) -> bool {
        let interval = self.settings.batch_interval;
        if self.looked_at.is_some_and(|at| now - at < interval) {
            return !self.unseen;
        }
        self.board.update(now, &self.windows);
        self.looked_at = Some(now);
        self.unseen = false;
        true
    }

    fn clean(&mut self, now: Instant) {
        self.cleaned_at = now;
        self.windows.clean(now);
        self.dedup.forget(now);
        self.states.expire(now);
    }
}

/// Takes out what is not the viewer's to see, and counts it.
fn withhold<E: StreamEvent>(viewer: &Viewer<E>, delivery: &mut Delivery<E>) -> u64 {
    let before = delivery.events.len() + delivery.states.changed.len();
    delivery.events.retain(|event| viewer.may_get(event));
    delivery
        .states
        .changed
        .retain(|(_, state)| viewer.may_know(state));
    (before - delivery.events.len() - delivery.states.changed.len()) as u64
}
