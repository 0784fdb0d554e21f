//! The numbers that ingest runs by.

use core::time::Duration;

use crate::config::{SettingsError, check};

/// Most partitions.
pub const PARTITIONS_MAX: usize = 1_024;

/// Settings of a node's ingest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IngestSettings {
    /// Partitions, 10; 1 to 1,024. Events of one key are always in the same one. Higher: more writes at a time, each
    /// of them smaller. Lower: a slow write holds up more keys.
    pub partitions: usize,
    /// The longest that an event waits before its partition is written, 1 s; at least 1 ms. Higher: larger writes, and
    /// viewers see events later. Lower: more and smaller writes.
    pub flush_after: Duration,
    /// Most events of one write, and enough for one, 1,000; at least 1. Higher: fewer writes, and more to repeat after a
    /// failure. Lower: more writes.
    pub flush_items: usize,
    /// Most events that wait in one partition, those of a write under way included, 5,000; at least `flush_items`.
    /// Higher: more memory, and a longer time to catch up. Lower: `Overloaded` comes sooner.
    pub partition_items_max: usize,
    /// Most bytes of keys and payloads that wait in all partitions, 64 MiB; at least `item_bytes_max`. Higher, lower: as
    /// above.
    pub bytes_max: usize,
    /// Largest key and payload of one event together, 64 KiB; at least 1 byte. Higher: a write may be that much larger.
    /// Lower: larger events are refused.
    pub item_bytes_max: usize,
    /// Most events that are offered at once, 1,000; at least 1 and at most `partition_items_max`, because a list is taken
    /// whole or not at all. Higher: one caller may fill a partition. Lower: callers must send smaller lists.
    pub offer_max: usize,
    /// The wait after a failed write, 100 ms; at least 1 ms. It doubles with each failure. Higher: events wait longer.
    /// Lower: more writes in vain.
    pub retry_min: Duration,
    /// The longest wait after a failed write, 10 s; at least `retry_min`. Higher, lower: as above.
    pub retry_max: Duration,
}

impl Default for IngestSettings {
    fn default() -> Self {
        IngestSettings {
            partitions: 10,
            flush_after: Duration::from_secs(1),
            flush_items: 1_000,
            partition_items_max: 5_000,
            bytes_max: 64 << 20,
            item_bytes_max: 64 << 10,
            offer_max: 1_000,
            retry_min: Duration::from_millis(100),
            retry_max: Duration::from_secs(10),
        }
    }
}

impl IngestSettings {
    /// Checks ranges and the relations between fields.
    ///
    /// # Errors
    /// The first field that is out of range or contradicts another.
    pub fn validate(&self) -> Result<(), SettingsError> {
        let one = "at least 1 is accepted";
        let at_least = [
            ("ingest.flush_items", self.flush_items),
            ("ingest.item_bytes_max", self.item_bytes_max),
            ("ingest.offer_max", self.offer_max),
        ];
        for (field, value) in at_least {
            check(value >= 1, field, value, one)?;
        }
        check(
            (1..=PARTITIONS_MAX).contains(&self.partitions),
            "ingest.partitions",
            self.partitions,
            "1 to 1,024 is accepted",
        )?;
        check(
            self.partition_items_max >= self.flush_items,
            "ingest.partition_items_max",
            self.partition_items_max,
            "it must be at least ingest.flush_items",
        )?;
        check(
            self.offer_max <= self.partition_items_max,
            "ingest.offer_max",
            self.offer_max,
            "it must be at most ingest.partition_items_max",
        )?;
        check(
            self.bytes_max >= self.item_bytes_max,
            "ingest.bytes_max",
            self.bytes_max,
            "it must be at least ingest.item_bytes_max",
        )?;
        let times = [
            ("ingest.flush_after", self.flush_after),
            ("ingest.retry_min", self.retry_min),
        ];
        for (field, time) in times {
            let millisecond = Duration::from_millis(1);
            check(time >= millisecond, field, time, "at least 1ms is accepted")?;
        }
        check(
            self.retry_max >= self.retry_min,
            "ingest.retry_max",
            self.retry_max,
            "it must be at least ingest.retry_min",
        )
    }
}
