//! Hubs side by side: who gets what, what is missed, and what is bounded.

mod hostile;
mod properties;
mod queues;
mod rules;
mod sessions;
mod shares;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::codec::{self, kind};
use crate::config::PubSubSettings;
use crate::frame::{Frame, PubSubFrame};
use crate::name::{Description, Identity};
use crate::node::ConnId;
use crate::plane::{Effects, Wake};

pub(super) const PAYLOAD_MAX: usize = 1000;

pub(super) fn name(node: usize) -> NodeName {
    format!("app@10.0.0.{}", node + 1).parse().unwrap()
}

pub(super) fn label(text: &str) -> Label {
    Label::new("label", text).unwrap()
}

pub(super) fn identity(node: usize, life: u64) -> Identity {
    Identity {
        cluster: label("test"),
        name: name(node),
        incarnation: Incarnation(life),
    }
}

pub(super) fn labels(texts: &[&str]) -> BTreeSet<Label> {
    texts.iter().map(|text| label(text)).collect()
}

pub(super) fn description(node: usize, roles: &[&str]) -> Description {
    Description {
        roles: labels(roles),
        region: label(&format!("region-{node}")),
        ..Description::of(&name(node))
    }
}

pub(super) fn hub_with(node: usize, settings: &PubSubSettings) -> Hub {
    let description = description(node, &[]);
    Hub::new(settings, PAYLOAD_MAX, &identity(node, 1), &description)
}

pub(super) fn hub(node: usize) -> Hub {
    hub_with(node, &PubSubSettings::default())
}

pub(super) fn number(conn: ConnId) -> u64 {
    match conn {
        ConnId::In(number) | ConnId::Out(number) => number,
    }
}

/// What a hub put into lanes: the link, and the body of the message's frame.
pub(super) type Sent = Vec<(ConnId, Bytes)>;

/// Publishes; the lanes of these links are full.
pub(super) fn publish_with(
    hub: &mut Hub,
    topic: &str,
    payload: &'static str,
    audience: &Audience,
    full: &[ConnId],
    fx: &mut Effects,
) -> (Result<Reach, PublishError>, Sent) {
    let mut sent = Sent::new();
    let send = |conn: ConnId, head: &[u8], payload: &Bytes| {
        if full.contains(&conn) {
            return None;
        }
        let frame = [head, &payload[..]].concat();
        let (raw, rest) = codec::split(&frame).unwrap();
        assert!(rest.is_empty() && raw.kind == kind::MESSAGE);
        sent.push((conn, Bytes::copy_from_slice(raw.body)));
        Some(100 * number(conn) as usize)
    };
    let payload = Bytes::from_static(payload.as_bytes());
    let reach = hub.publish(7, topic, &payload, audience, send, fx);
    hub.assert_invariants();
    (reach, sent)
}

pub(super) fn publish(
    hub: &mut Hub,
    topic: &str,
    payload: &'static str,
    audience: &Audience,
) -> (Result<Reach, PublishError>, Sent) {
    publish_with(hub, topic, payload, audience, &[], &mut Effects::default())
}

pub(super) fn read(hub: &mut Hub, id: SubscriberId) -> Vec<Update> {
    let mut out = VecDeque::new();
    hub.read(id, None, &mut out);
    out.into()
}

/// Messages by their payload, and how many were missed.
pub(super) fn texts(updates: &[Update]) -> Vec<String> {
    let text = |update: &Update| match update {
        Update::Message(message) => String::from_utf8(message.payload.to_vec()).unwrap(),
        Update::Missed(number) => format!("-{number}"),
    };
    updates.iter().map(text).collect()
}

pub(super) fn read_texts(hub: &mut Hub, id: SubscriberId) -> Vec<String> {
    texts(&read(hub, id))
}

/// All news of a link, each through its bytes and back.
pub(super) fn news(hub: &mut Hub, conn: ConnId) -> Vec<PubSubFrame> {
    let mut frames = Vec::new();
    while hub.has_news(conn) {
        let frame = hub.next_news(conn).expect("there are news");
        let mut bytes = Vec::new();
        codec::encode(&Frame::PubSub(frame.clone()), &mut bytes);
        assert!(bytes.len() <= 16 << 10, "{} bytes", bytes.len());
        let (raw, _) = codec::split(&bytes).unwrap();
        let back = codec::decode(raw).unwrap();
        assert_eq!(back, Some(Frame::PubSub(frame.clone())));
        frames.push(frame);
        hub.assert_invariants();
    }
    assert_eq!(hub.next_news(conn), None);
    frames
}

/// Two hubs with a link between them.
pub(super) struct Pair {
    pub(super) a: Hub,
    pub(super) b: Hub,
    pub(super) conn: ConnId,
    pub(super) fx: Effects,
}

impl Pair {
    pub(super) fn new() -> Self {
        Pair::of(hub(0), hub(1))
    }

    pub(super) fn of(a: Hub, b: Hub) -> Self {
        let mut pair = Pair {
            a,
            b,
            conn: ConnId::In(0),
            fx: Effects::default(),
        };
        pair.link(1);
        pair
    }

    /// A new session, in which both say all that there is; `life`: which life of `a` it is.
    pub(super) fn link(&mut self, life: u64) {
        self.conn = ConnId::In(number(self.conn) + 1);
        self.a.link_up(self.conn, &identity(1, 1));
        self.b.link_up(self.conn, &identity(0, life));
        self.settle();
    }

    pub(super) fn cut(&mut self) {
        self.a.link_down(self.conn);
        self.b.link_down(self.conn);
    }

    /// Carries news until there are none.
    pub(super) fn settle(&mut self) {
        while self.a.has_news(self.conn) || self.b.has_news(self.conn) {
            for frame in news(&mut self.a, self.conn) {
                self.b.on_frame(self.conn, frame, &mut self.fx);
            }
            for frame in news(&mut self.b, self.conn) {
                self.a.on_frame(self.conn, frame, &mut self.fx);
            }
        }
        self.a.assert_invariants();
        self.b.assert_invariants();
    }

    /// Publishes at `a`; what goes out.
    pub(super) fn publish(&mut self, topic: &str, payload: &'static str) -> Vec<Bytes> {
        let (reach, sent) = publish(&mut self.a, topic, payload, &Audience::All);
        reach.unwrap();
        sent.into_iter().map(|(_, body)| body).collect()
    }

    /// Publishes at `a` while the lane is full.
    pub(super) fn publish_into_full(&mut self, topic: &str, payload: &'static str) {
        let full = [self.conn];
        let audience = Audience::All;
        let (reach, _) = publish_with(&mut self.a, topic, payload, &audience, &full, &mut self.fx);
        assert_eq!(reach.unwrap().shed, 1);
    }

    /// What `a` sent comes to `b`.
    pub(super) fn arrive(&mut self, bodies: impl IntoIterator<Item = Bytes>) {
        for body in bodies {
            self.b.on_message(self.conn, body, &mut self.fx).unwrap();
            self.b.assert_invariants();
        }
    }

    /// Publishes at `a`, and it comes to `b`.
    pub(super) fn pass(&mut self, topic: &str, payload: &'static str) {
        let sent = self.publish(topic, payload);
        self.arrive(sent);
    }
}
