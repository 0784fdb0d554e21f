//! A member that says what it should not: nothing panics, nothing grows, and it is counted.

use super::*;
use crate::frame::{MissedRange, StreamStart};

fn interest(add: &[&str], remove: &[&str]) -> PubSubFrame {
    let owned = |topics: &[&str]| topics.iter().map(|&topic| topic.to_owned()).collect();
    PubSubFrame::Interest {
        add: owned(add),
        remove: owned(remove),
    }
}

fn start(topic: &str, stream: u32, last: u64) -> PubSubFrame {
    PubSubFrame::Streams(vec![StreamStart {
        topic: topic.into(),
        stream,
        last_all: last,
        last_directed: last,
    }])
}

fn missed(stream: u32, from: u64, to: u64) -> PubSubFrame {
    PubSubFrame::Missed(vec![MissedRange {
        stream,
        row: Row::All,
        from,
        to,
    }])
}

fn message(stream: u32, number: u64) -> Bytes {
    let head = wire::MessageHead {
        stream,
        row: Row::All,
        number,
        unix_ms: 0,
    };
    let frame = wire::encode(&head, 1);
    let (_, _, body) = codec::header(frame.as_slice()).unwrap();
    Bytes::from([body, b"x"].concat())
}

/// A hub that is subscribed to `t`, and a member that may say anything to it.
struct Target {
    hub: Hub,
    id: SubscriberId,
    fx: Effects,
}

const CONN: ConnId = ConnId::In(1);

impl Target {
    fn new(settings: &PubSubSettings) -> Self {
        let mut hub = hub_with(0, settings);
        let id = hub.subscribe("t", None).unwrap();
        hub.link_up(CONN, &identity(1, 1));
        Target {
            hub,
            id,
            fx: Effects::default(),
        }
    }

    fn frame(&mut self, frame: PubSubFrame) {
        self.hub.on_frame(CONN, frame, &mut self.fx);
        self.hub.assert_invariants();
    }

    fn message(&mut self, stream: u32, number: u64) {
        let body = message(stream, number);
        self.hub.on_message(CONN, body, &mut self.fx).unwrap();
        self.hub.assert_invariants();
    }

    fn read(&mut self) -> Vec<String> {
        read_texts(&mut self.hub, self.id)
    }
}

#[test]
fn topics_that_are_none_are_ignored_and_counted() {
    let mut target = Target::new(&PubSubSettings::default());
    let long = "x".repeat(257);
    target.frame(interest(&["", &long, "good"], &["", &long, "never asked"]));
    assert_eq!(target.hub.counters().interest_refused, 2);
    target.frame(start(&long, 1, 0));
    target.frame(start("", 1, 0));
    assert_eq!(target.hub.counters().unwanted, 2);
}

#[test]
fn interest_beyond_the_bound_is_ignored_and_counted_and_earlier_interest_stays() {
    let settings = PubSubSettings {
        interest_max: 2,
        ..PubSubSettings::default()
    };
    let mut target = Target::new(&settings);
    target.frame(interest(&["one", "two", "three", "one"], &[]));
    assert_eq!(target.hub.counters().interest_refused, 1);
    target.frame(interest(&["three"], &["one"]));
    assert_eq!(target.hub.counters().interest_refused, 1);
    news(&mut target.hub, CONN);
    for (topic, nodes) in [("one", 0), ("two", 1), ("three", 1)] {
        let (reach, _) = publish(&mut target.hub, topic, "x", &Audience::All);
        assert_eq!(reach.unwrap().nodes, nodes, "{topic}");
    }
}

#[test]
fn interest_cannot_make_more_topics_than_there_may_be() {
    let settings = PubSubSettings {
        topics_max: 3,
        ..PubSubSettings::default()
    };
    let mut target = Target::new(&settings);
    // One is this node's own, and of the other two one is left to other peers.
    target.frame(interest(&["one", "two", "three"], &[]));
    assert_eq!(target.hub.counters().interest_refused, 2);
    assert_eq!(target.hub.topics.len(), 2);
    // A topic that it has left may give way.
    target.frame(interest(&["three"], &["one"]));
    target.frame(interest(&["four"], &["three"]));
    assert_eq!(target.hub.counters().interest_refused, 2);
    assert_eq!(target.hub.topics.len(), 3);
}

#[test]
fn interest_of_ever_new_topics_leaves_nothing_behind() {
    let settings = PubSubSettings {
        interest_max: 5,
        topics_max: 10,
        ..PubSubSettings::default()
    };
    let mut target = Target::new(&settings);
    for round in 0..50 {
        let topic = format!("topic {round}");
        target.frame(interest(&[&topic], &[]));
        target.frame(interest(&[], &[&topic]));
    }
    assert_eq!(target.hub.counters().interest_refused, 0);
    assert!(target.hub.topics.len() <= 10);
}

#[test]
fn a_stream_that_was_not_announced_is_unwanted() {
    let mut target = Target::new(&PubSubSettings::default());
    target.message(1, 1);
    target.frame(missed(1, 1, 9));
    target.frame(start("not subscribed", 1, 0));
    target.message(1, 1);
    assert_eq!(target.hub.counters().unwanted, 4);
    assert_eq!(target.read(), [""; 0]);
    // Nor is anything known of a link that does not stand.
    let other = ConnId::In(9);
    target.hub.on_frame(other, start("t", 1, 0), &mut target.fx);
    let told = target.hub.on_message(other, message(1, 1), &mut target.fx);
    assert_eq!((told, target.read()), (Ok(()), vec![]));
}

#[test]
fn a_stream_of_the_last_session_is_unwanted_until_it_is_announced_again() {
    let mut target = Target::new(&PubSubSettings::default());
    target.frame(start("t", 1, 0));
    target.hub.link_down(CONN);
    target.hub.link_up(CONN, &identity(1, 1));
    target.message(1, 1);
    assert_eq!(target.hub.counters().unwanted, 1);
    target.frame(start("t", 1, 1));
    target.message(1, 2);
    // One in each row, as both were announced.
    assert_eq!(target.read(), ["-2", "x"]);
}

#[test]
fn a_number_that_is_not_newer_is_stale() {
    let mut target = Target::new(&PubSubSettings::default());
    target.frame(start("t", 1, 5));
    for number in [0, 1, 5, 6, 6, 2] {
        target.message(1, number);
    }
    assert_eq!(target.hub.counters().stale, 5);
    assert_eq!(target.read(), ["x"]);
}

#[test]
fn the_largest_numbers_do_no_harm() {
    let mut target = Target::new(&PubSubSettings::default());
    target.frame(start("t", u32::MAX, 0));
    target.frame(missed(u32::MAX, u64::MAX, u64::MAX));
    target.frame(missed(u32::MAX, u64::MAX, 0));
    target.frame(missed(u32::MAX, 0, 0));
    target.frame(missed(u32::MAX, 0, u64::MAX));
    target.message(u32::MAX, u64::MAX - 1);
    assert_eq!(
        target.read(),
        [format!("-{}", u64::MAX - 2), "x".into(), "-1".into()]
    );
    target.message(u32::MAX, u64::MAX);
    target.frame(missed(u32::MAX, 1, u64::MAX));
    target.frame(start("t", u32::MAX, u64::MAX));
    target.frame(start("t", u32::MAX, 0));
    target.message(u32::MAX, 1);
    // The row of those sent to some only was not that far yet.
    assert_eq!(target.read(), [format!("-{}", u64::MAX)]);
}

#[test]
fn a_dropped_range_that_covers_what_came_counts_what_did_not() {
    let mut target = Target::new(&PubSubSettings::default());
    target.frame(start("t", 1, 0));
    target.message(1, 1);
    target.frame(missed(1, 1, 3));
    assert_eq!(target.read(), ["x", "-2"]);
    // Kept as 6 is not there; 8 comes, which it should not.
    target.frame(missed(1, 7, 9));
    target.message(1, 8);
    assert_eq!(target.read(), ["-4", "x", "-1"]);
    target.message(1, 10);
    assert_eq!(target.read(), ["x"]);
}

#[test]
fn one_stream_for_two_topics_is_the_last_one_s() {
    let mut target = Target::new(&PubSubSettings::default());
    let other = target.hub.subscribe("other", None).unwrap();
    target.frame(start("t", 1, 0));
    target.message(1, 1);
    target.frame(start("other", 1, 7));
    target.message(1, 8);
    assert_eq!(target.read(), ["x"]);
    assert_eq!(read_texts(&mut target.hub, other), ["x"]);
    target.frame(start("t", 2, 0));
    target.message(2, 1);
    assert_eq!(target.read(), ["x"]);
}

#[test]
fn a_topic_under_another_stream_goes_on_without_going_back() {
    let mut target = Target::new(&PubSubSettings::default());
    target.frame(start("t", 1, 5));
    target.frame(start("t", 2, 3));
    target.message(1, 6);
    target.message(2, 4);
    target.message(2, 6);
    assert_eq!(target.read(), ["x"]);
    target.frame(start("t", 3, 100));
    target.message(3, 101);
    assert_eq!(target.read(), ["x"]);
}

#[test]
fn a_message_without_a_head_is_malformed() {
    let mut target = Target::new(&PubSubSettings::default());
    target.frame(start("t", 1, 0));
    let whole = message(1, 1);
    for length in 0..whole.len() - 1 {
        let told = target
            .hub
            .on_message(CONN, whole.slice(..length), &mut target.fx);
        assert_eq!(told, Err(codec::Malformed), "{length} bytes");
    }
    assert_eq!(target.read(), [""; 0]);
}

#[test]
fn small_messages_pin_their_records_only_for_readers_that_keep_up() {
    let settings = PubSubSettings {
        queue_bytes_max: 4 * (64 << 10),
        ..PubSubSettings::default()
    };
    let mut target = Target::new(&settings);
    target.frame(start("t", 1, 0));
    for round in 0..2 {
        let mut records = Vec::new();
        for number in 1..=5 {
            let body = message(1, round * 5 + number);
            records.push(body.as_ptr_range());
            let told = target.hub.on_message(CONN, body, &mut target.fx);
            assert_eq!(told, Ok(()));
        }
        let updates = read(&mut target.hub, target.id);
        let pins = updates.iter().zip(&records).map(|(update, record)| {
            let Update::Message(message) = update else {
                panic!("{update:?}")
            };
            assert_eq!(&message.payload[..], b"x");
            record.contains(&message.payload.as_ptr())
        });
        // Up to half of the bytes that may wait, if each pins a record of 64 KiB.
        assert_eq!(pins.collect::<Vec<_>>(), [true, true, true, false, false]);
    }
}
