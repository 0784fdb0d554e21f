//! Who gets what.

use super::*;

fn reached(subscribers: usize, nodes: usize) -> Reach {
    Reach {
        subscribers,
        nodes,
        ..Reach::default()
    }
}

/// Hub 0 linked to hubs 1, 2 and 3, of which 1 and 2 want topic `t`, and have the role `web` and
/// the roles `web` and `db`.
fn star() -> (Hub, Vec<Hub>) {
    let mut centre = hub(0);
    let mut others = Vec::new();
    for (node, wants, roles) in [
        (1, true, &["web"][..]),
        (2, true, &["web", "db"]),
        (3, false, &["web"]),
    ] {
        let conn = ConnId::In(node as u64);
        let mut other = hub(node);
        if wants {
            other.subscribe("t", None).unwrap();
        }
        centre.link_up(conn, &identity(node, 1));
        other.link_up(conn, &identity(0, 1));
        centre.described(&name(node), &label("r"), &labels(roles));
        for frame in news(&mut other, conn) {
            centre.on_frame(conn, frame, &mut Effects::default());
        }
        for frame in news(&mut centre, conn) {
            other.on_frame(conn, frame, &mut Effects::default());
        }
        others.push(other);
    }
    (centre, others)
}

fn targets(sent: &Sent) -> Vec<u64> {
    sent.iter().map(|&(conn, _)| number(conn)).collect()
}

#[test]
fn a_publish_goes_once_to_each_interested_node_and_as_the_same_bytes() {
    let (mut centre, mut others) = star();
    let (reach, sent) = publish(&mut centre, "t", "x", &Audience::All);
    assert_eq!(targets(&sent), [1, 2]);
    assert_eq!(sent[0].1, sent[1].1);
    let expected = Reach {
        fullest_lane_bytes: 200,
        ..reached(0, 2)
    };
    assert_eq!(reach, Ok(expected));
    for (node, (conn, body)) in sent.into_iter().enumerate() {
        let mut fx = Effects::default();
        others[node].on_message(conn, body, &mut fx).unwrap();
        assert_eq!(others[node].counters().delivered, 1);
    }
    assert_eq!(publish(&mut centre, "other", "x", &Audience::All).1, []);
}

#[test]
fn a_peer_with_many_subscribers_gets_a_message_once_and_each_of_them_has_it() {
    let mut pair = Pair::new();
    let ids: Vec<_> = (0..5)
        .map(|_| pair.b.subscribe("t", None).unwrap())
        .collect();
    pair.settle();
    let sent = pair.publish("t", "x");
    assert_eq!(sent.len(), 1);
    pair.arrive(sent);
    for id in ids {
        assert_eq!(read_texts(&mut pair.b, id), ["x"]);
    }
}

#[test]
fn a_message_says_where_it_comes_from() {
    let mut pair = Pair::new();
    pair.b.described(&name(0), &label("iad"), &labels(&[]));
    let id = pair.b.subscribe("t", None).unwrap();
    pair.settle();
    pair.pass("t", "one");
    pair.b.described(&name(0), &label("sjc"), &labels(&[]));
    pair.pass("t", "two");
    let updates = read(&mut pair.b, id);
    let [Update::Message(one), Update::Message(two)] = &updates[..] else {
        panic!("{updates:?}");
    };
    assert_eq!((&*one.source.topic, one.unix_ms), ("t", 7));
    assert_eq!(one.source.node, name(0));
    assert_eq!(one.source.incarnation, Incarnation(1));
    assert_eq!((one.row, one.number), (Row::All, 1));
    assert_eq!((two.row, two.number), (Row::All, 2));
    assert_eq!(one.source.region, label("iad"));
    assert_eq!(two.source.region, label("sjc"));
}

#[test]
fn one_stream_has_one_source() {
    let mut pair = Pair::new();
    let id = pair.b.subscribe("t", None).unwrap();
    pair.settle();
    pair.pass("t", "one");
    pair.pass("t", "two");
    let updates = read(&mut pair.b, id);
    let [Update::Message(one), Update::Message(two)] = &updates[..] else {
        panic!("{updates:?}");
    };
    assert!(Arc::ptr_eq(&one.source, &two.source));
}

#[test]
fn a_message_to_a_node_goes_nowhere_else() {
    let (mut centre, _) = star();
    let local = centre.subscribe("t", None).unwrap();
    let (reach, sent) = publish(&mut centre, "t", "x", &Audience::Node(name(2)));
    assert_eq!(targets(&sent), [2]);
    assert_eq!(reach.unwrap().nodes, 1);
    // Linked, but not interested.
    let (reach, sent) = publish(&mut centre, "t", "x", &Audience::Node(name(3)));
    assert_eq!((reach, sent.len()), (Ok(reached(0, 0)), 0));
    let (reach, _) = publish(&mut centre, "t", "x", &Audience::Node(name(9)));
    assert_eq!(reach, Err(PublishError::NotConnected(name(9))));
    assert_eq!(read_texts(&mut centre, local), [""; 0]);
    let (reach, sent) = publish(&mut centre, "t", "mine", &Audience::Node(name(0)));
    assert_eq!((reach, sent.len()), (Ok(reached(1, 0)), 0));
    assert_eq!(read_texts(&mut centre, local), ["mine"]);
}

#[test]
fn a_message_to_a_node_whose_link_is_lost_is_refused() {
    let mut pair = Pair::new();
    pair.b.subscribe("t", None).unwrap();
    pair.settle();
    pair.cut();
    let (reach, _) = publish(&mut pair.a, "t", "x", &Audience::Node(name(1)));
    assert_eq!(reach, Err(PublishError::NotConnected(name(1))));
}

#[test]
fn a_local_message_leaves_no_node() {
    let (mut centre, _) = star();
    let local = centre.subscribe("t", None).unwrap();
    let (reach, sent) = publish(&mut centre, "t", "x", &Audience::Local);
    assert_eq!((reach, sent.len()), (Ok(reached(1, 0)), 0));
    assert_eq!(read_texts(&mut centre, local), ["x"]);
}

#[test]
fn a_message_to_a_role_goes_to_those_who_have_it_this_node_included() {
    let (mut centre, _) = star();
    let local = centre.subscribe("t", None).unwrap();
    for (role, own, nodes) in [("web", false, &[1, 2][..]), ("db", false, &[2])] {
        let (reach, sent) = publish(&mut centre, "t", "x", &Audience::Role(label(role)));
        assert_eq!(targets(&sent), nodes);
        assert_eq!(reach.unwrap().subscribers, usize::from(own));
    }
    centre.describe_self(&description(0, &["db"]));
    let (reach, sent) = publish(&mut centre, "t", "mine", &Audience::Role(label("db")));
    assert_eq!((reach.unwrap().subscribers, targets(&sent)), (1, vec![2]));
    centre.described(&name(2), &label("r"), &labels(&[]));
    let (reach, sent) = publish(&mut centre, "t", "mine", &Audience::Role(label("db")));
    assert_eq!((reach, sent.len()), (Ok(reached(1, 0)), 0));
    assert_eq!(read_texts(&mut centre, local), ["mine", "mine"]);
}

#[test]
fn rows_are_numbered_each_by_itself_and_those_of_a_receiver_are_its_own() {
    let (mut centre, mut others) = star();
    let local = centre.subscribe("t", None).unwrap();
    let audiences = [
        Audience::All,
        Audience::Node(name(1)),
        Audience::All,
        Audience::Local,
        Audience::Role(label("web")),
    ];
    let mut numbers = [Vec::new(), Vec::new()];
    for audience in &audiences {
        for (conn, body) in publish(&mut centre, "t", "x", audience).1 {
            let (head, _) = wire::decode(&body).unwrap();
            numbers[number(conn) as usize - 1].push((head.row, head.number));
            let other = &mut others[number(conn) as usize - 1];
            other
                .on_message(conn, body, &mut Effects::default())
                .unwrap();
        }
    }
    let (all, directed) = (Row::All, Row::Directed);
    assert_eq!(
        numbers[0],
        [(all, 1), (directed, 1), (all, 2), (directed, 2)]
    );
    assert_eq!(numbers[1], [(all, 1), (all, 2), (directed, 1)]);
    let own = read(&mut centre, local).into_iter().map(|update| {
        let Update::Message(message) = update else {
            panic!("{update:?}");
        };
        (message.row, message.number)
    });
    assert_eq!(own.collect::<Vec<_>>(), [(all, 1), (all, 2), (directed, 1)]);
    assert_eq!(
        (others[0].counters().missed, others[1].counters().missed),
        (0, 0)
    );
}

#[test]
fn a_refused_publish_uses_up_no_number() {
    let mut hub = hub(0);
    let id = hub.subscribe("t", None).unwrap();
    let long: &'static str = "x".repeat(PAYLOAD_MAX + 1).leak();
    let too_large = PublishError::TooLarge {
        bytes: PAYLOAD_MAX + 1,
        max: PAYLOAD_MAX,
    };
    for (topic, payload, error) in [
        ("", "x", PublishError::Topic(0)),
        (&"x".repeat(257), "x", PublishError::Topic(257)),
        ("t", long, too_large),
    ] {
        let (reach, _) = publish(&mut hub, topic, payload, &Audience::All);
        assert_eq!(reach, Err(error));
    }
    let longest = "x".repeat(256);
    assert!(publish(&mut hub, &longest, "x", &Audience::All).0.is_ok());
    assert!(publish(&mut hub, "t", &long[1..], &Audience::All).0.is_ok());
    let updates = read(&mut hub, id);
    assert!(matches!(&updates[..], [Update::Message(message)] if message.number == 1));
}

#[test]
fn a_subscription_is_refused_beyond_the_bounds() {
    let settings = PubSubSettings {
        interest_max: 2,
        topics_max: 1,
        ..PubSubSettings::default()
    };
    let mut hub = hub_with(0, &settings);
    let mut subscribe = |topic: &str| hub.subscribe(topic, None);
    assert_eq!(subscribe(""), Err(SubscribeError::Topic(0)));
    assert_eq!(subscribe(&"x".repeat(257)), Err(SubscribeError::Topic(257)));
    let one = subscribe("one").unwrap();
    subscribe("two").unwrap();
    assert_eq!(subscribe("three"), Err(SubscribeError::TooMany(2)));
    // Another subscriber of the same topic is no further interest.
    subscribe("one").unwrap();
    hub.unsubscribe(one, &mut Effects::default());
    assert_eq!(
        hub.subscribe("three", None),
        Err(SubscribeError::TooMany(2))
    );
    hub.assert_invariants();
}

#[test]
fn a_node_has_no_more_subscribers_than_it_may() {
    let settings = PubSubSettings {
        subscribers_max: 2,
        ..PubSubSettings::default()
    };
    let mut hub = hub_with(0, &settings);
    let one = hub.subscribe("t", None).unwrap();
    hub.subscribe("t", None).unwrap();
    let too_many = Err(SubscribeError::TooManySubscribers(2));
    assert_eq!(hub.subscribe("t", None), too_many);
    assert_eq!(hub.subscribe("other", None), too_many);
    hub.unsubscribe(one, &mut Effects::default());
    hub.subscribe("other", None).unwrap();
    hub.assert_invariants();
}

#[test]
fn ids_of_subscribers_are_not_used_again() {
    let mut hub = hub(0);
    let one = hub.subscribe("t", None).unwrap();
    hub.unsubscribe(one, &mut Effects::default());
    hub.unsubscribe(one, &mut Effects::default());
    let two = hub.subscribe("t", None).unwrap();
    assert_ne!(one, two);
    publish(&mut hub, "t", "x", &Audience::All).0.unwrap();
    assert_eq!(read_texts(&mut hub, one), [""; 0]);
    assert_eq!(read_texts(&mut hub, two), ["x"]);
}

#[test]
fn the_idle_topic_used_longest_ago_is_forgotten_first() {
    let settings = PubSubSettings {
        topics_max: 3,
        ..PubSubSettings::default()
    };
    let mut hub = hub_with(0, &settings);
    let kept = hub.subscribe("kept", None).unwrap();
    for topic in ["old", "new", "old", "next"] {
        publish(&mut hub, topic, "x", &Audience::All).0.unwrap();
    }
    let known: Vec<_> = ["kept", "old", "new", "next"]
        .map(|topic| hub.topics.find(topic).is_some())
        .into();
    assert_eq!(known, [true, true, false, true]);
    assert_eq!(hub.counters().topics_forgotten, 1);
    publish(&mut hub, "kept", "x", &Audience::All).0.unwrap();
    assert_eq!(read_texts(&mut hub, kept), ["x"]);
}

#[test]
fn numbers_and_streams_of_a_forgotten_topic_do_not_come_again() {
    let settings = PubSubSettings {
        topics_max: 1,
        ..PubSubSettings::default()
    };
    let mut hub = hub_with(0, &settings);
    for topic in ["t", "t", "t", "other"] {
        publish(&mut hub, topic, "x", &Audience::All).0.unwrap();
    }
    let id = hub.subscribe("t", None).unwrap();
    publish(&mut hub, "t", "x", &Audience::All).0.unwrap();
    let updates = read(&mut hub, id);
    assert!(matches!(&updates[..], [Update::Message(message)] if message.number > 3));
    let place = hub.topics.find("t").unwrap();
    assert_eq!(hub.topics[place].stream, 3);
}

#[test]
fn a_topic_beyond_a_table_full_of_wanted_ones_is_published_to_nobody() {
    let settings = PubSubSettings {
        topics_max: 1,
        ..PubSubSettings::default()
    };
    let mut hub = hub_with(0, &settings);
    hub.subscribe("wanted", None).unwrap();
    let (reach, _) = publish(&mut hub, "t", "x", &Audience::All);
    assert_eq!(reach, Ok(reached(0, 0)));
    assert!(hub.topics.find("t").is_none());
}
