//! All live events of one node: a stream for each profile that somebody looks at, and the topics that
//! bring what the streams need.
//!
//! A viewer names a profile, a scope, and the chains whose states it shows. Its stream begins with the
//! first viewer and ends with the last of its feeds; meanwhile the topics of each scope are subscribed
//! to, and those of each chain while a viewer that named it is there and for the linger after. Whoever
//! drives the machine hands it what these topics bring, and does what [`Live::poll`] says.
//!
//! 1. A topic is subscribed to while a feed or a viewer needs it, and not otherwise; without viewers, and
//!    the linger over, nothing is left: no stream, no topic, no deadline.
//! 2. From the topic of a scope only events are taken, and from those of a chain only states.
//! 3. What a topic missed is told to every viewer that it would have brought something to.
//! 4. A viewer is there only while all topics that it needs can be had, and nothing is kept of one that
//!    was turned away since they cannot.
//!
//! What it does not do: it publishes nothing; [`publications`](super::publications) says what to.
//!
//! ```
//! use lasso_core::events::routing::RoutingEvent;
//! use lasso_core::events::topics::Segment;
//! use lasso_core::events::{EventSettings, Live, LiveOrder, Pass, Scope};
//! use lasso_core::time::Instant;
//! use lasso_core::topology::Coverage;
//!
//! let mut live: Live<RoutingEvent> = Live::new(EventSettings::default(), [1, 2]);
//! let (now, unix_ms) = (Instant::ZERO, 1_769_248_800_000);
//! let profile = Segment::new("premium")?;
//! let pass = Pass::operator(profile.clone());
//! let coverage = || Coverage {
//!     expected: 1, connected: 1, responding: 1, identified: 1,
//!     unresponsive: vec![], disconnected: vec![], epoch: 0,
//! };
//! let seat = live.view(now, &profile, &[], &pass, Scope::Profile, coverage)?;
//! let topic = "routing:decisions:premium".to_owned();
//! assert_eq!(live.poll(), Some(LiveOrder::Subscribe { topic: topic.clone() }));
//!
//! live.leave(now, unix_ms, seat.viewer);
//! let end = live.deadline().expect("the stream ends after a while");
//! live.tick(end, unix_ms + 30_000);
//! assert_eq!(live.poll(), Some(LiveOrder::Unsubscribe { topic }));
//! assert_eq!((live.poll(), live.deadline()), (None, None));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Kind;
use super::chains::Chains;
use super::counters::LiveCounters;
use super::feed::{Delivery, FeedCounters};
use super::orders::{LiveOrder, Orders};
use super::running::{Running, schedule};
use super::settings::EventSettings;
use super::sizes::LiveSizes;
use super::stream::{EventStream, Seat, Stirred, StreamCounters};
use super::topics::Segment;
use super::viewer::{Pass, Scope, ScopeError, ViewerId};
use super::wire::WireEvent;
use crate::plane::Update;
use crate::time::Instant;
use crate::timers::Timers;
use crate::topology::Coverage;

/// What a topic brings.
struct Place {
    profile: Segment,
    brings: Brings,
}

enum Brings {
    /// Events of this scope.
    Events(Scope),
    /// States of the profile.
    States,
}

/// What a viewer looks at.
struct Looking {
    profile: Segment,
    scope: Scope,
    /// The chains that it has named.
    chains: BTreeSet<Segment>,
}

/// The machine. See the module's text.
pub struct Live<E> {
    settings: EventSettings,
    /// What ids are hashed under.
    key: [u64; 2],
    streams: BTreeMap<Segment, Running<E>>,
    /// When something is due of each stream.
    timers: Timers<Segment>,
    /// The topics that are subscribed to.
    topics: BTreeMap<String, Place>,
    /// What each viewer looks at.
    viewers: BTreeMap<ViewerId, Looking>,
    /// The number of the next viewer.
    next_viewer: u64,
    coverage: Option<Arc<Coverage>>,
    orders: Orders,
    stirred: Stirred,
    /// Of the streams that have ended; of viewers that were turned away without a stream.
    ended: (StreamCounters, FeedCounters),
    counters: LiveCounters,
}

impl<E: WireEvent> Live<E> {
    /// A machine without viewers. `key` is what ids are hashed under; it is to be drawn at random.
    ///
    /// # Panics
    /// When a setting is out of its range: see [`EventSettings::validate`].
    pub fn new(settings: EventSettings, key: [u64; 2]) -> Self {
        if let Err(error) = settings.validate() {
            panic!("settings of live events: {error}");
        }
        Live {
            settings,
            key,
            streams: BTreeMap::new(),
            timers: Timers::new(),
            topics: BTreeMap::new(),
            viewers: BTreeMap::new(),
            next_viewer: 0,
            coverage: None,
            orders: Orders::default(),
            stirred: Stirred::default(),
            ended: Default::default(),
            counters: LiveCounters::default(),
        }
    }

    /// Lets a viewer in to a scope of a profile. `chains` are those whose states it wants besides what
    /// others want. `coverage` is looked at only where nothing was looked at before: from then on every
    /// change is to be told by [`Live::set_coverage`].
    ///
    /// It is not one before all that is then ordered was done: a topic that is refused takes it away
    /// again, see [`Live::on_refused`].
    ///
    /// # Errors
    /// [`ScopeError`]: the scope is not its to see, or there are too many of something. Nothing was
    /// changed.
    pub fn view(
        &mut self,
        now: Instant,
        profile: &Segment,
        chains: &[Segment],
        pass: &Pass,
        scope: Scope,
        coverage: impl FnOnce() -> Coverage,
    ) -> Result<Seat<E>, ScopeError> {
        let chains: BTreeSet<Segment> = chains.iter().cloned().collect();
        if let Err(error) = self.check(profile, &chains, pass, &scope) {
            match error {
                ScopeError::NotYours => self.ended.0.refused += 1,
                _ => self.ended.0.crowded += 1,
            }
            return Err(error);
        }
        if self.streams.is_empty() {
            self.coverage = Some(Arc::new(coverage()));
        }
        let (settings, key, coverage) = (&self.settings, self.key, &self.coverage);
        let begin = || {
            let mut stream = EventStream::new(profile.clone(), settings.clone(), key);
            if let Some(coverage) = coverage {
                stream.set_coverage(now, Arc::clone(coverage));
            }
            Running {
                stream,
                chains: Chains::default(),
                scheduled: None,
            }
        };
        let running = self.streams.entry(profile.clone()).or_insert_with(begin);
        // A new stream has room for whom its pass lets in.
        let viewer = ViewerId(self.next_viewer);
        let seat = running.stream.admit(now, viewer, pass, scope.clone())?;
        self.next_viewer += 1;
        let gone = running.chains.name(now, &chains, settings.chains_max);
        schedule(&mut self.timers, profile, running);
        self.unwant_states(profile, &gone);
        self.want_topics(profile, &scope, &chains);
        let looking = Looking {
            profile: profile.clone(),
            scope,
            chains,
        };
        self.viewers.insert(viewer, looking);
        self.assert_invariants();
        Ok(seat)
    }

    /// A viewer goes. One that is not there is ignored.
    pub fn leave(&mut self, now: Instant, now_unix_ms: u64, viewer: ViewerId) {
        let Some(Looking {
            profile, chains, ..
        }) = self.viewers.remove(&viewer)
        else {
            return;
        };
        self.orders.forget(viewer);
        if let Some(running) = self.streams.get_mut(&profile) {
            running.stream.unsubscribe(now, now_unix_ms, viewer);
            running.chains.leave(&chains, now + self.settings.linger);
            schedule(&mut self.timers, &profile, running);
        }
    }

    /// This topic could not be subscribed to. Viewers that need it cannot stay, and are turned away: whoever
    /// drives the machine tells them why. As each topic is ordered for the first viewer that needs it,
    /// that is the one that was let in last, and nobody else. What was there for it alone goes at once;
    /// the topic is asked for again with the next viewer that needs it.
    pub fn on_refused(&mut self, now: Instant, now_unix_ms: u64, topic: &str) -> Vec<ViewerId> {
        let Some(Place { profile, brings }) = self.topics.remove(topic) else {
            return Vec::new();
        };
        let needs = |looking: &Looking| match &brings {
            Brings::Events(scope) => looking.scope == *scope,
            Brings::States => looking.chains.iter().any(|chain| {
                E::state_topics(&profile, chain)
                    .iter()
                    .any(|is| is == topic)
            }),
        };
        let viewers = self.viewers.iter();
        let needy = viewers.filter(|(_, looking)| looking.profile == profile && needs(looking));
        let needy: Vec<ViewerId> = needy.map(|(viewer, _)| *viewer).collect();
        for viewer in &needy {
            self.turn_away(now, now_unix_ms, *viewer);
        }
        self.assert_invariants();
        needy
    }

    /// A viewer goes that has not looked.
    fn turn_away(&mut self, now: Instant, now_unix_ms: u64, viewer: ViewerId) {
        let Some(looking) = self.viewers.remove(&viewer) else {
            return;
        };
        self.orders.forget(viewer);
        let profile = looking.profile;
        let Some(running) = self.streams.get_mut(&profile) else {
            return;
        };
        let has_ended = running.stream.dismiss(now, now_unix_ms, viewer);
        running.chains.leave(&looking.chains, now);
        let unnamed = running.chains.end(now);
        schedule(&mut self.timers, &profile, running);
        self.unwant_states(&profile, &unnamed);
        if has_ended {
            self.unwant(&E::event_topic(&profile, &looking.scope));
            self.end_if_empty(&profile);
        }
    }

    /// Something came from this topic.
    pub fn on_update(&mut self, now: Instant, now_unix_ms: u64, topic: &str, update: &Update) {
        let place = self.topics.get(topic);
        let running = place.and_then(|place| self.streams.get_mut(&place.profile));
        let (Some(place), Some(running)) = (place, running) else {
            self.counters.stray += 1;
            return;
        };
        let stream = &mut running.stream;
        let message = match (update, &place.brings) {
            (Update::Missed(missed), brings) => {
                match brings {
                    Brings::Events(scope) => stream.miss(now, scope, *missed),
                    Brings::States => stream.miss_states(now, *missed),
                }
                return schedule(&mut self.timers, &place.profile, running);
            }
            (Update::Message(message), _) => message,
        };
        let event = match E::decode_by(&message.payload, &self.settings.kinds) {
            Ok(Some(event)) => event,
            Ok(None) => return self.counters.unknown += 1,
            Err(_) => return self.counters.malformed += 1,
        };
        let from = match (&place.brings, event.kind()) {
            (Brings::Events(scope), Kind::Event) => scope,
            (Brings::States, Kind::State(_)) => &Scope::Profile,
            _ => return self.counters.mixed += 1,
        };
        stream.receive(now, now_unix_ms, from, Arc::new(event), &mut self.stirred);
        schedule(&mut self.timers, &place.profile, running);
        self.orders.read(self.stirred.readable.drain(..));
    }

    /// How much of the cluster is there, now that it has changed: told with the next batch.
    pub fn set_coverage(&mut self, now: Instant, coverage: Coverage) {
        let coverage = Arc::new(coverage);
        for (profile, running) in &mut self.streams {
            running.stream.set_coverage(now, Arc::clone(&coverage));
            schedule(&mut self.timers, profile, running);
        }
        self.coverage = Some(coverage);
    }

    /// Does what is due; to be called at [`Live::deadline`], and harmless at any other time.
    pub fn tick(&mut self, now: Instant, now_unix_ms: u64) {
        let mut due: Vec<Segment> = core::iter::from_fn(|| self.timers.pop(now)).collect();
        due.sort_unstable();
        for profile in due {
            let Some(running) = self.streams.get_mut(&profile) else {
                continue;
            };
            running.scheduled = None;
            let unnamed = running.chains.end(now);
            running.stream.tick(now, now_unix_ms, &mut self.stirred);
            schedule(&mut self.timers, &profile, running);
            self.unwant_states(&profile, &unnamed);
            for scope in core::mem::take(&mut self.stirred.ended) {
                self.unwant(&E::event_topic(&profile, &scope));
            }
            self.end_if_empty(&profile);
        }
        self.orders.read(self.stirred.readable.drain(..));
        self.assert_invariants();
    }

    /// Sends at once what waits for its batch, as nothing comes any more that it could wait for.
    pub fn hurry(&mut self, now: Instant, now_unix_ms: u64) {
        for (profile, running) in &mut self.streams {
            running.stream.hurry(now, now_unix_ms, &mut self.stirred);
            schedule(&mut self.timers, profile, running);
        }
        self.orders.read(self.stirred.readable.drain(..));
        self.assert_invariants();
    }

    /// When something is due; `None` while nobody looks or has just looked.
    pub fn deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// What this viewer has coming: see [`EventStream::read`].
    pub fn read(&mut self, viewer: ViewerId) -> Option<Delivery<E>> {
        let looking = self.viewers.get(&viewer)?;
        self.streams.get_mut(&looking.profile)?.stream.read(viewer)
    }

    /// What is to be done next, in order; to be asked until there is nothing, after every other call.
    pub fn poll(&mut self) -> Option<LiveOrder> {
        self.orders.next()
    }

    /// Viewers.
    pub fn viewers(&self) -> usize {
        self.viewers.len()
    }

    /// The stream of a profile, while there is one.
    pub fn stream(&self, profile: &Segment) -> Option<&EventStream<E>> {
        self.streams.get(profile).map(|running| &running.stream)
    }

    /// What was done so far. Adds up what each stream, feed and viewer has come to, so it takes as long
    /// as there are many: see [`Live::size`].
    pub fn counters(&self) -> LiveCounters {
        let (mut stream, mut feeds) = self.ended;
        for running in self.streams.values() {
            stream.add(&running.stream.counters());
            feeds.add(&running.stream.feeds_counters());
        }
        LiveCounters {
            stream,
            feeds,
            ..self.present()
        }
    }

    /// Of what was done so far all that takes no adding up: without what is of streams and feeds.
    pub fn present(&self) -> LiveCounters {
        LiveCounters {
            streams: self.streams.len(),
            viewers: self.viewers.len(),
            topics: self.topics.len(),
            has_deadline: self.deadline().is_some(),
            ..self.counters
        }
    }

    /// How much its tables hold. Takes as long as [`Live::counters`].
    pub fn sizes(&self) -> LiveSizes {
        let own = LiveSizes {
            profiles: self.streams.len(),
            ..LiveSizes::default()
        };
        let streams = self.streams.values();
        streams.fold(own, |all, running| all.max(running.stream.sizes()))
    }

    /// How much there is to add up for [`Live::counters`].
    pub fn size(&self) -> usize {
        self.streams.len() + self.topics.len() + self.viewers.len()
    }

    /// Whether there is room for this viewer, as far as its stream does not look at it.
    fn check(
        &self,
        profile: &Segment,
        chains: &BTreeSet<Segment>,
        pass: &Pass,
        scope: &Scope,
    ) -> Result<(), ScopeError> {
        let running = self.streams.get(profile);
        if running.is_none() && !pass.may_see(profile, scope) {
            return Err(ScopeError::NotYours);
        }
        if running.is_none() && self.streams.len() >= self.settings.profiles_max {
            return Err(ScopeError::TooManyProfiles(self.settings.profiles_max));
        }
        let max = self.settings.chains_max;
        let has_room = running.map_or(chains.len() <= max, |running| {
            running.chains.has_room(chains, max)
        });
        if !has_room && pass.may_see(profile, scope) {
            let profile = profile.clone();
            return Err(ScopeError::TooManyChains { profile, max });
        }
        Ok(())
    }

    /// Asks for the topics that a viewer of this scope and these chains needs and that are not
    /// subscribed to; for no other's, so that what is refused is this viewer's to bear.
    fn want_topics(&mut self, profile: &Segment, scope: &Scope, chains: &BTreeSet<Segment>) {
        let of_scope = E::event_topic(profile, scope);
        let mut needed = vec![(of_scope, Brings::Events(scope.clone()))];
        for chain in chains {
            let topics = E::state_topics(profile, chain).into_iter();
            needed.extend(topics.map(|topic| (topic, Brings::States)));
        }
        for (topic, brings) in needed {
            if self.topics.contains_key(&topic) {
                continue;
            }
            self.orders.subscribe(&topic);
            let profile = profile.clone();
            self.topics.insert(topic, Place { profile, brings });
        }
    }

    /// The states of these chains are not needed any more.
    fn unwant_states(&mut self, profile: &Segment, chains: &[Segment]) {
        for topic in chains
            .iter()
            .flat_map(|chain| E::state_topics(profile, chain))
        {
            self.unwant(&topic);
        }
    }

    /// A topic is not needed any more.
    fn unwant(&mut self, topic: &str) {
        if self.topics.remove(topic).is_some() {
            self.orders.unsubscribe(topic);
        }
    }

    /// Ends a stream that has no feed any more.
    fn end_if_empty(&mut self, profile: &Segment) {
        let running = self.streams.get(profile);
        if running.is_none_or(|running| running.stream.scopes().next().is_some()) {
            return;
        }
        let Some(running) = self.streams.remove(profile) else {
            return;
        };
        self.timers.clear(profile);
        self.ended.0.add(&running.stream.counters());
        self.ended.1.add(&running.stream.feeds_counters());
        let chains: Vec<Segment> = running.chains.held().cloned().collect();
        self.unwant_states(profile, &chains);
    }

    fn assert_invariants(&self) {
        debug_assert!(self.topics.values().all(|place| {
            let running = self.streams.get(&place.profile);
            running.is_some_and(|running| match &place.brings {
                Brings::Events(scope) => running.stream.scopes().any(|has| has == scope),
                Brings::States => running.chains.held().next().is_some(),
            })
        }));
        let mut running = self.streams.values();
        debug_assert!(running.all(|running| running.deadline() == running.scheduled));
        debug_assert!(self.streams.len() <= self.settings.profiles_max);
        let seated: usize = self.streams.values().map(|r| r.stream.viewers()).sum();
        debug_assert_eq!(seated, self.viewers.len(), "a viewer sits in one stream");
    }
}
