//! Nodes that publish, subscribe and call: with links whose halves are in the node, and taken out.

use super::*;
use crate::plane::{
    Answer, Audience, CallError, PlaneCommand, PublishError, Reach, Request, SubscriberId, Update,
};

impl World {
    fn command(&mut self, n: usize, command: PlaneCommand) {
        self.input(n, Input::Command(Command::Plane(command)));
    }

    fn subscribe(&mut self, n: usize, topic: &str) -> SubscriberId {
        let subscribe = PlaneCommand::Subscribe {
            tag: 1,
            topic: topic.to_owned(),
            queue_max: None,
        };
        self.command(n, subscribe);
        match self.given[n].pop() {
            Some(PlaneOutput::Subscribed { result: Ok(id), .. }) => id,
            other => panic!("{other:?}"),
        }
    }

    fn publish(
        &mut self,
        n: usize,
        topic: &str,
        payload: impl Into<Bytes>,
        audience: Audience,
    ) -> Result<Reach, PublishError> {
        let publish = PlaneCommand::Publish {
            tag: 2,
            topic: topic.to_owned(),
            payload: payload.into(),
            audience,
            unix_ms: 1_769_248_800_000,
        };
        let before = self.given[n].len();
        self.command(n, publish);
        let published = self.given[n][before..]
            .iter()
            .find_map(|given| match given {
                PlaneOutput::Published { result, .. } => Some(result.clone()),
                _ => None,
            });
        published.expect("every publish has a result")
    }

    /// What waits for a subscriber: payloads, and what was missed.
    fn read(&mut self, n: usize, id: SubscriberId) -> Vec<Result<Bytes, u64>> {
        self.command(n, PlaneCommand::Read { id });
        let Some(PlaneOutput::Read { updates, .. }) = self.given[n].pop() else {
            panic!("a read is answered")
        };
        let payload = |update| match update {
            Update::Message(message) => Ok(message.payload.clone()),
            Update::Missed(count) => Err(count),
        };
        updates.into_iter().map(payload).collect()
    }

    fn requests(&mut self, n: usize) -> Vec<Request> {
        let request = |given: &PlaneOutput| match given {
            PlaneOutput::Request(request) => Some(request.clone()),
            _ => None,
        };
        let requests = self.given[n].iter().filter_map(request).collect();
        self.given[n].clear();
        requests
    }

    fn call(&mut self, n: usize, to: usize, method: &str, payload: &'static [u8]) {
        let call = PlaneCommand::Call {
            tag: 7,
            to: name(to),
            method: method.to_owned(),
            payload: Bytes::from_static(payload),
            timeout: None,
        };
        self.command(n, call);
    }

    fn outcomes(&mut self, n: usize) -> Vec<Result<Bytes, CallError>> {
        let outcome = |given: &PlaneOutput| match given {
            PlaneOutput::Answered { outcome, .. } => Some(outcome.clone()),
            _ => None,
        };
        let outcomes = self.given[n].iter().filter_map(outcome).collect();
        self.given[n].clear();
        outcomes
    }
}

fn both_ways(count: usize, story: impl Fn(&mut World)) {
    for detaches in [false, true] {
        let mut world = World::of(count);
        world.detaches = detaches;
        world.run(5);
        assert_eq!(
            world.taken.len(),
            if detaches { count * (count - 1) } else { 0 }
        );
        story(&mut world);
        for node in world.nodes.iter().flatten() {
            node.plane().lock().assert_invariants();
        }
    }
}

fn numbered(range: core::ops::Range<u64>) -> Vec<Result<Bytes, u64>> {
    range
        .map(|number| Ok(Bytes::copy_from_slice(&number.to_be_bytes())))
        .collect()
}

#[test]
fn a_message_reaches_the_nodes_with_a_subscriber_and_no_others() {
    both_ways(4, |world| {
        let here = world.subscribe(0, "orders");
        let there = world.subscribe(1, "orders");
        let twice = world.subscribe(1, "orders");
        let other = world.subscribe(2, "other");
        world.run(1);
        for number in 0..10_u64 {
            let reach = world.publish(0, "orders", number.to_be_bytes().to_vec(), Audience::All);
            let reach = reach.expect("a good topic");
            assert_eq!((reach.subscribers, reach.nodes, reach.shed), (1, 1, 0));
        }
        world.run(1);
        assert_eq!(world.read(0, here), numbered(0..10));
        assert_eq!(world.read(1, there), numbered(0..10));
        assert_eq!(world.read(1, twice), numbered(0..10));
        assert_eq!(world.read(2, other), []);
        for n in 2..4 {
            let plane = world.node(n).plane().lock();
            assert_eq!(plane.counters().0.unwanted, 0);
        }
    });
}

#[test]
fn messages_of_any_legal_size_arrive_whole_and_larger_ones_are_refused() {
    both_ways(2, |world| {
        let there = world.subscribe(1, "large");
        world.run(1);
        let largest = 16 << 20;
        for size in [0, 1, 65_519, 70_000, largest] {
            let payload = vec![7; size];
            let reach = world.publish(0, "large", payload.clone(), Audience::All);
            assert_eq!(reach.expect("it is legal").nodes, 1);
            world.run(1);
            assert!(world.read(1, there) == [Ok(Bytes::from(payload))], "{size}");
        }
        let refused = world.publish(0, "large", vec![7; largest + 1], Audience::All);
        let error = refused.expect_err("one byte more");
        assert_eq!(
            error.to_string(),
            "a message of 16777217 bytes is larger than the largest that may be sent, 16777216 bytes"
        );
    });
}

#[test]
fn what_was_lost_with_a_link_is_told_when_the_next_one_stands() {
    both_ways(2, |world| {
        let there = world.subscribe(1, "orders");
        world.run(1);
        for number in 0..3_u64 {
            let sent = world.publish(0, "orders", number.to_be_bytes().to_vec(), Audience::All);
            assert_eq!(sent.expect("a good topic").nodes, 1);
        }
        world.run(1);
        world.frozen.insert(1);
        for number in 3..8_u64 {
            let sent = world.publish(0, "orders", number.to_be_bytes().to_vec(), Audience::All);
            assert_eq!(sent.expect("a good topic").nodes, 1);
        }
        world.run(100);
        assert_eq!(world.connected(0), 1, "the frozen node is given up");
        world.frozen.clear();
        world.run(40);
        assert_eq!(world.connected(0), 2);
        let sent = world.publish(0, "orders", 8_u64.to_be_bytes().to_vec(), Audience::All);
        assert_eq!(sent.expect("a good topic").nodes, 1);
        world.run(1);
        let mut expected = numbered(0..3);
        expected.push(Err(5));
        expected.extend(numbered(8..9));
        assert_eq!(world.read(1, there), expected);
    });
}

#[test]
fn a_call_has_one_outcome_and_says_why_where_it_is_no_answer() {
    both_ways(3, |world| {
        let serve = |method: &str| PlaneCommand::Serve {
            method: method.to_owned(),
        };
        world.command(1, serve("add"));
        world.call(0, 1, "add", b"1+2");
        world.call(0, 1, "subtract", b"");
        world.run(1);
        assert_eq!(world.outcomes(0), [Err(CallError::NoSuchMethod)]);
        let [request] = &world.requests(1)[..] else {
            panic!("one request")
        };
        assert_eq!(
            (&request.from, &request.payload[..]),
            (&name(0), &b"1+2"[..])
        );
        let answer = PlaneCommand::Answer {
            id: request.id,
            answer: Answer::Done(Bytes::from_static(b"3")),
        };
        world.command(1, answer);
        world.run(1);
        assert_eq!(world.outcomes(0), [Ok(Bytes::from_static(b"3"))]);

        world.call(0, 1, "add", b"never answered");
        world.run(4);
        assert_eq!(world.outcomes(0), []);
        world.run(2);
        let timeout = core::time::Duration::from_secs(5);
        assert_eq!(world.outcomes(0), [Err(CallError::Timeout(timeout))]);

        world.call(0, 1, "add", b"and gone");
        world.crash(1);
        world.run(1);
        assert_eq!(world.outcomes(0), [Err(CallError::Disconnected)]);
        world.call(0, 1, "add", b"");
        assert_eq!(world.outcomes(0), [Err(CallError::NotConnected(name(1)))]);
    });
}

#[test]
fn a_call_to_many_has_an_outcome_for_each_in_the_order_asked() {
    both_ways(3, |world| {
        for n in [0, 2] {
            let method = "who".to_owned();
            world.command(n, PlaneCommand::Serve { method });
        }
        let asked = vec![name(2), name(1), name(0), name(9)];
        let call = PlaneCommand::CallMany {
            tag: 3,
            to: asked.clone(),
            method: "who".to_owned(),
            payload: Bytes::new(),
            timeout: None,
        };
        world.command(0, call);
        world.run_until(world.now);
        for n in [0, 2] {
            for request in world.requests(n) {
                let answer = Answer::Done(Bytes::from(n.to_string()));
                let id = request.id;
                world.command(n, PlaneCommand::Answer { id, answer });
            }
        }
        world.run(1);
        let Some(PlaneOutput::Gathered {
            tag: 3,
            gathered: Ok(gathered),
        }) = world.given[0].pop()
        else {
            panic!("it is over")
        };
        let expected = [
            Ok(Bytes::from_static(b"2")),
            Err(CallError::NoSuchMethod),
            Ok(Bytes::from_static(b"0")),
            Err(CallError::NotConnected(name(9))),
        ];
        let expected: Vec<_> = asked.into_iter().zip(expected).collect();
        assert_eq!(gathered.outcomes, expected);
        assert_eq!((gathered.joined.len(), gathered.left.len()), (0, 0));
    });
}

#[test]
fn a_node_that_takes_nothing_costs_its_lane_and_holds_up_nobody() {
    both_ways(3, |world| {
        let (well, stuck) = (world.subscribe(1, "orders"), world.subscribe(2, "orders"));
        world.run(1);
        world.frozen.insert(2);
        // What a frozen node's network takes before it stops.
        let halves = world.taken.keys().copied().filter(|(n, _)| *n == 0);
        let to_stuck: Vec<_> = halves
            .filter(|key| world.ends.get(key).is_some_and(|(to, _)| *to == 2))
            .collect();
        for key in to_stuck {
            world.taken.remove(&key);
        }
        let (mut shed, mut seen, count) = (0, 0, 40_000);
        for _ in 0..count {
            let sent = world.publish(0, "orders", vec![1; 1_000], Audience::All);
            shed += sent.expect("a good topic").shed;
            world.given[0].clear();
            world.run_until(world.now);
            seen += world.read(1, well).len();
        }
        assert_eq!(seen, count, "nothing is missing at the node that takes");
        if world.detaches {
            let fits = (8 << 20) / 1_000;
            let least = count - fits - 100;
            assert!((least..count).contains(&shed), "{shed} shed");
        }
        world.frozen.clear();
        assert!(world.read(2, stuck).len() <= 1_025);
    });
}

#[test]
fn frames_on_a_connection_that_is_no_link_are_counted() {
    let mut world = World::of(1);
    let stranger = ConnId::In(99);
    let now = world.now;
    let node = world.nodes[0].as_mut().unwrap();
    node.on_text(now, stranger, Bytes::from_static(b"frames"));
    let plane = node.plane().lock();
    let (_, _, counters) = plane.counters();
    assert_eq!(counters.stray, 1);
}

#[test]
fn topology_events_are_published_to_the_subscribers_of_their_topic_on_each_node_alone() {
    both_ways(3, |world| {
        let here = world.subscribe(0, TOPOLOGY_TOPIC);
        let there = world.subscribe(1, TOPOLOGY_TOPIC);
        world.run(1);
        let before = [0, 1].map(|n| world.events[n].len());
        world.input(1, Input::Command(Command::SetReady(false)));
        world.crash(2);
        world.run(5);
        for (n, id) in [(0, here), (1, there)] {
            let read = world.read(n, id).into_iter();
            let read = read.map(|payload| payload.expect("nothing is missing"));
            let read: Vec<TopologyEvent> = read
                .map(|payload| rmp_serde::from_slice(&payload).expect("an event"))
                .collect();
            assert_eq!(read, world.events[n][before[n]..]);
            let down = |event: &TopologyEvent| matches!(&event.change, Change::NodeDisconnected { name: gone, .. } if *gone == name(2));
            assert!(read.iter().any(down));
            let plane = world.node(n).plane().lock();
            assert_eq!(plane.counters().0.sent, 0, "nothing went to another node");
        }
    });
}
