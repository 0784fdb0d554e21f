//! Topics, their subscribers here, and the peers that want them or have them.
//!
//! A publish finds its topic by name and goes to each interested peer's lane, as the same bytes; a
//! message from a peer finds its stream by number and goes into the subscribers' queues, as the same
//! memory. Neither allocates in a steady state, and neither looks at anything else.
//!
//! 1. A message goes to a peer once, and only after the peer has asked and was answered.
//! 2. A subscriber sees the numbers of each source and row grow, and is told how many it missed.
//! 3. Every table and queue is bounded; what they shed is counted.
//!
//! What it does not do: it knows no lanes, no frames' bytes but those of messages, and no time.

use core::task::Waker;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::{Buf, Bytes};
use rustc_hash::FxHashMap;

use super::peer::Peer;
use super::queue::{Queue, QueueAudit};
use super::refused::Asking;
use super::slab::{Place, Slab};
use super::topics::{Interest, Topics};
use super::{Content, HubSizes, Message, PubSubCounters, SubscriberId, Update, wire};
use crate::codec::Malformed;
use crate::config::PubSubSettings;
use crate::frame::MissedRange;
use crate::name::{Description, Identity, Label, NodeName};
use crate::node::ConnId;
use crate::plane::effects::keep;
use crate::plane::seeded::Seeded;
use crate::plane::{Effects, Wake};

/// See the module's text.
pub(crate) struct Hub {
    pub(super) settings: PubSubSettings,
    pub(super) payload_bytes_max: usize,
    pub(super) me: Identity,
    pub(super) region: Label,
    pub(super) roles: BTreeSet<Label>,
    pub(super) topics: Topics,
    /// Topics with a local subscriber.
    pub(super) subscribed: BTreeSet<Place>,
    pub(super) subscribers: Slab<Subscriber>,
    /// With a fixed hasher, and never walked through.
    pub(super) subscriber_places: FxHashMap<SubscriberId, Place>,
    pub(super) subscribers_ever: u64,
    pub(super) peers: Slab<Peer>,
    pub(super) names: BTreeMap<NodeName, Place>,
    /// With a fixed hasher, and never walked through.
    pub(super) conns: FxHashMap<ConnId, Place>,
    /// Who waits until all peers have heard of a subscription.
    pub(super) listeners: BTreeMap<SubscriberId, Waker>,
    /// Linked peers that refuse topics of this node.
    pub(super) refusing: BTreeMap<Place, Asking>,
    /// Those that have begun to, and of whom the operator was not told yet.
    pub(super) refusing_untold: BTreeSet<NodeName>,
    /// The one of them that was asked again last.
    pub(super) asked_last: Place,
    /// Links that have news of which whoever drives the hub was not yet told.
    pub(super) noisy: Vec<ConnId>,
    /// Wakers that nobody needs any more.
    pub(in crate::plane) spent: Vec<Waker>,
    pub(super) counters: PubSubCounters,
}

/// One local subscription.
pub(super) struct Subscriber {
    pub(super) id: SubscriberId,
    pub(super) topic: Place,
    pub(super) queue: Queue,
    /// Of whoever found nothing to read.
    pub(super) waker: Option<Waker>,
}

impl Hub {
    /// A hub without subscribers and peers. A payload may have so many bytes; the body of its frame
    /// has up to [`MESSAGE_HEAD_BYTES_MAX`](super::wire::MESSAGE_HEAD_BYTES_MAX) more.
    pub(crate) fn new(
        settings: &PubSubSettings,
        payload_bytes_max: usize,
        me: &Identity,
        description: &Description,
    ) -> Self {
        Hub {
            settings: settings.clone(),
            payload_bytes_max,
            me: me.clone(),
            region: description.region.clone(),
            roles: description.roles.clone(),
            topics: Topics::default(),
            subscribed: BTreeSet::new(),
            subscribers: Slab::default(),
            subscriber_places: FxHashMap::default(),
            subscribers_ever: 0,
            peers: Slab::default(),
            names: BTreeMap::new(),
            conns: FxHashMap::default(),
            listeners: BTreeMap::new(),
            refusing: BTreeMap::new(),
            refusing_untold: BTreeSet::new(),
            asked_last: 0,
            noisy: Vec::new(),
            spent: Vec::new(),
            counters: PubSubCounters::default(),
        }
    }

    /// Keys the table of topics, before there are any.
    pub(in crate::plane) fn seed(&mut self, seed: Seeded) {
        self.topics.seed(seed);
    }

    /// Moves all that waits to the end of `out`, and says whether that was anything. Else the waker
    /// is kept, and woken once when there is something.
    pub(crate) fn read(
        &mut self,
        id: SubscriberId,
        waker: Option<&Waker>,
        out: &mut VecDeque<Update>,
    ) -> bool {
        let Some(&place) = self.subscriber_places.get(&id) else {
            return false;
        };
        let subscriber = &mut self.subscribers[place];
        if !subscriber.queue.is_empty() {
            subscriber.queue.read(out);
            return true;
        }
        if let Some(waker) = waker {
            keep(&mut subscriber.waker, waker, &mut self.spent);
        }
        false
    }

    /// True once each linked peer has answered that messages for this subscription go to this node from now
    /// on, and for a subscription that there is not. Else the waker is kept, in place of any earlier one, and
    /// woken when that may have changed.
    pub(crate) fn is_heard(&mut self, id: SubscriberId, waker: &Waker) -> bool {
        let Some(&place) = self.subscriber_places.get(&id) else {
            return true;
        };
        let topic = self.subscribers[place].topic;
        let mut linked = self.conns.values().map(|&peer| &self.peers[peer]);
        let is_heard = linked.all(|peer| peer.streams.is_live(topic));
        if !is_heard {
            let former = self.listeners.insert(id, waker.clone());
            self.spent.extend(former);
        }
        is_heard
    }

    /// A peer has answered or is gone, or a subscription is over: whoever waits for that looks again.
    pub(crate) fn wake_listeners(&mut self, fx: &mut Effects) {
        let woken = core::mem::take(&mut self.listeners).into_values();
        fx.wakes.extend(woken.map(Wake::Task));
    }

    /// The node has stopped: wakes every task that waits to read, since nothing comes any more.
    pub(crate) fn end(&mut self, fx: &mut Effects) {
        for (_, subscriber) in self.subscribers.iter_mut() {
            fx.wakes.extend(subscriber.waker.take().map(Wake::Task));
        }
    }

    /// The body of a message's frame has come.
    ///
    /// # Errors
    /// [`Malformed`]: it has no head that can be read.
    pub(crate) fn on_message(
        &mut self,
        conn: ConnId,
        mut body: Bytes,
        fx: &mut Effects,
    ) -> Result<(), Malformed> {
        let (head, head_bytes) = wire::decode(&body)?;
        let peer = self.conns.get(&conn).map(|&peer| &mut self.peers[peer]);
        let Some(incoming) = peer.and_then(|peer| peer.streams.live(head.stream)) else {
            self.counters.unwanted += 1;
            return Ok(());
        };
        let Some(step) = incoming.step(head.row, head.number) else {
            self.counters.stale += 1;
            return Ok(());
        };
        self.counters.received += 1;
        body.advance(head_bytes);
        let topic = incoming.topic;
        let to = &self.topics[topic].subscribers;
        let is_slow = |&place: &Place| self.subscribers[place].queue.pins_much();
        if body.len() < COPIED_BELOW && to.iter().any(is_slow) {
            body = Bytes::copy_from_slice(&body);
        }
        let message = Content {
            source: incoming.source.clone(),
            row: head.row,
            number: head.number,
            unix_ms: head.unix_ms,
            payload: body,
        };
        self.tell_missed(topic, step.missed_before, fx);
        self.deliver(topic, message.into(), fx);
        self.tell_missed(topic, step.missed_after, fx);
        Ok(())
    }

    /// A message was given up before it was all there: its subscribers are told that it does not come.
    ///
    /// # Errors
    /// [`Malformed`]: `start` has no head of a message.
    pub(crate) fn on_given_up(
        &mut self,
        conn: ConnId,
        start: &[u8],
        fx: &mut Effects,
    ) -> Result<(), Malformed> {
        let (head, _) = wire::decode(start)?;
        self.counters.unfinished += 1;
        let Some(&peer) = self.conns.get(&conn) else {
            return Ok(());
        };
        let (stream, row) = (head.stream, head.row);
        let (from, to) = (head.number, head.number);
        let range = MissedRange {
            stream,
            row,
            from,
            to,
        };
        self.on_missed(peer, range, fx);
        Ok(())
    }

    /// Gives a message to every local subscriber of its topic; the last one gets it without a copy.
    pub(super) fn deliver(&mut self, topic: Place, mut message: Message, fx: &mut Effects) {
        let to = &self.topics[topic].subscribers;
        let Some((&last, others)) = to.split_last() else {
            return;
        };
        let mut shed = 0;
        if !others.is_empty() {
            message = message.shared();
        }
        for &place in others {
            shed += self.subscribers[place].take(message.clone(), fx);
        }
        shed += self.subscribers[last].take(message, fx);
        self.counters.delivered += to.len() as u64;
        self.counters.overflowed += shed;
    }

    /// Tells every local subscriber of a topic that so many messages will not come.
    pub(super) fn tell_missed(&mut self, topic: Place, missed: u64, fx: &mut Effects) {
        if missed == 0 {
            return;
        }
        self.counters.missed = self.counters.missed.saturating_add(missed);
        for &place in &self.topics[topic].subscribers {
            self.subscribers[place].miss(missed, fx);
        }
    }

    /// What happened so far.
    pub(crate) fn counters(&self) -> &PubSubCounters {
        &self.counters
    }

    /// How much its tables hold.
    pub(crate) fn sizes(&self) -> HubSizes {
        let of_peer = |(_, peer): (Place, &Peer)| peer.present.len() + peer.absent.len();
        HubSizes {
            subscribers: self.subscribers.len(),
            subscribed: self.subscribed.len(),
            topics: self.topics.len(),
            of_one_peer: self.peers.iter().map(of_peer).max().unwrap_or(0),
            refusing: self.refusing.len(),
        }
    }

    /// Where the messages for each subscriber went, in the order of their ids.
    pub(crate) fn audits(&self) -> impl Iterator<Item = (SubscriberId, QueueAudit)> {
        let audits = self.subscribers.iter();
        let mut audits: Vec<_> = audits
            .map(|(_, subscriber)| (subscriber.id, subscriber.queue.audit()))
            .collect();
        audits.sort_unstable_by_key(|(id, _)| *id);
        audits.into_iter()
    }

    /// Looks at everything.
    ///
    /// # Panics
    /// When something is not as it must be.
    pub(crate) fn assert_invariants(&self) {
        self.topics.assert_invariants();
        let bound = self.settings.topics_max + self.settings.interest_max;
        assert!(self.topics.len() <= bound, "{} topics", self.topics.len());
        assert!(self.subscribed.len() <= self.settings.interest_max);
        for (place, topic) in self.topics.iter() {
            let subscribed = self.subscribed.contains(&place);
            assert_eq!(subscribed, !topic.subscribers.is_empty(), "{}", topic.name);
            for &subscriber in &topic.subscribers {
                assert_eq!(self.subscribers[subscriber].topic, place);
            }
            let payer = topic
                .payer
                .map(|payer| self.peers[payer].present.contains(&place));
            assert_ne!(payer, Some(false), "{}", topic.name);
            for receiver in &topic.receivers {
                let peer = &self.peers[receiver.peer];
                let absent = receiver.interest == Interest::Absent;
                assert_eq!(peer.absent.contains(&place), absent);
                assert_eq!(peer.present.contains(&place), !absent);
                assert!(absent || peer.conn == Some(receiver.conn));
                let answer = receiver.interest == Interest::Asked;
                assert_eq!(peer.news.answers.contains(&place), answer);
                let dropped = receiver.dropped != [None, None];
                assert_eq!(peer.news.dropped.contains(&place), dropped);
            }
        }
        for (_, subscriber) in self.subscribers.iter() {
            subscriber.queue.assert_invariants();
        }
        for (place, peer) in self.peers.iter() {
            self.assert_peer(place, peer);
        }
        let linked = |peer: &Place| self.peers[*peer].conn.is_some();
        assert!(self.refusing.keys().all(linked));
    }

    fn assert_peer(&self, place: Place, peer: &Peer) {
        assert_eq!(self.names.get(&peer.name), Some(&place));
        assert!(!peer.is_nobody(), "{} is kept for nothing", peer.name);
        let interest = peer.present.len() + peer.absent.len();
        assert!(interest <= self.settings.interest_max, "{}", peer.name);
        for &topic in peer.present.iter().chain(&peer.absent) {
            assert!(self.topics[topic].position(place).is_ok());
        }
        let pays = |topic: &&Place| self.topics[**topic].payer == Some(place);
        assert_eq!(peer.present.iter().filter(pays).count(), peer.paid);
        peer.streams.assert_invariants();
        for topic in peer.streams.topics() {
            assert!(self.subscribed.contains(&topic));
        }
        let news = &peer.news;
        assert!(news.told.is_disjoint(&news.wanted));
        match peer.conn {
            Some(conn) => {
                assert_eq!(self.conns.get(&conn), Some(&place));
                let wanted: BTreeSet<_> = news.told.union(&news.wanted).copied().collect();
                assert_eq!(
                    wanted, self.subscribed,
                    "{} knows what is wanted",
                    peer.name
                );
                assert!(news.unwanted.len() <= self.settings.interest_max);
                assert_eq!(news.noisy, self.noisy.contains(&conn));
            }
            None => assert!(news.is_empty() && news.told.is_empty()),
        }
    }
}

impl Subscriber {
    /// Takes a message in, and wakes whoever waits if it had nothing to read. Returns how many gave
    /// way.
    fn take(&mut self, message: Message, fx: &mut Effects) -> u64 {
        if self.queue.is_empty() {
            fx.wake(&mut self.waker, Wake::Subscriber(self.id));
        }
        self.queue.push(message)
    }

    fn miss(&mut self, missed: u64, fx: &mut Effects) {
        if self.queue.is_empty() {
            fx.wake(&mut self.waker, Wake::Subscriber(self.id));
        }
        self.queue.push_missed(missed);
    }
}

/// A payload keeps the record alive that it came in, of up to 64 KiB. One that is shorter than this is
/// copied for subscribers that do not keep up; a longer one pins little beside itself.
const COPIED_BELOW: usize = 16 << 10;

/// A source of messages, as subscribers see it.
pub(super) fn source(topic: &Arc<str>, node: &Identity, region: &Label) -> Arc<super::Source> {
    Arc::new(super::Source {
        topic: topic.clone(),
        node: node.name.clone(),
        incarnation: node.incarnation,
        region: region.clone(),
    })
}
