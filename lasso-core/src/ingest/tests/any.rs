//! A sink that fails in any way, and callers that offer anything.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::{NOW, buffers};
use crate::ingest::{Buffers, IngestSettings, Input, Item, NewItem, Output};
use crate::outbox::EventId;
use crate::time::Instant;

#[derive(Debug, Clone, Copy)]
enum Step {
    Offer {
        key: u8,
        items: usize,
    },
    Pass {
        ms: u64,
    },
    /// The sink has written what it was given last for this partition, and says so or not.
    Write {
        partition: usize,
        told: bool,
    },
    /// It has written nothing.
    Fail {
        partition: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..6u8, 0..8usize).prop_map(|(key, items)| Step::Offer { key, items }),
        2 => (0..1_500u64).prop_map(|ms| Step::Pass { ms }),
        3 => (0..3usize, any::<bool>()).prop_map(|(partition, told)| Step::Write { partition, told }),
        1 => (0..3usize).prop_map(|partition| Step::Fail { partition }),
    ]
}

fn small() -> IngestSettings {
    IngestSettings {
        partitions: 3,
        flush_items: 4,
        partition_items_max: 12,
        offer_max: 8,
        ..IngestSettings::default()
    }
}

struct World {
    now: Instant,
    buffers: Buffers,
    under_way: BTreeMap<usize, Vec<Item>>,
    /// Writes that failed, as they were.
    failed: BTreeMap<usize, Vec<Item>>,
    /// What is in the sink, in order.
    sink: Vec<Item>,
    taken: Vec<EventId>,
    updated: BTreeMap<String, usize>,
}

impl World {
    fn drain(&mut self) {
        while let Some(output) = self.buffers.poll_output() {
            match output {
                Output::Write { partition, items } => {
                    assert!((1..=4).contains(&items.len()));
                    if let Some(before) = self.failed.remove(&partition) {
                        assert_eq!(items, before, "a repeat has the same events");
                    }
                    let two = self.under_way.insert(partition, items);
                    assert!(two.is_none(), "one write at a time");
                }
                Output::Updated(counts) => {
                    for (key, count) in counts {
                        *self.updated.entry(key).or_default() += count;
                    }
                }
            }
        }
        assert!(self.buffers.len() <= 3 * 12);
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Offer { key, items } => {
                let before = self.buffers.len();
                let new = (0..items)
                    .map(|_| NewItem::new(key.to_string(), "x"))
                    .collect();
                match self.buffers.offer(self.now, new) {
                    Ok(ids) => self.taken.extend(ids),
                    Err(_) => assert_eq!(self.buffers.len(), before),
                }
            }
            Step::Pass { ms } => {
                self.now += Duration::from_millis(ms);
                self.buffers.handle(self.now, Input::Tick);
            }
            Step::Write { partition, told } => {
                if let Some(items) = self.under_way.remove(&partition) {
                    let known: BTreeSet<EventId> = self.sink.iter().map(|item| item.id).collect();
                    let new = items.iter().filter(|item| !known.contains(&item.id));
                    self.sink.extend(new.cloned());
                    if told {
                        self.buffers.handle(self.now, Input::Written(partition));
                    } else {
                        self.failed.insert(partition, items);
                        self.buffers.handle(self.now, Input::Failed(partition));
                    }
                }
            }
            Step::Fail { partition } => {
                if let Some(items) = self.under_way.remove(&partition) {
                    self.failed.insert(partition, items);
                    self.buffers.handle(self.now, Input::Failed(partition));
                }
            }
        }
        self.drain();
    }
}

proptest! {
    #[test]
    fn every_event_taken_is_in_the_sink_once_and_in_order(
        steps in prop::collection::vec(step(), 0..200),
    ) {
        let mut world = World {
            now: NOW,
            buffers: buffers(small()),
            under_way: BTreeMap::new(),
            failed: BTreeMap::new(),
            sink: Vec::new(),
            taken: Vec::new(),
            updated: BTreeMap::new(),
        };
        for step in steps {
            world.step(step);
        }
        // The sink is well again: all is written within the longest wait and a flush for each write.
        for _ in 0..20 {
            world.step(Step::Pass { ms: 10_000 });
            for partition in 0..3 {
                world.step(Step::Write { partition, told: true });
            }
        }
        assert!(world.buffers.is_empty());
        assert_eq!(world.buffers.bytes(), 0);
        let mut written: Vec<EventId> = world.sink.iter().map(|item| item.id).collect();
        for key in 0..6u8 {
            let of_key = world.sink.iter().filter(|item| item.key == key.to_string());
            assert!(of_key.map(|item| item.id).is_sorted_by(|a, b| a < b));
        }
        written.sort();
        assert_eq!(written, world.taken);
        assert_eq!(world.updated.values().sum::<usize>(), world.taken.len());
    }
}
