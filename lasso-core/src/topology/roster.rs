//! The members and, in step with them, the counts.
//!
//! Members change only here, so that no count can be forgotten. A lost node is remembered for a while: its
//! incarnation must not go back, and operators want to see it.
//!
//! 1. The counts always match the members.
//! 2. A stored incarnation never goes back.
//! 3. At most `disconnected_max` members have no link, none of them for longer than
//!    `disconnected_keep`; the longest gone is forgotten first.
//! 4. A state follows another one only according to [`NodeState::successors`].
//! 5. A member flaps while more than `flap_cycles` of its returns lie within `flap_window`.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use super::coverage::{Share, Tally};
use super::member::{Member, NodeState};
use crate::config::TopologySettings;
use crate::event::DownReason;
use crate::name::{Identity, NodeName};
use crate::time::Instant;
use crate::timers::Timers;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// The longest gone node is forgotten.
    Forget,
    /// This node may have stopped flapping.
    Flap(NodeName),
}

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Roster {
    members: BTreeMap<NodeName, Member>,
    tally: Tally,
    /// How often a member changed from one state to another.
    transitions: BTreeMap<(NodeState, NodeState), u64>,
    /// Members without a link, the longest gone first.
    gone: BTreeSet<(Instant, NodeName)>,
    timers: Timers<Timer>,
    disconnected_keep: Duration,
    disconnected_max: usize,
    flap_cycles: usize,
    flap_window: Duration,
}

impl Roster {
    pub(super) fn new(settings: &TopologySettings) -> Self {
        Roster {
            members: BTreeMap::new(),
            tally: Tally::default(),
            transitions: BTreeMap::new(),
            gone: BTreeSet::new(),
            timers: Timers::new(),
            disconnected_keep: settings.disconnected_keep,
            disconnected_max: settings.disconnected_max,
            flap_cycles: usize::try_from(settings.flap_cycles).unwrap_or(usize::MAX),
            flap_window: settings.flap_window,
        }
    }

    /// A node without a link now has one. Returns true when it begins to flap with this.
    pub(super) fn link_up(&mut self, now: Instant, peer: &Identity) -> bool {
        let name = &peer.name;
        let Some(member) = self.members.get(name) else {
            let mut member = Member::new(now, name.clone(), peer.incarnation);
            member.link_up(now, peer.incarnation);
            self.tally.update(name, None, Some(Share::of(&member)));
            self.count(NodeState::Disconnected, member.state());
            self.members.insert(name.clone(), member);
            return false;
        };
        assert!(
            self.gone.remove(&(member.since, name.clone())),
            "{name} is linked twice"
        );
        self.schedule_forget();
        let (cycles_max, window) = (self.flap_cycles, self.flap_window);
        let mut began = false;
        let mut until = None;
        self.change(now, name, |member| {
            member.link_up(now, peer.incarnation);
            began = member.came_back(now, cycles_max, window);
            until = member.flaps_until(window);
        });
        if let Some(until) = until {
            self.timers.set(Timer::Flap(name.clone()), until);
        }
        began
    }

    /// A linked node has lost its link.
    pub(super) fn link_down(&mut self, now: Instant, name: &NodeName, reason: DownReason) {
        self.change(now, name, |member| member.link_down(reason));
        self.gone.insert((now, name.clone()));
        self.schedule_forget();
    }

    /// Changes a member, and with it the counts and the time of its state. Returns its name and new state if
    /// the change is to be reported.
    pub(super) fn change(
        &mut self,
        now: Instant,
        name: &NodeName,
        facts: impl FnOnce(&mut Member),
    ) -> Option<(NodeName, NodeState)> {
        let member = self.members.get_mut(name).expect("only members change");
        let (share, state, incarnation) = (Share::of(member), member.state(), member.incarnation);
        facts(member);
        assert!(
            member.incarnation >= incarnation,
            "the incarnation of {name} went back"
        );
        let after = member.state();
        if after != state {
            member.since = now;
        }
        self.tally
            .update(name, Some(share), Some(Share::of(member)));
        self.count(state, after);
        state.is_news(after).then(|| (name.clone(), after))
    }

    /// Forgets members that have been gone for too long or exceed the bound, and returns them.
    pub(super) fn tick(&mut self, now: Instant) -> Vec<NodeName> {
        let mut forgotten = Vec::new();
        while let Some((since, _)) = self.gone.first() {
            if self.gone.len() <= self.disconnected_max && *since + self.disconnected_keep > now {
                break;
            }
            let (_, name) = self.gone.pop_first().expect("the first was just there");
            let member = self.members.remove(&name).expect("who is gone is a member");
            self.tally.update(&name, Some(Share::of(&member)), None);
            self.timers.clear(&Timer::Flap(name.clone()));
            forgotten.push(name);
        }
        self.schedule_forget();
        while let Some(timer) = self.timers.pop(now) {
            if let Timer::Flap(name) = timer
                && let Some(member) = self.members.get_mut(&name)
            {
                member.flapping = false;
            }
        }
        self.assert_invariants();
        forgotten
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    pub(super) fn get(&self, name: &NodeName) -> Option<&Member> {
        self.members.get(name)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    pub(super) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Members without a link, the longest gone first, each with the time of its loss.
    pub(super) fn gone(&self) -> impl Iterator<Item = &(Instant, NodeName)> {
        self.gone.iter()
    }

    pub(super) fn transitions(&self) -> &BTreeMap<(NodeState, NodeState), u64> {
        &self.transitions
    }

    fn count(&mut self, from: NodeState, to: NodeState) {
        if from != to {
            debug_assert!(from.successors().contains(&to), "{from:?} became {to:?}");
            *self.transitions.entry((from, to)).or_default() += 1;
        }
    }

    fn schedule_forget(&mut self) {
        match self.gone.first() {
            Some((since, _)) => self
                .timers
                .set(Timer::Forget, *since + self.disconnected_keep),
            None => {
                self.timers.clear(&Timer::Forget);
            }
        }
    }

    /// Asserts the cheap invariants; [`Roster::recount`] checks the rest in tests.
    pub(super) fn assert_invariants(&self) {
        debug_assert_eq!(self.tally.connected() + self.gone.len(), self.members.len());
        debug_assert_eq!(self.tally.disconnected(), self.gone.len());
    }

    /// The counts, from the members one by one.
    #[cfg(test)]
    pub(super) fn recount(&self) -> Tally {
        let mut tally = Tally::default();
        for (name, member) in &self.members {
            tally.update(name, None, Some(Share::of(member)));
        }
        tally
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::{Incarnation, Label};

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    fn peer(host: u8) -> Identity {
        Identity {
            cluster: Label::new("cluster name", "lasso").unwrap(),
            name: format!("a@10.0.0.{host}").parse().unwrap(),
            incarnation: Incarnation(1),
        }
    }

    fn roster(disconnected_max: usize) -> Roster {
        Roster::new(&TopologySettings {
            disconnected_max,
            ..TopologySettings::default()
        })
    }

    #[test]
    fn the_longest_gone_is_forgotten_first() {
        let mut roster = roster(2);
        for host in [3, 1, 2] {
            roster.link_up(at(0), &peer(host));
            roster.link_down(at(u64::from(host)), &peer(host).name, DownReason::Closed);
        }
        assert_eq!(roster.tick(at(4)), [peer(1).name]);
        assert!(roster.get(&peer(1).name).is_none());
        assert_eq!(roster.tally(), &roster.recount());
    }

    #[test]
    fn a_node_is_remembered_for_a_day_and_no_longer() {
        let day = 24 * 3600;
        let mut roster = roster(1024);
        roster.link_up(at(0), &peer(1));
        roster.link_down(at(5), &peer(1).name, DownReason::Left);
        assert_eq!(roster.deadline(), Some(at(day + 5)));
        assert!(roster.tick(at(day + 4)).is_empty());
        assert_eq!(roster.tick(at(day + 5)), [peer(1).name]);
        assert_eq!(roster.deadline(), None);
    }

    #[test]
    fn a_node_that_comes_back_is_not_forgotten() {
        let mut roster = roster(1024);
        roster.link_up(at(0), &peer(1));
        roster.link_down(at(5), &peer(1).name, DownReason::Down);
        roster.link_up(at(6), &peer(1));
        assert_eq!(roster.deadline(), None);
        assert!(roster.tick(at(1_000_000)).is_empty());
    }

    #[test]
    fn the_sixth_return_within_ten_minutes_is_flapping_and_it_ends_with_the_window() {
        let mut roster = roster(1024);
        let name = peer(1).name;
        roster.link_up(at(0), &peer(1));
        let began: Vec<bool> = (1..=7)
            .map(|n| {
                roster.link_down(at(n * 60), &name, DownReason::Closed);
                roster.link_up(at(n * 60 + 1), &peer(1))
            })
            .collect();
        assert_eq!(began, [false, false, false, false, false, true, false]);
        assert!(roster.get(&name).unwrap().is_flapping());
        // Six returns are within the window until the second one, at 121 s, leaves it.
        assert!(roster.tick(at(720)).is_empty());
        assert!(roster.get(&name).unwrap().is_flapping());
        assert_eq!(roster.deadline(), Some(at(721)));
        roster.tick(at(721));
        assert!(!roster.get(&name).unwrap().is_flapping());
    }

    #[test]
    fn transitions_are_counted_and_a_change_that_is_none_is_not() {
        let mut roster = roster(1024);
        let name = peer(1).name;
        roster.link_up(at(0), &peer(1));
        roster.change(at(1), &name, |member| member.asking = true);
        roster.change(at(2), &name, |member| member.asking = false);
        roster.link_down(at(3), &name, DownReason::Closed);
        roster.link_up(at(4), &peer(1));
        let counted: Vec<_> = roster.transitions().iter().map(|(k, n)| (*k, *n)).collect();
        assert_eq!(
            counted,
            [
                ((NodeState::Connected, NodeState::Disconnected), 1),
                ((NodeState::Discovering, NodeState::Connected), 1),
                ((NodeState::Disconnected, NodeState::Discovering), 2),
            ]
        );
    }

    #[test]
    fn five_returns_within_ten_minutes_are_not_flapping() {
        let mut roster = roster(1024);
        roster.link_up(at(0), &peer(1));
        for n in 1..100 {
            roster.link_down(at(n * 120), &peer(1).name, DownReason::Closed);
            assert!(!roster.link_up(at(n * 120), &peer(1)), "return {n}");
        }
    }
}
