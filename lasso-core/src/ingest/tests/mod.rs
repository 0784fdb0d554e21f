//! Tests of ingest.

mod any;

use core::time::Duration;

use crate::ingest::{
    Buffers, IngestError, IngestSettings, Input, Item, ItemError, NewItem, Output, Problem,
};
use crate::outbox::OutboxId;
use crate::time::Instant;

/// Puts one setting out of its range.
type Spoil = fn(&mut IngestSettings);

const NOW: Instant = Instant::ZERO;
const SECOND: Duration = Duration::from_secs(1);

fn buffers(settings: IngestSettings) -> Buffers {
    assert_eq!(settings.validate(), Ok(()));
    Buffers::new(settings, OutboxId::new([7; 16]))
}

fn offer(buffers: &mut Buffers, now: Instant, key: &str, n: usize) -> Result<usize, IngestError> {
    let items = (0..n).map(|n| NewItem::new(key, n.to_string())).collect();
    buffers.offer(now, items).map(|ids| ids.len())
}

/// The writes that are ordered: the partition and the events of each.
fn writes(buffers: &mut Buffers) -> Vec<(usize, Vec<Item>)> {
    let mut writes = Vec::new();
    while let Some(output) = buffers.poll_output() {
        if let Output::Write { partition, items } = output {
            writes.push((partition, items));
        }
    }
    writes
}

#[test]
fn a_partition_is_written_after_a_second_or_with_a_thousand_events() {
    let mut buffers = buffers(IngestSettings::default());
    offer(&mut buffers, NOW, "a", 999).unwrap();
    assert!(writes(&mut buffers).is_empty());
    assert_eq!(buffers.poll_timeout(), Some(NOW + SECOND));
    offer(&mut buffers, NOW, "a", 1).unwrap();
    let full = writes(&mut buffers);
    assert_eq!((full.len(), full[0].1.len()), (1, 1_000));
    assert_eq!(buffers.poll_timeout(), None);

    // The age counts from the oldest event that is not being written.
    let later = NOW + SECOND / 2;
    offer(&mut buffers, later, "a", 1).unwrap();
    buffers.handle(later, Input::Written(full[0].0));
    assert_eq!(buffers.poll_timeout(), Some(later + SECOND));
    buffers.handle(later + SECOND, Input::Tick);
    assert_eq!(writes(&mut buffers)[0].1.len(), 1);
}

#[test]
fn one_write_is_under_way_for_each_partition() {
    let mut buffers = buffers(IngestSettings::default());
    let other = (0..).map(|n| n.to_string());
    let mut other = other.filter(|key| buffers.partition_of(key) != buffers.partition_of("a"));
    let other = other.next().unwrap();
    for _ in 0..2 {
        offer(&mut buffers, NOW, "a", 1_000).unwrap();
    }
    offer(&mut buffers, NOW, &other, 1_000).unwrap();
    let under_way = writes(&mut buffers);
    assert_eq!(under_way.len(), 2);
    assert_ne!(under_way[0].0, under_way[1].0);
    buffers.handle(NOW, Input::Written(under_way[0].0));
    assert_eq!(writes(&mut buffers).len(), 1);
}

#[test]
fn a_failed_write_is_repeated_with_the_same_events_and_ids_after_longer_waits() {
    let mut buffers = buffers(IngestSettings::default());
    offer(&mut buffers, NOW, "a", 3).unwrap();
    let mut now = NOW + SECOND;
    buffers.handle(now, Input::Tick);
    let first = writes(&mut buffers);
    for wait in [100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000] {
        buffers.handle(now, Input::Failed(first[0].0));
        // What comes meanwhile does not join them.
        offer(&mut buffers, now, "a", 2).unwrap();
        assert!(writes(&mut buffers).is_empty());
        now += Duration::from_millis(wait);
        assert_eq!(buffers.poll_timeout(), Some(now));
        buffers.handle(now, Input::Tick);
        assert_eq!(writes(&mut buffers), first);
    }
    buffers.handle(now, Input::Written(first[0].0));
    assert_eq!(
        buffers.poll_output(),
        Some(Output::Updated(vec![("a".into(), 3)]))
    );
    assert_eq!(buffers.counters().failed, 9);
    // What came meanwhile has waited long enough.
    assert_eq!(writes(&mut buffers)[0].1.len(), 18);
}

#[test]
fn a_partition_with_5000_events_takes_no_more_and_says_when_to_come_back() {
    let mut buffers = buffers(IngestSettings::default());
    for _ in 0..5 {
        offer(&mut buffers, NOW, "a", 1_000).unwrap();
    }
    let overloaded = |retry_after| Err(IngestError::Overloaded { retry_after });
    assert_eq!(offer(&mut buffers, NOW, "a", 1), overloaded(SECOND));
    let under_way = writes(&mut buffers);
    assert_eq!(under_way.len(), 1);
    let mut now = NOW;
    for wait in [100, 200, 400, 800, 1_600] {
        buffers.handle(now, Input::Failed(under_way[0].0));
        now += Duration::from_millis(wait);
        buffers.handle(now, Input::Tick);
    }
    buffers.handle(now, Input::Failed(under_way[0].0));
    // The sink is tried again in 3.2 s: sooner there is no room.
    let wait = Duration::from_millis(3_200);
    assert_eq!(offer(&mut buffers, now, "a", 1), overloaded(wait));
    assert_eq!((buffers.len(), buffers.counters().overloaded), (5_000, 2));
    buffers.handle(now + wait, Input::Tick);
    buffers.handle(now + wait, Input::Written(under_way[0].0));
    assert_eq!(offer(&mut buffers, now + wait, "a", 1_000), Ok(1_000));
}

#[test]
fn all_partitions_together_hold_a_bounded_number_of_bytes() {
    let settings = IngestSettings {
        bytes_max: 100,
        item_bytes_max: 60,
        ..IngestSettings::default()
    };
    let mut buffers = buffers(settings);
    let item = |key: &str, bytes: usize| vec![NewItem::new(key, vec![0; bytes])];
    buffers.offer(NOW, item("a", 59)).unwrap();
    let full = buffers.offer(NOW, item("b", 40));
    assert!(
        matches!(full, Err(IngestError::Overloaded { .. })),
        "{full:?}"
    );
    buffers.offer(NOW, item("b", 39)).unwrap();
    assert_eq!(buffers.bytes(), 100);
    let three = [item("a", 40), item("b", 40), item("c", 40)].concat();
    let never = IngestError::TooLarge {
        bytes: 123,
        max: 100,
    };
    assert_eq!(buffers.offer(NOW, three), Err(never));
}

#[test]
fn a_list_with_an_unacceptable_event_is_not_taken_and_each_such_event_is_named() {
    let mut buffers = buffers(IngestSettings::default());
    let items = vec![
        NewItem::new("a", "good"),
        NewItem::new("", "x"),
        NewItem::new("k".repeat(129), "x"),
        NewItem::new("a", vec![0; 64 << 10]),
    ];
    let problem = |index, problem| ItemError { index, problem };
    let large = Problem::TooLarge {
        bytes: (64 << 10) + 1,
        max: 64 << 10,
    };
    let bad = vec![
        problem(1, Problem::Key(0)),
        problem(2, Problem::Key(129)),
        problem(3, large),
    ];
    assert_eq!(
        buffers.offer(NOW, items),
        Err(IngestError::Unacceptable(bad))
    );
    assert_eq!((buffers.len(), buffers.counters().unacceptable), (0, 4));
    let many = offer(&mut buffers, NOW, "a", 1_001);
    let (items, max) = (1_001, 1_000);
    assert_eq!(many, Err(IngestError::TooMany { items, max }));
    assert_eq!(offer(&mut buffers, NOW, "a", 0), Ok(0));
}

#[test]
fn a_node_that_stops_writes_what_waits_at_once_and_takes_no_more() {
    let mut buffers = buffers(IngestSettings::default());
    offer(&mut buffers, NOW, "a", 3).unwrap();
    buffers.handle(NOW, Input::Stop);
    let under_way = writes(&mut buffers);
    assert_eq!(under_way[0].1.len(), 3);
    assert_eq!(offer(&mut buffers, NOW, "a", 1), Err(IngestError::Stopping));
    assert!(!buffers.is_empty());
    buffers.handle(NOW, Input::Written(under_way[0].0));
    assert!(buffers.is_empty());
}

#[test]
fn a_word_about_a_write_that_is_not_under_way_changes_nothing() {
    let mut buffers = buffers(IngestSettings::default());
    offer(&mut buffers, NOW, "a", 3).unwrap();
    for partition in [buffers.partition_of("a"), 99] {
        buffers.handle(NOW, Input::Written(partition));
        buffers.handle(NOW, Input::Failed(partition));
    }
    assert_eq!(buffers.len(), 3);
    assert!(buffers.poll_output().is_none());
    assert_eq!(buffers.oldest_age(NOW + SECOND / 2), Some(SECOND / 2));
}

#[test]
fn each_setting_that_is_out_of_range_is_refused_by_name() {
    let bad: [(&str, Spoil); 10] = [
        ("ingest.partitions", |s| s.partitions = 0),
        ("ingest.partitions", |s| s.partitions = 1_025),
        ("ingest.flush_after", |s| s.flush_after = Duration::ZERO),
        ("ingest.flush_items", |s| s.flush_items = 0),
        ("ingest.partition_items_max", |s| {
            s.partition_items_max = 999
        }),
        ("ingest.bytes_max", |s| s.bytes_max = s.item_bytes_max - 1),
        ("ingest.item_bytes_max", |s| s.item_bytes_max = 0),
        ("ingest.offer_max", |s| s.offer_max = 5_001),
        ("ingest.retry_min", |s| s.retry_min = Duration::ZERO),
        ("ingest.retry_max", |s| s.retry_max = s.retry_min / 2),
    ];
    for (field, spoil) in bad {
        let mut settings = IngestSettings::default();
        spoil(&mut settings);
        assert_eq!(settings.validate().unwrap_err().field, field);
    }
}
