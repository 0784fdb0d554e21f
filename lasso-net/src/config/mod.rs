//! Configuration: what a node is told before it starts.
//!
//! [`Config`] is plain data. A program fills it by [`Cluster::builder`](crate::Cluster::builder); a
//! [`Loader`] fills it from flags, environment, a TOML file and defaults, in that order, by the
//! table [`VARIABLES`]. Either way every error comes at once, and no secret is ever printed.
//!
//! ```
//! use lasso_net::config::Loader;
//!
//! let loaded = Loader::new()
//!     .environment([("CLUSTER_PEERS", "lasso@10.0.0.6"), ("CLUSTER_NODE_BASENAME", "lasso")])
//!     .load();
//! // The address and the secret are missing: both are said.
//! assert_eq!(loaded.unwrap_err().0.len(), 2);
//! ```

mod error;
mod load;
mod parse;
mod relations;
mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use lasso_core::config::{NodeConfig, Settings};
use lasso_core::discovery::Query;
use lasso_core::name::{Basename, DEFAULT_PORT, Description, Label, NodeName};
use lasso_core::secure::{Cookie, Security};

pub use error::{ConfigError, ConfigErrors, ConfigWarning, EXIT_CONFIG, Origin};
pub use load::{Loaded, Loader, Row};
pub use parse::{duration, show_duration};
pub use table::{VARIABLES, Variable};

/// Fewest bytes of a cookie outside of development.
pub const COOKIE_MIN: usize = 16;
/// A cookie of fewer bytes than this is worth a warning.
pub const COOKIE_ADVISED: usize = 32;

/// The effective configuration of a node.
///
/// The fields are the variables of [`VARIABLES`]; the types hold no bad value, and
/// [`Config::validate`] checks what must hold between them.
#[derive(Debug, Clone)]
pub struct Config {
    /// `CLUSTER_DNS_QUERY`, none: names whose addresses are nodes. Each costs one lookup per family
    /// and poll; without any, only static peers are found.
    pub queries: Vec<Query>,
    /// `CLUSTER_PEERS`, none: names to dial. Each is dialled for as long as it is away.
    pub peers: Vec<NodeName>,
    /// `CLUSTER_NAME`, `lasso`: links stand only between nodes of one cluster name.
    pub cluster: Label,
    /// `CLUSTER_NODE_BASENAME`: required for clustering, the same on every node of an application.
    pub basename: Option<Basename>,
    /// `CLUSTER_NODE_IP`: required for clustering, the address that peers can reach.
    pub ip: Option<IpAddr>,
    /// `CLUSTER_PORT`, 9155: for links, and for dialling what DNS finds.
    pub port: u16,
    /// `CLUSTER_BIND`, the node's own address: where to listen.
    pub bind: Option<IpAddr>,
    /// `CLUSTER_DNS_SERVER`, the system's: which resolver to ask.
    pub dns_server: Option<SocketAddr>,
    /// `CLUSTER_REGION`, `unknown`.
    pub region: Label,
    /// `CLUSTER_NODE_ID`, the host part of the name.
    pub node_id: Option<Label>,
    /// `APP_ROLE`, none; at most 32.
    pub roles: BTreeSet<Label>,
    /// Version of the application, `0.0.0`; no variable, since the program knows it.
    pub version: Label,
    /// `EXPECTED_NODE_COUNT`, 1. Higher than the cluster is: its health is never good. Lower: a
    /// missing node is not noticed.
    pub expected_nodes: u32,
    /// `RELEASE_COOKIE`: required for clustering, at least 16 bytes.
    pub cookie: Option<Cookie>,
    /// `RELEASE_COOKIE_PREVIOUS`, none: accepted, never offered. While it is set, whoever knows the
    /// old secret still gets in.
    pub cookie_previous: Option<Cookie>,
    /// `CLUSTER_METRICS_ENABLED`, true; false: metrics answers speak for this node alone.
    pub metrics_enabled: bool,
    /// `HTTP_PORT`, 4000.
    pub http_port: u16,
    /// `HTTP_BIND`, 127.0.0.1. Anything wider shows the cluster's topology to who can reach it.
    pub http_bind: IpAddr,
    /// `HTTP_DRAIN_TIME`, 10 s: how long HTTP requests under way may take once the node is to stop. Higher:
    /// slow requests are answered. Lower: the process ends sooner.
    pub http_drain: Duration,
    /// `LASSO_DATA_DIR`, none. This release keeps no files; setting it changes nothing, and is warned about.
    pub data_dir: Option<PathBuf>,
    /// Development, false: a cookie of fewer than 16 bytes is accepted.
    pub dev: bool,
    /// Intervals, time-outs and bounds; `CLUSTER_TICK_TIME` is among them.
    pub settings: Settings,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            queries: Vec::new(),
            peers: Vec::new(),
            cluster: Label::new("cluster name", "lasso").expect("a constant that is a label"),
            basename: None,
            ip: None,
            port: DEFAULT_PORT,
            bind: None,
            dns_server: None,
            region: Label::unknown(),
            node_id: None,
            roles: BTreeSet::new(),
            version: Label::new("version", "0.0.0").expect("a constant that is a label"),
            expected_nodes: 1,
            cookie: None,
            cookie_previous: None,
            metrics_enabled: true,
            http_port: 4000,
            http_bind: IpAddr::V4(Ipv4Addr::LOCALHOST),
            http_drain: Duration::from_secs(10),
            data_dir: None,
            dev: false,
            settings: Settings::default(),
        }
    }
}

impl Config {
    /// Sets one variable of [`VARIABLES`] from its text, as a flag would; an empty text is refused.
    ///
    /// # Errors
    /// The text is not acceptable, or there is no such variable; nothing was changed.
    pub fn set(&mut self, variable: &'static str, text: &str) -> Result<(), ConfigErrors> {
        let known = Variable::named(variable);
        let set = match (known, text.trim()) {
            (None, _) => Err("no such variable".into()),
            (_, "") => Err("it is empty".into()),
            (Some(known), text) => (known.set)(self, text),
        };
        set.map_err(|problem| {
            ConfigErrors(vec![ConfigError {
                variable: variable.into(),
                value: known
                    .filter(|known| !known.secret)
                    .map(|_| error::shown(text)),
                origin: Origin::Program,
                problem,
                accepted: known.map_or("", |known| known.accepted).into(),
            }])
        })
    }

    /// True when the node looks for others: it has a query or a static peer.
    pub fn is_clustered(&self) -> bool {
        !self.queries.is_empty() || !self.peers.is_empty()
    }

    /// The address to listen on, or `None` for a node that runs alone.
    pub fn listen_on(&self) -> Option<SocketAddr> {
        let ip = self.bind.or(self.ip)?;
        self.is_clustered()
            .then_some(SocketAddr::new(ip, self.port))
    }

    /// The node's name. One that runs alone and was told none is `lasso@127.0.0.1`.
    pub fn node_name(&self) -> NodeName {
        let basename = self
            .basename
            .clone()
            .unwrap_or_else(|| Basename::new("lasso").expect("a constant that is a basename"));
        let ip = self.ip.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        NodeName::new(basename, SocketAddr::new(ip, self.port))
    }

    /// Checks the relations between fields, for a configuration that a program filled.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn validate(&self) -> Result<Vec<ConfigWarning>, ConfigErrors> {
        let broken = BTreeSet::new();
        relations::check(self, &broken, &|_| Origin::Program)
    }

    /// What the core's node is told. A node without a cookie takes no links, and gets `fallback`.
    pub(crate) fn node_config(&self, fallback: Cookie) -> NodeConfig {
        let name = self.node_name();
        let security = Security::Cookie {
            current: self.cookie.clone().unwrap_or(fallback),
            previous: self.cookie_previous.clone(),
        };
        let mut config = NodeConfig::new(name.clone(), security);
        config.cluster = self.cluster.clone();
        config.description = Description {
            region: self.region.clone(),
            roles: self.roles.clone(),
            version: self.version.clone(),
            ..Description::of(&name)
        };
        if let Some(id) = &self.node_id {
            config.description.id = id.clone();
        }
        config.queries = self.queries.clone();
        config.peers = self.peers.clone();
        config.expected_nodes = self.expected_nodes;
        config.settings = self.settings.clone();
        config.settings.metrics.enabled &= self.metrics_enabled;
        config
    }
}

/// A new secret: 32 random bytes from the system, as 64 hexadecimal digits.
///
/// # Errors
/// The system has no randomness to give.
pub fn keygen() -> std::io::Result<String> {
    let mut bytes = [0u8; 32];
    getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
