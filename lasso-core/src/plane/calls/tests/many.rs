//! Calls to many.

use super::*;

/// Node 1, linked to 2 and 3, which serve `echo`.
fn three() -> [Side; 3] {
    let settings = CallSettings::default();
    let mut sides = [1, 2, 3].map(|me| Side::new(me, &settings));
    for (peer, conn) in [(2, ConnId::In(12)), (3, ConnId::In(13))] {
        sides[0].calls.link_up(conn, &name(peer));
        let other = &mut sides[usize::from(peer) - 1].calls;
        other.link_up(conn, &name(1));
        other.serve("echo").unwrap();
    }
    sides
}

/// Answers everything that went out on this connection with `text`.
fn answer_on(one: &mut Side, two: &mut Side, conn: ConnId, text: &'static str) {
    let out = core::mem::take(&mut one.lanes.calls);
    for (to, frame) in out {
        if to == conn {
            two.receive(at(0), conn, &frame).unwrap();
        } else {
            one.lanes.calls.push_back((to, frame));
        }
    }
    for request in core::mem::take(&mut two.fx.requests) {
        two.answer(request.id, done(text));
    }
    carry(at(0), two, one);
}

fn texts(gathered: &Gathered) -> Vec<String> {
    let text = |outcome: &Result<Bytes, CallError>| match outcome {
        Ok(answer) => String::from_utf8_lossy(answer).into_owned(),
        Err(error) => error.to_string(),
    };
    let told = gathered
        .outcomes
        .iter()
        .map(|(name, outcome)| format!("{}: {}", name.host(), text(outcome)));
    told.collect()
}

#[test]
fn every_node_has_its_outcome_in_the_order_asked() {
    let [mut one, mut two, mut three] = three();
    one.calls.serve("echo").unwrap();
    let (bell, waker) = bell();
    let id = one.call_many(at(0), &[3, 9, 2, 1, 3], "echo").unwrap();
    assert_eq!(one.calls.poll_gather(id, Some(&waker)), None);
    let here = one.request();
    answer_on(&mut one, &mut two, ConnId::In(12), "two");
    one.answer(here.id, done("here"));
    assert!(one.fx.is_empty(), "it is not complete");
    answer_on(&mut one, &mut three, ConnId::In(13), "three");
    one.tick(at(9000));
    assert_eq!((ring(&mut one.fx), bell.rung()), (1, 1));
    let gathered = one.calls.poll_gather(id, None).unwrap();
    let expected = [
        "10.0.0.3: three",
        "10.0.0.9: app@10.0.0.9 is not connected",
        "10.0.0.2: two",
        "10.0.0.1: here",
        "10.0.0.3: three",
    ];
    assert_eq!(texts(&gathered), expected);
    assert_eq!(one.calls.poll_gather(id, None), None);
    assert_eq!(one.calls.counters().started, 5);
}

#[test]
fn a_failed_node_does_not_spoil_the_answers_of_others() {
    let [mut one, mut two, _three] = three();
    let id = one.call_many(at(0), &[2, 3], "echo").unwrap();
    answer_on(&mut one, &mut two, ConnId::In(12), "two");
    one.tick(at(5000));
    assert!(matches!(one.fx.wakes[..], [Wake::Gather(done)] if done == id));
    let gathered = one.calls.poll_gather(id, None).unwrap();
    let expected = ["10.0.0.2: two", "10.0.0.3: no answer within 5s"];
    assert_eq!(texts(&gathered), expected);
}

#[test]
fn nobody_to_ask_and_nobody_reached_are_complete_at_once() {
    let [mut one, ..] = three();
    for to in [&[][..], &[8, 9]] {
        let id = one.call_many(at(0), to, "echo").unwrap();
        let wakes = core::mem::take(&mut one.fx.wakes);
        assert!(matches!(wakes[..], [Wake::Gather(done)] if done == id));
        let gathered = one.calls.poll_gather(id, None).unwrap();
        assert_eq!(gathered.outcomes.len(), to.len());
    }
}

#[test]
fn who_comes_and_goes_meanwhile_is_noted() {
    let [mut one, mut two, _] = three();
    one.calls.members(4, None, None);
    let id = one.call_many(at(0), &[2, 3], "echo").unwrap();
    one.calls.members(5, Some(&name(7)), None);
    one.calls.members(6, None, Some(&name(3)));
    one.link_down(ConnId::In(13));
    one.calls.members(7, Some(&name(3)), None);
    one.calls.members(8, None, Some(&name(3)));
    answer_on(&mut one, &mut two, ConnId::In(12), "two");
    one.calls.members(9, Some(&name(8)), Some(&name(2)));
    let gathered = one.calls.poll_gather(id, None).unwrap();
    assert_eq!(gathered.epoch, 4);
    assert_eq!(
        gathered.joined,
        [name(7)],
        "one that was asked does not join"
    );
    assert_eq!(
        gathered.left,
        [name(3)],
        "once, and not after the last outcome"
    );
    assert_eq!(gathered.outcomes[1].1, Err(CallError::Disconnected));
}

#[test]
fn more_names_than_are_noted_are_counted() {
    let [mut one, ..] = three();
    let id = one.call_many(at(0), &[2], "echo").unwrap();
    for number in 0..1100 {
        let name = format!("app@10.9.0.1:{}", 1000 + number).parse().unwrap();
        one.calls.members(number, Some(&name), Some(&name));
    }
    one.tick(at(5000));
    let gathered = one.calls.poll_gather(id, None).unwrap();
    assert_eq!((gathered.joined.len(), gathered.left.len()), (1024, 1024));
    assert_eq!(one.calls.counters().members_unnoted, 2 * (1100 - 1024));
}

#[test]
fn one_that_is_given_up_leaves_nothing_behind() {
    let [mut one, mut two, _] = three();
    let id = one.call_many(at(0), &[2, 9, 3], "echo").unwrap();
    answer_on(&mut one, &mut two, ConnId::In(12), "two");
    one.calls.cancel_gather(id);
    one.calls.cancel_gather(id);
    one.calls.assert_invariants();
    assert_eq!(one.calls.poll_gather(id, None), None);
    assert_eq!(one.calls.counters().cancelled, 1);
    assert_eq!((one.calls.waiting(), one.calls.deadline()), (0, None));
}

#[test]
fn what_is_too_large_is_asked_of_nobody() {
    let [mut one, ..] = three();
    let error = one.call_many(at(0), &[2, 3], "");
    assert!(matches!(error, Err(CallError::TooLarge { .. })));
    assert!(one.lanes.calls.is_empty());
    assert_eq!(one.calls.counters().too_large, 2);
}

#[test]
fn places_bound_calls_to_many_as_well() {
    let settings = CallSettings {
        waiting_max: 2,
        ..CallSettings::default()
    };
    let (mut one, _) = pair_with(&settings);
    let id = one.call_many(at(0), &[2, 2, 2], "echo").unwrap();
    one.tick(at(5000));
    let gathered = one.calls.poll_gather(id, None).unwrap();
    let errors: Vec<_> = gathered.outcomes.into_iter().map(|(_, o)| o).collect();
    let expected = [
        CallError::Timeout(Duration::from_secs(5)),
        CallError::Timeout(Duration::from_secs(5)),
        CallError::Overloaded,
    ];
    assert_eq!(errors, expected.map(Err));
    one.call_many(at(0), &[], "echo").unwrap();
    one.call_many(at(0), &[], "echo").unwrap();
    let error = one.call_many(at(0), &[2], "echo");
    assert_eq!(error, Err(CallError::Overloaded), "not one was taken");
}
