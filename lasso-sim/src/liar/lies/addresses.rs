//! A liar whose name has an address that nobody can dial.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use lasso_core::name::{Identity, NodeName};

use super::{Entry, Lie};

pub(super) const ENTRY: Entry = Entry {
    name: "addresses",
    summary: "claims the wildcard address, a multicast address, the broadcast address",
    weight: 2,
    make: || Box::new(Addresses),
};

#[derive(Debug)]
struct Addresses;

impl Lie for Addresses {
    fn claim(&self, identity: &mut Identity, attempt: u32) {
        let ip = CLAIMED[attempt as usize % CLAIMED.len()];
        let address = SocketAddr::new(ip, identity.name.address().port());
        identity.name = NodeName::new(identity.name.basename().clone(), address);
    }

    fn is_told_in_hello(&self) -> bool {
        true
    }
}

const CLAIMED: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    IpAddr::V4(Ipv4Addr::BROADCAST),
    IpAddr::V4(Ipv4Addr::new(224, 0, 0, 251)),
    IpAddr::V6(core::net::Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1)),
];
