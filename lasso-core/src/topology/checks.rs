//! Health checks: is the application behind a link still answering?
//!
//! All peers are asked in rounds, so that their answers can be compared. A peer that is new is
//! asked alone and at once; one that failed is asked alone until it passes or has failed often
//! enough to be called unresponsive, and then in rounds again.
//!
//! 1. A peer has at most one check outstanding.
//! 2. Rounds never overlap: the next one starts an interval after the last one ended, and a round
//!    ends when all of its checks are answered, timed out, or gone with their link.
//! 3. An answer counts for the check that is outstanding and for no other; a late one is nothing.
//!
//! The interval between checks of a suspect is measured from the start of the last one; as checks
//! do not overlap, the next is never sent before the last has failed.
//!
//! What a failure means is not decided here, except that enough of them in a row are told apart.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use super::timers::Timers;
use crate::config::TopologySettings;
use crate::name::NodeName;
use crate::time::Instant;

/// What the checks want done, or have found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CheckOrder {
    /// Send a check.
    Ask {
        /// To whom.
        to: NodeName,
        /// With this number.
        id: u64,
    },
    /// A check was not answered in time.
    Failed {
        /// By whom.
        name: NodeName,
        /// True when it failed often enough in a row.
        unresponsive: bool,
    },
}

/// A check that passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Passed {
    /// From the check to its answer.
    pub(super) rtt: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Alone,
    Round,
}

#[derive(Debug, Clone, Copy)]
struct Outstanding {
    id: u64,
    sent: Instant,
    kind: Kind,
}

#[derive(Debug, Clone, Default)]
struct Peer {
    /// The check that waits for its answer.
    outstanding: Option<Outstanding>,
    /// Checks in a row that failed.
    failures: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// A round starts, or the one that runs times out.
    Round,
    /// A check of this peer alone times out, or is due.
    Peer(NodeName),
}

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Checks {
    interval: Duration,
    timeout: Duration,
    suspect_interval: Duration,
    unresponsive_after: u32,
    peers: BTreeMap<NodeName, Peer>,
    /// The peers that the running round still waits for; empty: no round runs.
    round: BTreeSet<NodeName>,
    timers: Timers<Timer>,
    next_id: u64,
}

impl Checks {
    pub(super) fn new(settings: &TopologySettings) -> Self {
        Checks {
            interval: settings.health_interval,
            timeout: settings.health_timeout,
            suspect_interval: settings.health_suspect_interval,
            unresponsive_after: settings.unresponsive_after.max(1),
            peers: BTreeMap::new(),
            round: BTreeSet::new(),
            timers: Timers::new(),
            next_id: 1,
        }
    }

    /// A link stands, or a new session took its place: what is outstanding was lost with the old
    /// one and counts for nothing. Returns the number of the check to send at once.
    pub(super) fn up(&mut self, now: Instant, name: &NodeName) -> u64 {
        self.settle(now, name);
        if self.round.is_empty() && !self.timers.has(&Timer::Round) {
            self.timers.set(Timer::Round, now + self.interval);
        }
        self.peers.entry(name.clone()).or_default();
        let id = self.ask(now, name, Kind::Alone);
        self.assert_invariants();
        id
    }

    /// The link is lost; the peer is checked no more.
    pub(super) fn down(&mut self, now: Instant, name: &NodeName) {
        self.settle(now, name);
        self.peers.remove(name);
        if self.peers.is_empty() {
            self.timers.clear(&Timer::Round);
        }
        self.assert_invariants();
    }

    /// An answer came; `None` when it answers no check that is outstanding.
    pub(super) fn answered(&mut self, now: Instant, name: &NodeName, id: u64) -> Option<Passed> {
        let peer = self.peers.get_mut(name)?;
        let outstanding = peer
            .outstanding
            .filter(|outstanding| outstanding.id == id)?;
        peer.failures = 0;
        self.settle(now, name);
        self.assert_invariants();
        Some(Passed {
            rtt: now - outstanding.sent,
        })
    }

    /// Sends what is due and fails what is overdue.
    pub(super) fn tick(&mut self, now: Instant, orders: &mut Vec<CheckOrder>) {
        while let Some(timer) = self.timers.pop(now) {
            match timer {
                Timer::Round if self.round.is_empty() => self.start_round(now, orders),
                Timer::Round => {
                    let overdue = core::mem::take(&mut self.round);
                    self.timers.set(Timer::Round, now + self.interval);
                    overdue.iter().for_each(|name| self.fail(now, name, orders));
                }
                Timer::Peer(name) if self.peers[&name].outstanding.is_some() => {
                    self.fail(now, &name, orders);
                }
                Timer::Peer(name) => {
                    let id = self.ask(now, &name, Kind::Alone);
                    orders.push(CheckOrder::Ask { to: name, id });
                }
            }
        }
        self.assert_invariants();
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// True when the last check of the peer did not fail.
    pub(super) fn is_well(&self, name: &NodeName) -> bool {
        self.peers.get(name).is_some_and(|peer| peer.failures == 0)
    }

    /// Asks every peer that is not being asked alone.
    fn start_round(&mut self, now: Instant, orders: &mut Vec<CheckOrder>) {
        let names: Vec<NodeName> = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.outstanding.is_none())
            .filter(|(_, peer)| peer.failures == 0 || peer.failures >= self.unresponsive_after)
            .map(|(name, _)| name.clone())
            .collect();
        for name in &names {
            let id = self.ask(now, name, Kind::Round);
            orders.push(CheckOrder::Ask {
                to: name.clone(),
                id,
            });
        }
        // A round without anybody ends as it starts.
        let wait = if names.is_empty() {
            self.interval
        } else {
            self.timeout
        };
        self.round = names.into_iter().collect();
        self.timers.set(Timer::Round, now + wait);
    }

    fn ask(&mut self, now: Instant, name: &NodeName, kind: Kind) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        let peer = self
            .peers
            .get_mut(name)
            .expect("only peers with a link are checked");
        assert!(peer.outstanding.is_none(), "two checks of {name} at a time");
        peer.outstanding = Some(Outstanding {
            id,
            sent: now,
            kind,
        });
        if kind == Kind::Alone {
            self.timers
                .set(Timer::Peer(name.clone()), now + self.timeout);
        }
        id
    }

    /// Nothing of this peer is outstanding or due any more; ends the round if it was the last.
    fn settle(&mut self, now: Instant, name: &NodeName) {
        let outstanding = self
            .peers
            .get_mut(name)
            .and_then(|peer| peer.outstanding.take());
        match outstanding.map(|outstanding| outstanding.kind) {
            Some(Kind::Round) => {
                if self.round.remove(name) && self.round.is_empty() {
                    self.timers.set(Timer::Round, now + self.interval);
                }
            }
            Some(Kind::Alone) | None => {
                self.timers.clear(&Timer::Peer(name.clone()));
            }
        }
    }

    fn fail(&mut self, now: Instant, name: &NodeName, orders: &mut Vec<CheckOrder>) {
        let peer = self
            .peers
            .get_mut(name)
            .expect("only peers with a link are checked");
        let outstanding = peer
            .outstanding
            .take()
            .expect("only a check that was sent can fail");
        peer.failures = peer.failures.saturating_add(1);
        let unresponsive = peer.failures >= self.unresponsive_after;
        orders.push(CheckOrder::Failed {
            name: name.clone(),
            unresponsive,
        });
        if unresponsive {
            return;
        }
        let next = outstanding.sent + self.suspect_interval;
        if next > now {
            self.timers.set(Timer::Peer(name.clone()), next);
        } else {
            let id = self.ask(now, name, Kind::Alone);
            orders.push(CheckOrder::Ask {
                to: name.clone(),
                id,
            });
        }
    }

    fn assert_invariants(&self) {
        // A node with peers always has a round ahead or under way.
        debug_assert!(self.peers.is_empty() || self.timers.has(&Timer::Round));
        debug_assert!(self.round.len() <= self.peers.len());
    }
}
