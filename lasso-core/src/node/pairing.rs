//! Which connection is the link of a pair, and when another one takes its place.
//!
//! Of each pair the node with the smaller name decides, and the other one follows. A connection
//! takes the place of a standing link only once both sides know that it carries frames both ways:
//!
//! | step | side | what ends it | next |
//! | --- | --- | --- | --- |
//! | `Asking` | both | the standing link answers the ping | closed: `duplicate`, `name_taken` |
//! | | | the standing link is gone | judged anew |
//! | | | 2 s without an answer | `Passed` |
//! | `Passed` | follower | it has sent `Offer`; `Adopt` comes | `Accepted` |
//! | `Passed` | decider | `Offer` is here, nothing else is `Proposed`: sends `Adopt`, `Ping` | `Proposed` |
//! | | | the standing link answers the ping late | closed: `duplicate`, `name_taken` |
//! | `Proposed` | decider | any frame comes, or the follower closes the old link: `superseded` | `Linked` |
//! | `Accepted` | follower | any frame comes, or the decider closes the old link: `superseded` | `Linked` |
//! | `Linked` | both | a successor stands | closed: `superseded`, `replaced` |
//!
//! A connection that is closed in any step but `Linked` leaves the link as it was. A connection that
//! becomes `Linked` closes the link that stood, and all others of the same peer but those that
//! the decider adopted later.
//!
//! 1. `links` holds exactly the connections that are `Linked`, one per peer.
//! 2. `pending` holds exactly the connections that are in another step, by their peer.
//! 3. At most one connection per peer is `Proposed`, and only at the decider; `Accepted` occurs only at
//!    the follower.
//! 4. A connection waits for a standing link's answer only while a link stands.
//! 5. The topology has a link to exactly the peers in `links`.

use std::collections::BTreeSet;

use crate::event::CloseReason;
use crate::frame::{Frame, Hello};
use crate::name::{Identity, NodeName};
use crate::time::Instant;

use super::{ConnId, Miss, Node, Output, Phase, Step};

/// What our own checks say of a connection.
enum Verdict {
    Refuse(CloseReason),
    /// A link of that name stands: is it still there?
    Ask(ConnId),
    Pass,
}

impl Node {
    /// The other side of a connection has sent a valid `Hello` and may be a peer.
    pub(super) fn meet(&mut self, now: Instant, id: ConnId, hello: Hello) {
        let settings = &self.config.settings.link;
        // A standing link has its time to answer on top. With less, tests of a silent link over a path
        // that loses a quarter of its packets fail so often that the link is lost.
        let until = now + settings.handshake_timeout + settings.ask_timeout;
        let name = hello.identity.name.clone();
        if let Some(conn) = self.conns.get_mut(&id) {
            conn.link.agree_until(until);
            let step = Step::Passed {
                unanswered: None,
                offered: false,
            };
            conn.phase = Phase::Met { hello, step };
            self.by_address.insert((conn.remote.ip(), id));
            self.pending.entry(name).or_default().insert(id);
            self.judge(now, id, false);
        }
    }

    /// Judges a connection, and takes it as far as it can go by itself.
    fn judge(&mut self, now: Instant, id: ConnId, offered: bool) {
        match self.verdict(now, id) {
            Verdict::Refuse(reason) => self.close(now, id, reason),
            Verdict::Ask(standing) => self.ask(now, id, standing, offered),
            Verdict::Pass => self.pass(now, id, None, offered),
        }
    }

    fn verdict(&self, now: Instant, id: ConnId) -> Verdict {
        let conn = self.conns.get(&id);
        let Some((conn, (hello, _))) = conn.and_then(|conn| Some((conn, conn.met()?))) else {
            return Verdict::Refuse(CloseReason::Garbage);
        };
        let theirs = &hello.identity;
        if self.topology.excludes(&theirs.name) {
            return Verdict::Refuse(CloseReason::Overlap);
        }
        if let Some(standing) = self.links.get(&theirs.name).copied() {
            // Only a silent link needs a successor, even if the other side believes it is silent: when
            // both sides test at once, the second test would replace the link that the first one made.
            let tests = hello.probe || conn.probe;
            let same = self.peer_of(standing).map(|peer| peer.incarnation);
            if tests && same == Some(theirs.incarnation) && self.is_silent(now, &theirs.name) {
                return Verdict::Pass;
            }
            return Verdict::Ask(standing);
        }
        self.stale(theirs).map_or(Verdict::Pass, Verdict::Refuse)
    }

    /// A later life of that name is known.
    fn stale(&self, theirs: &Identity) -> Option<CloseReason> {
        let known = self.topology.known_incarnation(&theirs.name)?;
        (theirs.incarnation < known).then_some(CloseReason::StaleIncarnation { known })
    }

    /// A newcomer bears the name of a linked node: is that one still there?
    fn ask(&mut self, now: Instant, id: ConnId, standing: ConnId, offered: bool) {
        let ping = self.take_ping();
        let until = now + self.config.settings.link.ask_timeout;
        let step = Step::Asking {
            until,
            ping,
            offered,
        };
        self.enter(id, step);
        self.send(now, standing, &Frame::Ping(ping));
    }

    /// A standing link has answered: a connection that bears its name is turned away. Or a proposed
    /// connection has shown that it carries frames both ways.
    pub(super) fn on_pong(&mut self, now: Instant, from: ConnId, number: u64) {
        self.on_sign(now, from);
        // Numbers can be guessed: only the node that was asked can answer.
        let Some(asked) = self.conns.get(&from).filter(|conn| conn.is_link()) else {
            return;
        };
        let Some(theirs) = asked.peer().cloned() else {
            return;
        };
        let waits = |id: ConnId| match self.step_of(id) {
            Some(Step::Asking { ping, .. }) => ping == number,
            Some(Step::Passed { unanswered, .. }) => unanswered == Some(number),
            _ => false,
        };
        let pending = self.pending.get(&theirs.name).into_iter().flatten();
        if let Some(id) = pending.copied().find(|id| waits(*id)) {
            let same = self.peer_of(id) == Some(&theirs);
            let reason = if same {
                CloseReason::Duplicate
            } else {
                CloseReason::NameTaken
            };
            self.close(now, id, reason);
        }
    }

    /// A standing link has not answered in time.
    pub(super) fn on_unanswered(&mut self, now: Instant, id: ConnId) {
        let Some(conn) = self.conns.get(&id) else {
            return;
        };
        let (Some(theirs), Some(Step::Asking { ping, offered, .. })) = (conn.peer(), conn.step())
        else {
            return;
        };
        match self.stale(theirs) {
            Some(reason) => self.close(now, id, reason),
            None => self.pass(now, id, Some(ping), offered),
        }
    }

    /// Our checks passed. The follower says so; the decider decides.
    fn pass(&mut self, now: Instant, id: ConnId, unanswered: Option<u64>, offered: bool) {
        let step = Step::Passed {
            unanswered,
            offered,
        };
        self.enter(id, step);
        let Some(name) = self.peer_of(id).map(|peer| peer.name.clone()) else {
            return;
        };
        if self.decides(&name) {
            self.decide(now, &name);
        } else {
            self.send(now, id, &Frame::Offer);
        }
    }

    /// The other side's checks passed.
    pub(super) fn on_offer(&mut self, now: Instant, id: ConnId) {
        let conn = self.conns.get(&id);
        let Some((name, step)) = conn.and_then(|c| Some((c.peer()?.name.clone(), c.step()?)))
        else {
            return self.close(now, id, CloseReason::Garbage);
        };
        let offered = true;
        match step {
            _ if !self.decides(&name) => self.close(now, id, CloseReason::Garbage),
            // A link may stand by now, or be silent no more.
            Step::Passed {
                unanswered: None, ..
            } => self.judge(now, id, offered),
            Step::Passed { unanswered, .. } => self.pass(now, id, unanswered, offered),
            Step::Asking { until, ping, .. } => self.enter(
                id,
                Step::Asking {
                    until,
                    ping,
                    offered,
                },
            ),
            Step::Proposed { .. } | Step::Accepted { .. } | Step::Linked => {
                self.close(now, id, CloseReason::Garbage);
            }
        }
    }

    /// Proposes the best connection of those on which both sides' checks have passed, unless one
    /// is proposed already: the latest life of that name, and of that the first connection.
    fn decide(&mut self, now: Instant, name: &NodeName) {
        if !self.decides(name) {
            return;
        }
        let mut best = None;
        for id in self.pending.get(name).into_iter().flatten() {
            let Some((hello, step)) = self.conns.get(id).and_then(|conn| conn.met()) else {
                continue;
            };
            match step {
                Step::Proposed { .. } => return,
                Step::Passed { offered: true, .. } => {
                    let rank = (hello.identity.incarnation, core::cmp::Reverse(*id));
                    best = best.max(Some(rank));
                }
                _ => {}
            }
        }
        let Some((_, core::cmp::Reverse(id))) = best else {
            return;
        };
        let ping = self.take_ping();
        let until = now + self.config.settings.link.handshake_timeout;
        if let Some(conn) = self.conns.get_mut(&id) {
            conn.link.agree_until(until);
        }
        self.enter(id, Step::Proposed { ping });
        self.send(now, id, &Frame::Adopt);
        self.send(now, id, &Frame::Ping(ping));
    }

    /// The other side decided that this connection is to be the link. It is, once the other side
    /// knows that we know: until then the link that stands is not given up.
    pub(super) fn on_adopt(&mut self, now: Instant, id: ConnId) {
        let met = self.conns.get(&id).and_then(|conn| conn.met());
        let refused = match met {
            Some((hello, Step::Passed { .. })) if !self.decides(&hello.identity.name) => {
                // A later life of that name may have come in between.
                self.stale(&hello.identity)
            }
            _ => Some(CloseReason::Garbage),
        };
        if let Some(reason) = refused {
            return self.close(now, id, reason);
        }
        if let Some(conn) = self.conns.get_mut(&id) {
            conn.link.established(now);
        }
        let order = self.take_ping();
        self.enter(id, Step::Accepted { order });
    }

    /// A frame came after `Adopt`: the connection carries frames both ways, and both sides know.
    pub(super) fn on_sign(&mut self, now: Instant, id: ConnId) {
        let step = self.step_of(id);
        if matches!(step, Some(Step::Proposed { .. } | Step::Accepted { .. })) {
            self.stand(now, id);
        }
    }

    /// From now on this connection is the link.
    fn stand(&mut self, now: Instant, id: ConnId) {
        let Some(theirs) = self.peer_of(id).cloned() else {
            return;
        };
        if let Some(reason) = self.stale(&theirs) {
            return self.close(now, id, reason);
        }
        let name = &theirs.name;
        let order = self.order_of(id);
        // Removed before any of them is closed, since a close would decide about the rest.
        let mut rivals = self.pending.remove(name).unwrap_or_default();
        rivals.remove(&id);
        let member = self.topology.member(name);
        let linked = member.is_some_and(|member| member.is_linked());
        let same = linked && self.topology.known_incarnation(name) == Some(theirs.incarnation);
        if let Some(standing) = self.links.remove(name) {
            self.plane_link_down(standing);
            let reason = if same {
                CloseReason::Superseded
            } else {
                CloseReason::Replaced
            };
            self.close(now, standing, reason);
        }
        if linked && !same {
            // The old life ends before the new one begins.
            self.unlinked(now, name, &CloseReason::Replaced, false);
        }
        self.links.insert(name.clone(), id);
        self.enter(id, Step::Linked);
        if let Some(conn) = self.conns.get_mut(&id) {
            conn.link.established(now);
        }
        self.arm(id);
        self.ledger.counters.links += 1;
        self.ledger.counters.links_replaced += u64::from(same);
        self.mesh.linked(now, name);
        self.end_own_dials(now, id, name);
        self.plane_link_up(id);
        self.emit(Output::Linked { conn: id });
        let later = self.close_rivals(now, rivals, &theirs, order);
        let orders = self.topology.link_up(now, &theirs);
        self.obey(now, orders);
        for id in later {
            self.judge(now, id, false);
        }
    }

    /// Closes other connections to a peer whose link stands now. A later life of it is judged anew.
    ///
    /// A connection that the decider adopted later is left alone. The decider adopts another one only
    /// when it has given up the first, or has made it its link and lost faith in it, because the answers
    /// were slow. In the first case no frame comes on the first one; so if this side learns only now that
    /// the first one was the link, its successor is adopted already, and is about to replace it.
    fn close_rivals(
        &mut self,
        now: Instant,
        rivals: impl IntoIterator<Item = ConnId>,
        theirs: &Identity,
        order: Option<u64>,
    ) -> Vec<ConnId> {
        let (name, known) = (&theirs.name, theirs.incarnation);
        let (mut later, mut kept) = (Vec::new(), BTreeSet::new());
        for rival in rivals {
            let successor = order.is_some() && self.order_of(rival) > order;
            match self.peer_of(rival).map(|peer| peer.incarnation.cmp(&known)) {
                Some(core::cmp::Ordering::Less) => {
                    self.close(now, rival, CloseReason::StaleIncarnation { known });
                }
                Some(_) if successor => {
                    kept.insert(rival);
                }
                Some(core::cmp::Ordering::Greater) => later.push(rival),
                _ => self.close(now, rival, CloseReason::Duplicate),
            }
        }
        kept.extend(later.iter().copied());
        if !kept.is_empty() {
            self.pending.insert(name.clone(), kept);
        }
        later
    }

    /// Our own dials to a node that is linked now are over.
    fn end_own_dials(&mut self, now: Instant, id: ConnId, name: &NodeName) {
        let dialled = self.conns.get(&id).and_then(|conn| conn.candidate.clone());
        if let Some(candidate) = dialled
            && self.dials.get(&candidate) == Some(&id)
        {
            self.dials.remove(&candidate);
            if candidate != *name {
                self.mesh.missed(now, &candidate, Miss::Failed);
            }
        }
        if let Some(rival) = self.dials.remove(name)
            && self.connecting.contains_key(&rival)
        {
            self.close(now, rival, CloseReason::Duplicate);
        }
    }

    /// A connection to a known peer is closed, and taken out of `conns`: draws the consequences
    /// for the pair.
    pub(super) fn unpair(
        &mut self,
        now: Instant,
        id: ConnId,
        theirs: &Identity,
        reason: &CloseReason,
        by_peer: bool,
    ) {
        self.pairing_moved = true;
        let name = &theirs.name;
        if let Some(pending) = self.pending.get_mut(name) {
            pending.remove(&id);
            if pending.is_empty() {
                self.pending.remove(name);
            }
        }
        if self.links.get(name) == Some(&id) {
            self.links.remove(name);
            self.plane_link_down(id);
            let superseded = by_peer && *reason == CloseReason::Superseded;
            match self.successor(theirs).filter(|_| superseded) {
                Some(successor) => self.stand(now, successor),
                None => self.unlinked(now, name, reason, by_peer),
            }
        }
        self.release(now, name);
    }

    /// The connection that both sides have agreed on, before this side knows that it is the link at both.
    fn successor(&self, theirs: &Identity) -> Option<ConnId> {
        let pending = self.pending.get(&theirs.name).into_iter().flatten();
        let agreed = |id: &&ConnId| {
            let step = self.step_of(**id);
            let agreed = matches!(step, Some(Step::Proposed { .. } | Step::Accepted { .. }));
            agreed && self.peer_of(**id) == Some(theirs)
        };
        let latest = pending.filter(agreed).max_by_key(|id| self.order_of(**id));
        latest.copied()
    }

    /// Where the connection stands among those that the decider adopted.
    fn order_of(&self, id: ConnId) -> Option<u64> {
        match self.step_of(id)? {
            Step::Accepted { order } => Some(order),
            _ => None,
        }
    }

    /// A connection of that name is gone: connections that waited for it go on.
    fn release(&mut self, now: Instant, name: &NodeName) {
        if !self.links.contains_key(name) {
            let asking = |id: &ConnId| match self.step_of(*id) {
                Some(Step::Asking { offered, .. }) => Some((*id, offered)),
                _ => None,
            };
            let pending = self.pending.get(name).into_iter().flatten();
            let waiting: Vec<(ConnId, bool)> = pending.filter_map(asking).collect();
            for (id, offered) in waiting {
                self.judge(now, id, offered);
            }
        }
        self.decide(now, name);
    }

    fn enter(&mut self, id: ConnId, next: Step) {
        if let Some(conn) = self.conns.get_mut(&id)
            && let Phase::Met { step, .. } = &mut conn.phase
        {
            *step = next;
            self.pairing_moved = true;
            self.arm(id);
        }
    }

    pub(super) fn take_ping(&mut self) -> u64 {
        self.next_ping += 1;
        self.next_ping
    }

    fn decides(&self, name: &NodeName) -> bool {
        self.identity.name < *name
    }

    fn step_of(&self, id: ConnId) -> Option<Step> {
        self.conns.get(&id)?.step()
    }

    fn peer_of(&self, id: ConnId) -> Option<&Identity> {
        self.conns.get(&id)?.peer()
    }

    /// Checks the invariants in the module's text, after an input that changed anything about them.
    pub(super) fn assert_paired(&mut self) {
        if !core::mem::take(&mut self.pairing_moved) {
            return;
        }
        self.assert_room();
        let (mut links, mut pending) = (0, 0);
        for (id, conn) in &self.conns {
            let Some((hello, step)) = conn.met() else {
                continue;
            };
            let name = &hello.identity.name;
            if step == Step::Linked {
                links += 1;
                assert_eq!(self.links.get(name), Some(id), "a second link to {name}");
                continue;
            }
            pending += 1;
            let listed = self.pending.get(name).is_some_and(|ids| ids.contains(id));
            assert!(listed, "{id} of {name} is forgotten");
            match step {
                Step::Asking { .. } => assert!(self.links.contains_key(name), "{id} asks nobody"),
                Step::Proposed { .. } => {
                    assert!(self.decides(name), "{id} was not ours to propose")
                }
                Step::Accepted { .. } => assert!(!self.decides(name), "{id} was ours to decide"),
                _ => {}
            }
        }
        assert_eq!(links, self.links.len());
        let held: usize = self.pending.values().map(|ids| ids.len()).sum();
        assert_eq!(pending, held);
        assert_eq!(links + 1, self.topology.connected());
        for ids in self.pending.values() {
            let proposed = |id: &&ConnId| matches!(self.step_of(**id), Some(Step::Proposed { .. }));
            assert!(ids.iter().filter(proposed).count() <= 1, "two are proposed");
        }
    }
}
