//! What is told to whom when links and interest come and go.

use super::*;

/// `b` is subscribed to `t` of `a`.
fn subscribed() -> (Pair, SubscriberId) {
    let mut pair = Pair::new();
    let id = pair.b.subscribe("t", None).unwrap();
    pair.settle();
    (pair, id)
}

#[test]
fn nothing_is_sent_before_the_answer_is_handed_out() {
    let mut pair = Pair::new();
    let id = pair.b.subscribe("t", None).unwrap();
    assert_eq!(pair.publish("t", "before"), [""; 0]);
    for frame in news(&mut pair.b, pair.conn) {
        pair.a.on_frame(pair.conn, frame, &mut pair.fx);
    }
    assert_eq!(pair.publish("t", "asked"), [""; 0]);
    pair.settle();
    pair.pass("t", "after");
    assert_eq!(read_texts(&mut pair.b, id), ["after"]);
}

#[test]
fn a_jump_of_the_numbers_is_told_before_the_message() {
    let (mut pair, id) = subscribed();
    pair.pass("t", "one");
    pair.publish("t", "lost");
    pair.publish("t", "lost");
    pair.pass("t", "four");
    assert_eq!(read_texts(&mut pair.b, id), ["one", "-2", "four"]);
    assert_eq!(pair.b.counters().missed, 2);
}

#[test]
fn what_a_full_lane_dropped_is_told_at_once_when_all_before_has_come() {
    let (mut pair, id) = subscribed();
    pair.pass("t", "one");
    pair.publish_into_full("t", "lost");
    pair.publish_into_full("t", "lost");
    pair.settle();
    assert_eq!(read_texts(&mut pair.b, id), ["one", "-2"]);
    // It goes on where the first notice ended.
    pair.publish_into_full("t", "lost");
    pair.settle();
    assert_eq!(read_texts(&mut pair.b, id), ["-1"]);
    pair.pass("t", "five");
    assert_eq!(read_texts(&mut pair.b, id), ["five"]);
}

#[test]
fn a_notice_that_overtakes_messages_waits_for_them() {
    let (mut pair, id) = subscribed();
    let on_the_way = [pair.publish("t", "one"), pair.publish("t", "two")].concat();
    pair.publish_into_full("t", "lost");
    pair.settle();
    assert_eq!(read_texts(&mut pair.b, id), [""; 0]);
    pair.publish_into_full("t", "lost");
    pair.settle();
    pair.arrive(on_the_way);
    assert_eq!(read_texts(&mut pair.b, id), ["one", "two", "-2"]);
}

#[test]
fn of_two_notices_that_overtake_messages_the_numbers_tell_the_first() {
    let (mut pair, id) = subscribed();
    let mut on_the_way = pair.publish("t", "one");
    pair.publish_into_full("t", "lost");
    pair.settle();
    on_the_way.extend(pair.publish("t", "three"));
    pair.publish_into_full("t", "lost");
    pair.settle();
    pair.arrive(on_the_way);
    assert_eq!(read_texts(&mut pair.b, id), ["one", "-1", "three", "-1"]);
    pair.pass("t", "five");
    assert_eq!(read_texts(&mut pair.b, id), ["five"]);
}

#[test]
fn a_new_session_begins_with_what_the_old_one_lost() {
    let (mut pair, id) = subscribed();
    pair.pass("t", "one");
    pair.publish("t", "lost on its way");
    pair.cut();
    pair.publish("t", "published meanwhile");
    pair.link(1);
    assert_eq!(read_texts(&mut pair.b, id), ["one", "-2"]);
    pair.pass("t", "four");
    assert_eq!(read_texts(&mut pair.b, id), ["four"]);
}

#[test]
fn a_new_session_of_another_life_begins_anew() {
    let (mut pair, id) = subscribed();
    pair.pass("t", "one");
    pair.publish("t", "lost");
    pair.cut();
    pair.a = hub(0);
    publish(&mut pair.a, "t", "x", &Audience::All).0.unwrap();
    pair.a.renumbered(Incarnation(2));
    pair.link(2);
    pair.pass("t", "two");
    let updates = read(&mut pair.b, id);
    assert_eq!(texts(&updates), ["one", "two"]);
    let Update::Message(last) = &updates[1] else {
        panic!("{updates:?}");
    };
    assert_eq!(last.source.incarnation, Incarnation(2));
}

#[test]
fn what_a_node_itself_publishes_bears_its_incarnation_and_region_of_then() {
    let mut hub = hub(0);
    let id = hub.subscribe("t", None).unwrap();
    publish(&mut hub, "t", "x", &Audience::All).0.unwrap();
    hub.renumbered(Incarnation(5));
    publish(&mut hub, "t", "x", &Audience::All).0.unwrap();
    hub.describe_self(&Description::of(&name(0)));
    publish(&mut hub, "t", "x", &Audience::All).0.unwrap();
    let sources: Vec<_> = read(&mut hub, id)
        .into_iter()
        .map(|update| match update {
            Update::Message(message) => (message.source.incarnation.0, message.number),
            Update::Missed(_) => panic!("nothing was missed"),
        })
        .collect();
    assert_eq!(sources, [(1, 1), (5, 2), (5, 3)]);
}

#[test]
fn a_node_that_was_forgotten_begins_anew() {
    let (mut pair, id) = subscribed();
    pair.pass("t", "one");
    pair.publish("t", "lost");
    // While a link stands nobody is forgotten.
    pair.b.forgotten(&name(0));
    pair.pass("t", "three");
    pair.publish("t", "lost");
    pair.cut();
    pair.b.forgotten(&name(0));
    pair.link(1);
    pair.pass("t", "five");
    assert_eq!(read_texts(&mut pair.b, id), ["one", "-1", "three", "five"]);
}

#[test]
fn a_message_to_a_role_that_a_node_missed_while_it_was_away_is_told_to_it() {
    let (mut pair, id) = subscribed();
    pair.a.described(&name(1), &label("r"), &labels(&["web"]));
    let to_web = Audience::Role(label("web"));
    let (_, sent) = publish(&mut pair.a, "t", "one", &to_web);
    pair.arrive(sent.into_iter().map(|(_, body)| body));
    pair.cut();
    assert_eq!(publish(&mut pair.a, "t", "lost", &to_web).1, []);
    let other = Audience::Role(label("db"));
    assert_eq!(publish(&mut pair.a, "t", "not for it", &other).1, []);
    pair.link(1);
    assert_eq!(read_texts(&mut pair.b, id), ["one", "-1"]);
}

#[test]
fn the_row_of_a_node_that_was_forgotten_does_not_go_back() {
    let (mut pair, id) = subscribed();
    let send = |pair: &mut Pair, payload| {
        let (_, sent) = publish(&mut pair.a, "t", payload, &Audience::Node(name(1)));
        pair.arrive(sent.into_iter().map(|(_, body)| body));
    };
    send(&mut pair, "one");
    send(&mut pair, "two");
    pair.cut();
    // The other one remembers: only one of the two has forgotten.
    pair.a.forgotten(&name(1));
    pair.link(1);
    send(&mut pair, "three");
    assert_eq!(read_texts(&mut pair.b, id), ["one", "two", "three"]);
}

#[test]
fn what_was_dropped_before_a_session_ended_is_told_by_the_next_one() {
    let (mut pair, id) = subscribed();
    pair.pass("t", "one");
    pair.publish_into_full("t", "lost");
    pair.cut();
    pair.link(1);
    assert_eq!(read_texts(&mut pair.b, id), ["one", "-1"]);
    pair.publish_into_full("t", "lost");
    pair.b.unsubscribe(id, &mut pair.fx);
    let id = pair.b.subscribe("t", None).unwrap();
    pair.settle();
    pair.pass("t", "four");
    assert_eq!(read_texts(&mut pair.b, id), ["four"]);
}

#[test]
fn a_message_from_before_a_new_subscription_does_not_come() {
    let (mut pair, old) = subscribed();
    let on_the_way = pair.publish("t", "one");
    pair.b.unsubscribe(old, &mut pair.fx);
    let id = pair.b.subscribe("t", None).unwrap();
    pair.arrive(on_the_way.clone());
    assert_eq!(pair.b.counters().unwanted, 1);
    pair.settle();
    pair.arrive(on_the_way);
    assert_eq!(pair.b.counters().stale, 1);
    pair.pass("t", "two");
    assert_eq!(read_texts(&mut pair.b, id), ["two"]);
}

#[test]
fn a_node_without_interest_any_more_gets_nothing() {
    let (mut pair, id) = subscribed();
    let other = pair.b.subscribe("t", None).unwrap();
    pair.b.unsubscribe(id, &mut pair.fx);
    pair.settle();
    assert_eq!(pair.publish("t", "x").len(), 1);
    pair.b.unsubscribe(other, &mut pair.fx);
    pair.settle();
    assert_eq!(pair.publish("t", "x").len(), 0);
}

#[test]
fn a_link_that_gets_another_in_its_place_takes_its_interest_along() {
    let (mut pair, id) = subscribed();
    let old = pair.conn;
    pair.pass("t", "one");
    let late = pair.publish("t", "lost");
    pair.link(1);
    pair.a.link_down(old);
    pair.b.link_down(old);
    for body in late {
        pair.b.on_message(old, body, &mut pair.fx).unwrap();
    }
    pair.pass("t", "three");
    assert_eq!(read_texts(&mut pair.b, id), ["one", "-1", "three"]);
}

#[test]
fn of_subscriptions_that_come_and_go_a_peer_hears_what_is_left() {
    let mut pair = Pair::new();
    for _ in 0..100 {
        let id = pair.b.subscribe("t", None).unwrap();
        pair.b.unsubscribe(id, &mut pair.fx);
    }
    assert_eq!(news(&mut pair.b, pair.conn), []);
    let id = pair.b.subscribe("t", None).unwrap();
    pair.settle();
    pair.b.unsubscribe(id, &mut pair.fx);
    pair.b.subscribe("t", None).unwrap();
    // Both, so that the numbers of what is sent from now on are told anew.
    let frames = news(&mut pair.b, pair.conn);
    let interest = PubSubFrame::Interest {
        add: vec!["t".into()],
        remove: vec!["t".into()],
    };
    assert_eq!(frames, [interest]);
}

#[test]
fn a_link_with_news_is_named_once() {
    let mut pair = Pair::new();
    assert_eq!(pair.b.noisy(), None);
    pair.b.subscribe("one", None).unwrap();
    pair.b.subscribe("two", None).unwrap();
    assert_eq!(pair.b.noisy(), Some(pair.conn));
    assert_eq!(pair.b.noisy(), None);
    pair.b.subscribe("three", None).unwrap();
    assert_eq!(pair.b.noisy(), Some(pair.conn));
    pair.b.subscribe("four", None).unwrap();
    pair.b.link_down(pair.conn);
    assert_eq!(pair.b.noisy(), None);
}

#[test]
fn ten_thousand_long_topics_are_told_and_answered_in_small_frames() {
    let mut pair = Pair::new();
    for topic in 0..10_000 {
        let topic = format!("{topic:0>256}");
        pair.b.subscribe(&topic, None).unwrap();
    }
    let refused = pair.b.subscribe("one more", None);
    assert_eq!(refused, Err(SubscribeError::TooMany(10_000)));
    // `news` looks at the size of each frame; only now and then at everything.
    while let Some(frame) = pair.b.next_news(pair.conn) {
        pair.a.on_frame(pair.conn, frame, &mut pair.fx);
    }
    let mut starts = 0;
    while let Some(frame) = pair.a.next_news(pair.conn) {
        let mut bytes = Vec::new();
        codec::encode(&Frame::PubSub(frame.clone()), &mut bytes);
        assert!(bytes.len() <= 16 << 10, "{} bytes", bytes.len());
        assert!(bytes.len() > 14 << 10 || starts > 9_900);
        let PubSubFrame::Streams(streams) = &frame else {
            panic!("{frame:?}");
        };
        starts += streams.len();
        pair.b.on_frame(pair.conn, frame, &mut pair.fx);
    }
    assert_eq!(starts, 10_000);
    pair.settle();
}

#[test]
fn the_largest_numbers_fit_into_the_frames() {
    let start = crate::frame::StreamStart {
        topic: "x".repeat(256),
        stream: u32::MAX,
        last_all: u64::MAX,
        last_directed: u64::MAX,
    };
    let range = crate::frame::MissedRange {
        stream: u32::MAX,
        row: Row::Directed,
        from: u64::MAX,
        to: u64::MAX,
    };
    let bytes = |frame| {
        let mut bytes = Vec::new();
        codec::encode(&Frame::PubSub(frame), &mut bytes);
        bytes.len()
    };
    let streams = |count| bytes(PubSubFrame::Streams(vec![start.clone(); count]));
    let missed = |count| bytes(PubSubFrame::Missed(vec![range; count]));
    let interest = |count| {
        bytes(PubSubFrame::Interest {
            add: vec!["x".repeat(256); count],
            remove: vec!["x".repeat(256); count],
        })
    };
    assert!(streams(40) - streams(20) <= 20 * (news::STREAM_BYTES + 256));
    assert!(missed(40) - missed(20) <= 20 * news::RANGE_BYTES);
    assert!(interest(120) - interest(60) <= 120 * (news::TOPIC_HEAD_BYTES + 256));
    assert!(interest(0).max(streams(0)).max(missed(0)) + 10 <= 64);
}
