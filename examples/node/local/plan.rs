//! What each node of a local cluster is told, and whether there is room for all of them.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use lasso::NodeName;
use lasso::config::{Config, Loader, keygen};

use super::DECIDED;
use crate::cli::LocalOptions;
use crate::failure::Failure;

/// The name under which DNS knows the nodes.
pub(crate) const QUERY: &str = "nodes.lasso.internal";

/// Regions of the nodes, in turn, unless the operator names one.
const REGIONS: [&str; 3] = ["iad", "sjc", "fra"];

/// A variable and its value.
type Variable = (&'static str, String);

/// One node to start.
pub(crate) struct Plan {
    /// Its name.
    pub(crate) name: NodeName,
    /// What it is told.
    pub(crate) variables: Vec<Variable>,
}

/// The nodes to start. Their DNS answers at `dns`.
///
/// # Errors
/// The operator's variables do not hold together, or an address or port is not to be had.
pub(crate) fn plans(options: &LocalOptions, dns: SocketAddr) -> Result<Vec<Plan>, Failure> {
    let cookie = keygen().map_err(|error| Failure::new(format!("no random secret: {error}")))?;
    let mut plans = Vec::new();
    let mut taken = Vec::new();
    for number in 0..u32::from(options.count) {
        let ip = address(options.base, number)?;
        let region = REGIONS[number as usize % REGIONS.len()];
        let decided = [
            ("CLUSTER_DNS_QUERY", QUERY.to_owned()),
            ("CLUSTER_DNS_SERVER", dns.to_string()),
            ("CLUSTER_NODE_IP", ip.to_string()),
            ("EXPECTED_NODE_COUNT", options.count.to_string()),
            ("RELEASE_COOKIE", cookie.clone()),
            ("HTTP_BIND", ip.to_string()),
        ];
        let usual = [
            ("CLUSTER_NODE_BASENAME", "lasso".to_owned()),
            ("CLUSTER_REGION", region.to_owned()),
        ];
        let mut variables: Vec<Variable> = decided.into();
        variables.extend(options.variables.iter().cloned());
        let missing = usual
            .into_iter()
            .filter(|(name, _)| !is_given(options, name));
        variables.extend(missing);
        let config = config(&variables)?;
        if let Err(error) = TcpListener::bind((ip, config.port)) {
            taken.push(explain(ip, config.port, &error));
        } else if let Some(port) = http_port(ip, &config) {
            variables.retain(|(name, _)| *name != "HTTP_PORT");
            variables.push(("HTTP_PORT", port.to_string()));
        }
        plans.push(Plan {
            name: config.node_name(),
            variables,
        });
    }
    if taken.is_empty() {
        Ok(plans)
    } else {
        let list = taken.join("\n  ");
        Err(Failure::new(format!(
            "cannot start {} nodes from {}:\n  {list}\nuse --local-base or --cluster-port to go elsewhere",
            options.count, options.base
        )))
    }
}

/// The address of the node of that number.
fn address(base: Ipv4Addr, number: u32) -> Result<Ipv4Addr, Failure> {
    base.to_bits()
        .checked_add(number)
        .map(Ipv4Addr::from_bits)
        .filter(Ipv4Addr::is_loopback)
        .ok_or_else(|| {
            Failure::new(format!(
                "--local-base {base}: node {} would not be on loopback; accepted: 127.0.0.1 to \
                 127.255.255.190",
                number + 1
            ))
        })
}

/// True when the operator gave that variable.
fn is_given(options: &LocalOptions, name: &str) -> bool {
    options.variables.iter().any(|(given, _)| *given == name)
        || std::env::var_os(name).is_some_and(|value| !value.is_empty())
}

/// The configuration as the node will read it: its variables over what it inherits.
fn config(variables: &[Variable]) -> Result<Config, Failure> {
    let inherited = std::env::vars().filter(|(name, _)| !DECIDED.contains(&name.as_str()));
    Loader::new()
        .flags(variables.iter().cloned())
        .environment(inherited)
        .load()
        .map(|loaded| loaded.config)
        .map_err(Failure::config)
}

/// The configured port for HTTP, or a free one where that is taken.
fn http_port(ip: Ipv4Addr, config: &Config) -> Option<u16> {
    [config.http_port, 0].into_iter().find_map(|port| {
        let listener = TcpListener::bind((ip, port)).ok()?;
        listener.local_addr().ok().map(|address| address.port())
    })
}

fn explain(ip: Ipv4Addr, port: u16, error: &io::Error) -> String {
    let address = SocketAddr::new(IpAddr::V4(ip), port);
    match error.kind() {
        io::ErrorKind::AddrInUse => format!("{address} is taken by another process"),
        io::ErrorKind::AddrNotAvailable => format!(
            "{ip} is not an address of this machine (on macOS: sudo ifconfig lo0 alias {ip})"
        ),
        _ => format!("{address}: {error}"),
    }
}
