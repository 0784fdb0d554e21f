//! The data plane: what applications cross the cluster with. Topics with subscribers, and calls to
//! one node or to many.
//!
//! It stands beside the control machinery of [`crate::node`]: a node tells it which links stand and
//! who is there, and everything else, publish, deliver, call, answer, passes through it alone. It is
//! a machine without IO like the rest; in the direct world a node drives it, in lasso-net the tasks
//! of the links do. Nobody holds its lock over cryptography or IO.
//!
//! 1. A frame goes only to nodes whose link stands, and a message only to those with a subscriber.
//! 2. Nothing here waits: a lane that is full sheds, is counted, and the other side is told.
//! 3. What was taken is delivered, shed or held; each is counted.
//!
//! What it does not do: it seals nothing and writes nothing, which is [`crate::link`]'s, and it does
//! not know who should be there, which is [`crate::topology`]'s.
//!
//! A node that publishes to itself, and calls itself; with a link to others it would be no different:
//!
//! ```
//! use std::collections::VecDeque;
//!
//! use bytes::Bytes;
//! use lasso_core::config::NodeConfig;
//! use lasso_core::name::{Description, Identity, Incarnation, Label, NodeName};
//! use lasso_core::plane::{Answer, Audience, Effects, Plane, Question, Update};
//! use lasso_core::secure::Security;
//! use lasso_core::time::Instant;
//!
//! let name: NodeName = "app@10.0.0.1".parse()?;
//! let me = Identity {
//!     cluster: Label::new("cluster name", "docs")?,
//!     name: name.clone(),
//!     incarnation: Incarnation(1),
//! };
//! let config = NodeConfig::new(name.clone(), Security::InsecureNull);
//! let mut plane = Plane::new(&config, &me, &Description::of(&name));
//! let (now, mut fx) = (Instant::ZERO, Effects::default());
//!
//! let subscriber = plane.subscribe("prices", None, &mut fx)?;
//! let (price, audience) = (Bytes::from_static(b"9.5"), Audience::All);
//! let reach = plane.publish(|| now, 1_700_000_000_000, "prices", &price, &audience, &mut fx)?;
//! assert_eq!((reach.subscribers, reach.nodes), (1, 0));
//! let mut updates = VecDeque::new();
//! assert!(plane.read(subscriber, None, &mut updates));
//! assert!(matches!(&updates[0], Update::Message(message) if message.payload == price));
//!
//! plane.serve("double")?;
//! let question = Question {
//!     method: "double",
//!     payload: &Bytes::from_static(b"21"),
//!     timeout: None,
//! };
//! let call = plane.call(now, &name, &question, &mut fx)?;
//! let request = fx.requests.pop().expect("it is to be handed to its handler");
//! plane.answer(request.id, Answer::Done(Bytes::from_static(b"42")), &mut fx);
//! assert_eq!(plane.poll_call(call, None), Some(Ok(Bytes::from_static(b"42"))));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod calling;
pub mod calls;
mod command;
pub mod effects;
mod links;
mod outlet;
pub mod pubsub;
mod seeded;
#[cfg(test)]
mod tests;

use core::task::Waker;
use core::time::Duration;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::{Buf, Bytes};
use parking_lot::Mutex;
use serde::Serialize;

pub use calls::{
    Answer, CallCounters, CallError, CallId, GatherId, Gathered, Half, Question, Reject, Request,
    ServeError, ServeId,
};
pub use command::{PlaneCommand, PlaneOutput};
pub use effects::{Effects, Wake};
pub use outlet::Outlet;
pub use pubsub::{
    Audience, Content, HubSizes, Message, PubSubCounters, PublishError, QueueAudit, Reach, Row,
    Source, SubscribeError, SubscriberId, Update,
};

use crate::codec::{self, kind};
use crate::config::NodeConfig;
use crate::event::CloseReason;
use crate::frame::{Frame, PubSubFrame};
use crate::link::{LaneCount, LaneId, SharedLanes};
use crate::name::{Description, Identity, Incarnation, NodeName};
use crate::node::ConnId;
use crate::time::{Instant, earliest};
use calls::Calls;
use links::Links;
use pubsub::Hub;
use seeded::Seeded;

/// A data plane, for all who publish, subscribe, call and answer.
pub type SharedPlane = Arc<Mutex<Plane>>;

/// What a data plane counts besides what its two halves count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct PlaneCounters {
    /// Frames of connections that are no link, or no longer: normal in small numbers.
    pub stray: u64,
    /// Frames of kinds that this release does not know.
    pub unknown: u64,
}

/// See the module's text.
pub struct Plane {
    hub: Hub,
    calls: Calls,
    links: Links,
    /// Links with news for their peers that were not handed out yet.
    untold: BTreeSet<ConnId>,
    /// When they are looked at again; `None` while there are none.
    tell_at: Option<Instant>,
    /// When the next peer that refuses topics is asked again; `None` while there are none.
    ask_at: Option<Instant>,
    /// The node has stopped: nothing begins any more.
    has_ended: bool,
    /// The latest time that anybody named.
    seen: Instant,
    counters: PlaneCounters,
}

impl Plane {
    /// The data plane of a node.
    pub fn new(config: &NodeConfig, me: &Identity, description: &Description) -> Plane {
        let (settings, largest) = (&config.settings, config.settings.link.message_bytes_max);
        Plane {
            hub: Hub::new(&settings.pubsub, largest, me, description),
            calls: Calls::new(&settings.calls, largest, me.name.clone()),
            links: Links::default(),
            untold: BTreeSet::new(),
            tell_at: None,
            ask_at: None,
            has_ended: false,
            seen: Instant::ZERO,
            counters: PlaneCounters::default(),
        }
    }

    /// Keys the tables of names that peers choose with a seed, which must come from a good source: for
    /// a plane that nothing was asked of yet.
    pub fn seeded(mut self, seed: u64) -> Plane {
        self.hub.seed(Seeded(seed));
        self.calls.seed(Seeded(seed));
        self
    }

    /// Subscribes to a topic, from now on: messages of other nodes come once they have heard of it.
    /// `queue_max` bounds what may wait to be read, where it is not to be the node's setting.
    ///
    /// # Errors
    /// [`SubscribeError`]; nothing was changed.
    pub fn subscribe(
        &mut self,
        topic: &str,
        queue_max: Option<usize>,
        fx: &mut Effects,
    ) -> Result<SubscriberId, SubscribeError> {
        if self.has_ended {
            return Err(SubscribeError::Stopped);
        }
        let id = self.hub.subscribe(topic, queue_max)?;
        self.tell_all(fx);
        Ok(id)
    }

    /// Ends a subscription; what it has not read is gone.
    pub fn unsubscribe(&mut self, id: SubscriberId, fx: &mut Effects) {
        self.hub.unsubscribe(id, fx);
        self.hub.wake_listeners(fx);
        self.tell_all(fx);
    }

    /// True once each linked peer has heard of a subscription, so that what it publishes from now on comes;
    /// also when the subscription has ended, or the node begins to stop. Else `waker` is kept, in place of
    /// an earlier one for this subscription, and woken when that may have changed. A peer that refuses it does not answer, see [`Plane::refused_by`].
    pub fn is_heard(&mut self, id: SubscriberId, waker: &Waker) -> bool {
        self.has_ended || self.hub.is_heard(id, waker)
    }

    /// The linked nodes that refuse what this subscription is for, since their tables of topics are full: what
    /// they publish does not come. They are asked again until they have room.
    pub fn refused_by(&self, id: SubscriberId) -> Vec<NodeName> {
        self.hub.refused_by(id)
    }

    /// Moves all that waits for a subscriber to the end of `out`; true when that was anything. With
    /// nothing there, `waker` is kept and woken once there is.
    pub fn read(
        &mut self,
        id: SubscriberId,
        waker: Option<&Waker>,
        out: &mut VecDeque<Update>,
    ) -> bool {
        self.hub.read(id, waker, out)
    }

    /// Publishes; never waits. `unix_ms` is the wall clock, for the subscribers. `now` is asked only
    /// when something was shed.
    ///
    /// # Errors
    /// [`PublishError`]; nothing was sent.
    pub fn publish(
        &mut self,
        now: impl FnOnce() -> Instant,
        unix_ms: u64,
        topic: &str,
        payload: &Bytes,
        audience: &Audience,
        fx: &mut Effects,
    ) -> Result<Reach, PublishError> {
        if self.has_ended {
            return Err(PublishError::Stopped);
        }
        let links = &mut self.links;
        let send = |conn, head: &[u8], body: &Bytes| links.push(conn, LaneId::Data, head, body);
        let published = self
            .hub
            .publish(unix_ms, topic, payload, audience, send, fx);
        self.links.take_woken(fx);
        if published.as_ref().is_ok_and(|reach| reach.shed > 0) {
            self.sees(now());
            self.take_noisy();
        }
        published
    }

    /// Whether anybody on this node is subscribed to a topic.
    pub fn has_subscribers(&self, topic: &str) -> bool {
        self.hub.has_subscribers(topic)
    }

    /// A link stands: from now on it carries what goes to that peer.
    pub fn link_up(&mut self, conn: ConnId, peer: &Identity, lanes: SharedLanes, fx: &mut Effects) {
        self.links.insert(conn, lanes);
        self.hub.link_up(conn, peer);
        self.calls.link_up(conn, &peer.name);
        self.tell_all(fx);
    }

    /// A link is gone. Nothing happens for a connection that was none.
    pub fn link_down(&mut self, conn: ConnId, fx: &mut Effects) {
        if self.links.remove(conn) {
            self.hub.link_down(conn);
            self.hub.wake_listeners(fx);
            self.calls.link_down(conn, fx);
            self.untold.remove(&conn);
        }
    }

    /// The membership changed.
    pub fn members(&mut self, epoch: u64, joined: Option<&NodeName>, left: Option<&NodeName>) {
        self.calls.members(epoch, joined, left);
    }

    /// A peer has said something of itself.
    pub fn described(&mut self, name: &NodeName, description: &Description) {
        self.hub
            .described(name, &description.region, &description.roles);
    }

    /// A node is remembered no longer.
    pub fn forgotten(&mut self, name: &NodeName) {
        self.hub.forgotten(name);
    }

    /// This node says something else of itself.
    pub fn describe_self(&mut self, description: &Description) {
        self.hub.describe_self(description);
    }

    /// This node goes on under a higher incarnation.
    pub fn renumbered(&mut self, incarnation: Incarnation) {
        self.hub.renumbered(incarnation);
    }

    /// Takes frames that came on a link, whole ones, one after another: as many as a subscriber's
    /// queue is sure to have room for if it is read in between. What is left of `text` is for the
    /// next call.
    ///
    /// # Errors
    /// [`CloseReason::Garbage`]: the connection is to be closed. What came before was taken.
    pub fn receive(
        &mut self,
        now: Instant,
        conn: ConnId,
        text: &mut Bytes,
        fx: &mut Effects,
    ) -> Result<(), CloseReason> {
        self.sees(now);
        if !self.links.contains(conn) {
            self.counters.stray += 1;
            text.clear();
            return Ok(());
        }
        let mut at = 0;
        for _ in 0..FRAMES_AT_ONCE {
            if at == text.len() {
                break;
            }
            let (kind, length, rest) = codec::header(&text[at..]).ok_or(CloseReason::Garbage)?;
            let start = text.len() - rest.len();
            at = start + length;
            if at > text.len() {
                return Err(CloseReason::Garbage);
            }
            self.on_frame(now, conn, kind, text.slice(start..at), fx)
                .map_err(|codec::Malformed| CloseReason::Garbage)?;
        }
        text.advance(at);
        Ok(())
    }

    /// The end of a frame came on a link that was given up before it was all there; `start` are its first
    /// bytes. Whoever waits for it is told that it does not come.
    pub fn given_up(&mut self, conn: ConnId, start: &[u8], fx: &mut Effects) {
        let Some((kind, _, body)) = codec::header(start) else {
            return;
        };
        // A start that cannot be read is of nobody who could be told.
        let _told = match kind {
            kind::MESSAGE => self.hub.on_given_up(conn, body, fx),
            kind::CALL => self.calls.on_call_given_up(conn, body, &mut self.links, fx),
            kind::ANSWER => self.calls.on_answer_given_up(conn, body, fx),
            _ => Ok(()),
        };
    }

    fn on_frame(
        &mut self,
        now: Instant,
        conn: ConnId,
        kind: u8,
        body: Bytes,
        fx: &mut Effects,
    ) -> Result<(), codec::Malformed> {
        match kind {
            kind::MESSAGE => return self.hub.on_message(conn, body, fx),
            kind::CALL => {
                return self.calls.on_call(now, conn, body, &mut self.links, fx);
            }
            kind::ANSWER | kind::REFUSED => return self.calls.on_answer(conn, body, fx),
            _ => {}
        }
        let frame = codec::RawFrame { kind, body: &body };
        match codec::decode(frame)? {
            Some(Frame::PubSub(frame)) => {
                let starts = matches!(frame, PubSubFrame::Streams(_));
                self.hub.on_frame(conn, frame, fx);
                self.ask_later();
                if starts {
                    self.hub.wake_listeners(fx);
                }
                self.tell_all(fx);
            }
            _ => self.counters.unknown += 1,
        }
        Ok(())
    }

    /// Sees to it that the peers that refuse topics are asked again.
    fn ask_later(&mut self) {
        let refusing = u32::try_from(self.hub.refusing()).unwrap_or(u32::MAX);
        if refusing == 0 {
            self.ask_at = None;
        } else if self.ask_at.is_none() {
            let each = (ASK_INTERVAL / refusing).max(TELL_INTERVAL);
            self.ask_at = Some(self.seen + each);
        }
    }

    /// Does what is due: calls whose time is over, news that had to wait.
    pub fn tick(&mut self, now: Instant, fx: &mut Effects) {
        self.sees(now);
        self.calls.tick(now, fx);
        fx.refusing.extend(self.hub.take_refusing());
        if self.ask_at.is_some_and(|at| at <= now) {
            self.hub.ask_again();
            self.ask_at = None;
            self.ask_later();
            self.tell_all(fx);
        }
        if self.tell_at.is_none_or(|at| at <= now) {
            self.tell_at = None;
            self.tell_all(fx);
        }
    }

    /// The node is about to stop: nothing is published, subscribed to, served or called from now on, and
    /// calls of others are refused. What was taken goes on: messages leave their lanes, handlers answer,
    /// and calls under way get their outcomes.
    pub fn stop_taking(&mut self) {
        self.has_ended = true;
        self.calls.stop_taking();
    }

    /// Whether nothing that was taken waits: no message, call or answer in a lane, no call without an
    /// outcome, no handler without an answer, no news for a peer.
    pub fn is_drained(&self) -> bool {
        self.untold.is_empty()
            && self.calls.waiting() == 0
            && self.calls.serving() == 0
            && self.links.are_drained()
    }

    /// The links are about to be closed: tells each peer how far the numbers of its topics go, so that it
    /// counts the messages that never leave their lane as missed. `unread` are links whose lanes are empty
    /// and whose peers may not have read everything.
    pub fn say_last_numbers(&mut self, unread: Vec<ConnId>, fx: &mut Effects) {
        let (hub, links) = (&mut self.hub, &mut self.links);
        let told: BTreeSet<ConnId> = links.with_messages().into_iter().chain(unread).collect();
        for conn in told {
            for frame in hub.last_numbers(conn) {
                let mut bytes = Vec::new();
                codec::encode(&Frame::PubSub(frame), &mut bytes);
                if links
                    .push(conn, LaneId::Control, &bytes, &Bytes::new())
                    .is_none()
                {
                    // A peer that reads so little is told less.
                    break;
                }
            }
        }
        links.take_woken(fx);
    }

    /// The node has stopped: every task that waits is woken, since nothing comes any more, and
    /// nothing is published, subscribed to, served or called from now on.
    pub fn end(&mut self, fx: &mut Effects) {
        self.has_ended = true;
        self.hub.wake_listeners(fx);
        self.hub.end(fx);
        self.calls.end(fx);
    }

    /// Wakers that were left here and that nobody needs any more: to be dropped by whoever drives the
    /// plane, once it is not locked.
    pub fn take_spent(&mut self) -> Vec<Waker> {
        let mut spent = self.calls.take_spent();
        spent.append(&mut self.hub.spent);
        spent
    }

    /// When [`Plane::tick`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        let told = self.hub.has_refusing().then_some(self.seen);
        let asks = earliest(self.tell_at, self.ask_at);
        earliest(self.calls.deadline(), earliest(told, asks))
    }

    /// Who subscribes does not say what time it is: then the time before serves, and the news that
    /// wait are looked at a little early.
    fn sees(&mut self, now: Instant) {
        self.seen = self.seen.max(now);
    }

    /// Notes who has news, to be looked at later.
    fn take_noisy(&mut self) {
        while let Some(conn) = self.hub.noisy() {
            self.untold.insert(conn);
        }
        if !self.untold.is_empty() {
            self.tell_at.get_or_insert(self.seen + TELL_INTERVAL);
        }
    }

    /// Hands out the news that peers are to be told, as far as their control lanes are nearly empty.
    fn tell_all(&mut self, fx: &mut Effects) {
        self.take_noisy();
        let (hub, links) = (&mut self.hub, &mut self.links);
        self.untold.retain(|conn| !tell(hub, links, *conn));
        links.take_woken(fx);
        if self.untold.is_empty() {
            self.tell_at = None;
        }
    }

    /// What was counted.
    pub fn counters(&self) -> (&PubSubCounters, &CallCounters, &PlaneCounters) {
        (self.hub.counters(), self.calls.counters(), &self.counters)
    }

    /// What became of the messages for each subscriber, in the order in which they subscribed.
    pub fn queues(&self) -> impl Iterator<Item = (SubscriberId, QueueAudit)> {
        self.hub.audits()
    }

    /// What became of the bytes for one peer, by lane.
    pub fn lane(&self, conn: ConnId, lane: LaneId) -> Option<LaneCount> {
        self.links.count(conn, lane)
    }

    /// How much the tables of topics hold.
    pub fn sizes(&self) -> HubSizes {
        self.hub.sizes()
    }

    /// Calls of this node that wait, and calls of others that it works on.
    pub fn calls_open(&self) -> (usize, usize) {
        (self.calls.waiting(), self.calls.serving())
    }

    /// Holds what must always hold against what is; for tests and debug builds, since it looks at
    /// everything.
    ///
    /// # Panics
    /// When something does not hold: a bug.
    pub fn assert_invariants(&self) {
        self.hub.assert_invariants();
        self.calls.assert_invariants();
        assert!(self.untold.iter().all(|conn| self.links.contains(*conn)));
        assert!(self.untold.is_empty() || self.tell_at.is_some());
        assert!(self.hub.refusing() == 0 || self.ask_at.is_some());
    }
}

impl core::fmt::Debug for Plane {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Plane")
            .field("links", &self.links)
            .field("counters", &self.counters())
            .finish_non_exhaustive()
    }
}

/// Tells one peer its news; false while some are left.
fn tell(hub: &mut Hub, links: &mut Links, conn: ConnId) -> bool {
    while hub.has_news(conn) {
        let next = || {
            let mut frame = Vec::new();
            codec::encode(&Frame::PubSub(hub.next_news(conn)?), &mut frame);
            Some(frame)
        };
        if !links.push_news(conn, CONTROL_BYTES_BUSY, next) {
            return false;
        }
    }
    true
}

/// Half of what a subscriber's queue holds, where the node's settings are the defaults.
const FRAMES_AT_ONCE: usize = 512;
/// With more than this in a control lane, news wait: they can still be merged with later ones.
const CONTROL_BYTES_BUSY: usize = 64 << 10;
/// News that wait are looked at this often; also how long it takes until a receiver is told what was
/// dropped on the way to it.
const TELL_INTERVAL: Duration = Duration::from_millis(50);
/// A peer that refuses topics is asked again this often, for a part of them.
const ASK_INTERVAL: Duration = Duration::from_secs(5);
