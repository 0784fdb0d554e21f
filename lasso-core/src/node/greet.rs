//! From the first frame of a connection to the link: who is that, may it be, and which of several.

use crate::event::{CloseReason, Notice};
use crate::frame::{Frame, Hello, VERSION_MAX, VERSION_MIN};
use crate::name::{Basename, Identity, Incarnation};
use crate::time::Instant;

use super::{ConnId, Node, NodeName, Output, Phase};

impl Node {
    /// Our `Hello` for a new connection.
    pub(super) fn hello(&self, probe: bool) -> Hello {
        let tick = self.config.settings.link.tick_time;
        Hello {
            identity: self.identity.clone(),
            version_min: VERSION_MIN,
            version_max: VERSION_MAX,
            features: Default::default(),
            tick_ms: u64::try_from(tick.as_millis()).unwrap_or(u64::MAX),
            probe,
        }
    }

    /// The other side has said who it is: it is authenticated from here on.
    pub(super) fn on_hello(&mut self, now: Instant, id: ConnId, hello: Hello) {
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        if conn.phase != Phase::Handshake {
            return self.close(now, id, CloseReason::Garbage);
        }
        conn.link.set_peer_tick(hello.tick_time());
        let greeting = matches!(id, ConnId::In(_));
        self.strangers.remove(id);
        if let Some(reason) = self.objection(&hello) {
            self.warn_of_prefix(now, &hello, &reason);
            return self.turn_away(now, id, hello, reason);
        }
        let name = hello.identity.name.clone();
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        let candidate = conn.candidate.clone();
        conn.hello = Some(hello);
        if let Some(candidate) = candidate {
            self.discovery.answers_as(&candidate, &name);
        }
        if self.discovery.met(&name) {
            self.mesh.add(now, &name);
        }
        self.topology_expects();
        if greeting {
            let hello = self.hello(false);
            self.send(now, id, &Frame::Hello(hello));
        }
        self.consider(now, id);
    }

    /// What speaks against a peer, whatever else is linked.
    fn objection(&self, hello: &Hello) -> Option<CloseReason> {
        let theirs = &hello.identity;
        if theirs.cluster != self.identity.cluster {
            return Some(CloseReason::OtherCluster {
                theirs: theirs.cluster.clone(),
            });
        }
        if hello.version_min > VERSION_MAX || hello.version_max < VERSION_MIN {
            return Some(CloseReason::NoCommonVersion);
        }
        if theirs.name == self.identity.name {
            let same = theirs.incarnation == self.identity.incarnation;
            return Some(if same {
                CloseReason::Myself
            } else {
                CloseReason::NameTaken
            });
        }
        if !self.basenames.contains(theirs.name.basename()) {
            return Some(CloseReason::OtherBasename {
                theirs: theirs.name.basename().clone(),
            });
        }
        None
    }

    fn turn_away(&mut self, now: Instant, id: ConnId, hello: Hello, reason: CloseReason) {
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        if reason == CloseReason::Myself
            && let Some(candidate) = conn.candidate.clone()
        {
            self.discovery.is_own(&candidate);
            self.dials.remove(&candidate);
            self.mesh.remove(&candidate);
            self.topology_expects();
        }
        if let Some(conn) = self.conns.get_mut(&id) {
            // Its name is for the log; nothing else may come of it.
            conn.candidate.get_or_insert(hello.identity.name);
        }
        self.close(now, id, reason);
    }

    /// Basenames that share a prefix look like deploy hashes in names.
    fn warn_of_prefix(&mut self, now: Instant, hello: &Hello, reason: &CloseReason) {
        let CloseReason::OtherBasename { theirs } = reason else {
            return;
        };
        let name = &hello.identity.name;
        let (own, address) = (self.identity.name.basename(), name.address().ip());
        if share_a_prefix(theirs, own) && self.ledger.may_tell(now, address, "basename_prefix") {
            self.emit(Output::Notice(Notice::BasenamePrefix {
                name: name.clone(),
            }));
        }
    }

    /// Our own checks of a connection whose other side has said who it is: may it be the link?
    pub(super) fn consider(&mut self, now: Instant, id: ConnId) {
        let Some(conn) = self.conns.get(&id) else {
            return;
        };
        let Some(hello) = &conn.hello else { return };
        let (theirs, probe) = (hello.identity.clone(), hello.probe || conn.probe);
        if let Some(standing) = self.links.get(&theirs.name).copied() {
            let incarnation = self.standing_incarnation(standing);
            // A link that is not silent needs no successor, whatever the other side thinks of it:
            // where both sides test at once, the second test would end what the first has won.
            let succeeds = probe
                && incarnation == Some(theirs.incarnation)
                && self.is_silent(now, &theirs.name);
            if !succeeds {
                return self.ask(now, id, standing);
            }
        } else if let Some(known) = self.topology.known_incarnation(&theirs.name)
            && theirs.incarnation < known
        {
            return self.close(now, id, CloseReason::StaleIncarnation { known });
        }
        self.agree(now, id);
    }

    pub(super) fn standing_incarnation(&self, standing: ConnId) -> Option<Incarnation> {
        let conn = self.conns.get(&standing)?;
        Some(conn.hello.as_ref()?.identity.incarnation)
    }

    /// A newcomer bears the name of a linked node: is that one still there?
    fn ask(&mut self, now: Instant, id: ConnId, standing: ConnId) {
        self.next_ping += 1;
        let ping = self.next_ping;
        let until = now + self.config.settings.link.ask_timeout;
        if let Some(conn) = self.conns.get_mut(&id) {
            conn.phase = Phase::Asking { until, ping };
            self.asking.insert(id);
            self.arm(id);
        }
        self.send(now, standing, &Frame::Ping(ping));
    }

    /// A standing link has answered: whoever bears its name is turned away.
    pub(super) fn on_pong(&mut self, now: Instant, from: ConnId, number: u64) {
        // Numbers can be guessed: only the node that was asked can answer.
        let Some(asked) = self.conns.get(&from) else {
            return;
        };
        if !matches!(asked.phase, Phase::Linked | Phase::Retiring(_)) {
            return;
        }
        let answered = |id: &&ConnId| {
            let asking = self
                .conns
                .get(id)
                .filter(|conn| conn.peer() == asked.peer());
            matches!(asking.map(|c| &c.phase), Some(Phase::Asking { ping, .. }) if *ping == number)
        };
        let Some(id) = self.asking.iter().find(answered).copied() else {
            return;
        };
        let incarnation = self.standing_incarnation(from);
        let newcomer = self.standing_incarnation(id);
        let same = incarnation == newcomer;
        self.close(
            now,
            id,
            if same {
                CloseReason::Duplicate
            } else {
                CloseReason::NameTaken
            },
        );
    }

    /// A standing link has not answered in time: the higher incarnation takes its place.
    pub(super) fn on_unanswered(&mut self, now: Instant, id: ConnId) {
        self.asking.remove(&id);
        let Some(conn) = self.conns.get(&id) else {
            return;
        };
        let Some(hello) = &conn.hello else { return };
        let (name, newcomer) = (hello.identity.name.clone(), hello.identity.incarnation);
        let known = self.topology.known_incarnation(&name);
        match known {
            Some(known) if newcomer < known => {
                self.close(now, id, CloseReason::StaleIncarnation { known });
            }
            _ => self.agree(now, id),
        }
    }

    /// The link of `name` is gone: whoever waited for its answer need not wait any longer.
    pub(super) fn release_asking(&mut self, now: Instant, name: Option<&NodeName>) {
        let Some(name) = name else { return };
        if self.asking.is_empty() || self.links.contains_key(name) {
            return;
        }
        let waits = |id: &&ConnId| self.conns.get(id).and_then(|c| c.peer()) == Some(name);
        let waiting: Vec<ConnId> = self.asking.iter().filter(waits).copied().collect();
        for id in waiting {
            self.asking.remove(&id);
            self.consider(now, id);
        }
    }

    /// Our checks passed. The node with the larger name says so; the other one decides.
    fn agree(&mut self, now: Instant, id: ConnId) {
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        conn.phase = Phase::Greeted;
        let offered = conn.offered;
        let Some(name) = conn.peer() else { return };
        if self.identity.name > *name {
            self.send(now, id, &Frame::Offer);
        } else if offered {
            self.adopt(now, id);
        }
    }

    /// The other side's checks passed.
    pub(super) fn on_offer(&mut self, now: Instant, id: ConnId) {
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        let decides = conn.peer().is_some_and(|name| self.identity.name < *name);
        match conn.phase {
            Phase::Greeted if decides => {
                conn.offered = true;
                // What stands by now did not stand when this connection was considered.
                self.consider(now, id);
            }
            Phase::Asking { .. } if decides => conn.offered = true,
            _ => self.close(now, id, CloseReason::Garbage),
        }
    }

    /// The other side decided that this connection is the link.
    pub(super) fn on_adopt(&mut self, now: Instant, id: ConnId) {
        let Some(conn) = self.conns.get(&id) else {
            return;
        };
        let decides = conn.peer().is_none_or(|name| self.identity.name < *name);
        match conn.phase {
            Phase::Greeted if !decides => self.adopt(now, id),
            _ => self.close(now, id, CloseReason::Garbage),
        }
    }

    /// From now on this connection is the link.
    fn adopt(&mut self, now: Instant, id: ConnId) {
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        let Some(hello) = &conn.hello else { return };
        let theirs: Identity = hello.identity.clone();
        if let Some(known) = self.topology.known_incarnation(&theirs.name)
            && theirs.incarnation < known
        {
            // A later life of that name came in between.
            return self.close(now, id, CloseReason::StaleIncarnation { known });
        }
        let decides = self.identity.name < theirs.name;
        conn.phase = Phase::Linked;
        conn.link.established(now);
        if decides {
            self.send(now, id, &Frame::Adopt);
        }
        self.ledger.counters.links += 1;
        let standing = self.links.get(&theirs.name).copied();
        let same =
            standing.and_then(|id| self.standing_incarnation(id)) == Some(theirs.incarnation);
        match standing {
            // The old life ends before the new one begins.
            Some(standing) if !same => self.close(now, standing, CloseReason::Replaced),
            _ => {}
        }
        self.links.insert(theirs.name.clone(), id);
        if let (Some(standing), true) = (standing, same) {
            self.retire(now, standing);
        }
        let replaced = standing.is_some() && same;
        self.ledger.counters.links_replaced += u64::from(replaced);
        self.arm(id);
        self.mesh.linked(now, &theirs.name);
        self.drop_rivals(now, id, &theirs);
        self.plane_link_up(id);
        self.emit(Output::Linked { conn: id });
        let orders = if replaced {
            self.topology.session_replaced(now, &theirs)
        } else {
            self.topology.link_up(now, &theirs)
        };
        self.obey(now, orders);
    }

    /// The standing link has a successor. Whoever hears of it second closes it; nothing that comes
    /// on it counts any more.
    fn retire(&mut self, now: Instant, standing: ConnId) {
        let Some(conn) = self.conns.get_mut(&standing) else {
            return;
        };
        let decides = conn.peer().is_some_and(|name| self.identity.name < *name);
        self.plane_link_down(standing);
        let Some(conn) = self.conns.get_mut(&standing) else {
            return;
        };
        if decides {
            conn.phase = Phase::Retiring(now + self.config.settings.link.ask_timeout);
            self.arm(standing);
        } else {
            self.close(now, standing, CloseReason::Superseded);
        }
    }

    /// Our own dial to a node that is linked now is of no use any more.
    fn drop_rivals(&mut self, now: Instant, id: ConnId, theirs: &Identity) {
        let dialled = self.conns.get(&id).and_then(|conn| conn.candidate.clone());
        if let Some(candidate) = dialled
            && self.dials.get(&candidate) == Some(&id)
        {
            self.dials.remove(&candidate);
            if candidate != theirs.name {
                self.mesh.missed(now, &candidate, super::Miss::Failed);
            }
        }
        if let Some(rival) = self.dials.remove(&theirs.name) {
            self.close(now, rival, CloseReason::Duplicate);
        }
    }

    pub(super) fn all_connections(&self) -> Vec<ConnId> {
        self.connecting
            .keys()
            .chain(self.conns.keys())
            .copied()
            .collect()
    }

    /// Tells the topology how many nodes discovery names.
    pub(super) fn topology_expects(&mut self) {
        if let Some(named) = self.discovery.take_named() {
            self.topology.set_discovered(named);
        }
    }

    /// A peer knows a higher incarnation of our name: we go on above it, and start over.
    pub(super) fn renumber(&mut self, now: Instant, known: Incarnation) {
        let Some(next) = known.0.checked_add(1) else {
            return;
        };
        if known < self.identity.incarnation {
            return;
        }
        if !self.renumbering.admit(now) {
            self.ledger.counters.renumberings_held += 1;
            return;
        }
        self.identity.incarnation = Incarnation(next);
        self.plane.lock().renumbered(self.identity.incarnation);
        self.emit(Output::Notice(Notice::Renumbered {
            incarnation: Incarnation(next),
        }));
        for id in self.all_connections() {
            self.close(now, id, CloseReason::Renumbered);
        }
        self.mesh.restart(now);
    }
}

/// Two basenames that differ after a common part of some length, up to a separator.
fn share_a_prefix(a: &Basename, b: &Basename) -> bool {
    let stem = |name: &str| {
        name.split(['-', '_', '.'])
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    a != b && stem(a.as_str()) == stem(b.as_str())
}
