//! Who wants which topic: subscribers here, and what peers say of theirs.

use super::hub::{Hub, Subscriber, source};
use super::queue::Queue;
use super::slab::Place;
use super::topics::{Interest, Receiver};
use super::{SubscribeError, SubscriberId, TOPIC_BYTES_MAX};
use crate::frame::{MissedRange, PubSubFrame, StreamStart};
use crate::name::Identity;
use crate::node::ConnId;
use crate::plane::{Effects, Wake};
use crate::shares;

impl Hub {
    /// Begins a subscription, with a bound of its own on the messages that may wait, at least 1.
    /// It gets what is published here from now on, and what peers publish after they have heard of
    /// it.
    ///
    /// # Errors
    /// See [`SubscribeError`]; nothing was changed then.
    pub(crate) fn subscribe(
        &mut self,
        topic: &str,
        queue_max: Option<usize>,
    ) -> Result<SubscriberId, SubscribeError> {
        if topic.is_empty() || topic.len() > TOPIC_BYTES_MAX {
            return Err(SubscribeError::Topic(topic.len()));
        }
        let most = self.settings.subscribers_max;
        if self.subscribers.len() >= most {
            return Err(SubscribeError::TooManySubscribers(most));
        }
        let too_many = SubscribeError::TooMany(self.settings.interest_max);
        let known = self.topics.find(topic);
        let is_subscribed = known.is_some_and(|place| self.subscribed.contains(&place));
        if !is_subscribed && self.subscribed.len() >= self.settings.interest_max {
            return Err(too_many);
        }
        let place = match known {
            Some(place) => place,
            None => self.new_topic(topic, usize::MAX).ok_or(too_many)?,
        };
        self.subscribers_ever += 1;
        let id = SubscriberId(self.subscribers_ever);
        let queue_max = queue_max.unwrap_or(self.settings.queue_max);
        let subscriber = self.subscribers.insert(Subscriber {
            id,
            topic: place,
            queue: Queue::new(queue_max, self.settings.queue_bytes_max),
            waker: None,
        });
        self.subscriber_places.insert(id, subscriber);
        self.topics[place].subscribers.push(subscriber);
        if self.subscribed.insert(place) {
            self.topics.settle(place);
            for (_, peer) in self.peers.iter_mut() {
                if peer.conn.is_some() {
                    peer.news.wanted.insert(place);
                    peer.ring(&mut self.noisy);
                }
            }
        }
        Ok(id)
    }

    /// Ends a subscription, with what it has not read. A task that waits for it is woken.
    pub(crate) fn unsubscribe(&mut self, id: SubscriberId, fx: &mut Effects) {
        let Some(at) = self.subscriber_places.remove(&id) else {
            return;
        };
        let subscriber = self.subscribers.remove(at);
        self.counters.abandoned += subscriber.queue.audit().held;
        fx.wakes.extend(subscriber.waker.map(Wake::Task));
        let place = subscriber.topic;
        let topic = &mut self.topics[place];
        topic.subscribers.retain(|&other| other != at);
        if topic.subscribers.is_empty() {
            self.unwant(place);
        }
    }

    /// The topic has lost its last subscriber.
    fn unwant(&mut self, place: Place) {
        self.subscribed.remove(&place);
        let name = self.topics[place].name.clone();
        let mut nobodies = Vec::new();
        for (at, peer) in self.peers.iter_mut() {
            peer.streams.remove(place);
            let was_told = peer.news.told.remove(&place);
            // One that is asked again may have taken it meanwhile.
            let may_know = peer.news.wanted.remove(&place) && self.refusing.contains_key(&at);
            if was_told || may_know {
                peer.news.unwanted.insert(name.clone());
                peer.ring(&mut self.noisy);
            }
            if peer.is_nobody() {
                nobodies.push(at);
            }
        }
        nobodies.into_iter().for_each(|at| self.remove_peer(at));
        self.topics.settle(place);
    }

    /// A new topic, for which an idle one is forgotten where there are `max` or more; `None` when
    /// none is idle.
    pub(super) fn new_topic(&mut self, name: &str, max: usize) -> Option<Place> {
        if self.topics.len() >= self.settings.topics_max {
            match self.topics.evict() {
                Some((place, topic)) => {
                    self.counters.topics_forgotten += 1;
                    let is_away = |receiver: &Receiver| self.peers[receiver.peer].conn.is_none();
                    let may_miss = topic.receivers.iter().any(is_away);
                    self.counters.losses_untold += u64::from(may_miss);
                    for receiver in topic.receivers {
                        self.peers[receiver.peer].absent.remove(&place);
                        self.remove_if_nobody(receiver.peer);
                    }
                }
                None if self.topics.len() >= max => return None,
                None => {}
            }
        }
        self.topics.create(name)
    }

    /// A control frame about topics has come.
    pub(crate) fn on_frame(&mut self, conn: ConnId, frame: PubSubFrame, fx: &mut Effects) {
        let Some(&peer) = self.conns.get(&conn) else {
            return;
        };
        match frame {
            PubSubFrame::Interest { add, remove } => {
                remove.iter().for_each(|topic| self.on_remove(peer, topic));
                add.iter().for_each(|topic| self.on_add(peer, conn, topic));
            }
            PubSubFrame::Streams(starts) => {
                for start in starts {
                    self.on_start(peer, &start, fx);
                }
            }
            PubSubFrame::InterestRefused => self.on_refused(peer),
            PubSubFrame::Missed(ranges) => {
                for range in ranges {
                    self.on_missed(peer, range, fx);
                }
            }
        }
    }

    fn on_remove(&mut self, peer: Place, topic: &str) {
        let Some(place) = self.topics.find(topic) else {
            return;
        };
        if self.peers[peer].present.remove(&place) {
            self.peers[peer].absent.insert(place);
            self.withdraw(peer, place);
        }
    }

    /// The peer no longer gets the topic; what it is owed of it comes with the next answer.
    pub(super) fn withdraw(&mut self, peer: Place, place: Place) {
        let news = &mut self.peers[peer].news;
        news.answers.remove(&place);
        news.dropped.remove(&place);
        let topic = &mut self.topics[place];
        topic.present -= 1;
        if let Some(receiver) = topic.receiver(peer) {
            receiver.interest = Interest::Absent;
            receiver.dropped = [None, None];
        }
        if topic.payer == Some(peer) {
            let other = topic.receivers.iter().find(|other| other.is_present());
            topic.payer = other.map(|other| other.peer);
            if let Some(other) = topic.payer {
                self.peers[other].paid += 1;
            }
            self.peers[peer].paid -= 1;
        }
        self.topics.settle(place);
    }

    fn on_add(&mut self, peer: Place, conn: ConnId, name: &str) {
        let known = self.topics.find(name);
        if known.is_some_and(|place| self.peers[peer].present.contains(&place)) {
            // It asks again, since an answer was slow.
            return;
        }
        let Some(place) = self.admit(peer, known, name) else {
            self.counters.interest_refused += 1;
            let peer = &mut self.peers[peer];
            peer.news.refused = true;
            peer.ring(&mut self.noisy);
            return;
        };
        let topic = &mut self.topics[place];
        let position = topic.position(peer).unwrap_or_else(|position| {
            let receiver = Receiver {
                peer,
                conn,
                interest: Interest::Absent,
                last: topic.rows_begin,
                dropped: [None, None],
            };
            topic.receivers.insert(position, receiver);
            position
        });
        let receiver = &mut topic.receivers[position];
        topic.present += usize::from(receiver.interest == Interest::Absent);
        receiver.conn = conn;
        receiver.interest = Interest::Asked;
        receiver.dropped = [None, None];
        self.topics.settle(place);
        let peer = &mut self.peers[peer];
        peer.absent.remove(&place);
        peer.present.insert(place);
        peer.news.dropped.remove(&place);
        peer.news.answers.insert(place);
        peer.ring(&mut self.noisy);
    }

    /// The topic that a peer asks for, if there is room for that.
    fn admit(&mut self, peer: Place, known: Option<Place>, name: &str) -> Option<Place> {
        let fits = !name.is_empty() && name.len() <= TOPIC_BYTES_MAX;
        let is_wanted = known.is_some_and(|place| self.topics[place].is_wanted());
        let free = self
            .settings
            .topics_max
            .saturating_sub(self.topics.wanted());
        let pays = !is_wanted;
        let has_share = !pays || shares::take(self.peers[peer].paid, 1, free).is_ok();
        if !fits || !has_share || !self.has_room(peer, known) {
            return None;
        }
        let place = match known {
            Some(place) => place,
            None => self.new_topic(name, self.settings.topics_max)?,
        };
        if pays {
            self.topics[place].payer = Some(peer);
            self.peers[peer].paid += 1;
        }
        Some(place)
    }

    /// True when the peer stands among the topic's receivers, or may do so; an absence gives way.
    fn has_room(&mut self, at: Place, topic: Option<Place>) -> bool {
        let peer = &mut self.peers[at];
        let stands = |topic| peer.present.contains(&topic) || peer.absent.contains(&topic);
        let interest = peer.present.len() + peer.absent.len();
        if interest < self.settings.interest_max || topic.is_some_and(stands) {
            return true;
        }
        let former = peer.absent.pop_first();
        if let Some(former) = former {
            self.topics[former].drop_receiver(at);
            self.topics.settle(former);
        }
        former.is_some()
    }

    fn on_start(&mut self, peer: Place, start: &StreamStart, fx: &mut Effects) {
        let place = self.topics.find(&start.topic);
        let Some(place) = place.filter(|place| self.subscribed.contains(place)) else {
            self.counters.unwanted += 1;
            return;
        };
        let name = &self.topics[place].name;
        let peer = &mut self.peers[peer];
        let last = [start.last_all, start.last_directed];
        let missed = peer.streams.start(place, start.stream, last, || {
            let node = Identity {
                cluster: self.me.cluster.clone(),
                name: peer.name.clone(),
                incarnation: peer.incarnation,
            };
            source(name, &node, &peer.region)
        });
        self.tell_missed(place, missed, fx);
    }

    pub(super) fn on_missed(&mut self, peer: Place, range: MissedRange, fx: &mut Effects) {
        let MissedRange {
            stream,
            row,
            from,
            to,
        } = range;
        let Some(incoming) = self.peers[peer].streams.live(stream) else {
            self.counters.unwanted += 1;
            return;
        };
        let missed = incoming.dropped(row, from, to);
        let topic = incoming.topic;
        self.tell_missed(topic, missed, fx);
    }
}
