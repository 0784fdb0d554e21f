//! Live events of a node in the direct world: the machine that lasso-net drives, driven here.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use lasso_core::config::Settings;
use lasso_core::event::TopologyEvent;
use lasso_core::events::routing::RoutingEvent;
use lasso_core::events::sampler::Sampler;
use lasso_core::events::{
    Delivery, Live, LiveOrder, LiveSizes, ViewerId, event_keys, publications,
};
use lasso_core::plane::{
    Audience, PlaneCommand, PlaneOutput, PublishError, Reach, SubscribeError, SubscriberId,
};
use lasso_core::time::Instant;
use lasso_net::events::EventCounters;

use super::DirectWorld;
use crate::app::Told;
use crate::app::events::{Emission, EventAsk, EventTold, Looked, Sight};
use crate::scenario::NodeId;

/// The machine, and the state between it, its node and its viewers.
pub(super) struct LiveDesk {
    live: Live<RoutingEvent>,
    sampler: Sampler,
    /// The topics of pending subscriptions, by tag.
    asked: BTreeMap<u64, String>,
    last_tag: u64,
    topics: BTreeMap<SubscriberId, String>,
    /// Topics with messages to read.
    readable: VecDeque<SubscriberId>,
    viewers: BTreeMap<u32, ViewerId>,
    names: BTreeMap<ViewerId, u32>,
    /// Unread snapshots.
    first: BTreeMap<u32, Delivery<RoutingEvent>>,
    /// Viewers that wait for a delivery.
    waiting: BTreeSet<u32>,
    /// Those of them that have updates.
    seeing: VecDeque<u32>,
    /// The nodes reached by the copies of the event that is being published.
    reached: Result<Reach, PublishError>,
    /// Refused viewers, and why.
    refused: BTreeMap<ViewerId, SubscribeError>,
}

impl core::fmt::Debug for LiveDesk {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("LiveDesk")
            .field("viewers", &self.viewers)
            .finish_non_exhaustive()
    }
}

impl LiveDesk {
    /// The desk of a process with that seed.
    pub(super) fn new(settings: &Settings, seed: [u8; 32]) -> Self {
        let keys = event_keys(seed);
        LiveDesk {
            live: Live::new(settings.events.clone(), keys.ids),
            sampler: Sampler::new(settings.sampling.clone(), keys.sampling),
            asked: BTreeMap::new(),
            last_tag: TAGS,
            topics: BTreeMap::new(),
            readable: VecDeque::new(),
            viewers: BTreeMap::new(),
            names: BTreeMap::new(),
            first: BTreeMap::new(),
            waiting: BTreeSet::new(),
            seeing: VecDeque::new(),
            reached: Ok(Reach::default()),
            refused: BTreeMap::new(),
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.live.deadline()
    }

    pub(super) fn sizes(&self) -> LiveSizes {
        self.live.sizes()
    }

    pub(super) fn counters(&self) -> EventCounters {
        EventCounters {
            live: self.live.counters(),
            sampler: self.sampler.counters(),
        }
    }

    /// Takes its outputs of a node; returns those of the application.
    pub(super) fn take(
        &mut self,
        now: Instant,
        unix_ms: u64,
        output: PlaneOutput,
    ) -> Option<PlaneOutput> {
        match output {
            PlaneOutput::Subscribed { tag, result } if tag >= TAGS => {
                let topic = self.asked.remove(&tag)?;
                match result {
                    Ok(id) => {
                        self.topics.insert(id, topic);
                        self.readable.push_back(id);
                    }
                    Err(error) => {
                        let viewers = self.live.on_refused(now, unix_ms, &topic);
                        let viewers = viewers.into_iter();
                        self.refused.extend(viewers.map(|who| (who, error.clone())));
                    }
                }
            }
            PlaneOutput::Readable { id } if self.topics.contains_key(&id) => {
                self.readable.push_back(id);
            }
            PlaneOutput::Read { id, updates } if self.topics.contains_key(&id) => {
                let topic = &self.topics[&id];
                for update in &updates {
                    self.live.on_update(now, unix_ms, topic, update);
                }
                if !updates.is_empty() {
                    self.readable.push_back(id);
                }
            }
            PlaneOutput::Published { tag, result } if tag >= TAGS => {
                match (&mut self.reached, result) {
                    (Ok(sum), Ok(reach)) => sum.add(&reach),
                    (sum, Err(error)) => *sum = Err(error),
                    (Err(_), Ok(_)) => {}
                }
            }
            other => return Some(other),
        }
        None
    }

    /// The next command for the node.
    fn next_command(&mut self) -> Option<PlaneCommand> {
        while let Some(order) = self.live.poll() {
            match order {
                LiveOrder::Subscribe { topic } => {
                    self.last_tag += 1;
                    let tag = self.last_tag;
                    self.asked.insert(tag, topic.clone());
                    let queue_max = None;
                    return Some(PlaneCommand::Subscribe {
                        tag,
                        topic,
                        queue_max,
                    });
                }
                LiveOrder::Unsubscribe { topic } => {
                    let found = self.topics.iter().find(|(_, is)| **is == topic);
                    if let Some(id) = found.map(|(id, _)| *id) {
                        self.topics.remove(&id);
                        self.readable.retain(|readable| *readable != id);
                        return Some(PlaneCommand::Unsubscribe { id });
                    }
                }
                LiveOrder::Readable { viewer } => {
                    if let Some(name) = self.names.get(&viewer)
                        && self.waiting.remove(name)
                    {
                        self.seeing.push_back(*name);
                    }
                }
            }
        }
        let id = self.readable.pop_front()?;
        Some(PlaneCommand::Read { id })
    }

    /// The next delivery of a viewer; without one, the viewer waits.
    fn look(&mut self, viewer: u32) -> Option<Sight> {
        if let Some(snapshot) = self.first.remove(&viewer) {
            return Some(Sight::new(true, &snapshot));
        }
        let id = self.viewers.get(&viewer)?;
        match self.live.read(*id) {
            Some(delivery) => Some(Sight::new(false, &delivery)),
            None => {
                self.waiting.insert(viewer);
                None
            }
        }
    }

    fn leave(&mut self, now: Instant, unix_ms: u64, viewer: u32) {
        if let Some(id) = self.forget(viewer) {
            self.live.leave(now, unix_ms, id);
        }
    }

    /// Forgets a viewer by the application's number.
    fn forget(&mut self, viewer: u32) -> Option<ViewerId> {
        let id = self.viewers.remove(&viewer)?;
        self.names.remove(&id);
        self.first.remove(&viewer);
        self.waiting.remove(&viewer);
        Some(id)
    }
}

impl DirectWorld {
    fn live_desk(&mut self, node: NodeId) -> Option<(&mut LiveDesk, Instant, u64)> {
        let now = self.now;
        let host = &mut self.hosts[node.index()];
        let unix_ms = host.unix_ms(now);
        let process = host.process.as_mut()?;
        Some((&mut process.desk.live, now, unix_ms))
    }

    /// One of its deadlines may have arrived.
    pub(super) fn tick_live(&mut self, node: NodeId) {
        if let Some((desk, now, unix_ms)) = self.live_desk(node)
            && desk.live.deadline().is_some_and(|due| due <= now)
        {
            desk.live.tick(now, unix_ms);
        }
    }

    /// A node has reported a change of its topology to its subscribers, viewers and metrics included.
    pub(super) fn told(&mut self, node: NodeId, event: TopologyEvent) {
        if let Some(process) = &mut self.hosts[node.index()].process {
            let own_now = Instant::ZERO + (self.now - process.boot);
            process.desk.metrics.event(own_now, &event);
            let live = &mut process.desk.live.live;
            live.set_coverage(self.now, event.coverage.clone());
        }
        self.record.event(self.now, node, event);
    }

    /// Carries out one request of the machine; false when there is none.
    pub(super) fn drive_live(&mut self, node: NodeId) -> bool {
        let Some((desk, ..)) = self.live_desk(node) else {
            return false;
        };
        if let Some(command) = desk.next_command() {
            self.order_plane(node, command);
            return true;
        }
        let Some(viewer) = desk.seeing.pop_front() else {
            return false;
        };
        self.look(node, viewer);
        true
    }

    pub(super) fn ask_live(&mut self, node: NodeId, ask: EventAsk) {
        match ask {
            EventAsk::View { viewer, what } => self.view_live(node, viewer, &what),
            EventAsk::Look { viewer } => self.look(node, viewer),
            EventAsk::Leave { viewer } => {
                if let Some((desk, now, unix_ms)) = self.live_desk(node) {
                    desk.leave(now, unix_ms, viewer);
                }
            }
            EventAsk::Emit(emission) => self.emit(node, &emission),
        }
    }

    fn look(&mut self, node: NodeId, viewer: u32) {
        let sight = self
            .live_desk(node)
            .and_then(|(desk, ..)| desk.look(viewer));
        if let Some(sight) = sight {
            self.tell_events(node, EventTold::Seen { viewer, sight });
        }
    }

    fn view_live(&mut self, node: NodeId, viewer: u32, what: &Looked) {
        let coverage = self.node(node).map(lasso_core::node::Node::coverage);
        let (Some(coverage), Some((desk, now, _))) = (coverage, self.live_desk(node)) else {
            return;
        };
        let Looked {
            profile,
            chains,
            pass,
            scope,
        } = what;
        let scope = scope.clone();
        let seat = desk
            .live
            .view(now, profile, chains, pass, scope, || coverage);
        let admitted = seat.map(|seat| {
            desk.viewers.insert(viewer, seat.viewer);
            desk.names.insert(seat.viewer, viewer);
            desk.first.insert(viewer, seat.snapshot);
            seat.viewer
        });
        // It is known whether its topics can be had before the viewer is reported as open.
        while self.drive_live(node) {}
        let error = match admitted {
            Err(refusal) => Some(refusal.to_string()),
            Ok(id) => self.live_desk(node).and_then(|(desk, ..)| {
                let refused = desk.refused.remove(&id)?;
                desk.forget(viewer);
                Some(refused.to_string())
            }),
        };
        self.tell_events(node, EventTold::Viewing { viewer, error });
    }

    fn emit(&mut self, node: NodeId, emission: &Emission) {
        let Some((desk, _, unix_ms)) = self.live_desk(node) else {
            return;
        };
        desk.reached = Ok(Reach::default());
        let event = emission.event(unix_ms).sampled(&mut desk.sampler);
        let is_published = event.is_some();
        let copies = event.map(|event| publications(&event));
        for (topic, payload) in copies.unwrap_or_default() {
            let audience = Audience::All;
            self.order_plane(
                node,
                PlaneCommand::Publish {
                    tag: TAGS,
                    topic,
                    payload,
                    audience,
                    unix_ms,
                },
            );
        }
        let Some((desk, ..)) = self.live_desk(node) else {
            return;
        };
        let reached = core::mem::replace(&mut desk.reached, Ok(Reach::default()));
        let result = reached.map(|reach| is_published.then_some(reach));
        self.tell_events(node, EventTold::Emitted(result));
    }

    fn tell_events(&mut self, node: NodeId, told: EventTold) {
        self.tell_app(node, Told::Events(told));
    }
}

/// Tags from here on never belong to the application.
const TAGS: u64 = 1 << 48;
