//! The side that asks.

use super::*;

#[test]
fn an_answer_comes_back_under_its_call() {
    let (mut one, mut two) = pair();
    let call = one.call(at(100), 2, "echo").unwrap();
    assert_eq!(one.outcome(call), None);
    carry(at(150), &mut one, &mut two);
    let request = two.request();
    assert_eq!(request.from, name(1));
    assert_eq!(&*request.method, "echo");
    assert_eq!(request.payload, "question");
    assert_eq!(request.deadline, at(5150));
    two.answer(request.id, done("answer"));
    carry(at(200), &mut two, &mut one);
    assert_eq!(one.outcome(call), Some(Ok(Bytes::from_static(b"answer"))));
    assert_eq!(one.outcome(call), None, "an outcome is given once");
    assert_eq!(one.calls.counters().answered, 1);
    assert_eq!(one.calls.deadline(), None);
    assert_eq!((one.calls.waiting(), two.calls.serving()), (0, 0));
}

#[test]
fn what_a_handler_says_is_what_the_asker_hears() {
    let long = "ä".repeat(600);
    let cut = "ä".repeat(512);
    let table = [
        (done(""), Ok(Bytes::new())),
        (Answer::Malformed("why".into()), Err(not_understood())),
        (
            Answer::Rejected(rejected(404, "no such row")),
            Err(CallError::Rejected(rejected(404, "no such row"))),
        ),
        (
            Answer::Rejected(rejected(0, &format!("a{long}"))),
            Err(CallError::Rejected(rejected(0, &format!("a{}", &cut[2..])))),
        ),
    ];
    let malformed = (
        Answer::Malformed("x".repeat(2000)),
        Err(CallError::Malformed {
            half: Half::Question,
            problem: "x".repeat(1024),
        }),
    );
    for (answer, outcome) in table.into_iter().chain([malformed]) {
        let (mut one, mut two) = pair();
        one.calls.serve("echo").unwrap();
        let remote = one.call(at(0), 2, "echo").unwrap();
        carry(at(0), &mut one, &mut two);
        let request = two.request();
        two.answer(request.id, answer.clone());
        carry(at(0), &mut two, &mut one);
        assert_eq!(one.outcome(remote), Some(outcome.clone()));

        let local = one.call(at(0), 1, "echo").unwrap();
        let request = one.request();
        one.answer(request.id, answer);
        assert_eq!(one.outcome(local), Some(outcome), "and so here");
    }
}

#[test]
fn a_node_that_is_not_linked_is_not_connected() {
    let (mut one, _) = pair();
    let error = CallError::NotConnected(name(3));
    assert_eq!(one.call(at(0), 3, "echo"), Err(error));
    assert_eq!(one.calls.counters().not_connected, 1);
    one.link_down(LINK);
    assert!(matches!(
        one.call(at(0), 2, "echo"),
        Err(CallError::NotConnected(_))
    ));
}

#[test]
fn a_method_that_is_not_served_is_refused_at_once() {
    let (mut one, mut two) = pair();
    let call = one.call(at(0), 2, "other").unwrap();
    carry(at(0), &mut one, &mut two);
    assert!(two.fx.is_empty());
    assert_eq!(
        two.lanes.control.len(),
        1,
        "small answers pass the control lane"
    );
    carry(at(0), &mut two, &mut one);
    assert_eq!(one.outcome(call), Some(Err(CallError::NoSuchMethod)));
    assert_eq!(
        one.call(at(0), 1, "echo"),
        Err(CallError::NoSuchMethod),
        "here"
    );
    assert_eq!(one.calls.counters().no_such_method, 2);
    assert_eq!(two.calls.counters().requests_no_such_method, 1);
}

#[test]
fn a_call_ends_at_its_deadline_and_a_late_answer_is_dropped_and_counted() {
    let (mut one, mut two) = pair();
    let call = one.call(at(0), 2, "echo").unwrap();
    assert_eq!(one.calls.deadline(), Some(at(5000)), "behaviour: 5 s");
    one.tick(at(4999));
    assert_eq!(one.outcome(call), None);
    one.tick(at(5000));
    carry(at(5000), &mut one, &mut two);
    let request = two.request();
    two.answer(request.id, done("answer"));
    carry(at(5001), &mut two, &mut one);
    let timeout = CallError::Timeout(Duration::from_secs(5));
    assert_eq!(one.outcome(call), Some(Err(timeout)));
    assert_eq!(one.calls.counters().timeouts, 1);
    assert_eq!(one.calls.counters().late_answers, 1);
}

#[test]
fn a_call_without_any_time_asks_nobody_and_is_over_at_once() {
    let (mut one, _) = pair();
    one.calls.serve("echo").unwrap();
    let zero = Some(Duration::ZERO);
    let over = CallError::Timeout(Duration::ZERO);
    for to in [1, 2] {
        let called = one.call_within(at(7), to, "echo", zero);
        assert_eq!(called, Err(over.clone()), "to {to}");
    }
    let payload = Bytes::new();
    let question = Question {
        method: "echo",
        payload: &payload,
        timeout: zero,
    };
    let (lanes, fx) = (&mut one.lanes, &mut one.fx);
    let to = [name(2), name(1)];
    let gather = one.calls.call_many(at(7), &to, &question, lanes, fx);
    let gathered = one.calls.poll_gather(gather.unwrap(), None).unwrap();
    let outcomes = to.map(|name| (name, Err(over.clone())));
    assert_eq!(gathered.outcomes, outcomes);
    assert!(one.lanes.calls.is_empty() && one.fx.requests.is_empty());
    assert_eq!(one.calls.counters().timeouts, 4);
    one.calls.assert_invariants();
}

#[test]
fn errors_say_what_went_wrong_with_which_half_and_how_long_it_took() {
    let table = [
        (
            not_understood(),
            "the question could not be understood: why",
        ),
        (
            CallError::Timeout(Duration::from_millis(1500)),
            "no answer within 1.5s",
        ),
        (CallError::Rejected(rejected(7, "no")), "rejected (7): no"),
        (
            CallError::Rejected(rejected(Reject::CODE_NODE, "it panicked")),
            "rejected by the node: it panicked",
        ),
        (CallError::Stopped, "this node has stopped"),
    ];
    for (error, text) in table {
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn deadlines_come_in_their_own_order() {
    let (mut one, _) = pair_with(&CallSettings {
        timeout_max: Duration::MAX,
        ..CallSettings::default()
    });
    let within = |millis| Some(Duration::from_millis(millis));
    let long = one.call_within(at(0), 2, "echo", within(900)).unwrap();
    let short = one.call_within(at(0), 2, "echo", within(300)).unwrap();
    let never = one
        .call_within(at(0), 2, "echo", Some(Duration::MAX))
        .unwrap();
    assert_eq!(one.calls.deadline(), Some(at(300)));
    one.tick(at(300));
    assert_eq!(
        one.outcome(short),
        Some(Err(CallError::Timeout(at(300) - at(0))))
    );
    assert_eq!(one.calls.deadline(), Some(at(900)));
    one.calls.cancel_call(long);
    assert_eq!(one.calls.deadline(), Some(Instant::FAR_FUTURE));
    one.calls.cancel_call(never);
    assert_eq!(one.calls.deadline(), None);
}

#[test]
fn deadlines_of_ended_calls_do_not_pile_up() {
    let (mut one, mut two) = pair();
    let _waits = one.call(at(0), 2, "echo").unwrap();
    one.lanes.calls.clear();
    for _ in 0..10_000 {
        // The heap is bounded by an invariant, which every step checks.
        let call = one.call(at(1), 2, "echo").unwrap();
        carry(at(1), &mut one, &mut two);
        let request = two.request();
        two.answer(request.id, done("answer"));
        carry(at(1), &mut two, &mut one);
        assert!(one.outcome(call).is_some());
        one.fx.wakes.clear();
    }
    assert_eq!(one.calls.deadline(), Some(at(5000)));
}

#[test]
fn a_lost_link_ends_what_waits_on_it_and_nothing_else() {
    let (mut one, _) = pair();
    one.calls.link_up(ConnId::In(8), &name(3));
    let lost = one.call(at(0), 2, "echo").unwrap();
    let kept = one.call(at(0), 3, "echo").unwrap();
    one.link_down(LINK);
    one.link_down(LINK);
    assert_eq!(one.outcome(lost), Some(Err(CallError::Disconnected)));
    assert_eq!(one.outcome(kept), None);
}

#[test]
fn a_newer_link_takes_over_and_the_older_one_still_answers() {
    let (mut one, mut two) = pair();
    let newer = ConnId::In(9);
    let old = one.call(at(0), 2, "echo").unwrap();
    one.calls.link_up(newer, &name(2));
    two.calls.link_up(newer, &name(1));
    let new = one.call(at(0), 2, "echo").unwrap();
    assert_eq!(one.lanes.calls[0].0, LINK);
    assert_eq!(one.lanes.calls[1].0, newer);
    carry(at(0), &mut one, &mut two);
    for request in core::mem::take(&mut two.fx.requests) {
        two.answer(request.id, done("answer"));
    }
    carry(at(0), &mut two, &mut one);
    assert!(matches!(one.outcome(old), Some(Ok(_))));
    assert!(matches!(one.outcome(new), Some(Ok(_))));
    one.link_down(LINK);
    assert!(one.call(at(0), 2, "echo").is_ok(), "the newer link stands");
}

#[test]
fn only_the_connection_that_was_asked_can_answer() {
    let (mut one, mut two) = pair();
    one.calls.link_up(ConnId::In(8), &name(3));
    let call = one.call(at(0), 2, "echo").unwrap();
    carry(at(0), &mut one, &mut two);
    let request = two.request();
    two.answer(request.id, done("answer"));
    let (_, frame) = two.lanes.calls.pop_front().unwrap();
    one.receive(at(0), ConnId::In(8), &frame).unwrap();
    one.receive(at(0), ConnId::In(99), &frame).unwrap();
    assert_eq!(one.outcome(call), None);
    assert_eq!(one.calls.counters().stray_answers, 2);
    one.receive(at(0), LINK, &frame).unwrap();
    assert!(matches!(one.outcome(call), Some(Ok(_))));
    one.receive(at(0), LINK, &frame).unwrap();
    assert_eq!(
        one.calls.counters().late_answers,
        1,
        "a second answer is late"
    );
}

#[test]
fn no_peer_can_answer_what_is_asked_here() {
    let (mut one, mut two) = pair();
    one.calls.serve("echo").unwrap();
    // Both sides' first call has the same number.
    let here = one.call(at(0), 1, "echo").unwrap();
    two.call(at(0), 1, "none").unwrap();
    let theirs = two.lanes.calls.pop_front().unwrap();
    one.receive(at(0), LINK, &theirs.1).unwrap();
    let (_, refusal) = one.lanes.control.pop_front().unwrap();
    one.receive(at(0), LINK, &refusal).unwrap();
    assert_eq!(one.outcome(here), None);
    assert_eq!(one.calls.counters().stray_answers, 1);
}

#[test]
fn a_full_lane_or_too_many_that_wait_are_overloaded() {
    let settings = CallSettings {
        waiting_max: 2,
        ..CallSettings::default()
    };
    let (mut one, _) = pair_with(&settings);
    one.lanes.full = true;
    assert_eq!(one.call(at(0), 2, "echo"), Err(CallError::Overloaded));
    one.lanes.full = false;
    let first = one.call(at(0), 2, "echo").unwrap();
    let second = one.call(at(0), 2, "echo").unwrap();
    assert_eq!(one.call(at(0), 2, "echo"), Err(CallError::Overloaded));
    one.calls.cancel_call(first);
    assert!(one.call(at(0), 2, "echo").is_ok());
    one.link_down(LINK);
    one.calls.link_up(LINK, &name(2));
    let error = one.call(at(0), 2, "echo");
    assert_eq!(
        error,
        Err(CallError::Overloaded),
        "an outcome holds its place"
    );
    assert!(one.outcome(second).is_some());
    assert!(one.call(at(0), 2, "echo").is_ok());
    assert_eq!(one.calls.counters().overloaded, 3);
}

#[test]
fn questions_and_methods_have_their_bounds() {
    let (mut one, _) = pair();
    let too_large = |what, bytes, max| Err(CallError::TooLarge { what, bytes, max });
    let method = "the name of a method";
    assert_eq!(one.call(at(0), 2, ""), too_large(method, 0, 128));
    assert_eq!(
        one.call(at(0), 2, &"m".repeat(129)),
        too_large(method, 129, 128)
    );
    let longest = "m".repeat(128);
    assert!(one.call(at(0), 2, &longest).is_ok());

    let most = MESSAGE_MAX;
    let mut ask = |bytes: usize| {
        let payload = Bytes::from(vec![7; bytes]);
        let question = Question {
            method: &longest,
            payload: &payload,
            timeout: Some(Duration::MAX),
        };
        let (lanes, fx) = (&mut one.lanes, &mut one.fx);
        one.calls.call(at(0), &name(2), &question, lanes, fx)
    };
    assert_eq!(ask(most + 1), too_large("the question", most + 1, most));
    ask(most).unwrap();
    let (_, frame) = one.lanes.calls.pop_back().unwrap();
    let (raw, _) = codec::split(&frame).unwrap();
    assert!(
        raw.body.len() <= MESSAGE_MAX + crate::link::BULK_HEAD_BYTES,
        "a receiver takes no longer body"
    );
    assert_eq!(one.calls.counters().too_large, 3);
}

#[test]
fn a_call_that_is_given_up_is_forgotten_and_its_answer_is_late() {
    let (mut one, mut two) = pair();
    let call = one.call(at(0), 2, "echo").unwrap();
    carry(at(0), &mut one, &mut two);
    one.calls.cancel_call(call);
    one.calls.cancel_call(call);
    let request = two.request();
    two.answer(request.id, done("answer"));
    carry(at(0), &mut two, &mut one);
    assert_eq!(one.outcome(call), None);
    assert!(one.fx.is_empty());
    let counters = one.calls.counters();
    assert_eq!((counters.cancelled, counters.late_answers), (1, 1));
}

#[test]
fn who_waits_is_woken_once_by_the_newest_waker() {
    let (mut one, mut two) = pair();
    let ((old, old_waker), (new, new_waker)) = (bell(), bell());
    let call = one.call(at(0), 2, "echo").unwrap();
    assert_eq!(one.calls.poll_call(call, Some(&old_waker)), None);
    assert_eq!(one.calls.poll_call(call, Some(&new_waker)), None);
    carry(at(0), &mut one, &mut two);
    let request = two.request();
    two.answer(request.id, done("answer"));
    carry(at(0), &mut two, &mut one);
    one.tick(at(9000));
    assert_eq!(ring(&mut one.fx), 1);
    assert_eq!((old.rung(), new.rung()), (0, 1));

    let call = one.call(at(9000), 2, "echo").unwrap();
    one.link_down(LINK);
    let wakes = &one.fx.wakes;
    assert!(
        matches!(wakes[..], [Wake::Call(id)] if id == call),
        "{wakes:?}"
    );
}

#[test]
fn a_call_to_this_node_is_served_here() {
    let (mut one, _) = pair();
    one.calls.serve("echo").unwrap();
    let call = one.call(at(10), 1, "echo").unwrap();
    assert!(one.lanes.calls.is_empty());
    let request = one.request();
    assert_eq!((&request.from, request.deadline), (&name(1), at(5010)));
    one.tick(at(5010));
    let timeout = CallError::Timeout(Duration::from_secs(5));
    assert_eq!(one.outcome(call), Some(Err(timeout)));
    assert_eq!(one.calls.serving(), 1, "the handler still works");
    one.answer(request.id, done("answer"));
    assert_eq!(one.calls.counters().late_answers, 1);
    assert_eq!(one.calls.serving(), 0);
}

#[test]
fn at_the_end_of_the_node_whoever_waits_has_its_outcome() {
    let (mut one, _) = pair();
    one.calls.serve("echo").unwrap();
    let there = one.call(at(0), 2, "echo").unwrap();
    let here = one.call(at(0), 1, "echo").unwrap();
    one.calls.end(&mut one.fx);
    for call in [there, here] {
        assert_eq!(one.outcome(call), Some(Err(CallError::Disconnected)));
    }
    assert_eq!(one.calls.waiting(), 0);
    one.calls.assert_invariants();
}
