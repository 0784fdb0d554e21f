//! How a node leaves: it takes nothing more, lets what it has taken finish for a bounded time, says
//! goodbye and stops.
//!
//! 1. From the first order to leave on, nothing is published, called, subscribed to or served.
//! 2. The node stops at the first look at which nothing waits, and no later than the bound of the first
//!    order to leave that it was given, or of a shorter one that came later.
//! 3. Nothing waits once each peer that was sent messages, calls or answers has answered a ping that was sent
//!    behind the last of them: what an operating system has taken is lost with it when a connection is
//!    closed before the peer has read it.
//! 4. Frames that are still in a lane are counted. Each peer that has not read everything is told the last
//!    number of each of its topics, and counts the rest as missed. What the operating system has taken
//!    and the peer has not read is not counted here.
//!
//! What it does not do: it does not make applications stop, and does not wait for subscribers to read.

use core::time::Duration;
use std::collections::BTreeMap;

use super::{ConnId, Node, Output};
use crate::event::CloseReason;
use crate::frame::Frame;
use crate::link::{LaneId, LeftOver, SharedLanes};
use crate::time::Instant;

/// A node on its way out.
#[derive(Debug)]
pub(super) struct Leaving {
    /// When it stops, whatever waits.
    until: Instant,
    /// When it looks again whether anything waits: links that were taken out do not say so.
    look_at: Instant,
    /// The pings behind the last messages that were not answered yet; `None` while messages wait here.
    unread: Option<BTreeMap<ConnId, u64>>,
}

/// What a node had taken and did not send before it stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Unsent {
    /// Messages of topics, one per message and peer that did not get it. Each peer that could still be
    /// told counts them as missed.
    pub messages: u64,
    /// Calls and answers. The callers among them were told
    /// [`CallError::Disconnected`](crate::plane::CallError::Disconnected).
    pub calls: u64,
    /// Calls of others whose handler had not answered; their callers are told
    /// [`CallError::Disconnected`](crate::plane::CallError::Disconnected).
    pub unanswered: u64,
}

impl Unsent {
    /// Whether all that was taken was sent.
    pub fn is_empty(&self) -> bool {
        *self == Unsent::default()
    }
}

/// What tells how much a node that has stopped did not send.
#[derive(Debug, Default)]
pub(super) struct Farewell {
    lanes: Vec<SharedLanes>,
    unanswered: u64,
}

impl Node {
    /// What this node had taken and did not send: nothing before it has stopped. Exact once all links
    /// that were taken out have been dropped.
    pub fn unsent(&self) -> Unsent {
        let mut unsent = Unsent {
            unanswered: self.farewell.unanswered,
            ..Unsent::default()
        };
        for lanes in &self.farewell.lanes {
            let LeftOver { calls, messages } = lanes.lock().left_over();
            unsent.messages += messages;
            unsent.calls += calls;
        }
        unsent
    }

    /// The application wants to leave within this time.
    pub(super) fn on_leave(&mut self, now: Instant, within: Duration) {
        let until = now + within;
        if let Some(leaving) = &mut self.leaving {
            leaving.until = leaving.until.min(until);
            return;
        }
        self.plane.lock().stop_taking();
        self.leaving = Some(Leaving {
            until,
            look_at: now,
            unread: None,
        });
    }

    /// Stops once nothing waits, or the time is over. A node that has to wait is no longer ready.
    pub(super) fn leave_if_due(&mut self, now: Instant) {
        let Some(until) = self.leaving.as_ref().map(|leaving| leaving.until) else {
            return;
        };
        if now >= until || self.all_is_read(now) {
            return self.leave(now);
        }
        if let Some(leaving) = &mut self.leaving {
            leaving.look_at = (now + LOOK_EVERY).min(until);
        }
        let orders = self.topology.set_ready(now, false);
        self.obey(now, orders);
        self.transmit(now);
    }

    /// Whether nothing waits here, and all peers have read what was sent; asks them when it is time.
    fn all_is_read(&mut self, now: Instant) -> bool {
        let is_asked = |leaving: &Leaving| leaving.unread.is_some();
        if !self.leaving.as_ref().is_some_and(is_asked) {
            if !self.plane.lock().is_drained() {
                return false;
            }
            self.ask_whether_all_is_read(now);
        }
        let conns = &self.conns;
        let unread = self.leaving.as_mut().and_then(|it| it.unread.as_mut());
        unread.is_none_or(|unread| {
            unread.retain(|conn, _| conns.contains_key(conn));
            unread.is_empty()
        })
    }

    fn ask_whether_all_is_read(&mut self, now: Instant) {
        let links: Vec<ConnId> = self.links.values().copied().collect();
        let plane = self.plane.lock();
        let has_sent = |id: &ConnId| {
            let lanes = [LaneId::Calls, LaneId::Data].into_iter();
            let mut counts = lanes.filter_map(|lane| plane.lane(*id, lane));
            counts.any(|count| count.sent > 0)
        };
        let asked: Vec<ConnId> = links.into_iter().filter(has_sent).collect();
        drop(plane);
        let mut unread = BTreeMap::new();
        for id in asked {
            let ping = self.take_ping();
            self.send(now, id, &Frame::Ping(ping));
            unread.insert(id, ping);
        }
        self.transmit(now);
        if let Some(leaving) = &mut self.leaving {
            leaving.unread = Some(unread);
        }
    }

    /// A peer has read all that came before this ping.
    pub(super) fn has_read(&mut self, id: ConnId, ping: u64) {
        let unread = self.leaving.as_mut().and_then(|it| it.unread.as_mut());
        if let Some(unread) = unread.filter(|unread| unread.get(&id) == Some(&ping)) {
            unread.remove(&id);
        }
    }

    pub(super) fn leaving_deadline(&self) -> Option<Instant> {
        self.leaving.as_ref().map(|leaving| leaving.look_at)
    }

    fn leave(&mut self, now: Instant) {
        let unread = self.leaving.take().and_then(|leaving| leaving.unread);
        let unread = unread.unwrap_or_default();
        self.say_last_numbers(unread.keys().copied().collect());
        self.farewell.unanswered = self.plane.lock().calls_open().1 as u64;
        for id in self.all_connections() {
            if let Some(conn) = self.conns.get(&id).filter(|conn| conn.is_link()) {
                self.farewell
                    .lanes
                    .push(SharedLanes::clone(conn.link.lanes()));
            }
            self.close(now, id, CloseReason::Left);
        }
        self.plane_ends();
        self.stopped = true;
        self.emit(Output::Stopped);
    }
}

/// How often a node that leaves looks whether anything waits.
const LOOK_EVERY: Duration = Duration::from_millis(10);
