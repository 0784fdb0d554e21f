//! How many peers a node takes: links, and authenticated connections that are to become links.
//!
//! Who holds the cookie can have any number of names. So a newcomer is refused where there is no room, and links
//! that stand are never given up for one. A name that has a link, or agrees on one, needs no further place
//! among the links. Its second connection, such as the test of a silent link, still counts as one that is to become a link.

use core::net::IpAddr;
use std::collections::BTreeSet;

use super::{ConnId, Node, Step};
use crate::event::CloseReason;
use crate::name::NodeName;

impl Node {
    /// Why there is no room for a connection whose other side has just said that it is `name`.
    pub(super) fn crowded(&self, id: ConnId, name: &NodeName) -> Option<CloseReason> {
        let settings = &self.config.settings.link;
        let address = self.conns.get(&id)?.remote.ip();
        if matches!(id, ConnId::In(_)) {
            let accepted = |id: &ConnId| matches!(id, ConnId::In(_));
            let all = self.pending.values().flatten();
            let of_address = self.met_from(address).filter(|(id, ..)| accepted(id));
            let of_address = of_address.filter(|(.., step)| *step != Step::Linked);
            if all.filter(|id| accepted(id)).count() >= settings.pending_max
                || of_address.count() >= settings.handshakes_per_address
            {
                return Some(CloseReason::TooManyHandshakes);
            }
        }
        if self.has_place(name) {
            return None;
        }
        let of_address = self.met_from(address).map(|(_, name, _)| name);
        let of_address = of_address.collect::<BTreeSet<_>>().len();
        let is_full = self.is_full() || of_address >= settings.links_per_address;
        is_full.then_some(CloseReason::Full)
    }

    /// Whether a dial to a node without a link would be in vain.
    pub(super) fn is_full_for(&self, name: &NodeName) -> bool {
        self.is_full() && !self.has_place(name)
    }

    fn is_full(&self) -> bool {
        let most = self.config.settings.link.links_max;
        // Mostly there is much room, and nothing needs to be counted.
        self.links.len() + self.pending.len() >= most && self.places() >= most
    }

    /// Names that are linked, or have a connection that may become a link.
    fn places(&self) -> usize {
        let pending = self.pending.keys();
        let agreeing = pending.filter(|name| !self.links.contains_key(*name));
        self.links.len() + agreeing.count()
    }

    fn has_place(&self, name: &NodeName) -> bool {
        self.links.contains_key(name) || self.pending.contains_key(name)
    }

    /// The authenticated connections of an address.
    fn met_from(&self, address: IpAddr) -> impl Iterator<Item = (ConnId, &NodeName, Step)> {
        let from = self.by_address.range((address, ConnId::In(0))..);
        let of_address = from.take_while(move |(other, _)| *other == address);
        of_address.filter_map(|&(_, id)| {
            let (hello, step) = self.conns.get(&id)?.met()?;
            Some((id, &hello.identity.name, step))
        })
    }

    pub(super) fn assert_room(&self) {
        assert!(self.places() <= self.config.settings.link.links_max);
        let met = self.conns.iter().filter(|(_, conn)| conn.met().is_some());
        assert!(
            met.clone()
                .all(|(id, conn)| self.by_address.contains(&(conn.remote.ip(), *id)))
        );
        assert_eq!(met.count(), self.by_address.len());
    }
}
