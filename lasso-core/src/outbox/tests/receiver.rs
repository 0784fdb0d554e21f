//! What a receiver decides.

use core::time::Duration;

use super::OUTBOX;
use crate::name::Label;
use crate::outbox::{
    Batch, BatchAnswer, Event, InboxSettings, Offered, OutboxId, Receiver, Record, Recording,
    Refusal, Rest, Verdict,
};
use crate::time::Instant;

const LATE: Instant = Instant::from_nanos(60_000_000_000);

fn batch(outbox: OutboxId, seqs: impl IntoIterator<Item = u64>) -> Batch {
    let event = |seq| Event {
        seq,
        kind: "like".into(),
        payload: "x".into(),
        unix_ms: 0,
    };
    Batch {
        outbox,
        store: None,
        events: seqs.into_iter().map(event).collect(),
    }
}

fn receiver(recording: Recording) -> Receiver {
    let settings = InboxSettings {
        senders_max: 2,
        works_max: 2,
        ..InboxSettings::default()
    };
    let mut receiver = Receiver::new(Instant::ZERO, settings, recording, None);
    receiver.know("like");
    receiver
}

/// Offers a batch and decides about each of its events as `decide` says.
fn apply(receiver: &mut Receiver, batch: Batch, decide: fn(u64) -> Verdict) -> BatchAnswer {
    let outbox = batch.outbox;
    match receiver.offer(LATE, batch) {
        Offered::Answer(answer) => return answer,
        Offered::Read => panic!("it has a memory of its own"),
        Offered::Work => {}
    }
    while let Some(event) = receiver.next(LATE, outbox) {
        receiver.verdict(outbox, decide(event.seq));
    }
    receiver.finish(outbox);
    receiver.answer(outbox).expect("an answer")
}

fn applied(_: u64) -> Verdict {
    Verdict::Applied
}

fn rejected(seq: u64) -> Verdict {
    Verdict::Rejected(Refusal::new(seq as u32, "no"))
}

#[test]
fn a_repeated_event_gets_its_earlier_verdict_and_is_not_applied_again() {
    let mut receiver = receiver(Recording::Memory);
    let even_only = |seq: u64| {
        if seq.is_multiple_of(2) {
            applied(seq)
        } else {
            rejected(seq)
        }
    };
    let first = apply(&mut receiver, batch(OUTBOX, 1..=4), even_only);
    let again = apply(&mut receiver, batch(OUTBOX, 1..=4), |_| {
        panic!("applied again")
    });
    assert_eq!(again, first);
    assert_eq!(receiver.counters().duplicates, 4);
    // A part comes again before new events.
    let more = apply(&mut receiver, batch(OUTBOX, 3..=5), applied);
    assert_eq!(
        more.verdicts,
        [rejected(3), Verdict::Applied, Verdict::Applied]
    );
    assert_eq!(receiver.counters().applied, 3);
}

#[test]
fn a_second_batch_of_a_sender_is_put_off_while_the_first_is_applied() {
    let mut receiver = receiver(Recording::Memory);
    let other = |n: u8| OutboxId::new([n; 16]);
    assert_eq!(receiver.offer(LATE, batch(OUTBOX, [1])), Offered::Work);
    let busy = |offered| matches!(offered, Offered::Answer(answer) if answer.rest == Rest::Busy);
    assert!(busy(receiver.offer(LATE, batch(OUTBOX, [1]))));
    // Another sender is not, up to the bound for the node.
    assert_eq!(receiver.offer(LATE, batch(other(1), [1])), Offered::Work);
    assert!(busy(receiver.offer(LATE, batch(other(2), [1]))));
    assert_eq!(receiver.counters().busy, 2);
}

#[test]
fn an_unknown_kind_is_put_off_after_a_start_and_rejected_later_without_holding_up_the_rest() {
    let mut receiver = receiver(Recording::Memory);
    let mut sent = batch(OUTBOX, 1..=2);
    sent.events[0].kind = "new".into();
    assert_eq!(receiver.offer(Instant::ZERO, sent.clone()), Offered::Work);
    assert_eq!(receiver.next(Instant::ZERO, OUTBOX), None);
    assert!(receiver.finish(OUTBOX).is_none());
    let early = receiver.answer(OUTBOX).unwrap();
    assert_eq!(early.verdicts, []);
    assert!(matches!(early.rest, Rest::Later(why) if why.contains("new")));

    let answer = apply(&mut receiver, sent, applied);
    let Verdict::Rejected(refusal) = &answer.verdicts[0] else {
        panic!("{answer:?}");
    };
    assert_eq!(refusal.code, Refusal::CODE_UNKNOWN_KIND);
    assert_eq!(answer.verdicts[1], Verdict::Applied);
    assert_eq!(receiver.counters().unknown_kind, 1);
}

#[test]
fn a_record_names_at_most_32_refusals_however_many_events_are_rejected() {
    let mut receiver = receiver(Recording::After);
    let mut first = 1;
    let mut verdicts = 0;
    while first <= 100 {
        // The sender never settles: it begins with the first event each time.
        assert_eq!(
            receiver.offer(LATE, batch(OUTBOX, first..=100)),
            Offered::Work
        );
        while let Some(event) = receiver.next(LATE, OUTBOX) {
            receiver.verdict(OUTBOX, rejected(event.seq));
        }
        let recorded = receiver.finish(OUTBOX).expect("a record");
        assert!(recorded.record.rejected.len() <= 32);
        let answer = receiver.answer(OUTBOX).unwrap();
        assert!(!answer.verdicts.is_empty());
        // The answer is lost, and the batch comes again: the same verdicts, and no more refusals than before.
        let again = apply(&mut receiver, batch(OUTBOX, first..=100), rejected);
        assert_eq!(again.verdicts, answer.verdicts);
        verdicts += answer.verdicts.len();
        first += answer.verdicts.len() as u64;
    }
    assert_eq!(verdicts, 100);
}

#[test]
fn the_sender_heard_of_longest_ago_is_forgotten_and_counted() {
    let mut receiver = receiver(Recording::After);
    let sender = |n: u8| OutboxId::new([n; 16]);
    for n in [1, 2, 1] {
        let next = u64::from(n) + receiver.counters().batches;
        apply(&mut receiver, batch(sender(n), [next]), applied);
    }
    assert_eq!(receiver.offer(LATE, batch(sender(3), [1])), Offered::Work);
    let event = receiver.next(LATE, sender(3)).unwrap();
    assert_eq!(event.seq, 1);
    receiver.verdict(sender(3), Verdict::Applied);
    let recorded = receiver.finish(sender(3)).unwrap();
    assert_eq!(recorded.gone, [sender(2)]);
    assert_eq!((receiver.senders(), receiver.counters().forgotten), (2, 1));
}

#[test]
fn a_slow_batch_is_answered_in_parts() {
    let mut receiver = receiver(Recording::Memory);
    assert_eq!(receiver.offer(LATE, batch(OUTBOX, 1..=9)), Offered::Work);
    let mut now = LATE;
    while receiver.next(now, OUTBOX).is_some() {
        now += Duration::from_millis(900);
        receiver.verdict(OUTBOX, Verdict::Applied);
    }
    receiver.finish(OUTBOX);
    let answer = receiver.answer(OUTBOX).unwrap();
    assert_eq!((answer.verdicts.len(), answer.rest), (3, Rest::More));
}

#[test]
fn an_effect_whose_record_failed_is_not_repeated_while_the_process_lives() {
    let mut receiver = receiver(Recording::After);
    assert_eq!(receiver.offer(LATE, batch(OUTBOX, [1])), Offered::Work);
    assert!(receiver.next(LATE, OUTBOX).is_some());
    receiver.verdict(OUTBOX, Verdict::Applied);
    assert!(receiver.finish(OUTBOX).is_some());
    let answer = receiver.not_stored(OUTBOX, "the disk failed").unwrap();
    assert_eq!(answer.rest, Rest::Unknown("the disk failed".into()));
    // It comes again: no handler gets it, and the record is tried again before the answer.
    assert_eq!(receiver.offer(LATE, batch(OUTBOX, [1])), Offered::Work);
    assert_eq!(receiver.next(LATE, OUTBOX), None);
    let recorded = receiver
        .finish(OUTBOX)
        .expect("the record is still to be stored");
    assert_eq!(recorded.record.through, 1);
    assert_eq!(
        receiver.answer(OUTBOX).unwrap().verdicts,
        [Verdict::Applied]
    );
}

#[test]
fn records_of_a_shared_store_are_read_from_it() {
    let shop = Some(Label::new("store", "shop").unwrap());
    let settings = InboxSettings::default();
    let mut receiver = Receiver::new(Instant::ZERO, settings, Recording::Atomic, shop.clone());
    receiver.know("like");
    let mut other = batch(OUTBOX, [1, 2]);
    other.store = Some(Label::new("store", "attic").unwrap());
    let answer = |offered| match offered {
        Offered::Answer(answer) => answer,
        offered => panic!("{offered:?}"),
    };
    assert_eq!(answer(receiver.offer(LATE, other)).rest, Rest::OtherStore);

    // Another receiver has applied the first event.
    assert_eq!(receiver.offer(LATE, batch(OUTBOX, [1, 2])), Offered::Read);
    let record = Record {
        outbox: OUTBOX,
        through: 1,
        rejected: [].into(),
    };
    assert_eq!(
        receiver.read(LATE, OUTBOX, Some(record)),
        Some(Offered::Work)
    );
    assert_eq!(receiver.next(LATE, OUTBOX).map(|event| event.seq), Some(2));
    receiver.verdict(OUTBOX, Verdict::Applied);
    assert_eq!(receiver.next(LATE, OUTBOX), None);
    let recorded = receiver.finish(OUTBOX).unwrap();
    assert_eq!((recorded.replaces, recorded.record.through), (1, 2));
    let done = receiver.answer(OUTBOX).unwrap();
    assert_eq!((done.verdicts.len(), done.store), (2, shop));

    // A store that cannot be read puts the batch off.
    assert_eq!(receiver.offer(LATE, batch(OUTBOX, [3])), Offered::Read);
    let why = receiver.unread(OUTBOX, "no connection").unwrap();
    assert_eq!(why.rest, Rest::Later("no connection".into()));
    assert_eq!(receiver.senders(), 0);
}

#[test]
#[should_panic(expected = "a shared store needs the record")]
fn a_shared_store_without_transactions_is_refused() {
    let shop = Some(Label::new("store", "shop").unwrap());
    Receiver::new(
        Instant::ZERO,
        InboxSettings::default(),
        Recording::After,
        shop,
    );
}
