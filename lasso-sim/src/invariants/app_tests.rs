//! The observations and actions of applications: invariants 7, 10 and 12.

use std::sync::Arc;

use lasso_core::link::{LaneCount, LaneId};
use lasso_core::plane::{Audience, QueueAudit, Reach, Row};

use super::*;
use crate::app::{Got, Outcome};

const TOPIC: &str = "prices";

impl Stand {
    fn sees(&mut self, now: Instant, node: NodeId, saw: Saw) {
        self.invariants.saw(now, node, &saw);
    }

    /// `B` subscribes, and `A` publishes this many messages.
    fn publishing(messages: u64) -> Self {
        let mut stand = Stand::new();
        let topic: Arc<str> = TOPIC.into();
        let subscribed = Saw::Subscribed {
            sub: 0,
            name: TOPIC.to_owned(),
            topic: Arc::clone(&topic),
            queue: None,
            at_once: true,
        };
        stand.sees(at(1), B, subscribed);
        for tag in 1..=messages {
            let published = Saw::Published {
                topic: Arc::clone(&topic),
                tag,
                audience: Audience::All,
                result: Ok(Reach::default()),
            };
            stand.sees(at(2), A, published);
        }
        stand
    }

    /// The two are linked, `B` subscribes, and `A` publishes once, this many seconds after the start.
    fn linked(published: u64) -> Self {
        let mut stand = Stand::publishing(0);
        stand.connects(at(2), A, B, 1);
        stand.connects(at(2), B, A, 1);
        let published_one = Saw::Published {
            topic: TOPIC.into(),
            tag: 1,
            audience: Audience::All,
            result: Ok(Reach::default()),
        };
        stand.sees(at(published), A, published_one);
        stand
    }

    /// `B` gets a message of `A`.
    fn gets(&mut self, number: u64, tag: Option<u64>) {
        let got = Got {
            from: self.name(A),
            incarnation: Incarnation(BORN),
            topic: TOPIC.into(),
            row: Row::All,
            number,
            tag,
        };
        self.sees(at(3), B, Saw::Got { sub: 0, got });
    }

    fn misses(&mut self, count: u64) {
        self.sees(at(3), B, Saw::Missed { sub: 0, count });
    }

    /// `A` calls `B` with a deadline of three seconds.
    fn calling() -> Self {
        let mut stand = Stand::new();
        let called = Saw::Called {
            tag: 1,
            to: stand.name(B),
            method: "sum".into(),
            timeout: Some(Duration::from_secs(3)),
        };
        stand.sees(at(1), A, called);
        stand
    }

    fn is_answered(&mut self, now: Instant, outcome: Outcome) {
        self.sees(now, A, Saw::Answered { tag: 1, outcome });
    }

    /// The states of the queues of `A`, in turn.
    fn audited(audits: impl IntoIterator<Item = Audits>) -> Self {
        let mut stand = Stand::new();
        for (version, audits) in audits.into_iter().enumerate() {
            let told = Told {
                version: version as u64 + 1,
                audits,
                ..Told::default()
            };
            stand.invariants.after(at(1), A, &told);
        }
        stand
    }
}

#[test]
fn messages_in_order_with_their_gaps_reported_are_left_alone() {
    let mut stand = Stand::publishing(9);
    for number in [1, 2] {
        stand.gets(number, Some(number));
    }
    stand.misses(3);
    stand.gets(6, Some(6));
    stand.misses(3);
    assert!(
        stand.found().is_empty(),
        "{:?}",
        stand.invariants.violations()
    );
    assert_eq!(stand.unsettled(at(60), &[]), None);
}

#[test]
fn a_message_that_comes_twice_or_out_of_order_is_caught() {
    for second in [5, 4] {
        let mut stand = Stand::publishing(9);
        stand.gets(5, Some(5));
        stand.gets(second, Some(9));
        assert_eq!(stand.found(), [7], "by its number, {second}");
        let mut stand = Stand::publishing(9);
        stand.gets(5, Some(5));
        stand.gets(6, Some(second));
        assert_eq!(stand.found(), [7], "by its content, {second}");
    }
}

#[test]
fn a_gap_that_nobody_reported_is_caught_when_the_next_message_comes() {
    let mut stand = Stand::publishing(9);
    stand.gets(1, Some(1));
    stand.misses(1);
    stand.gets(4, Some(4));
    assert_eq!(stand.found(), [7]);
}

#[test]
fn a_loss_at_the_end_that_nobody_reported_is_caught_once_nothing_is_under_way() {
    let mut stand = Stand::publishing(9);
    stand.gets(1, Some(1));
    assert_eq!(stand.unsettled(at(3), &[]), None, "it may be under way");
    assert_eq!(stand.unsettled(at(60), &[]), Some((B, 7)), "8 are missing");
    stand.misses(8);
    assert_eq!(stand.unsettled(at(60), &[]), None);
}

#[test]
fn a_subscriber_that_hears_nothing_of_a_source_it_is_linked_with_is_caught() {
    let stand = Stand::linked(9);
    assert_eq!(stand.unsettled(at(60), &[]), Some((B, 7)), "it is lost");
    let mut stand = Stand::linked(9);
    stand.misses(1);
    assert_eq!(stand.unsettled(at(60), &[]), None, "it was told");
    let mut stand = Stand::linked(9);
    stand.gets(1, Some(1));
    assert_eq!(stand.unsettled(at(60), &[]), None, "it has come");
    let stand = Stand::linked(6);
    let early = stand.unsettled(at(60), &[]);
    assert_eq!(early, None, "the source may not have known yet");
}

#[test]
fn more_missed_than_there_were_and_what_was_not_published_are_caught() {
    let mut stand = Stand::publishing(4);
    stand.gets(1, Some(1));
    stand.misses(4);
    assert_eq!(stand.found(), [7]);
    let mut stand = Stand::publishing(4);
    stand.gets(1, None);
    assert_eq!(stand.found(), [7]);
}

#[test]
fn a_call_with_one_outcome_in_time_is_left_alone() {
    let mut stand = Stand::calling();
    stand.is_answered(at(4), Outcome::Timeout);
    stand.invariants.advance(at(60), &Last(at(60)));
    assert!(
        stand.found().is_empty(),
        "{:?}",
        stand.invariants.violations()
    );
}

#[test]
fn a_call_without_an_outcome_is_caught_after_its_deadline() {
    let mut stand = Stand::calling();
    stand.invariants.advance(at(4), &Last(at(4)));
    assert!(stand.found().is_empty(), "{:?}", stand.found());
    assert!(
        stand
            .invariants
            .poll_timeout()
            .is_some_and(|due| due < at(5))
    );
    stand.invariants.advance(at(5), &Last(at(5)));
    assert_eq!(stand.found(), [10]);
}

#[test]
fn a_late_outcome_a_second_one_and_a_wrong_answer_are_caught() {
    let mut stand = Stand::calling();
    stand.is_answered(at(5), Outcome::Timeout);
    assert_eq!(stand.found(), [10]);
    let mut stand = Stand::calling();
    stand.is_answered(at(2), Outcome::Ok);
    stand.is_answered(at(2), Outcome::Timeout);
    assert_eq!(stand.found(), [10]);
    let mut stand = Stand::calling();
    stand.is_answered(at(2), Outcome::WrongAnswer);
    assert_eq!(stand.found(), [10]);
}

#[test]
fn a_frozen_caller_is_late_only_once_it_goes_on() {
    let mut stand = Stand::calling();
    stand.invariants.paused(A);
    stand.invariants.advance(at(30), &Last(at(30)));
    stand.invariants.resumed(at(31), A);
    stand.is_answered(at(31), Outcome::Timeout);
    assert!(
        stand.found().is_empty(),
        "{:?}",
        stand.invariants.violations()
    );
}

#[test]
fn a_call_to_many_that_forgets_or_swaps_a_node_is_caught() {
    let (right, fewer, swapped): (&[NodeId], &[NodeId], &[NodeId]) = (&[A, B], &[A], &[B, A]);
    for (answered, expected) in [(right, vec![]), (fewer, vec![10]), (swapped, vec![10])] {
        let mut stand = Stand::new();
        let called = Saw::CalledMany {
            tag: 1,
            to: vec![stand.name(A), stand.name(B)],
            method: "sum".into(),
            timeout: None,
        };
        stand.sees(at(1), A, called);
        let names = answered.iter().map(|node| stand.name(*node));
        let gathered = Saw::Gathered {
            tag: 1,
            outcomes: names.map(|name| (name, Outcome::Ok)).collect(),
            joined: Vec::new(),
            left: Vec::new(),
        };
        stand.sees(at(2), A, gathered);
        assert_eq!(stand.found(), expected, "{answered:?}");
    }
}

fn queue(taken: u64, read: u64, shed: u64, held: u64) -> QueueAudit {
    QueueAudit {
        taken,
        read,
        shed,
        held,
        // One that has shed was full.
        most: if shed > 0 { 1_024 } else { held },
        most_bytes: 0,
        bound: 1_024,
        bytes_taken: taken,
        bytes_read: read,
        bytes_shed: shed,
        bytes_held: held,
        missed: shed,
        missed_read: shed,
        missed_held: 0,
    }
}

fn audits(delivered: u64, overflowed: u64, queues: &[QueueAudit]) -> Audits {
    let subscribers = queues.iter().enumerate();
    Audits {
        subscribers: subscribers.map(|(id, queue)| (id as u64, *queue)).collect(),
        delivered,
        overflowed,
        lanes: Vec::new(),
    }
}

#[test]
fn queues_that_add_up_are_left_alone() {
    let first = audits(5, 1, &[queue(5, 3, 1, 1)]);
    let second = audits(9, 2, &[queue(7, 3, 2, 2), queue(2, 0, 0, 2)]);
    let stand = Stand::audited([first, second]);
    assert!(
        stand.found().is_empty(),
        "{:?}",
        stand.invariants.violations()
    );
}

#[test]
fn queues_that_do_not_add_up_are_caught() {
    for wrong in [
        audits(5, 1, &[queue(5, 2, 1, 1)]),
        audits(6, 1, &[queue(5, 3, 1, 1)]),
        audits(5, 2, &[queue(5, 3, 1, 1)]),
        audits(2_000, 0, &[queue(2_000, 0, 0, 2_000)]),
    ] {
        let stand = Stand::audited([wrong.clone()]);
        assert_eq!(stand.found(), [12], "{wrong:?}");
    }
}

#[test]
fn lanes_that_do_not_add_up_or_hold_too_much_are_caught() {
    let lane = |taken, sent, held| LaneCount {
        taken,
        sent,
        held,
        ..LaneCount::default()
    };
    for (count, expected) in [
        (lane(9, 5, 4), vec![]),
        (lane(9, 5, 3), vec![12_u32]),
        (lane(64 << 20, 0, 64 << 20), vec![12]),
    ] {
        let name = Stand::new().name(B);
        let audits = Audits {
            lanes: vec![(name, LaneId::Data, count)],
            ..Audits::default()
        };
        assert_eq!(Stand::audited([audits]).found(), expected, "{count:?}");
    }
}
