//! The table of variables: one row each, from which flags, keys, help and errors are made.

use lasso_core::name::Label;
use lasso_core::secure::Cookie;

use super::{Config, parse};

/// One variable of the configuration.
#[derive(Debug)]
pub struct Variable {
    /// Its name in the environment.
    pub name: &'static str,
    /// Its default, as it would be written; empty: none.
    pub default: &'static str,
    /// What it means.
    pub help: &'static str,
    /// What would be accepted.
    pub accepted: &'static str,
    /// A secret is never shown.
    pub secret: bool,
    /// Puts a text that is not empty into its place in the configuration.
    pub(super) set: fn(&mut Config, &str) -> Result<(), String>,
}

impl Variable {
    /// The flag, without the leading dashes: `cluster-dns-query`.
    pub fn flag(&self) -> String {
        self.name.to_ascii_lowercase().replace('_', "-")
    }

    /// The key in a TOML file: `cluster_dns_query`.
    pub fn key(&self) -> String {
        self.name.to_ascii_lowercase()
    }

    /// The variable of that name.
    pub fn named(name: &str) -> Option<&'static Variable> {
        VARIABLES.iter().find(|variable| variable.name == name)
    }
}

const LABEL: &str = "1 to 128 bytes without control and other invisible characters";
const SECRET: &str = "at least 16 bytes, better 32; `keygen` makes one";

/// Every variable, in the order in which they are shown.
pub const VARIABLES: &[Variable] = &[
    Variable {
        name: "CLUSTER_DNS_QUERY",
        default: "",
        help: "DNS names whose addresses are nodes of the cluster; unset: the node runs alone",
        accepted: "DNS names, comma separated: `lasso.internal`, `srv:_lasso._tcp.example` for SRV \
                   records, `other-app.internal=phoenix` for another basename",
        secret: false,
        set: |config, text| put(&mut config.queries, parse::list(text, parse::query)),
    },
    Variable {
        name: "CLUSTER_PEERS",
        default: "",
        help: "node names to dial besides, or instead of, what DNS says",
        accepted: "node names, comma separated: `lasso@10.0.0.5`, `lasso@10.0.0.5:9155`, \
                   `lasso@[fdaa::3]:9155`",
        secret: false,
        set: |config, text| put(&mut config.peers, parse::list(text, parse::node_name)),
    },
    Variable {
        name: "CLUSTER_NAME",
        default: "lasso",
        help: "nodes link up only with nodes of the same cluster name",
        accepted: LABEL,
        secret: false,
        set: |config, text| put(&mut config.cluster, label("cluster name", text)),
    },
    Variable {
        name: "CLUSTER_NODE_BASENAME",
        default: "",
        help: "the part of the node's name before the `@`, the same on every node of an \
               application; required for clustering",
        accepted: "1 to 64 letters, digits, `-`, `_` or `.`, without a deploy hash",
        secret: false,
        set: |config, text| {
            let name = lasso_core::name::Basename::new(text).map_err(|e| e.to_string());
            put(&mut config.basename, name.map(Some))
        },
    },
    Variable {
        name: "CLUSTER_NODE_IP",
        default: "",
        help: "own address that peers can reach; required for clustering",
        accepted: "an IPv4 or IPv6 address that peers can reach: `10.0.0.5`, `fdaa::3`",
        secret: false,
        set: |config, text| {
            put(
                &mut config.ip,
                parse::ip(text).and_then(parse::reachable).map(Some),
            )
        },
    },
    Variable {
        name: "CLUSTER_PORT",
        default: "9155",
        help: "port for links, and the port at which an address from DNS is dialled",
        accepted: "1 to 65535",
        secret: false,
        set: |config, text| put(&mut config.port, parse::port(text)),
    },
    Variable {
        name: "CLUSTER_BIND",
        default: "",
        help: "address to listen on, where it differs from the node's own (the default)",
        accepted: "an IPv4 or IPv6 address of this machine: `0.0.0.0`, `::`, `10.0.0.5`",
        secret: false,
        set: |config, text| put(&mut config.bind, parse::ip(text).map(Some)),
    },
    Variable {
        name: "CLUSTER_DNS_SERVER",
        default: "",
        help: "the resolver to ask; by default the system's",
        accepted: "`ip:port`: `10.0.0.2:53`, `[fdaa::3]:53`",
        secret: false,
        set: |config, text| put(&mut config.dns_server, parse::dns_server(text).map(Some)),
    },
    Variable {
        name: "CLUSTER_REGION",
        default: "unknown",
        help: "region of this node",
        accepted: LABEL,
        secret: false,
        set: |config, text| put(&mut config.region, label("region", text)),
    },
    Variable {
        name: "CLUSTER_NODE_ID",
        default: "",
        help: "id of this node in answers; by default the host part of its name",
        accepted: LABEL,
        secret: false,
        set: |config, text| put(&mut config.node_id, label("node id", text).map(Some)),
    },
    Variable {
        name: "APP_ROLE",
        default: "",
        help: "roles of this node",
        accepted: "at most 32 roles, comma separated: `web`, `web,ingestor`",
        secret: false,
        set: |config, text| {
            let roles = parse::list(text, |role| label("role", role))?;
            if roles.len() > lasso_core::name::ROLES_MAX {
                return Err(format!("{} roles are too many", roles.len()));
            }
            config.roles = roles.into_iter().collect();
            Ok(())
        },
    },
    Variable {
        name: "EXPECTED_NODE_COUNT",
        default: "1",
        help: "how many nodes the cluster should have, for health and alerts",
        accepted: "1 to 65535",
        secret: false,
        set: |config, text| put(&mut config.expected_nodes, parse::count(text)),
    },
    Variable {
        name: "RELEASE_COOKIE",
        default: "",
        help: "the secret that the nodes of a cluster share; required for clustering; prefer the \
               environment or the file, since flags show in the list of processes",
        accepted: SECRET,
        secret: true,
        set: |config, text| put(&mut config.cookie, Ok(Some(Cookie::new(text)))),
    },
    Variable {
        name: "RELEASE_COOKIE_PREVIOUS",
        default: "",
        help: "a second secret that is accepted but not offered, for rotation without downtime",
        accepted: SECRET,
        secret: true,
        set: |config, text| put(&mut config.cookie_previous, Ok(Some(Cookie::new(text)))),
    },
    Variable {
        name: "CLUSTER_TICK_TIME",
        default: "60s",
        help: "a silent peer is declared down between 0.75 and 1.25 of it after its last byte",
        accepted: "1s to 600s, such as `8s`, `2m`, `1500ms`",
        secret: false,
        set: |config, text| {
            let tick = parse::duration(text)?;
            if !(std::time::Duration::from_secs(1)..=std::time::Duration::from_secs(600))
                .contains(&tick)
            {
                return Err("it is out of range".into());
            }
            config.settings.link.tick_time = tick;
            Ok(())
        },
    },
    Variable {
        name: "CLUSTER_METRICS_ENABLED",
        default: "true",
        help: "false: metrics answers speak for this node alone, and say so",
        accepted: "true or false",
        secret: false,
        set: |config, text| put(&mut config.metrics_enabled, parse::boolean(text)),
    },
    Variable {
        name: "HTTP_PORT",
        default: "4000",
        help: "port of the node's HTTP address",
        accepted: "1 to 65535",
        secret: false,
        set: |config, text| put(&mut config.http_port, parse::port(text)),
    },
    Variable {
        name: "HTTP_BIND",
        default: "127.0.0.1",
        help: "address on which the node answers HTTP",
        accepted: "an IPv4 or IPv6 address of this machine: `127.0.0.1`, `0.0.0.0`, `::`",
        secret: false,
        set: |config, text| put(&mut config.http_bind, parse::ip(text)),
    },
    Variable {
        name: "HTTP_DRAIN_TIME",
        default: "10s",
        help: "how long HTTP requests under way may take once the node is to stop",
        accepted: "0s to 600s, such as `10s`, `1500ms`",
        secret: false,
        set: |config, text| {
            let drain = parse::duration(text)?;
            if drain > std::time::Duration::from_secs(600) {
                return Err("it is out of range".into());
            }
            config.http_drain = drain;
            Ok(())
        },
    },
    Variable {
        name: "LASSO_DATA_DIR",
        default: "",
        help: "for files; this release keeps none, and warns where it is set",
        accepted: "a directory",
        secret: false,
        set: |config, text| put(&mut config.data_dir, Ok(Some(text.into()))),
    },
];

fn label(what: &'static str, text: &str) -> Result<Label, String> {
    Label::new(what, text).map_err(|e| e.to_string())
}

fn put<T>(place: &mut T, value: Result<T, String>) -> Result<(), String> {
    *place = value?;
    Ok(())
}
