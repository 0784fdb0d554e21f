//! The side that answers.

use super::*;

fn few_handlers() -> CallSettings {
    CallSettings {
        handlers_max: 2,
        ..CallSettings::default()
    }
}

#[test]
fn a_request_holds_its_place_until_it_is_answered() {
    let settings = CallSettings {
        handlers_max: 3,
        ..CallSettings::default()
    };
    let (mut one, mut two) = pair_with(&settings);
    let calls: Vec<_> = (0..3)
        .map(|_| one.call(at(0), 2, "echo").unwrap())
        .collect();
    carry(at(0), &mut one, &mut two);
    assert_eq!((two.fx.requests.len(), two.calls.serving()), (2, 2));
    carry(at(0), &mut two, &mut one);
    assert_eq!(one.outcome(calls[2]), Some(Err(CallError::Overloaded)));
    let first = two.fx.requests.remove(0);
    two.answer(first.id, done("answer"));
    let next = one.call(at(0), 2, "echo").unwrap();
    carry(at(0), &mut one, &mut two);
    carry(at(0), &mut two, &mut one);
    assert_eq!(one.outcome(next), None, "the free place was taken");
    assert_eq!(two.calls.counters().requests_over_share, 1);
}

#[test]
fn a_peer_that_fills_its_half_of_the_places_leaves_the_other_half_to_others() {
    let settings = CallSettings {
        handlers_max: 8,
        ..CallSettings::default()
    };
    let (mut one, mut two) = pair_with(&settings);
    let mut three = Side::new(3, &settings);
    let link = ConnId::In(8);
    three.calls.link_up(link, &name(2));
    two.calls.link_up(link, &name(3));
    let mut calls = (0..100).map(|_| one.call(at(0), 2, "echo"));
    assert!(calls.all(|call| call.is_ok()));
    carry(at(0), &mut one, &mut two);
    assert_eq!(two.calls.serving(), 4);
    let mut calls = (0..3).map(|_| three.call(at(0), 2, "echo"));
    assert!(calls.all(|call| call.is_ok()));
    carry(at(0), &mut three, &mut two);
    // Half of what the first one left; the node itself may take all.
    assert_eq!(two.calls.serving(), 6);
    for _ in 0..2 {
        two.call(at(0), 2, "echo").unwrap();
    }
    assert_eq!(two.call(at(0), 2, "echo"), Err(CallError::Overloaded));
    let counters = two.calls.counters();
    assert_eq!(counters.requests_over_share, 97);
    assert_eq!(counters.requests_overloaded, 1);
    // What was refused has its outcome; what is answered makes room again.
    let first = two.fx.requests.remove(0);
    two.answer(first.id, done("answer"));
    two.call(at(0), 2, "echo").unwrap();
    assert_eq!(two.calls.serving(), 8);
}

#[test]
fn a_lost_link_frees_the_places_of_its_calls_and_tells_who_works_on_them() {
    let (mut one, mut two) = pair();
    let mut three = Side::new(3, &CallSettings::default());
    let link = ConnId::In(8);
    three.calls.link_up(link, &name(2));
    two.calls.link_up(link, &name(3));
    for side in [&mut one, &mut three] {
        side.call(at(0), 2, "echo").unwrap();
        side.call(at(0), 2, "echo").unwrap();
        carry(at(0), side, &mut two);
    }
    let requests = core::mem::take(&mut two.fx.requests);
    let (bell, waker) = bell();
    for request in [&requests[0], &requests[2]] {
        assert!(two.calls.watch(request.id, &mut Some(waker.clone())));
    }
    two.link_down(LINK);
    assert_eq!(two.calls.serving(), 2, "those of the other link go on");
    let unwatched = requests[1].id;
    assert!(
        matches!(two.fx.wakes[..], [Wake::Task(_), Wake::Request(id)] if id == unwatched),
        "{:?}",
        two.fx.wakes
    );
    assert_eq!(ring(&mut two.fx), 1);
    assert_eq!(bell.rung(), 1);
    assert!(!two.calls.watch(requests[0].id, &mut None));
    assert!(two.calls.watch(requests[2].id, &mut None));
    assert_eq!(two.calls.counters().answers_nowhere, 2);
}

#[test]
fn a_waker_that_another_one_replaces_is_given_back() {
    let (mut one, mut two) = pair();
    one.call(at(0), 2, "echo").unwrap();
    carry(at(0), &mut one, &mut two);
    let id = two.request().id;
    let (_, first) = bell();
    let mut kept = Some(first.clone());
    assert!(two.calls.watch(id, &mut kept));
    assert!(kept.is_none());
    let mut kept = Some(bell().1);
    assert!(two.calls.watch(id, &mut kept));
    assert!(kept.is_some_and(|waker| waker.will_wake(&first)));
}

#[test]
fn calls_of_this_node_to_itself_hold_places_too() {
    let (mut one, _) = pair_with(&few_handlers());
    one.calls.serve("echo").unwrap();
    one.call(at(0), 1, "echo").unwrap();
    one.call(at(0), 1, "echo").unwrap();
    assert_eq!(one.call(at(0), 1, "echo"), Err(CallError::Overloaded));
}

#[test]
fn an_answer_that_nobody_waits_for_is_counted_and_ignored() {
    let (mut one, mut two) = pair();
    one.call(at(0), 2, "echo").unwrap();
    carry(at(0), &mut one, &mut two);
    let request = two.request();
    two.answer(ServeId(99), done("answer"));
    two.answer(request.id, done("answer"));
    two.answer(request.id, done("again"));
    assert_eq!(two.lanes.calls.len(), 1);
    assert_eq!(two.calls.counters().answers, 1);
    assert_eq!(two.calls.counters().answers_unknown, 2);
}

#[test]
fn the_answer_to_a_lost_link_goes_nowhere() {
    let (mut one, mut two) = pair();
    one.call(at(0), 2, "echo").unwrap();
    carry(at(0), &mut one, &mut two);
    let request = two.request();
    two.link_down(LINK);
    two.calls.link_up(ConnId::In(8), &name(1));
    assert_eq!(two.calls.serving(), 0);
    two.answer(request.id, done("answer"));
    assert!(two.lanes.calls.is_empty());
    assert_eq!(two.calls.counters().answers_nowhere, 1);
    assert_eq!(two.calls.counters().answers_unknown, 1);
}

#[test]
fn an_answer_that_finds_the_lane_full_is_overloaded() {
    let no = rejected(1, "no");
    let table = [
        (done("answer"), CallError::Overloaded, 1),
        // What is small enough for the control lane is not lost.
        (Answer::Rejected(no.clone()), CallError::Rejected(no), 0),
        (Answer::Malformed("why".into()), not_understood(), 0),
    ];
    for (answer, error, shed) in table {
        let (mut one, mut two) = pair();
        let call = one.call(at(0), 2, "echo").unwrap();
        carry(at(0), &mut one, &mut two);
        let request = two.request();
        two.lanes.full = true;
        two.answer(request.id, answer);
        assert_eq!(two.lanes.control.len(), 1);
        carry(at(0), &mut two, &mut one);
        assert_eq!(one.outcome(call), Some(Err(error)));
        assert_eq!(two.calls.counters().answers_shed, shed);
    }
}

#[test]
fn an_answer_larger_than_a_message_may_be_is_a_rejection_of_the_node() {
    let (mut one, mut two) = pair();
    let most = MESSAGE_MAX;
    for bytes in [most, most + 1] {
        let call = one.call(at(0), 2, "echo").unwrap();
        carry(at(0), &mut one, &mut two);
        let request = two.request();
        two.answer(request.id, Answer::Done(vec![7; bytes].into()));
        carry(at(0), &mut two, &mut one);
        match one.outcome(call).unwrap() {
            Ok(answer) => assert_eq!(answer.len(), most),
            Err(CallError::Rejected(reject)) => {
                assert_eq!(bytes, most + 1);
                assert_eq!(reject.code, Reject::CODE_NODE);
                let message = "the answer has 4097 bytes; at most 4096 are accepted";
                assert_eq!(reject.message, message);
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(two.calls.counters().answers_too_large, 1);
}

#[test]
fn methods_are_served_once_and_within_bounds() {
    let settings = CallSettings {
        methods_max: 2,
        ..CallSettings::default()
    };
    let mut calls = Side::new(1, &settings).calls;
    assert_eq!(&*calls.serve("a").unwrap(), "a");
    assert_eq!(calls.serve("a"), Err(ServeError::Taken("a".into())));
    assert_eq!(calls.serve(""), Err(ServeError::Method(0)));
    assert_eq!(calls.serve(&"m".repeat(129)), Err(ServeError::Method(129)));
    assert!(calls.serve(&"m".repeat(128)).is_ok());
    assert_eq!(calls.serve("b"), Err(ServeError::TooMany(2)));
    assert!(calls.unserve("a"));
    assert!(!calls.unserve("a"));
    assert!(calls.serve("b").is_ok());
}

#[test]
fn a_method_that_is_no_longer_served_lets_what_is_worked_on_finish() {
    let (mut one, mut two) = pair();
    let (before, _) = (one.call(at(0), 2, "echo").unwrap(), ());
    carry(at(0), &mut one, &mut two);
    two.calls.unserve("echo");
    let after = one.call(at(0), 2, "echo").unwrap();
    carry(at(0), &mut one, &mut two);
    let request = two.request();
    two.answer(request.id, done("answer"));
    carry(at(0), &mut two, &mut one);
    assert!(matches!(one.outcome(before), Some(Ok(_))));
    assert_eq!(one.outcome(after), Some(Err(CallError::NoSuchMethod)));
}

#[test]
fn a_question_over_a_connection_that_is_no_link_is_counted_and_dropped() {
    let (mut one, mut two) = pair();
    one.call(at(0), 2, "echo").unwrap();
    let (_, frame) = one.lanes.calls.pop_front().unwrap();
    two.receive(at(0), ConnId::In(99), &frame).unwrap();
    assert!(two.fx.is_empty() && two.lanes.control.is_empty());
    assert_eq!(two.calls.counters().requests_unlinked, 1);
}

#[test]
fn a_handler_that_gives_up_frees_its_place_and_leaves_the_outcome_to_the_deadline() {
    let (mut one, _) = pair_with(&few_handlers());
    one.calls.serve("echo").unwrap();
    let call = one.call(at(0), 1, "echo").unwrap();
    let request = one.request();
    one.calls.give_up(request.id);
    one.calls.give_up(request.id);
    one.calls.assert_invariants();
    assert_eq!(one.calls.serving(), 0);
    assert_eq!(one.calls.counters().given_up, 1);
    assert_eq!(one.outcome(call), None);
    one.calls.tick(request.deadline, &mut one.fx);
    let timeout = CallError::Timeout(Duration::from_secs(5));
    assert_eq!(one.outcome(call), Some(Err(timeout)));
}

#[test]
fn after_the_end_nothing_is_called_and_nothing_is_served() {
    let (mut one, _) = pair();
    one.calls.serve("echo").unwrap();
    one.calls.end(&mut one.fx);
    for to in [1, 2] {
        assert_eq!(one.call(at(0), to, "echo"), Err(CallError::Stopped));
    }
    let gather = one.call_many(at(0), &[2, 1], "echo");
    assert_eq!(gather, Err(CallError::Stopped));
    assert_eq!(one.calls.counters().stopped, 4);
    assert_eq!(one.calls.serve("other"), Err(ServeError::Stopped));
    assert_eq!(one.calls.waiting(), 0);
}

#[test]
fn a_timeout_longer_than_may_be_is_cut_by_the_caller_and_by_the_answering_node() {
    let second = Duration::from_secs(1);
    let (mut one, mut two) = pair_with(&CallSettings {
        timeout_max: second,
        ..CallSettings::default()
    });
    let call = one
        .call_within(at(0), 2, "echo", Some(60 * second))
        .unwrap();
    assert_eq!(one.calls.deadline(), Some(at(1000)));
    carry(at(0), &mut one, &mut two);
    assert_eq!(two.request().deadline, at(1000));
    one.calls.tick(at(1000), &mut one.fx);
    assert_eq!(one.outcome(call), Some(Err(CallError::Timeout(second))));
    // A peer that does not cut it.
    let mut three = Side::new(3, &CallSettings::default());
    three.calls.link_up(LINK, &name(2));
    three
        .call_within(at(0), 2, "echo", Some(60 * second))
        .unwrap();
    carry(at(0), &mut three, &mut two);
    assert_eq!(two.request().deadline, at(1000));
}

/// Room for two of the questions that these tests ask, which have 8 bytes.
fn few_bytes() -> CallSettings {
    CallSettings {
        handlers_bytes_max: 24,
        ..CallSettings::default()
    }
}

#[test]
fn questions_are_bounded_in_bytes_too() {
    let (mut one, mut two) = pair_with(&few_bytes());
    let calls = [0; 3].map(|_| one.call(at(0), 2, "echo").unwrap());
    carry(at(0), &mut one, &mut two);
    // The first finds nothing there, and the second would hold more than is free after it.
    assert_eq!(two.fx.requests.len(), 2);
    assert_eq!(two.calls.counters().requests_over_bytes, 1);
    carry(at(0), &mut two, &mut one);
    assert_eq!(one.outcome(calls[2]), Some(Err(CallError::Overloaded)));
    for request in core::mem::take(&mut two.fx.requests) {
        two.answer(request.id, done("answer"));
    }
    one.call(at(0), 2, "echo").unwrap();
    carry(at(0), &mut one, &mut two);
    assert_eq!(two.fx.requests.len(), 1);
}

#[test]
fn one_question_of_any_size_finds_room_and_a_lost_link_frees_it() {
    let settings = CallSettings {
        handlers_bytes_max: 4,
        ..CallSettings::default()
    };
    let (mut one, mut two) = pair_with(&settings);
    for _ in 0..2 {
        one.call(at(0), 2, "echo").unwrap();
    }
    carry(at(0), &mut one, &mut two);
    assert_eq!(two.calls.serving(), 1);
    assert_eq!(two.calls.counters().requests_over_bytes, 1);
    two.link_down(LINK);
    assert_eq!(two.calls.serving(), 0);
}

#[test]
fn peers_that_want_all_places_leave_some_to_others() {
    let settings = CallSettings {
        handlers_max: 12,
        ..CallSettings::default()
    };
    let mut node = Side::new(9, &settings);
    node.calls.serve("echo").unwrap();
    let mut asker = Side::new(1, &CallSettings::default());
    asker.calls.link_up(LINK, &name(9));
    for _ in 0..20 {
        asker.call(at(0), 9, "echo").unwrap();
    }
    let questions: Vec<Vec<u8>> = asker
        .lanes
        .calls
        .drain(..)
        .map(|(_, frame)| frame)
        .collect();
    for peer in 1..=3 {
        node.calls.link_up(ConnId::In(peer), &name(peer as u8));
    }
    for question in &questions {
        for peer in 1..=2 {
            node.receive(at(0), ConnId::In(peer), question).unwrap();
        }
    }
    assert_eq!(node.calls.serving(), 8, "a third each");
    for question in &questions[..2] {
        node.receive(at(0), ConnId::In(3), question).unwrap();
    }
    assert_eq!(node.calls.serving(), 10, "the third one finds room");
    assert_eq!(node.calls.counters().requests_over_share, 32);
}

#[test]
fn a_question_or_an_answer_that_was_given_up_unfinished_ends_its_call() {
    let (mut one, mut two) = pair();
    let calls = [0; 2].map(|_| one.call(at(0), 2, "echo").unwrap());
    let (_, frame) = one.lanes.calls.pop_front().unwrap();
    let (raw, _) = codec::split(&frame).unwrap();
    let (lanes, fx) = (&mut two.lanes, &mut two.fx);
    let start = &raw.body[..4];
    assert_eq!(two.calls.on_call_given_up(LINK, start, lanes, fx), Ok(()));
    two.calls.assert_invariants();
    assert_eq!(two.calls.counters().requests_unfinished, 1);
    carry(at(0), &mut one, &mut two);
    carry(at(0), &mut two, &mut one);
    assert_eq!(one.outcome(calls[0]), Some(Err(CallError::Overloaded)));

    let id = two.request().id;
    two.answer(id, done("answer"));
    let (_, frame) = two.lanes.calls.pop_front().unwrap();
    let (raw, _) = codec::split(&frame).unwrap();
    let start = &raw.body[..2];
    assert_eq!(
        one.calls.on_answer_given_up(LINK, start, &mut one.fx),
        Ok(())
    );
    assert_eq!(one.outcome(calls[1]), Some(Err(CallError::Overloaded)));
    assert!(
        one.calls
            .on_answer_given_up(LINK, &[], &mut one.fx)
            .is_err()
    );
}
