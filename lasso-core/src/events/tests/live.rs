//! The streams of a node and the topics that they need.

use std::collections::BTreeSet;

use bytes::Bytes;
use proptest::prelude::*;

use super::super::routing::publishes;
use super::super::topics;
use super::*;
use crate::name::Incarnation;
use crate::plane::{Content, Message, Row, Source, Update};

/// A machine and whoever drives it: does what is due and what is ordered.
struct Node {
    live: Live<RoutingEvent>,
    now_ms: u64,
    subscribed: BTreeSet<String>,
    readable: Vec<ViewerId>,
}

impl Node {
    fn new(settings: EventSettings) -> Self {
        Node {
            live: Live::new(settings, [1, 2]),
            now_ms: 0,
            subscribed: BTreeSet::new(),
            readable: Vec::new(),
        }
    }

    fn obey(&mut self) {
        assert_eq!(self.obey_but(""), [], "every topic can be had");
    }

    /// Does what is ordered, but for a topic that cannot be subscribed to: who was turned away.
    fn obey_but(&mut self, refused: &str) -> Vec<ViewerId> {
        let mut turned_away = Vec::new();
        while let Some(order) = self.live.poll() {
            match order {
                LiveOrder::Subscribe { topic } if topic == refused => {
                    let unix_ms = EPOCH_MS + self.now_ms;
                    turned_away.extend(self.live.on_refused(ms(self.now_ms), unix_ms, &topic));
                }
                LiveOrder::Subscribe { topic } => {
                    assert!(self.subscribed.insert(topic), "it is not subscribed to yet");
                }
                LiveOrder::Unsubscribe { topic } => {
                    assert!(self.subscribed.remove(&topic), "it is subscribed to");
                }
                LiveOrder::Readable { viewer } => self.readable.push(viewer),
            }
        }
        turned_away
    }

    fn view(&mut self, profile: &str, scope: Scope, chains: &[&str]) -> Seat<RoutingEvent> {
        let seat = self.try_view(profile, scope, chains).unwrap();
        self.obey();
        seat
    }

    fn try_view(
        &mut self,
        profile: &str,
        scope: Scope,
        chains: &[&str],
    ) -> Result<Seat<RoutingEvent>, ScopeError> {
        let chains: Vec<Segment> = chains.iter().map(|chain| segment(chain)).collect();
        let (now, profile) = (ms(self.now_ms), segment(profile));
        let pass = Pass::operator(profile.clone());
        self.live
            .view(now, &profile, &chains, &pass, scope, || coverage(1))
    }

    fn leave(&mut self, viewer: ViewerId) {
        let unix_ms = EPOCH_MS + self.now_ms;
        self.live.leave(ms(self.now_ms), unix_ms, viewer);
        self.obey();
    }

    fn update(&mut self, topic: &str, update: &Update) {
        let unix_ms = EPOCH_MS + self.now_ms;
        self.live.on_update(ms(self.now_ms), unix_ms, topic, update);
        self.obey();
    }

    fn bytes(&mut self, topic: &str, payload: impl Into<Bytes>) {
        self.update(topic, &message(topic, payload.into()));
    }

    /// An event is published; what nobody has subscribed to does not come.
    fn comes(&mut self, event: &RoutingEvent) {
        for (topic, copy) in publishes(event) {
            if self.subscribed.contains(&topic) {
                self.bytes(&topic, copy.encode());
            }
        }
    }

    fn run_to(&mut self, at_ms: u64) {
        while let Some(due) = self.live.deadline().filter(|due| *due <= ms(at_ms)) {
            self.now_ms = u64::try_from(due.since_start().as_millis()).unwrap();
            self.live.tick(due, EPOCH_MS + self.now_ms);
            self.obey();
            let next = self.live.deadline();
            assert!(next.is_none_or(|next| next > due), "it is done");
        }
        self.now_ms = at_ms;
    }

    fn read(&mut self, viewer: ViewerId) -> Delivery<RoutingEvent> {
        self.live.read(viewer).expect("something has come")
    }
}

fn message(topic: &str, payload: Bytes) -> Update {
    Update::Message(Message::from(Content {
        source: Arc::new(Source {
            topic: topic.into(),
            node: node(1),
            incarnation: Incarnation(1),
            region: label("iad"),
        }),
        row: Row::All,
        number: 1,
        unix_ms: EPOCH_MS,
        payload,
    }))
}

fn subscribed(node: &Node) -> Vec<&str> {
    node.subscribed.iter().map(String::as_str).collect()
}

const DECISIONS: &str = "routing:decisions:premium";
const HEIGHTS: &str = "block_sync:premium:eth";

#[test]
fn a_topic_is_subscribed_to_while_a_feed_needs_it() {
    let mut node = Node::new(EventSettings::default());
    let whole = node.view("premium", Scope::Profile, &["eth"]).viewer;
    let states = [
        "block_sync:premium:eth",
        "circuit:events:premium:eth",
        "provider_pool:events:premium:eth",
    ];
    assert_eq!(subscribed(&node)[..3], states);
    assert_eq!(subscribed(&node)[3..], [DECISIONS]);
    let part = node.view("premium", account("acme"), &[]).viewer;
    assert_eq!(node.subscribed.len(), 5);
    node.view("premium", Scope::Profile, &["eth", "base"]);
    assert_eq!(node.subscribed.len(), 8, "the chains of all viewers");

    node.leave(part);
    node.run_to(29_999);
    assert_eq!(node.subscribed.len(), 8, "it lingers");
    node.run_to(30_000);
    assert_eq!(node.subscribed.len(), 7, "the account's feed has ended");
    node.leave(whole);
    node.run_to(120_000);
    assert_eq!(node.subscribed.len(), 7, "another looks at the profile");
}

#[test]
fn with_the_last_feed_of_a_profile_nothing_of_it_is_left() {
    let mut node = Node::new(EventSettings::default());
    let one = node.view("premium", Scope::Profile, &["eth"]).viewer;
    let other = node.view("premium", account("acme"), &["base"]).viewer;
    node.comes(&event("a", 0));
    node.leave(one);
    node.leave(other);
    assert_eq!(node.live.deadline(), Some(ms(30_000)));
    node.run_to(30_000);
    assert_eq!((node.subscribed.len(), node.live.deadline()), (0, None));
    let counters = node.live.counters();
    assert_eq!(
        (counters.streams, counters.topics, counters.viewers),
        (0, 0, 0)
    );
    assert_eq!((counters.stream.received, counters.stream.admitted), (1, 2));
    assert_eq!(counters.feeds.dedup.fresh, 1, "what was done stays counted");
}

#[test]
fn a_viewer_that_comes_while_the_stream_lingers_finds_everything() {
    let mut node = Node::new(EventSettings::default());
    let first = node.view("premium", Scope::Profile, &["eth"]).viewer;
    node.leave(first);
    node.run_to(29_000);
    node.comes(&event("a", 29_000));
    node.comes(&height(1, 29_000, 100));
    let second = node.view("premium", Scope::Profile, &[]);
    assert_ne!(second.viewer, first);
    assert_eq!(ids(&second.snapshot), ["a"]);
    assert_eq!(second.snapshot.states.changed.len(), 1);
    assert_eq!(node.subscribed.len(), 4);
    node.run_to(60_000);
    assert_eq!(subscribed(&node), [DECISIONS], "nobody names the chain");
}

#[test]
fn states_reach_every_scope_and_events_their_own() {
    let mut node = Node::new(EventSettings::default());
    let whole = node.view("premium", Scope::Profile, &["eth"]).viewer;
    let acme = node.view("premium", account("acme"), &[]).viewer;
    let other = node.view("premium", account("other"), &[]).viewer;
    node.comes(&height(1, 0, 100));
    node.comes(&event_of("a", 0, "acme"));
    node.run_to(500);
    assert_eq!(node.readable, [whole, acme, other]);
    for (viewer, events) in [(whole, 1), (acme, 1), (other, 0)] {
        let seen = node.read(viewer);
        assert_eq!((seen.events.len(), seen.states.changed.len()), (events, 1));
    }
}

#[test]
fn from_the_topic_of_a_scope_come_events_and_from_that_of_a_chain_states() {
    let mut node = Node::new(EventSettings::default());
    let viewer = node.view("premium", Scope::Profile, &["eth"]).viewer;
    node.bytes(HEIGHTS, event("a", 0).encode());
    node.bytes(DECISIONS, height(1, 0, 100).encode());
    node.bytes(DECISIONS, event_of("b", 0, "acme").encode());
    node.run_to(2_000);
    assert!(node.read(viewer).is_heartbeat());
    let counters = node.live.counters();
    assert_eq!((counters.mixed, counters.stream.misplaced), (2, 1));
}

#[test]
fn what_is_no_event_or_of_no_topic_here_is_counted_and_nothing_else() {
    let mut node = Node::new(EventSettings::default());
    let viewer = node.view("premium", Scope::Profile, &[]).viewer;
    node.bytes(DECISIONS, "no event");
    node.bytes(DECISIONS, b"\x81\xa4kind\xadof_the_future".as_slice());
    node.bytes("routing:decisions:free", event("a", 0).encode());
    node.update("another", &Update::Missed(3));
    node.run_to(2_000);
    assert!(node.read(viewer).is_heartbeat());
    let counters = node.live.counters();
    let seen = (counters.malformed, counters.unknown, counters.stray);
    assert_eq!(seen, (1, 1, 2));
}

#[test]
fn what_a_topic_missed_is_told_to_those_who_would_have_had_it() {
    let mut node = Node::new(EventSettings::default());
    let whole = node.view("premium", Scope::Profile, &["eth"]).viewer;
    let acme = node.view("premium", account("acme"), &[]).viewer;
    node.update(DECISIONS, &Update::Missed(3));
    node.run_to(500);
    assert_eq!(node.readable, [whole], "the other has lost nothing");
    assert_eq!(node.read(whole).lost, 3);
    node.update(HEIGHTS, &Update::Missed(2));
    node.run_to(1_000);
    assert_eq!((node.read(whole).lost, node.read(acme).lost), (2, 2));
    node.leave(acme);
    node.leave(whole);
    node.update(DECISIONS, &Update::Missed(7));
    let seat = node.view("premium", Scope::Profile, &[]);
    assert_eq!(seat.snapshot.lost, 0, "it was not there");
    assert_eq!(node.live.counters().stream.missed, 12);
}

#[test]
fn a_topic_that_was_refused_is_asked_for_again_with_the_next_viewer() {
    let mut node = Node::new(EventSettings::default());
    let viewer = node
        .try_view("premium", Scope::Profile, &[])
        .unwrap()
        .viewer;
    assert_eq!(node.obey_but(DECISIONS), [viewer]);
    assert_eq!(node.live.deadline(), None, "nothing is kept of it");
    node.view("premium", Scope::Profile, &[]);
    assert_eq!(subscribed(&node), [DECISIONS]);
}

#[test]
fn the_chains_of_a_viewer_that_was_turned_away_are_nobodys() {
    let mut node = Node::new(EventSettings::default());
    let first = node.view("premium", Scope::Profile, &["eth"]).viewer;
    let second = node.try_view("premium", account("acme"), &["eth", "base"]);
    let second = second.unwrap().viewer;
    let turned_away = node.obey_but("circuit:events:premium:base");
    assert_eq!(turned_away, [second], "and not the first");
    assert_eq!(node.subscribed.len(), 4, "what the first one wants");
    let first_wants = ["base", "acme"].map(|gone| {
        let mut topics = node.subscribed.iter();
        topics.all(|topic| !topic.ends_with(gone))
    });
    assert_eq!(first_wants, [true; 2], "what it alone wanted is given back");
    node.try_view("premium", account("other"), &[]).unwrap();
    let topic = "routing:decisions:premium:account:other".to_owned();
    assert_eq!(node.live.poll(), Some(LiveOrder::Subscribe { topic }));
    assert_eq!(node.live.poll(), None, "its own topic and no other's");
    node.comes(&height(1, 0, 100));
    node.run_to(500);
    assert_eq!(node.read(first).states.changed.len(), 1);
}

#[test]
fn the_chains_of_a_viewer_that_has_left_are_held_for_a_while_and_keep_nobody_out() {
    let settings = EventSettings {
        chains_max: 2,
        ..EventSettings::default()
    };
    let mut node = Node::new(settings);
    node.view("premium", Scope::Profile, &[]);
    let acme = node
        .view("premium", account("acme"), &["a", "b", "a"])
        .viewer;
    let crowd = node.try_view("premium", account("other"), &["c"]);
    assert!(matches!(
        crowd.unwrap_err(),
        ScopeError::TooManyChains { max: 2, .. }
    ));
    node.leave(acme);
    assert_eq!(node.subscribed.len(), 8, "they linger");
    let other = node.view("premium", account("other"), &["c"]).viewer;
    assert_eq!(node.subscribed.len(), 9, "one of them gives way");
    node.run_to(29_999);
    assert_eq!(node.subscribed.len(), 9);
    node.run_to(30_000);
    let left = ["block_sync:premium:c", "circuit:events:premium:c"];
    assert_eq!(subscribed(&node)[..2], left);
    assert_eq!(node.subscribed.len(), 5, "c, and two scopes");
    node.leave(other);
    let back = node.view("premium", Scope::Profile, &["c"]).viewer;
    node.run_to(120_000);
    assert_eq!(node.subscribed.len(), 4, "another has named it since");
    node.leave(back);
    node.run_to(150_000);
    assert_eq!(subscribed(&node), [DECISIONS], "the first is still there");
}

#[test]
fn orders_that_would_undo_each_other_are_never_given() {
    let mut node = Node::new(EventSettings::default());
    for _ in 0..3 {
        let viewer = node
            .try_view("premium", account("acme"), &["eth"])
            .unwrap()
            .viewer;
        node.live.leave(ms(node.now_ms), EPOCH_MS, viewer);
        node.now_ms += 30_000;
        node.live.tick(ms(node.now_ms), EPOCH_MS);
    }
    assert_eq!(node.live.poll(), None);
}

#[test]
fn what_is_beyond_a_bound_is_turned_away_and_changes_nothing() {
    let settings = EventSettings {
        profiles_max: 1,
        chains_max: 2,
        ..EventSettings::default()
    };
    let mut node = Node::new(settings);
    node.view("premium", Scope::Profile, &["eth"]);
    let crowd = node.try_view("free", Scope::Profile, &[]).unwrap_err();
    assert_eq!(crowd, ScopeError::TooManyProfiles(1));
    let many = node.try_view("premium", Scope::Profile, &["base", "poly"]);
    let (profile, max) = (segment("premium"), 2);
    assert_eq!(
        many.unwrap_err(),
        ScopeError::TooManyChains { profile, max }
    );
    node.view("premium", Scope::Profile, &["base"]);
    let (now, free) = (ms(0), Pass::operator(segment("free")));
    let chains = [segment("x"), segment("y")];
    for profile in [segment("premium"), segment("other")] {
        let refused = node
            .live
            .view(now, &profile, &chains, &free, Scope::Profile, || {
                coverage(1)
            });
        assert_eq!(
            refused.unwrap_err(),
            ScopeError::NotYours,
            "and nothing more"
        );
    }
    let counters = node.live.counters();
    assert_eq!((counters.stream.crowded, counters.stream.refused), (2, 2));
    assert_eq!(
        (counters.viewers, counters.streams, counters.topics),
        (2, 1, 7)
    );
}

#[test]
fn coverage_is_known_to_streams_that_begin_later() {
    let mut node = Node::new(EventSettings::default());
    let seat = node.view("premium", Scope::Profile, &[]);
    assert_eq!(seat.snapshot.coverage.unwrap().connected, 1, "as of now");
    node.live.set_coverage(ms(0), coverage(3));
    let later = node.view("free", Scope::Profile, &[]);
    assert_eq!(later.snapshot.coverage.unwrap().connected, 3);
    node.run_to(500);
    let told = node.read(seat.viewer).coverage;
    assert_eq!(told.unwrap().connected, 3);
    assert_eq!(node.readable, [seat.viewer], "the other knew it");
    for viewer in [seat.viewer, later.viewer] {
        node.leave(viewer);
    }
    node.run_to(40_000);
    let seat = node.view("premium", Scope::Profile, &[]);
    let told = seat.snapshot.coverage.unwrap().connected;
    assert_eq!(told, 1, "what has changed since was told to nobody");
}

#[test]
fn a_feed_that_nobody_has_looked_at_ends_with_the_viewer_that_was_turned_away() {
    let mut node = Node::new(EventSettings::default());
    let first = node.view("premium", account("acme"), &["eth"]).viewer;
    node.run_to(1_000);
    node.leave(first);
    node.run_to(10_000);
    // Somebody has looked at the account's feed and at the chain: they are kept as long as before.
    for scope in [account("acme"), Scope::Profile] {
        let viewer = node.try_view("premium", scope, &["eth", "base"]);
        let viewer = viewer.unwrap().viewer;
        assert_eq!(node.obey_but("block_sync:premium:base"), [viewer]);
        assert_eq!(node.live.deadline(), Some(ms(31_000)));
        assert_eq!((node.live.viewers(), node.subscribed.len()), (0, 4));
    }
    node.run_to(31_000);
    assert_eq!((node.live.deadline(), node.subscribed.len()), (None, 0));
    assert_eq!(node.live.on_refused(ms(31_000), EPOCH_MS, DECISIONS), []);
}

#[test]
#[should_panic(expected = "events.batch_max is 0")]
fn settings_out_of_range_are_refused_before_anybody_looks() {
    let settings = EventSettings {
        batch_max: 0,
        ..EventSettings::default()
    };
    Live::<RoutingEvent>::new(settings, [1, 2]);
}

#[test]
#[should_panic(expected = "events.linger is 0ns")]
fn a_stream_refuses_settings_out_of_range_too() {
    let settings = EventSettings {
        linger: Duration::ZERO,
        ..EventSettings::default()
    };
    EventStream::<RoutingEvent>::new(segment("premium"), settings, [1, 2]);
}

#[test]
fn what_is_published_of_an_event_comes_back_from_the_topics_that_are_subscribed_to() {
    let scopes = [Scope::Profile, account("acme")];
    let (profile, chain) = (segment("premium"), segment("eth"));
    let mut known: BTreeSet<String> = RoutingEvent::state_topics(&profile, &chain)
        .into_iter()
        .collect();
    known.extend(scopes.map(|scope| RoutingEvent::event_topic(&profile, &scope)));
    let events = [
        event_of("a", 0, "acme"),
        height(1, 0, 1),
        circuit(1, 0, CircuitState::Open),
    ];
    for event in &events {
        for (topic, copy) in event.publishes() {
            assert!(known.contains(&topic), "{topic}");
            assert_eq!(RoutingEvent::decode(&copy.encode()), Ok(Some(copy)));
        }
    }
    assert!(known.contains(&topics::provider_pool(&profile, &chain)));
}

proptest! {
    #[test]
    fn whatever_viewers_do_topics_are_those_of_the_feeds(
        script in proptest::collection::vec((0_u8..4, 0_u8..3, 0_u64..40_000), 1..60),
    ) {
        let mut node = Node::new(EventSettings::default());
        let mut seated = Vec::new();
        for (what, which, wait) in script {
            let scope = if which == 0 { Scope::Profile } else { account(&which.to_string()) };
            let profile = if wait % 2 == 0 { "premium" } else { "free" };
            match what {
                0 | 1 => seated.push(node.view(profile, scope, &["eth"][..usize::from(what)]).viewer),
                2 if !seated.is_empty() => node.leave(seated.remove(usize::from(which) % seated.len())),
                _ => node.run_to(node.now_ms + wait),
            }
            let mut feeds = 0;
            for profile in ["premium", "free"].map(segment) {
                for scope in node.live.stream(&profile).into_iter().flat_map(EventStream::scopes) {
                    feeds += 1;
                    prop_assert!(node.subscribed.contains(&RoutingEvent::event_topic(&profile, scope)));
                }
            }
            let of_events = node.subscribed.iter().filter(|topic| topic.starts_with("routing"));
            prop_assert_eq!(of_events.count(), feeds);
            prop_assert_eq!(node.live.deadline().is_some(), feeds > 0);
            prop_assert_eq!(node.live.viewers(), seated.len());
        }
    }
}

#[test]
fn what_waits_for_its_batch_goes_at_once_when_nothing_more_is_to_come() {
    let mut node = Node::new(EventSettings::default());
    let whole = node.view("premium", Scope::Profile, &[]).viewer;
    let idle = node.view("premium", account("acme"), &[]).viewer;
    node.run_to(100);
    node.comes(&event("a", 100));
    assert!(
        node.live.read(whole).is_none(),
        "it waits for half a second"
    );
    node.live.hurry(ms(100), EPOCH_MS + 100);
    node.obey();
    assert_eq!(node.readable, [whole]);
    let delivery = node.live.read(whole).unwrap();
    assert_eq!((delivery.events.len(), delivery.lost), (1, 0));
    assert_eq!(
        delivery.figures.changed[0].1.calls, 1,
        "the figures are of now"
    );
    assert!(node.live.read(idle).is_none(), "for it nothing had come");
    node.live.hurry(ms(100), EPOCH_MS + 100);
    node.obey();
    assert!(node.live.read(whole).is_none(), "it went once");
}

#[test]
fn what_takes_no_adding_up_is_as_it_is_with_it() {
    let mut node = Node::new(EventSettings::default());
    node.view("premium", Scope::Profile, &["eth"]);
    node.view("free", Scope::Profile, &[]);
    node.comes(&event("a", 0));
    let (all, present) = (node.live.counters(), node.live.present());
    let (stream, feeds) = (all.stream, all.feeds);
    assert_eq!(
        all,
        LiveCounters {
            stream,
            feeds,
            ..present
        }
    );
    assert_eq!(node.live.size(), 2 + 2 + 5, "streams, viewers, topics");
}
