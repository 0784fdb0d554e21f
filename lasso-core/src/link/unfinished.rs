//! What a node holds of unfinished messages, over all its links.
//!
//! A message that is longer than a record comes in pieces, and the link holds it until the last one is
//! there. A peer that never sends the last one costs memory for as long as its link stands, and one process
//! can have many names. So all links of a node share one budget. When it is used up a message gives way: the
//! one that has gone longest without growing, of the hosts that hold more than an even share of the budget,
//! and of all that have not grown for a while. Hosts are told apart by address, since a process can choose
//! its names and cannot choose that.
//!
//! 1. What is held never exceeds the bound, but for a single message of any legal size.
//! 2. A message that has not grown for the timeout is given up.
//! 3. A message that grows gives way only while its host holds more than an even share.
//! 4. Each message that is given up is counted. The rest of it is dropped as it comes, and its end is told.
//!
//! What it does not do: it knows no frames, and it does not count control frames, of which a link holds a
//! single unfinished one of at most 64 KiB. Locks are taken in one order: this one, then a message's.

use core::net::{IpAddr, Ipv4Addr};
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;
use serde::Serialize;

use crate::config::LinkSettings;
use crate::time::Instant;

/// The unfinished messages of one node, for all its links.
pub type SharedUnfinished = Arc<Mutex<Unfinished>>;

/// The budget of one host's links.
#[derive(Debug, Clone)]
pub struct Budget {
    pub(super) shared: SharedUnfinished,
    pub(super) host: IpAddr,
}

impl Budget {
    /// What the links to one host take from.
    pub fn of(shared: &SharedUnfinished, host: IpAddr) -> Self {
        let shared = Arc::clone(shared);
        Budget { shared, host }
    }

    /// The default budget, for a link that has one alone.
    pub(super) fn alone() -> Self {
        let shared = Arc::new(Mutex::new(Unfinished::new(&LinkSettings::default())));
        let host = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        Budget { shared, host }
    }
}

/// Messages that were given up, as numbers that only grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct UnfinishedCounters {
    /// They gave way, as the node's budget was used up.
    pub shed: u64,
    /// They had not grown for too long.
    pub expired: u64,
}

/// One link's message on one of its lanes.
pub(super) type PartId = (u64, usize);

/// The bytes of a message that is not all there.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    pub(super) whole: Vec<u8>,
    /// What comes of it is dropped, and `whole` has only its start.
    pub(super) is_given_up: bool,
}

impl Buffer {
    /// A piece came after it was given up.
    pub(super) fn keep_start(&mut self, piece: &[u8]) {
        let room = START_BYTES.saturating_sub(self.whole.len());
        self.whole
            .extend_from_slice(&piece[..piece.len().min(room)]);
    }

    /// Keeps the start alone, and returns the rest to be dropped under no lock.
    fn give_up(&mut self) -> Vec<u8> {
        self.is_given_up = true;
        let start = self.whole[..self.whole.len().min(START_BYTES)].to_vec();
        core::mem::replace(&mut self.whole, start)
    }
}

#[derive(Debug)]
struct Part {
    host: IpAddr,
    bytes: usize,
    grown: Instant,
    buffer: Arc<Mutex<Buffer>>,
}

/// See the module's text.
#[derive(Debug)]
pub struct Unfinished {
    bytes_max: usize,
    timeout: Duration,
    parts: BTreeMap<PartId, Part>,
    /// The parts, the one first that has gone longest without growing.
    by_age: BTreeSet<(Instant, PartId)>,
    /// What each host holds; only those that hold anything.
    hosts: BTreeMap<IpAddr, usize>,
    held: usize,
    most: usize,
    owners: u64,
    counters: UnfinishedCounters,
}

/// Memory that is to be dropped under no lock.
pub(super) type Freed = Vec<Vec<u8>>;

impl Unfinished {
    /// A budget of which nothing is used.
    pub fn new(settings: &LinkSettings) -> Self {
        Unfinished {
            bytes_max: settings.unfinished_bytes_max,
            timeout: settings.unfinished_timeout,
            parts: BTreeMap::new(),
            by_age: BTreeSet::new(),
            hosts: BTreeMap::new(),
            held: 0,
            most: 0,
            owners: 0,
            counters: UnfinishedCounters::default(),
        }
    }

    /// A number for a link that has a message in pieces.
    pub(super) fn owner(&mut self) -> u64 {
        self.owners += 1;
        self.owners
    }

    /// A message grows to so many bytes. False: it gave way itself. The caller holds no buffer's lock.
    pub(super) fn grow(
        &mut self,
        now: Instant,
        id: PartId,
        host: IpAddr,
        bytes: usize,
        buffer: &Arc<Mutex<Buffer>>,
    ) -> (bool, Freed) {
        let mut freed = Freed::new();
        self.forget(id);
        if bytes == 0 {
            // It holds nothing that could be given up.
            return (true, freed);
        }
        // One message alone may have any legal size.
        while self.held > 0 && self.held + bytes > self.bytes_max {
            self.counters.shed += 1;
            let Some(victim) = self.victim(now, host, bytes) else {
                freed.push(buffer.lock().give_up());
                return (false, freed);
            };
            freed.push(self.give_up(victim));
        }
        self.held += bytes;
        self.most = self.most.max(self.held);
        *self.hosts.entry(host).or_default() += bytes;
        self.by_age.insert((now, id));
        let part = Part {
            host,
            bytes,
            grown: now,
            buffer: Arc::clone(buffer),
        };
        self.parts.insert(id, part);
        (true, freed)
    }

    /// Whose message gives way to one of `host` that grows to so many bytes; `None`: that one does.
    fn victim(&self, now: Instant, host: IpAddr, bytes: usize) -> Option<PartId> {
        let is_new = !self.hosts.contains_key(&host);
        let share = self.bytes_max / (self.hosts.len() + usize::from(is_new));
        let stalled = self.timeout / STALLED_PART;
        let gives_way = |&&(grown, id): &&(Instant, PartId)| {
            let of = self.parts[&id].host;
            let asked = if of == host { bytes } else { 0 };
            now - grown >= stalled || self.hosts[&of] + asked > share
        };
        self.by_age.iter().find(gives_way).map(|(_, id)| *id)
    }

    /// Gives up the messages that have not grown for too long.
    pub(super) fn expire(&mut self, now: Instant) -> Freed {
        let mut freed = Freed::new();
        while self.deadline().is_some_and(|due| due <= now) {
            let oldest = self.by_age.first().map(|(_, id)| *id);
            freed.extend(oldest.map(|id| self.give_up(id)));
            self.counters.expired += 1;
        }
        freed
    }

    /// When the message that has gone longest without growing is given up.
    pub fn deadline(&self) -> Option<Instant> {
        let (grown, _) = self.by_age.first()?;
        Some(*grown + self.timeout)
    }

    fn give_up(&mut self, id: PartId) -> Vec<u8> {
        let buffer = self.parts.get(&id).map(|part| Arc::clone(&part.buffer));
        self.forget(id);
        buffer.map_or_else(Vec::new, |buffer| buffer.lock().give_up())
    }

    /// A message is whole, or given up, or its link is gone.
    pub(super) fn forget(&mut self, id: PartId) {
        let Some(part) = self.parts.remove(&id) else {
            return;
        };
        self.by_age.remove(&(part.grown, id));
        self.held -= part.bytes;
        if let Some(of_host) = self.hosts.get_mut(&part.host) {
            *of_host -= part.bytes;
            if *of_host == 0 {
                self.hosts.remove(&part.host);
            }
        }
    }

    /// Bytes that all unfinished messages of the node hold.
    pub fn held(&self) -> usize {
        self.held
    }

    /// The most that they ever held.
    pub fn most(&self) -> usize {
        self.most
    }

    /// What was given up.
    pub fn counters(&self) -> UnfinishedCounters {
        self.counters
    }

    /// Looks at everything.
    ///
    /// # Panics
    /// When something is not as it must be: a bug.
    pub fn assert_invariants(&self) {
        let bytes = self.parts.values().map(|part| part.bytes);
        assert_eq!(self.held, bytes.sum::<usize>());
        assert_eq!(self.held, self.hosts.values().sum::<usize>());
        assert!(self.held <= self.bytes_max || self.parts.len() == 1);
        assert_eq!(self.by_age.len(), self.parts.len());
        let is_counted = |part: &Part| self.hosts.contains_key(&part.host);
        assert!(self.parts.values().all(is_counted));
        let listed = |(id, part): (&PartId, &Part)| self.by_age.contains(&(part.grown, *id));
        assert!(self.parts.iter().all(listed));
    }
}

/// Gives up what has not grown for too long, and frees it under no lock.
pub(crate) fn expire(shared: &SharedUnfinished, now: Instant) {
    let freed = shared.lock().expire(now);
    drop(freed);
}

/// What is kept of a message that was given up: enough to tell whose it was.
const START_BYTES: usize = 64;
/// A message that has not grown for this part of the timeout gives way before any that grows.
const STALLED_PART: u32 = 6;

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    fn host(n: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, n])
    }

    /// Messages by their link's number, which get bytes and may be given up.
    struct Bench {
        unfinished: Unfinished,
        buffers: BTreeMap<u64, Arc<Mutex<Buffer>>>,
    }

    impl Bench {
        fn new() -> Self {
            Bench {
                unfinished: Unfinished::new(&LinkSettings::default()),
                buffers: BTreeMap::new(),
            }
        }

        fn grow(&mut self, now: Instant, link: u64, from: u8, bytes: usize) -> bool {
            let buffer = self.buffers.entry(link).or_default();
            buffer.lock().whole.resize(1, 0);
            let (taken, _freed) = self
                .unfinished
                .grow(now, (link, 2), host(from), bytes, buffer);
            self.unfinished.assert_invariants();
            assert!(self.unfinished.held() <= 64 * MIB);
            taken
        }

        fn is_given_up(&self, link: u64) -> bool {
            self.buffers[&link].lock().is_given_up
        }
    }

    #[test]
    fn one_host_with_many_links_gives_way_to_another_host() {
        let mut bench = Bench::new();
        for (second, link) in (0..20).enumerate() {
            assert!(bench.grow(at(second as u64 / 10), link, 1, 16 * MIB));
        }
        assert_eq!(bench.unfinished.held(), 64 * MIB);
        for megabytes in 1..=16 {
            assert!(bench.grow(at(2), 100, 2, megabytes * MIB));
            // The attacker goes on as well.
            bench.grow(at(2), megabytes as u64 % 20, 1, 16 * MIB);
        }
        assert!(!bench.is_given_up(100));
        assert_eq!(bench.unfinished.hosts[&host(2)], 16 * MIB);
        assert!(bench.unfinished.counters().shed >= 16);
    }

    #[test]
    fn what_has_stalled_gives_way_though_its_host_holds_little() {
        let mut bench = Bench::new();
        for from in 0..20 {
            assert!(bench.grow(at(0), from.into(), from, 3 * MIB));
        }
        assert!(bench.grow(at(1), 100, 100, 4 * MIB));
        assert!(
            !bench.grow(at(1), 100, 100, 16 * MIB),
            "all others grew just now"
        );
        assert!(bench.grow(at(5), 101, 100, 16 * MIB));
        assert!(bench.is_given_up(0));
    }

    #[test]
    fn a_message_of_no_bytes_is_not_looked_for_when_others_give_way() {
        let mut bench = Bench::new();
        assert!(bench.grow(at(0), 1, 1, 0));
        assert!(bench.grow(at(0), 2, 1, 1));
        bench.unfinished.forget((2, 2));
        bench.unfinished.assert_invariants();
        assert!((0..4).all(|link| bench.grow(at(1), 10 + link, 2, 16 * MIB)));
        assert!(bench.grow(at(2), 20, 3, MIB));
        assert!(!bench.is_given_up(1));
    }

    #[test]
    fn what_does_not_grow_expires_and_what_grows_does_not() {
        let mut bench = Bench::new();
        bench.grow(at(0), 1, 1, MIB);
        bench.grow(at(0), 2, 2, MIB);
        assert_eq!(bench.unfinished.deadline(), Some(at(30)));
        bench.grow(at(20), 2, 2, 2 * MIB);
        assert!(bench.unfinished.expire(at(29)).is_empty());
        assert_eq!(bench.unfinished.expire(at(30)).len(), 1);
        assert!(bench.is_given_up(1) && !bench.is_given_up(2));
        assert_eq!(bench.unfinished.deadline(), Some(at(50)));
        let counters = UnfinishedCounters {
            shed: 0,
            expired: 1,
        };
        assert_eq!(bench.unfinished.counters(), counters);
    }

    #[test]
    fn one_message_alone_may_be_larger_than_the_budget() {
        let mut bench = Bench::new();
        let (taken, _) = bench
            .unfinished
            .grow(at(0), (1, 1), host(1), 100 * MIB, &Arc::default());
        assert!(taken);
        bench.unfinished.assert_invariants();
        bench.unfinished.forget((1, 1));
        assert_eq!(
            (bench.unfinished.held(), bench.unfinished.deadline()),
            (0, None)
        );
    }
}
