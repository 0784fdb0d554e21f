//! The live events of one profile, for all who look at it or at one of its accounts.
//!
//! What is known is kept apart by scope: the profile's feed holds what its topics carry, an account's
//! feed what that account's topic carries, figures and all, so that nothing that an account sees is
//! made of another's events. States of the profile, which have no account, belong to all of its scopes.
//!
//! 1. A feed is there while somebody looks, and for the linger (30 s) after; whatever else comes is
//!    counted and dropped.
//! 2. An event is taken only if it says of itself that it belongs where it came from: to this profile,
//!    and to that account, or to none.
//! 3. A viewer is let in by its pass, and what it is given is looked at once more.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::feed::{Delivery, Feed, FeedCounters};
use super::settings::EventSettings;
use super::sizes::LiveSizes;
use super::topics::Segment;
use super::viewer::{Pass, Scope, ScopeError, ViewerId};
use super::{Kind, StreamEvent};
use crate::time::Instant;
use crate::timers::Timers;
use crate::topology::Coverage;

/// A viewer that was let in.
#[derive(Debug)]
pub struct Seat<E> {
    /// Its name from now on.
    pub viewer: ViewerId,
    /// What it gets first: all that is known.
    pub snapshot: Delivery<E>,
    /// True when the scope had no feed: its topic is to be subscribed to.
    pub started: bool,
}

/// What there is to do after something happened.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stirred {
    /// Viewers that have something to read, and had nothing before.
    pub readable: Vec<ViewerId>,
    /// Scopes whose feeds ended: their topics are to be unsubscribed from.
    pub ended: Vec<Scope>,
}

/// What a stream refused; numbers that only grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StreamCounters {
    /// Events that came.
    pub received: u64,
    /// Events that were of another profile.
    pub foreign: u64,
    /// Events whose account was not that of the topic which they came from.
    pub misplaced: u64,
    /// Events of a scope that nobody looks at.
    pub unwanted: u64,
    /// Viewers that were let in.
    pub admitted: u64,
    /// Viewers that asked for what is not theirs.
    pub refused: u64,
    /// Viewers that were turned away as there were too many.
    pub crowded: u64,
    /// Events and states that the topics should have brought and did not.
    pub missed: u64,
}

impl StreamCounters {
    /// Adds what another stream counted.
    pub(super) fn add(&mut self, other: &StreamCounters) {
        self.received += other.received;
        self.foreign += other.foreign;
        self.misplaced += other.misplaced;
        self.unwanted += other.unwanted;
        self.admitted += other.admitted;
        self.refused += other.refused;
        self.crowded += other.crowded;
        self.missed += other.missed;
    }
}

/// Where a viewer sits.
struct Place {
    scope: Scope,
    /// An operator's; it takes no account's place.
    is_operators: bool,
}

/// The machine. See the module's text.
pub struct EventStream<E> {
    profile: Segment,
    settings: EventSettings,
    /// What ids are hashed under.
    key: [u64; 2],
    feeds: BTreeMap<Scope, Feed<E>>,
    /// When something is due of each feed.
    timers: Timers<Scope>,
    coverage: Option<Arc<Coverage>>,
    /// Where each viewer sits.
    viewers: BTreeMap<ViewerId, Place>,
    /// The number of the next viewer.
    next_viewer: u64,
    /// What the feeds that have ended did.
    ended: FeedCounters,
    counters: StreamCounters,
}

impl<E: StreamEvent> EventStream<E> {
    /// A stream that nobody looks at. `key` is what ids are hashed under; it is to be drawn at random.
    ///
    /// # Panics
    /// When a setting is out of its range: see [`EventSettings::validate`].
    pub fn new(profile: Segment, settings: EventSettings, key: [u64; 2]) -> Self {
        if let Err(error) = settings.validate() {
            panic!("settings of an event stream: {error}");
        }
        EventStream {
            profile,
            settings,
            key,
            feeds: BTreeMap::new(),
            timers: Timers::new(),
            coverage: None,
            viewers: BTreeMap::new(),
            next_viewer: 0,
            ended: FeedCounters::default(),
            counters: StreamCounters::default(),
        }
    }

    /// Lets a viewer in.
    ///
    /// # Errors
    /// [`ScopeError`]: the scope is not its to see, or there are too many.
    pub fn subscribe(
        &mut self,
        now: Instant,
        pass: &Pass,
        scope: Scope,
    ) -> Result<Seat<E>, ScopeError> {
        let viewer = ViewerId(self.next_viewer);
        let seat = self.admit(now, viewer, pass, scope)?;
        self.next_viewer += 1;
        Ok(seat)
    }

    /// Lets a viewer in under a name that no viewer of this stream has had.
    pub(super) fn admit(
        &mut self,
        now: Instant,
        viewer: ViewerId,
        pass: &Pass,
        scope: Scope,
    ) -> Result<Seat<E>, ScopeError> {
        if !pass.may_see(&self.profile, &scope) {
            self.counters.refused += 1;
            return Err(ScopeError::NotYours);
        }
        if let Err(error) = self.check_room(pass, &scope) {
            self.counters.crowded += 1;
            return Err(error);
        }
        self.counters.admitted += 1;
        let started = !self.feeds.contains_key(&scope);
        if started {
            let (settings, key) = (self.settings.clone(), self.key);
            let mut feed = Feed::new(now, scope.clone(), settings, key);
            if let Some(coverage) = &self.coverage {
                feed.set_coverage(now, Arc::clone(coverage));
            }
            self.feeds.insert(scope.clone(), feed);
        }
        let feed = self
            .feeds
            .get_mut(&scope)
            .expect("it is there or was just put there");
        let snapshot = feed.enter(now, viewer);
        schedule(&mut self.timers, &scope, feed);
        let is_operators = pass.is_operators();
        let place = Place {
            scope,
            is_operators,
        };
        self.viewers.insert(viewer, place);
        Ok(Seat {
            viewer,
            snapshot,
            started,
        })
    }

    /// A viewer goes. One that is not there is ignored.
    pub fn unsubscribe(&mut self, now: Instant, now_unix_ms: u64, viewer: ViewerId) {
        let Some(Place { scope, .. }) = self.viewers.remove(&viewer) else {
            return;
        };
        if let Some(feed) = self.feeds.get_mut(&scope) {
            feed.leave(now, now_unix_ms, viewer);
            schedule(&mut self.timers, &scope, feed);
        }
    }

    /// A viewer that was let in goes without having looked: nothing is kept for it. True when that was
    /// the end of its scope's feed.
    pub(super) fn dismiss(&mut self, now: Instant, now_unix_ms: u64, viewer: ViewerId) -> bool {
        let Some(Place { scope, .. }) = self.viewers.remove(&viewer) else {
            return false;
        };
        let Some(feed) = self.feeds.get_mut(&scope) else {
            return false;
        };
        feed.dismiss(now, now_unix_ms, viewer);
        schedule(&mut self.timers, &scope, feed);
        let has_ended = feed.has_ended(now);
        if has_ended {
            self.end(&scope);
        }
        has_ended
    }

    /// An event came from the topic of this scope.
    pub fn receive(
        &mut self,
        now: Instant,
        now_unix_ms: u64,
        from: &Scope,
        event: Arc<E>,
        stirred: &mut Stirred,
    ) {
        self.counters.received += 1;
        if *event.profile() != self.profile {
            self.counters.foreign += 1;
            return;
        }
        if !from.holds(event.account()) {
            self.counters.misplaced += 1;
            return;
        }
        let readable = &mut stirred.readable;
        if *from == Scope::Profile && matches!(event.kind(), Kind::State(_)) {
            self.counters.unwanted += u64::from(self.feeds.is_empty());
            for (scope, feed) in &mut self.feeds {
                feed.push(now, now_unix_ms, Arc::clone(&event), readable);
                schedule(&mut self.timers, scope, feed);
            }
            return;
        }
        match self.feeds.get_mut(from) {
            Some(feed) => {
                feed.push(now, now_unix_ms, event, readable);
                schedule(&mut self.timers, from, feed);
            }
            None => self.counters.unwanted += 1,
        }
    }

    /// So many events should have come from the topic of this scope and did not: its viewers are told
    /// with the next batch that they lost them.
    pub fn miss(&mut self, now: Instant, from: &Scope, missed: u64) {
        self.counters.missed += missed;
        if let Some(feed) = self.feeds.get_mut(from) {
            feed.miss(now, missed);
            schedule(&mut self.timers, from, feed);
        }
    }

    /// So many states of the profile should have come and did not. As nobody knows which, all viewers
    /// are told: what they show may be older than it need be.
    pub fn miss_states(&mut self, now: Instant, missed: u64) {
        self.counters.missed += missed;
        for (scope, feed) in &mut self.feeds {
            feed.miss(now, missed);
            schedule(&mut self.timers, scope, feed);
        }
    }

    /// How much of the cluster is there, now that it has changed.
    pub fn set_coverage(&mut self, now: Instant, coverage: impl Into<Arc<Coverage>>) {
        let coverage = coverage.into();
        for (scope, feed) in &mut self.feeds {
            feed.set_coverage(now, Arc::clone(&coverage));
            schedule(&mut self.timers, scope, feed);
        }
        self.coverage = Some(coverage);
    }

    /// Does what is due; to be called at [`EventStream::deadline`], and harmless at any other time.
    pub fn tick(&mut self, now: Instant, now_unix_ms: u64, stirred: &mut Stirred) {
        let mut due: Vec<Scope> = core::iter::from_fn(|| self.timers.pop(now)).collect();
        due.sort_unstable();
        for scope in due {
            let Some(feed) = self.feeds.get_mut(&scope) else {
                continue;
            };
            feed.scheduled = None;
            feed.tick(now, now_unix_ms, &mut stirred.readable);
            if feed.has_ended(now) {
                self.end(&scope);
                stirred.ended.push(scope);
            } else {
                schedule(&mut self.timers, &scope, feed);
            }
        }
        self.assert_invariants();
    }

    /// Sends at once what waits for its batch, as nothing comes any more that it could wait for.
    pub fn hurry(&mut self, now: Instant, now_unix_ms: u64, stirred: &mut Stirred) {
        for (scope, feed) in &mut self.feeds {
            feed.hurry(now, now_unix_ms, &mut stirred.readable);
            schedule(&mut self.timers, scope, feed);
        }
    }

    /// When something is due; `None` while nobody looks or has just looked.
    pub fn deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// What this viewer has coming; `None` when nothing has come since it last read, not even a
    /// heartbeat. What is read late comes together, each state and row once.
    pub fn read(&mut self, viewer: ViewerId) -> Option<Delivery<E>> {
        let place = self.viewers.get(&viewer)?;
        self.feeds.get_mut(&place.scope)?.read(viewer)
    }

    /// Scopes with a feed: those whose topics are to be subscribed to.
    pub fn scopes(&self) -> impl Iterator<Item = &Scope> {
        self.feeds.keys()
    }

    /// Viewers.
    pub fn viewers(&self) -> usize {
        self.viewers.len()
    }

    /// What was refused so far.
    pub fn counters(&self) -> StreamCounters {
        self.counters
    }

    /// What the feed of this scope has done since it began.
    pub fn feed_counters(&self, scope: &Scope) -> Option<FeedCounters> {
        self.feeds.get(scope).map(Feed::counters)
    }

    /// What all feeds together have done, those that have ended included.
    pub fn feeds_counters(&self) -> FeedCounters {
        let mut sum = self.ended;
        for feed in self.feeds.values() {
            sum.add(&feed.counters());
        }
        sum
    }

    /// How much its tables hold.
    pub fn sizes(&self) -> LiveSizes {
        let own = LiveSizes {
            scopes: self.feeds.len(),
            viewers: self.viewers.len(),
            ..LiveSizes::default()
        };
        self.feeds
            .values()
            .fold(own, |all, feed| all.max(feed.sizes()))
    }

    /// Ends a feed; what it did stays counted.
    fn end(&mut self, scope: &Scope) {
        self.timers.clear(scope);
        if let Some(feed) = self.feeds.remove(scope) {
            self.ended.add(&feed.counters().of_the_past());
        }
    }

    fn check_room(&self, pass: &Pass, scope: &Scope) -> Result<(), ScopeError> {
        let settings = &self.settings;
        let profile = || self.profile.clone();
        let own = self.viewers.values();
        let own = own.filter(|place| !place.is_operators && place.scope == *scope);
        if let Scope::Account(account) = scope
            && !pass.is_operators()
            && own.count() >= settings.account_viewers_max
        {
            let (account, max) = (account.clone(), settings.account_viewers_max);
            return Err(ScopeError::TooManyOfAccount { account, max });
        }
        if self.viewers.len() >= settings.viewers_max {
            let (profile, max) = (profile(), settings.viewers_max);
            return Err(ScopeError::TooManyViewers { profile, max });
        }
        if self.feeds.len() >= settings.scopes_max && !self.feeds.contains_key(scope) {
            let (profile, max) = (profile(), settings.scopes_max);
            return Err(ScopeError::TooManyScopes { profile, max });
        }
        Ok(())
    }

    fn assert_invariants(&self) {
        let seated: usize = self.feeds.values().map(Feed::viewers).sum();
        debug_assert_eq!(seated, self.viewers.len(), "a viewer sits in one feed");
        debug_assert!(self.feeds.len() <= self.settings.scopes_max);
        debug_assert!(
            self.feeds
                .values()
                .all(|feed| feed.deadline() == feed.scheduled),
            "whatever is due is known"
        );
    }
}

/// Sees to it that what is due of a feed is known, after something was done to it.
fn schedule<E: StreamEvent>(timers: &mut Timers<Scope>, scope: &Scope, feed: &mut Feed<E>) {
    let due = feed.deadline();
    if due == feed.scheduled {
        return;
    }
    feed.scheduled = due;
    match due {
        Some(due) => timers.set(scope.clone(), due),
        None => _ = timers.clear(scope),
    }
}
