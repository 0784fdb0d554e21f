//! The behaviour of a machine with a bug, and of a correct one, with messages, answers, queues and tables:
//! invariants 5, 7, 8, 10, 12 and 16.

use lasso_core::plane::pubsub::{HubSizes, PubSubCounters};
use lasso_core::plane::{Audience, CallCounters, Reach, Row};

use super::*;
use crate::app::events::Sight as Delivery;
use crate::app::{Got, MetricSaw, Outcome, Sight};

const TOPIC: &str = "prices";

impl Stand {
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

    /// The updates of `B`: a number is a message, a negative one is a count of missed messages.
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
        // A loss reported twice, or the loss of a later message.
        (&[1, -2, 3], false),
        (&[1, -1, 2], false),
        // Messages that were published long after the source knew of the subscriber are not reported.
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
        bytes_taken: 1030,
        bytes_read: 0,
        bytes_shed: 6,
        bytes_held: 1024,
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
        // The bytes of what gave way are still counted as held.
        (
            lasso_core::plane::QueueAudit {
                bytes_held: 1030,
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

#[test]
fn links_and_unfinished_bytes_beyond_their_bounds_are_caught() {
    for (links, unfinished, expected) in [
        (1024, 64 << 20, vec![]),
        (1025, 0, vec![16]),
        (0, (64 << 20) + 1, vec![16]),
    ] {
        let mut stand = Stand::new();
        let told = Told {
            version: 1,
            sizes: Sizes {
                links,
                unfinished,
                ..Sizes::default()
            },
            ..Told::default()
        };
        stand.knows(at(1), A, told);
        assert_eq!(stand.found(), expected, "{links}, {unfinished}");
    }
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
    // A message published long after the path was well again is missing.
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
