//! The resolver of a simulation: the true addresses, and the wrong answers that some nodes get.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use lasso_core::discovery::Family;
use lasso_core::node::DnsAnswer;

use crate::scenario::NodeId;
use crate::world::{DnsMode, FaultId};

/// How one name is answered to one node.
#[derive(Debug)]
struct Told {
    mode: DnsMode,
    /// The true addresses when the order was given.
    then: Vec<SocketAddr>,
    fault: FaultId,
}

/// The names of a simulation.
#[derive(Debug, Default)]
pub struct Zone {
    /// Addresses of the nodes that run, by name and in the order of the nodes.
    names: BTreeMap<String, BTreeMap<NodeId, SocketAddr>>,
    told: BTreeMap<(NodeId, String), Told>,
    effects: BTreeMap<FaultId, u64>,
}

impl Zone {
    /// Records that the process of a node runs at `address` now; `None`: it no longer runs.
    pub fn set(&mut self, name: &str, node: NodeId, address: Option<SocketAddr>) {
        let nodes = self.names.entry(name.to_owned()).or_default();
        match address {
            Some(address) => nodes.insert(node, address),
            None => nodes.remove(&node),
        };
    }

    /// Sets how a name is answered to these nodes from now on.
    pub fn tell(&mut self, name: &str, seen_by: &[NodeId], mode: &DnsMode, fault: FaultId) {
        let then = self.truth(name);
        for node in seen_by {
            let key = (*node, name.to_owned());
            if *mode == DnsMode::Truth {
                self.told.remove(&key);
            } else {
                let told = Told {
                    mode: mode.clone(),
                    then: then.clone(),
                    fault,
                };
                self.told.insert(key, told);
            }
        }
    }

    /// True while some node gets a wrong answer for some name.
    pub fn is_disturbed(&self) -> bool {
        !self.told.is_empty()
    }

    /// Answers a question; `None`: never.
    pub fn answer(&mut self, asker: NodeId, name: &str, family: Family) -> Option<DnsAnswer> {
        let truth = self.truth(name);
        let Some(told) = self.told.get(&(asker, name.to_owned())) else {
            return Some(answer(truth, family, false));
        };
        let count = self.effects.entry(told.fault).or_insert(0);
        *count += 1;
        match &told.mode {
            DnsMode::Truth => Some(answer(truth, family, false)),
            DnsMode::Fails => Some(DnsAnswer::Failed("server failure".to_owned())),
            DnsMode::Silent => None,
            DnsMode::Empty => Some(DnsAnswer::Empty),
            DnsMode::Truncated(count) => {
                let first = truth.into_iter().take(*count).collect();
                Some(answer(first, family, true))
            }
            DnsMode::Stale => Some(answer(told.then.clone(), family, false)),
            DnsMode::Answers(addresses) => {
                let port = truth
                    .first()
                    .map_or(lasso_core::name::DEFAULT_PORT, SocketAddr::port);
                let addresses = addresses.iter().map(|ip| SocketAddr::new(*ip, port));
                Some(answer(addresses.collect(), family, false))
            }
        }
    }

    /// How many answers this fault has changed.
    pub fn effects(&self, fault: FaultId) -> u64 {
        self.effects.get(&fault).copied().unwrap_or(0)
    }

    fn truth(&self, name: &str) -> Vec<SocketAddr> {
        let mut addresses: Vec<SocketAddr> = self
            .names
            .get(name)
            .into_iter()
            .flat_map(BTreeMap::values)
            .copied()
            .collect();
        // A host that was given to another node appears once.
        addresses.sort();
        addresses.dedup();
        addresses
    }
}

fn answer(addresses: Vec<SocketAddr>, family: Family, truncated: bool) -> DnsAnswer {
    let fits = |ip: IpAddr| match family {
        Family::A => ip.is_ipv4(),
        Family::Aaaa => ip.is_ipv6(),
        Family::Srv => true,
    };
    let addresses: Vec<(IpAddr, Option<u16>)> = addresses
        .into_iter()
        .filter(|address| fits(address.ip()))
        .map(|address| {
            (
                address.ip(),
                (family == Family::Srv).then_some(address.port()),
            )
        })
        .collect();
    if addresses.is_empty() && !truncated {
        DnsAnswer::Empty
    } else {
        DnsAnswer::Addresses {
            addresses,
            truncated,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "app.internal";
    const A: NodeId = NodeId(0);
    const B: NodeId = NodeId(1);
    const FAULT: FaultId = FaultId(3);

    fn zone() -> Zone {
        let mut zone = Zone::default();
        zone.set(NAME, A, Some("10.0.0.1:9155".parse().unwrap()));
        zone.set(NAME, B, Some("[fdaa::2]:9155".parse().unwrap()));
        zone
    }

    fn ips(answer: Option<DnsAnswer>) -> Vec<String> {
        match answer {
            Some(DnsAnswer::Addresses { addresses, .. }) => {
                addresses.iter().map(|(ip, _)| ip.to_string()).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_truth_is_told_by_family() {
        let mut zone = zone();
        assert_eq!(ips(zone.answer(A, NAME, Family::A)), ["10.0.0.1"]);
        assert_eq!(ips(zone.answer(A, NAME, Family::Aaaa)), ["fdaa::2"]);
        assert_eq!(
            zone.answer(A, "other.internal", Family::A),
            Some(DnsAnswer::Empty)
        );
    }

    #[test]
    fn a_fault_is_seen_by_those_it_is_for_and_counted() {
        let mut zone = zone();
        zone.tell(NAME, &[A], &DnsMode::Empty, FAULT);
        assert_eq!(zone.answer(A, NAME, Family::A), Some(DnsAnswer::Empty));
        assert_eq!(ips(zone.answer(B, NAME, Family::A)), ["10.0.0.1"]);
        assert_eq!(zone.effects(FAULT), 1);
        zone.tell(NAME, &[A], &DnsMode::Truth, FAULT);
        assert!(!zone.is_disturbed());
        assert_eq!(ips(zone.answer(A, NAME, Family::A)), ["10.0.0.1"]);
    }

    #[test]
    fn a_stale_answer_is_what_was_true_when_the_order_came() {
        let mut zone = zone();
        zone.tell(NAME, &[A], &DnsMode::Stale, FAULT);
        zone.set(NAME, A, None);
        assert_eq!(ips(zone.answer(A, NAME, Family::A)), ["10.0.0.1"]);
        assert_eq!(zone.answer(B, NAME, Family::A), Some(DnsAnswer::Empty));
    }
}
