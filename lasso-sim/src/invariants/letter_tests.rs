//! The behaviour of a machine with a bug, and of a correct one: messages for one node or a role, health checks,
//! islands, and addresses that DNS names.

use lasso_core::discovery::{Family, QueryId};
use lasso_core::name::Label;
use lasso_core::plane::{Audience, Reach, Row};
use lasso_core::topology::NodeState;

use super::*;
use crate::app::Got;

const TOPIC: &str = "orders";

impl Stand {
    /// `A` and `B` are linked, `B` has said that its role is `web`, and it subscribes at 2 s.
    fn with_a_reader() -> Self {
        let mut stand = Stand::new();
        stand.connects(at(1), A, B, 7);
        stand.connects(at(1), B, A, 7);
        let mut description = lasso_core::name::Description::of(&stand.name(B));
        description.roles = BTreeSet::from([web()]);
        let identified = Change::NodeIdentified {
            name: stand.name(B),
            description,
        };
        let told = event(2, 2, identified);
        stand.invariants.event(at(1), A, &told, &Last(at(1)));
        stand.reads_from(at(2), 0);
        stand
    }

    fn reads_from(&mut self, now: Instant, sub: u32) {
        let subscribed = Saw::Subscribed {
            sub,
            name: TOPIC.to_owned(),
            topic: TOPIC.into(),
            queue: None,
            at_once: true,
        };
        self.invariants.saw(now, B, &subscribed);
    }

    fn writes(&mut self, now: Instant, tag: u64, audience: Audience) {
        let published = Saw::Published {
            topic: TOPIC.into(),
            tag,
            audience,
            result: Ok(Reach::default()),
        };
        self.invariants.saw(now, A, &published);
    }

    fn gets_letter(&mut self, now: Instant, number: u64, tag: u64) {
        let got = Got {
            from: self.name(A),
            incarnation: Incarnation(BORN),
            topic: TOPIC.into(),
            row: Row::Directed,
            number,
            tag: Some(tag),
        };
        self.invariants.saw(now, B, &Saw::Got { sub: 0, got });
    }

    fn is_told(&mut self, now: Instant, count: u64) {
        self.invariants.saw(now, B, &Saw::Missed { sub: 0, count });
    }
}

fn web() -> Label {
    Label::new("role", "web").expect("a role")
}

#[test]
fn a_letter_that_neither_comes_nor_is_reported_is_caught_at_the_end() {
    for audience in [Audience::Node(Stand::new().name(B)), Audience::Role(web())] {
        let mut stand = Stand::with_a_reader();
        stand.writes(at(9), 1, audience.clone());
        assert_eq!(stand.unsettled(at(10), &[]), None, "it is under way");
        assert_eq!(stand.unsettled(at(60), &[]), Some((B, 7)), "{audience:?}");
        stand.is_told(at(60), 1);
        assert_eq!(stand.unsettled(at(60), &[]), None, "it was told");
        let mut stand = Stand::with_a_reader();
        stand.writes(at(9), 1, audience);
        stand.gets_letter(at(9), 1, 1);
        assert_eq!(stand.unsettled(at(60), &[]), None, "it has come");
        assert!(stand.found().is_empty(), "{:?}", stand.found());
    }
}

#[test]
fn a_letter_to_nobody_who_is_known_to_want_it_is_not_asked_for() {
    let other = Label::new("role", "ingestor").expect("a role");
    let mut stand = Stand::with_a_reader();
    stand.writes(at(5), 1, Audience::Role(web()));
    stand.writes(at(9), 2, Audience::Role(other));
    stand.writes(at(9), 3, Audience::Local);
    assert_eq!(stand.unsettled(at(60), &[]), None);
}

#[test]
fn a_loss_of_another_topic_or_of_another_node_is_not_taken_for_one_of_this() {
    let mut stand = Stand::with_a_reader();
    let to_itself = Audience::Node(stand.name(A));
    stand.writes(at(9), 1, to_itself);
    stand.is_told(at(10), 1);
    assert_eq!(stand.found(), [7]);
}

#[test]
fn numbers_of_letters_grow_by_as_many_as_were_published_for_the_node() {
    for (last, missed, holds) in [(3, 1, true), (4, 2, false), (2, 0, false)] {
        let mut stand = Stand::with_a_reader();
        for tag in 1..=3 {
            stand.writes(at(9), tag, Audience::Role(web()));
        }
        stand.gets_letter(at(9), 1, 1);
        if missed > 0 {
            stand.is_told(at(9), missed);
        }
        stand.gets_letter(at(9), last, 3);
        assert_eq!(stand.found().is_empty(), holds, "{last}");
    }
}

#[test]
fn what_was_published_while_a_link_was_lost_is_owed_as_well() {
    let mut stand = Stand::with_a_reader();
    stand.writes(at(9), 1, Audience::Role(web()));
    stand.gets_letter(at(9), 1, 1);
    stand.invariants.paths(at(10), &[(0, 1), (1, 0)], true);
    stand.writes(at(11), 2, Audience::Role(web()));
    stand.invariants.paths(at(12), &[(0, 1), (1, 0)], false);
    assert_eq!(stand.unsettled(at(60), &[]), Some((B, 7)));
    stand.is_told(at(60), 1);
    assert_eq!(stand.unsettled(at(60), &[]), None);
}

#[test]
fn a_node_is_unresponsive_after_three_checks_that_waited_for_all_of_their_time() {
    for (checks, first, last, expected) in [
        (3, 30, 40, vec![]),
        (2, 30, 40, vec![14]),
        (4, 30, 40, vec![14]),
        // Half of the time-out each.
        (3, 30, 42, vec![14]),
        (3, 31, 40, vec![14]),
    ] {
        let mut stand = Stand::new();
        stand.connects(at(1), A, B, 7);
        let peer = stand.name(B);
        let change = Change::HealthUpdate {
            changed: vec![(peer.clone(), NodeState::Unresponsive)],
        };
        let told = event(2, 2, change);
        stand.invariants.event(at(45), A, &told, &Last(at(1)));
        let unanswered = Unanswered {
            checks,
            first_sent: at(first),
            last_sent: at(last),
        };
        let knows = Told {
            version: 7,
            links: vec![stand.link(B, 7)],
            known: BTreeMap::from([(peer.clone(), BORN)]),
            coverage: Some(told.coverage.clone()),
            members: vec![(peer.clone(), true)],
            unanswered: BTreeMap::from([(peer, unanswered)]),
            ..Told::default()
        };
        stand.invariants.after(at(45), A, &knows);
        assert_eq!(
            stand.found(),
            expected,
            "{checks} from {first} s to {last} s"
        );
    }
}

#[test]
fn a_node_that_has_left_and_is_reported_as_an_island_is_caught() {
    for (reason, expected) in [(DownReason::Left, vec![5]), (DownReason::Down, vec![])] {
        let mut stand = Stand::new();
        stand.connects(at(1), A, B, 7);
        let peer = stand.name(B);
        let change = Change::NodeDisconnected {
            name: peer.clone(),
            reason,
        };
        let told = event(2, 1, change);
        stand.invariants.event(at(80), A, &told, &Last(at(1)));
        let knows = Told {
            version: 8,
            islands: vec![peer.clone()],
            coverage: Some(told.coverage.clone()),
            members: vec![(peer, false)],
            ..Told::default()
        };
        stand.invariants.after(at(80), A, &knows);
        let settled = Told {
            version: 9,
            ..knows.clone()
        };
        stand.invariants.after(at(200), A, &settled);
        let found: Vec<u32> = stand.found();
        let of_islands = |violation: &&Violation| violation.text.contains("island");
        let islands = stand.invariants.violations().iter().filter(of_islands);
        assert_eq!(islands.count(), expected.len(), "{reason:?}: {found:?}");
    }
}

#[test]
fn an_address_that_is_forgotten_too_soon_is_caught_however_often_it_was_absent() {
    let named = |hosts: &[&str]| lasso_core::node::DnsAnswer::Addresses {
        addresses: hosts
            .iter()
            .map(|host| (host.parse().expect("an address"), None))
            .collect(),
        truncated: false,
    };
    // Absent from 30 s on, back at 60 s, absent again from 100 s on.
    for (looked_at, knows_it, expected) in [
        (159, false, vec![14]),
        (159, true, vec![]),
        (161, false, vec![]),
    ] {
        let mut stand = Stand::new();
        let question = (QueryId(0), Family::A);
        let peer: NodeName = "lasso@10.0.0.9".parse().expect("a name");
        for (seconds, hosts) in [
            (10, vec!["10.0.0.9", "10.0.0.8"]),
            (30, vec!["10.0.0.8"]),
            (60, vec!["10.0.0.9", "10.0.0.8"]),
            (100, vec!["10.0.0.8"]),
            (looked_at, vec!["10.0.0.8"]),
        ] {
            let answer = named(&hosts);
            let knows = Told {
                candidates: ["lasso@10.0.0.8".parse().expect("a name"), peer.clone()]
                    .into_iter()
                    .filter(|name| knows_it || *name != peer || seconds < looked_at)
                    .collect(),
                ..Told::default()
            };
            stand.invariants.resolved(at(seconds), A, question, &answer);
            stand.invariants.after(at(seconds), A, &knows);
        }
        // Nothing else is told here of how often the node asks.
        let of_addresses = |violation: &&Violation| violation.text.contains("an address");
        let found = stand.invariants.violations().iter().filter(of_addresses);
        let found: Vec<u32> = found.map(|violation| violation.number).collect();
        assert_eq!(found, expected, "{looked_at} s");
    }
}
