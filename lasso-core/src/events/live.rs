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
//!
//! What it does not do: it publishes nothing; [`publications`](super::publications) says what to.
//!
//! ```
//! use lasso_core::events::routing::RoutingEvent;
//! use lasso_core::events::topics::Segment;
//! use lasso_core::events::{EventSettings, Live, LiveOrder, Pass, Scope};
//! use lasso_core::time::Instant;
//!
//! let mut live: Live<RoutingEvent> = Live::new(EventSettings::default(), [1, 2]);
//! let (now, unix_ms) = (Instant::ZERO, 1_769_248_800_000);
//! let profile = Segment::new("premium")?;
//! let pass = Pass::operator(profile.clone());
//! let seat = live.view(now, &profile, &[], &pass, Scope::Profile)?;
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

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

use super::Kind;
use super::chains::Chains;
use super::feed::{Delivery, FeedCounters};
use super::settings::EventSettings;
use super::stream::{EventStream, Seat, Stirred, StreamCounters};
use super::topics::Segment;
use super::viewer::{Pass, Scope, ScopeError, ViewerId};
use super::wire::WireEvent;
use crate::plane::Update;
use crate::time::Instant;
use crate::topology::Coverage;

/// What whoever drives the machine is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LiveOrder {
    /// Subscribe to this topic, and hand in what it brings.
    Subscribe {
        /// Which topic.
        topic: String,
    },
    /// Subscribe to it no longer.
    Unsubscribe {
        /// Which topic.
        topic: String,
    },
    /// This viewer has something to read, and had nothing before.
    Readable {
        /// Which viewer.
        viewer: ViewerId,
    },
}

/// What a node's streams have done, as numbers that only grow, unless they say that they are of now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LiveCounters {
    /// Streams, now.
    pub streams: usize,
    /// Viewers, now.
    pub viewers: usize,
    /// Topics that are subscribed to, now.
    pub topics: usize,
    /// Something will be due, now.
    pub has_deadline: bool,
    /// What the streams took in and refused.
    pub stream: StreamCounters,
    /// What the feeds of the streams did.
    pub feeds: FeedCounters,
    /// Messages that were no event.
    pub malformed: u64,
    /// Events of kinds that this release does not know.
    pub unknown: u64,
    /// Events on a topic of states, and states on a topic of events.
    pub mixed: u64,
    /// Messages of topics that were not subscribed to, or no longer: normal in small numbers.
    pub stray: u64,
}

/// What is drawn at random for a node's events.
pub struct EventKeys {
    /// What ids are hashed under: for [`Live::new`].
    pub ids: [u64; 2],
    /// What sampling draws from: for [`Sampler::new`](super::sampler::Sampler::new).
    pub sampling: [u8; 32],
}

/// Draws them from a node's seed, which must come from a good source; what the node draws from it for
/// other purposes stays apart.
pub fn event_keys(seed: [u8; 32]) -> EventKeys {
    let mut rng = ChaCha12Rng::from_seed(seed);
    rng.set_stream(KEYS_STREAM);
    let ids = [rng.next_u64(), rng.next_u64()];
    let mut sampling = [0; 32];
    rng.fill_bytes(&mut sampling);
    EventKeys { ids, sampling }
}

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

/// The stream of one profile.
struct Running<E> {
    stream: EventStream<E>,
    /// The chains whose states are wanted.
    chains: Chains,
}

/// What a viewer looks at.
struct Looking {
    profile: Segment,
    /// The chains that it has named.
    chains: BTreeSet<Segment>,
}

/// The machine. See the module's text.
pub struct Live<E> {
    settings: EventSettings,
    /// What ids are hashed under.
    key: [u64; 2],
    streams: BTreeMap<Segment, Running<E>>,
    /// The topics that are subscribed to.
    topics: BTreeMap<String, Place>,
    /// What each viewer looks at.
    viewers: BTreeMap<ViewerId, Looking>,
    /// The number of the next viewer.
    next_viewer: u64,
    coverage: Option<Arc<Coverage>>,
    /// At most one for each viewer, and one for each topic.
    orders: VecDeque<LiveOrder>,
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
            topics: BTreeMap::new(),
            viewers: BTreeMap::new(),
            next_viewer: 0,
            coverage: None,
            orders: VecDeque::new(),
            stirred: Stirred::default(),
            ended: Default::default(),
            counters: LiveCounters::default(),
        }
    }

    /// Lets a viewer in to a scope of a profile. `chains` are those whose states it wants besides what
    /// others want.
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
    ) -> Result<Seat<E>, ScopeError> {
        let chains: BTreeSet<Segment> = chains.iter().cloned().collect();
        if let Err(error) = self.check(profile, &chains, pass, &scope) {
            match error {
                ScopeError::NotYours => self.ended.0.refused += 1,
                _ => self.ended.0.crowded += 1,
            }
            return Err(error);
        }
        let (settings, key, coverage) = (&self.settings, self.key, &self.coverage);
        let begin = || {
            let mut stream = EventStream::new(profile.clone(), settings.clone(), key);
            if let Some(coverage) = coverage {
                stream.set_coverage(now, Arc::clone(coverage));
            }
            let chains = Chains::default();
            Running { stream, chains }
        };
        let running = self.streams.entry(profile.clone()).or_insert_with(begin);
        // A new stream has room for whom its pass lets in.
        let viewer = ViewerId(self.next_viewer);
        let seat = running.stream.admit(now, viewer, pass, scope.clone())?;
        self.next_viewer += 1;
        let gone = running.chains.name(now, &chains, settings.chains_max);
        self.unwant_states(profile, &gone);
        self.want_topics(profile, scope, &chains);
        let profile = profile.clone();
        self.viewers.insert(viewer, Looking { profile, chains });
        self.assert_invariants();
        Ok(seat)
    }

    /// A viewer goes. One that is not there is ignored.
    pub fn leave(&mut self, now: Instant, now_unix_ms: u64, viewer: ViewerId) {
        let until = now + self.settings.linger;
        self.go(now, now_unix_ms, viewer, until);
    }

    /// The viewer that was let in last cannot stay, as a topic that it needs was refused. It goes, and
    /// what chains it alone has named go at once.
    pub fn turn_away(&mut self, now: Instant, now_unix_ms: u64, viewer: ViewerId) {
        let Some(profile) = self.go(now, now_unix_ms, viewer, now) else {
            return;
        };
        let running = self.streams.get_mut(&profile);
        let over = running.map(|running| running.chains.end(now));
        self.unwant_states(&profile, &over.unwrap_or_default());
    }

    /// A viewer goes, and what it has named is held until then. Returns its profile.
    fn go(
        &mut self,
        now: Instant,
        now_unix_ms: u64,
        viewer: ViewerId,
        until: Instant,
    ) -> Option<Segment> {
        let Looking { profile, chains } = self.viewers.remove(&viewer)?;
        if let Some(running) = self.streams.get_mut(&profile) {
            running.stream.unsubscribe(now, now_unix_ms, viewer);
            running.chains.leave(&chains, until);
        }
        self.orders
            .retain(|order| *order != LiveOrder::Readable { viewer });
        Some(profile)
    }

    /// This topic could not be subscribed to. It is asked for again with the next viewer that needs it;
    /// the one that was let in last does, and is to be turned away by [`Live::turn_away`].
    pub fn on_refused(&mut self, topic: &str) {
        self.topics.remove(topic);
    }

    /// Something came from this topic.
    pub fn on_update(&mut self, now: Instant, now_unix_ms: u64, topic: &str, update: &Update) {
        let place = self.topics.get(topic);
        let running = place.and_then(|place| self.streams.get_mut(&place.profile));
        let (Some(place), Some(Running { stream, .. })) = (place, running) else {
            self.counters.stray += 1;
            return;
        };
        let message = match (update, &place.brings) {
            (Update::Missed(missed), Brings::Events(scope)) => {
                return stream.miss(now, scope, *missed);
            }
            (Update::Missed(missed), Brings::States) => return stream.miss_states(now, *missed),
            (Update::Message(message), _) => message,
        };
        let event = match E::decode(&message.payload) {
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
        self.order_reading();
    }

    /// How much of the cluster is there, now that it has changed: told with the next batch.
    pub fn set_coverage(&mut self, now: Instant, coverage: Coverage) {
        let coverage = Arc::new(coverage);
        for running in self.streams.values_mut() {
            running.stream.set_coverage(now, Arc::clone(&coverage));
        }
        self.coverage = Some(coverage);
    }

    /// Does what is due; to be called at [`Live::deadline`], and harmless at any other time.
    pub fn tick(&mut self, now: Instant, now_unix_ms: u64) {
        let (mut over, mut unnamed) = (Vec::new(), Vec::new());
        for (profile, running) in &mut self.streams {
            let chains = running.chains.end(now);
            if !chains.is_empty() {
                unnamed.push((profile.clone(), chains));
            }
            let stream = &mut running.stream;
            if stream.deadline().is_none_or(|deadline| deadline > now) {
                continue;
            }
            stream.tick(now, now_unix_ms, &mut self.stirred);
            let ended = self.stirred.ended.drain(..);
            over.extend(ended.map(|scope| (profile.clone(), scope)));
        }
        for (profile, chains) in unnamed {
            self.unwant_states(&profile, &chains);
        }
        for (profile, scope) in over {
            self.unwant(&E::event_topic(&profile, &scope));
            self.end_if_empty(&profile);
        }
        self.order_reading();
        self.assert_invariants();
    }

    /// When something is due; `None` while nobody looks or has just looked.
    pub fn deadline(&self) -> Option<Instant> {
        let running = self.streams.values();
        let due =
            running.flat_map(|running| [running.stream.deadline(), running.chains.deadline()]);
        due.flatten().min()
    }

    /// What this viewer has coming: see [`EventStream::read`].
    pub fn read(&mut self, viewer: ViewerId) -> Option<Delivery<E>> {
        let looking = self.viewers.get(&viewer)?;
        self.streams.get_mut(&looking.profile)?.stream.read(viewer)
    }

    /// What is to be done next, in order; to be asked until there is nothing, after every other call.
    pub fn poll(&mut self) -> Option<LiveOrder> {
        self.orders.pop_front()
    }

    /// Viewers.
    pub fn viewers(&self) -> usize {
        self.viewers.len()
    }

    /// The stream of a profile, while there is one.
    pub fn stream(&self, profile: &Segment) -> Option<&EventStream<E>> {
        self.streams.get(profile).map(|running| &running.stream)
    }

    /// What was done so far.
    pub fn counters(&self) -> LiveCounters {
        let (mut stream, mut feeds) = self.ended;
        for running in self.streams.values() {
            stream.add(&running.stream.counters());
            feeds.add(&running.stream.feeds_counters());
        }
        LiveCounters {
            streams: self.streams.len(),
            viewers: self.viewers.len(),
            topics: self.topics.len(),
            has_deadline: self.deadline().is_some(),
            stream,
            feeds,
            ..self.counters
        }
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
    fn want_topics(&mut self, profile: &Segment, scope: Scope, chains: &BTreeSet<Segment>) {
        let mut needed = vec![(E::event_topic(profile, &scope), Brings::Events(scope))];
        for chain in chains {
            let topics = E::state_topics(profile, chain).into_iter();
            needed.extend(topics.map(|topic| (topic, Brings::States)));
        }
        for (topic, brings) in needed {
            if self.topics.contains_key(&topic) {
                continue;
            }
            let profile = profile.clone();
            self.topics.insert(topic.clone(), Place { profile, brings });
            let withdrawn = LiveOrder::Unsubscribe {
                topic: topic.clone(),
            };
            self.order(LiveOrder::Subscribe { topic }, &withdrawn);
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
            let topic = || topic.to_owned();
            let withdrawn = LiveOrder::Subscribe { topic: topic() };
            self.order(LiveOrder::Unsubscribe { topic: topic() }, &withdrawn);
        }
    }

    /// Gives an order, or takes back the one that it would undo.
    fn order(&mut self, order: LiveOrder, opposite: &LiveOrder) {
        match self.orders.iter().position(|given| given == opposite) {
            Some(at) => drop(self.orders.remove(at)),
            None => self.orders.push_back(order),
        }
    }

    fn order_reading(&mut self) {
        let readable = self.stirred.readable.drain(..);
        self.orders
            .extend(readable.map(|viewer| LiveOrder::Readable { viewer }));
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
        debug_assert!(self.streams.len() <= self.settings.profiles_max);
        let seated: usize = self.streams.values().map(|r| r.stream.viewers()).sum();
        debug_assert_eq!(seated, self.viewers.len(), "a viewer sits in one stream");
    }
}

/// The node itself draws from the streams before it.
const KEYS_STREAM: u64 = 2;
