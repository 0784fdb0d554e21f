//! Health checks, which find out whether the application behind a link still answers.
//!
//! All peers are checked in rounds, so that their answers can be compared. A new peer is checked alone and at
//! once. A peer that failed is checked alone until it passes, or has failed often enough to be called
//! unresponsive, and then in rounds again.
//!
//! 1. A peer has at most one check outstanding.
//! 2. Rounds never overlap: the next one starts an interval after the last one ended, and a round
//!    ends when all of its checks are answered, timed out, or gone with their link.
//! 3. An answer counts only for the outstanding check; a late one is ignored.
//!
//! The interval between checks of a suspect is measured from the start of the last one. Checks do not overlap,
//! so the next is never sent before the last has failed.
//!
//! This module does not decide what a failure means; it only reports when enough of them follow in a row.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use crate::config::TopologySettings;
use crate::name::NodeName;
use crate::time::Instant;
use crate::timers::Timers;

/// An order or a finding of the checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CheckOrder {
    /// Send a check.
    Ask {
        /// The receiver.
        to: NodeName,
        /// With this number.
        id: u64,
    },
    /// A check was not answered in time.
    Failed {
        /// The peer.
        name: NodeName,
        /// True when it failed often enough in a row.
        unresponsive: bool,
    },
}

impl CheckOrder {
    /// The peer to check, if any.
    pub(super) fn asked(&self) -> Option<&NodeName> {
        match self {
            CheckOrder::Ask { to, .. } => Some(to),
            CheckOrder::Failed { .. } => None,
        }
    }
}

/// A check that passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Passed {
    /// From the check to its answer.
    pub(super) rtt: Duration,
    /// True when the check may have asked for a view: all but the first of a session do.
    pub(super) views: bool,
    /// True when the check before had failed.
    pub(super) recovered: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// The first of a session.
    First,
    /// A suspect, asked alone.
    Suspect,
    Round,
}

#[derive(Debug, Clone, Copy)]
struct Outstanding {
    id: u64,
    sent: Instant,
    kind: Kind,
}

/// Consecutive unanswered checks of one peer, including the outstanding one. Their sender counts them, separately
/// from the failures that decide the state of the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unanswered {
    /// The number.
    pub checks: u32,
    /// When the first of them was sent.
    pub first_sent: Instant,
    /// When the last of them was sent.
    pub last_sent: Instant,
}

#[derive(Debug, Clone, Default)]
struct Peer {
    /// The outstanding check.
    outstanding: Option<Outstanding>,
    /// The number of consecutive failed checks.
    failures: u32,
    unanswered: Option<Unanswered>,
}

impl Peer {
    fn note_sent(&mut self, now: Instant) {
        let first = Unanswered {
            checks: 0,
            first_sent: now,
            last_sent: now,
        };
        let unanswered = self.unanswered.get_or_insert(first);
        unanswered.checks = unanswered.checks.saturating_add(1);
        unanswered.last_sent = now;
    }

    /// Drops the outstanding check, which was lost with its session.
    fn void_outstanding(&mut self) {
        if self.outstanding.is_none() {
            return;
        }
        if let Some(unanswered) = &mut self.unanswered {
            unanswered.checks -= 1;
        }
        self.unanswered = self.unanswered.filter(|unanswered| unanswered.checks > 0);
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// A round starts, or the running one times out.
    Round,
    /// A check of this peer alone times out, or is due.
    Peer(NodeName),
}

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Checks {
    interval: Duration,
    /// From the first link to the first round: at most an interval.
    first: Duration,
    timeout: Duration,
    suspect_interval: Duration,
    unresponsive_after: u32,
    peers: BTreeMap<NodeName, Peer>,
    /// The peers that the running round still waits for; empty if no round runs.
    round: BTreeSet<NodeName>,
    timers: Timers<Timer>,
    next_id: u64,
}

impl Checks {
    pub(super) fn new(settings: &TopologySettings) -> Self {
        Checks {
            interval: settings.health_interval,
            first: settings.health_interval,
            timeout: settings.health_timeout,
            suspect_interval: settings.health_suspect_interval,
            unresponsive_after: settings.unresponsive_after.max(1),
            peers: BTreeMap::new(),
            round: BTreeSet::new(),
            timers: Timers::new(),
            next_id: 1,
        }
    }

    /// The time between rounds.
    pub(super) fn interval(&self) -> Duration {
        self.interval
    }

    /// Sets the time from the first link to the first round, at most an interval.
    pub(super) fn first_after(&mut self, first: Duration) {
        self.first = first.min(self.interval);
    }

    /// A link is up, or a new session replaced it: an outstanding check was lost with the old session and is
    /// dropped. Returns the number of the check to send at once.
    pub(super) fn up(&mut self, now: Instant, name: &NodeName) -> u64 {
        if let Some(peer) = self.peers.get_mut(name) {
            peer.void_outstanding();
        }
        self.settle(now, name);
        if self.round.is_empty() && !self.timers.has(&Timer::Round) {
            self.timers.set(Timer::Round, now + self.first);
        }
        self.peers.entry(name.clone()).or_default();
        let id = self.ask(now, name, Kind::First);
        self.assert_invariants();
        id
    }

    /// Checks a peer alone now, unless a check of it is under way or it failed the last one. Returns
    /// the number of the check to send.
    pub(super) fn hurry(&mut self, now: Instant, name: &NodeName) -> Option<u64> {
        let peer = self.peers.get(name)?;
        let idle = peer.outstanding.is_none() && peer.failures == 0;
        idle.then(|| self.ask(now, name, Kind::Suspect))
    }

    /// The link is lost; the peer is no longer checked.
    pub(super) fn down(&mut self, now: Instant, name: &NodeName) {
        self.settle(now, name);
        self.peers.remove(name);
        if self.peers.is_empty() {
            self.timers.clear(&Timer::Round);
        }
        self.assert_invariants();
    }

    /// An answer arrived; `None` when it does not belong to the outstanding check.
    pub(super) fn answered(&mut self, now: Instant, name: &NodeName, id: u64) -> Option<Passed> {
        let peer = self.peers.get_mut(name)?;
        let outstanding = peer
            .outstanding
            .filter(|outstanding| outstanding.id == id)?;
        let recovered = core::mem::take(&mut peer.failures) > 0;
        peer.unanswered = None;
        self.settle(now, name);
        self.assert_invariants();
        let views = outstanding.kind != Kind::First;
        Some(Passed {
            rtt: now - outstanding.sent,
            views,
            recovered,
        })
    }

    /// Sends due checks and fails overdue ones.
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
                    let id = self.ask(now, &name, Kind::Suspect);
                    orders.push(CheckOrder::Ask { to: name, id });
                }
            }
        }
        self.assert_invariants();
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// The unanswered checks of a peer since its last answer in this session, if any.
    pub(super) fn unanswered(&self, name: &NodeName) -> Option<Unanswered> {
        self.peers.get(name)?.unanswered
    }

    /// True when the last check of the peer did not fail.
    pub(super) fn is_well(&self, name: &NodeName) -> bool {
        self.peers.get(name).is_some_and(|peer| peer.failures == 0)
    }

    /// Checks every peer that is not being checked alone.
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
        // A round without peers ends as it starts.
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
        peer.note_sent(now);
        if kind != Kind::Round {
            self.timers
                .set(Timer::Peer(name.clone()), now + self.timeout);
        }
        id
    }

    /// Clears the outstanding or due check of this peer; ends the round if it was the last.
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
            Some(Kind::First | Kind::Suspect) | None => {
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
            let id = self.ask(now, name, Kind::Suspect);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(ms)
    }

    fn name(host: u8) -> NodeName {
        format!("a@10.0.0.{host}").parse().unwrap()
    }

    fn checks() -> Checks {
        Checks::new(&TopologySettings::default())
    }

    /// Runs every deadline up to `until`; returns the orders, each with its time.
    fn run(checks: &mut Checks, until: Instant) -> Vec<(u64, CheckOrder)> {
        let mut all = Vec::new();
        while let Some(now) = checks.deadline().filter(|deadline| *deadline <= until) {
            let mut orders = Vec::new();
            checks.tick(now, &mut orders);
            let ms = u64::try_from(now.since_start().as_millis()).unwrap();
            all.extend(orders.into_iter().map(|order| (ms, order)));
        }
        all
    }

    fn ask(host: u8, id: u64) -> CheckOrder {
        CheckOrder::Ask { to: name(host), id }
    }

    fn failed(host: u8, unresponsive: bool) -> CheckOrder {
        CheckOrder::Failed {
            name: name(host),
            unresponsive,
        }
    }

    #[test]
    fn a_round_starts_an_interval_after_the_last_one_ended() {
        let mut checks = checks();
        assert_eq!(checks.up(at(0), &name(1)), 1);
        assert_eq!(checks.up(at(1), &name(2)), 2);
        checks.answered(at(10), &name(1), 1).unwrap();
        checks.answered(at(10), &name(2), 2).unwrap();
        assert_eq!(
            run(&mut checks, at(15_000)),
            [(15_000, ask(1, 3)), (15_000, ask(2, 4))]
        );
        checks.answered(at(15_100), &name(2), 4).unwrap();
        assert_eq!(run(&mut checks, at(17_000)), []);
        // The round ends with its last answer, at 17 s.
        let passed = checks.answered(at(17_000), &name(1), 3).unwrap();
        assert_eq!(passed.rtt, Duration::from_secs(2));
        assert_eq!(
            run(&mut checks, at(32_000)),
            [(32_000, ask(1, 5)), (32_000, ask(2, 6))]
        );
    }

    #[test]
    fn a_round_ends_with_its_time_out_and_does_not_wait_for_a_suspect() {
        let mut checks = checks();
        for host in [1, 2] {
            let id = checks.up(at(0), &name(host));
            checks.answered(at(1), &name(host), id).unwrap();
        }
        run(&mut checks, at(15_000));
        checks.answered(at(15_001), &name(1), 3).unwrap();
        // 2 stays silent: it fails at 20 s, and 15 s later is still asked alone, not in the round.
        let orders = run(&mut checks, at(35_000));
        assert_eq!(
            orders,
            [
                (20_000, failed(2, false)),
                (20_000, ask(2, 5)),
                (25_000, failed(2, false)),
                (25_000, ask(2, 6)),
                (30_000, failed(2, true)),
                (35_000, ask(1, 7)),
                (35_000, ask(2, 8)),
            ]
        );
    }

    #[test]
    fn one_pass_clears_all_failures() {
        let mut checks = checks();
        checks.up(at(0), &name(1));
        let orders = run(&mut checks, at(14_000));
        assert_eq!(orders.len(), 4, "{orders:?}");
        assert!(!checks.is_well(&name(1)));
        let passed = checks.answered(at(14_000), &name(1), 3).unwrap();
        assert!(passed.recovered);
        assert!(checks.is_well(&name(1)));
        // The next failure is the first again.
        assert_eq!(run(&mut checks, at(15_000)), [(15_000, ask(1, 4))]);
        assert_eq!(run(&mut checks, at(20_000))[0], (20_000, failed(1, false)));
    }

    #[test]
    fn a_suspect_waits_for_the_interval_when_it_is_longer_than_the_time_out() {
        let settings = TopologySettings {
            health_suspect_interval: Duration::from_secs(8),
            ..TopologySettings::default()
        };
        let mut checks = Checks::new(&settings);
        checks.up(at(0), &name(1));
        let orders = run(&mut checks, at(14_000));
        let expected = [
            (5_000, failed(1, false)),
            (8_000, ask(1, 2)),
            (13_000, failed(1, false)),
        ];
        assert_eq!(orders, expected);
    }

    #[test]
    fn a_late_answer_passes_nothing() {
        let mut checks = checks();
        let first = checks.up(at(0), &name(1));
        run(&mut checks, at(5_000));
        assert_eq!(checks.answered(at(5_001), &name(1), first), None);
        assert_eq!(checks.answered(at(5_001), &name(2), first), None);
        assert!(!checks.is_well(&name(1)));
    }

    #[test]
    fn a_round_ends_when_the_last_link_it_waits_for_is_lost() {
        let mut checks = checks();
        for host in [1, 2] {
            let id = checks.up(at(0), &name(host));
            checks.answered(at(1), &name(host), id).unwrap();
        }
        run(&mut checks, at(15_000));
        checks.answered(at(15_001), &name(1), 3).unwrap();
        checks.down(at(16_000), &name(2));
        assert_eq!(run(&mut checks, at(31_000)), [(31_000, ask(1, 5))]);
        checks.down(at(31_000), &name(1));
        assert_eq!(checks.deadline(), None, "nobody is left to be checked");
    }

    #[test]
    fn a_new_session_voids_the_check_of_the_old_one() {
        let mut checks = checks();
        let first = checks.up(at(0), &name(1));
        let second = checks.up(at(4_000), &name(1));
        assert_eq!(checks.answered(at(4_100), &name(1), first), None);
        assert_eq!(
            run(&mut checks, at(8_000)),
            [],
            "the old check cannot fail any more"
        );
        assert!(checks.answered(at(8_000), &name(1), second).is_some());
    }
}
