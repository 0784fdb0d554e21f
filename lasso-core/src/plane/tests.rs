//! Two data planes, with lanes between them that are drained only now and then.

use super::*;
use crate::config::{LinkSettings, Settings};
use crate::link::Lanes;
use crate::name::Label;
use crate::secure::Security;

const CONN: ConnId = ConnId::In(1);

fn identity(node: usize) -> Identity {
    Identity {
        cluster: Label::new("label", "test").unwrap(),
        name: format!("app@10.0.0.{node}").parse().unwrap(),
        incarnation: Incarnation(1),
    }
}

/// One side: its plane, and the lanes to the other one.
struct Side {
    plane: Plane,
    lanes: SharedLanes,
    fx: Effects,
}

impl Side {
    fn new(node: usize, settings: &Settings) -> Side {
        let me = identity(node);
        let mut config = NodeConfig::new(me.name.clone(), Security::InsecureNull);
        config.settings = settings.clone();
        let mut plane = Plane::new(&config, &me, &Description::of(&me.name));
        let lanes = Arc::new(Mutex::new(Lanes::new(Instant::ZERO, &settings.link)));
        let mut fx = Effects::default();
        plane.link_up(CONN, &identity(3 - node), lanes.clone(), &mut fx);
        Side { plane, lanes, fx }
    }

    /// What is due at `now`, if anything is.
    fn tick(&mut self, now: Instant) {
        if self.plane.deadline().is_some_and(|due| due <= now) {
            self.plane.tick(now, &mut self.fx);
        }
        self.plane.assert_invariants();
    }

    /// Everything that waits in a lane of the other side comes.
    fn take(&mut self, now: Instant, from: &SharedLanes, lane: LaneId) {
        let mut text = Bytes::from(from.lock().drain(lane));
        while !text.is_empty() {
            let received = self.plane.receive(now, CONN, &mut text, &mut self.fx);
            received.expect("what a plane says is good");
        }
        self.plane.assert_invariants();
    }
}

/// Lets the two talk until neither has anything to do; each step is at a deadline of one of them.
fn settle(a: &mut Side, b: &mut Side, now: &mut Instant) {
    for _ in 0..1000 {
        for lane in [LaneId::Control, LaneId::Data] {
            a.take(*now, &b.lanes, lane);
            b.take(*now, &a.lanes, lane);
        }
        let Some(due) = earliest(a.plane.deadline(), b.plane.deadline()) else {
            return;
        };
        *now = (*now).max(due);
        a.tick(*now);
        b.tick(*now);
    }
    panic!("they never come to rest");
}

#[test]
fn every_topic_of_ten_thousand_delivers_where_lanes_are_drained_only_now_and_then() {
    let link = LinkSettings {
        control_lane_bytes: 128 << 10,
        ..LinkSettings::default()
    };
    for link in [LinkSettings::default(), link] {
        let settings = Settings {
            link,
            ..Settings::default()
        };
        let (mut a, mut b) = (Side::new(1, &settings), Side::new(2, &settings));
        let mut now = Instant::ZERO + Duration::from_secs(1);
        let subscribe = |number| {
            let topic = format!("a topic of some length: {number}");
            (a.plane.subscribe(&topic, None, &mut a.fx).unwrap(), topic)
        };
        let subscribed: Vec<_> = (0..10_000).map(subscribe).collect();
        a.plane.assert_invariants();
        settle(&mut a, &mut b, &mut now);
        let payload = Bytes::from_static(b"x");
        for (_, topic) in &subscribed {
            let reach = b
                .plane
                .publish(|| now, 7, topic, &payload, &Audience::All, &mut b.fx)
                .unwrap();
            assert_eq!((reach.nodes, reach.shed), (1, 0), "{topic}");
        }
        settle(&mut a, &mut b, &mut now);
        let mut updates = VecDeque::new();
        for (id, topic) in subscribed {
            assert!(a.plane.read(id, None, &mut updates), "{topic}");
            let update = updates.pop_front();
            assert!(matches!(update, Some(Update::Message(message)) if message.number == 1));
            assert!(updates.is_empty(), "{topic}");
        }
    }
}

#[test]
fn news_wait_while_the_control_lane_has_no_room_and_none_is_lost() {
    let settings = Settings::default();
    let (mut a, mut b) = (Side::new(1, &settings), Side::new(2, &settings));
    let mut now = Instant::ZERO;
    settle(&mut a, &mut b, &mut now);
    // Others fill the lane to its bound.
    let other = vec![0; settings.link.control_lane_bytes];
    let pushed = a.lanes.lock().push(LaneId::Control, &other, &Bytes::new());
    pushed.unwrap();
    a.plane.subscribe("t", None, &mut a.fx).unwrap();
    a.plane.assert_invariants();
    a.lanes.lock().drain(LaneId::Control);
    settle(&mut a, &mut b, &mut now);
    let payload = Bytes::from_static(b"x");
    let reach = b
        .plane
        .publish(|| now, 7, "t", &payload, &Audience::All, &mut b.fx);
    assert_eq!(reach.unwrap().nodes, 1);
}
