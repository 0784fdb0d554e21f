//! How a node and its data plane work together: the node tells it which links stand and who is
//! there, and, where it is driven by inputs and outputs alone, drives it.

use core::task::Waker;
use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

use crate::config::NodeConfig;
use crate::event::{Change, CloseReason, Notice, TOPOLOGY_TOPIC, TopologyEvent};
use crate::link::{Detached, SharedLanes};
use crate::name::{Description, Identity, NodeName};
use crate::plane::{
    Audience, CallId, Effects, GatherId, Plane, PlaneCommand, PlaneOutput, Question, SharedPlane,
    SubscriberId, Wake,
};
use crate::time::Instant;
use crate::topology::Member;

use super::{ConnId, Node, Output};

/// What a node keeps of what its data plane is to do, or wants done.
#[derive(Debug, Default)]
pub(super) struct Tags {
    /// Whose calls they are that this node made by command.
    calls: BTreeMap<CallId, u64>,
    gathers: BTreeMap<GatherId, u64>,
    /// Tasks to be woken once nobody holds the node.
    woken: Vec<Waker>,
}

/// A node's data plane.
pub(super) fn plane(
    config: &NodeConfig,
    me: &Identity,
    description: &Description,
    seed: [u8; 32],
) -> Plane {
    // A stream of its own: what the node draws stays as it is.
    let mut keys = ChaCha12Rng::from_seed(seed);
    keys.set_stream(1);
    Plane::new(config, me, description).seeded(keys.next_u64())
}

impl Node {
    /// The data plane: publish, subscribe, call and answer there, without the node.
    pub fn plane(&self) -> &SharedPlane {
        &self.plane
    }

    /// Tasks that left a waker with the data plane and have something to do: to be woken by whoever
    /// drives this node, once it is not locked.
    pub fn take_woken(&mut self) -> Vec<Waker> {
        core::mem::take(&mut self.tags.woken)
    }

    /// Whether outputs wait to be carried out.
    pub fn has_outputs(&self) -> bool {
        !self.outputs.is_empty()
    }

    /// Takes out both halves of a link, so that its bytes no longer pass through the node: what came
    /// before must have been given to the node, and what the node said is to be sent before. From now
    /// on frames for the node come by [`Input::Frame`](super::Input::Frame), and an error by
    /// [`Input::Broken`](super::Input::Broken). `None`: the connection is no link, or no longer, or
    /// outputs wait that are to be carried out before.
    pub fn detach(&mut self, conn: ConnId) -> Option<Detached> {
        if !self.outputs.is_empty() {
            return None;
        }
        let conn = self.conns.get_mut(&conn)?;
        if !conn.is_link() {
            return None;
        }
        conn.link.detach()
    }

    pub(super) fn plane_link_up(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get(&id) else {
            return;
        };
        let Some(peer) = conn.peer() else { return };
        let (mut fx, lanes) = (Effects::default(), SharedLanes::clone(conn.link.lanes()));
        let mut plane = self.plane.lock();
        plane.link_up(id, peer, lanes, &mut fx);
        // A link that took another one's place: the peer was described before.
        if let Some(description) = self.topology.member(&peer.name).map(Member::description) {
            plane.described(&peer.name, description);
        }
        drop(plane);
        self.carry(fx);
    }

    pub(super) fn plane_link_down(&mut self, id: ConnId) {
        let mut fx = Effects::default();
        self.plane.lock().link_down(id, &mut fx);
        self.carry(fx);
    }

    /// Tells the data plane what subscribers of the topology hear.
    pub(super) fn plane_hears(&mut self, event: &TopologyEvent) {
        let mut plane = self.plane.lock();
        match &event.change {
            Change::NodeConnected { name, .. } => plane.members(event.epoch, Some(name), None),
            Change::NodeDisconnected { name, .. } => plane.members(event.epoch, None, Some(name)),
            Change::NodeIdentified { name, description } => {
                plane.described(name, description);
                plane.members(event.epoch, None, None);
            }
            Change::HealthUpdate { .. } => plane.members(event.epoch, None, None),
        }
    }

    /// Publishes a topology event to this node's own subscribers. The message's time is that of the wall clock at the
    /// node's start and the node's own time since.
    pub(super) fn publish_topology(&mut self, now: Instant, event: &TopologyEvent) {
        let mut fx = Effects::default();
        let mut plane = self.plane.lock();
        // Encoding it for nobody would be in vain.
        if !plane.has_subscribers(TOPOLOGY_TOPIC) {
            return;
        }
        let since = u64::try_from(now.since_start().as_millis()).unwrap_or(u64::MAX);
        let unix_ms = self.started_unix_ms.saturating_add(since);
        let event = rmp_serde::to_vec_named(event).expect("an event is made of names and numbers");
        // A node that has left tells nobody anything, and neither does one whose messages must be smaller.
        let _ = plane.publish(
            || now,
            unix_ms,
            TOPOLOGY_TOPIC,
            &event.into(),
            &Audience::Local,
            &mut fx,
        );
        drop(plane);
        self.carry(fx);
    }

    pub(super) fn plane_forgets(&mut self, name: &NodeName) {
        self.plane.lock().forgotten(name);
    }

    pub(super) fn say_last_numbers(&mut self, unread: Vec<ConnId>) {
        let mut fx = Effects::default();
        self.plane.lock().say_last_numbers(unread, &mut fx);
        self.carry(fx);
    }

    pub(super) fn plane_ends(&mut self) {
        let mut fx = Effects::default();
        self.plane.lock().end(&mut fx);
        self.carry(fx);
    }

    pub(super) fn plane_tick(&mut self, now: Instant) {
        let mut plane = self.plane.lock();
        if plane.deadline().is_some_and(|due| due <= now) {
            let mut fx = Effects::default();
            plane.tick(now, &mut fx);
            drop(plane);
            self.carry(fx);
        }
    }

    /// Frames of the data plane came on a connection whose halves are still here. The plane counts
    /// what came on none of its links.
    pub(super) fn on_text(&mut self, now: Instant, id: ConnId, mut text: Bytes) {
        while !text.is_empty() {
            let mut fx = Effects::default();
            let received = self.plane.lock().receive(now, id, &mut text, &mut fx);
            self.carry(fx);
            if let Err(reason) = received {
                return self.close(now, id, reason);
            }
        }
    }

    /// The end of a frame came that was given up before it was all there.
    pub(super) fn on_given_up(&mut self, id: ConnId, start: &[u8]) {
        let mut fx = Effects::default();
        self.plane.lock().given_up(id, start, &mut fx);
        self.carry(fx);
    }

    /// What a taken-out half could not make sense of.
    pub(super) fn on_broken(&mut self, now: Instant, id: ConnId, reason: CloseReason) {
        self.close(now, id, reason);
    }

    /// Carries out what the data plane wants.
    pub(super) fn carry(&mut self, fx: Effects) {
        for wake in fx.wakes {
            match wake {
                // Not here: whoever drives this node holds its lock.
                Wake::Task(waker) => self.tags.woken.push(waker),
                Wake::Link(conn) => {
                    self.dirty.insert(conn);
                }
                Wake::Subscriber(id) => {
                    self.emit(Output::Plane(PlaneOutput::Readable { id }));
                }
                Wake::Call(id) => self.on_answered(id),
                Wake::Gather(id) => self.on_gathered(id),
                Wake::Request(id) => self.emit(Output::Plane(PlaneOutput::Abandoned { id })),
            }
        }
        for name in fx.refusing {
            self.emit(Output::Notice(Notice::InterestRefused { name }));
        }
        for request in fx.requests {
            self.emit(Output::Plane(PlaneOutput::Request(request)));
        }
    }

    fn on_answered(&mut self, id: CallId) {
        let Some(tag) = self.tags.calls.remove(&id) else {
            return;
        };
        let polled = self.plane.lock().poll_call(id, None);
        if let Some(outcome) = polled {
            self.emit(Output::Plane(PlaneOutput::Answered { tag, outcome }));
        }
    }

    fn on_gathered(&mut self, id: GatherId) {
        let Some(tag) = self.tags.gathers.remove(&id) else {
            return;
        };
        let polled = self.plane.lock().poll_gather(id, None);
        if let Some(gathered) = polled {
            let gathered = Ok(gathered);
            self.emit(Output::Plane(PlaneOutput::Gathered { tag, gathered }));
        }
    }

    pub(super) fn on_plane_command(&mut self, now: Instant, command: PlaneCommand) {
        let mut fx = Effects::default();
        match command {
            PlaneCommand::Subscribe {
                tag,
                topic,
                queue_max,
            } => {
                let result = self.plane.lock().subscribe(&topic, queue_max, &mut fx);
                self.emit(Output::Plane(PlaneOutput::Subscribed { tag, result }));
            }
            PlaneCommand::Unsubscribe { id } => self.plane.lock().unsubscribe(id, &mut fx),
            PlaneCommand::Read { id } => self.on_read(id),
            PlaneCommand::Publish {
                tag,
                topic,
                payload,
                audience,
                unix_ms,
            } => {
                let mut plane = self.plane.lock();
                let result = plane.publish(|| now, unix_ms, &topic, &payload, &audience, &mut fx);
                drop(plane);
                self.emit(Output::Plane(PlaneOutput::Published { tag, result }));
            }
            PlaneCommand::Serve { method } => {
                // A method that is served already stays served.
                let _served = self.plane.lock().serve(&method);
            }
            PlaneCommand::Unserve { method } => {
                self.plane.lock().unserve(&method);
            }
            PlaneCommand::Answer { id, answer } => self.plane.lock().answer(id, answer, &mut fx),
            PlaneCommand::GiveUp { id } => self.plane.lock().give_up(id),
            PlaneCommand::Call {
                tag,
                to,
                method,
                payload,
                timeout,
            } => self.on_call(
                now,
                tag,
                &to,
                &question(&method, &payload, timeout),
                &mut fx,
            ),
            PlaneCommand::CallMany {
                tag,
                to,
                method,
                payload,
                timeout,
            } => self.on_call_many(
                now,
                tag,
                &to,
                &question(&method, &payload, timeout),
                &mut fx,
            ),
        }
        self.carry(fx);
    }

    fn on_read(&mut self, id: SubscriberId) {
        let mut updates = VecDeque::new();
        self.plane.lock().read(id, None, &mut updates);
        let updates = updates.into();
        self.emit(Output::Plane(PlaneOutput::Read { id, updates }));
    }

    fn on_call(
        &mut self,
        now: Instant,
        tag: u64,
        to: &NodeName,
        question: &Question<'_>,
        fx: &mut Effects,
    ) {
        let called = self.plane.lock().call(now, to, question, fx);
        match called {
            Ok(id) => {
                self.tags.calls.insert(id, tag);
            }
            Err(error) => {
                let outcome = Err(error);
                self.emit(Output::Plane(PlaneOutput::Answered { tag, outcome }));
            }
        }
    }

    fn on_call_many(
        &mut self,
        now: Instant,
        tag: u64,
        to: &[NodeName],
        question: &Question<'_>,
        fx: &mut Effects,
    ) {
        let called = self.plane.lock().call_many(now, to, question, fx);
        match called {
            Ok(id) => {
                self.tags.gathers.insert(id, tag);
            }
            Err(error) => {
                let gathered = Err(error);
                self.emit(Output::Plane(PlaneOutput::Gathered { tag, gathered }));
            }
        }
    }
}

fn question<'a>(method: &'a str, payload: &'a Bytes, timeout: Option<Duration>) -> Question<'a> {
    Question {
        method,
        payload,
        timeout,
    }
}
