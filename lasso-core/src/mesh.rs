//! Decides which peers to dial, and when.
//!
//! The mesh dials every candidate without a link again and again, for ever, at a bounded rate. Delays double
//! from a minimum to a maximum, with jitter. They are measured from the start of a try, so that a network that
//! heals is whole again within one delay. If a try outlasts its delay, for example because the network drops
//! its packets, the next one follows after a short random time; otherwise all nodes that lost the same peer
//! would dial it at the moment when their tries time out. One side of each pair dials first, chosen by a coin
//! that both know, so that most pairs make one connection and not two.
//!
//! 1. A peer has at most one dial under way.
//! 2. No more dials are under way than the bound allows.
//! 3. A linked peer is dialled only to test its link.
//!
//! It does not judge connections: see [`crate::node`].

use core::net::IpAddr;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use crate::config::DialSettings;
use crate::name::NodeName;
use crate::time::Instant;

/// The outcome of a failed try to reach a peer, as far as the next one depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Miss {
    /// There was no connection, or it was refused.
    Failed,
    /// Only an operator can remove the cause: try again much later.
    Wait,
    /// Both dialled and the other connection was chosen; this is no failure.
    Duplicate,
}

/// One peer, which is dialled when it has no link.
struct Peer {
    /// When the next try is due.
    next_at: Instant,
    /// Tries in a row that failed.
    failures: u32,
    /// Since when no try succeeded.
    failing_since: Option<Instant>,
    /// When the present try began.
    trying_since: Option<Instant>,
    /// Since when the link has been up.
    linked_at: Option<Instant>,
    /// The link is silent and needs a second connection.
    probing: bool,
}

impl Peer {
    fn is_due_some_day(&self) -> bool {
        self.trying_since.is_none() && (self.linked_at.is_none() || self.probing)
    }
}

/// The machine. See the module's text.
pub struct Mesh {
    settings: DialSettings,
    me: NodeName,
    /// Draws jitter.
    rng: ChaCha8Rng,
    peers: BTreeMap<NodeName, Peer>,
    /// All peers that wait for a try, by time.
    queue: BTreeSet<(Instant, NodeName)>,
    /// Tries under way.
    trying: usize,
}

impl Mesh {
    /// A mesh without candidates.
    pub fn new(settings: DialSettings, me: NodeName, seed: [u8; 32]) -> Self {
        let rng = ChaCha8Rng::from_seed(seed);
        Mesh {
            settings,
            me,
            rng,
            peers: BTreeMap::new(),
            queue: BTreeSet::new(),
            trying: 0,
        }
    }

    /// Adds a candidate; leaves a known one unchanged.
    pub fn add(&mut self, now: Instant, name: &NodeName) {
        self.add_after(now, name, Duration::ZERO);
    }

    /// Adds a candidate that was met on a connection. The mesh dials it only if that connection fails, because
    /// two connections at once would obstruct each other.
    pub fn met(&mut self, now: Instant, name: &NodeName) {
        self.add_after(now, name, self.settings.backoff_min);
    }

    fn add_after(&mut self, now: Instant, name: &NodeName, delay: Duration) {
        if self.peers.contains_key(name) {
            return;
        }
        let next_at = now + delay + self.courtesy(name);
        let peer = Peer {
            next_at,
            failures: 0,
            failing_since: None,
            trying_since: None,
            linked_at: None,
            probing: false,
        };
        self.peers.insert(name.clone(), peer);
        self.queue.insert((next_at, name.clone()));
    }

    /// Whether there is a candidate at this address.
    pub fn is_address_of_one(&self, ip: IpAddr) -> bool {
        let first = NodeName::first_at(ip);
        let next = self.peers.range(first..).next();
        next.is_some_and(|(name, _)| name.address().ip() == ip)
    }

    /// Removes a candidate. A try under way continues, and is reported as for a stranger.
    pub fn remove(&mut self, name: &NodeName) {
        if let Some(peer) = self.peers.remove(name) {
            self.queue.remove(&(peer.next_at, name.clone()));
            self.trying -= usize::from(peer.trying_since.is_some());
        }
    }

    /// Returns the next peer to dial now, and begins its try; `true` if the dial tests a silent link.
    pub fn poll_dial(&mut self, now: Instant) -> Option<(NodeName, bool)> {
        if self.trying >= self.settings.concurrent_max {
            return None;
        }
        let (next_at, _) = self.queue.first()?;
        if *next_at > now {
            return None;
        }
        let (_, name) = self.queue.pop_first()?;
        let peer = self.peers.get_mut(&name)?;
        peer.trying_since = Some(now);
        self.trying += 1;
        let probing = peer.probing;
        self.assert_invariants();
        Some((name, probing))
    }

    /// A try ended without a link.
    pub fn missed(&mut self, now: Instant, name: &NodeName, miss: Miss) {
        let delay = self.delay_after(now, name, miss);
        let Some(peer) = self.peers.get_mut(name) else {
            return;
        };
        let Some(began) = peer.trying_since.take() else {
            return;
        };
        self.trying -= 1;
        let from = if miss == Miss::Wait { now } else { began };
        let due = from + delay;
        let next_at = if due > now { due } else { now + self.spread() };
        self.schedule(name, next_at);
    }

    /// A link with the peer is up, whichever side dialled.
    pub fn linked(&mut self, now: Instant, name: &NodeName) {
        let Some(peer) = self.peers.get_mut(name) else {
            return;
        };
        self.queue.remove(&(peer.next_at, name.clone()));
        self.trying -= usize::from(peer.trying_since.take().is_some());
        peer.linked_at = Some(now);
        peer.probing = false;
        self.assert_invariants();
    }

    /// The link with the peer is lost. The mesh dials the peer again: at once, or after a delay if the link was
    /// short-lived or the peer said goodbye.
    pub fn unlinked(&mut self, now: Instant, name: &NodeName, hold: Option<Duration>) {
        let courtesy = self.courtesy(name);
        let backoff_max = self.settings.backoff_max;
        let Some(peer) = self.peers.get_mut(name) else {
            return;
        };
        let Some(since) = peer.linked_at.take() else {
            return;
        };
        peer.probing = false;
        let mut delay = courtesy + hold.unwrap_or_default();
        if now - since >= backoff_max {
            peer.failures = 0;
            peer.failing_since = None;
        } else {
            delay += self.delay_after(now, name, Miss::Failed);
        }
        if self
            .peers
            .get(name)
            .is_some_and(|peer| peer.trying_since.is_none())
        {
            self.schedule(name, now + delay);
        }
    }

    /// The link with the peer is silent: [`Mesh::poll_dial`] tests it by second connections until
    /// [`Mesh::heard`].
    pub fn probe(&mut self, now: Instant, name: &NodeName) {
        let Some(peer) = self.peers.get_mut(name) else {
            return;
        };
        if peer.linked_at.is_none() || peer.probing {
            return;
        }
        peer.probing = true;
        if peer.trying_since.is_none() {
            self.schedule(name, now);
        }
    }

    /// The obstacle to dialling the peer is gone: the mesh tries it at once, as if it had just been found.
    pub fn retry(&mut self, now: Instant, name: &NodeName) {
        let Some(peer) = self.peers.get_mut(name) else {
            return;
        };
        peer.failures = 0;
        peer.failing_since = None;
        if peer.trying_since.is_none() {
            self.schedule(name, now);
        }
    }

    /// A silent link has received bytes again.
    pub fn heard(&mut self, name: &NodeName) {
        let Some(peer) = self.peers.get_mut(name) else {
            return;
        };
        if core::mem::take(&mut peer.probing) {
            self.queue.remove(&(peer.next_at, name.clone()));
        }
    }

    /// All links are gone: the mesh tries every peer as if it had just been found.
    pub fn restart(&mut self, now: Instant) {
        let names: Vec<NodeName> = self.peers.keys().cloned().collect();
        for name in names {
            self.remove(&name);
            self.add(now, &name);
        }
    }

    /// The number of dials under way.
    pub fn dials(&self) -> usize {
        self.trying
    }

    /// When the next dial is due; `None` while the bound on dials is reached, or no peer waits.
    pub fn deadline(&self) -> Option<Instant> {
        if self.trying >= self.settings.concurrent_max {
            return None;
        }
        self.queue.first().map(|(next_at, _)| *next_at)
    }

    fn schedule(&mut self, name: &NodeName, next_at: Instant) {
        if let Some(peer) = self.peers.get_mut(name) {
            self.queue.remove(&(peer.next_at, name.clone()));
            peer.next_at = next_at;
            if peer.is_due_some_day() {
                self.queue.insert((next_at, name.clone()));
            }
        }
        self.assert_invariants();
    }

    /// Zero for the side of the pair that dials first: a coin that is the same at both ends and gives every
    /// node about half of its peers.
    fn courtesy(&self, name: &NodeName) -> Duration {
        let heads = (name_hash(&self.me) ^ name_hash(name)) & 1 == 0;
        if heads == (self.me < *name) {
            Duration::ZERO
        } else {
            self.settings.second_delay
        }
    }

    fn delay_after(&mut self, now: Instant, name: &NodeName, miss: Miss) -> Duration {
        let jitter = self.jitter();
        let settings = &self.settings;
        let Some(peer) = self.peers.get_mut(name) else {
            return Duration::ZERO;
        };
        if miss != Miss::Duplicate {
            peer.failures = peer.failures.saturating_add(1);
            peer.failing_since.get_or_insert(now);
        }
        let stale = peer
            .failing_since
            .is_some_and(|since| now - since >= settings.stale_after);
        let longest = if stale {
            settings.backoff_max_stale
        } else {
            settings.backoff_max
        };
        let doublings = peer.failures.saturating_sub(1).min(16);
        let delay = settings
            .backoff_min
            .saturating_mul(1 << doublings)
            .min(longest);
        // A delay is jittered both ways, a promised delay only upwards.
        let jittered = delay.percent(100 - settings.jitter_percent.min(100) + jitter);
        match miss {
            Miss::Wait => jittered.max(settings.refused_secret.percent(100 + jitter)),
            Miss::Failed | Miss::Duplicate => jittered,
        }
    }

    /// A number from 0 to twice the jitter in percent.
    fn jitter(&mut self) -> u32 {
        self.rng.next_u32() % (2 * self.settings.jitter_percent.min(100) + 1)
    }

    /// A random part of the shortest delay, for a try that outlasted its delay.
    fn spread(&mut self) -> Duration {
        let part = 1 + self.rng.next_u32() % SPREAD_PARTS;
        self.settings.backoff_min.saturating_mul(part) / SPREAD_PARTS
    }

    fn assert_invariants(&self) {
        debug_assert!(self.trying <= self.settings.concurrent_max);
        debug_assert!(self.queue.len() + self.trying <= self.peers.len());
    }
}

/// The number of parts from which a part of the shortest delay is drawn: fine enough that dozens of nodes
/// seldom draw the same one.
const SPREAD_PARTS: u32 = 1 << 16;

/// Percentages of durations in integers, which come out the same on every machine.
trait Percent {
    fn percent(self, percent: u32) -> Duration;
}

impl Percent for Duration {
    fn percent(self, percent: u32) -> Duration {
        self.saturating_mul(percent) / 100
    }
}

/// FNV-1a over the name's text: any hash works on which both ends agree.
fn name_hash(name: &NodeName) -> u64 {
    let text = name.to_string();
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325, step);
    // The lowest bit of FNV-1a only depends on the lowest bits of the input.
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests;
