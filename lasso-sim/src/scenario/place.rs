//! Gives every node its address, and completes it.

use core::ops::Range;
use core::time::Duration;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use lasso_core::discovery::Query;
use lasso_core::name::{Description, Label, NodeName};

use super::draft::Draft;
use super::each;
use super::errors::Diagnostic;
use super::model::{NodeId, NodeSpec};
use super::names::Origin;
use super::reader::Reader;
use super::value::Value;

/// A node whose draft is complete, with the parts still to be resolved.
pub(super) struct Placed<'v> {
    pub(super) key: String,
    pub(super) span: Range<usize>,
    pub(super) draft: Draft<'v>,
}

/// Gives every node its address, and completes it.
pub(super) fn place(reader: &mut Reader<'_>, placed: Vec<Placed<'_>>) {
    let given: BTreeSet<IpAddr> = placed
        .iter()
        .flat_map(|node| [node.draft.ip, node.draft.host])
        .flatten()
        .collect();
    let mut free = (0u32..)
        .map(|n| IpAddr::V4(Ipv4Addr::new(10, 0, (n / 250) as u8, (n % 250 + 1) as u8)))
        .filter(|ip| !given.contains(ip));
    let mut peers = Vec::new();
    for (index, node) in placed.into_iter().enumerate() {
        let Placed { key, span, draft } = node;
        let ip = draft
            .ip
            .unwrap_or_else(|| free.next().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        let address = SocketAddr::new(ip, draft.port);
        let name = NodeName::new(draft.app.clone(), address);
        let mut description = Description::of(&name);
        description.id = draft.id.unwrap_or(description.id);
        description.region = draft.region;
        description.version = draft.version;
        description.roles = draft.roles;
        let own_name = format!("{}.internal", draft.app);
        let own = || Query {
            name: draft.dns_name.clone().unwrap_or_else(|| own_name.clone()),
            srv: false,
            basename: None,
        };
        let queries = draft.dns.unwrap_or_else(|| vec![own()]);
        let id = NodeId(index as u32);
        if description.region != Label::unknown() {
            reader
                .names
                .add_to(Origin::Region, description.region.as_str(), &[id]);
        }
        for role in &description.roles {
            reader.names.add_to(Origin::Role, role.as_str(), &[id]);
        }
        peers.push(draft.peers);
        let loc = reader.loc(&span);
        let spread = if draft.spread {
            each::spread(reader.pick, &key)
        } else {
            Duration::ZERO
        };
        reader.nodes.push(NodeSpec {
            key,
            loc,
            basename: draft.app,
            address,
            host: draft.host.unwrap_or(ip),
            dns_name: draft.dns_name.unwrap_or_else(|| own_name.clone()),
            cluster: draft.cluster,
            description,
            cookie: draft.cookie,
            cookie_previous: draft.cookie_previous,
            queries,
            peers: Vec::new(),
            expected_nodes: draft.expected,
            settings: draft.settings,
            starts: draft.starts.map(|starts| starts + spread),
            ready: draft.ready,
            clock_offset_ms: draft.clock_ms,
        });
    }
    resolve_peers(reader, &peers);
    refuse_shared_hosts(reader);
}

fn resolve_peers(reader: &mut Reader<'_>, peers: &[Option<&Value>]) {
    for (index, value) in peers.iter().enumerate() {
        let Some(value) = value else { continue };
        let Some(found) = reader.node_set(value) else {
            continue;
        };
        let me = NodeId(index as u32);
        let others = found.into_iter().filter(|peer| *peer != me);
        let names = others
            .map(|peer| reader.nodes[peer.index()].name())
            .collect();
        reader.nodes[index].peers = names;
    }
}

/// Reports two nodes at one address that both start at a given time.
fn refuse_shared_hosts(reader: &mut Reader<'_>) {
    let mut seen: Vec<(IpAddr, u16, usize)> = Vec::new();
    let mut errors = Vec::new();
    for (index, node) in reader.nodes.iter().enumerate() {
        if node.starts.is_none() {
            continue;
        }
        let place = (node.host, node.address.port());
        match seen.iter().find(|(ip, port, _)| (*ip, *port) == place) {
            None => seen.push((place.0, place.1, index)),
            Some((ip, _, first)) => {
                let other = &reader.nodes[*first];
                let message = format!("`{}` and `{}` would both be at {ip}", other.key, node.key);
                errors.push(
                    Diagnostic::new(node.loc.span.clone(), message)
                        .label("give it `starts = \"later\"`, or `host`")
                        .also(other.loc.span.clone(), "the other one"),
                );
            }
        }
    }
    for error in errors {
        reader.error(error);
    }
}
