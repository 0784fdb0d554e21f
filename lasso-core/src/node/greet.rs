//! The first frame of a connection: who the peer is, and whether it may be a peer at all.
//!
//! Which of several connections becomes the link is decided in `pairing`.

use crate::event::{CloseReason, Notice};
use crate::frame::{Frame, Hello, VERSION_MAX, VERSION_MIN};
use crate::link::Budget;
use crate::name::{Basename, Incarnation, undialable};
use crate::time::Instant;

use super::{ConnId, Node, Output, Phase};

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
        if !matches!(conn.phase, Phase::Handshake) {
            return self.close(now, id, CloseReason::Garbage);
        }
        conn.link.set_peer_tick(hello.tick_time());
        let budget = Budget::of(&self.unfinished, conn.remote.ip());
        conn.link.share(now, budget);
        let greeting = matches!(id, ConnId::In(_));
        self.strangers.remove(id);
        let name = &hello.identity.name;
        let objection = self.objection(&hello);
        if let Some(reason) = objection.or_else(|| self.crowded(id, name)) {
            self.warn_of_prefix(now, &hello, &reason);
            return self.turn_away(now, id, hello, reason);
        }
        let name = hello.identity.name.clone();
        if let Some(candidate) = self.conns.get(&id).and_then(|conn| conn.candidate.as_ref()) {
            self.discovery.answers_as(candidate, &name);
        }
        if self.discovery.met(now, &name) {
            self.mesh.met(now, &name);
        }
        self.topology_expects();
        if greeting {
            let hello = self.hello(false);
            self.send(now, id, &Frame::Hello(hello));
        }
        self.meet(now, id, hello);
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
        undialable(theirs.name.address()).map(|_| CloseReason::BadAddress)
    }

    fn turn_away(&mut self, now: Instant, id: ConnId, hello: Hello, reason: CloseReason) {
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
        let is_known = self.mesh.is_address_of_one(address);
        if share_a_prefix(theirs, own)
            && self
                .ledger
                .may_tell(now, address, is_known, "basename_prefix")
        {
            self.emit(Output::Notice(Notice::BasenamePrefix {
                name: name.clone(),
            }));
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
        let next = known.next();
        if next <= self.identity.incarnation {
            return;
        }
        if !self.renumbering.admit(now) {
            self.ledger.counters.renumberings_held += 1;
            return;
        }
        self.identity.incarnation = next;
        self.plane.lock().renumbered(self.identity.incarnation);
        self.emit(Output::Notice(Notice::Renumbered { incarnation: next }));
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
