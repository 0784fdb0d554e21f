//! How many peers a node takes: links, and authenticated connections that are to become links.
//!
//! Who holds the cookie can have any number of names. So a newcomer is refused where there is no room, and links
//! that stand are never given up for one. A name that has a link, or agrees on one, needs no further room: its
//! second connection, such as the test of a silent link, is always judged.

use core::net::IpAddr;

use super::{Conn, ConnId, Node};
use crate::event::CloseReason;
use crate::name::NodeName;

impl Node {
    /// Why there is no room for a connection whose other side has just said that it is `name`.
    pub(super) fn crowded(&self, id: ConnId, name: &NodeName) -> Option<CloseReason> {
        let settings = &self.config.settings.link;
        let address = self.conns.get(&id)?.remote.ip();
        if matches!(id, ConnId::In(_)) {
            let accepted = self.pending.values().flatten();
            let accepted = accepted.filter(|id| matches!(id, ConnId::In(_)));
            let (all, of_address) = self.count(accepted, address);
            if all >= settings.pending_max || of_address >= settings.handshakes_per_address {
                return Some(CloseReason::TooManyHandshakes);
            }
        }
        if self.has_place(name) {
            return None;
        }
        let agreeing = self.agreeing().filter_map(|(_, ids)| ids.first());
        let (all, of_address) = self.count(self.links.values().chain(agreeing), address);
        let is_full = all >= settings.links_max || of_address >= settings.links_per_address;
        is_full.then_some(CloseReason::Full)
    }

    /// Whether a dial to a node without a link would be in vain.
    pub(super) fn is_full_for(&self, name: &NodeName) -> bool {
        let links = self.links.len() + self.agreeing().count();
        links >= self.config.settings.link.links_max && !self.has_place(name)
    }

    fn has_place(&self, name: &NodeName) -> bool {
        self.links.contains_key(name) || self.pending.contains_key(name)
    }

    /// The names without a link that have connections which may become one.
    fn agreeing(&self) -> impl Iterator<Item = (&NodeName, &std::collections::BTreeSet<ConnId>)> {
        let pending = self.pending.iter();
        pending.filter(|(name, _)| !self.links.contains_key(*name))
    }

    /// How many of these connections there are, and how many of them are of this address.
    fn count<'a>(&self, of: impl Iterator<Item = &'a ConnId>, address: IpAddr) -> (usize, usize) {
        let is_of = |conn: &Conn| conn.remote.ip() == address;
        let conns = of.filter_map(|id| self.conns.get(id));
        conns.fold((0, 0), |(all, of_address), conn| {
            (all + 1, of_address + usize::from(is_of(conn)))
        })
    }

    pub(super) fn assert_room(&self) {
        let links = self.links.len() + self.agreeing().count();
        assert!(links <= self.config.settings.link.links_max);
    }
}
