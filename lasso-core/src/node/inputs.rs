//! What a node does with each kind of input.

use core::net::SocketAddr;

use crate::discovery::Found;
use crate::event::{CloseReason, Notice};
use crate::frame::Frame;
use crate::link::{self, Link, LinkEvent, Role};
use crate::time::Instant;

use super::{Command, Conn, ConnId, Connecting, NetError, Node, NodeName, Output, Phase, Step};
use rand_core::Rng;

impl Node {
    /// A node that was not run for long cannot tell its peers' silence from its own.
    pub(super) fn notice_stall(&mut self, now: Instant) {
        let Some(deadline) = self.poll_timeout() else {
            return;
        };
        let late = now - deadline;
        let tick = self.config.settings.link.tick_time;
        // Once per stall: all that came meanwhile is handled before the deadline is served.
        if late < tick / 8 || core::mem::replace(&mut self.stalled, true) {
            return;
        }
        self.ledger.counters.stalls += 1;
        self.emit(Output::Notice(Notice::Stalled { late }));
        let grace = (tick / 4).min(core::time::Duration::from_secs(1));
        for conn in self.conns.values_mut() {
            conn.link.extend(now, grace);
        }
    }

    pub(super) fn on_tick(&mut self, now: Instant) {
        self.stalled = false;
        link::expire(&self.unfinished, now);
        while let Some(id) = self.timers.pop_due(now) {
            self.on_conn_due(now, id);
        }
        let links = &self.links;
        let found = self.discovery.tick(now, |name| links.contains_key(name));
        self.on_found(now, found);
        let orders = self.topology.tick(now);
        self.obey(now, orders);
        self.plane_tick(now);
        if self.topology.reconcile_due(now) {
            self.reconcile(now);
        }
    }

    fn reconcile(&mut self, now: Instant) {
        let peer = |id| self.conns.get(id)?.peer();
        let standing = self
            .links
            .iter()
            .filter_map(|(name, id)| Some((name, peer(id)?.incarnation)));
        let orders = self.topology.reconcile(now, standing);
        self.obey(now, orders);
    }

    fn on_conn_due(&mut self, now: Instant, id: ConnId) {
        if let Some(connecting) = self.connecting.get(&id) {
            debug_assert!(now >= connecting.until);
            return self.close(now, id, CloseReason::ConnectTimeout);
        }
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        if let Some(Step::Asking { until, .. }) = conn.step()
            && now >= until
        {
            return self.on_unanswered(now, id);
        }
        let mut events = core::mem::take(&mut self.events);
        let ticked = conn.link.tick(now, &mut events);
        self.dirty.insert(id);
        self.on_link_events(now, id, &mut events);
        self.events = events;
        match ticked {
            Ok(()) => self.arm(id),
            Err(reason) => self.close(now, id, reason),
        }
    }

    pub(super) fn on_found(&mut self, now: Instant, found: Found) {
        for lookup in found.lookups {
            let (query, name, family) = (lookup.query, lookup.name, lookup.family);
            self.emit(Output::Resolve {
                query,
                name,
                family,
            });
        }
        if !(found.added.is_empty() && found.forgotten.is_empty()) {
            found
                .forgotten
                .iter()
                .for_each(|name| self.mesh.remove(name));
            found.added.iter().for_each(|name| self.mesh.add(now, name));
            // A node that dialled us before discovery named it stands already.
            for name in found
                .added
                .iter()
                .filter(|name| self.links.contains_key(*name))
            {
                self.mesh.linked(now, name);
            }
        }
        self.topology_expects();
        self.outputs
            .extend(found.notices.into_iter().map(Output::Notice));
    }

    /// Begins the dials that are due.
    pub(super) fn dial_due(&mut self, now: Instant) {
        while let Some((name, probe)) = self.mesh.poll_dial(now) {
            if probe && !self.is_silent(now, &name) {
                self.mesh.missed(now, &name, super::Miss::Duplicate);
                self.mesh.heard(&name);
                continue;
            }
            let stands_elsewhere = self
                .discovery
                .alias_of(&name)
                .is_some_and(|other| self.links.contains_key(other));
            if stands_elsewhere || self.topology.excludes(&name) {
                self.mesh.missed(now, &name, super::Miss::Failed);
                continue;
            }
            if self.is_full_for(&name) {
                self.mesh.missed(now, &name, super::Miss::Wait);
                continue;
            }
            self.dial(now, name, probe);
        }
    }

    pub(super) fn is_silent(&self, now: Instant, name: &NodeName) -> bool {
        let conn = self.links.get(name).and_then(|id| self.conns.get(id));
        let half = self.config.settings.link.tick_time / 2;
        conn.is_some_and(|conn| now - conn.link.last_received() >= half)
    }

    fn dial(&mut self, now: Instant, name: NodeName, probe: bool) {
        let id = ConnId::Out(self.next_conn);
        self.next_conn += 1;
        self.ledger.counters.dials += 1;
        let to = name.address();
        let until = now + self.config.settings.dial.connect_timeout;
        self.dials.insert(name.clone(), id);
        self.connecting.insert(
            id,
            Connecting {
                until,
                candidate: name,
                probe,
            },
        );
        self.timers.at_latest(id, until);
        self.emit(Output::Dial { conn: id, to });
    }

    fn open(&mut self, now: Instant, id: ConnId, role: Role, remote: SocketAddr) -> &mut Conn {
        let mut seed = [0; 32];
        self.rng.fill_bytes(&mut seed);
        let link = Link::new(
            now,
            role,
            &self.config.security,
            &self.config.settings.link,
            seed,
        );
        let conn = Conn {
            phase: Phase::Handshake,
            link,
            remote,
            candidate: None,
            probe: false,
        };
        self.conns.entry(id).or_insert(Box::new(conn))
    }

    pub(super) fn on_connected(&mut self, now: Instant, id: ConnId) {
        let Some(connecting) = self.connecting.remove(&id) else {
            self.ledger.counters.stale_inputs += 1;
            return;
        };
        let remote = connecting.candidate.address();
        let conn = self.open(now, id, Role::Dialer, remote);
        conn.candidate = Some(connecting.candidate);
        conn.probe = connecting.probe;
        self.timers.cancel(id);
        self.arm(id);
        let hello = self.hello(connecting.probe);
        self.send(now, id, &Frame::Hello(hello));
    }

    pub(super) fn on_accepted(&mut self, now: Instant, id: ConnId, from: SocketAddr) {
        self.ledger.counters.accepts += 1;
        self.make_room(now, from);
        self.open(now, id, Role::Acceptor, from);
        self.strangers.add(id, from.ip());
        self.arm(id);
    }

    /// The oldest handshakes give way to a new one where too many are open.
    fn make_room(&mut self, now: Instant, from: SocketAddr) {
        let settings = &self.config.settings.link;
        let (most, per_address) = (settings.handshakes_max, settings.handshakes_per_address);
        let address = from.ip();
        if self.strangers.of_address(address) >= per_address
            && let Some(oldest) = self.strangers.oldest_of(address)
        {
            self.close(now, oldest, CloseReason::TooManyHandshakes);
        }
        if self.strangers.len() >= most
            && let Some(oldest) = self.strangers.oldest()
        {
            self.close(now, oldest, CloseReason::TooManyHandshakes);
        }
    }

    pub(super) fn on_received(&mut self, now: Instant, id: ConnId, bytes: &[u8]) {
        let Some(conn) = self.conns.get_mut(&id) else {
            self.ledger.counters.stale_inputs += 1;
            return;
        };
        let mut events = core::mem::take(&mut self.events);
        let received = conn.link.receive(now, bytes, &mut self.guard, &mut events);
        self.dirty.insert(id);
        self.on_link_events(now, id, &mut events);
        self.events = events;
        if let Err(reason) = received {
            self.close(now, id, reason);
        }
    }

    fn on_link_events(&mut self, now: Instant, id: ConnId, events: &mut Vec<LinkEvent>) {
        for event in events.drain(..) {
            match event {
                LinkEvent::Frame(frame) => self.on_frame(now, id, frame),
                LinkEvent::Text(text) => {
                    self.on_sign(now, id);
                    self.on_text(now, id, text);
                }
                LinkEvent::GivenUp(start) => {
                    self.on_sign(now, id);
                    self.on_given_up(id, &start);
                }
                LinkEvent::Silent => {
                    if let Some(conn) = self.conns.get(&id)
                        && let (Some(peer), true) = (conn.peer(), conn.is_link())
                    {
                        self.mesh.probe(now, &peer.name);
                    }
                }
            }
        }
    }

    pub(super) fn on_frame(&mut self, now: Instant, id: ConnId, frame: Frame) {
        // An earlier frame of the same bytes may have closed the connection.
        if !self.conns.contains_key(&id) {
            return;
        }
        match frame {
            Frame::Hello(hello) => self.on_hello(now, id, hello),
            Frame::Offer => self.on_offer(now, id),
            Frame::Adopt => self.on_adopt(now, id),
            Frame::Close(reason) => self.on_close_frame(now, id, reason),
            Frame::Pong(number) => {
                self.has_read(id, number);
                self.on_pong(now, id, number);
            }
            // Frames about topics are the data plane's.
            Frame::Heartbeat | Frame::Ping(_) | Frame::Taken(_) | Frame::PubSub(_) => {
                self.on_sign(now, id);
            }
            Frame::Topology(frame) => {
                self.on_sign(now, id);
                let conn = self.conns.get(&id).filter(|conn| conn.is_link());
                let Some(from) = conn.and_then(|conn| Some(conn.peer()?.name.clone())) else {
                    return;
                };
                let orders = self.topology.receive(now, &from, frame);
                self.obey(now, orders);
            }
        }
    }

    /// The other side closes, and says why.
    fn on_close_frame(&mut self, now: Instant, id: ConnId, reason: CloseReason) {
        self.emit(Output::Close {
            conn: id,
            reason: reason.clone(),
        });
        self.gone(now, id, reason, true);
    }

    pub(super) fn on_written(&mut self, now: Instant, id: ConnId, bytes: usize) {
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        conn.link.written(now, bytes);
        self.dirty.insert(id);
    }

    pub(super) fn on_closed(&mut self, now: Instant, id: ConnId, _error: NetError) {
        // A refusal is known as one once nothing has followed it.
        let conn = self.conns.get(&id);
        let said = conn.and_then(|conn| conn.link.last_word());
        self.gone(now, id, said.unwrap_or(CloseReason::Transport), true);
    }

    pub(super) fn on_command(&mut self, now: Instant, command: Command) {
        match command {
            Command::SetReady(ready) => {
                let orders = self.topology.set_ready(now, ready);
                self.obey(now, orders);
            }
            Command::Plane(command) => self.on_plane_command(now, command),
            Command::Describe(description) => {
                self.plane.lock().describe_self(&description);
                let orders = self.topology.describe(now, description);
                self.obey(now, orders);
            }
            Command::Leave { within } => self.on_leave(now, within),
        }
    }
}
