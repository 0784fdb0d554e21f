//! What a sender without a store decides.

use core::time::Duration;
use std::collections::BTreeSet;

use super::{OUTBOX, node, small};
use crate::name::{Label, NodeName};
use crate::outbox::{
    Batch, BatchAnswer, EventId, Fate, Input, Output, Refusal, Rest, SendError, Sender, Tried,
    Verdict,
};
use crate::time::Instant;

const NOW: Instant = Instant::ZERO;

fn sender() -> Sender {
    Sender::in_memory(small(), OUTBOX)
}

fn connect(sender: &mut Sender, now: Instant, names: &[&str]) {
    let nodes: BTreeSet<NodeName> = names.iter().map(|name| node(name)).collect();
    sender.handle(now, Input::Connected(nodes));
}

/// A batch and the node that it goes to.
type Call = (NodeName, Batch);

/// The batch that the sender orders to send, and what it tells of events.
fn drain(sender: &mut Sender) -> (Option<Call>, Vec<(u64, Fate)>) {
    let (mut sent, mut told) = (None, Vec::new());
    while let Some(output) = sender.poll_output() {
        match output {
            Output::Send { to, batch, .. } => assert!(sent.replace((to, batch)).is_none()),
            Output::Told(id, fate) => told.push((id.seq, fate)),
            Output::Persist(..) => panic!("it has no store"),
        }
    }
    (sent, told)
}

fn seqs(sent: Option<Call>) -> Vec<u64> {
    let (_, batch) = sent.expect("a batch");
    batch.events.iter().map(|event| event.seq).collect()
}

fn answer(verdicts: Vec<Verdict>, rest: Rest, store: Option<&str>) -> Input {
    let store = store.map(|store| Label::new("store", store).unwrap());
    Input::Answered(BatchAnswer {
        verdicts,
        rest,
        store,
    })
}

fn applied(n: usize) -> Input {
    answer(vec![Verdict::Applied; n], Rest::More, None)
}

fn send(sender: &mut Sender, payload: &str) -> Result<bool, SendError> {
    let sent = sender.send(NOW, 0, "like", payload.to_owned().into())?;
    Ok(sent.going)
}

#[test]
fn an_event_goes_out_at_once_when_a_node_is_there_and_waits_otherwise() {
    let mut sender = sender();
    assert_eq!(send(&mut sender, "1"), Ok(false));
    let (sent, told) = drain(&mut sender);
    assert!(sent.is_none());
    assert_eq!(told, [(1, Fate::Kept), (1, Fate::Held)]);

    connect(&mut sender, NOW, &["a@10.0.0.1"]);
    // What is new queues behind what waits.
    assert_eq!(send(&mut sender, "2"), Ok(false));
    assert_eq!(seqs(drain(&mut sender).0), [1]);
    sender.handle(NOW, applied(1));
    assert_eq!(seqs(drain(&mut sender).0), [2]);
    sender.handle(NOW, applied(1));
    assert!(drain(&mut sender).0.is_none());

    assert_eq!(send(&mut sender, "3"), Ok(true));
    let (sent, told) = drain(&mut sender);
    assert_eq!((seqs(sent), told), (vec![3], vec![(3, Fate::Kept)]));
    assert_eq!(sender.counters().buffered, 2);
}

#[test]
fn a_replay_goes_in_batches_of_bounded_size_one_at_a_time_in_order() {
    let mut sender = sender();
    for payload in [
        "aaaaaaaaaaaaaaaaaaaa",
        "bbbbbbbbbbbbbbbbbbbb",
        "c",
        "d",
        "e",
    ] {
        send(&mut sender, payload).unwrap();
    }
    connect(&mut sender, NOW, &["a@10.0.0.1"]);
    // 40 bytes, then three events.
    assert_eq!(seqs(drain(&mut sender).0), [1, 2]);
    sender.handle(NOW, Input::Tick);
    assert!(drain(&mut sender).0.is_none());
    sender.handle(NOW, applied(2));
    assert_eq!(seqs(drain(&mut sender).0), [3, 4, 5]);
    sender.handle(NOW, applied(3));
    assert_eq!((sender.len(), sender.bytes()), (0, 0));
    assert_eq!(sender.counters().replayed, 5);
}

#[test]
fn a_full_outbox_takes_no_more_and_loses_nothing() {
    let mut sender = sender();
    for n in 0..6 {
        send(&mut sender, &n.to_string()).unwrap();
    }
    let full = SendError::Full {
        events: 6,
        bytes: 6,
    };
    assert_eq!(send(&mut sender, "more"), Err(full));
    assert_eq!((sender.len(), sender.counters().refused), (6, 1));
    connect(&mut sender, NOW, &["a@10.0.0.1"]);
    sender.handle(NOW, applied(3));
    assert_eq!(send(&mut sender, "more"), Ok(false));

    let mut sender = self::sender();
    for _ in 0..3 {
        send(&mut sender, &"x".repeat(20)).unwrap();
    }
    assert!(matches!(
        send(&mut sender, "x"),
        Err(SendError::Full { .. })
    ));
    let large = send(&mut sender, &"x".repeat(21));
    assert_eq!(large, Err(SendError::TooLarge { bytes: 21, max: 20 }));
    let kind = sender.send(NOW, 0, "", "x".into());
    assert_eq!(kind, Err(SendError::Kind(0)));
}

#[test]
fn an_unknown_outcome_is_repeated_to_the_same_node_until_it_has_been_gone_for_a_day() {
    let mut sender = sender();
    connect(&mut sender, NOW, &["a@10.0.0.1", "b@10.0.0.2"]);
    send(&mut sender, "1").unwrap();
    let (first, _) = drain(&mut sender).0.unwrap();
    let other = if first == node("a@10.0.0.1") {
        "b@10.0.0.2"
    } else {
        "a@10.0.0.1"
    };
    sender.handle(NOW, Input::Failed(Tried::Unknown));
    connect(&mut sender, NOW, &[other]);
    let day = NOW + Duration::from_secs(24 * 3600);
    for now in [
        NOW + Duration::from_secs(60),
        NOW + Duration::from_secs(23 * 3600),
    ] {
        sender.handle(now, Input::Tick);
        assert!(drain(&mut sender).0.is_none());
    }
    assert_eq!(sender.poll_timeout(), Some(day));
    sender.handle(day, Input::Tick);
    assert_eq!(drain(&mut sender).0.unwrap().0, node(other));
    assert_eq!(sender.counters().released, 1);
}

#[test]
fn a_node_that_returns_within_the_day_is_waited_for_anew() {
    let mut sender = sender();
    connect(&mut sender, NOW, &["a@10.0.0.1"]);
    send(&mut sender, "1").unwrap();
    assert!(drain(&mut sender).0.is_some());
    sender.handle(NOW, Input::Failed(Tried::Unknown));
    connect(&mut sender, NOW, &["b@10.0.0.2"]);
    let later = NOW + Duration::from_secs(3600);
    connect(&mut sender, later, &["a@10.0.0.1", "b@10.0.0.2"]);
    let (to, _) = drain(&mut sender).0.unwrap();
    assert_eq!(to, node("a@10.0.0.1"));
    sender.handle(later, applied(1));
    assert_eq!(sender.counters().released, 0);
}

#[test]
fn an_unknown_outcome_goes_to_another_node_only_if_that_has_the_same_store() {
    let mut sender = sender();
    connect(&mut sender, NOW, &["a@10.0.0.1"]);
    send(&mut sender, "1").unwrap();
    drain(&mut sender);
    sender.handle(
        NOW,
        answer(vec![Verdict::Applied], Rest::More, Some("shop")),
    );
    send(&mut sender, "2").unwrap();
    drain(&mut sender);
    sender.handle(NOW, Input::Failed(Tried::Unknown));
    // Of these two one has another store.
    connect(&mut sender, NOW, &["b@10.0.0.2", "c@10.0.0.3"]);
    let (first, batch) = drain(&mut sender).0.unwrap();
    assert_eq!(batch.store, Some(Label::new("store", "shop").unwrap()));
    sender.handle(NOW, answer(vec![], Rest::OtherStore, Some("attic")));
    let (second, batch) = drain(&mut sender).0.unwrap();
    assert_ne!(first, second);
    assert_eq!(batch.store, Some(Label::new("store", "shop").unwrap()));
    sender.handle(
        NOW,
        answer(vec![Verdict::Applied], Rest::More, Some("shop")),
    );
    assert_eq!(sender.len(), 0);
}

#[test]
fn asking_for_the_store_does_not_make_the_day_longer() {
    let mut sender = sender();
    connect(&mut sender, NOW, &["a@10.0.0.1"]);
    send(&mut sender, "1").unwrap();
    drain(&mut sender);
    sender.handle(
        NOW,
        answer(vec![Verdict::Applied], Rest::More, Some("shop")),
    );
    send(&mut sender, "2").unwrap();
    drain(&mut sender);
    sender.handle(NOW, Input::Failed(Tried::Unknown));
    let day = NOW + Duration::from_secs(24 * 3600);
    for hour in 0..24 {
        let now = NOW + Duration::from_secs(hour * 3600);
        // Another node each hour, none of which has the store.
        connect(&mut sender, now, &[&format!("n{hour}@10.0.1.{hour}")]);
        let (_, batch) = drain(&mut sender).0.expect("it is asked");
        assert!(batch.store.is_some());
        sender.handle(now, answer(vec![], Rest::OtherStore, None));
        assert!(drain(&mut sender).0.is_none());
    }
    sender.handle(day, Input::Tick);
    let (_, batch) = drain(&mut sender).0.expect("it goes elsewhere after a day");
    assert_eq!(batch.store, None);
}

#[test]
fn a_node_that_has_not_taken_a_batch_is_passed_over_at_once() {
    let mut sender = sender();
    connect(&mut sender, NOW, &["a@10.0.0.1", "b@10.0.0.2"]);
    send(&mut sender, "1").unwrap();
    let (first, _) = drain(&mut sender).0.unwrap();
    sender.handle(NOW, Input::Failed(Tried::NotDone));
    let (second, _) = drain(&mut sender).0.unwrap();
    assert_ne!(first, second);
    // When none takes it, the sender waits, longer each time.
    let mut now = NOW;
    for wait in [100, 200, 400] {
        sender.handle(now, Input::Failed(Tried::NotDone));
        assert!(drain(&mut sender).0.is_none());
        assert_eq!(
            sender.poll_timeout(),
            Some(now + Duration::from_millis(wait))
        );
        now += Duration::from_millis(wait);
        sender.handle(now, Input::Tick);
        assert!(drain(&mut sender).0.is_some());
        sender.handle(now, Input::Failed(Tried::NotDone));
        assert!(drain(&mut sender).0.is_some());
    }
}

#[test]
fn a_failed_replay_keeps_the_rest_and_goes_on_when_a_node_connects() {
    let mut sender = sender();
    connect(&mut sender, NOW, &["a@10.0.0.1"]);
    for n in 0..3 {
        send(&mut sender, &n.to_string()).unwrap();
    }
    assert_eq!(seqs(drain(&mut sender).0), [1]);
    sender.handle(NOW, answer(vec![], Rest::Later("busy".into()), None));
    let (sent, told) = drain(&mut sender);
    assert!(sent.is_none());
    assert_eq!(told, [(1, Fate::Held), (2, Fate::Held), (3, Fate::Held)]);
    connect(&mut sender, NOW, &["a@10.0.0.1", "b@10.0.0.2"]);
    assert_eq!(seqs(drain(&mut sender).0), [1, 2, 3]);
    // A part is answered for: it leaves.
    let part = vec![Verdict::Applied];
    sender.handle(NOW, answer(part, Rest::Later("busy".into()), None));
    assert_eq!(sender.len(), 2);
}

#[test]
fn an_answer_with_too_many_verdicts_is_an_unknown_outcome() {
    let mut sender = sender();
    connect(&mut sender, NOW, &["a@10.0.0.1"]);
    send(&mut sender, "1").unwrap();
    drain(&mut sender);
    sender.handle(NOW, applied(2));
    assert_eq!((sender.len(), sender.counters().unknown), (1, 1));
    // What nobody waits for changes nothing.
    sender.handle(NOW, applied(1));
    sender.handle(NOW, Input::Failed(Tried::Unknown));
    sender.handle(NOW, Input::Persisted(7));
    assert_eq!((sender.len(), sender.counters().unknown), (1, 1));
}

#[test]
fn a_rejected_event_becomes_a_dead_letter_that_can_be_retried_or_dropped() {
    let mut sender = sender();
    connect(&mut sender, NOW, &["a@10.0.0.1"]);
    let refusal = || Refusal::new(1, "no");
    for n in 1..=3 {
        send(&mut sender, &n.to_string()).unwrap();
        drain(&mut sender);
        let verdict = vec![Verdict::Rejected(refusal())];
        sender.handle(NOW, answer(verdict, Rest::More, None));
    }
    assert_eq!(sender.len(), 0);
    let letters = |sender: &Sender| -> Vec<u64> {
        sender
            .dead_letters()
            .map(|letter| letter.event.seq)
            .collect()
    };
    assert_eq!(letters(&sender), [1, 2, 3]);
    drain(&mut sender);

    let sent = sender.retry(NOW, 0, 2).unwrap();
    assert_eq!((sent.id.seq, letters(&sender)), (4, vec![1, 3]));
    let new = EventId {
        outbox: OUTBOX,
        seq: 4,
    };
    let (sent, told) = drain(&mut sender);
    assert_eq!(told, [(2, Fate::Gone(Some(new))), (4, Fate::Kept)]);
    assert_eq!(&sent.unwrap().1.events[0].payload[..], b"2");

    assert_eq!(sender.drop_letter(3).unwrap().refusal, refusal());
    assert_eq!(drain(&mut sender).1, [(3, Fate::Gone(None))]);
    assert_eq!(sender.drop_letter(3), Err(SendError::NoSuchLetter));
    assert_eq!(sender.retry(NOW, 0, 3), Err(SendError::NoSuchLetter));
    assert_eq!(letters(&sender), [1]);
}

#[test]
fn the_oldest_dead_letter_makes_room() {
    let mut settings = small();
    settings.dead_max = 2;
    let mut sender = Sender::in_memory(settings, OUTBOX);
    connect(&mut sender, NOW, &["a@10.0.0.1"]);
    for n in 1..=3 {
        send(&mut sender, &n.to_string()).unwrap();
        drain(&mut sender);
        let verdict = vec![Verdict::Rejected(Refusal::new(1, "no"))];
        sender.handle(NOW, answer(verdict, Rest::More, None));
    }
    let told = drain(&mut sender).1;
    assert!(told.contains(&(1, Fate::Gone(None))), "{told:?}");
    assert_eq!(sender.dead_letters().count(), 2);
    assert_eq!(sender.counters().dead_dropped, 1);
}

#[test]
fn the_oldest_age_grows_and_outboxes_spread_over_nodes() {
    let mut sender = sender();
    assert_eq!(sender.oldest_age(NOW), None);
    send(&mut sender, "1").unwrap();
    let later = NOW + Duration::from_secs(5);
    assert_eq!(sender.oldest_age(later), Some(Duration::from_secs(5)));
    let to = |n: u8| {
        let id = crate::outbox::OutboxId::new([n; 16]);
        let mut sender = Sender::in_memory(small(), id);
        connect(&mut sender, NOW, &["a@10.0.0.1", "b@10.0.0.2"]);
        send(&mut sender, "1").unwrap();
        drain(&mut sender).0.unwrap().0
    };
    let nodes: BTreeSet<NodeName> = (0..20).map(to).collect();
    assert_eq!(nodes.len(), 2);
}
