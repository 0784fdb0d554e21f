//! The behaviour of a machine with a bug, and of a correct one, with links, lanes and timers: invariants 4, 12,
//! 14 and 15.

use lasso_core::event::CloseReason;

use super::*;

impl Stand {
    /// `A` dials `B`, with which it is linked.
    fn dials_its_peer(&mut self, now: Instant) -> Vec<u32> {
        let to = self.scenario.node(B).address;
        let conn = ConnId::Out(9);
        self.does(now, A, &Output::Dial { conn, to }, now);
        self.found()
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
        // The other end repeats the reason that it received.
        stand.does(at(60), B, &close(&reason), at(60));
        assert_eq!(stand.found(), expected, "{reason:?}");
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
