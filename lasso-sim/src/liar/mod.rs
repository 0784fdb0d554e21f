//! A liar holds the cookie, links up like any node, and then breaks the protocol on purpose.
//!
//! It drives lasso-core's own [`Link`] machine, so that it seals its bytes as a node does. It adds the minimum
//! that nodes demand of a member: its `Hello`, its part in choosing the link, a description of itself, and
//! answers to health checks. A [`Lie`] then breaks the protocol; each is a file in [`lies`]. A liar does not
//! subscribe, publish, serve or call by itself.
//!
//! A world gives it bytes and time, sends its bytes, and reconnects it until its time is over; [`Lying`] holds
//! that time and the node that it lies to.

pub mod lies;
mod says;

use core::time::Duration;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use lasso_core::codec::{self, kind};
use lasso_core::config::LinkSettings;
use lasso_core::frame::{Frame, Hello, TopologyFrame, VERSION_MAX, VERSION_MIN};
use lasso_core::link::{Link, LinkEvent, Role};
use lasso_core::name::{Description, Identity, NodeName};
use lasso_core::secure::{ReplayGuard, Security};
use lasso_core::time::Instant;

pub use self::lies::Lie;
pub use self::says::Says;
use self::says::first_varint;
use crate::scenario::NodeId;

/// The order of a step: the liar, the node that it lies to, the lie, and the duration.
#[derive(Debug, Clone)]
pub struct Lying {
    /// The node that it connects to.
    pub to: NodeId,
    /// Where it connects from.
    pub from: IpAddr,
    /// The identity that it claims. Its incarnation is the first one; a lie may claim another.
    pub identity: Identity,
    /// The secret of the node that it lies to.
    pub security: Arc<Security>,
    /// How it lies.
    pub lie: &'static lies::Entry,
    /// The topic or method of its lies.
    pub topic: Option<Arc<str>>,
    /// It connects again after each lost connection until this has passed; then it leaves.
    pub lasts: Duration,
}

impl Lying {
    /// The identity that it claims on its n-th connection, counted from 0.
    pub fn identity(&self, attempt: u32) -> Identity {
        let mut identity = self.identity.clone();
        (self.lie.make)().claim(&mut identity, attempt);
        identity
    }

    /// Every identity that it may claim.
    pub fn identities(&self) -> impl Iterator<Item = Identity> {
        let attempts = self.lasts.as_secs() / AGAIN.as_secs() + 1;
        (0..=attempts as u32).map(|attempt| self.identity(attempt))
    }
}

/// One connection of a lying member.
pub struct Liar {
    link: Link,
    guard: ReplayGuard,
    identity: Identity,
    lie: Box<dyn Lie>,
    topic: Arc<str>,
    /// The node that it lies to, after that node's `Hello`.
    peer: Option<NodeName>,
    linked: bool,
    over: bool,
    /// Lies told since the last [`Liar::take_told`].
    told: u64,
}

impl Liar {
    /// A liar whose connection has just been opened.
    pub fn new(now: Instant, lying: &Lying, attempt: u32, seed: [u8; 32]) -> Liar {
        let settings = LinkSettings::default();
        let mut liar = Liar {
            link: Link::new(now, Role::Dialer, &lying.security, &settings, seed),
            guard: ReplayGuard::new(),
            identity: lying.identity(attempt),
            lie: (lying.lie.make)(),
            topic: lying.topic.clone().unwrap_or_else(|| "lies".into()),
            peer: None,
            linked: false,
            over: false,
            told: 0,
        };
        let hello = Hello {
            identity: liar.identity.clone(),
            version_min: VERSION_MIN,
            version_max: VERSION_MAX,
            features: Default::default(),
            tick_ms: settings.tick_time.as_millis() as u64,
            probe: false,
        };
        liar.say(now, &Frame::Hello(hello));
        liar
    }

    /// Bytes came from the node.
    pub fn receive(&mut self, now: Instant, bytes: &[u8]) {
        let mut events = Vec::new();
        let received = self.link.receive(now, bytes, &mut self.guard, &mut events);
        for event in events {
            match event {
                LinkEvent::Frame(frame) => self.on_frame(now, &frame),
                LinkEvent::Text(text) => self.on_text(now, &text),
                LinkEvent::GivenUp(_) | LinkEvent::Silent => {}
            }
        }
        self.over |= received.is_err();
    }

    /// Time has passed: to be called every [`EVERY`].
    pub fn tick(&mut self, now: Instant) {
        let mut events = Vec::new();
        self.over |= self.link.tick(now, &mut events).is_err();
        if self.linked && !self.over {
            let mut says = Says::new(now, &mut self.link, &self.topic, &mut self.told);
            self.lie.tick(&mut says);
            self.over = self.lie.hangs_up();
        }
    }

    /// The next bytes for the node; to be called until there are none.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Bytes> {
        self.link.poll_transmit(now)
    }

    /// Its kernel took this many bytes.
    pub fn written(&mut self, now: Instant, bytes: usize) {
        self.link.written(now, bytes);
    }

    /// How often it has lied since the last call: over a link, or with its `Hello` if the node heard it.
    pub fn take_told(&mut self) -> u64 {
        core::mem::take(&mut self.told)
    }

    /// The connection is closed or broken.
    pub fn is_over(&self) -> bool {
        self.over
    }

    fn say(&mut self, now: Instant, frame: &Frame) {
        self.over |= self.link.send(now, frame).is_err();
    }

    fn on_frame(&mut self, now: Instant, frame: &Frame) {
        match frame {
            Frame::Hello(hello) => {
                self.link.set_peer_tick(hello.tick_time());
                let theirs = hello.identity.name.clone();
                if self.identity.name > theirs {
                    self.say(now, &Frame::Offer);
                }
                self.peer = Some(theirs);
                self.told += u64::from(self.lie.is_told_in_hello());
            }
            Frame::Offer if self.peer.as_ref().is_some_and(|p| self.identity.name < *p) => {
                self.say(now, &Frame::Adopt);
                self.on_linked(now);
            }
            Frame::Adopt => self.on_linked(now),
            Frame::Close(_) => {
                // A refusal in place of a `Hello`: the node heard its claim.
                let heard = self.peer.is_none() && self.lie.is_told_in_hello();
                self.told += u64::from(heard);
                self.over = true;
            }
            Frame::Topology(frame) if self.lie.ignores(frame) => self.told += 1,
            Frame::Topology(frame) => self.on_topology(now, frame),
            _ => {}
        }
    }

    fn on_linked(&mut self, now: Instant) {
        self.link.established(now);
        self.linked = true;
        if self.lie.mutes_data() {
            self.link.mute_data();
        }
        let mut says = Says::new(now, &mut self.link, &self.topic, &mut self.told);
        self.lie.linked(&mut says);
    }

    fn on_topology(&mut self, now: Instant, frame: &TopologyFrame) {
        let answer = match frame {
            TopologyFrame::Describe { id } => TopologyFrame::Description {
                id: *id,
                description: Description::of(&self.identity.name),
                ready: self.lie.is_ready(),
            },
            TopologyFrame::Check { id, .. } => TopologyFrame::Health {
                id: *id,
                ready: self.lie.is_ready(),
                view_hash: 0,
                view: None,
            },
            _ => return,
        };
        self.say(now, &Frame::Topology(answer));
    }

    fn on_text(&mut self, now: Instant, text: &[u8]) {
        let mut rest = text;
        while let Ok((raw, after)) = codec::split(rest) {
            rest = after;
            let mut says = Says::new(now, &mut self.link, &self.topic, &mut self.told);
            if raw.kind == kind::MESSAGE && self.lie.mutes_data() {
                says.nothing();
            }
            match (raw.kind, codec::decode(raw)) {
                (kind::INTEREST, Ok(Some(Frame::PubSub(frame)))) => {
                    self.lie.interest(&frame, &mut says);
                }
                (kind::CALL, _) => {
                    if let Some(call) = first_varint(raw.body) {
                        self.lie.called(call, &mut says);
                    }
                }
                _ => {}
            }
            if after.is_empty() {
                return;
            }
        }
    }
}

impl core::fmt::Debug for Liar {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Liar")
            .field("identity", &self.identity)
            .field("lie", &self.lie)
            .field("linked", &self.linked)
            .field("over", &self.over)
            .finish_non_exhaustive()
    }
}

/// How often a liar lies.
pub const EVERY: Duration = Duration::from_millis(100);
/// How long it waits before it connects again.
pub const AGAIN: Duration = Duration::from_secs(1);
