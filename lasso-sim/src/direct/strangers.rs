//! Strangers: peers that connect and are not nodes.

use core::net::IpAddr;
use core::time::Duration;
use std::collections::VecDeque;

use bytes::Bytes;
use lasso_core::time::Instant;

use super::wire::{Arrival, Owner, Socket};
use super::{DirectWorld, Event};
use crate::fabric::{Conn, End};
use crate::world::{FaultId, Opening, Refusal, Stranger};

/// One connection of a stranger.
#[derive(Debug)]
pub(super) struct Stay {
    fault: FaultId,
    opening: Bytes,
    leaves_after: Option<Duration>,
}

impl DirectWorld {
    pub(super) fn admit(&mut self, stranger: &Stranger) -> Result<(), Refusal> {
        let opening = match &stranger.opening {
            Opening::Bytes(bytes) => bytes.clone(),
            Opening::Replay => {
                let recorded = &self.wire.openings;
                let opening = recorded.get(&stranger.to.0).or(recorded.values().next());
                opening.cloned().ok_or_else(|| {
                    Refusal::Senseless("no node has dialled another yet: nothing to replay".into())
                })?
            }
        };
        let from = self.stranger_host(stranger.from);
        let port = self.hosts[stranger.to.index()].spec.address.port();
        for _ in 0..stranger.connections {
            let conn = self.fabric.connect(self.now, from, stranger.to.0, port);
            let stay = Stay {
                fault: self.fault,
                opening: opening.clone(),
                leaves_after: stranger.leaves_after,
            };
            self.wire
                .insert(conn, End::Dialler, Socket::new(Owner::Stranger(stay)));
        }
        self.take_effects();
        Ok(())
    }

    pub(super) fn arrive_at_stranger(&mut self, conn: Conn, end: End, what: Arrival) {
        match what {
            Arrival::Connected => {
                let Some(socket) = self.wire.socket(conn, end) else {
                    return;
                };
                let Owner::Stranger(stay) = &socket.owner else {
                    return;
                };
                let (fault, leaves_after) = (stay.fault, stay.leaves_after);
                if !stay.opening.is_empty() {
                    socket.unsent = VecDeque::from([stay.opening.clone()]);
                }
                *self.effects.entry(fault).or_insert(0) += 1;
                self.send_on(conn, end);
                if let Some(after) = leaves_after {
                    self.schedule(self.now + after, Event::StrangerLeaves { conn });
                }
            }
            Arrival::Closed(_) => {
                self.wire.remove(conn, end);
                self.fabric.finish(conn, end);
            }
            Arrival::Data(_) | Arrival::Accepted => {}
        }
    }

    pub(super) fn stranger_leaves(&mut self, conn: Conn) {
        if self.wire.socket(conn, End::Dialler).is_some() {
            self.close_socket(conn, End::Dialler);
        }
    }

    /// The host of a stranger: that of a node, if it claims the node's address.
    pub(super) fn stranger_host(&mut self, ip: IpAddr) -> u32 {
        let node = self.hosts.iter().position(|host| host.spec.host == ip);
        if let Some(node) = node {
            return node as u32;
        }
        if let Some((host, _)) = self.strangers.iter().find(|(_, known)| **known == ip) {
            return *host;
        }
        let host = self.fabric.add_host();
        self.strangers.insert(host, ip);
        host
    }

    pub(super) fn ip_of(&self, host: u32) -> IpAddr {
        match self.hosts.get(host as usize) {
            Some(host) => host.spec.host,
            None => self
                .strangers
                .get(&host)
                .copied()
                .unwrap_or(IpAddr::from([0, 0, 0, 0])),
        }
    }

    /// The time of the next event that no node causes by itself.
    pub(super) fn idle_until(&self, until: Instant) -> Instant {
        self.next_due().map_or(until, |due| due.min(until))
    }
}
