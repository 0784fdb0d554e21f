//! Peers that want more topics than there is room for: each gets its share, and who is refused asks again.

use super::*;

fn settings(topics_max: usize) -> PubSubSettings {
    PubSubSettings {
        topics_max,
        ..PubSubSettings::default()
    }
}

/// A link to the peer of this number.
fn conn(peer: usize) -> ConnId {
    ConnId::In(peer as u64)
}

fn ask(hub: &mut Hub, peer: usize, topics: impl Iterator<Item = usize>) -> u64 {
    let before = hub.counters().interest_refused;
    let frame = PubSubFrame::Interest {
        add: topics.map(|topic| topic.to_string()).collect(),
        remove: Vec::new(),
    };
    hub.on_frame(conn(peer), frame, &mut Effects::default());
    hub.assert_invariants();
    hub.counters().interest_refused - before
}

#[test]
fn peers_that_want_every_topic_leave_a_share_to_others() {
    let mut hub = hub_with(0, &settings(80));
    for peer in 1..=8 {
        hub.link_up(conn(peer), &identity(peer, 1));
    }
    for round in 0..20 {
        for peer in 1..=7 {
            let first = 1_000 * peer + 10 * round;
            ask(&mut hub, peer, first..first + 10);
        }
    }
    assert_eq!(ask(&mut hub, 8, 0..5), 0, "there is room for another one");
    assert_eq!(
        ask(&mut hub, 8, 0..5),
        0,
        "asked again, and not counted again"
    );
    // What others have already takes no further room.
    assert_eq!(ask(&mut hub, 8, 1_000..1_008), 0);
    // They leave, and what they had is free.
    for peer in 1..=7 {
        hub.link_down(conn(peer));
    }
    assert_eq!(ask(&mut hub, 8, 100..120), 0);
}

#[test]
fn a_topic_counts_towards_the_next_of_those_who_want_it() {
    let mut hub = hub_with(0, &settings(8));
    for peer in [1, 2] {
        hub.link_up(conn(peer), &identity(peer, 1));
        assert_eq!(ask(&mut hub, peer, 0..4), 0);
    }
    // The second one wants them still: no room for four more of its own.
    hub.link_down(conn(1));
    hub.assert_invariants();
    assert_eq!(ask(&mut hub, 2, 10..14), 4);
}

/// A publisher whose tables are filled by somebody else, and a subscriber.
fn crowded() -> (Pair, SubscriberId) {
    let mut pair = Pair::of(hub_with(0, &settings(3)), hub(1));
    pair.a.link_up(conn(50), &identity(5, 1));
    assert_eq!(ask(&mut pair.a, 50, 0..3), 1);
    let id = pair.b.subscribe("x", None).unwrap();
    let other = pair.b.subscribe("y", None).unwrap();
    pair.settle();
    assert!(
        pair.a.topics.find("x").is_some(),
        "the first one found room"
    );
    pair.b.unsubscribe(id, &mut Effects::default());
    pair.settle();
    (pair, other)
}

#[test]
fn who_is_refused_is_told_and_recovers_once_there_is_room() {
    let (mut pair, id) = crowded();
    let (_, waker) = waker();
    assert_eq!(pair.b.counters().interest_denied, 1);
    let refusing = BTreeSet::from([name(0)]);
    assert_eq!(pair.b.take_refusing(), refusing, "the operator is told");
    assert_eq!(pair.b.refused_by(id), [name(0)]);
    assert!(!pair.b.is_heard(id, &waker));
    // There is still no room, or not enough.
    for again in 2..4 {
        ask(&mut pair.a, 50, 90 * again..90 * again + 1);
        pair.a.subscribe(&format!("own {again}"), None).unwrap();
        pair.b.ask_again();
        pair.settle();
        assert_eq!(pair.b.counters().interest_denied, again as u64);
        assert_eq!(pair.b.refused_by(id), [name(0)]);
    }
    assert!(!pair.b.has_refusing(), "the operator is told once");
    // The others leave, and so does this node's own interest.
    pair.a.link_down(conn(50));
    let own: Vec<_> = pair.a.audits().map(|(id, _)| id).collect();
    for id in own {
        pair.a.unsubscribe(id, &mut Effects::default());
    }
    pair.b.ask_again();
    pair.settle();
    assert_eq!(pair.b.refused_by(id), []);
    assert!(pair.b.is_heard(id, &waker));
    pair.pass("y", "heard");
    assert_eq!(read_texts(&mut pair.b, id), ["heard"]);
    pair.b.ask_again();
    assert_eq!(pair.b.refusing(), 0);
}

#[test]
fn a_topic_that_is_asked_for_again_loses_nothing() {
    let mut pair = Pair::new();
    let id = pair.b.subscribe("t", None).unwrap();
    pair.settle();
    let under_way = pair.publish("t", "one");
    // A member may say so though it has refused nothing.
    let refused = PubSubFrame::InterestRefused;
    pair.b.on_frame(pair.conn, refused, &mut pair.fx);
    let frame = PubSubFrame::Interest {
        add: vec!["t".into()],
        remove: Vec::new(),
    };
    pair.a.on_frame(pair.conn, frame, &mut pair.fx);
    pair.settle();
    pair.arrive(under_way);
    pair.pass("t", "two");
    assert_eq!(read_texts(&mut pair.b, id), ["one", "two"]);
    pair.b.ask_again();
    assert_eq!(pair.b.refusing(), 0);
}

#[test]
fn one_step_looks_at_few_topics_and_all_are_asked_for_in_turn() {
    let mut hub = hub(0);
    for topic in 0..3_000 {
        hub.subscribe(&topic.to_string(), None).unwrap();
    }
    hub.link_up(conn(1), &identity(1, 1));
    news(&mut hub, conn(1));
    hub.on_frame(
        conn(1),
        PubSubFrame::InterestRefused,
        &mut Effects::default(),
    );
    let mut asked = BTreeSet::new();
    for most in [1_024, 1_024, 952] {
        hub.ask_again();
        let mut now = Vec::new();
        for frame in news(&mut hub, conn(1)) {
            let PubSubFrame::Interest { add, .. } = frame else {
                panic!("nothing but topics is asked for");
            };
            now.extend(add);
        }
        assert_eq!(now.len(), most);
        asked.extend(now);
    }
    assert_eq!(asked.len(), 3_000);
    assert_eq!(hub.refusing(), 1, "none has an answer");
}

fn waker() -> (Arc<Quiet>, core::task::Waker) {
    let quiet = Arc::new(Quiet);
    (Arc::clone(&quiet), core::task::Waker::from(quiet))
}

/// Wakes nobody.
struct Quiet;

impl std::task::Wake for Quiet {
    fn wake(self: Arc<Self>) {}
}
