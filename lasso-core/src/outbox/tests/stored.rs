//! What a sender with a store decides.

use core::time::Duration;

use super::{OUTBOX, node, small};
use crate::name::NodeName;
use crate::outbox::{
    BatchAnswer, Fate, Input, Output, PersistProblem, Refusal, Rest, SendError, Sender, Stored,
    Tried, Verdict, Write, WriteId,
};
use crate::time::Instant;

const NOW: Instant = Instant::ZERO;

fn sender(stored: Stored) -> Sender {
    let mut sender = Sender::with_store(NOW, 0, small(), stored);
    sender.handle(NOW, Input::Connected([node("a@10.0.0.1")].into()));
    sender
}

fn new() -> Sender {
    sender(Stored::new(OUTBOX))
}

/// The group of writes that the sender orders.
fn group(sender: &mut Sender) -> Option<(WriteId, Vec<Write>)> {
    loop {
        match sender.poll_output()? {
            Output::Persist(id, writes) => return Some((id, writes)),
            Output::Told(..) => {}
            Output::Send { .. } => panic!("it is sent before it is stored"),
        }
    }
}

fn told(sender: &mut Sender) -> Vec<(u64, Fate)> {
    let mut told = Vec::new();
    while let Some(output) = sender.poll_output() {
        if let Output::Told(id, fate) = output {
            told.push((id.seq, fate));
        }
    }
    told
}

fn send(sender: &mut Sender) -> Result<(), SendError> {
    let sent = sender.send(NOW, 0, "like", "x".into())?;
    assert!(!sent.kept);
    Ok(())
}

fn full() -> PersistProblem {
    PersistProblem::Full("0 bytes left".into())
}

/// The node rejects its one event.
fn rejected() -> Input {
    Input::Answered(BatchAnswer {
        verdicts: vec![Verdict::Rejected(Refusal::new(1, "no"))],
        rest: Rest::More,
        store: None,
    })
}

/// Sends one event to the node, which rejects it, so that there is a letter to store.
fn with_a_letter_to_store() -> (Sender, WriteId) {
    let mut sender = new();
    send(&mut sender).unwrap();
    for _ in 0..2 {
        let (id, _) = group(&mut sender).expect("the event, then its attachment");
        sender.handle(NOW, Input::Persisted(id));
    }
    while !matches!(sender.poll_output(), Some(Output::Send { .. })) {}
    sender.handle(NOW, rejected());
    let (id, writes) = group(&mut sender).expect("the letter");
    assert!(matches!(&writes[..], [Write::Settle { dead, .. }] if dead.len() == 1));
    (sender, id)
}

/// The other node leaves while the attachment to it is written; the one that is left has passed.
#[test]
fn a_node_that_has_passed_is_asked_again_when_the_next_one_leaves() {
    let (a, b) = (node("a@10.0.0.1"), node("b@10.0.0.2"));
    let mut sender = new();
    sender.handle(NOW, Input::Connected([a.clone(), b.clone()].into()));
    send(&mut sender).unwrap();
    for _ in 0..2 {
        let (id, _) = group(&mut sender).expect("the event, then its attachment");
        sender.handle(NOW, Input::Persisted(id));
    }
    let to = loop {
        if let Some(Output::Send { to, .. }) = sender.poll_output() {
            break to;
        }
    };
    sender.handle(NOW, Input::Failed(Tried::NotDone));
    let (id, writes) = group(&mut sender).expect("the next attachment");
    assert!(matches!(&writes[..], [Write::Attach(_)]));
    sender.handle(NOW, Input::Connected([to.clone()].into()));
    sender.handle(NOW, Input::Persisted(id));
    let again = sender.poll_timeout().expect("it is asked after a wait");
    sender.handle(again, Input::Tick);
    // It may have to be attached to that one anew.
    while let Some((id, _)) = group_or_send(&mut sender, &to) {
        sender.handle(again, Input::Persisted(id));
    }
}

/// The writes that come before a batch; `None` once it goes to this node.
fn group_or_send(sender: &mut Sender, expected: &NodeName) -> Option<(WriteId, Vec<Write>)> {
    loop {
        match sender.poll_output().expect("a batch goes out") {
            Output::Persist(id, writes) => return Some((id, writes)),
            Output::Send { to, .. } => {
                assert_eq!(to, *expected);
                return None;
            }
            Output::Told(..) => {}
        }
    }
}

#[test]
fn events_of_many_callers_are_stored_together() {
    let mut sender = new();
    send(&mut sender).unwrap();
    let (first, writes) = group(&mut sender).unwrap();
    assert_eq!(writes.len(), 1);
    for _ in 0..4 {
        send(&mut sender).unwrap();
    }
    assert!(group(&mut sender).is_none(), "one group at a time");
    sender.handle(NOW, Input::Persisted(first));
    let (_, writes) = group(&mut sender).unwrap();
    let events = writes
        .iter()
        .filter(|write| matches!(write, Write::Append { .. }));
    assert_eq!(events.count(), 4);
}

#[test]
fn a_full_disk_refuses_the_event_and_goes_on_when_there_is_room() {
    let mut sender = new();
    send(&mut sender).unwrap();
    let (id, _) = group(&mut sender).unwrap();
    sender.handle(NOW, Input::PersistFailed(id, full()));
    assert_eq!(told(&mut sender), [(1, Fate::NotKept(full().into()))]);
    assert_eq!((sender.len(), sender.bytes()), (0, 0));
    send(&mut sender).unwrap();
    let (id, writes) = group(&mut sender).unwrap();
    assert_eq!(writes.len(), 1);
    sender.handle(NOW, Input::Persisted(id));
    assert_eq!(sender.len(), 1);
    assert_eq!(sender.counters().not_stored, 1);
}

#[test]
fn on_a_full_disk_what_makes_room_is_stored_before_new_events() {
    let (mut sender, id) = with_a_letter_to_store();
    sender.handle(NOW, Input::PersistFailed(id, full()));
    // Nothing is tried before a while has passed or an event comes.
    assert!(group(&mut sender).is_none());
    assert_eq!(
        sender.poll_timeout(),
        Some(NOW + Duration::from_millis(100))
    );
    send(&mut sender).unwrap();
    let (id, writes) = group(&mut sender).unwrap();
    assert!(matches!(writes[..], [Write::Settle { .. }]), "{writes:?}");
    // Not even that fits: the event is refused at once.
    sender.handle(NOW, Input::PersistFailed(id, full()));
    assert_eq!(told(&mut sender), [(2, Fate::NotKept(full().into()))]);
    sender.handle(NOW + Duration::from_millis(100), Input::Tick);
    let (id, writes) = group(&mut sender).unwrap();
    assert!(matches!(writes[..], [Write::Settle { .. }]), "{writes:?}");
    send(&mut sender).unwrap();
    sender.handle(NOW, Input::Persisted(id));
    let (_, writes) = group(&mut sender).unwrap();
    assert!(matches!(writes[..], [Write::Append { .. }]), "{writes:?}");
}

#[test]
fn a_failed_sync_refuses_everything_until_the_store_is_opened_anew() {
    let mut sender = new();
    send(&mut sender).unwrap();
    let (id, _) = group(&mut sender).unwrap();
    send(&mut sender).unwrap();
    let broken = || PersistProblem::Broken("an IO error".into());
    sender.handle(NOW, Input::PersistFailed(id, broken()));
    let refused = || Fate::NotKept(broken().into());
    assert_eq!(told(&mut sender), [(1, refused()), (2, refused())]);
    assert_eq!(sender.broken(), Some("an IO error"));
    assert_eq!(send(&mut sender), Err(broken().into()));
    sender.handle(NOW + Duration::from_secs(3600), Input::Tick);
    assert!(sender.poll_output().is_none());
    assert_eq!(sender.counters().not_stored, 3);
}

#[test]
fn nothing_leaves_a_broken_store() {
    let mut stored = Stored::new(OUTBOX);
    let mut first = new();
    send(&mut first).unwrap();
    let (_, writes) = group(&mut first).unwrap();
    writes.iter().for_each(|write| stored.apply(write));

    let mut sender = sender(stored);
    let (id, writes) = group(&mut sender).expect("the attachment");
    assert!(matches!(writes[..], [Write::Attach(_)]));
    sender.handle(
        NOW,
        Input::PersistFailed(id, PersistProblem::Broken("an IO error".into())),
    );
    sender.handle(NOW, Input::Connected([node("b@10.0.0.2")].into()));
    sender.handle(NOW + Duration::from_secs(3600), Input::Tick);
    assert_eq!(told(&mut sender), [], "and nothing is sent");
    assert_eq!(sender.len(), 1);
}

#[test]
fn a_letter_is_stored_before_the_next_batch_goes_out() {
    let mut sender = new();
    send(&mut sender).unwrap();
    for _ in 0..2 {
        let (id, _) = group(&mut sender).expect("the event, then its attachment");
        sender.handle(NOW, Input::Persisted(id));
    }
    while !matches!(sender.poll_output(), Some(Output::Send { .. })) {}
    // The next event is stored while the first is under way: nothing else holds it up.
    send(&mut sender).unwrap();
    let (id, _) = group(&mut sender).unwrap();
    sender.handle(NOW, Input::Persisted(id));
    sender.handle(NOW, rejected());
    let (id, writes) = group(&mut sender).expect("the letter");
    assert!(matches!(writes[..], [Write::Settle { .. }]), "{writes:?}");
    sender.handle(NOW, Input::Tick);
    assert!(sender.poll_output().is_none());
    sender.handle(NOW, Input::Persisted(id));
    let next = sender.poll_output();
    assert!(matches!(next, Some(Output::Send { .. })), "{next:?}");
}

#[test]
fn a_letter_is_retried_once_and_its_story_ends_once() {
    let (mut sender, id) = with_a_letter_to_store();
    sender.handle(NOW, Input::Persisted(id));
    let sent = sender.retry(NOW, 0, 1).unwrap();
    assert_eq!(sender.retry(NOW, 0, 1), Err(SendError::NoSuchLetter));
    assert_eq!(sender.drop_letter(1), Err(SendError::NoSuchLetter));
    let (id, writes) = group(&mut sender).unwrap();
    assert!(matches!(writes[..], [Write::Retry { old: 1, .. }]));
    // No room: the letter stays and can be retried.
    sender.handle(NOW, Input::PersistFailed(id, full()));
    assert_eq!(
        told(&mut sender),
        [(sent.id.seq, Fate::NotKept(full().into()))]
    );
    assert_eq!(sender.dead_letters().count(), 1);
    let sent = sender.retry(NOW, 0, 1).unwrap();
    let (id, _) = group(&mut sender).unwrap();
    sender.handle(NOW, Input::Persisted(id));
    let gone = (1, Fate::Gone(Some(sent.id)));
    assert_eq!(told(&mut sender), [gone, (sent.id.seq, Fate::Kept)]);
    assert_eq!(sender.dead_letters().count(), 0);
}

#[test]
fn a_restart_keeps_order_ids_and_ages_though_the_wall_clock_jumps_back() {
    let mut stored = Stored::new(OUTBOX);
    let mut first = sender(stored.clone());
    for unix_ms in [5_000, 6_000] {
        first.send(NOW, unix_ms, "like", "x".into()).unwrap();
    }
    let (_, writes) = group(&mut first).unwrap();
    writes.iter().for_each(|write| stored.apply(write));

    for (unix_ms, age) in [(9_000, 4), (1_000, 0)] {
        let mut sender = Sender::with_store(NOW, unix_ms, small(), stored.clone());
        assert_eq!(sender.oldest_age(NOW), Some(Duration::from_secs(age)));
        let sent = sender.send(NOW, unix_ms, "like", "y".into()).unwrap();
        assert_eq!(sent.id.seq, 3);
        assert!(sender.waiting().map(|event| event.seq).eq(1..=3));
    }
}

#[test]
fn an_event_larger_than_a_batch_allows_now_goes_alone() {
    let mut stored = Stored::new(OUTBOX);
    let mut first = sender(stored.clone());
    for _ in 0..2 {
        first.send(NOW, 0, "like", vec![0; 20].into()).unwrap();
    }
    let (_, writes) = group(&mut first).unwrap();
    writes.iter().for_each(|write| stored.apply(write));
    let mut settings = small();
    (settings.event_bytes_max, settings.batch_bytes_max) = (10, 10);
    let mut sender = Sender::with_store(NOW, 0, settings, stored);
    sender.handle(NOW, Input::Connected([node("a@10.0.0.1")].into()));
    let (id, _) = group(&mut sender).expect("the attachment");
    sender.handle(NOW, Input::Persisted(id));
    let Some(Output::Send { batch, .. }) = sender.poll_output() else {
        panic!("nothing is sent");
    };
    assert_eq!(batch.events.len(), 1);
}
