//! What a machine with a mistake would do, and what a right one does: invariants 4, 5, 7, 8, 10, 12, 14,
//! 15 and 16.

use lasso_core::event::CloseReason;
use lasso_core::plane::pubsub::{HubSizes, PubSubCounters};
use lasso_core::plane::{Audience, CallCounters, Reach, Row};

use super::*;
use crate::app::events::Sight as Delivery;
use crate::app::{Got, MetricSaw, Outcome, Sight};

const TOPIC: &str = "prices";

impl Stand {
    /// `A` and `B` are linked from the start, and have been for long.
    fn calm() -> Self {
        let mut stand = Stand::new();
        stand.connects(at(1), A, B, 7);
        stand.connects(at(1), B, A, 7);
        stand
    }

    fn tells(&mut self, now: Instant, node: NodeId, saw: Saw) {
        self.invariants.saw(now, node, &saw);
    }

    fn does(&mut self, now: Instant, node: NodeId, output: &Output, last: Instant) {
        self.invariants.output(now, node, output, &Last(last));
    }

    fn knows(&mut self, now: Instant, node: NodeId, told: Told) {
        self.invariants.after(now, node, &told);
    }

    fn subscribes(&mut self, now: Instant, node: NodeId, sub: u32) {
        let subscribed = Saw::Subscribed {
            sub,
            name: TOPIC.to_owned(),
            topic: TOPIC.into(),
            queue: None,
            at_once: true,
        };
        self.tells(now, node, subscribed);
    }

    fn publishes(&mut self, now: Instant, tag: u64, audience: Audience) {
        let published = Saw::Published {
            topic: TOPIC.into(),
            tag,
            audience,
            result: Ok(Reach {
                nodes: 1,
                ..Reach::default()
            }),
        };
        self.tells(now, A, published);
    }

    fn gets_message(&mut self, node: NodeId, sub: u32, number: u64, tag: u64) {
        let got = Got {
            from: self.name(A),
            incarnation: Incarnation(BORN),
            topic: TOPIC.into(),
            row: Row::All,
            number,
            tag: Some(tag),
        };
        self.tells(at(20), node, Saw::Got { sub, got });
    }

    /// `B` subscribes, and `A` publishes ten messages at 9 s.
    fn ten() -> Self {
        let mut stand = Stand::calm();
        stand.subscribes(at(2), B, 0);
        (1..=10).for_each(|tag| stand.publishes(at(9), tag, Audience::All));
        stand
    }

    /// `B` is told this: a number is a message, a negative one so many missed.
    fn reads(script: &[i64]) -> Vec<u32> {
        let mut stand = Stand::ten();
        for step in script {
            match u64::try_from(*step) {
                Ok(number) => stand.gets_message(B, 0, number, number),
                Err(_) => stand.tells(
                    at(20),
                    B,
                    Saw::Missed {
                        sub: 0,
                        count: step.unsigned_abs(),
                    },
                ),
            }
        }
        stand.found()
    }
}

#[test]
fn what_is_reported_missing_is_missing_there_and_nowhere_else() {
    let cases: [(&[i64], bool); 9] = [
        (&[1, 2, -3, 6, 7], true),
        (&[-2, 3, -1, 5, -5], true),
        (&[-6, 7, 8, 9, 10], true),
        // A full queue that drops the newest, and says so in front or behind.
        (&[-6, 1, 2, 3, 4], false),
        (&[1, 2, -6, 3, 4], false),
        // Reported twice, or something that comes later.
        (&[1, -2, 3], false),
        (&[1, -1, 2], false),
        // Nothing is said of what was published when the subscriber had long been known.
        (&[3, 4], false),
        (&[1, -9, -1], false),
    ];
    for (script, holds) in cases {
        let expected: &[u32] = if holds { &[] } else { &[7] };
        assert_eq!(Stand::reads(script), expected, "{script:?}");
    }
}

#[test]
fn a_number_that_stands_for_two_messages_is_caught() {
    let mut stand = Stand::ten();
    stand.subscribes(at(2), C, 0);
    stand.gets_message(B, 0, 1, 1);
    stand.gets_message(C, 0, 1, 1);
    assert!(stand.found().is_empty(), "{:?}", stand.found());
    stand.gets_message(C, 0, 3, 2);
    assert_eq!(stand.found(), [7]);
}

#[test]
fn a_message_for_somebody_else_is_caught() {
    for (to, expected) in [(B, vec![]), (C, vec![7])] {
        let mut stand = Stand::calm();
        stand.subscribes(at(2), B, 0);
        let to = stand.name(to);
        stand.publishes(at(9), 1, Audience::Node(to));
        let got = Got {
            from: stand.name(A),
            incarnation: Incarnation(BORN),
            topic: TOPIC.into(),
            row: Row::Directed,
            number: 1,
            tag: Some(1),
        };
        stand.tells(at(10), B, Saw::Got { sub: 0, got });
        assert_eq!(stand.found(), expected);
    }
}

#[test]
fn a_link_on_which_bytes_come_is_not_given_up_whatever_the_reason() {
    let cases = [
        (CloseReason::Silent, 44, vec![4]),
        (CloseReason::HandshakeTimeout, 1, vec![4]),
        (CloseReason::BadRecord, 1, vec![4]),
        (CloseReason::Silent, 45, vec![]),
        (CloseReason::Left, 1, vec![]),
        (CloseReason::Replaced, 1, vec![]),
    ];
    for (reason, silent, expected) in cases {
        let mut stand = Stand::calm();
        let conn = ConnId::Out(7);
        let close = |reason: &CloseReason| Output::Close {
            conn,
            reason: reason.clone(),
        };
        stand.does(at(60), A, &close(&reason), at(60 - silent));
        assert_eq!(stand.found(), expected, "{reason:?}");
        // The other end repeats what it was told.
        stand.does(at(60), B, &close(&reason), at(60));
        assert_eq!(stand.found(), expected, "{reason:?}");
    }
}

#[test]
fn who_answers_is_counted_once() {
    let sight = |coverage, failed| Sight {
        freshness: lasso_core::metrics::store::Freshness::Stale,
        age: Duration::ZERO,
        coverage,
        failed,
        failures: 0,
        rows: Vec::new(),
        refreshes: 0,
        most_of_a_key: 0,
    };
    let mut stand = Stand::new();
    let (a, b) = (stand.name(A), stand.name(B));
    let failed = |name: &NodeName| (name.clone(), "timeout");
    for (coverage, failed, holds) in [
        (Some((2, 3)), vec![failed(&b)], true),
        (Some((4, 3)), vec![], false),
        (Some((0, 3)), vec![], false),
        (Some((1, 3)), vec![failed(&b), failed(&b)], false),
        (Some((1, 3)), vec![failed(&a)], false),
    ] {
        let mut stand = Stand::new();
        let saw = MetricSaw {
            page: "page".into(),
            chain: "chain".into(),
            sight: sight(coverage, failed),
        };
        stand.tells(at(1), A, Saw::Metrics(saw));
        assert_eq!(stand.found().is_empty(), holds, "{coverage:?}");
    }
    let gathered = Saw::Gathered {
        tag: 1,
        outcomes: vec![(b.clone(), Outcome::Ok)],
        joined: vec![b.clone()],
        left: Vec::new(),
    };
    let called = Saw::CalledMany {
        tag: 1,
        to: vec![b],
        method: "sum".into(),
        timeout: None,
    };
    stand.tells(at(1), A, called);
    stand.tells(at(2), A, gathered);
    assert_eq!(stand.found(), [5]);
}

#[test]
fn a_handler_that_has_more_time_than_its_caller_or_less_is_caught() {
    for (left, expected) in [(3000, vec![]), (5000, vec![10]), (2000, vec![10])] {
        let mut stand = Stand::calm();
        let called = Saw::Called {
            tag: 1,
            to: stand.name(B),
            method: "sum".into(),
            timeout: Some(Duration::from_secs(3)),
        };
        stand.tells(at(40), A, called);
        let asked = Asked {
            from: &stand.name(A),
            tag: Some(1),
            left: Duration::from_millis(left),
        };
        stand.invariants.asked(at(40), B, &asked);
        assert_eq!(stand.found(), expected, "{left} ms");
    }
}

#[test]
fn queues_that_shed_with_room_or_held_too_much_between_looks_are_caught() {
    let right = lasso_core::plane::QueueAudit {
        taken: 1030,
        read: 0,
        shed: 6,
        held: 1024,
        most: 1024,
        most_bytes: 1024,
        bound: 1024,
        missed: 8,
        missed_read: 0,
        missed_held: 8,
    };
    let audits = |queue: lasso_core::plane::QueueAudit| Audits {
        subscribers: vec![(1, queue)],
        delivered: queue.taken,
        overflowed: queue.shed,
        lanes: Vec::new(),
    };
    let cases = [
        (right, true),
        (
            lasso_core::plane::QueueAudit {
                most: 1025,
                ..right
            },
            false,
        ),
        (
            lasso_core::plane::QueueAudit {
                most: 1023,
                held: 1023,
                read: 1,
                ..right
            },
            false,
        ),
        (
            lasso_core::plane::QueueAudit {
                taken: 1031,
                ..right
            },
            false,
        ),
        (
            lasso_core::plane::QueueAudit {
                bound: 2048,
                ..right
            },
            false,
        ),
        // Of two losses in a row only the larger one is reported, or both are reported twice.
        (
            lasso_core::plane::QueueAudit {
                missed_held: 6,
                ..right
            },
            false,
        ),
        (
            lasso_core::plane::QueueAudit {
                missed_read: 8,
                ..right
            },
            false,
        ),
    ];
    for (queue, holds) in cases {
        let mut stand = Stand::new();
        let told = Told {
            version: 1,
            audits: audits(queue),
            ..Told::default()
        };
        stand.knows(at(1), A, told);
        let expected: &[u32] = if holds { &[] } else { &[12] };
        assert_eq!(stand.found(), expected, "{queue:?}");
    }
}

#[test]
fn lanes_that_refuse_with_room_or_held_one_byte_too_many_are_caught() {
    let bound = 8 << 20;
    for (most, least_refused, overtaken, holds) in [
        (bound, Some(bound + 1), 0, true),
        (bound, Some(bound), 0, false),
        (bound + 1, None, 0, false),
        // A record of another lane went first.
        (bound, None, 1, false),
    ] {
        let lane = lasso_core::link::LaneCount {
            most,
            least_refused,
            overtaken,
            ..Default::default()
        };
        let mut stand = Stand::new();
        let peer = stand.name(B);
        let told = Told {
            version: 1,
            audits: Audits {
                lanes: vec![(peer, lasso_core::link::LaneId::Data, lane)],
                ..Audits::default()
            },
            ..Told::default()
        };
        stand.knows(at(1), A, told);
        assert_eq!(stand.found().is_empty(), holds, "{lane:?}");
    }
}

/// `A` has published once, and reached one node; it counts this.
fn counted(counts: PlaneCounts) -> Vec<u32> {
    let mut stand = Stand::new();
    stand.publishes(at(1), 1, Audience::All);
    for (second, version) in [(2, 1), (3, 2)] {
        let told = Told {
            version,
            counts: counts.clone(),
            ..Told::default()
        };
        stand.knows(at(second), A, told);
    }
    stand.found()
}

#[test]
fn what_callers_are_told_is_what_is_counted() {
    let topics = |sent, received| PubSubCounters {
        sent,
        received,
        ..PubSubCounters::default()
    };
    let counts = |topics, calls| PlaneCounts {
        topics,
        calls,
        ..PlaneCounts::default()
    };
    let calls = |started, answered, requests| CallCounters {
        started,
        answered,
        requests,
        ..CallCounters::default()
    };
    assert!(counted(counts(topics(1, 1), calls(2, 2, 0))).is_empty());
    for wrong in [
        counts(topics(0, 0), calls(0, 0, 0)),
        counts(topics(2, 0), calls(0, 0, 0)),
        counts(topics(1, 2), calls(0, 0, 0)),
        counts(topics(1, 0), calls(2, 1, 0)),
        counts(topics(1, 0), calls(0, 0, 1)),
    ] {
        let found = counted(wrong.clone());
        assert_eq!(found, [12], "{wrong:?}");
    }
}

#[test]
fn nothing_happens_to_a_link_that_nothing_hinders() {
    let address = |stand: &Stand| stand.scenario.node(B).address;
    let dial = |stand: &Stand| Output::Dial {
        conn: ConnId::Out(9),
        to: address(stand),
    };
    let gone = |stand: &Stand, reason| {
        let change = Change::NodeDisconnected {
            name: stand.name(B),
            reason,
        };
        let mut last = event(2, 1, change);
        last.coverage.disconnected = vec![stand.name(B)];
        Output::Event(last)
    };
    // A dial to test the link; a link that is lost; a goodbye; the same with a fault shortly before.
    let mut stand = Stand::calm();
    let output = dial(&stand);
    stand.does(at(100), A, &output, at(100));
    assert_eq!(stand.found(), [14]);
    let mut stand = Stand::calm();
    let output = gone(&stand, DownReason::Closed);
    stand.does(at(100), A, &output, at(100));
    assert_eq!(stand.found(), [14]);
    let mut stand = Stand::calm();
    let output = gone(&stand, DownReason::Left);
    stand.does(at(100), A, &output, at(100));
    assert!(stand.found().is_empty());
    let mut stand = Stand::calm();
    stand.invariants.paths(at(80), &[(0, 1)], true);
    stand.invariants.paths(at(90), &[(0, 1)], false);
    let output = dial(&stand);
    stand.does(at(100), A, &output, at(100));
    assert!(stand.found().is_empty());
}

#[test]
fn a_link_that_is_replaced_while_nothing_hinders_it_is_caught() {
    let mut stand = Stand::calm();
    stand.connects(at(100), A, B, 8);
    assert!(stand.found().contains(&14), "{:?}", stand.found());
    let mut stand = Stand::calm();
    stand.connects(at(5), A, B, 8);
    assert!(!stand.found().contains(&14), "{:?}", stand.found());
}

#[test]
fn heartbeats_that_come_half_as_often_as_promised_are_caught() {
    for (pace, expected) in [(15, vec![]), (30, vec![14])] {
        let mut stand = Stand::calm();
        for second in 30..200 {
            let last = second - second % pace;
            stand.invariants.advance(at(second), &Last(at(last)));
        }
        assert_eq!(stand.found(), expected, "every {pace} s");
    }
}

#[test]
fn timers_that_run_twice_or_half_as_fast_are_caught() {
    // Of one peer a check is due every 15 s, and DNS is asked for both families every 5 s.
    for (checks, lookups, expected) in [
        (4, 24, vec![]),
        (8, 24, vec![14]),
        (2, 24, vec![14]),
        (4, 48, vec![14]),
        (4, 12, vec![14]),
    ] {
        let mut stand = Stand::calm();
        for minute in [2, 4, 6, 8] {
            let told = Told {
                version: 7,
                links: vec![stand.link(B, 7)],
                rounds: Rounds {
                    checks_sent: minute * checks,
                    lookups: minute * lookups,
                    ..Rounds::default()
                },
                ..Told::default()
            };
            stand.knows(at(1 + 60 * minute), A, told);
        }
        assert_eq!(stand.found(), expected, "{checks} and {lookups} a minute");
    }
}

#[test]
fn a_table_beyond_its_bound_is_caught() {
    for (waiting, expected) in [(65_536, vec![]), (65_537, vec![16])] {
        let mut stand = Stand::new();
        let told = Told {
            version: 1,
            sizes: Sizes {
                hub: HubSizes::default(),
                waiting,
                ..Sizes::default()
            },
            counts: PlaneCounts::default(),
            ..Told::default()
        };
        stand.knows(at(1), A, told);
        assert_eq!(stand.found(), expected, "{waiting}");
    }
}

/// Six nodes, of which all others dial the first one in vain, with these milliseconds between two of
/// them; each dials again after a delay that doubles from this.
fn redials(apart: u64, delay: u64) -> Vec<u32> {
    let text = r#"
        lasso = 1
        title = "six"
        [nodes]
        n = { count = 6 }
        [[step]]
        at = "1s"
        expect = { on = "all", connected = 6 }
    "#;
    let scenario = Scenario::parse("six.toml".as_ref(), text).expect("a good file");
    let network = Network::default();
    let mut invariants = Invariants::new(&scenario.nodes, &network, false, Duration::ZERO);
    for node in scenario.node_ids() {
        invariants.started(at(0), node, scenario.node(node), BORN);
    }
    let to = scenario.nodes[0].address;
    let mut moment = at(10);
    for round in 0..5_u32 {
        for node in 1..6_u32 {
            let now = moment + Duration::from_millis(u64::from(node) * apart);
            let dial = Output::Dial {
                conn: ConnId::Out(u64::from(round)),
                to,
            };
            invariants.output(now, NodeId(node), &dial, &Last(now));
        }
        moment += Duration::from_millis(delay) * 2_u32.pow(round);
    }
    let found = invariants.violations().iter().map(|found| found.number);
    let mut found: Vec<u32> = found.collect();
    found.dedup();
    found
}

#[test]
fn redials_in_step_or_too_soon_are_caught() {
    assert!(redials(30, 500).is_empty());
    assert_eq!(redials(1, 500), [15], "in step");
    assert_eq!(redials(30, 250), [15], "too soon");
}

#[test]
fn a_viewer_that_gets_more_than_its_rate_or_queue_allows_is_caught() {
    let look = |stand: &mut Stand, millis: u64, count: u64| {
        let sight = Delivery {
            events: (0..count).map(|_| (None, None, 0)).collect(),
            ..super::of_viewers::nothing()
        };
        let now = Instant::ZERO + Duration::from_millis(millis);
        let seen = crate::app::events::EventSaw::Seen { viewer: 0, sight };
        stand.tells(now, A, Saw::Events(seen));
        let of = |found: &&Violation| found.text.contains("a viewer gets no more");
        stand.invariants.violations().iter().filter(of).count()
    };
    let mut stand = super::of_viewers::desk();
    // 150 at once, and 15 more after a tenth of a second.
    assert_eq!(look(&mut stand, 1500, 150), 0);
    assert_eq!(look(&mut stand, 1600, 15), 0);
    assert_eq!(look(&mut stand, 1700, 16), 1);
    let mut stand = super::of_viewers::desk();
    assert_eq!(look(&mut stand, 60_000, 1001), 2, "of its queue too");
}

#[test]
fn an_event_that_is_neither_seen_nor_told_as_lost_is_caught_at_the_end() {
    for (seen, lost, settled) in [(1, 0, true), (0, 1, true), (0, 0, false)] {
        let mut stand = super::of_viewers::desk();
        stand.connects(at(2), A, B, 7);
        stand.connects(at(2), B, A, 7);
        stand.publishes_event(at(60), "a");
        let sight = Delivery {
            lost,
            events: (0..seen).map(|_| (None, None, 0)).collect(),
            ..super::of_viewers::nothing()
        };
        let seen = crate::app::events::EventSaw::Seen { viewer: 0, sight };
        stand.tells(at(61), A, Saw::Events(seen));
        assert_eq!(stand.unsettled(at(62), &[]), None, "it is under way");
        let end = stand.unsettled(at(90), &[]);
        assert_eq!(end, (!settled).then_some((A, 8)), "{lost}");
    }
}

impl Stand {
    /// The paths between two nodes lose packets from now on, or no longer.
    fn loses(&mut self, now: Instant, (a, b): (NodeId, NodeId), loses: bool) {
        let shape = Shape {
            loss_ppm: if loses { 10_000 } else { 0 },
            ..Shape::default()
        };
        let paths = [(a.0, b.0), (b.0, a.0)];
        self.invariants.shaped(now, &paths, &shape);
    }

    /// `A` dials `B`, with which it is linked.
    fn dials_its_peer(&mut self, now: Instant) -> Vec<u32> {
        let to = self.scenario.node(B).address;
        let conn = ConnId::Out(9);
        self.does(now, A, &Output::Dial { conn, to }, now);
        self.found()
    }
}

#[test]
fn a_lossy_path_excuses_its_own_pair_and_its_own_time_only() {
    let mut stand = Stand::calm();
    stand.loses(at(50), (A, C), true);
    assert_eq!(stand.dials_its_peer(at(100)), [14], "another pair");
    // The pair itself: while it loses packets, shortly after, and once that is long ago.
    let lossy = || {
        let mut stand = Stand::calm();
        stand.loses(at(50), (A, B), true);
        stand
    };
    assert!(lossy().dials_its_peer(at(100)).is_empty());
    let healed = || {
        let mut stand = lossy();
        stand.loses(at(60), (A, B), false);
        stand
    };
    assert!(healed().dials_its_peer(at(164)).is_empty());
    assert_eq!(healed().dials_its_peer(at(166)), [14], "long after");
}

#[test]
fn messages_are_missed_unseen_only_where_the_path_was_lossy() {
    for (path, expected) in [((A, C), vec![7]), ((A, B), vec![])] {
        let mut stand = Stand::calm();
        stand.loses(at(1), path, true);
        stand.subscribes(at(2), B, 0);
        (1..=10).for_each(|tag| stand.publishes(at(9), tag, Audience::All));
        stand.gets_message(B, 0, 3, 3);
        assert_eq!(stand.found(), expected, "{path:?}");
    }
    // What was published long after the path was well again is missing.
    for (healed, expected) in [(10, vec![7]), (120, vec![])] {
        let mut stand = Stand::calm();
        stand.loses(at(1), (A, B), true);
        stand.loses(at(healed), (A, B), false);
        stand.subscribes(at(2), B, 0);
        (1..=10).for_each(|tag| stand.publishes(at(150), tag, Audience::All));
        stand.gets_message(B, 0, 3, 3);
        assert_eq!(stand.found(), expected, "well since {healed} s");
    }
}

#[test]
fn an_event_is_excused_only_by_what_hindered_its_own_way_while_it_was_under_way() {
    for (path, begins, is_missed) in [
        ((A, C), 50, true),
        ((A, B), 50, false),
        ((A, B), 65, false),
        ((A, B), 75, true),
    ] {
        let mut stand = super::of_viewers::desk();
        stand.connects(at(2), A, B, 7);
        stand.connects(at(2), B, A, 7);
        for second in 50..90 {
            if second == begins {
                stand.loses(at(second), path, true);
            }
            if second == 60 {
                stand.publishes_event(at(60), "a");
            }
            stand.invariants.advance(at(second), &Last(at(second)));
        }
        let end = stand.unsettled(at(90), &[]);
        assert_eq!(end, is_missed.then_some((A, 8)), "{path:?} from {begins} s");
    }
}

#[test]
fn tables_of_events_metrics_and_notices_beyond_their_bounds_are_caught() {
    let full = TableSizes {
        live: lasso_core::events::LiveSizes {
            ids: 50_000,
            waiting: 1_000,
            ..Default::default()
        },
        keys: 1_024,
        series: 1_024,
    };
    let mut cases = vec![(full, 4_096, vec![]), (full, 4_097, vec![16])];
    let more: [fn(&mut TableSizes); 4] = [
        |sizes| sizes.live.ids += 1,
        |sizes| sizes.live.waiting += 1,
        |sizes| sizes.keys += 1,
        |sizes| sizes.series += 1,
    ];
    for add in more {
        let mut sizes = full;
        add(&mut sizes);
        cases.push((sizes, 0, vec![16]));
    }
    for (tables, notices, expected) in cases {
        let mut stand = Stand::new();
        let told = Told {
            version: 1,
            tables: Some(tables),
            sizes: Sizes {
                notices,
                ..Sizes::default()
            },
            ..Told::default()
        };
        stand.knows(at(1), A, told);
        assert_eq!(stand.found(), expected, "{tables:?}, {notices} notices");
    }
}

#[test]
fn heartbeats_that_are_sent_twice_as_often_as_promised_are_caught() {
    // Every 15 s on one link.
    for (a_minute, expected) in [(0, vec![]), (4, vec![]), (8, vec![14])] {
        let mut stand = Stand::calm();
        for minute in [2, 4, 6, 8] {
            let told = Told {
                version: 7,
                links: vec![stand.link(B, 7)],
                rounds: Rounds {
                    checks_sent: minute * 4,
                    lookups: minute * 24,
                    heartbeats: minute * a_minute,
                    ..Rounds::default()
                },
                ..Told::default()
            };
            stand.knows(at(1 + 60 * minute), A, told);
        }
        assert_eq!(stand.found(), expected, "{a_minute} a minute");
    }
}

#[test]
fn a_deadline_is_not_judged_only_where_a_question_of_an_earlier_life_may_come_late() {
    // The earlier life has called under these tags; the first of the two reached its handler.
    for (tag, left, expected) in [
        (1, 9, vec![10]),
        (2, 9, vec![]),
        (3, 9, vec![10]),
        (3, 3, vec![]),
    ] {
        let mut stand = Stand::calm();
        let call = |stand: &mut Stand, now, tag| {
            let called = Saw::Called {
                tag,
                to: stand.name(B),
                method: "sum".into(),
                timeout: Some(Duration::from_secs(3)),
            };
            stand.tells(now, A, called);
        };
        let ask = |stand: &mut Stand, now, tag, left| {
            let asked = Asked {
                from: &stand.name(A),
                tag: Some(tag),
                left: Duration::from_secs(left),
            };
            stand.invariants.asked(now, B, &asked);
        };
        (1..=2).for_each(|tag| call(&mut stand, at(40), tag));
        ask(&mut stand, at(40), 1, 3);
        let spec = stand.scenario.node(A).clone();
        stand.invariants.ended(at(41), A, false);
        stand.invariants.started(at(42), A, &spec, BORN + 1);
        (1..=3).for_each(|tag| call(&mut stand, at(43), tag));
        ask(&mut stand, at(43), tag, left);
        assert_eq!(stand.found(), expected, "tag {tag}, {left} s");
    }
}
