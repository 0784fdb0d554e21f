//! All partitions; see the module's text for what they guarantee.
//!
//! [`Buffers::offer`] takes events, [`Buffers::handle`] what happened, and [`Buffers::poll_output`] gives what the driver
//! is to do.

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::item::{IngestError, Item, ItemError, NewItem, Problem};
use super::partition::Partition;
use super::settings::IngestSettings;
use crate::outbox::{EventId, OutboxId};
use crate::time::{Instant, earliest};

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Input {
    /// The partition's write is in the sink.
    Written(usize),
    /// The partition's write failed, or its outcome is unknown.
    Failed(usize),
    /// The node stops: take no more, and write what waits.
    Stop,
    /// Time has passed.
    Tick,
}

/// What the driver is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Write these events to the sink in one transaction, without those whose ids it has, then say so.
    Write {
        /// Which partition.
        partition: usize,
        /// Its oldest events, oldest first.
        items: Vec<Item>,
    },
    /// So many events of each of these keys reached the sink; publish it for the viewers.
    Updated(Vec<(String, usize)>),
}

/// What ingest counts. The counters only grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct IngestCounters {
    /// Events taken.
    pub taken: u64,
    /// Events not taken because too much waited.
    pub overloaded: u64,
    /// Events not taken because they, or others of their list, were not acceptable.
    pub unacceptable: u64,
    /// Events written.
    pub written: u64,
    /// Writes tried.
    pub writes: u64,
    /// Of those, writes that failed or whose outcome is unknown.
    pub failed: u64,
}

/// See the module's text.
#[derive(Debug)]
pub struct Buffers {
    settings: IngestSettings,
    id: OutboxId,
    last: u64,
    partitions: Vec<Partition>,
    bytes: usize,
    stops: bool,
    outputs: VecDeque<Output>,
    counters: IngestCounters,
}

impl Buffers {
    /// Empty buffers. Draw `id` at random for each start: two that share one lose events, because the sink takes one's for
    /// repeats of the other's.
    ///
    /// # Panics
    /// When `settings` has no partition; [`IngestSettings::validate`] refuses that.
    pub fn new(settings: IngestSettings, id: OutboxId) -> Self {
        assert!(settings.partitions > 0, "ingest.partitions is 0");
        let partitions = 0..settings.partitions;
        Buffers {
            partitions: partitions.map(|_| Partition::new(&settings)).collect(),
            settings,
            id,
            last: 0,
            bytes: 0,
            stops: false,
            outputs: VecDeque::new(),
            counters: IngestCounters::default(),
        }
    }

    /// Takes a list of events, all or none. Returns their ids in the same order.
    ///
    /// # Errors
    /// [`IngestError`]; none was taken.
    pub fn offer(
        &mut self,
        now: Instant,
        items: Vec<NewItem>,
    ) -> Result<Vec<EventId>, IngestError> {
        let places = self.check(now, &items)?;
        let mut ids = Vec::with_capacity(items.len());
        for (item, place) in items.into_iter().zip(places) {
            self.last += 1;
            self.bytes += item.bytes();
            let id = EventId {
                outbox: self.id,
                seq: self.last,
            };
            let item = Item {
                id,
                key: item.key,
                payload: item.payload,
            };
            self.partitions[place].push(now, item);
            ids.push(id);
        }
        self.counters.taken += ids.len() as u64;
        self.go_on(now);
        Ok(ids)
    }

    /// Something happened.
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Written(partition) => self.on_written(partition),
            Input::Failed(partition) => self.on_failed(now, partition),
            Input::Stop => self.stops = true,
            Input::Tick => {}
        }
        self.go_on(now);
    }

    /// The next thing to do, until there is none.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Input::Tick`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let due = self.partitions.iter().map(|partition| self.due(partition));
        due.fold(None, earliest)
    }

    /// Events that wait, those of writes under way included.
    pub fn len(&self) -> usize {
        self.partitions.iter().map(Partition::len).sum()
    }

    /// Whether no event waits. After [`Input::Stop`]: whether the node may end.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of the keys and payloads that wait.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How long the oldest event has waited.
    pub fn oldest_age(&self, now: Instant) -> Option<Duration> {
        let ages = self
            .partitions
            .iter()
            .filter_map(|partition| partition.oldest_age(now));
        ages.max()
    }

    /// The partition of a key, the same for as long as the number of partitions is.
    pub fn partition_of(&self, key: &str) -> usize {
        // FNV-1a (Fowler, Noll and Vo): short keys, and no stranger gains by a collision but his own place in a queue.
        let hash = key.bytes().fold(FNV_OFFSET, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME)
        });
        (hash % self.partitions.len() as u64) as usize
    }

    /// The counters.
    pub fn counters(&self) -> &IngestCounters {
        &self.counters
    }

    /// The partition of each event, if all may be taken.
    fn check(&mut self, now: Instant, items: &[NewItem]) -> Result<Vec<usize>, IngestError> {
        if self.stops {
            return Err(IngestError::Stopping);
        }
        if let Some(error) = self.unacceptable(items) {
            self.counters.unacceptable += items.len() as u64;
            return Err(error);
        }
        let places: Vec<usize> = items
            .iter()
            .map(|item| self.partition_of(&item.key))
            .collect();
        let mut more: BTreeMap<usize, usize> = BTreeMap::new();
        for place in &places {
            *more.entry(*place).or_default() += 1;
        }
        let full = |(place, more): &(&usize, &usize)| {
            self.partitions[**place].len() + **more > self.settings.partition_items_max
        };
        let is_full =
            self.bytes + size(items) > self.settings.bytes_max || more.iter().any(|m| full(&m));
        if is_full {
            self.counters.overloaded += items.len() as u64;
            let waits = more
                .keys()
                .map(|place| self.partitions[*place].retry_after(now));
            let retry_after = waits.max().unwrap_or_default().max(RETRY_AFTER_MIN);
            return Err(IngestError::Overloaded { retry_after });
        }
        Ok(places)
    }

    fn unacceptable(&self, items: &[NewItem]) -> Option<IngestError> {
        let max = self.settings.offer_max;
        if items.len() > max {
            let items = items.len();
            return Some(IngestError::TooMany { items, max });
        }
        let max = self.settings.item_bytes_max;
        let problem = |item: &NewItem| match (item.key.len(), item.bytes()) {
            (1..=KEY_BYTES_MAX, bytes) if bytes <= max => None,
            (1..=KEY_BYTES_MAX, bytes) => Some(Problem::TooLarge { bytes, max }),
            (key, _) => Some(Problem::Key(key)),
        };
        let bad = items
            .iter()
            .enumerate()
            .filter_map(|(index, item)| problem(item).map(|problem| ItemError { index, problem }));
        let bad: Vec<ItemError> = bad.collect();
        let (bytes, max) = (size(items), self.settings.bytes_max);
        if bad.is_empty() {
            (bytes > max).then_some(IngestError::TooLarge { bytes, max })
        } else {
            Some(IngestError::Unacceptable(bad))
        }
    }

    fn on_written(&mut self, partition: usize) {
        let written = self.partitions.get_mut(partition);
        let Some(items) = written.and_then(|partition| partition.written(&self.settings)) else {
            return;
        };
        self.counters.written += items.len() as u64;
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for item in items {
            self.bytes -= item.bytes();
            *counts.entry(item.key).or_default() += 1;
        }
        self.outputs
            .push_back(Output::Updated(counts.into_iter().collect()));
    }

    fn on_failed(&mut self, now: Instant, partition: usize) {
        let failed = self.partitions.get_mut(partition);
        if failed.is_some_and(|partition| partition.failed(now, &self.settings)) {
            self.counters.failed += 1;
        }
    }

    fn due(&self, partition: &Partition) -> Option<Instant> {
        partition.due(&self.settings, self.stops)
    }

    /// Begins the writes that are due.
    fn go_on(&mut self, now: Instant) {
        for place in 0..self.partitions.len() {
            if self
                .due(&self.partitions[place])
                .is_some_and(|due| due <= now)
            {
                let items = self.partitions[place].write(&self.settings);
                self.counters.writes += 1;
                self.outputs.push_back(Output::Write {
                    partition: place,
                    items,
                });
            }
        }
        debug_assert!(self.bytes <= self.settings.bytes_max);
        for partition in &self.partitions {
            partition.assert_invariants(&self.settings);
        }
    }
}

/// Bytes of keys and payloads.
fn size(items: &[NewItem]) -> usize {
    items.iter().map(NewItem::bytes).sum()
}

/// Longest key, in bytes.
const KEY_BYTES_MAX: usize = 128;
/// The shortest time to come back after: HTTP's `Retry-After` counts whole seconds.
const RETRY_AFTER_MIN: Duration = Duration::from_secs(1);
const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;
