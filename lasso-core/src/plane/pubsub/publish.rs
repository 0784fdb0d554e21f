//! Publishing: numbers, and who gets what.

use bytes::Bytes;

use super::hub::{Hub, source};
use super::peer::Peer;
use super::slab::{Place, Slab};
use super::topics::{Interest, Receiver};
use super::wire::{self, MessageHead};
use super::{Audience, Content, PublishError, Reach, Row, TOPIC_BYTES_MAX};
use crate::node::ConnId;
use crate::plane::Effects;

impl Hub {
    /// Gives a message to the local subscribers and to each peer in the audience that is interested.
    /// `send` appends head and payload to the data lane of a link, and says how many bytes wait there
    /// then; `None`: it is full, and the message is dropped for that peer, which will be told.
    ///
    /// # Errors
    /// See [`PublishError`]; nothing was published then.
    pub(crate) fn publish(
        &mut self,
        unix_ms: u64,
        topic: &str,
        payload: &Bytes,
        audience: &Audience,
        send: impl FnMut(ConnId, &[u8], &Bytes) -> Option<usize>,
        fx: &mut Effects,
    ) -> Result<Reach, PublishError> {
        if topic.is_empty() || topic.len() > TOPIC_BYTES_MAX {
            return Err(PublishError::Topic(topic.len()));
        }
        if payload.len() > self.payload_bytes_max {
            return Err(PublishError::TooLarge {
                bytes: payload.len(),
                max: self.payload_bytes_max,
            });
        }
        let receivers = self.choose(audience)?;
        self.counters.published += 1;
        let Some(place) = self.topic_to_publish(topic) else {
            return Ok(Reach::default());
        };
        let mut round = Round {
            topic: place,
            stream: self.topics[place].stream,
            unix_ms,
            payload,
            send,
            reach: Reach::default(),
        };
        let local = self.send_to(receivers, &mut round);
        let mut reach = round.reach;
        self.counters.sent += reach.nodes as u64;
        self.counters.shed += reach.shed as u64;
        if let Some((row, number)) = local {
            reach.subscribers = self.deliver_own(place, row, number, unix_ms, payload, fx);
        }
        Ok(reach)
    }

    /// Whether anybody on this node is subscribed to a topic.
    pub(crate) fn has_subscribers(&self, topic: &str) -> bool {
        let place = self.topics.find(topic);
        place.is_some_and(|place| !self.topics[place].subscribers.is_empty())
    }

    fn choose<'a>(&self, audience: &'a Audience) -> Result<Receivers<'a>, PublishError> {
        Ok(match audience {
            Audience::All => Receivers::All,
            Audience::Local => Receivers::Own,
            Audience::Node(name) if *name == self.me.name => Receivers::Own,
            Audience::Node(name) => {
                let peer = self.names.get(name).copied();
                let linked = peer.filter(|&peer| self.peers[peer].conn.is_some());
                Receivers::Peer(linked.ok_or_else(|| PublishError::NotConnected(name.clone()))?)
            }
            Audience::Role(role) => Receivers::Role {
                own: self.roles.contains(role),
                role,
            },
        })
    }

    /// The topic, which is made if need be; `None` when the table is full of topics that somebody
    /// wants, so that nobody wants this one.
    fn topic_to_publish(&mut self, name: &str) -> Option<Place> {
        match self.topics.find_again(name) {
            Some(place) => {
                self.topics.touch(place);
                Some(place)
            }
            None => self.new_topic(name, self.settings.topics_max),
        }
    }

    /// Numbers the message and sends it to the peers. Returns row and number for the subscribers
    /// here, if they are to get it.
    fn send_to<S: FnMut(ConnId, &[u8], &Bytes) -> Option<usize>>(
        &mut self,
        receivers: Receivers<'_>,
        round: &mut Round<'_, S>,
    ) -> Option<(Row, u64)> {
        let Hub {
            topics,
            peers,
            noisy,
            ..
        } = self;
        let topic = &mut topics[round.topic];
        let mut own = false;
        match receivers {
            Receivers::All => {
                topic.last_all += 1;
                let number = topic.last_all;
                if topic.present > 0 {
                    let head = round.head(Row::All, number);
                    for receiver in &mut topic.receivers {
                        round.send(receiver, Row::All, number, &head, peers, noisy);
                    }
                }
                return Some((Row::All, number));
            }
            Receivers::Own => own = true,
            Receivers::Peer(peer) => {
                if let Some(receiver) = topic.receiver(peer) {
                    round.send_directed(receiver, peers, noisy);
                }
            }
            Receivers::Role { own: here, role } => {
                own = here;
                for receiver in &mut topic.receivers {
                    if peers[receiver.peer].roles.contains(role) {
                        round.send_directed(receiver, peers, noisy);
                    }
                }
            }
        }
        own.then(|| {
            topic.last_own += 1;
            (Row::Directed, topic.last_own)
        })
    }

    fn deliver_own(
        &mut self,
        place: Place,
        row: Row,
        number: u64,
        unix_ms: u64,
        payload: &Bytes,
        fx: &mut Effects,
    ) -> usize {
        let topic = &mut self.topics[place];
        let subscribers = topic.subscribers.len();
        if subscribers > 0 {
            let own = topic
                .own
                .get_or_insert_with(|| source(&topic.name, &self.me, &self.region));
            let message = Content {
                source: own.clone(),
                row,
                number,
                unix_ms,
                payload: payload.clone(),
            };
            self.deliver(place, message.into(), fx);
        }
        subscribers
    }
}

/// Whom an audience comes down to.
enum Receivers<'a> {
    All,
    Own,
    Peer(Place),
    Role {
        own: bool,
        role: &'a crate::name::Label,
    },
}

/// One message on its way to the peers.
struct Round<'a, S> {
    topic: Place,
    stream: u32,
    unix_ms: u64,
    payload: &'a Bytes,
    send: S,
    reach: Reach,
}

impl<S: FnMut(ConnId, &[u8], &Bytes) -> Option<usize>> Round<'_, S> {
    fn head(&self, row: Row, number: u64) -> wire::FrameHead {
        let head = MessageHead {
            stream: self.stream,
            row,
            number,
            unix_ms: self.unix_ms,
        };
        wire::encode(&head, self.payload.len())
    }

    fn send(
        &mut self,
        receiver: &mut Receiver,
        row: Row,
        number: u64,
        head: &wire::FrameHead,
        peers: &mut Slab<Peer>,
        noisy: &mut Vec<ConnId>,
    ) {
        if receiver.interest != Interest::Active {
            return;
        }
        if let Some(waiting) = (self.send)(receiver.conn, head.as_slice(), self.payload) {
            self.reach.nodes += 1;
            self.reach.fullest_lane_bytes = self.reach.fullest_lane_bytes.max(waiting);
            return;
        }
        self.reach.shed += 1;
        if receiver.note_dropped(row, number) {
            let peer = &mut peers[receiver.peer];
            peer.news.dropped.insert(self.topic);
            peer.ring(noisy);
        }
    }

    /// The number is used up also where the peer is away, so that it learns of it when it is back.
    fn send_directed(
        &mut self,
        receiver: &mut Receiver,
        peers: &mut Slab<Peer>,
        noisy: &mut Vec<ConnId>,
    ) {
        receiver.last += 1;
        let number = receiver.last;
        let head = self.head(Row::Directed, number);
        self.send(receiver, Row::Directed, number, &head, peers, noisy);
    }
}
