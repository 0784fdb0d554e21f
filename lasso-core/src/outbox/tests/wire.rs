//! Batches and answers from the network.

use proptest::prelude::*;

use super::OUTBOX;
use crate::name::Label;
use crate::outbox::{
    Batch, BatchAnswer, EVENTS_MAX, Event, EventId, InboxSettings, KIND_BYTES_MAX, OutboxSettings,
    REFUSAL_BYTES_MAX, Refusal, Rest, TargetNodes, Verdict,
};

/// Puts one setting out of its range.
type Spoil<S> = fn(&mut S);

fn event(seq: u64, kind: &str) -> Event {
    Event {
        seq,
        kind: kind.into(),
        payload: vec![0xff; 3].into(),
        unix_ms: 1,
    }
}

fn batch(events: Vec<Event>) -> Batch {
    Batch {
        outbox: OUTBOX,
        store: Some(Label::new("store", "shop").unwrap()),
        events,
    }
}

#[test]
fn batches_and_answers_are_read_as_they_were_written() {
    let sent = batch(vec![event(3, "like"), event(9, "visit")]);
    assert_eq!(Batch::decode(&sent.encode()), Ok(sent));
    let answer = BatchAnswer {
        verdicts: vec![Verdict::Applied, Verdict::Rejected(Refusal::new(7, "no"))],
        rest: Rest::Unknown("the disk failed".into()),
        store: None,
    };
    assert_eq!(BatchAnswer::decode(&answer.encode()), Ok(answer));
}

#[test]
fn a_batch_whose_numbers_do_not_grow_is_refused() {
    let long = "k".repeat(KIND_BYTES_MAX + 1);
    let many = (1..).take(EVENTS_MAX + 1).map(|seq| event(seq, "k"));
    let bad = [
        vec![],
        vec![event(2, "k"), event(2, "k")],
        vec![event(2, "k"), event(1, "k")],
        vec![event(1, &long)],
        many.collect(),
    ];
    for events in bad {
        let n = events.len();
        assert!(Batch::decode(&batch(events).encode()).is_err(), "{n}");
    }
}

#[test]
fn a_long_message_is_cut_between_characters() {
    let refusal = Refusal::new(1, &"é".repeat(100));
    assert_eq!(refusal.message.len(), REFUSAL_BYTES_MAX);
    let refusal = Refusal::new(1, &format!("x{}", "é".repeat(100)));
    assert_eq!(refusal.message.len(), REFUSAL_BYTES_MAX - 1);
}

#[test]
fn a_long_message_of_a_peer_is_cut() {
    let answer = BatchAnswer {
        verdicts: vec![Verdict::Rejected(Refusal {
            code: 1,
            message: "x".repeat(5_000),
        })],
        rest: Rest::More,
        store: None,
    };
    let read = BatchAnswer::decode(&answer.encode()).unwrap();
    let Verdict::Rejected(refusal) = &read.verdicts[0] else {
        panic!("{read:?}");
    };
    assert_eq!(refusal.message.len(), REFUSAL_BYTES_MAX);
}

#[test]
fn a_text_that_is_no_event_id_is_refused() {
    let id = EventId {
        outbox: OUTBOX,
        seq: u64::MAX,
    };
    assert_eq!(id.to_string().parse(), Ok(id));
    for text in [
        "",
        "-",
        "7-1",
        "+0000000000000000000000000000007-1",
        "00000000000000000000000000000007-x",
    ] {
        assert!(text.parse::<EventId>().is_err(), "{text}");
    }
}

#[test]
fn a_target_matches_by_prefix_role_or_name() {
    let name = super::node("metrics-1@10.0.0.2");
    let role = Label::new("role", "web").unwrap();
    let matches = |target: TargetNodes| target.matches(&name, &[role.clone()].into());
    assert!(matches(TargetNodes::basename("metrics").unwrap()));
    assert!(!matches(TargetNodes::basename("front").unwrap()));
    assert!(matches(TargetNodes::Role(role.clone())));
    assert!(!matches(TargetNodes::Role(
        Label::new("role", "ingestor").unwrap()
    )));
    assert!(matches(TargetNodes::Node(name.clone())));
    assert!(!matches(TargetNodes::Node(super::node(
        "metrics-1@10.0.0.3"
    ))));
    for prefix in ["", "a b", "ä"] {
        assert!(TargetNodes::basename(prefix).is_err(), "{prefix}");
    }
}

#[test]
fn each_setting_that_is_out_of_range_is_refused_by_name() {
    let bad: [(&str, Spoil<OutboxSettings>); 9] = [
        ("outbox.queue_max", |s| s.queue_max = 0),
        ("outbox.queue_bytes_max", |s| {
            s.queue_bytes_max = s.event_bytes_max - 1
        }),
        ("outbox.event_bytes_max", |s| s.event_bytes_max = 0),
        ("outbox.batch_max", |s| s.batch_max = EVENTS_MAX + 1),
        ("outbox.batch_bytes_max", |s| {
            s.batch_bytes_max = s.event_bytes_max - 1
        }),
        ("outbox.answer_timeout", |s| {
            s.answer_timeout = core::time::Duration::ZERO
        }),
        ("outbox.retry_min", |s| {
            s.retry_min = core::time::Duration::ZERO
        }),
        ("outbox.retry_max", |s| s.retry_max = s.retry_min / 2),
        ("outbox.dead_max", |s| s.dead_max = 0),
    ];
    assert_eq!(OutboxSettings::default().validate(), Ok(()));
    for (field, spoil) in bad {
        let mut settings = OutboxSettings::default();
        spoil(&mut settings);
        assert_eq!(settings.validate().unwrap_err().field, field);
    }
    assert_eq!(InboxSettings::default().validate(), Ok(()));
    let bad: [(&str, Spoil<InboxSettings>); 2] = [
        ("inbox.senders_max", |s| s.senders_max = 0),
        ("inbox.works_max", |s| s.works_max = 0),
    ];
    for (field, spoil) in bad {
        let mut settings = InboxSettings::default();
        spoil(&mut settings);
        assert_eq!(settings.validate().unwrap_err().field, field);
    }
}

proptest! {
    #[test]
    fn no_bytes_make_a_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Batch::decode(&bytes);
        let _ = BatchAnswer::decode(&bytes);
    }
}
