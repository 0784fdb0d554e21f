//! How many log lines others can cause.
//!
//! Peers and strangers choose how often they do what is worth a line. A [`Throttle`] lets through some
//! lines of each kind for each peer, and some of each kind in sum; it counts what it holds back. Those
//! whom the node knows have a sum of their own, so that strangers use up none of it.
//!
//! 1. Within any time `t` a pace lets through at most `burst + t / every` lines.
//! 2. A line that the pace of its peer holds back does not count towards the sum. Each kind has sums of its
//!    own; only the memory of rule 3 is shared.
//! 3. It remembers at most [`PEERS_MAX`] peers; a line of one more is held back.
//!
//! It does not know what the lines say.
//!
//! ```
//! use core::time::Duration;
//! use lasso_core::throttle::{Pace, Paces, Throttle};
//! use lasso_core::time::Instant;
//!
//! let pace = |burst, every| Pace { burst, every: Duration::from_millis(every) };
//! let each = pace(1, 60_000);
//! let mut throttle = Throttle::new(Paces { each, known: pace(100, 100), strangers: pace(10, 1_000) });
//! assert!(throttle.admit(Instant::ZERO, "refused", &"10.0.0.5", true));
//! assert!(!throttle.admit(Instant::ZERO, "refused", &"10.0.0.5", true));
//! assert_eq!(throttle.take_held(), [("refused", 1)]);
//! ```

use core::time::Duration;
use std::collections::BTreeMap;

use crate::time::Instant;

/// How often something may happen: so often at once, and once more after each `every`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// How often at once; at least 1.
    pub burst: u32,
    /// How long it takes until one more may.
    pub every: Duration,
}

/// The paces of a [`Throttle`]; each holds for each kind of line by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paces {
    /// For one peer.
    pub each: Pace,
    /// For all peers that the node knows, in sum.
    pub known: Pace,
    /// For all others, in sum.
    pub strangers: Pace,
}

/// See the module's text.
#[derive(Debug)]
pub struct Throttle<P> {
    paces: Paces,
    kinds: BTreeMap<&'static str, Kind<P>>,
}

#[derive(Debug)]
struct Kind<P> {
    /// All strangers, and all known peers.
    sums: [Spent; 2],
    /// Peers that have lately caused a line.
    peers: BTreeMap<P, Spent>,
    /// Lines held back since somebody last took the number.
    held: u64,
}

/// Until when what was let through counts.
#[derive(Debug, Clone, Copy, Default)]
struct Spent(Instant);

impl Spent {
    fn may(self, now: Instant, pace: Pace) -> bool {
        let others = pace.every * pace.burst.saturating_sub(1);
        self.0 - now <= others
    }

    fn spend(&mut self, now: Instant, pace: Pace) {
        self.0 = self.0.max(now) + pace.every;
    }

    fn is_over(self, now: Instant) -> bool {
        self.0 <= now
    }
}

impl<P: Ord + Clone> Throttle<P> {
    /// Has let nothing through yet.
    pub fn new(paces: Paces) -> Self {
        Throttle {
            paces,
            kinds: BTreeMap::new(),
        }
    }

    /// Whether a line of this kind that `peer` has caused may be written; else it is counted.
    ///
    /// `kind` is one of a fixed set: each costs memory for ever.
    pub fn admit(&mut self, now: Instant, kind: &'static str, peer: &P, is_known: bool) -> bool {
        let Paces {
            each,
            known,
            strangers,
        } = self.paces;
        let in_sum = if is_known { known } else { strangers };
        if self.remembered() >= PEERS_MAX {
            self.forget(now);
        }
        let has_room = self.remembered() < PEERS_MAX;
        let kind = self.kinds.entry(kind).or_default();
        let has_room = has_room || kind.peers.contains_key(peer);
        let spent = kind.peers.get(peer).copied().unwrap_or_default();
        let sum = &mut kind.sums[usize::from(is_known)];
        if !has_room || !spent.may(now, each) || !sum.may(now, in_sum) {
            kind.held += 1;
            return false;
        }
        sum.spend(now, in_sum);
        if kind.peers.len() >= PEERS_KEPT {
            kind.peers.retain(|_, spent| !spent.is_over(now));
        }
        let spent = kind.peers.entry(peer.clone()).or_default();
        spent.spend(now, each);
        true
    }

    /// Peers that are remembered, once for each kind of line.
    pub fn remembered(&self) -> usize {
        self.kinds.values().map(|kind| kind.peers.len()).sum()
    }

    /// Forgets peers whose pace has recovered.
    fn forget(&mut self, now: Instant) {
        for kind in self.kinds.values_mut() {
            kind.peers.retain(|_, spent| !spent.is_over(now));
        }
    }

    /// How many lines of each kind were held back since this was last called; kinds without any are left
    /// out.
    pub fn take_held(&mut self) -> Vec<(&'static str, u64)> {
        let kinds = self.kinds.iter_mut();
        let held = kinds.map(|(name, kind)| (*name, core::mem::take(&mut kind.held)));
        held.filter(|(_, held)| *held > 0).collect()
    }
}

impl<P> Default for Kind<P> {
    fn default() -> Self {
        Kind {
            sums: [Spent::default(); 2],
            peers: BTreeMap::new(),
            held: 0,
        }
    }
}

/// Most peers remembered: strangers from many addresses must not fill memory.
pub const PEERS_MAX: usize = 4096;
/// From so many peers of a kind on, those whose pace has recovered are forgotten before another is remembered.
const PEERS_KEPT: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    const PACES: Paces = Paces {
        each: Pace {
            burst: 2,
            every: Duration::from_secs(10),
        },
        known: Pace {
            burst: 100,
            every: Duration::from_millis(100),
        },
        strangers: Pace {
            burst: 8,
            every: Duration::from_secs(1),
        },
    };

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn one_peer_gets_its_burst_then_its_pace_and_the_rest_is_counted() {
        let mut throttle = Throttle::new(PACES);
        let times = (0..100_000).map(|n| Instant::ZERO + Duration::from_millis(n));
        let told = times.filter(|now| throttle.admit(*now, "a", &1, true));
        assert_eq!(told.count(), 2 + 9);
        assert_eq!(throttle.take_held(), [("a", 100_000 - 11)]);
        assert_eq!(throttle.take_held(), []);
        assert!(throttle.admit(at(100), "b", &1, true), "another kind");
        assert!(throttle.admit(at(100), "a", &2, true), "another peer");
    }

    #[test]
    fn any_number_of_strangers_gets_the_sum_and_none_of_the_known_ones() {
        let mut throttle = Throttle::new(PACES);
        let strangers = (0..100_000).filter(|peer| throttle.admit(at(0), "a", peer, false));
        assert_eq!(strangers.count(), 8);
        assert!(throttle.admit(at(0), "a", &1_000_000, true));
        assert!(throttle.admit(at(0), "b", &1_000_001, false));
        assert!(throttle.admit(at(1), "a", &1_000_002, false));
        assert!(!throttle.admit(at(1), "a", &1_000_003, false));
    }

    #[test]
    fn a_peer_that_is_held_back_uses_up_nothing_of_the_sum() {
        let mut throttle = Throttle::new(PACES);
        for _ in 0..1_000 {
            throttle.admit(at(0), "a", &1, false);
        }
        let others = (2..100).filter(|peer| throttle.admit(at(0), "a", peer, false));
        assert_eq!(others.count(), 6);
    }

    #[test]
    fn no_more_peers_are_remembered_than_there_is_room_for() {
        let generous = Pace {
            burst: u32::MAX,
            every: Duration::from_millis(1),
        };
        let mut throttle = Throttle::new(Paces {
            known: generous,
            ..PACES
        });
        let told = (0..PEERS_MAX + 100).filter(|peer| throttle.admit(at(0), "a", peer, true));
        assert_eq!(told.count(), PEERS_MAX);
        assert!(throttle.admit(at(0), "a", &1, true), "one that is known");
        assert!(!throttle.admit(at(0), "b", &1, true));
        assert_eq!(throttle.remembered(), PEERS_MAX);
        assert!(throttle.admit(at(60), "b", &1, true));
        assert_eq!(throttle.remembered(), 1);
    }

    #[test]
    fn peers_are_forgotten_once_their_pace_has_recovered() {
        let mut throttle = Throttle::new(PACES);
        for second in 0..10_000 {
            for peer in 0..100 {
                throttle.admit(at(second), "a", &(second * 100 + peer), false);
            }
        }
        let kept = throttle.kinds["a"].peers.len();
        assert!(kept <= PEERS_KEPT, "{kept}");
    }
}
