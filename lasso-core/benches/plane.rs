//! What a message costs apart from the link's cipher: `cargo bench -p lasso-core --bench plane`.
//!
//! Each number is of one message of 64 bytes, out of a round of 1,000 (100 with 100 subscribers),
//! through the plane that applications use: a publish up to the lane, a delivery from the opened text
//! to the reader's hands.
//!
//! Targets: `publish_64` and `deliver_64` with one receiver or subscriber under 100 ns;
//! `deliver_64` and `publish_here_64` to 100 subscribers under 50 ns for each of them.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use lasso_core::codec::{self, kind};
use lasso_core::config::{LinkSettings, NodeConfig};
use lasso_core::frame::{Frame, PubSubFrame, StreamStart};
use lasso_core::link::{Lanes, SharedLanes};
use lasso_core::name::{Description, Identity, Incarnation, NodeName};
use lasso_core::node::ConnId;
use lasso_core::plane::{Audience, Effects, Plane, SubscriberId, Update};
use lasso_core::secure::Security;
use lasso_core::time::Instant;

fn main() {
    divan::main();
}

const ROUND: u32 = 1000;

/// Messages in a round: fewer where each costs more, so that a round is shorter than the slice of
/// time that a busy machine gives to it.
fn round(subscribers: usize) -> u32 {
    if subscribers > 1 { ROUND / 10 } else { ROUND }
}

const TOPIC: &str = "routing:decisions:premium";

fn identity(node: usize) -> Identity {
    let name: NodeName = format!("bench@10.0.0.{node}").parse().expect("a name");
    Identity {
        cluster: lasso_core::name::Label::unknown(),
        name,
        incarnation: Incarnation(1),
    }
}

fn frame(frame: PubSubFrame) -> Bytes {
    let mut text = Vec::new();
    codec::encode(&Frame::PubSub(frame), &mut text);
    text.into()
}

/// A plane linked to so many peers, which are all interested in the topic, and with so many
/// subscribers of it.
struct Bench {
    plane: Plane,
    fx: Effects,
    subscribers: Vec<SubscriberId>,
    out: VecDeque<Update>,
}

impl Bench {
    fn new(peers: usize, subscribers: usize) -> Self {
        let me = identity(200);
        let config = NodeConfig::new(me.name.clone(), Security::InsecureNull);
        let mut bench = Bench {
            plane: Plane::new(&config, &me, &Description::of(&me.name)),
            fx: Effects::default(),
            subscribers: Vec::new(),
            out: VecDeque::new(),
        };
        let Bench {
            plane,
            fx,
            subscribers: ids,
            ..
        } = &mut bench;
        for peer in 1..=peers {
            let conn = ConnId::In(peer as u64);
            let lanes = Lanes::new(Instant::ZERO, &LinkSettings::default());
            let lanes: SharedLanes = Arc::new(parking_lot::Mutex::new(lanes));
            plane.link_up(conn, &identity(peer), lanes, fx);
            let mut interest = frame(PubSubFrame::Interest {
                add: vec![TOPIC.into()],
                remove: vec![],
            });
            plane
                .receive(Instant::ZERO, conn, &mut interest, fx)
                .expect("good");
        }
        for _ in 0..subscribers {
            let id = plane.subscribe(TOPIC, None, fx).expect("one topic");
            ids.push(id);
        }
        for peer in 1..=peers {
            let mut start = frame(PubSubFrame::Streams(vec![StreamStart {
                topic: TOPIC.into(),
                stream: 1,
                last_all: 0,
                last_directed: 0,
            }]));
            let conn = ConnId::In(peer as u64);
            plane
                .receive(Instant::ZERO, conn, &mut start, fx)
                .expect("good");
        }
        bench
    }

    fn publish(&mut self, payload: &Bytes) {
        for _ in 0..round(self.subscribers.len()) {
            let Bench { plane, fx, .. } = self;
            let reach = plane.publish(
                || Instant::ZERO,
                7,
                TOPIC,
                black_box(payload),
                &Audience::All,
                fx,
            );
            assert_eq!(reach.expect("a good message").shed, 0);
            fx.wakes.clear();
        }
    }

    fn read(&mut self) {
        for &id in &self.subscribers {
            self.plane.read(id, None, &mut self.out);
            black_box(&self.out);
            self.out.clear();
        }
    }
}

/// The text of a record with a round of messages, which begins with this number.
fn messages(first: u64, count: u32) -> Bytes {
    let mut text = Vec::new();
    for number in first..first + u64::from(count) {
        let mut body = vec![0, 1];
        let mut rest = number;
        while rest >= 0x80 {
            body.push(0x80 | (rest & 0x7f) as u8);
            rest >>= 7;
        }
        body.push(rest as u8);
        body.extend([0; 6]);
        body.extend([7; 64]);
        text.extend([kind::MESSAGE, body.len() as u8]);
        text.extend(body);
    }
    text.into()
}

/// Publish to so many nodes: number, head, into each lane.
#[divan::bench(args = [0, 1, 3])]
fn publish_64(bencher: Bencher<'_, '_>, peers: usize) {
    let payload = Bytes::from(vec![7; 64]);
    bencher
        .counter(ItemsCount::new(ROUND))
        .with_inputs(|| Bench::new(peers, 0))
        .bench_local_refs(|bench| bench.publish(&payload));
}

/// Publish to so many subscribers of the same node, and their reading.
#[divan::bench(args = [1, 100])]
fn publish_here_64(bencher: Bencher<'_, '_>, subscribers: usize) {
    let payload = Bytes::from(vec![7; 64]);
    let mut bench = Bench::new(0, subscribers);
    bencher
        .counter(ItemsCount::new(round(subscribers) as usize * subscribers))
        .bench_local(|| {
            bench.publish(&payload);
            bench.read();
        });
}

/// From an opened text to so many subscribers' hands, a round to a read.
#[divan::bench(args = [1, 100])]
fn deliver_64(bencher: Bencher<'_, '_>, subscribers: usize) {
    deliver(bencher, subscribers, round(subscribers));
}

/// Likewise, with a read after every second message.
#[divan::bench]
fn deliver_64_two_to_a_read(bencher: Bencher<'_, '_>) {
    deliver(bencher, 1, 2);
}

fn deliver(bencher: Bencher<'_, '_>, subscribers: usize, to_a_read: u32) {
    let mut bench = Bench::new(1, subscribers);
    let (mut next, round) = (1, round(subscribers));
    bencher
        .counter(ItemsCount::new(round as usize * subscribers))
        .with_inputs(|| {
            let texts = (0..round / to_a_read).map(|text| {
                let first = next + u64::from(text * to_a_read);
                messages(first, to_a_read)
            });
            let texts: Vec<_> = texts.collect();
            next += u64::from(round);
            texts
        })
        .bench_local_values(|texts| {
            for mut text in texts {
                let Bench { plane, fx, .. } = &mut bench;
                let conn = ConnId::In(1);
                plane
                    .receive(Instant::ZERO, conn, black_box(&mut text), fx)
                    .expect("good messages");
                fx.wakes.clear();
                bench.read();
            }
        });
    let (counters, ..) = bench.plane.counters();
    assert_eq!(
        (counters.missed, counters.stale, counters.unwanted),
        (0, 0, 0)
    );
    assert_eq!(counters.overflowed, 0);
}
