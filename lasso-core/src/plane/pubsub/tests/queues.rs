//! What waits for subscribers, and who is woken.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Waker;

use super::*;

fn subscribed(queue_max: usize, bytes_max: usize) -> (Hub, SubscriberId) {
    let settings = PubSubSettings {
        queue_max,
        queue_bytes_max: bytes_max,
        ..PubSubSettings::default()
    };
    let mut hub = hub_with(0, &settings);
    let id = hub.subscribe("t", None).unwrap();
    (hub, id)
}

fn say(hub: &mut Hub, payloads: &[&'static str]) {
    for payload in payloads {
        publish(hub, "t", payload, &Audience::All).0.unwrap();
    }
}

#[test]
fn the_oldest_give_way_and_the_subscriber_is_told_how_many() {
    for (queue_max, expected) in [
        (1, &["-4", "e"][..]),
        (2, &["-3", "d", "e"]),
        (4, &["-1", "b", "c", "d", "e"]),
        (5, &["a", "b", "c", "d", "e"]),
    ] {
        let (mut hub, id) = subscribed(queue_max, 1000);
        say(&mut hub, &["a", "b", "c", "d", "e"]);
        let (_, audit) = hub.audits().next().unwrap();
        let held = queue_max as u64;
        assert_eq!((audit.taken, audit.shed, audit.held), (5, 5 - held, held));
        assert_eq!(hub.counters().overflowed, 5 - held);
        assert_eq!(read_texts(&mut hub, id), expected);
        say(&mut hub, &["f"]);
        assert_eq!(read_texts(&mut hub, id), ["f"]);
    }
}

#[test]
fn bytes_are_bounded_but_one_message_of_any_size_is_kept() {
    let (mut hub, id) = subscribed(100, 4);
    say(&mut hub, &["a", "bbb", "c"]);
    assert_eq!(read_texts(&mut hub, id), ["-1", "bbb", "c"]);
    say(&mut hub, &["a", "b", "cccccccc"]);
    assert_eq!(read_texts(&mut hub, id), ["-2", "cccccccc"]);
    say(&mut hub, &["cccccccc", "d"]);
    assert_eq!(read_texts(&mut hub, id), ["-1", "d"]);
}

#[test]
fn a_subscriber_may_have_a_bound_of_its_own() {
    let (mut hub, wide) = subscribed(100, 1000);
    let narrow = hub.subscribe("t", Some(0)).unwrap();
    say(&mut hub, &["a", "b"]);
    assert_eq!(read_texts(&mut hub, narrow), ["-1", "b"]);
    assert_eq!(read_texts(&mut hub, wide), ["a", "b"]);
}

#[test]
fn what_was_missed_merges_with_its_neighbours() {
    let mut queue = queue::Queue::new(2, 1000);
    let source = hub::source(&"t".into(), &identity(0, 1), &label("r"));
    let message = |number: u64| {
        Message::from(Content {
            source: source.clone(),
            row: Row::All,
            number,
            unix_ms: 0,
            payload: Bytes::from(number.to_string()),
        })
    };
    let mut out = VecDeque::new();
    queue.push_missed(1);
    queue.push_missed(2);
    queue.push(message(1));
    queue.push_missed(3);
    queue.push_missed(4);
    queue.push(message(2));
    queue.push_missed(5);
    queue.assert_invariants();
    queue.read(&mut out);
    let (all, _) = out.as_slices();
    assert_eq!(texts(all), ["-3", "1", "-7", "2", "-5"]);
    out.clear();
    for number in 1..=3 {
        queue.push_missed(10);
        queue.push(message(number));
        queue.assert_invariants();
    }
    // Of the oldest message and both of its neighbours one number is left.
    queue.read(&mut out);
    let (all, _) = out.as_slices();
    assert_eq!(texts(all), ["-21", "2", "-10", "3"]);
}

#[test]
fn missed_messages_alone_take_one_place_however_often() {
    let mut queue = queue::Queue::new(2, 1000);
    for _ in 0..1000 {
        queue.push_missed(u64::MAX / 10);
        queue.assert_invariants();
    }
    let mut out = VecDeque::new();
    queue.read(&mut out);
    assert_eq!(out, [Update::Missed(u64::MAX)]);
}

#[test]
fn reading_appends_behind_what_is_there() {
    let (mut hub, id) = subscribed(100, 1000);
    let mut out = VecDeque::new();
    say(&mut hub, &["a", "b"]);
    assert!(hub.read(id, None, &mut out));
    say(&mut hub, &["c"]);
    assert!(hub.read(id, None, &mut out));
    assert!(!hub.read(id, None, &mut out));
    assert_eq!(texts(out.make_contiguous()), ["a", "b", "c"]);
}

#[derive(Default)]
struct Bell(AtomicUsize);

impl std::task::Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn say_with(hub: &mut Hub, fx: &mut Effects) {
    publish_with(hub, "t", "x", &Audience::All, &[], fx)
        .0
        .unwrap();
}

#[test]
fn a_subscriber_is_woken_once_each_time_it_has_something_after_nothing() {
    let (mut hub, id) = subscribed(100, 1000);
    for _ in 0..2 {
        let mut fx = Effects::default();
        for _ in 0..3 {
            say_with(&mut hub, &mut fx);
        }
        assert!(matches!(fx.wakes[..], [Wake::Subscriber(woken)] if woken == id));
        assert_eq!(read(&mut hub, id).len(), 3);
    }
}

#[test]
fn a_task_that_found_nothing_is_woken_once_and_by_its_last_waker() {
    let (mut hub, id) = subscribed(100, 1000);
    let bells = [Arc::new(Bell::default()), Arc::new(Bell::default())];
    for bell in &bells {
        let waker = Waker::from(bell.clone());
        assert!(!hub.read(id, Some(&waker), &mut VecDeque::new()));
    }
    let mut fx = Effects::default();
    say_with(&mut hub, &mut fx);
    say_with(&mut hub, &mut fx);
    let [Wake::Task(waker)] = &fx.wakes[..] else {
        panic!("{fx:?}");
    };
    waker.wake_by_ref();
    let rung = bells.map(|bell| bell.0.load(Ordering::Relaxed));
    assert_eq!(rung, [0, 1]);
    // With something to read no waker is kept.
    let waker = Waker::from(Arc::new(Bell::default()));
    assert!(hub.read(id, Some(&waker), &mut VecDeque::new()));
    let mut fx = Effects::default();
    say_with(&mut hub, &mut fx);
    assert!(matches!(fx.wakes[..], [Wake::Subscriber(_)]));
}

#[test]
fn a_task_that_waits_on_a_subscription_that_ends_is_woken() {
    let (mut hub, id) = subscribed(100, 1000);
    let bell = Arc::new(Bell::default());
    let waker = Waker::from(bell);
    hub.read(id, Some(&waker), &mut VecDeque::new());
    let mut fx = Effects::default();
    hub.unsubscribe(id, &mut fx);
    assert!(matches!(fx.wakes[..], [Wake::Task(_)]));
    assert!(!hub.read(id, Some(&waker), &mut VecDeque::new()));
}

#[test]
fn what_a_peer_missed_wakes_like_a_message() {
    let mut pair = Pair::new();
    let id = pair.b.subscribe("t", None).unwrap();
    pair.settle();
    pair.publish_into_full("t", "lost");
    pair.fx = Effects::default();
    pair.settle();
    assert!(matches!(pair.fx.wakes[..], [Wake::Subscriber(woken)] if woken == id));
    assert_eq!(read_texts(&mut pair.b, id), ["-1"]);
}

#[test]
fn what_waits_when_a_subscription_ends_is_counted() {
    let (mut hub, id) = subscribed(2, 1000);
    say(&mut hub, &["a"]);
    read_texts(&mut hub, id);
    say(&mut hub, &["b", "c", "d"]);
    hub.unsubscribe(id, &mut Effects::default());
    let counters = hub.counters();
    assert_eq!((counters.delivered, counters.overflowed), (4, 1));
    assert_eq!(counters.abandoned, 2);
}
