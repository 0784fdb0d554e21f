//! Accepted connections whose other side has not shown that it knows the secret.
//!
//! Drivers number accepted connections upwards, so that the smallest number is the oldest.

use core::net::IpAddr;
use std::collections::BTreeMap;

use super::ConnId;

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    by_age: BTreeMap<ConnId, IpAddr>,
    per_address: BTreeMap<IpAddr, usize>,
}

impl Strangers {
    pub(super) fn add(&mut self, conn: ConnId, address: IpAddr) {
        if self.by_age.insert(conn, address).is_none() {
            *self.per_address.entry(address).or_default() += 1;
        }
    }

    /// Takes one out, if it is there.
    pub(super) fn remove(&mut self, conn: ConnId) {
        let Some(address) = self.by_age.remove(&conn) else {
            return;
        };
        if let Some(count) = self.per_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.per_address.remove(&address);
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_age.len()
    }

    pub(super) fn of_address(&self, address: IpAddr) -> usize {
        self.per_address.get(&address).copied().unwrap_or(0)
    }

    pub(super) fn oldest(&self) -> Option<ConnId> {
        self.by_age.first_key_value().map(|(conn, _)| *conn)
    }

    pub(super) fn oldest_of(&self, address: IpAddr) -> Option<ConnId> {
        let of_address = |entry: &(&ConnId, &IpAddr)| *entry.1 == address;
        self.by_age.iter().find(of_address).map(|(conn, _)| *conn)
    }
}
